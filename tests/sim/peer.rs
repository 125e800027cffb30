//! A machine of the ensemble: its disk, its clock, and the process that may run on it.
//!
//! A process that ends is dropped as it is; only the disk knows what was. If the power went, what
//! was not synced is lost, and an operation that was under way is torn anywhere.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use zkserver::proto::{Sid, Zxid};
use zkserver::status::MemberStatus;

use crate::client::sid;
use crate::clock::SimClock;
use crate::disk::{Failing, SimDisk};
use crate::ensemble::Ensemble;
use crate::history::{Micros, ServerEvent, Stop};
use crate::network::{Dial, End as WireEnd, Node, Payload, Port};
use crate::process::{Beginning, Character, Process};
use crate::random::Random;
use crate::stage::{Happening, Stage};
use crate::world::Plan;

/// What the agenda keeps for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// The driver's turn, unless an earlier one was taken instead.
    Turn(u64),
    /// A batch of the disk queue is done.
    Flushed,
    /// What is asked waits no longer for more, unless a batch came behind the one of that number.
    PatienceIsOver(u64),
    /// A connection's task gets its turn.
    Task(zkserver::proto::ConnectionId),
    /// Slow work goes on.
    Job(u64),
    /// It was told to stop, and has had its time for that.
    Stopped,
    /// The process moves again, if it still stands still for this reason.
    Unpause(u64),
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Killed.
    Killed,
    /// The machine loses its power.
    PowerCut,
    /// It is told to stop.
    Told,
}

/// What a dialler meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    /// The port is open.
    Accepts,
    /// The machine is there, the process is not, or does not listen there.
    Refuses,
    /// Nobody is there.
    IsSilent,
}

enum State {
    Up(Box<Process>),
    Down {
        power: bool,
    },
    /// It does not start with what is on its disk.
    Refused,
}

/// A machine.
pub struct Peer {
    index: usize,
    sid: Sid,
    ensemble: Ensemble,
    random: Random,
    disk: SimDisk,
    clock: Arc<SimClock>,
    character: Character,
    state: State,
    known: Rc<Cell<Zxid>>,
    /// The disk was replaced: an empty one is not a new server's.
    wiped: bool,
    /// It may have forgotten what it acknowledged, and was not synchronized since.
    suspect: bool,
    /// Counts processes.
    life: u64,
    /// It stands still, until the event of that number.
    paused: bool,
    pauses: u64,
    /// What came meanwhile.
    waiting: VecDeque<Waiting>,
    sync_time: Micros,
    usual_sync_time: Micros,
}

enum Waiting {
    Event(PeerEvent),
    Arrival(WireEnd, Payload),
    Accepted(Dial, WireEnd),
    Dialled(Dial, Option<WireEnd>),
}

impl Peer {
    /// A machine with an empty disk, switched off.
    pub fn new(index: usize, plan: &Plan, mut random: Random) -> Self {
        let ensemble = &plan.ensemble;
        let usual_sync_time = random.pick(&[200, 1_000, 4_000, 25_000]);
        let character = Character::draw(&mut random, plan);
        Peer {
            index,
            sid: sid(index),
            ensemble: ensemble.clone(),
            disk: SimDisk::new(random.fork()),
            random,
            clock: Arc::new(SimClock::new()),
            character,
            state: State::Down { power: false },
            known: Rc::default(),
            wiped: false,
            suspect: false,
            life: 0,
            paused: false,
            pauses: 0,
            waiting: VecDeque::new(),
            sync_time: usual_sync_time,
            usual_sync_time,
        }
    }

    /// Which process it is, or was.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether a process runs.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether that process was the last and has ended.
    pub fn is_down(&self, life: u64) -> bool {
        life == self.life && matches!(self.state, State::Down { .. })
    }

    /// Whether it refused to start.
    pub fn has_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Whether it may have forgotten something, and was not synchronized since.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Its disk is replaced by an empty one; only the configuration is elsewhere.
    pub fn lose_disk(&mut self) {
        self.disk.wipe(Path::new("/data"));
        (self.wiped, self.suspect) = (true, true);
    }

    /// One of its files of epochs is gone, or both; answers which.
    pub fn lose_epochs(&mut self, random: &mut Random) -> &'static str {
        self.suspect = true;
        let both = ["acceptedEpoch", "currentEpoch"];
        let (lost, names) = match random.below(3) {
            0 => (&both[..1], "acceptedEpoch"),
            1 => (&both[1..], "currentEpoch"),
            _ => (&both[..], "acceptedEpoch and currentEpoch"),
        };
        self.disk.lose(Path::new("/data/version-2"), lost);
        names
    }

    /// A bit of its log is another; answers which.
    pub fn rot(&mut self, random: &mut Random) -> Option<String> {
        self.suspect = true;
        self.disk.rot("/data/version-2/log.", random)
    }

    /// Whether it logs, also as an observer.
    pub fn logs(&self) -> bool {
        self.character.observer_logs()
    }

    /// Its id.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// Whom it knows as members.
    pub fn members(&self) -> Vec<Sid> {
        match &self.state {
            State::Up(process) => process.members(),
            State::Down { .. } | State::Refused => self.ensemble.sids(),
        }
    }

    /// Whether it leads and serves.
    pub fn leads(&self) -> bool {
        match &self.state {
            State::Up(process) => process.leads() && !self.paused,
            State::Down { .. } | State::Refused => false,
        }
    }

    /// The last transaction in its tree, and its digest; `None` if it is down.
    pub fn tree_state(&self) -> Option<(Zxid, u64)> {
        match &self.state {
            State::Up(process) => Some(process.tree_state()),
            State::Down { .. } | State::Refused => None,
        }
    }

    /// What words would tell of its role; `None` if it is down, or alone.
    pub fn role(&self) -> Option<Arc<MemberStatus>> {
        match &self.state {
            State::Up(process) => process.role(),
            State::Down { .. } | State::Refused => None,
        }
    }

    /// What a dialler meets.
    pub fn listens(&self, port: Port) -> Listens {
        match &self.state {
            State::Up(process) if process.listens(port) => Listens::Accepts,
            State::Up(_) | State::Down { power: true } | State::Refused => Listens::Refuses,
            State::Down { power: false } => Listens::IsSilent,
        }
    }

    /// A process begins, with what is on the disk.
    pub fn start(&mut self, stage: &mut Stage) {
        assert!(!self.is_up(), "one process at a time");
        self.life += 1;
        self.clock.set(stage.agenda.now());
        stage.network.power_is_back(&mut stage.agenda, Node::Server(self.index));
        let beginning = Beginning {
            sid: self.sid,
            life: self.life,
            ensemble: &self.ensemble,
            character: self.character,
            disk: &self.disk,
            clock: &self.clock,
            known: self.known.clone(),
            is_new: !self.wiped,
            random: self.random.fork(),
        };
        let started = Process::start(beginning, stage);
        match started {
            Ok(process) => self.state = State::Up(Box::new(process)),
            Err(why) => {
                stage.server(self.sid, ServerEvent::Refused(why.clone()));
                if self.disk.is_well() {
                    self.state = State::Refused;
                } else {
                    self.state = State::Down { power: true };
                    let again = crate::faults::FaultEvent::Start(self.index, self.life);
                    stage.agenda.after(1_000_000, Happening::Fault(again));
                }
            }
        }
        self.look(stage);
    }

    /// It is told to stop: a leader gives up its leadership, and a little later the process ends.
    pub fn tell_to_stop(&mut self, stage: &mut Stage, after: Micros) {
        let State::Up(process) = &mut self.state else { return };
        process.stop_soon();
        let stopped = Happening::Peer(self.index, self.life, PeerEvent::Stopped);
        stage.agenda.after(after, stopped);
        if !self.paused {
            self.look(stage);
        }
    }

    /// The process ends.
    pub fn end(&mut self, stage: &mut Stage, how: End, mut random: Random) {
        let State::Up(mut process) =
            std::mem::replace(&mut self.state, State::Down { power: how != End::PowerCut })
        else {
            return;
        };
        self.clock.set(stage.agenda.now());
        self.paused = false;
        self.waiting.clear();
        let stop = match how {
            End::Told => match process.stop() {
                Ok(()) => Stop::Told,
                Err(error) => Stop::DiskFailed(error),
            },
            End::Killed | End::PowerCut => {
                // What the disk was doing ends anywhere.
                if random.coin() {
                    self.disk.die_after(random.below(12));
                    process.flush_whatever();
                }
                if how == End::Killed { Stop::Killed } else { Stop::PowerCut }
            }
        };
        self.disk.restart(how == End::PowerCut);
        let power_cut = how == End::PowerCut;
        stage.network.process_gone(&mut stage.agenda, Node::Server(self.index), power_cut);
        stage.server(self.sid, ServerEvent::Stopped(stop));
    }

    /// Its disk fails it: the process must end.
    fn disk_failed(&mut self, stage: &mut Stage, error: String) {
        self.state = State::Down { power: true };
        // It may have set its history aside, and comes back without a vote then.
        self.suspect = true;
        self.paused = false;
        self.waiting.clear();
        self.disk.restart(false);
        stage.network.process_gone(&mut stage.agenda, Node::Server(self.index), false);
        stage.server(self.sid, ServerEvent::Stopped(Stop::DiskFailed(error)));
        // Somebody starts it again, now and then, and it may fail again.
        let again = crate::faults::FaultEvent::Start(self.index, self.life);
        let after = self.random.between(500_000, 4_000_000);
        stage.agenda.after(after, Happening::Fault(again));
    }

    /// Something on the agenda of its process.
    pub fn happen(&mut self, stage: &mut Stage, event: PeerEvent) {
        if let PeerEvent::Unpause(number) = event {
            if self.pauses == number {
                self.unpause(stage);
            }
            return;
        }
        if self.paused {
            self.waiting.push_back(Waiting::Event(event));
            return;
        }
        if event == PeerEvent::Stopped {
            let random = self.random.fork();
            return self.end(stage, End::Told, random);
        }
        self.clock.set(stage.agenda.now());
        let sync_time = self.sync_time;
        let State::Up(process) = &mut self.state else { return };
        match process.happen(stage, event, sync_time) {
            Ok(()) => self.look(stage),
            Err(error) => self.disk_failed(stage, error),
        }
    }

    /// Something came over the network.
    pub fn arrive(&mut self, stage: &mut Stage, end: WireEnd, payload: Payload) {
        self.take(stage, Waiting::Arrival(end, payload));
    }

    /// Somebody has dialled it.
    pub fn accept(&mut self, stage: &mut Stage, dial: Dial, end: WireEnd) {
        self.take(stage, Waiting::Accepted(dial, end));
    }

    /// Its own dial was answered.
    pub fn dialled(&mut self, stage: &mut Stage, dial: Dial, end: Option<WireEnd>) {
        if dial.life == self.life && self.is_up() {
            self.take(stage, Waiting::Dialled(dial, end));
        } else if let Some(end) = end {
            stage.network.close(&mut stage.agenda, end);
        }
    }

    fn take(&mut self, stage: &mut Stage, what: Waiting) {
        if self.paused {
            self.waiting.push_back(what);
            return;
        }
        self.clock.set(stage.agenda.now());
        let State::Up(process) = &mut self.state else { return };
        match what {
            Waiting::Event(event) => return self.happen(stage, event),
            Waiting::Arrival(end, payload) => {
                if let Err(error) = process.arrive(stage, end, payload) {
                    return self.disk_failed(stage, error);
                }
            }
            Waiting::Accepted(dial, end) => process.accept(stage, dial, end),
            Waiting::Dialled(dial, end) => process.dialled(stage, dial, end),
        }
        self.look(stage);
    }

    /// Puts the driver's next turn on the agenda.
    fn look(&mut self, stage: &mut Stage) {
        let State::Up(process) = &mut self.state else { return };
        self.suspect &= !process.is_trusted();
        process.plan_turn(stage);
    }

    /// It stands still for a time.
    pub fn pause(&mut self, stage: &mut Stage, lasts: Micros) {
        if !self.is_up() {
            return;
        }
        self.paused = true;
        self.pauses += 1;
        let unpause = Happening::Peer(self.index, self.life, PeerEvent::Unpause(self.pauses));
        stage.agenda.after(lasts, unpause);
    }

    /// It moves again, and takes what came meanwhile.
    pub fn unpause(&mut self, stage: &mut Stage) {
        self.paused = false;
        while let Some(what) = self.waiting.pop_front() {
            self.take(stage, what);
        }
    }

    /// Its disk takes so long to sync.
    pub fn slow_disk(&mut self, sync_time: Micros) {
        self.sync_time = sync_time;
    }

    /// Its disk is full, or fails.
    pub fn break_disk(&mut self, full: bool, random: &mut Random) {
        let how = match full {
            true => Failing::Full,
            false => random.pick(&[Failing::Syncs, Failing::Writes]),
        };
        self.disk.fail(Some(how));
    }

    /// Its disk is as it was.
    pub fn disk_is_well(&mut self) {
        self.sync_time = self.usual_sync_time;
        self.disk.fail(None);
    }

    /// Its clock keeps another pace.
    pub fn set_pace(&mut self, stage: &mut Stage, permille: u64) {
        self.clock.set(stage.agenda.now());
        self.clock.set_pace(permille);
        self.look(stage);
    }

    /// Its wall clock jumps.
    pub fn jump_wall(&mut self, ms: i64) {
        self.clock.jump_wall(ms);
    }
}
