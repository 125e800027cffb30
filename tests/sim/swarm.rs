//! The swarm: many seeds, each a run in two acts, each run judged.
//!
//! ```text
//! 0 s ─────────── chaos ─────────── 60 s ───────── peace ─────── 87 s ── rest ── 90 s
//!      faults, as the seed has them       all faults are over          clients ask nothing
//! ```
//!
//! After peace began a leader must emerge in bounded time; before rest every client must have been
//! served; at the end all servers must have the same tree. The checkers judge the whole.

#![allow(clippy::disallowed_methods, reason = "how long a run took is real time")]

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use zkserver::status::MemberStatus;

use crate::checkers;
use crate::ensemble::Ensemble;
use crate::faults::Kind;
use crate::history::{Event, History, Micros, ServerEvent, Violation};
use crate::peer::Peer;
use crate::random::Random;
use crate::trace::Keep;
use crate::world::{Plan, Upgrades, World};

const SECOND: Micros = 1_000_000;

/// How long peace may last before a leader serves.
const MOST_TO_A_LEADER: Micros = 12 * SECOND;
/// Clients ask nothing for so long before the end.
const REST: Micros = 3 * SECOND;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The test that has run it.
    pub test: &'static str,
    /// The ensemble, in words.
    pub ensemble: String,
    /// What was wrong.
    pub violations: Vec<Violation>,
    /// Hash of its trace.
    pub hash: u64,
    /// Its trace, if that was kept.
    pub trace: String,
    /// What it met.
    pub figures: Figures,
}

/// What a run met.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    /// Servers that have a vote when the run begins.
    pub voters: usize,
    /// Virtual time, in microseconds.
    pub virtual_time: Micros,
    /// Operations that clients had answered.
    pub operations: u64,
    /// Faults.
    pub faults: u64,
    /// Leaderships that were established.
    pub leaders: u64,
    /// From the beginning of peace to a leader that serves.
    pub to_a_leader: Micros,
    /// Real time, in microseconds; the checkers' as well.
    pub real: u64,
    /// Of it the checkers'.
    pub checking: u64,
}

/// The plan of a seed in the swarm.
pub fn plan(seed: u64, keep: Keep) -> Plan {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9));
    let ensemble = Ensemble::draw(&mut random);
    Plan {
        test: "the_swarm_finds_nothing",
        seed,
        clients: random.pick(&[2, 3, 3, 3, 4, 5]),
        reconfigs: ensemble.size() > 2 && !ensemble.is_in_groups() && random.permille(300),
        local_sessions: random.pick(&[
            None,
            None,
            None,
            None,
            Some(Upgrades(true)),
            Some(Upgrades(false)),
        ]),
        ensemble,
        chaos: 60 * SECOND,
        peace: 30 * SECOND,
        faults: true,
        latency: random.pick(&[100, 300, 1_000, 3_000, 10_000]),
        keep,
    }
}

/// The plan for figures: three servers, three clients.
pub fn plain_plan(seed: u64, keep: Keep) -> Plan {
    let ensemble = Ensemble::members(3, 0, 0);
    let test = "three_servers_and_three_clients";
    Plan { test, ensemble, clients: 3, reconfigs: false, local_sessions: None, ..plan(seed, keep) }
}

/// The plan for a server that is alone.
pub fn alone_plan(seed: u64, keep: Keep) -> Plan {
    let (test, ensemble) = ("a_server_that_is_alone", Ensemble::alone());
    Plan { test, ensemble, clients: 3, reconfigs: false, local_sessions: None, ..plan(seed, keep) }
}

/// Runs a plan and judges it. A panic of the code under test is a violation as well.
pub fn run(plan: Plan) -> Outcome {
    let began = Instant::now();
    let (test, seed, ensemble) = (plan.test, plan.seed, plan.ensemble.to_string());
    let voters = plan.ensemble.voters().len();
    let mut world = World::new(plan);
    let ended = catch_unwind(AssertUnwindSafe(|| both_acts(&mut world)));
    let mut violations = std::mem::take(&mut world.stage.violations);
    let mut figures = Figures::default();
    match ended {
        Ok(met) => figures = met,
        Err(panic) => {
            let what = match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(panic) => {
                    panic.downcast::<&str>().map_or("a panic".into(), |text| (*text).into())
                }
            };
            let at = world.stage.agenda.now();
            violations.push(Violation { property: "no_panic", at, what });
        }
    }
    let history = std::mem::take(&mut world.stage.history);
    let checking = Instant::now();
    violations.extend(checkers::check(&history));
    figures.checking = checking.elapsed().as_micros() as u64;
    // Only what rots may be refused; whoever lost its power finds what it needs.
    let rotten = world.faults.happened.contains(&Kind::Rot);
    for peer in world.peers.iter().filter(|peer| peer.has_refused() && !rotten) {
        let what = format!("{} does not start with a disk that works", peer.sid());
        let at = world.stage.agenda.now();
        violations.push(Violation { property: "no_refusal", at, what });
    }
    figures.voters = voters;
    figures.virtual_time = world.stage.agenda.now();
    figures.operations = world.clients.iter().map(|client| client.completed).sum();
    figures.faults = world.faults.happened.len() as u64;
    figures.leaders = leaders(&history);
    figures.real = began.elapsed().as_micros() as u64;
    let trace = world.stage.trace.lines().to_owned();
    Outcome { test, seed, ensemble, violations, hash: world.stage.trace.hash(), trace, figures }
}

fn leaders(history: &History) -> u64 {
    let is_one = |event: &Event| matches!(event, Event::Server(_, ServerEvent::Established(_)));
    history.events.iter().filter(|(_, event)| is_one(event)).count() as u64
}

fn both_acts(world: &mut World) -> Figures {
    let (chaos, end) = (world.plan.chaos, world.plan.chaos + world.plan.peace);
    let mut figures = Figures::default();
    world.begin();
    world.run_until(chaos);
    world.make_peace();
    // A leader that there is when peace begins may still lose its ground; one that is there later
    // in peace may not.
    let mut at = chaos;
    while world.leader().is_none() && at < chaos + MOST_TO_A_LEADER {
        at += SECOND / 10;
        world.run_until(at);
    }
    figures.to_a_leader = at - chaos;
    if world.leader().is_none() {
        let what = format!("no leader serves {} s after peace began", (at - chaos) / SECOND);
        world.stage.violation("leader_emerges", what);
    }
    world.run_until(end - REST - 10 * SECOND);
    let served: Vec<u64> = world.clients.iter().map(|client| client.completed).collect();
    world.run_until(end - REST);
    let hungry: Vec<usize> = (0..served.len())
        .filter(|client| world.clients[*client].completed == served[*client])
        .collect();
    for client in hungry {
        let what = format!("client {client} was not served in the last 10 s of peace");
        world.stage.violation("clients_served", what);
    }
    world.clients.iter_mut().for_each(|client| client.rest());
    world.run_until(end);
    converged(world);
    figures
}

/// All members have the same tree, or soon will: a client that rests may still ask for a session.
fn converged(world: &mut World) {
    let end = world.stage.agenda.now();
    let patience = 2 * SECOND;
    while let Some(what) = difference(world) {
        let now = world.stage.agenda.now();
        if now >= end + patience {
            world.stage.violation("convergence", what);
            return;
        }
        world.run_until(now + SECOND / 10);
    }
}

/// In what the members differ, in words.
fn difference(world: &World) -> Option<String> {
    let members = world.leader().map(|leader| world.peers[leader].members());
    let is_member = |peer: &&Peer| members.as_ref().is_none_or(|all| all.contains(&peer.sid()));
    // Who was sent away is not told any more.
    let stayed = || world.peers.iter().filter(is_member);
    let states: Vec<_> = stayed().map(|peer| peer.tree_state()).collect();
    let up: Vec<_> = states.iter().flatten().collect();
    let refused = stayed().filter(|peer| peer.has_refused()).count();
    if up.len() + refused < states.len() {
        return Some(format!("a server is down at the end of peace: {states:?}"));
    }
    if up.iter().any(|state| *state != up[0]) {
        return Some(format!("the servers differ at the end of peace: {states:?}"));
    }
    let roles: Vec<_> = stayed().filter_map(|peer| peer.role()).collect();
    let agree = roles.is_empty() || roles.iter().any(|leader| is_led(leader, &roles));
    (!agree).then(|| format!("the servers tell of different roles at the end of peace: {roles:?}"))
}

/// Whether all tell the same: that this one leads them, and has them in its list.
fn is_led(leader: &MemberStatus, members: &[Arc<MemberStatus>]) -> bool {
    let mut others = members.iter().filter(|member| member.sid != leader.sid);
    leader.leads()
        && leader.is_running()
        && others.all(|other| {
            let listed = leader.learners.iter().any(|learner| {
                learner.is_synced
                    && learner.peer.is_some_and(|(sid, _)| sid == other.sid)
                    && learner.peer_state() == other.peer_state()
            });
            listed && other.is_running() && other.leader == Some(leader.sid)
        })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({}):", self.seed, self.ensemble)?;
        for violation in self.violations.iter().take(5) {
            writeln!(f, "  {violation}")?;
        }
        if self.violations.len() > 5 {
            writeln!(f, "  and {} more", self.violations.len() - 5)?;
        }
        let (test, seed) = (self.test, self.seed);
        write!(f, "  again: ZK_SIM_SEED={seed} cargo test --test sim {test} -- --nocapture")
    }
}

/// What many runs met.
#[derive(Debug, Default)]
pub struct Summary {
    /// All outcomes' figures.
    pub figures: Vec<Figures>,
    /// Those that violated something.
    pub failed: Vec<Outcome>,
}

/// Runs the seeds on all cores; `tell` hears of each outcome, in no particular order.
pub fn run_many(
    seeds: std::ops::Range<u64>,
    plan: impl Fn(u64) -> Plan + Sync,
    most_failures: usize,
    tell: impl Fn(&Outcome) + Sync,
) -> Summary {
    quiet_panics();
    let next = AtomicU64::new(seeds.start);
    let bar = Bar::new(seeds.end.saturating_sub(seeds.start));
    let enough = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(plan(seed));
            bar.clear();
            tell(&outcome);
            bar.step();
            let mut summary = summary.lock().expect("no run panics here");
            summary.figures.push(outcome.figures);
            if !outcome.violations.is_empty() {
                summary.failed.push(outcome);
                enough.store(summary.failed.len() >= most_failures, Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    bar.clear();
    summary.into_inner().expect("no run panics here")
}

/// How far a long run is, on a terminal.
struct Bar {
    began: Instant,
    total: u64,
    done: AtomicU64,
    shown: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Bar {
    fn new(total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (done, shown) = (AtomicU64::new(0), Mutex::new(None));
        Bar { began: Instant::now(), total, done, shown, terminal }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let mut shown = self.shown.lock().expect("nobody panics here");
        if !self.terminal || shown.is_some_and(|at| at.elapsed() < Duration::from_millis(200)) {
            return;
        }
        *shown = Some(Instant::now());
        let left = self.began.elapsed().as_secs_f64() / done as f64 * (self.total - done) as f64;
        let full = (40 * done / self.total.max(1)) as usize;
        let line = format!("[{:=<full$}{:>rest$}", "", "", rest = 40 - full);
        let _ =
            write!(std::io::stderr(), "\r{line}] {done} of {} runs, {left:.0} s left ", self.total);
    }

    fn clear(&self) {
        let shown = self.shown.lock().expect("nobody panics here");
        if self.terminal && shown.is_some() {
            let _ = write!(std::io::stderr(), "\r{:80}\r", "");
        }
    }
}

/// A panic is told with its seed, not when it happens.
fn quiet_panics() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let by_us = std::thread::current().name().is_some_and(|name| name.contains("::"));
            if by_us || std::env::var_os("ZK_SIM_SEED").is_some() {
                before(info);
            }
        }));
    });
}

impl Summary {
    /// Whether the usual run serves many operations, meets faults, and changes its leader.
    pub fn is_eventful(&self) -> bool {
        let median = |of: fn(&Figures) -> u64| {
            let mut values: Vec<u64> = self.figures.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        median(|run| run.operations) >= 2_000
            && median(|run| run.faults) >= 8
            && median(|run| run.leaders) >= 3
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.figures.len();
        if runs == 0 {
            return f.write_str("nothing was run");
        }
        let median = |of: &dyn Fn(&Figures) -> u64| {
            let mut values: Vec<u64> = self.figures.iter().map(of).collect();
            values.sort_unstable();
            values[runs / 2]
        };
        let total: u64 = self.figures.iter().map(|figures| figures.operations).sum();
        let minutes = |many: bool| {
            let of = self.figures.iter().filter(|run| run.voters >= 5 || !many);
            of.map(|run| run.virtual_time).sum::<Micros>() / (60 * SECOND)
        };
        write!(
            f,
            "{runs} runs, {} failed; median of a run: {} operations, {} faults, {} leaders, a leader \
             {:.1} s into peace, {:.1} ms of real time ({:.1} ms of it checking); {total} operations in {} \
             ensemble-minutes, {} of them with five or seven voters",
            self.failed.len(),
            median(&|run| run.operations),
            median(&|run| run.faults),
            median(&|run| run.leaders),
            median(&|run| run.to_a_leader) as f64 / 1e6,
            median(&|run| run.real) as f64 / 1e3,
            median(&|run| run.checking) as f64 / 1e3,
            minutes(false),
            minutes(true),
        )
    }
}
