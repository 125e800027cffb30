//! watch-fanout: many watchers on one node; how long until all are notified.

use crate::args::{Args, Common, Result};
use crate::churn::ignore_interrupt;
use crate::client::Client;
use crate::clock::{self, MS};
use crate::conn::{self, Conn, Pending, Ready};
use crate::json::Obj;
use crate::loads::filler;
use crate::proto::{self, Put, XID_NOTIFICATION, op};
use crate::report::{self, Recorder};
use crate::stats::Sample;
use mio::{Events, Poll};
use std::time::Duration;

struct Fanout {
    poll: Poll,
    conns: Vec<Conn>,
    events: Events,
    scratch: Vec<u8>,
    limit: u64,
    notified: u64,
    replies: u64,
    bad: u64,
    each: Recorder,
    set_at: u64,
    recording: bool,
}

impl Fanout {
    fn send(&mut self, i: usize, opcode: i32, body: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let conn = &mut self.conns[i];
        let xid = conn.next_xid();
        proto::request(&mut conn.out, xid, opcode, body);
        conn.pending.push_back(Pending { sent: 0, xid, tag: 0 });
        conn.flush().map_err(|e| format!("connection {i}: {e}"))
    }

    /// Polls until `done`, within the operation timeout.
    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = clock::now() + self.limit;
        while !done(self) {
            if clock::now() > deadline {
                return Err(format!("timed out waiting for {what}"));
            }
            self.poll
                .poll(&mut self.events, Some(Duration::from_millis(20)))
                .or_else(ignore_interrupt)?;
            let events: Vec<(usize, Ready)> =
                self.events.iter().map(|e| (e.token().0, e.into())).collect();
            for (i, ready) in events.into_iter().filter(|(_, ready)| ready.read) {
                self.receive(i, ready)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, i: usize, ready: Ready) -> Result<()> {
        let conn = &mut self.conns[i];
        let received =
            conn.receive(ready, &mut self.scratch).map_err(|e| format!("connection {i}: {e}"))?;
        let now = clock::now();
        let mut rest = &self.scratch[..received.length];
        while let Some((payload, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            let reply = proto::parse_reply(payload).ok_or("short reply")?;
            if reply.xid == XID_NOTIFICATION {
                self.notified += 1;
                if self.recording {
                    self.each.record(now - self.set_at);
                }
            } else {
                let asked = conn.pending.pop_front();
                let well = reply.err == proto::err::OK && asked.is_some_and(|p| p.xid == reply.xid);
                self.bad += u64::from(!well);
                self.replies += 1;
            }
        }
        conn.keep(rest);
        if received.eof { Err(format!("connection {i} closed by the server")) } else { Ok(()) }
    }
}

pub fn run(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    let mode = args.text("watch-mode", "oneshot");
    args.finish()?;
    let persistent = match mode.as_str() {
        "oneshot" => None,
        "persistent" => Some(0),
        "recursive" => Some(1),
        other => return Err(format!("--watch-mode: unknown mode {other:?}")),
    };
    let node = format!("{}/watched", common.root);
    let data = filler(common.size);
    let limit = Duration::from_millis(common.op_timeout_ms);
    let mut client = Client::open_any(&common.hosts, common.session_ms, limit)?;
    client.ensure_all(&node)?;
    let setup_txns = client.close();

    let watchers = common.conns;
    let conns =
        conn::open_sessions(&common.hosts, watchers + 1, common.session_ms, common.op_timeout_ms)?;
    let writer = watchers;
    let mut fan = Fanout {
        poll: Poll::new().map_err(|e| e.to_string())?,
        conns,
        events: Events::with_capacity(1024),
        scratch: conn::scratch(),
        limit: common.op_timeout_ms * MS,
        notified: 0,
        replies: 0,
        bad: 0,
        each: Recorder::default(),
        set_at: 0,
        recording: false,
    };
    for (i, conn) in fan.conns.iter().enumerate() {
        conn.register(&fan.poll, i).map_err(|e| e.to_string())?;
    }
    let arm = |fan: &mut Fanout| -> Result<()> {
        let expected = fan.replies + watchers as u64;
        for i in 0..watchers {
            match persistent {
                None => fan.send(i, op::GET_DATA, |b| proto::path_and_flag(b, &node, true))?,
                Some(mode) => fan.send(i, op::ADD_WATCH, |b| {
                    b.string(&node).int(mode);
                })?,
            }
        }
        fan.wait("watches to be set", |f| f.replies >= expected)
    };
    arm(&mut fan)?;

    let measure = clock::now() + clock::secs(common.warmup);
    let end = measure + clock::secs(common.seconds);
    let mut begin = None;
    let (mut all, mut ack) = (Recorder::default(), Recorder::default());
    let mut rounds = 0u64;
    let mut sets = 0u64;
    while clock::now() < end {
        if begin.is_none() && clock::now() >= measure {
            begin = Some(Sample::take(&common.pids));
            fan.recording = true;
        }
        let (replies, notified) = (fan.replies + 1, fan.notified + watchers as u64);
        fan.set_at = clock::now();
        fan.send(writer, op::SET_DATA, |b| proto::set_body(b, &node, &data))?;
        sets += 1;
        fan.wait("the write", |f| f.replies >= replies)?;
        let acked = clock::now() - fan.set_at;
        fan.wait("notifications", |f| f.notified >= notified)?;
        let took = clock::now() - fan.set_at;
        if fan.recording {
            all.record(took);
            ack.record(acked);
            rounds += 1;
        }
        if persistent.is_none() {
            arm(&mut fan)?;
        }
    }
    let finish = Sample::take(&common.pids);
    let begin = begin.ok_or("no round fitted into the warm-up; use more --seconds")?;
    let seconds = (finish.at - begin.at) as f64 / 1e9;
    let surplus = fan.notified as i64 - (sets * watchers as u64) as i64;
    let closed = conn::close_sessions(&mut fan.conns, 10_000);
    [&mut all, &mut ack, &mut fan.each].into_iter().for_each(Recorder::flush);
    let ops = rounds * watchers as u64;
    let mut out = Obj::new();
    out.text("workload", "watch-fanout").text("watch_mode", &mode);
    out.put("watchers", watchers).put("rounds", rounds).float("seconds", seconds, 3);
    out.put("ops", ops).float("ops_per_s", ops as f64 / seconds, 1);
    out.obj("lat_us", &report::latency(&all.hist));
    out.obj("each_us", &report::latency(&fan.each.hist)).obj("set_us", &report::latency(&ack.hist));
    out.put("errors", fan.bad).put("surplus_notifications", surplus);
    out.put("total_txns", setup_txns + sets + watchers as u64 + 1 + closed);
    Sample::report(&begin, &finish, &common.pids, ops, &mut out);
    println!("{out}");
    Ok(fan.bad == 0 && surplus == 0)
}
