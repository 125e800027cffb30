//! connect: sessions opened and closed as fast as the server allows.

use crate::args::{Args, Common, Result};
use crate::clock::{self, MS};
use crate::conn::{self, Conn, Ready};
use crate::json::Obj;
use crate::proto::{self, Session, op};
use crate::report::{self, histogram};
use crate::stats::Sample;
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use std::net::SocketAddr;
use std::time::Duration;

const RETRY: u64 = 10 * MS;

struct Slot {
    conn: Option<Conn>,
    host: SocketAddr,
    dialed: u64,
    /// When the ConnectResponse came and the close request left.
    opened: Option<u64>,
    retry_at: u64,
}

struct Churn {
    poll: Poll,
    slots: Vec<Slot>,
    session_ms: i32,
    measure: u64,
    end: u64,
    open: Histogram<u64>,
    close: Histogram<u64>,
    cycle: Histogram<u64>,
    cycles: u64,
    txns: u64,
    failures: u64,
}

impl Churn {
    fn dial(&mut self, i: usize, now: u64) {
        let slot = &mut self.slots[i];
        (slot.conn, slot.opened, slot.dialed) = (None, None, now);
        let dialed = Conn::dial(slot.host).and_then(|mut conn| {
            proto::connect_request(&mut conn.out, 0, self.session_ms, &Session::default());
            conn.register(&self.poll, i)?;
            conn.flush()?;
            Ok(conn)
        });
        match dialed {
            Ok(conn) => slot.conn = Some(conn),
            Err(_) => self.fail(i, now),
        }
    }

    fn fail(&mut self, i: usize, now: u64) {
        self.failures += 1;
        self.slots[i].conn = None;
        self.slots[i].retry_at = now + RETRY;
    }

    fn ready(&mut self, i: usize, ready: Ready, now: u64, scratch: &mut Vec<u8>) {
        let slot = &mut self.slots[i];
        let Some(conn) = &mut slot.conn else { return };
        if conn.flush().is_err() {
            return self.fail(i, now);
        }
        if !ready.read {
            return;
        }
        let Ok(received) = conn.receive(ready, scratch) else { return self.fail(i, now) };
        let mut rest = &scratch[..received.length];
        while let Some((payload, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            match slot.opened {
                None => {
                    if proto::parse_connect_response(payload).is_none_or(|s| s.timeout_ms <= 0) {
                        return self.fail(i, now);
                    }
                    slot.opened = Some(now);
                    self.txns += 1;
                    proto::request(&mut conn.out, 1, op::CLOSE, |_| {});
                    if conn.flush().is_err() {
                        return self.fail(i, now);
                    }
                }
                Some(opened) => {
                    self.txns += 1;
                    if now >= self.measure && now < self.end {
                        self.cycles += 1;
                        self.open.saturating_record(opened - slot.dialed);
                        self.close.saturating_record(now - opened);
                        self.cycle.saturating_record(now - slot.dialed);
                    }
                    slot.conn = None;
                    slot.retry_at = 0;
                    return;
                }
            }
        }
        conn.keep(rest);
        if received.eof {
            self.fail(i, now);
        }
    }
}

pub fn run(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    args.finish()?;
    let start = clock::now();
    let measure = start + clock::secs(common.warmup);
    let end = measure + clock::secs(common.seconds);
    let limit = common.op_timeout_ms * MS;
    let slot = |i: usize| {
        let host = common.hosts[i % common.hosts.len()];
        Slot { conn: None, host, dialed: 0, opened: None, retry_at: 0 }
    };
    let mut churn = Churn {
        poll: Poll::new().map_err(|e| e.to_string())?,
        slots: (0..common.conns).map(slot).collect(),
        session_ms: common.session_ms,
        measure,
        end,
        open: histogram(),
        close: histogram(),
        cycle: histogram(),
        cycles: 0,
        txns: 0,
        failures: 0,
    };
    let mut events = Events::with_capacity(1024);
    let mut scratch = conn::scratch();
    let (mut begin, mut finish) = (None, None);
    loop {
        let now = clock::now();
        if begin.is_none() && now >= measure {
            begin = Some(Sample::take(&common.pids));
        }
        if finish.is_none() && now >= end {
            finish = Some(Sample::take(&common.pids));
        }
        for i in 0..churn.slots.len() {
            let slot = &churn.slots[i];
            match slot.conn {
                None if now < end && now >= slot.retry_at => churn.dial(i, now),
                Some(_) if now > slot.dialed + limit => churn.fail(i, now),
                _ => {}
            }
        }
        if now >= end && churn.slots.iter().all(|slot| slot.conn.is_none()) {
            break;
        }
        churn.poll.poll(&mut events, Some(Duration::from_millis(5))).or_else(ignore_interrupt)?;
        let now = clock::now();
        for event in &events {
            let Token(i) = event.token();
            churn.ready(i, event.into(), now, &mut scratch);
        }
    }
    let (begin, finish) = (begin.expect("sampled"), finish.expect("sampled"));
    let seconds = (finish.at - begin.at) as f64 / 1e9;
    let mut out = Obj::new();
    out.text("workload", "connect").put("conns", common.conns).float("seconds", seconds, 3);
    out.put("ops", churn.cycles).float("ops_per_s", churn.cycles as f64 / seconds, 1);
    out.obj("lat_us", &report::latency(&churn.cycle));
    out.obj("open_us", &report::latency(&churn.open))
        .obj("close_us", &report::latency(&churn.close));
    out.put("errors", churn.failures).put("total_txns", churn.txns);
    Sample::report(&begin, &finish, &common.pids, churn.cycles, &mut out);
    println!("{out}");
    Ok(churn.failures == 0)
}

pub fn ignore_interrupt(e: std::io::Error) -> Result<()> {
    if e.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(e.to_string()) }
}
