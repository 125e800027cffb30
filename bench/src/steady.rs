//! The pipelined runner behind most workloads: every connection keeps up to
//! `window` requests in flight, either as fast as replies come (closed loop)
//! or, with a rate, on a fixed schedule whose latencies count from the time a
//! request was due.

use crate::args::Common;
use crate::clock::{self, MS, SEC};
use crate::conn::{self, Conn, Pending, Ready};
use crate::proto;
use crate::report::{Class, Totals};
use crate::stats::Sample;
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Barrier, OnceLock};
use std::time::Duration;

/// What to send and how to take the replies. One instance per thread.
pub trait Load: Send {
    /// Appends connection `conn`'s next request and returns a tag for its reply;
    /// `None` when there is nothing to send (now, or any more).
    fn next(&mut self, conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32>;

    /// Takes the reply to the request tagged `tag`; `false` if it is not as it should be.
    fn reply(&mut self, _conn: usize, _tag: u32, err: i32, _body: &[u8]) -> bool {
        err == proto::err::OK
    }

    fn class(&self, tag: u32) -> Class;

    /// Requests that must carry a special xid say so.
    fn fixed_xid(&self) -> Option<i32> {
        None
    }

    /// Whether `next` will never again have anything to send.
    fn exhausted(&self) -> bool {
        false
    }
}

pub struct Outcome {
    pub totals: Totals,
    pub begin: Sample,
    pub end: Sample,
}

impl Outcome {
    pub fn seconds(&self) -> f64 {
        (self.end.at - self.begin.at) as f64 / 1e9
    }
}

#[derive(Clone, Copy)]
struct Schedule {
    start: u64,
    measure: u64,
    end: u64,
}

/// Runs one load per thread. With `until_done`, the run lasts until the loads
/// are exhausted and all of it is measured.
pub fn run<L: Load>(
    common: &Common,
    loads: Vec<L>,
    until_done: bool,
) -> Result<(Outcome, Vec<L>), String> {
    let threads = loads.len();
    let per_thread = |t: usize| common.conns / threads + usize::from(t < common.conns % threads);
    let mut parts = Vec::new();
    for (t, load) in loads.into_iter().enumerate() {
        let conns = conn::open_sessions(
            &common.hosts,
            per_thread(t),
            common.session_ms,
            common.op_timeout_ms,
        )?;
        parts.push(Worker::new(common, conns, load, common.rate / threads as f64)?);
    }
    let ready = Barrier::new(threads + 1);
    let schedule = OnceLock::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = parts
            .into_iter()
            .map(|worker| {
                let (ready, schedule) = (&ready, &schedule);
                scope.spawn(move || {
                    ready.wait();
                    worker.run(*schedule.wait())
                })
            })
            .collect();
        ready.wait();
        let start = clock::now();
        let plan = if until_done {
            Schedule { start, measure: start, end: u64::MAX }
        } else {
            let measure = start + clock::secs(common.warmup);
            Schedule { start, measure, end: measure + clock::secs(common.seconds) }
        };
        let mut begin = Sample::take(&common.pids);
        let _ = schedule.set(plan);
        let mut end = None;
        if !until_done {
            clock::sleep_until(plan.measure);
            begin = Sample::take(&common.pids);
            clock::sleep_until(plan.end);
            end = Some(Sample::take(&common.pids));
        }
        let mut totals = Totals::default();
        let mut loads = Vec::new();
        let mut finished: Vec<_> = handles.into_iter().map(|h| h.join().expect("worker")).collect();
        let end = end.unwrap_or_else(|| Sample::take(&common.pids));
        for worker in &mut finished {
            worker.totals.txns += worker.conns.len() as u64; // every session was opened ...
            let mut open: Vec<Conn> = worker.conns.drain(..).flatten().collect();
            worker.totals.txns += conn::close_sessions(&mut open, 5_000); // ... and most are closed
        }
        for worker in finished {
            totals.add(worker.totals);
            loads.push(worker.load);
        }
        Ok((Outcome { totals, begin, end }, loads))
    })
}

struct Worker<L> {
    poll: Poll,
    conns: Vec<Option<Conn>>,
    load: L,
    window: usize,
    op_timeout: u64,
    pace: Option<Pace>,
    totals: Totals,
}

const TIMER: usize = usize::MAX;

/// A fixed schedule in ticks of a millisecond.
struct Pace {
    timer: OwnedFd,
    rate: f64,
    start: u64,
    last_tick: u64,
    issued: u64,
    /// Requests due and not yet sent: (due time, how many).
    due: VecDeque<(u64, u64)>,
    next_conn: usize,
}

impl Pace {
    fn new(rate: f64, poll: &Poll) -> std::io::Result<Self> {
        // SAFETY: makes a new descriptor that nobody else owns.
        let timer = unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let mut source = mio::unix::SourceFd(&timer.as_raw_fd());
        poll.registry().register(&mut source, Token(TIMER), mio::Interest::READABLE)?;
        Ok(Pace {
            timer,
            rate,
            start: 0,
            last_tick: 0,
            issued: 0,
            due: VecDeque::new(),
            next_conn: 0,
        })
    }

    fn arm(&mut self, start: u64) {
        (self.start, self.last_tick) = (start, start);
        let first = start + MS;
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: MS as i64 },
            it_value: libc::timespec {
                tv_sec: (first / SEC) as i64,
                tv_nsec: (first % SEC) as i64,
            },
        };
        // SAFETY: a valid timer descriptor and specification.
        unsafe {
            libc::timerfd_settime(
                self.timer.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &spec,
                std::ptr::null_mut(),
            )
        };
    }

    fn tick(&mut self, now: u64) {
        let mut expirations = [0u8; 8];
        // SAFETY: reads at most eight bytes into an eight-byte buffer.
        unsafe { libc::read(self.timer.as_raw_fd(), expirations.as_mut_ptr().cast(), 8) };
        while self.last_tick + MS <= now {
            self.last_tick += MS;
            let owed = ((self.last_tick - self.start) as f64 / SEC as f64 * self.rate) as u64;
            if owed > self.issued {
                self.due.push_back((self.last_tick, owed - self.issued));
                self.issued = owed;
            }
        }
    }

    fn take(&mut self) -> Option<u64> {
        let (due, left) = self.due.front_mut()?;
        let due = *due;
        *left -= 1;
        if *left == 0 {
            self.due.pop_front();
        }
        Some(due)
    }

    fn put_back(&mut self, due: u64) {
        self.due.push_front((due, 1));
    }
}

impl<L: Load> Worker<L> {
    fn new(common: &Common, conns: Vec<Conn>, load: L, rate: f64) -> Result<Self, String> {
        let setup = || -> std::io::Result<(Poll, Option<Pace>)> {
            let poll = Poll::new()?;
            for (i, conn) in conns.iter().enumerate() {
                conn.register(&poll, i)?;
            }
            let pace = if rate > 0.0 { Some(Pace::new(rate, &poll)?) } else { None };
            Ok((poll, pace))
        };
        let (poll, pace) = setup().map_err(|e| format!("epoll: {e}"))?;
        Ok(Worker {
            poll,
            conns: conns.into_iter().map(Some).collect(),
            load,
            window: common.window,
            op_timeout: common.op_timeout_ms * MS,
            pace,
            totals: Totals::default(),
        })
    }

    fn run(mut self, plan: Schedule) -> Self {
        let mut events = Events::with_capacity(1024);
        let mut scratch = conn::scratch();
        let mut now = clock::now();
        let mut next_check = now + 100 * MS;
        match &mut self.pace {
            Some(pace) => pace.arm(plan.start),
            None => (0..self.conns.len()).for_each(|i| self.top_up(i, now)),
        }
        while now < plan.end && !self.finished() {
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(20)));
            now = clock::now();
            for event in &events {
                let Token(i) = event.token();
                if i == TIMER {
                    self.pace.as_mut().expect("timer").tick(now);
                    continue;
                }
                self.ready(i, event.into(), now, &plan, &mut scratch);
                if self.pace.is_none() && now < plan.end {
                    self.top_up(i, now);
                }
            }
            if self.pace.is_some() && now < plan.end {
                self.send_due();
            }
            if now > next_check {
                next_check = now + 100 * MS;
                self.drop_stuck(now);
            }
        }
        self.drain(&plan, &mut events, &mut scratch);
        self.totals.measured.iter_mut().for_each(|r| r.flush());
        self
    }

    fn finished(&self) -> bool {
        let idle = |c: &Option<Conn>| c.as_ref().is_none_or(|c| c.pending.is_empty());
        self.conns.iter().all(Option::is_none)
            || (self.load.exhausted() && self.conns.iter().all(idle))
    }

    /// Takes the replies still owed, within the operation timeout.
    fn drain(&mut self, plan: &Schedule, events: &mut Events, scratch: &mut Vec<u8>) {
        let deadline = clock::now() + self.op_timeout;
        while self.conns.iter().flatten().any(|c| !c.pending.is_empty()) && clock::now() < deadline
        {
            let _ = self.poll.poll(events, Some(Duration::from_millis(20)));
            let now = clock::now();
            for event in events.iter().filter(|e| e.token() != Token(TIMER)) {
                self.ready(event.token().0, event.into(), now, plan, scratch);
            }
        }
        self.drop_stuck(deadline);
    }

    fn ready(&mut self, i: usize, ready: Ready, now: u64, plan: &Schedule, scratch: &mut Vec<u8>) {
        let Some(conn) = &mut self.conns[i] else { return };
        let mut alive = conn.flush().is_ok();
        if alive && ready.read {
            alive = self.receive(i, ready, now, plan, scratch);
        }
        if !alive {
            self.lose(i);
        }
    }

    /// Takes the replies that are there; `false` when the connection is of no more use.
    fn receive(
        &mut self,
        i: usize,
        ready: Ready,
        now: u64,
        plan: &Schedule,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let Worker { conns, load, totals, .. } = self;
        let Some(conn) = &mut conns[i] else { return true };
        let Ok(received) = conn.receive(ready, scratch) else { return false };
        let measured = now >= plan.measure && now < plan.end;
        let mut rest = &scratch[..received.length];
        while let Some((payload, used)) = proto::split_frame(rest) {
            rest = &rest[used..];
            let Some(reply) = proto::parse_reply(payload) else { return false };
            if reply.xid == proto::XID_NOTIFICATION {
                continue;
            }
            let Some(asked) = conn.pending.pop_front() else { return false };
            if asked.xid != reply.xid {
                totals.bad_replies += 1;
                return false;
            }
            totals.received_bytes += used as u64;
            totals.last_zxid = totals.last_zxid.max(reply.zxid);
            let class = load.class(asked.tag);
            totals.txns += matches!(class, Class::Write) as u64;
            if load.reply(i, asked.tag, reply.err, reply.body) {
                totals.done += 1;
                if measured {
                    totals.measured[class as usize].record(now.saturating_sub(asked.sent));
                }
            } else if reply.err != proto::err::OK {
                *totals.errors.entry(reply.err).or_default() += 1;
            } else {
                totals.bad_replies += 1;
            }
        }
        conn.keep(rest);
        !received.eof
    }

    fn lose(&mut self, i: usize) {
        if let Some(conn) = self.conns[i].take() {
            conn.deregister(&self.poll);
            self.totals.lost_conns += 1;
        }
    }

    fn drop_stuck(&mut self, now: u64) {
        for i in 0..self.conns.len() {
            let oldest = self.conns[i].as_ref().and_then(Conn::oldest);
            if oldest.is_some_and(|sent| now > sent + self.op_timeout) {
                self.lose(i);
            }
        }
    }

    /// Fills connection `i`'s window.
    fn top_up(&mut self, i: usize, now: u64) {
        let Some(conn) = &mut self.conns[i] else { return };
        while conn.pending.len() < self.window && send(conn, i, &mut self.load, now) {}
        if conn.flush().is_err() {
            self.lose(i);
        }
    }

    /// Hands the requests that are due to connections with room, in turn.
    fn send_due(&mut self) {
        let pace = self.pace.as_mut().expect("paced");
        let count = self.conns.len();
        let mut full = 0;
        while full < count {
            let Some(due) = pace.take() else { break };
            let i = pace.next_conn;
            pace.next_conn = (i + 1) % count;
            let sent = match &mut self.conns[i] {
                Some(conn) if conn.pending.len() < self.window => {
                    send(conn, i, &mut self.load, due)
                }
                _ => false,
            };
            if sent {
                full = 0;
            } else {
                full += 1;
                pace.put_back(due);
            }
        }
        for i in 0..count {
            if self.conns[i].as_mut().is_some_and(|conn| conn.flush().is_err()) {
                self.lose(i);
            }
        }
    }
}

fn send<L: Load>(conn: &mut Conn, i: usize, load: &mut L, sent: u64) -> bool {
    let xid = load.fixed_xid().unwrap_or_else(|| conn.next_xid());
    match load.next(i, xid, &mut conn.out) {
        Some(tag) => {
            conn.pending.push_back(Pending { sent, xid, tag });
            true
        }
        None => false,
    }
}
