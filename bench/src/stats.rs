//! CPU time, memory and disk figures from /proc.

use crate::clock;
use crate::json::Obj;
use std::fs;

const TICK_NS: u64 = 10_000_000; // USER_HZ is 100 on every Linux architecture Rust runs on here.

/// One reading of everything a measured interval is charged with.
#[derive(Clone, Default)]
pub struct Sample {
    pub at: u64,
    server_cpu: u64,
    client_cpu: u64,
    machine_busy: u64,
    machine_steal: u64,
    flushes: u64,
    written_sectors: u64,
}

impl Sample {
    pub fn take(pids: &[u32]) -> Self {
        let (busy, steal) = machine_cpu();
        let (flushes, written_sectors) = disk();
        Sample {
            at: clock::now(),
            server_cpu: pids.iter().map(|&pid| process_cpu(pid)).sum(),
            client_cpu: own_cpu(),
            machine_busy: busy,
            machine_steal: steal,
            flushes,
            written_sectors,
        }
    }

    /// Writes what happened between two samples into `out`; `ops` were done meanwhile.
    pub fn report(begin: &Sample, end: &Sample, pids: &[u32], ops: u64, out: &mut Obj) {
        let seconds = (end.at - begin.at) as f64 / 1e9;
        let cores = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9 / seconds;
        let per_op = |ns: u64| ns as f64 / 1e3 / ops as f64;
        let client = cores(begin.client_cpu, end.client_cpu);
        let busy = cores(begin.machine_busy, end.machine_busy);
        out.float("client_cores", client, 3);
        out.float("client_us_per_op", per_op(end.client_cpu.saturating_sub(begin.client_cpu)), 3);
        if !pids.is_empty() {
            let server_ns = end.server_cpu.saturating_sub(begin.server_cpu);
            let server = cores(begin.server_cpu, end.server_cpu);
            out.float("server_cores", server, 3);
            out.float("server_us_per_op", per_op(server_ns), 3);
            out.float("other_cores", (busy - client - server).max(0.0), 3);
            let memory = Memory::of_all(pids);
            out.put("rss_kb", memory.rss_kb)
                .put("pss_kb", memory.pss_kb)
                .put("peak_rss_kb", memory.peak_kb);
        }
        out.float("machine_busy_cores", busy, 3);
        out.float("steal_cores", cores(begin.machine_steal, end.machine_steal), 3);
        out.float("disk_flushes_per_s", (end.flushes - begin.flushes) as f64 / seconds, 1);
        out.float(
            "disk_mb_per_s",
            (end.written_sectors - begin.written_sectors) as f64 * 512.0 / 1e6 / seconds,
            2,
        );
    }
}

#[derive(Default)]
pub struct Memory {
    pub rss_kb: u64,
    pub pss_kb: u64,
    pub peak_kb: u64,
}

impl Memory {
    pub fn of_all(pids: &[u32]) -> Self {
        let mut sum = Memory::default();
        for pid in pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let rollup =
                fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.rss_kb += field(&status, "VmRSS:");
            sum.peak_kb += field(&status, "VmHWM:");
            sum.pss_kb += field(&rollup, "Pss:");
        }
        sum
    }
}

fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn process_cpu(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields = after_name.split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

fn own_cpu() -> u64 {
    // SAFETY: getrusage fills the zeroed struct it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let ns = |t: libc::timeval| t.tv_sec as u64 * clock::SEC + t.tv_usec as u64 * 1000;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

/// Busy and stolen time of all cores together.
fn machine_cpu() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or("");
    let t: Vec<u64> = first.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let at = |i: usize| t.get(i).copied().unwrap_or(0);
    // user nice system idle iowait irq softirq steal
    ((at(0) + at(1) + at(2) + at(5) + at(6)) * TICK_NS, at(7) * TICK_NS)
}

/// Flush requests and sectors written, over all whole disks of the machine.
fn disk() -> (u64, u64) {
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let mut sum = (0, 0);
    for line in text.lines() {
        let f: Vec<&str> = line.split_whitespace().collect();
        let whole = f.get(2).is_some_and(|name| fs::metadata(format!("/sys/block/{name}")).is_ok());
        if whole && !f[2].starts_with("zram") && !f[2].starts_with("loop") {
            sum.0 += f.get(18).and_then(|n| n.parse().ok()).unwrap_or(0);
            sum.1 += f.get(9).and_then(|n| n.parse().ok()).unwrap_or(0);
        }
    }
    sum
}

/// Lifts the limit on open files as far as allowed.
pub fn raise_file_limit() {
    // SAFETY: both calls get a valid rlimit struct.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
