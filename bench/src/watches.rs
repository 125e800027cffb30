//! watches: a great many watches held at once; what they weigh, and whether their events keep the
//! order of the writes.
//!
//! Every session watches `--nodes` nodes: all of them the same ones or, with `--distinct`, each its
//! own. Before the watches are set, the same requests are made without one, so that what buffers
//! grow by is not charged to the watches. Then one writer sets the nodes (or the first `--fire` of
//! each session's) once, in an order that is not the order of the names, and every session must be
//! told of its nodes in exactly that order.

use crate::args::{Args, Common, Result};
use crate::churn::ignore_interrupt;
use crate::client::Client;
use crate::clock::{self, MS};
use crate::conn::{self, Conn, Ready};
use crate::json::Obj;
use crate::loads::filler;
use crate::proto::{self, XID_NOTIFICATION, XID_PING, number_name, op};
use crate::report::histogram;
use crate::stats::{Memory, Sample};
use hdrhistogram::Histogram;
use mio::{Events, Poll};
use std::io::BufRead;
use std::time::Duration;

/// Requests a session has in flight while it sets its watches.
const CHUNK: usize = 100;
/// The type of an event that says a node's data changed.
const NODE_DATA_CHANGED: i32 = 3;

struct Watches {
    poll: Poll,
    /// The watchers and, last, the writer.
    conns: Vec<Conn>,
    events: Events,
    scratch: Vec<u8>,
    limit: u64,
    ping_every: u64,
    ping_at: u64,
    base: String,
    distinct: bool,
    nodes: usize,
    /// The numbers of the nodes that are set, in that order.
    order: Vec<usize>,
    /// How many events each watcher has got.
    told: Vec<usize>,
    told_in_all: u64,
    replies: u64,
    errors: u64,
    out_of_order: u64,
    /// When each set left, to see how old an event is; recorded for the last event of a set.
    sent_at: Vec<u64>,
    age: Histogram<u64>,
}

impl Watches {
    fn path(&self, watcher: usize, node: usize) -> String {
        let dir = if self.distinct { watcher } else { 0 };
        format!("{}/{}/{}", self.base, number_name(dir as u64), number_name(node as u64))
    }

    fn send(&mut self, i: usize, opcode: i32, body: impl FnOnce(&mut Vec<u8>)) {
        let conn = &mut self.conns[i];
        let xid = conn.next_xid();
        proto::request(&mut conn.out, xid, opcode, body);
    }

    fn flush(&mut self, i: usize) -> Result<()> {
        self.conns[i].flush().map_err(|e| format!("connection {i}: {e}"))
    }

    /// Asks for every node of every watcher, with or without a watch.
    fn ask_all(&mut self, watch: bool) -> Result<()> {
        let watchers = self.told.len();
        for first in (0..self.nodes).step_by(CHUNK) {
            let last = self.nodes.min(first + CHUNK);
            let expected = self.replies + (watchers * (last - first)) as u64;
            for i in 0..watchers {
                for node in first..last {
                    let path = self.path(i, node);
                    self.send(i, op::EXISTS, |b| proto::path_and_flag(b, &path, watch));
                }
                self.flush(i)?;
            }
            self.wait("replies", |w| w.replies >= expected)?;
        }
        Ok(())
    }

    /// Sets the nodes once and waits for everything that this must bring.
    fn fire(&mut self, window: u64, data: &[u8]) -> Result<u64> {
        let watchers = self.told.len();
        let writer = watchers;
        let owners = if self.distinct { watchers } else { 1 };
        let begin = self.replies;
        let mut sets = 0;
        for at in 0..self.order.len() {
            for owner in 0..owners {
                let path = self.path(owner, self.order[at]);
                self.send(writer, op::SET_DATA, |b| proto::set_body(b, &path, data));
                self.flush(writer)?;
                self.sent_at.push(clock::now());
                sets += 1;
                if sets >= window {
                    self.wait("a write", |w| w.replies - begin > sets - window)?;
                }
            }
        }
        let all = (watchers * self.order.len()) as u64;
        self.wait("the last write", |w| w.replies - begin >= sets)?;
        self.wait("the last event", |w| w.told_in_all >= all)?;
        Ok(sets)
    }

    /// Keeps the sessions alive, should all of it take longer than their timeout.
    fn ping(&mut self) -> Result<()> {
        if clock::now() < self.ping_at {
            return Ok(());
        }
        self.ping_at = clock::now() + self.ping_every;
        for i in 0..self.conns.len() {
            proto::request(&mut self.conns[i].out, XID_PING, op::PING, |_| {});
            self.flush(i)?;
        }
        Ok(())
    }

    /// Polls until `done`; gives up when nothing at all came for the operation timeout.
    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let mut deadline = clock::now() + self.limit;
        while !done(self) {
            if clock::now() > deadline {
                return Err(format!("timed out waiting for {what}"));
            }
            self.ping()?;
            let pause = Some(Duration::from_millis(20));
            self.poll.poll(&mut self.events, pause).or_else(ignore_interrupt)?;
            let ready: Vec<(usize, Ready)> =
                self.events.iter().map(|e| (e.token().0, e.into())).collect();
            for (i, ready) in ready {
                self.flush(i)?;
                if ready.read {
                    self.receive(i, ready)?;
                    deadline = clock::now() + self.limit;
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, i: usize, ready: Ready) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let received = self.conns[i]
            .receive(ready, &mut scratch)
            .map_err(|e| format!("connection {i}: {e}"))?;
        let now = clock::now();
        let mut rest = &scratch[..received.length];
        while let Some((payload, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            let reply = proto::parse_reply(payload).ok_or("short reply")?;
            if reply.xid == XID_NOTIFICATION {
                self.told(i, reply.body, now);
            } else if reply.xid != XID_PING {
                self.replies += 1;
                self.errors += u64::from(reply.err != proto::err::OK);
            }
        }
        self.conns[i].keep(rest);
        self.scratch = scratch;
        if received.eof { Err(format!("connection {i} closed by the server")) } else { Ok(()) }
    }

    fn told(&mut self, i: usize, body: &[u8], now: u64) {
        let kind = proto::int_at(body, 0);
        let path = body.get(8..).and_then(proto::leading_buffer).unwrap_or_default();
        let place = self.told.get(i).copied().unwrap_or(usize::MAX);
        let expected = self.order.get(place).map(|&node| self.path(i, node));
        let well = expected.is_some_and(|expected| expected.as_bytes() == path);
        self.out_of_order += u64::from(!well || kind != Some(NODE_DATA_CHANGED));
        if let Some(told) = self.told.get_mut(i) {
            *told += 1;
        }
        self.told_in_all += 1;
        let set = if self.distinct { place * self.told.len() + i } else { place };
        if let Some(&sent) = self.sent_at.get(set) {
            self.age.saturating_record(now - sent);
        }
    }
}

/// Every number below `count` once, far from sorted.
fn shuffled(count: usize) -> Vec<usize> {
    let mut step = (count * 5 / 8) | 1;
    while gcd(step, count) != 1 {
        step += 2;
    }
    (0..count).map(|i| (i * step + count / 3) % count).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// With `--stages`, names the stage on standard output and waits for a line: time for somebody else
/// to measure.
fn stage(wanted: bool, name: &str) -> Result<()> {
    if wanted {
        println!("stage {name}");
        std::io::stdin().lock().read_line(&mut String::new()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

pub fn run(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    let nodes: usize = args.get("nodes", 1000)?;
    let distinct = args.get("distinct", false)?;
    let fire = args.get("fire", nodes)?;
    let stages = args.get("stages", false)?;
    args.finish()?;
    if nodes == 0 {
        return Err("--nodes must be at least 1".into());
    }
    let watchers = common.conns;
    let limit = Duration::from_millis(common.op_timeout_ms);
    let mut watches = Watches {
        poll: Poll::new().map_err(|e| e.to_string())?,
        conns: Vec::new(),
        events: Events::with_capacity(1024),
        scratch: conn::scratch(),
        limit: common.op_timeout_ms * MS,
        ping_every: common.session_ms as u64 / 3 * MS,
        ping_at: 0,
        base: format!("{}/watches-{}", common.root, if distinct { "distinct" } else { "shared" }),
        distinct,
        nodes,
        order: shuffled(nodes).into_iter().take(fire).collect(),
        told: vec![0; watchers],
        told_in_all: 0,
        replies: 0,
        errors: 0,
        out_of_order: 0,
        sent_at: Vec::new(),
        age: histogram(),
    };
    let data = filler(common.size);
    let mut client = Client::open_any(&common.hosts, common.session_ms, limit)?;
    client.ensure_all(&watches.base)?;
    for owner in 0..if distinct { watchers } else { 1 } {
        let paths: Vec<String> = (0..nodes).map(|node| watches.path(owner, node)).collect();
        let (dir, _) = paths[0].rsplit_once('/').expect("a path has a parent");
        client.ensure(dir, b"")?;
        client.ensure_many(nodes, |node| paths[node].clone(), &data)?;
    }
    let setup_txns = client.close();

    watches.conns =
        conn::open_sessions(&common.hosts, watchers + 1, common.session_ms, common.op_timeout_ms)?;
    for (i, conn) in watches.conns.iter().enumerate() {
        conn.register(&watches.poll, i).map_err(|e| e.to_string())?;
    }
    let rss_kb = || Memory::of_all(&common.pids).rss_kb;
    watches.ask_all(false)?;
    stage(stages, "asked")?;
    let before_kb = rss_kb();
    let arming = clock::now();
    watches.ask_all(true)?;
    let armed_seconds = (clock::now() - arming) as f64 / 1e9;
    stage(stages, "watching")?;
    let after_kb = rss_kb();

    let begin = Sample::take(&common.pids);
    let sets = watches.fire(common.window as u64, &data)?;
    let finish = Sample::take(&common.pids);
    let seconds = (finish.at - begin.at) as f64 / 1e9;
    let count = (watchers * nodes) as u64;
    let events = (watchers * watches.order.len()) as u64;
    let closed = conn::close_sessions(&mut watches.conns, 30_000);

    let mut out = Obj::new();
    out.text("workload", "watches").put("sessions", watchers).put("nodes", nodes);
    out.put("distinct", distinct).put("watches", count);
    out.float("set_seconds", armed_seconds, 3).float("seconds", seconds, 3);
    if !common.pids.is_empty() {
        let growth = (after_kb as f64 - before_kb as f64) * 1024.0;
        out.float("rss_bytes_per_watch", growth / count as f64, 1);
    }
    out.put("ops", events).float("ops_per_s", events as f64 / seconds, 1);
    out.obj("lat_us", &crate::report::latency(&watches.age));
    out.put("errors", watches.errors).put("out_of_order", watches.out_of_order);
    out.put("surplus_notifications", watches.told_in_all - events);
    out.put("total_txns", setup_txns + watchers as u64 + 1 + sets + closed);
    Sample::report(&begin, &finish, &common.pids, events, &mut out);
    println!("{out}");
    Ok(watches.errors == 0 && watches.out_of_order == 0 && watches.told_in_all == events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_names_every_node_once_and_is_not_sorted() {
        for count in [1, 2, 7, 100, 1000] {
            let order = shuffled(count);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert!(count < 7 || order != sorted, "{order:?}");
        }
    }
}
