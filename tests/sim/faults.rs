//! The faults: what goes wrong while chaos lasts.
//!
//! Each seed enables some kinds and gives each a rate of its own (swarm testing): a run with every
//! kind at once would hide what needs quiet in between. A fault that lasts ends by itself; at the
//! end of chaos all of them do.

use std::fmt;

use crate::ensemble::Ensemble;
use crate::history::{Micros, ServerEvent};
use crate::network::Node;
use crate::peer::End as PeerEnd;
use crate::random::Random;
use crate::stage::{Happening, Stage};
use crate::world::World;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed, and begins again later.
    Kill,
    /// A machine loses its power, and with it what was not synced.
    PowerCut,
    /// All of them do.
    PowerCutAll,
    /// Some of them do, at once.
    PowerCutSome,
    /// A process is told to stop, and does so in order.
    Stop,
    /// Two sides hear nothing of each other.
    Partition,
    /// One direction of some pairs is cut.
    OneWay,
    /// Two sides, with one server that sees both.
    Bridge,
    /// The leader with a minority, clients on both sides.
    LeaderAside,
    /// A connection breaks.
    Reset,
    /// A pair hears nothing of each other for a moment.
    Stall,
    /// Dials take long.
    SlowDials,
    /// Everything takes longer on the way.
    SlowNetwork,
    /// A process stands still.
    Pause,
    /// A disk takes long to sync.
    SlowDisk,
    /// A disk has no room.
    FullDisk,
    /// A disk fails.
    FailingDisk,
    /// A clock goes too fast or too slow.
    ClockPace,
    /// A wall clock jumps.
    WallJump,
    /// A client loses sight of a server, or of all.
    ClientCut,
    /// A packet that no honest server sends.
    Hostile,
    /// A disk is replaced by an empty one.
    Wipe,
    /// A bit of a log is another.
    Rot,
    /// One of the files of epochs is gone, or both.
    LostEpochs,
    /// Something happens to a server just when it is elected, synchronized, or begins to serve.
    Untimely,
}

const ALL: [Kind; 25] = [
    Kind::Kill,
    Kind::PowerCut,
    Kind::PowerCutAll,
    Kind::PowerCutSome,
    Kind::Stop,
    Kind::Partition,
    Kind::OneWay,
    Kind::Bridge,
    Kind::LeaderAside,
    Kind::Reset,
    Kind::Stall,
    Kind::SlowDials,
    Kind::SlowNetwork,
    Kind::Pause,
    Kind::SlowDisk,
    Kind::FullDisk,
    Kind::FailingDisk,
    Kind::ClockPace,
    Kind::WallJump,
    Kind::ClientCut,
    Kind::Hostile,
    Kind::Wipe,
    Kind::Rot,
    Kind::LostEpochs,
    Kind::Untimely,
];

/// What the agenda keeps for the faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEvent {
    /// One of a kind happens.
    Strike(Kind),
    /// The cuts are healed, if they are still those of that number.
    Heal(u64),
    /// The pair's cut is healed.
    HealPair(Node, Node),
    /// Something happens to the server in a delicate moment.
    Accident(usize),
    /// The server begins again, if that life of its process was the last.
    Start(usize, u64),
    /// The network is as it was.
    NetworkIsWell,
    /// The disk is as it was.
    DiskIsWell(usize),
    /// The clock is as it was.
    ClockIsRight(usize),
}

/// What goes wrong in one run.
#[derive(Debug)]
pub struct Faults {
    /// What is drawn for faults.
    pub random: Random,
    /// Enabled kinds, each with the usual time between two.
    enabled: Vec<(Kind, Micros)>,
    /// Counts partitions.
    cuts: u64,
    /// What happened so far, by kind.
    pub happened: Vec<Kind>,
    over: bool,
}

impl Faults {
    /// A seed's choice.
    pub fn new(mut random: Random, ensemble: &Ensemble, reconfigs: bool) -> Self {
        let mut kinds = ALL.to_vec();
        if ensemble.is_alone() {
            use Kind::{Bridge, Hostile, LeaderAside, OneWay, Partition, PowerCutSome};
            let needs_others = [Bridge, Hostile, LeaderAside, OneWay, Partition, PowerCutSome];
            kinds.retain(|kind| !needs_others.contains(kind));
        }
        // Of two voters none may be forgetful: nobody could be elected. Reconfigurations may leave
        // two.
        if ensemble.voters().len() < 3 || reconfigs {
            kinds.retain(|kind| ![Kind::Wipe, Kind::Rot, Kind::LostEpochs].contains(kind));
        }
        random.shuffle(&mut kinds);
        // Mostly a handful; now and then all, or a single one.
        let count = match random.below(10) {
            0 => 1,
            1 => kinds.len(),
            _ => random.between(3, 8) as usize,
        };
        kinds.truncate(count);
        kinds.sort();
        // In some runs it never rains but it pours.
        let (share, hurry) = (kinds.len() as u64, random.pick(&[1, 1, 1, 3]));
        let mut rate = |_: &Kind| random.between(1_500_000, 6_000_000) * share.max(2) / 2 / hurry;
        let enabled = kinds.iter().map(|kind| (*kind, rate(kind))).collect();
        Faults { random, enabled, cuts: 0, happened: Vec::new(), over: false }
    }

    /// None at all.
    pub fn none() -> Self {
        let (random, enabled, happened) = (Random::new(0), Vec::new(), Vec::new());
        Faults { random, enabled, cuts: 0, happened, over: true }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (kind, every)) in self.enabled.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{kind:?} every {} s", *every as f64 / 1e6)?;
        }
        Ok(())
    }
}

impl World {
    /// Has every enabled kind happen from time to time.
    pub fn begin_chaos(&mut self) {
        for (kind, _) in self.faults.enabled.clone() {
            self.plan_next(kind);
        }
    }

    fn plan_next(&mut self, kind: Kind) {
        let enabled = self.faults.enabled.iter().find(|(other, _)| *other == kind);
        let Some(&(_, every)) = enabled else { return };
        let after = self.faults.random.between(every / 4, every * 7 / 4);
        self.stage.agenda.after(after, Happening::Fault(FaultEvent::Strike(kind)));
    }

    /// A fault begins or ends.
    pub fn fault(&mut self, event: FaultEvent) {
        match event {
            FaultEvent::Strike(kind) if !self.faults.over => {
                self.strike(kind);
                self.plan_next(kind);
            }
            FaultEvent::Strike(_) => {}
            FaultEvent::Heal(number) => {
                if self.faults.cuts == number {
                    self.stage.fault("the partition heals".into());
                    self.heal_servers();
                }
            }
            FaultEvent::HealPair(a, b) => {
                let is_pair = |from, to| (from, to) == (a, b) || (from, to) == (b, a);
                let Stage { network, agenda, .. } = &mut self.stage;
                network.heal(agenda, is_pair);
            }
            FaultEvent::Start(server, life) => {
                let peer = &mut self.peers[server];
                if peer.is_down(life) {
                    peer.start(&mut self.stage);
                } else if peer.life() == life && peer.is_up() {
                    // It was told to stop, and has not got round to it.
                    self.later(500_000, FaultEvent::Start(server, life));
                }
            }
            FaultEvent::Accident(server) => self.accident(server),
            FaultEvent::NetworkIsWell => self.network_is_well(),
            FaultEvent::DiskIsWell(server) => self.peers[server].disk_is_well(),
            FaultEvent::ClockIsRight(server) => self.peers[server].set_pace(&mut self.stage, 1000),
        }
    }

    /// Chaos is over: whatever was wrong is not any more.
    pub fn make_peace(&mut self) {
        self.faults.over = true;
        self.stage.fault("peace".into());
        self.network_is_well();
        let Stage { network, agenda, .. } = &mut self.stage;
        network.heal(agenda, |_, _| true);
        for server in 0..self.peers.len() {
            let peer = &mut self.peers[server];
            peer.disk_is_well();
            peer.set_pace(&mut self.stage, 1000);
            peer.unpause(&mut self.stage);
            if peer.is_down(peer.life()) {
                peer.start(&mut self.stage);
            }
        }
    }

    fn network_is_well(&mut self) {
        self.stage.network.is_well(self.plan.latency);
    }

    fn heal_servers(&mut self) {
        let is_server = |node| matches!(node, Node::Server(_));
        let Stage { network, agenda, .. } = &mut self.stage;
        network.heal(agenda, |from, to| is_server(from) && is_server(to));
    }

    pub fn any_server(&mut self) -> usize {
        self.faults.random.below(self.peers.len() as u64) as usize
    }

    /// Any server, but often the leader.
    fn victim(&mut self) -> usize {
        match self.leader() {
            Some(leader) if self.faults.random.coin() => leader,
            _ => self.any_server(),
        }
    }

    /// How long it lasts: often short, sometimes long.
    fn lasts(&mut self) -> Micros {
        match self.faults.random.below(4) {
            0 => self.faults.random.between(20_000, 400_000),
            1..3 => self.faults.random.between(400_000, 3_000_000),
            _ => self.faults.random.between(3_000_000, 9_000_000),
        }
    }

    fn later(&mut self, after: Micros, event: FaultEvent) {
        self.stage.agenda.after(after, Happening::Fault(event));
    }

    fn strike(&mut self, kind: Kind) {
        self.faults.happened.push(kind);
        let server = self.victim();
        let lasts = self.lasts();
        match kind {
            Kind::Kill => self.end(server, PeerEnd::Killed, lasts),
            Kind::PowerCut => self.end(server, PeerEnd::PowerCut, lasts),
            Kind::Stop => self.end(server, PeerEnd::Told, lasts),
            Kind::PowerCutAll => {
                for server in 0..self.peers.len() {
                    let lasts = self.faults.random.between(50_000, 2_000_000);
                    self.end(server, PeerEnd::PowerCut, lasts);
                }
            }
            Kind::PowerCutSome => {
                for server in 0..self.peers.len() {
                    if self.faults.random.coin() {
                        let lasts = self.lasts();
                        self.end(server, PeerEnd::PowerCut, lasts);
                    }
                }
            }
            Kind::Partition | Kind::OneWay | Kind::Bridge | Kind::LeaderAside => {
                self.partition(kind, lasts);
            }
            Kind::Reset => {
                let with_clients = self.faults.random.permille(300);
                let wires = self.stage.network.wires(with_clients);
                if wires.is_empty() {
                    return;
                }
                let wire = self.faults.random.pick(&wires);
                self.stage.fault(format!("{wire:?} breaks"));
                self.stage.network.reset(&mut self.stage.agenda, wire);
            }
            Kind::Stall => {
                let (a, b) = (Node::Server(server), Node::Server(self.any_server()));
                let lasts = self.faults.random.between(10_000, 1_500_000);
                if a == b {
                    return;
                }
                self.stage.fault(format!("{a:?} and {b:?} stall for {lasts} us"));
                self.stage.network.cut(a, b);
                self.stage.network.cut(b, a);
                self.later(lasts, FaultEvent::HealPair(a, b));
            }
            Kind::SlowDials => {
                self.stage.fault("slow dials".into());
                self.stage.network.slow_dials = 500;
                self.later(lasts, FaultEvent::NetworkIsWell);
            }
            Kind::SlowNetwork => {
                self.stage.network.latency = self.faults.random.between(5_000, 60_000);
                self.stage.fault(format!("latency {}", self.stage.network.latency));
                self.later(lasts, FaultEvent::NetworkIsWell);
            }
            Kind::Pause => {
                self.stage.fault(format!("{server} stands still for {lasts} us"));
                self.peers[server].pause(&mut self.stage, lasts);
            }
            Kind::SlowDisk => {
                let sync = self.faults.random.between(20_000, 800_000);
                self.stage.fault(format!("{server}'s disk takes {sync} us"));
                self.peers[server].slow_disk(sync);
                self.later(lasts, FaultEvent::DiskIsWell(server));
            }
            Kind::FullDisk | Kind::FailingDisk => {
                self.stage.fault(format!("{server}'s disk: {kind:?}"));
                let full = kind == Kind::FullDisk;
                self.peers[server].break_disk(full, &mut self.faults.random);
                self.later(lasts, FaultEvent::DiskIsWell(server));
            }
            Kind::ClockPace => {
                let permille = self.faults.random.pick(&[300, 600, 900, 1100, 1500, 3000]);
                self.stage.fault(format!("{server}'s clock goes by {permille} of a thousand"));
                self.peers[server].set_pace(&mut self.stage, permille);
                self.later(lasts, FaultEvent::ClockIsRight(server));
            }
            Kind::WallJump => {
                let ms = self.faults.random.between(0, 7_200_000) as i64 - 3_600_000;
                self.stage.fault(format!("{server}'s wall clock jumps by {ms} ms"));
                self.peers[server].jump_wall(ms);
            }
            Kind::ClientCut => self.cut_client(lasts),
            Kind::Hostile => self.hostile(),
            // It has its own moments.
            Kind::Untimely => {
                self.faults.happened.pop();
            }
            Kind::Wipe | Kind::Rot | Kind::LostEpochs => self.forget(kind, server, lasts),
        }
    }

    /// A process ends, and begins again later.
    fn end(&mut self, server: usize, how: PeerEnd, lasts: Micros) {
        if !self.peers[server].is_up() {
            return;
        }
        self.stage.fault(format!("{server}: {how:?}, back in {lasts} us"));
        let life = self.peers[server].life();
        if how == PeerEnd::Told {
            let after = self.faults.random.between(1_000, 400_000);
            self.peers[server].tell_to_stop(&mut self.stage, after);
            self.later(lasts + after, FaultEvent::Start(server, life));
            return;
        }
        let left = self.faults.random.fork();
        self.peers[server].end(&mut self.stage, how, left);
        self.later(lasts, FaultEvent::Start(server, life));
    }

    /// Servers are in delicate moments: with some of them, something happens soon.
    pub fn delicate_moments(&mut self) {
        let servers = std::mem::take(&mut self.stage.moments);
        let enabled = self.faults.enabled.iter().any(|(kind, _)| *kind == Kind::Untimely);
        if !enabled || self.faults.over {
            return;
        }
        for server in servers {
            if self.faults.random.permille(40) {
                let most = self.faults.random.pick(&[500, 5_000, 40_000]);
                let after = self.faults.random.below(most);
                self.later(after, FaultEvent::Accident(server));
            }
        }
    }

    fn accident(&mut self, server: usize) {
        if self.faults.over || !self.peers[server].is_up() {
            return;
        }
        self.faults.happened.push(Kind::Untimely);
        let lasts = self.faults.random.between(5_000, 800_000);
        match self.faults.random.below(10) {
            0..4 => self.end(server, PeerEnd::PowerCut, lasts),
            4..6 => self.end(server, PeerEnd::Killed, lasts),
            6 => self.strike(Kind::PowerCutAll),
            7 => self.peers[server].pause(&mut self.stage, lasts),
            _ => {
                let ends = self.stage.network.of(Node::Server(server));
                if !ends.is_empty() {
                    let wire = self.faults.random.pick(&ends).wire;
                    self.stage.fault(format!("{wire:?} of {server} breaks"));
                    self.stage.network.reset(&mut self.stage.agenda, wire);
                }
            }
        }
    }

    /// A server loses what it has promised, or some of it. More than one at a time may lose what
    /// clients were told: nobody can defend himself against that.
    fn forget(&mut self, kind: Kind, server: usize, lasts: Micros) {
        if self.peers.iter().any(|peer| peer.is_suspect()) || !self.peers[server].is_up() {
            return;
        }
        self.end(server, PeerEnd::Killed, lasts);
        let what = match kind {
            Kind::Wipe => {
                self.peers[server].lose_disk();
                "an empty disk".into()
            }
            Kind::LostEpochs => {
                self.stage.server(self.peers[server].sid(), ServerEvent::EpochsLost);
                format!("no {}", self.peers[server].lose_epochs(&mut self.faults.random))
            }
            _ => format!("{:?}", self.peers[server].rot(&mut self.faults.random)),
        };
        self.stage.fault(format!("{server} will find {what}"));
    }

    fn partition(&mut self, kind: Kind, lasts: Micros) {
        let count = self.peers.len();
        self.heal_servers();
        self.faults.cuts += 1;
        let leader = self.leader();
        let mut sides: Vec<bool> = (0..count).map(|_| self.faults.random.coin()).collect();
        if let (Kind::LeaderAside, Some(leader)) = (kind, leader) {
            sides.fill(true);
            sides[leader] = false;
            for _ in 1..count.div_ceil(2).max(2) - 1 {
                let other = self.any_server();
                sides[other] = false;
            }
        }
        let bridge = (kind == Kind::Bridge).then(|| self.any_server());
        self.stage.fault(format!("{kind:?} {sides:?} but {bridge:?} for {lasts} us"));
        for a in 0..count {
            for b in 0..count {
                let spared = bridge == Some(a) || bridge == Some(b);
                if a == b || sides[a] == sides[b] || spared {
                    continue;
                }
                if kind == Kind::OneWay && !sides[a] {
                    continue;
                }
                self.stage.network.cut(Node::Server(a), Node::Server(b));
            }
        }
        self.later(lasts, FaultEvent::Heal(self.faults.cuts));
    }

    fn cut_client(&mut self, lasts: Micros) {
        let client = Node::Client(self.faults.random.below(self.clients.len() as u64) as usize);
        let only = self.faults.random.coin().then(|| self.any_server());
        self.stage.fault(format!("{client:?} does not see {only:?}, or all, for {lasts} us"));
        for server in 0..self.peers.len() {
            if only.is_some_and(|only| only != server) {
                continue;
            }
            let node = Node::Server(server);
            self.stage.network.cut(client, node);
            self.stage.network.cut(node, client);
            self.later(lasts, FaultEvent::HealPair(client, node));
        }
    }
}
