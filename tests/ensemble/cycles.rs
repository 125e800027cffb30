//! Random faults, one after the other, with clients whose histories are judged at the end of each slice.
//!
//! A cycle is one fault, from a seed: it begins, the service goes on or stops as it must, the fault
//! ends, all members serve again and every client is answered again. A slice is ten cycles on one
//! ensemble, and the judgement. Slices stand in a ledger, so that a long run can be cut into pieces:
//! what is in the ledger is not run again.
//!
//! ```text
//! ZK_FAULT_CYCLES=300 cargo test --release --test ensemble random_faults -- --nocapture
//! ZK_FAULT_LEDGER=path   where the slices stand (target/fault-cycles.txt)
//! ZK_FAULT_STRANGERS=…   every second member by this command line (tests/README.md), such as
//!                        Apache ZooKeeper
//! ZK_FAULT_SEED=17       only the slice of that seed, whatever the ledger says
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cluster::{Ensemble, SYNC_LIMIT_TICKS, TICK};
use crate::crowd::Crowd;
use crate::damage::{self, Damage};
use crate::doors::{self, Order};
use crate::random::Random;
use crate::roads::Id;

/// Cycles of one slice.
const SLICE: u64 = 10;
/// Clients of one slice.
const CLIENTS: usize = 5;

/// What goes wrong in a cycle.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillLeader,
    KillFollower,
    KillMajority,
    KillAll,
    StopShortly(bool),
    StopLong(bool),
    Alone(bool),
    Minority,
    OneWay,
    Bridge,
    Cut,
    Damaged(Damage),
    Backup,
    SlowDisk(bool),
    FullDisk(bool),
    SyncFails(bool),
    ClockJumps(bool),
    ClockPace(bool),
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        // The last are those of the doors.
        match random.below(if doors::exist() { 25 } else { 17 }) {
            0 | 1 => Fault::KillLeader,
            2 => Fault::KillFollower,
            3 => Fault::KillMajority,
            4 => Fault::KillAll,
            5 => Fault::StopShortly(random.coin()),
            6 | 7 => Fault::StopLong(random.coin()),
            8 => Fault::Alone(random.coin()),
            9 => Fault::Minority,
            10 => Fault::OneWay,
            11 => Fault::Bridge,
            12 => Fault::Cut,
            13..16 => Fault::Damaged(random.pick(&damage::ALL)),
            16 => Fault::Backup,
            17 | 18 => Fault::SlowDisk(random.coin()),
            19 | 20 => Fault::FullDisk(random.coin()),
            21 => Fault::SyncFails(random.coin()),
            22 | 23 => Fault::ClockJumps(random.coin()),
            _ => Fault::ClockPace(random.coin()),
        }
    }

    fn name(self) -> String {
        match self {
            Fault::KillLeader => "leader killed".into(),
            Fault::KillFollower => "follower killed".into(),
            Fault::KillMajority => "majority killed".into(),
            Fault::KillAll => "all killed".into(),
            Fault::StopShortly(leader) => {
                format!("{} stopped for less than syncLimit", who(leader))
            }
            Fault::StopLong(leader) => format!("{} stopped for more than syncLimit", who(leader)),
            Fault::Alone(leader) => format!("{} cut off", who(leader)),
            Fault::Minority => "leader with a minority".into(),
            Fault::OneWay => "one direction silent".into(),
            Fault::Bridge => "bridge".into(),
            Fault::Cut => "connections refused".into(),
            Fault::Damaged(Damage::AllDeleted) => "data deleted".into(),
            Fault::Damaged(Damage::SnapshotMissing) => "snapshot missing".into(),
            Fault::Damaged(Damage::AcceptedEpochDeleted) => "acceptedEpoch deleted".into(),
            Fault::Damaged(Damage::CurrentEpochDeleted) => "currentEpoch deleted".into(),
            Fault::Damaged(Damage::EpochsDeleted) => "both epoch files deleted".into(),
            Fault::Damaged(Damage::TornTail) => "log torn".into(),
            Fault::Damaged(Damage::Garbage) => "log ends in garbage".into(),
            Fault::Damaged(Damage::Rot) => "log rotten".into(),
            Fault::Backup => "old backup restored".into(),
            Fault::SlowDisk(leader) => format!("{}'s disk slow", who(leader)),
            Fault::FullDisk(leader) => format!("{}'s disk full", who(leader)),
            Fault::SyncFails(leader) => format!("{}'s disk does not sync", who(leader)),
            Fault::ClockJumps(leader) => format!("{}'s clock jumps", who(leader)),
            Fault::ClockPace(leader) => format!("{}'s clock at another pace", who(leader)),
        }
    }
}

fn who(is_leader: bool) -> &'static str {
    if is_leader { "leader" } else { "follower" }
}

/// An ensemble under faults.
struct World {
    ensemble: Ensemble,
    crowd: Crowd,
    random: Random,
    /// A directory as it was, by member.
    backups: BTreeMap<Id, tempfile::TempDir>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let voters = random.pick(&[3, 3, 5]);
        let observers = random.pick(&[0, 0, 1]);
        let snap_count = random.pick(&["50", "300", "100000"]);
        let factor = random.pick(&["-1", "0.33", "0"]);
        let settings = [("snapCount", snap_count), ("snapshotSizeFactor", factor)];
        let mut ensemble = Ensemble::new(voters, observers, &settings);
        // Every second member, from the first or the second on.
        if let Ok(line) = std::env::var("ZK_FAULT_STRANGERS") {
            let first = random.below(2) as Id;
            let strangers = ensemble.members.values_mut().filter(|m| m.id % 2 == first);
            strangers.for_each(|member| member.stranger = Some(line.clone()));
        }
        for member in ensemble.members.values_mut() {
            member.has_doors = doors::exist() && member.stranger.is_none();
            member.start();
        }
        ensemble.leader();
        let crowd = Crowd::start(&ensemble, CLIENTS, random.next());
        crowd.goes_on(10);
        World { ensemble, crowd, random, backups: BTreeMap::new() }
    }

    fn voters(&self) -> Vec<Id> {
        self.ensemble.members.values().filter(|m| !m.is_observer).map(|m| m.id).collect()
    }

    /// Voters in any order, the leader first.
    fn leader_first(&mut self) -> Vec<Id> {
        let leader = self.ensemble.leader();
        let mut voters = self.voters();
        self.random.shuffle(&mut voters);
        voters.sort_by_key(|id| *id != leader);
        voters
    }

    /// One fault, until all is well again. What happened, in words.
    fn cycle(&mut self, fault: Fault) -> String {
        let mut happened = fault.name();
        let voters = self.leader_first();
        let (leader, follower) = (voters[0], voters[1]);
        let majority = voters.len() / 2 + 1;
        self.crowd.fault(format!("{}; {leader} leads, {voters:?}", fault.name()));
        match fault {
            Fault::KillLeader => self.kill(&voters[..1]),
            Fault::KillFollower => self.kill(&voters[1..2]),
            Fault::KillMajority => {
                let mut some = voters.clone();
                self.random.shuffle(&mut some);
                self.kill(&some[..majority]);
            }
            Fault::KillAll => {
                let all: Vec<Id> = self.ensemble.members.keys().copied().collect();
                self.kill(&all);
            }
            Fault::StopShortly(is_leader) | Fault::StopLong(is_leader) => {
                let id = if is_leader { leader } else { follower };
                let limit = TICK * SYNC_LIMIT_TICKS;
                let long = matches!(fault, Fault::StopLong(_));
                self.ensemble.member(id).pause();
                self.pass(if long { limit + 2 * TICK } else { limit / 3 });
                self.ensemble.member(id).resume();
            }
            Fault::Alone(is_leader) => {
                let id = if is_leader { leader } else { follower };
                let others = self.ensemble.others(id);
                self.ensemble.roads.part(&[id], &others);
                self.ensemble.serves_nobody(id);
                self.crowd.somebody_goes_on(20);
            }
            Fault::Minority => {
                let (minority, rest) = voters.split_at(voters.len() - majority);
                self.ensemble.roads.part(minority, rest);
                let observers: Vec<Id> = self.ensemble.others(0);
                let observers: Vec<Id> =
                    observers.into_iter().filter(|id| !voters.contains(id)).collect();
                self.ensemble.roads.part(minority, &observers);
                self.ensemble.leader_of(rest);
                self.crowd.somebody_goes_on(20);
            }
            Fault::OneWay => {
                let (a, b) =
                    if self.random.coin() { (leader, follower) } else { (follower, leader) };
                self.ensemble.roads.block(a, b);
                self.pass(TICK * SYNC_LIMIT_TICKS);
            }
            Fault::Bridge => {
                let bridge = voters.len() - 1;
                let (left, right) = voters[..bridge].split_at(bridge / 2);
                self.ensemble.roads.part(left, right);
                self.pass(TICK * SYNC_LIMIT_TICKS);
                self.crowd.somebody_goes_on(20);
            }
            Fault::Cut => {
                self.ensemble.roads.cut(leader, follower);
                self.pass(TICK * 5);
                self.crowd.somebody_goes_on(20);
            }
            Fault::Damaged(damage) => {
                let id = self.random.pick(&[leader, follower]);
                let id = self.ours(id);
                if !self.without(id, |world| damage.strike(&world.ensemble.members[&id])) {
                    happened = "nothing to damage".into();
                }
            }
            Fault::Backup => {
                let id = self.random.pick(&voters);
                let id = self.ours(id);
                if !self.without(id, |world| world.exchange_with_backup(id)) {
                    // It has been taken now, and grows old.
                    self.ensemble.leader();
                    self.crowd.goes_on(10);
                    assert!(self.without(id, |world| world.exchange_with_backup(id)));
                }
            }
            Fault::SlowDisk(is_leader)
            | Fault::FullDisk(is_leader)
            | Fault::SyncFails(is_leader)
            | Fault::ClockJumps(is_leader)
            | Fault::ClockPace(is_leader) => {
                let id = self.ours(if is_leader { leader } else { follower });
                happened = self.through_a_door(fault, id, id == leader);
            }
        }
        self.ensemble.roads.mend();
        self.ensemble.leader();
        self.crowd.goes_on(5);
        happened
    }

    /// A fault of this member's disk or clock, whatever its role was to be. What happened, in words.
    fn through_a_door(&mut self, fault: Fault, id: Id, is_leader: bool) -> String {
        let random = &mut self.random;
        let (fault, detail, order) = match fault {
            Fault::FullDisk(_) => {
                let room = random.pick(&[0, 1_000, 20_000]);
                (Fault::FullDisk(is_leader), "", Order::Full(room))
            }
            Fault::SyncFails(_) => (Fault::SyncFails(is_leader), "", Order::SyncFails),
            Fault::ClockJumps(_) => {
                let ms = random.between(60_000, 3_600_000) as i64;
                let (detail, ms) = if random.coin() { (" forward", ms) } else { (" back", -ms) };
                (Fault::ClockJumps(is_leader), detail, Order::Jump(ms))
            }
            Fault::ClockPace(_) => {
                let (detail, pace) = random.pick(&[(": half", 0.5), (": double", 2.0)]);
                (Fault::ClockPace(is_leader), detail, Order::Pace(pace))
            }
            // The last is longer than a follower may take to acknowledge anything.
            _ => {
                let ms = random.pick(&[20, 200, 1_200]);
                (Fault::SlowDisk(is_leader), "", Order::Slow(Duration::from_millis(ms)))
            }
        };
        self.crowd.fault(format!("{order:?} of {id}"));
        self.ensemble.member(id).order(order);
        match order {
            Order::Slow(_) => {
                self.pass(TICK * SYNC_LIMIT_TICKS);
                self.crowd.somebody_goes_on(20);
                self.ensemble.member(id).order_nothing();
            }
            Order::Full(_) | Order::SyncFails => {
                doors::ends(&mut self.ensemble, id, order);
                self.ensemble.leader();
                self.crowd.somebody_goes_on(20);
                // Whoever starts it again at once finds the disk as it was.
                if self.random.coin() {
                    self.ensemble.member(id).start();
                    doors::ends(&mut self.ensemble, id, order);
                }
                self.ensemble.member(id).order_nothing();
                self.ensemble.member(id).start();
            }
            Order::Jump(_) | Order::Pace(_) => {
                self.crowd.clocks_lie(if let Order::Pace(pace) = order { pace } else { 1.0 });
                self.pass(TICK * 5);
                // Nobody's work is held up.
                self.crowd.goes_on(10);
                self.ensemble.member(id).order_nothing();
            }
        }
        fault.name() + detail
    }

    /// That voter, or another if it is a stranger: what those make of damage is their own affair.
    fn ours(&self, id: Id) -> Id {
        let is_ours = |id: &Id| self.ensemble.members[id].stranger.is_none();
        if is_ours(&id) { id } else { self.voters().into_iter().find(is_ours).unwrap_or(id) }
    }

    /// kill -9; and again a little later.
    fn kill(&mut self, ids: &[Id]) {
        for id in ids {
            self.ensemble.member(*id).kill();
        }
        let pause = self.random.between(0, 1_500);
        self.pass(Duration::from_millis(pause));
        for id in ids {
            self.ensemble.member(*id).start();
        }
    }

    /// One member is gone, the others go on; something is done to its files, and it is back. Whether
    /// it was done.
    fn without(&mut self, id: Id, strike: impl FnOnce(&mut World) -> bool) -> bool {
        self.ensemble.member(id).kill();
        self.ensemble.leader();
        self.crowd.somebody_goes_on(20);
        let done = strike(self);
        self.ensemble.member(id).start();
        done
    }

    /// What was kept of its directory before takes its place, and what is there now is kept. False
    /// if nothing was kept before.
    fn exchange_with_backup(&mut self, id: Id) -> bool {
        let dir = self.ensemble.members[&id].version_dir();
        let now = tempfile::tempdir().expect("a temporary directory");
        crate::common::server::copy_files(&dir, now.path());
        let Some(old) = self.backups.insert(id, now) else { return false };
        std::fs::remove_dir_all(&dir).expect("version-2");
        crate::common::server::copy_files(old.path(), &dir);
        true
    }

    /// Lets the fault last.
    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A slice: its line in the ledger.
fn slice(seed: u64, cycles: u64) -> String {
    let began = Instant::now();
    let mut world = World::new(seed);
    let mut stalls: Vec<String> = Vec::new();
    for _ in 0..cycles {
        world.crowd.longest_stall();
        let fault = Fault::draw(&mut world.random);
        let happened = world.cycle(fault);
        let stall = world.crowd.longest_stall();
        stalls.push(format!("{happened}={}", stall.as_millis()));
    }
    let World { mut ensemble, crowd, .. } = world;
    let figures = crowd.judge(&mut ensemble);
    format!(
        "seed={seed} cycles={cycles} members={} operations={} transactions={} expired={} lost={} seconds={} stalls_ms: {}",
        ensemble.members.len(),
        figures.operations,
        figures.transactions,
        figures.expired,
        figures.lost,
        began.elapsed().as_secs(),
        stalls.join(", ")
    )
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.trim().parse().expect("a number"))
}

#[test]
fn random_faults_lose_nothing() {
    if let Some(seed) = number("ZK_FAULT_SEED") {
        println!("{}", slice(seed, SLICE));
        return;
    }
    let Some(cycles) = number("ZK_FAULT_CYCLES") else {
        println!("{}", slice(1, SLICE));
        return;
    };
    let usual = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fault-cycles.txt");
    let ledger = std::env::var_os("ZK_FAULT_LEDGER").map_or_else(usual, PathBuf::from);
    let known = std::fs::read_to_string(&ledger).unwrap_or_default();
    for seed in 1..=cycles.div_ceil(SLICE) {
        if known.lines().any(|line| line.starts_with(&format!("seed={seed} "))) {
            continue;
        }
        println!("slice {seed} of {}", cycles.div_ceil(SLICE));
        let line = slice(seed, SLICE);
        println!("{line}");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&ledger);
        writeln!(file.expect("the ledger"), "{line}").expect("the ledger takes a line");
    }
    // The table is of ensembles of ours.
    if std::env::var_os("ZK_FAULT_STRANGERS").is_some() {
        return;
    }
    let known = std::fs::read_to_string(&ledger).unwrap_or_default();
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = std::fs::read_to_string(&document).expect("docs/faults.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, behind) = rest.split_once(END).expect("the table's end");
    let table = table(&known);
    std::fs::write(&document, format!("{before}{BEGIN}\n{table}{END}{behind}"))
        .expect("docs/faults.md takes the table");
}

const BEGIN: &str = "<!-- faults: begin -->";
const END: &str = "<!-- faults: end -->";

/// What the ledger says, fault by fault.
fn table(ledger: &str) -> String {
    let mut faults: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in ledger.lines() {
        let (figures, stalls) = line.split_once("stalls_ms: ").expect("a slice's stalls");
        for (name, value) in figures.split_whitespace().filter_map(|word| word.split_once('=')) {
            *sums.entry(name).or_default() += value.parse::<u64>().expect("a figure");
        }
        for (name, stall) in stalls.split(", ").filter_map(|word| word.split_once('=')) {
            faults.entry(name).or_default().push(stall.parse().expect("a stall"));
        }
    }
    let mut text =
        String::from("| fault | cycles | median stall | longest stall |\n|---|---|---|---|\n");
    for (name, stalls) in &mut faults {
        stalls.sort();
        let (median, longest) = (stalls[stalls.len() / 2], stalls[stalls.len() - 1]);
        text += &format!("| {name} | {} | {median} ms | {longest} ms |\n", stalls.len());
    }
    let sum = |name| sums.get(name).copied().unwrap_or_default();
    text += &format!(
        "\n{} cycles in {} slices; {} operations answered, {} transactions; {} sessions expired \
         whose clients were cut off for their timeout, {} operations of which no client knows the \
         end; 0 violations.\n",
        sum("cycles"),
        ledger.lines().count(),
        sum("operations"),
        sum("transactions"),
        sum("expired"),
        sum("lost")
    );
    text
}
