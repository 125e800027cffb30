//! A crowd: clients that work on an ensemble while something happens to it, and what is asked of them
//! afterwards.
//!
//! ```text
//!  clients' histories ─┐
//!                      ├─▶ the simulator's checkers
//!  the servers' logs ──┘
//! ```
//!
//! When all servers agree in the end, what stands in their logs is what was committed: a server that
//! had something else was cut back. So every acknowledged write must be found there, every read must
//! show what the transactions up to its zxid make, every watch must have fired for the first change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zkserver::jute::Reader;
use zkserver::persistence::RealDisk;
use zkserver::persistence::txn_log::LogReader;
use zkserver::proto::op_code::OpCode;
use zkserver::proto::txns::TxnHeader;
use zkserver::proto::{Epoch, SessionId, Sid, Zxid};

use crate::checkers::{CHECKERS, Run};
use crate::client::{Client, Line};
use crate::cluster::{Ensemble, PATIENCE};
use crate::history::{ClientEvent, Event, History, Micros, OpId, Request, Response, ServerEvent};
use crate::random::Random;
use crate::stage::{Agenda, Stage};
use crate::workload::{Paths, Workload};

/// The checkers that believe clients alone.
const OF_CLIENTS: [&str; 4] =
    ["linearizability", "real_time_order", "fifo_per_session", "reads_never_go_back"];
/// Those that ask for the committed transactions as well.
const OF_TRANSACTIONS: [&str; 4] =
    ["prefix_consistency", "replies_match_tree", "watch_delivery", "ephemeral_lifetime"];
/// Sessions live through what the faults take, or not: both are wanted.
const TIMEOUTS_MS: [i32; 3] = [2_000, 6_000, 20_000];

/// Clients at work.
pub struct Crowd {
    stage: Stage,
    lines: Vec<Arc<Line>>,
    threads: Vec<JoinHandle<()>>,
    /// How much faster than time the fastest clock of a member has gone, if the clocks of members
    /// were not left alone.
    fastest: Option<f64>,
}

/// What a crowd has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Operations that were answered.
    pub operations: u64,
    /// Transactions in the logs.
    pub transactions: u64,
    /// The longest that a client waited for its next answer.
    pub longest_stall: Duration,
    /// Sessions that ended because nobody heard of them.
    pub expired: u64,
    /// Operations of which nobody knows whether they were carried out.
    pub lost: u64,
}

impl Crowd {
    /// So many clients of all members.
    pub fn start(ensemble: &Ensemble, clients: usize, seed: u64) -> Self {
        let servers: Vec<_> = ensemble.members.values().map(|member| member.address()).collect();
        let mut random = Random::new(seed);
        let stage = Stage::new();
        let paths = Paths::new(0);
        let mut crowd = Crowd { stage, lines: Vec::new(), threads: Vec::new(), fastest: None };
        for index in 0..clients {
            let line = Arc::new(Line::default());
            let work = Workload::new(index, paths.clone(), &mut random);
            let timeout_ms = TIMEOUTS_MS[index % TIMEOUTS_MS.len()];
            let (servers, stage) = (servers.clone(), crowd.stage.clone());
            let client =
                Client::new(index, servers, timeout_ms, work, random.fork(), stage, line.clone());
            crowd.lines.push(line);
            crowd.threads.push(std::thread::spawn(move || client.run()));
        }
        crowd
    }

    /// Something happens to the ensemble.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.stage.fault(what.into());
    }

    /// Members' clocks jump, or go so much faster than time: what transactions bear does not tell when
    /// they were, and a leader's patience with a session may be shorter by as much.
    pub fn clocks_lie(&mut self, pace: f64) {
        self.fastest = Some(self.fastest.unwrap_or(1.0).max(pace));
    }

    /// Waits until every client has had so many more answers.
    #[track_caller]
    pub fn goes_on(&self, answers: u64) {
        let before: Vec<u64> = self.lines.iter().map(|line| completed(line)).collect();
        self.until("every client goes on", || {
            self.lines.iter().zip(&before).all(|(line, before)| completed(line) >= before + answers)
        });
    }

    /// Waits until any client has had so many more answers.
    #[track_caller]
    pub fn somebody_goes_on(&self, answers: u64) {
        let sum = || self.lines.iter().map(|line| completed(line)).sum::<u64>();
        let before = sum();
        self.until("somebody goes on", || sum() >= before + answers);
    }

    /// How long the longest wait for an answer was since this was asked last.
    pub fn longest_stall(&self) -> Duration {
        let longest = self.lines.iter().map(|line| line.longest_stall.swap(0, Ordering::Relaxed));
        Duration::from_micros(longest.max().unwrap_or(0))
    }

    #[track_caller]
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            for thread in &self.threads {
                assert!(!thread.is_finished(), "a client has panicked; {what}");
            }
            assert!(Instant::now() < deadline, "gave up waiting: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends the clients home, compares the servers' trees, stops the servers and judges everything.
    #[track_caller]
    pub fn judge(self, ensemble: &mut Ensemble) -> Figures {
        let longest_stall = self.longest_stall();
        for line in &self.lines {
            line.resting.store(true, Ordering::Relaxed);
        }
        self.until("every answer has come", || {
            self.lines.iter().all(|line| !line.waits.load(Ordering::Relaxed))
        });
        for line in &self.lines {
            line.over.store(true, Ordering::Relaxed);
        }
        for thread in self.threads {
            thread.join().expect("no client has panicked");
        }
        ensemble.compare();
        ensemble.members.values_mut().for_each(|member| member.kill());
        let mut clients = self.stage.take();
        // Apache ZooKeeper keeps logs of what it was cut back from by a snapshot: they tell nothing.
        let is_pure = !ensemble.has_strangers();
        let txns = if is_pure { committed(ensemble) } else { BTreeMap::new() };
        without_foreign_syncs(&mut clients, ensemble);
        let figures = Figures {
            operations: self.lines.iter().map(|line| completed(line)).sum(),
            transactions: txns.len() as u64,
            longest_stall,
            expired: count(&clients, |event| matches!(event, ClientEvent::Expired { .. })),
            lost: count(&clients, |event| matches!(event, ClientEvent::Lost { .. })),
        };
        let mut found = sessions_ended_early(&clients, &txns, &self.stage.agenda, self.fastest);
        let history = whole(clients, &txns, ensemble.members.len());
        let run = Run::new(&history);
        let of_transactions = OF_TRANSACTIONS.iter().filter(|_| is_pure);
        for name in OF_CLIENTS.iter().chain(of_transactions) {
            let (_, checker) =
                CHECKERS.iter().find(|(known, _)| known == name).expect("a checker of that name");
            if let Err(violation) = checker(&run) {
                found.push(violation.to_string());
            }
        }
        if !found.is_empty() {
            let path =
                std::env::temp_dir().join(format!("fault-history-{}.txt", std::process::id()));
            let line =
                |(at, event): &(Micros, Event)| format!("{:.6} {event:?}\n", *at as f64 / 1e6);
            let _ = std::fs::write(&path, history.events.iter().map(line).collect::<String>());
            found.push(format!("the whole history stands in {}", path.display()));
        }
        assert!(found.is_empty(), "{}\n{}", found.join("\n"), ensemble.report());
        figures
    }
}

fn completed(line: &Line) -> u64 {
    line.completed.load(Ordering::Relaxed)
}

fn count(history: &History, is_one: fn(&ClientEvent) -> bool) -> u64 {
    let of_clients = history.events.iter().filter_map(|(_, event)| match event {
        Event::Client(_, event) => Some(event),
        _ => None,
    });
    of_clients.filter(|event| is_one(event)).count() as u64
}

/// Apache's leader answers a sync of its own client before it has applied what a follower's client was
/// told already: its syncs count as pings.
fn without_foreign_syncs(clients: &mut History, ensemble: &Ensemble) {
    for (_, event) in &mut clients.events {
        if let Event::Client(_, ClientEvent::Invoked { server, request, .. }) = event
            && matches!(request, Request::Sync { .. })
            && ensemble.members[&server.0].stranger.is_some()
        {
            *request = Request::Ping;
        }
    }
}

/// What stands in the logs of servers that have stopped, and agree.
///
/// # Panics
/// If two logs tell another transaction at one place, or one is missing in all.
fn committed(ensemble: &Ensemble) -> BTreeMap<Zxid, Bytes> {
    let mut txns: BTreeMap<Zxid, Bytes> = BTreeMap::new();
    for member in ensemble.members.values() {
        for path in member.files("log") {
            let mut log = LogReader::open(&RealDisk, &path, 4 << 20)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                .as_live_log();
            while let Some(record) =
                log.next().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            {
                let txn = Bytes::copy_from_slice(record.txn);
                let known = txns.entry(record.zxid).or_insert_with(|| txn.clone());
                assert!(
                    *known == txn,
                    "server {} logs another {} than others",
                    member.id,
                    record.zxid
                );
            }
        }
    }
    for (before, behind) in txns.keys().zip(txns.keys().skip(1)) {
        let follows = *behind == before.next() || behind.0 == behind.epoch().start().0 + 1;
        assert!(follows, "between {before} and {behind} a transaction is missing in every log");
    }
    txns
}

/// The clients' history with the committed transactions in front of it, as if one server had logged
/// them before the run: nothing is asked of when.
fn whole(clients: History, txns: &BTreeMap<Zxid, Bytes>, servers: usize) -> History {
    let mut history =
        History { voters: (1..=servers as i64).map(Sid).collect(), ..History::default() };
    let server = |event| Event::Server(Sid(1), event);
    let (accepted, current) = (Epoch(0), Epoch(0));
    let started = ServerEvent::Started {
        last_zxid: Zxid::ZERO,
        digest: 0,
        accepted,
        current,
        may_vote: true,
    };
    history.push(0, server(started));
    for (zxid, bytes) in txns {
        let (zxid, txn) = (*zxid, history.txn(bytes));
        for event in [
            ServerEvent::Proposed { zxid, txn },
            ServerEvent::LogRequested { zxid, txn },
            ServerEvent::Logged { zxid, txn },
            ServerEvent::Committed { zxid, txn },
        ] {
            history.push(0, server(event));
        }
    }
    history.events.extend(clients.events);
    history
}

/// Sessions that were ended, not by their client, before their timeout was over since their last
/// write began: of writes the leader knows. A change of leaders gives more time, never less.
///
/// A transaction bears the time of its leader's clock. Where that may lie the session has ended at
/// the latest when any client saw that transaction or a later one; and a clock that was the `fastest`
/// so many times faster than time saw the timeout pass as much sooner.
fn sessions_ended_early(
    clients: &History,
    txns: &BTreeMap<Zxid, Bytes>,
    agenda: &Agenda,
    fastest: Option<f64>,
) -> Vec<String> {
    let mut timeouts: BTreeMap<SessionId, u32> = BTreeMap::new();
    let mut closing: BTreeSet<SessionId> = BTreeSet::new();
    let mut asked: BTreeMap<OpId, (SessionId, Micros)> = BTreeMap::new();
    let mut heard: BTreeMap<SessionId, Micros> = BTreeMap::new();
    let mut seen: BTreeMap<Zxid, Micros> = BTreeMap::new();
    for (at, event) in &clients.events {
        let Event::Client(_, event) = event else { continue };
        match event {
            ClientEvent::Connected { session, timeout_ms, .. } => {
                timeouts.insert(*session, *timeout_ms);
            }
            ClientEvent::Invoked { session, request: Request::CloseSession, .. } => {
                closing.insert(*session);
            }
            ClientEvent::Invoked { op, session, request, .. } if is_write(request) => {
                asked.insert(*op, (*session, *at));
            }
            ClientEvent::Returned { op, zxid, result } => {
                seen.entry(*zxid).or_insert(*at);
                if let Some((session, at)) = asked.remove(op)
                    && matches!(result, Ok(Response::Created { .. } | Response::Stat(_)))
                {
                    heard.insert(session, at);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (zxid, bytes) in txns {
        let header = TxnHeader::read(&mut Reader::unlimited(bytes)).expect("a transaction");
        let session = header.client_id;
        if header.txn_type != OpCode::CloseSession.to_int() || closing.contains(&session) {
            continue;
        }
        let (Some(timeout), Some(heard)) = (timeouts.get(&session), heard.get(&session)) else {
            continue;
        };
        let patience = f64::from(*timeout) / fastest.unwrap_or(1.0);
        let ends = agenda.wall_ms(*heard) + patience as i64;
        let ended = match fastest {
            None => Some(header.time),
            Some(_) => seen.range(zxid..).map(|(_, at)| agenda.wall_ms(*at)).min(),
        };
        if let Some(ended) = ended.filter(|ended| *ended < ends) {
            found.push(format!(
                "session {session} of {timeout} ms is ended by {zxid} {} ms before its time",
                ends - ended
            ));
        }
    }
    found
}

fn is_write(request: &Request) -> bool {
    matches!(request, Request::Create { .. } | Request::SetData { .. })
}
