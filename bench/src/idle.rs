//! idle: sessions that only ping.

use crate::args::{Args, Common, Result};
use crate::churn::ignore_interrupt;
use crate::clock::{self, MS};
use crate::conn::{self, Conn, Pending, Ready};
use crate::json::Obj;
use crate::proto::{self, XID_PING, op};
use crate::report::{self, Recorder};
use crate::stats::Sample;
use mio::{Events, Poll};
use std::time::Duration;

pub fn run(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    args.finish()?;
    let opening = clock::now();
    let conns =
        conn::open_sessions(&common.hosts, common.conns, common.session_ms, common.op_timeout_ms)?;
    let open_seconds = (clock::now() - opening) as f64 / 1e9;
    let poll = Poll::new().map_err(|e| e.to_string())?;
    for (i, conn) in conns.iter().enumerate() {
        conn.register(&poll, i).map_err(|e| e.to_string())?;
    }
    let count = conns.len() as u64;
    let timeout_ms = conns.iter().map(|c| c.session.timeout_ms).min().unwrap_or(0).max(3) as u64;
    let mut idle = Idle {
        poll,
        conns: conns.into_iter().map(Some).collect(),
        latency: Recorder::default(),
        recording: false,
        lost: 0,
    };

    // Ping k leaves at start + k * interval / count and goes to connection k % count.
    let interval = timeout_ms * MS / 3;
    let start = clock::now();
    let measure = start + clock::secs(common.warmup);
    let end = measure + clock::secs(common.seconds);
    let due = |k: u64| start + (k as u128 * interval as u128 / count as u128) as u64;
    let mut next = 0;
    let mut begin = None;
    let mut events = Events::with_capacity(1024);
    let mut scratch = conn::scratch();
    loop {
        let now = clock::now();
        if now >= end {
            break;
        }
        if begin.is_none() && now >= measure {
            begin = Some(Sample::take(&common.pids));
            idle.recording = true;
        }
        while due(next) <= now {
            idle.ping((next % count) as usize, now);
            next += 1;
        }
        idle.poll.poll(&mut events, Some(Duration::from_millis(50))).or_else(ignore_interrupt)?;
        let now = clock::now();
        for event in &events {
            idle.receive(event.token().0, event.into(), now, &mut scratch);
        }
        let stuck =
            |c: &Conn| c.oldest().is_some_and(|sent| now > sent + common.op_timeout_ms * MS);
        if idle.conns.iter().flatten().any(stuck) {
            return Err("a ping was not answered in time".into());
        }
    }
    let finish = Sample::take(&common.pids);
    let begin = begin.unwrap_or_default();
    let seconds = (finish.at - begin.at) as f64 / 1e9;
    idle.latency.flush();
    let mut out = Obj::new();
    out.text("workload", "idle").put("sessions", count).put("session_timeout_ms", timeout_ms);
    out.float("seconds", seconds, 3).float("open_seconds", open_seconds, 3);
    out.put("ops", idle.latency.hist.len());
    out.float("ops_per_s", idle.latency.hist.len() as f64 / seconds, 1);
    out.obj("lat_us", &report::latency(&idle.latency.hist));
    out.put("errors", idle.lost);
    Sample::report(&begin, &finish, &common.pids, idle.latency.hist.len(), &mut out);
    let mut open: Vec<Conn> = idle.conns.drain(..).flatten().collect();
    out.put("total_txns", count + conn::close_sessions(&mut open, 30_000));
    println!("{out}");
    Ok(idle.lost == 0)
}

struct Idle {
    poll: Poll,
    conns: Vec<Option<Conn>>,
    latency: Recorder,
    recording: bool,
    lost: u64,
}

impl Idle {
    fn lose(&mut self, i: usize) {
        if let Some(conn) = self.conns[i].take() {
            conn.deregister(&self.poll);
            self.lost += 1;
        }
    }

    fn ping(&mut self, i: usize, now: u64) {
        let Some(conn) = &mut self.conns[i] else { return };
        proto::request(&mut conn.out, XID_PING, op::PING, |_| {});
        conn.pending.push_back(Pending { sent: now, xid: XID_PING, tag: 0 });
        if conn.flush().is_err() {
            self.lose(i);
        }
    }

    fn receive(&mut self, i: usize, ready: Ready, now: u64, scratch: &mut Vec<u8>) {
        let Some(conn) = &mut self.conns[i] else { return };
        if !ready.read {
            return;
        }
        let Ok(received) = conn.receive(ready, scratch) else { return self.lose(i) };
        let mut rest = &scratch[..received.length];
        while let Some((_, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            if let Some(asked) = conn.pending.pop_front()
                && self.recording
            {
                self.latency.record(now - asked.sent);
            }
        }
        conn.keep(rest);
        if received.eof {
            self.lose(i);
        }
    }
}
