//! failover: small writes from clients that reconnect, while servers come and go.
//! Every acknowledged write goes into a ledger and is looked for afterwards.

use crate::args::{Args, Common, Result};
use crate::churn::ignore_interrupt;
use crate::client::Client;
use crate::clock::{self, MS, SEC};
use crate::conn::{self, Conn, Pending, Ready};
use crate::json::Obj;
use crate::proto::{self, Session, number_name, op};
use crate::report::{self, histogram};
use crate::store::{self, Entry, Ledger, numbered_data};
use hdrhistogram::Histogram;
use mio::{Events, Poll};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(PartialEq)]
enum State {
    /// Not connected; may try again at this time.
    Down(u64),
    /// Waiting for the ConnectResponse since this time.
    Greeting(u64),
    Up,
}

/// One client: writes its numbers in order, even ones as new nodes, odd ones
/// into a node of its own.
struct Actor {
    state: State,
    conn: Option<Conn>,
    host: usize,
    session: Session,
    last_zxid: i64,
    next_number: u64,
    next_send: u64,
    created: Vec<u64>,
    last_set: Option<u64>,
    last_ack: u64,
    longest_gap: u64,
    first_after_kill: Option<u64>,
}

struct Failover {
    poll: Poll,
    actors: Vec<Actor>,
    hosts: Vec<SocketAddr>,
    base: String,
    size: usize,
    window: usize,
    interval: u64,
    session_ms: i32,
    op_timeout: u64,
    connect_timeout: u64,
    retry: u64,
    killed_at: Option<u64>,
    latency: Histogram<u64>,
    /// Time of the last acknowledgement to anybody, and the pauses between two.
    last_ack: u64,
    gaps: Vec<(u64, u64)>,
    /// The longest pause that ended after the kill.
    kill_pause: Option<(u64, u64)>,
    acked: u64,
    unknown: u64,
    reconnects: u64,
    attempts: u64,
    expired: u64,
    errors: BTreeMap<i32, u64>,
}

/// Pauses shorter than this are not listed.
const GAP_FLOOR: u64 = 50 * MS;

/// Even numbers become new nodes, odd ones go into the client's own node.
fn is_create(number: u64) -> bool {
    number.is_multiple_of(2)
}

impl Failover {
    fn node(&self, actor: usize, number: u64) -> String {
        format!("{}/{}/{}", self.base, number_name(actor as u64), number_name(number))
    }

    fn own_node(&self, actor: usize) -> String {
        format!("{}/{}", self.base, number_name(actor as u64))
    }

    fn dial(&mut self, i: usize, now: u64) {
        self.attempts += 1;
        let actor = &mut self.actors[i];
        let greet = Conn::dial(self.hosts[actor.host]).and_then(|mut conn| {
            proto::connect_request(&mut conn.out, actor.last_zxid, self.session_ms, &actor.session);
            conn.register(&self.poll, i)?;
            conn.flush()?;
            Ok(conn)
        });
        match greet {
            Ok(conn) => {
                actor.conn = Some(conn);
                actor.state = State::Greeting(now);
            }
            Err(_) => self.drop_conn(i, now),
        }
    }

    /// Gives the connection up; what was in flight may or may not have happened.
    fn drop_conn(&mut self, i: usize, now: u64) {
        let hosts = self.hosts.len();
        let actor = &mut self.actors[i];
        if let Some(conn) = actor.conn.take() {
            self.unknown += conn.pending.len() as u64;
        }
        actor.host = (actor.host + 1) % hosts;
        actor.state = State::Down(now + self.retry);
    }

    fn send_next(&mut self, i: usize, now: u64) {
        loop {
            let number = self.actors[i].next_number;
            let node = if is_create(number) { self.node(i, number) } else { self.own_node(i) };
            let actor = &mut self.actors[i];
            let Some(conn) = &mut actor.conn else { return };
            if conn.pending.len() >= self.window || actor.next_send > now {
                if conn.flush().is_err() {
                    self.drop_conn(i, now);
                }
                return;
            }
            let data = numbered_data(number, self.size);
            let xid = conn.next_xid();
            if is_create(number) {
                proto::request(&mut conn.out, xid, op::CREATE, |b| {
                    proto::create_body(b, &node, &data, 0)
                });
            } else {
                proto::request(&mut conn.out, xid, op::SET_DATA, |b| {
                    proto::set_body(b, &node, &data)
                });
            }
            conn.pending.push_back(Pending { sent: now, xid, tag: number as u32 });
            actor.next_number += 1;
            // After an outage, catch up with a little of what was missed, not all of it.
            actor.next_send = (actor.next_send + self.interval).max(now.saturating_sub(100 * MS));
        }
    }

    fn ready(&mut self, i: usize, ready: Ready, now: u64, scratch: &mut Vec<u8>) {
        let Some(conn) = &mut self.actors[i].conn else { return };
        if conn.flush().is_err() {
            return self.drop_conn(i, now);
        }
        if !ready.read {
            return;
        }
        let Ok(received) = conn.receive(ready, scratch) else { return self.drop_conn(i, now) };
        let mut rest = &scratch[..received.length];
        while let Some((payload, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            let well = match self.actors[i].state {
                State::Greeting(_) => self.greeted(i, payload),
                _ => self.acknowledged(i, payload, now),
            };
            if !well {
                return self.drop_conn(i, now);
            }
        }
        if let Some(conn) = &mut self.actors[i].conn {
            conn.keep(rest);
        }
        if received.eof {
            self.drop_conn(i, now);
        }
    }

    fn greeted(&mut self, i: usize, payload: &[u8]) -> bool {
        let actor = &mut self.actors[i];
        match proto::parse_connect_response(payload) {
            Some(session) if session.timeout_ms > 0 => {
                self.reconnects += u64::from(actor.session.id != 0);
                actor.session = session;
                actor.state = State::Up;
                true
            }
            _ => {
                self.expired += 1;
                actor.session = Session::default();
                false
            }
        }
    }

    fn acknowledged(&mut self, i: usize, payload: &[u8], now: u64) -> bool {
        let actor = &mut self.actors[i];
        let asked = actor.conn.as_mut().and_then(|conn| conn.pending.pop_front());
        let (Some(reply), Some(asked)) = (proto::parse_reply(payload), asked) else { return false };
        if reply.xid != asked.xid {
            return false;
        }
        actor.last_zxid = actor.last_zxid.max(reply.zxid);
        if reply.err != proto::err::OK {
            *self.errors.entry(reply.err).or_default() += 1;
            return true;
        }
        let number = u64::from(asked.tag);
        if is_create(number) {
            actor.created.push(number);
        } else {
            actor.last_set = Some(number);
        }
        self.acked += 1;
        self.latency.saturating_record(now - asked.sent);
        if actor.last_ack > 0 {
            actor.longest_gap = actor.longest_gap.max(now - actor.last_ack);
        }
        actor.last_ack = now;
        if self.killed_at.is_some_and(|killed| asked.sent > killed) {
            actor.first_after_kill.get_or_insert(now);
        }
        let pause = (self.last_ack, now);
        let length = |(from, to): (u64, u64)| to - from;
        if self.last_ack > 0 && length(pause) >= GAP_FLOOR {
            self.gaps.push(pause);
        }
        if self.killed_at.is_some()
            && self.kill_pause.is_none_or(|longest| length(pause) > length(longest))
        {
            self.kill_pause = Some(pause);
        }
        self.last_ack = now;
        true
    }

    fn tend(&mut self, i: usize, now: u64, sending: bool) {
        match self.actors[i].state {
            State::Down(until) if sending && now >= until => self.dial(i, now),
            State::Down(_) => {}
            State::Greeting(since) if now > since + self.connect_timeout => self.drop_conn(i, now),
            State::Greeting(_) => {}
            State::Up => {
                let stuck = |sent| now > sent + self.op_timeout;
                if self.actors[i].conn.as_ref().and_then(Conn::oldest).is_some_and(stuck) {
                    self.drop_conn(i, now);
                } else if sending {
                    self.send_next(i, now);
                }
            }
        }
    }

    fn ledger(&self) -> Ledger {
        let mut entries = Vec::new();
        for (i, actor) in self.actors.iter().enumerate() {
            let exact = |&n: &u64| Entry { path: self.node(i, n), value: n, limit: n };
            entries.extend(actor.created.iter().map(exact));
            if let Some(value) = actor.last_set {
                entries.push(Entry { path: self.own_node(i), value, limit: actor.next_number });
            }
        }
        Ledger { size: self.size, entries }
    }
}

pub fn run(args: &Args) -> Result<bool> {
    let mut common = Common::from(args)?;
    common.conns = args.get("conns", 16)?;
    common.window = args.get("window", 1)?;
    common.size = common.size.max(proto::DIGITS);
    let rate = args.get("rate", 1000.0)?;
    let op_timeout = args.get("op-timeout-ms", 10_000u64)?;
    let connect_timeout = args.get("connect-timeout-ms", 1000u64)?;
    let retry = args.get("retry-ms", 20u64)?;
    let kill_pid = args.get("kill-pid", 0i32)?;
    let kill_at = args.get("kill-at", 3.0)?;
    let recover_limit = args.get("recover-limit", 60.0)?;
    let ledger_path = args.opt("ledger").map(str::to_string);
    args.finish()?;

    let base = format!("{}/failover-{:x}", common.root, clock::now());
    let mut client =
        Client::open_any(&common.hosts, common.session_ms, Duration::from_millis(op_timeout))?;
    client.ensure_all(&base)?;
    let own = |i: usize| format!("{base}/{}", number_name(i as u64));
    client.ensure_many(common.conns, own, &numbered_data(0, common.size))?;
    client.close();

    let poll = Poll::new().map_err(|e| e.to_string())?;
    let start = clock::now();
    let interval = if rate > 0.0 { (common.conns as f64 / rate * SEC as f64) as u64 } else { 0 };
    let mut actors = Vec::new();
    for i in 0..common.conns {
        actors.push(Actor {
            state: State::Down(0),
            conn: None,
            host: i % common.hosts.len(),
            session: Session::default(),
            last_zxid: 0,
            next_number: 0,
            next_send: start + interval * i as u64 / common.conns as u64,
            created: Vec::new(),
            last_set: None,
            last_ack: 0,
            longest_gap: 0,
            first_after_kill: None,
        });
    }
    let mut f = Failover {
        poll,
        actors,
        hosts: common.hosts.clone(),
        base,
        size: common.size,
        window: common.window,
        interval,
        session_ms: common.session_ms,
        op_timeout: op_timeout * MS,
        connect_timeout: connect_timeout * MS,
        retry: retry * MS,
        killed_at: None,
        latency: histogram(),
        last_ack: 0,
        gaps: Vec::new(),
        kill_pause: None,
        acked: 0,
        unknown: 0,
        reconnects: 0,
        attempts: 0,
        expired: 0,
        errors: BTreeMap::new(),
    };

    let end = start + clock::secs(common.seconds);
    let kill_time = start + clock::secs(kill_at);
    let mut events = Events::with_capacity(1024);
    let mut scratch = conn::scratch();
    loop {
        let now = clock::now();
        if kill_pid != 0 && f.killed_at.is_none() && now >= kill_time {
            // SAFETY: plain kill(2) of the process (or, if negative, group) the caller named.
            let rc = unsafe { libc::kill(kill_pid, libc::SIGKILL) };
            if rc != 0 {
                return Err(format!("kill {kill_pid}: {}", std::io::Error::last_os_error()));
            }
            f.killed_at = Some(clock::now());
        }
        // After a kill, wait (within limits) until every client has written again.
        let waiting =
            f.killed_at.is_some() && f.actors.iter().any(|a| a.first_after_kill.is_none());
        let sending = now < end || (waiting && now < end + clock::secs(recover_limit));
        let in_flight = f.actors.iter().flat_map(|a| &a.conn).any(|conn| !conn.pending.is_empty());
        if !sending && !in_flight {
            break;
        }
        for i in 0..f.actors.len() {
            f.tend(i, now, sending);
        }
        f.poll.poll(&mut events, Some(Duration::from_millis(1))).or_else(ignore_interrupt)?;
        let now = clock::now();
        for event in &events {
            f.ready(event.token().0, event.into(), now, &mut scratch);
        }
    }

    let ledger = f.ledger();
    if let Some(path) = &ledger_path {
        fs::write(path, ledger.to_text()).map_err(|e| format!("{path}: {e}"))?;
    }
    let seconds = (clock::now() - start) as f64 / 1e9;
    let check = Common { conns: 4, op_timeout_ms: 30_000, ..common.clone() };
    let (lost, verified) = store::verify_ledger(&check, ledger)?;

    let ms = |ns: u64| ns as f64 / 1e6;
    let since = |t: u64| (t.saturating_sub(start)) as f64 / 1e9;
    let mut out = Obj::new();
    out.text("workload", "failover").put("conns", common.conns).float("seconds", seconds, 3);
    out.put("ops", f.acked).float("ops_per_s", f.acked as f64 / seconds, 1);
    out.obj("lat_us", &report::latency(&f.latency));
    let longest = f.gaps.iter().copied().max_by_key(|(from, to)| to - from);
    out.float("longest_gap_ms", longest.map_or(0.0, |(from, to)| ms(to - from)), 1);
    out.list(
        "gaps_s_ms",
        f.gaps.iter().map(|&(from, to)| format!("[{:.3},{:.1}]", since(from), ms(to - from))),
    );
    let mut own: Vec<u64> = f.actors.iter().map(|a| a.longest_gap).collect();
    own.sort_unstable();
    out.float("client_gap_p50_ms", ms(own[own.len() / 2]), 1);
    out.float("client_gap_max_ms", ms(own[own.len() - 1]), 1);
    let mut recovered = true;
    if let Some(killed) = f.killed_at {
        let mut firsts: Vec<u64> = f.actors.iter().filter_map(|a| a.first_after_kill).collect();
        firsts.sort_unstable();
        recovered = firsts.len() == f.actors.len();
        // Writes sent after the kill may still be acknowledged by a quorum that has
        // not noticed yet: recovery is the end of the longest pause since.
        out.float("killed_at_s", since(killed), 3);
        out.float("recovery_ms", f.kill_pause.map_or(f64::NAN, |(_, to)| ms(to - killed)), 1);
        out.float("all_clients_ms", firsts.last().map_or(f64::NAN, |&t| ms(t - killed)), 1);
        out.put("clients_recovered", firsts.len());
    }
    out.put("unknown", f.unknown).put("reconnects", f.reconnects).put("attempts", f.attempts);
    out.put("expired_sessions", f.expired);
    let mut codes = Obj::new();
    for (code, n) in &f.errors {
        codes.put(&code.to_string(), n);
    }
    out.put("errors", f.errors.values().sum::<u64>()).obj("error_codes", &codes);
    out.put("lost", lost).obj("verified", &verified);
    println!("{out}");
    let up = f.actors.into_iter().filter(|a| a.state == State::Up);
    let mut open: Vec<Conn> = up.filter_map(|a| a.conn).collect();
    conn::close_sessions(&mut open, 5_000);
    Ok(lost == 0 && recovered && f.errors.is_empty())
}
