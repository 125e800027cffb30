//! One server process: the production driver with its core, and everything that stands around it.
//!
//! ```text
//!   wires ──▶ connection cores ─submissions─▶ inbox ─▶ driver ─▶ doors ─┬─▶ disk queue ─▶ reports
//!         ──▶ links, mesh ─────packets──────▶                           ├─▶ links, mesh
//!                                                                       └─▶ jobs ─▶ reports
//! ```
//!
//! What production does with threads is done here with entries on the agenda: how many inputs a
//! turn takes, when a batch of the disk is done, when a task gets its turn, how long slow work
//! takes, all of it is drawn from the seed.

mod jobs;
mod links;
mod start;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;
use zkserver::persistence::snapshot::Compression;
use zkserver::persistence::{DataDir, DiskRequest, SyncQueue};
use zkserver::processor::connection::Surroundings;
use zkserver::processor::connections::{Connection, Connections};
use zkserver::proto::txns::{Txn, TxnRecord};
use zkserver::proto::{
    ConnectionId, LinkId, OpCode, QuorumPacket, QuorumVerifier, ServerState, Sid, Ticket, Zxid,
};
use zkserver::quorum::effect::{DiskEffect, Input, LinkEffect};
use zkserver::server::disk_thread::disk_request;
use zkserver::server::driver::Driver;
use zkserver::server::inbox::Inbox;
use zkserver::status::MemberStatus;
use zkserver::time::Clock;
use zkserver::tree::SharedDatabase;

use self::jobs::Slow;
pub use self::links::STRANGER;
use self::links::{Link, Mesh};
pub use self::start::Beginning;
use crate::clock::SimClock;
use crate::connection::{SimConnection, ToFlush};
use crate::disk::SimDisk;
use crate::doors::{Door, HandedOut, Seen, Witnessed};
use crate::history::{How, Micros, ServerEvent, TxnHash};
use crate::network::{Dial, End, Payload, Port};
use crate::peer::PeerEvent;
use crate::random::Random;
use crate::stage::{Happening, Stage};
use crate::world::{Plan, Upgrades};

/// How a server is set up: drawn once for each machine.
#[derive(Debug, Clone, Copy)]
pub struct Character {
    /// A snapshot is due after so many transactions.
    snap_count: u64,
    /// A turn takes at most so many inputs.
    inputs: usize,
    /// How snapshots are compressed.
    compression: Compression,
    /// Of a thousand flushes so many are left to the connection's task.
    lazy_flush: u64,
    /// Snapshots and logs are purged behind a snapshot.
    purges: bool,
    /// So many transactions stay in memory for learners.
    commit_log: usize,
    /// Logs of so many bytes are read for a learner.
    log_limit: u64,
    /// A leader leaves before its counter passes this.
    last_counter: u32,
    /// A learner is always sent the tree.
    force_snapshot: bool,
    /// A leader waits so long for a quorum to come, at most.
    epoch_patience_ms: Option<u64>,
    /// Whether a leader serves clients.
    leader_serves: bool,
    /// Whether it logs as an observer.
    observer_logs: bool,
    /// As everywhere in its ensemble.
    local_sessions: Option<Upgrades>,
    /// Whether a leader is asked in rounds.
    rounds: bool,
}

impl Character {
    /// A seed's.
    pub fn draw(random: &mut Random, plan: &Plan) -> Self {
        let others = plan.ensemble.size() > 1;
        Character {
            snap_count: random.pick(&[40, 200, 1_000, 100_000]),
            inputs: random.pick(&[1, 4, 64, 256]),
            compression: random.pick(&[Compression::None, Compression::None, Compression::Snappy]),
            lazy_flush: random.pick(&[0, 100, 500]),
            purges: random.coin(),
            commit_log: random.pick(&[3, 30, 500]),
            last_counter: random.pick(&[u32::MAX - 1, u32::MAX - 1, u32::MAX - 1, 250]),
            force_snapshot: random.permille(100),
            epoch_patience_ms: random.pick(&[None, None, Some(300)]),
            log_limit: random.pick(&[0, 20_000, u64::MAX]),
            // A leader that is the only one must.
            leader_serves: random.permille(900) || !others,
            // Who logs and who does not is told from what they are; that must not change.
            observer_logs: random.permille(600) || plan.reconfigs,
            local_sessions: plan.local_sessions,
            rounds: random.coin(),
        }
    }

    /// Whether it logs as an observer.
    pub fn observer_logs(self) -> bool {
        self.observer_logs
    }
}

/// `tickTime`: small, so that a run meets many elections.
pub const TICK_MS: u64 = 200;

const MAX_FIELD: usize = 1 << 20;

type SimDriver = Driver<Door, Door, Door, SimConnection>;

/// A running process.
pub struct Process {
    sid: Sid,
    index: usize,
    life: u64,
    random: Random,
    seed: u64,
    character: Character,
    clock: Arc<SimClock>,
    disk: SimDisk,
    dir: Arc<DataDir>,
    driver: SimDriver,
    database: Arc<SharedDatabase>,
    around: Surroundings,
    connections: Arc<Connections<SimConnection>>,
    flushes: Arc<Mutex<ToFlush>>,
    ends: BTreeMap<End, What>,
    links: BTreeMap<LinkId, Link>,
    next_accepted: LinkId,
    mesh: BTreeMap<Sid, Mesh>,
    members: Vec<Sid>,
    inbox: Inbox,
    door: Door,
    queue: SyncQueue,
    /// What waits for the disk, and what it is about to do.
    to_disk: Vec<DiskRequest>,
    on_disk: Option<Vec<DiskRequest>>,
    batches: u64,
    /// What it prepares goes to the disk.
    leads: bool,
    /// What is durable when its ticket is reported.
    promises: VecDeque<(Ticket, ServerEvent)>,
    jobs: BTreeMap<u64, Slow>,
    next_job: u64,
    snapshot_runs: bool,
    turn: u64,
    turn_at: Option<Micros>,
    rests_until: Micros,
    serving: bool,
    /// A quorum follows it: it serves, or has told a learner that it may.
    established: bool,
    role: Option<ServerState>,
    committed: Zxid,
    /// What is in the committed log without a leader that a quorum follows having said so.
    claimed: Vec<(Zxid, TxnHash)>,
    /// What was restored and what the core has not heard of yet.
    reloaded: Option<(Zxid, Vec<(Zxid, TxnHash)>)>,
    /// The last that was said to be known as committed, in this life of the process or another.
    known: Rc<Cell<Zxid>>,
    /// What was given to the log, for what memory has forgotten.
    logged: BTreeMap<Zxid, TxnHash>,
    mismatches: u64,
}

/// What an end of a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Client(ConnectionId),
    Link(LinkId),
    Mesh(Sid),
}

impl Process {
    /// Whether it leads and serves, or is alone.
    pub fn leads(&self) -> bool {
        match self.driver.peer().state() {
            None => self.serving,
            Some(state) => state == ServerState::Leading && self.established,
        }
    }

    /// The last transaction in its tree, and the tree's digest.
    pub fn tree_state(&self) -> (Zxid, u64) {
        let db = self.database.read();
        (db.last_processed(), db.tree.digest())
    }

    /// What words would tell of its role; `None` for a server that is alone.
    pub fn role(&self) -> Option<Arc<MemberStatus>> {
        self.driver.role().map(|role| role.get())
    }

    /// Whether it serves as one that may vote: it was synchronized since it forgot anything.
    pub fn is_trusted(&self) -> bool {
        let may_vote = self.driver.peer().as_member().is_some_and(|member| member.may_vote);
        may_vote && (self.serving || self.established)
    }

    /// Whom it knows as members.
    pub fn members(&self) -> Vec<Sid> {
        self.members.clone()
    }

    /// Whether somebody listens at the port.
    pub fn listens(&self, port: Port) -> bool {
        match port {
            Port::Client => true,
            Port::Election | Port::Quorum(_) => self.driver.peer().state().is_some(),
        }
    }

    /// Puts the driver's next turn on the agenda.
    pub fn plan_turn(&mut self, stage: &mut Stage) {
        let due = if self.inbox.has_nothing_to_take() {
            self.driver.next_deadline().map(|deadline| self.clock.when(deadline))
        } else {
            Some(stage.agenda.now() + self.random.below(40))
        };
        let due = if self.turn == 0 { Some(0) } else { due };
        let Some(due) = due else { return };
        let due = due.max(self.rests_until).max(stage.agenda.now());
        if self.turn_at.is_none_or(|at| due < at) {
            self.turn += 1;
            self.turn_at = Some(due);
            self.plan(stage, due, PeerEvent::Turn(self.turn));
        }
    }

    fn plan(&self, stage: &mut Stage, at: Micros, event: PeerEvent) {
        stage.agenda.add(at, Happening::Peer(self.index, self.life, event));
    }

    /// Something on the agenda.
    ///
    /// # Errors
    /// The disk's, in words: the process must end.
    pub fn happen(
        &mut self,
        stage: &mut Stage,
        event: PeerEvent,
        sync_time: Micros,
    ) -> Result<(), String> {
        match event {
            PeerEvent::Turn(turn) if turn == self.turn => self.take_turn(stage, sync_time),
            PeerEvent::Turn(_) | PeerEvent::Unpause(_) | PeerEvent::Stopped => {}
            PeerEvent::Flushed => self.flushed(stage, sync_time)?,
            PeerEvent::PatienceIsOver(batch) if batch == self.batches => {
                self.inbox.patience_is_over();
            }
            PeerEvent::PatienceIsOver(_) => {}
            PeerEvent::Task(connection) => self.task(stage, connection),
            PeerEvent::Job(job) => self.job(stage, job)?,
        }
        Ok(())
    }

    fn take_turn(&mut self, stage: &mut Stage, sync_time: Micros) {
        self.turn_at = None;
        let mut inputs = Vec::new();
        let most = self.random.between(1, self.character.inputs as u64) as usize;
        let more = self.inbox.take(&mut inputs, most);
        if inputs.iter().any(|input| matches!(input, Input::Reloaded(_)))
            && let Some((zxid, recent)) = self.reloaded.take()
        {
            (self.committed, self.claimed) = (zxid, recent);
        }
        self.driver.turn(self.clock.now(), &mut inputs, more);
        self.rests_until = stage.agenda.now() + self.random.between(5, 40);
        let handed_out = std::mem::take(&mut *self.door.0.lock());
        self.observe(stage, &handed_out);
        self.carry_out(stage, handed_out, sync_time);
        self.flush(stage);
    }

    /// Writes down what the turn showed.
    fn observe(&mut self, stage: &mut Stage, handed_out: &HandedOut) {
        let (was, state) = (self.role, self.driver.peer().state());
        let led = was == Some(ServerState::Leading) || state == Some(ServerState::Leading);
        for effect in &handed_out.disk {
            self.observe_disk(stage, effect, led || state.is_none());
        }
        if was == Some(ServerState::Leading)
            && state != was
            && !self.established
            && tells_uptodate(handed_out)
        {
            // It was established and has left within one turn.
            self.is_established(stage);
        }
        if state != was {
            self.role = state;
            self.established = false;
            if let Some(state) = state {
                stage.server(self.sid, ServerEvent::Role(state));
            }
        }
        // A role that ends in this turn has caught up already.
        let ends = |seen: &Witnessed| matches!(seen.what, Seen::Serving(false));
        let serves = (self.serving || self.established) && !handed_out.witnessed.iter().any(ends);
        self.observe_committed(stage, serves);
        for witnessed in &handed_out.witnessed {
            self.observe_client(stage, witnessed);
        }
        let leads = state == Some(ServerState::Leading) && !self.established;
        if leads && (self.serving || tells_uptodate(handed_out)) {
            self.is_established(stage);
        }
    }

    /// A quorum has what this leader has.
    fn is_established(&mut self, stage: &mut Stage) {
        self.established = true;
        if let Some(member) = self.driver.peer().as_member() {
            stage.server(self.sid, ServerEvent::Established(member.current_epoch));
        }
        self.claims_hold(stage);
    }

    fn observe_disk(&mut self, stage: &mut Stage, effect: &DiskEffect, proposes: bool) {
        let (ticket, promise) = match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                let (zxid, txn) = (*zxid, stage.history.txn(txn));
                if proposes {
                    note_config(stage, zxid, effect);
                    stage.server(self.sid, ServerEvent::Proposed { zxid, txn });
                }
                self.logged.insert(zxid, txn);
                stage.server(self.sid, ServerEvent::LogRequested { zxid, txn });
                (*ticket, ServerEvent::Logged { zxid, txn })
            }
            DiskEffect::Truncate { ticket, to } => {
                self.logged.retain(|zxid, _| zxid <= to);
                stage.server(self.sid, ServerEvent::EndRequested { zxid: *to });
                (*ticket, ServerEvent::Truncated { to: *to })
            }
            DiskEffect::InstallSnapshot { ticket, zxid, .. } => {
                self.logged.clear();
                stage.server(self.sid, ServerEvent::EndRequested { zxid: *zxid });
                (*ticket, ServerEvent::SnapshotInstalled { zxid: *zxid })
            }
            DiskEffect::AcceptedEpoch { ticket, epoch } => {
                (*ticket, ServerEvent::AcceptedEpoch(*epoch))
            }
            DiskEffect::CurrentEpoch { ticket, epoch } => {
                (*ticket, ServerEvent::CurrentEpoch(*epoch))
            }
            DiskEffect::ActivateConfig { config, .. } => {
                if self.driver.peer().state() == Some(ServerState::Leading) {
                    let version = Zxid::from_long(config.version);
                    stage.history.enforced.push((stage.agenda.now(), version));
                }
                return;
            }
            DiskEffect::RollAndSnapshot | DiskEffect::LastSeenConfig { .. } => return,
        };
        self.promises.push_back((ticket, promise));
    }

    /// What entered the committed log since the last turn. What a server catches up with on its own,
    /// or is synchronized with by a leader that is not established yet, enters it as well; it is
    /// known to be committed when the server serves.
    fn observe_committed(&mut self, stage: &mut Stage, serves: bool) {
        let Some(member) = self.driver.peer().as_member() else { return };
        let log = &member.committed;
        if log.max() <= self.committed {
            return;
        }
        let (from, held) = (self.committed, log.min());
        if held > from.next() {
            let range = (std::ops::Bound::Excluded(from), std::ops::Bound::Excluded(held));
            self.claimed.extend(self.logged.range(range).map(|(zxid, txn)| (*zxid, *txn)));
        }
        for (zxid, txn) in log.after(from) {
            self.claimed.push((*zxid, stage.history.txn(txn)));
        }
        self.committed = log.max();
        if serves {
            self.claims_hold(stage);
        }
    }

    fn claims_hold(&mut self, stage: &mut Stage) {
        for (zxid, txn) in std::mem::take(&mut self.claimed) {
            if zxid <= self.known.get() {
                continue;
            }
            self.known.set(zxid);
            stage.server(self.sid, ServerEvent::Committed { zxid, txn });
        }
    }

    fn observe_client(&mut self, stage: &mut Stage, witnessed: &Witnessed) {
        let Witnessed { what, digest, mismatches } = witnessed;
        let (zxid, txn, how) = match what {
            // While it is synchronized, the leader may not have a quorum yet.
            Seen::Commit(zxid, txn) if self.serving || self.established || self.role.is_none() => {
                (*zxid, txn, How::Commit)
            }
            Seen::Commit(zxid, txn) => (*zxid, txn, How::CatchUp),
            Seen::CatchUp(zxid, txn) => (*zxid, txn, How::CatchUp),
            Seen::Serving(serving) => {
                self.serving = *serving;
                if *serving {
                    self.claims_hold(stage);
                }
                stage.server(self.sid, ServerEvent::Serving(*serving));
                return;
            }
        };
        if *mismatches > self.mismatches {
            self.mismatches = *mismatches;
            stage.server(self.sid, ServerEvent::DigestMismatch);
        }
        let (txn, digest) = (stage.history.txn(txn), Some(*digest));
        if self.role.is_none() {
            stage.server(self.sid, ServerEvent::Committed { zxid, txn });
        }
        stage.server(self.sid, ServerEvent::Applied { zxid, txn, how, digest });
    }

    fn carry_out(&mut self, stage: &mut Stage, handed_out: HandedOut, sync_time: Micros) {
        if handed_out.leads && !handed_out.disk.is_empty() {
            self.inbox.round_begins();
        }
        if self.leads && !handed_out.leads {
            self.inbox.rounds_are_over();
        }
        self.leads = handed_out.leads;
        for effect in handed_out.disk {
            if matches!(effect, DiskEffect::RollAndSnapshot) {
                self.take_snapshot(stage);
            }
            self.to_disk.push(disk_request(effect));
        }
        self.start_batch(stage, sync_time);
        self.send_to_others(stage, handed_out.trees_to_come, handed_out.links);
        for job in handed_out.jobs {
            self.begin_job(stage, job);
        }
    }

    /// The disk takes everything that waits, if it has nothing to do.
    fn start_batch(&mut self, stage: &mut Stage, sync_time: Micros) {
        if self.on_disk.is_some() || self.to_disk.is_empty() {
            return;
        }
        self.on_disk = Some(std::mem::take(&mut self.to_disk));
        self.batches += 1;
        let takes = self.random.about(sync_time);
        let at = stage.agenda.now() + takes;
        self.plan(stage, at, PeerEvent::Flushed);
    }

    fn flushed(&mut self, stage: &mut Stage, sync_time: Micros) -> Result<(), String> {
        let mut batch = self.on_disk.take().expect("a batch was under way");
        let persisted = self.queue.process(&mut batch).map_err(|error| error.to_string())?;
        while let Some((_, event)) =
            self.promises.pop_front_if(|(ticket, _)| *ticket <= persisted.ticket)
        {
            stage.server(self.sid, event);
        }
        let report = Input::Persisted(persisted.ticket);
        if let Some(patience) = self.inbox.report(report, self.to_disk.is_empty()).patience {
            let at = stage.agenda.now() + patience.as_micros() as Micros;
            self.plan(stage, at, PeerEvent::PatienceIsOver(self.batches));
        }
        self.start_batch(stage, sync_time);
        Ok(())
    }

    /// What was under way at the end goes as far as the disk lets it.
    pub fn flush_whatever(&mut self) {
        if let Some(mut batch) = self.on_disk.take() {
            let _ = self.queue.process(&mut batch);
        }
        self.end_jobs_anyhow();
    }

    /// It is told to stop: a leader gives up its leadership first.
    pub fn stop_soon(&mut self) {
        if self.role.is_some() {
            self.hear(Input::Stop);
        }
    }

    /// It ends in order: what was prepared is logged, the log is finished.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn stop(mut self) -> Result<(), String> {
        let mut rest = self.on_disk.take().unwrap_or_default();
        rest.append(&mut self.to_disk);
        self.queue.process(&mut rest).map_err(|error| error.to_string())?;
        self.queue.close().map_err(|error| error.to_string())
    }

    /// Somebody has dialled.
    pub fn accept(&mut self, stage: &mut Stage, dial: Dial, end: End) {
        if dial.port != Port::Client {
            return self.accept_server(stage, dial, end);
        }
        let flushes = self.flushes.clone();
        let connection = self.connections.open(|id| SimConnection::new(id, end, flushes));
        self.ends.insert(end, What::Client(connection.id()));
    }

    /// Something came over the network.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn arrive(&mut self, stage: &mut Stage, end: End, payload: Payload) -> Result<(), String> {
        match self.ends.get(&end) {
            Some(&What::Client(id)) => self.client_arrival(stage, id, payload),
            Some(&What::Link(link)) => return self.link_arrival(stage, link, payload),
            Some(&What::Mesh(peer)) => self.mesh_arrival(end, peer, payload),
            None => {}
        }
        Ok(())
    }

    fn client_arrival(&mut self, stage: &mut Stage, id: ConnectionId, payload: Payload) {
        let connection = self.connections.read().get(id).cloned();
        let Some(connection) = connection else { return };
        match payload {
            Payload::Bytes(bytes) => {
                let now_ms = self.clock.now().mono_ms;
                let pass = connection.core().receive(now_ms, &bytes, &self.around);
                if !pass.submissions.is_empty() {
                    self.inbox.submit(pass.submissions);
                }
            }
            Payload::Fin => {
                connection.core().client_is_done();
                self.drop_connection(stage, &connection);
                return;
            }
        }
        self.serve(stage, &connection);
    }

    /// Sends what the connections have to send after a turn.
    fn flush(&mut self, stage: &mut Stage) {
        let ToFlush { now, later } = std::mem::take(&mut *self.flushes.lock());
        let lazy: Vec<bool> =
            now.iter().map(|_| self.random.permille(self.character.lazy_flush)).collect();
        for (id, lazy) in now.into_iter().zip(lazy).chain(later.into_iter().map(|id| (id, true))) {
            if lazy {
                let at = stage.agenda.now() + self.random.below(2_000);
                self.plan(stage, at, PeerEvent::Task(id));
            } else {
                self.task(stage, id);
            }
        }
    }

    fn task(&mut self, stage: &mut Stage, id: ConnectionId) {
        let connection = self.connections.read().get(id).cloned();
        if let Some(connection) = connection {
            self.serve(stage, &connection);
        }
    }

    /// The connection's turn: what the server queued, then what the client asked meanwhile.
    fn serve(&mut self, stage: &mut Stage, connection: &Arc<SimConnection>) {
        let mut core = connection.core();
        loop {
            let now_ms = self.clock.now().mono_ms;
            let pass = core.resume(now_ms, &self.around);
            if !pass.submissions.is_empty() {
                self.inbox.submit(pass.submissions);
            }
            if let Some(bytes) = SimConnection::take_output(&mut core) {
                stage.network.send(&mut stage.agenda, connection.end, bytes);
            }
            connection.queue().set_unsent(0);
            let again = core.has_waiting_input() && connection.queue().is_filled();
            if !pass.more && !again {
                break;
            }
        }
        let over = core.ending().is_some() || core.is_done(&self.around);
        drop(core);
        if over {
            self.drop_connection(stage, connection);
        }
    }

    fn drop_connection(&mut self, stage: &mut Stage, connection: &Arc<SimConnection>) {
        self.ends.remove(&connection.end);
        self.connections.remove(connection.id());
        connection.queue().kill();
        self.around.watches.remove_connection(connection.id());
        stage.network.close(&mut stage.agenda, connection.end);
    }
}

/// Whether a learner is told that it may serve.
fn tells_uptodate(handed_out: &HandedOut) -> bool {
    handed_out
        .links
        .iter()
        .any(|effect| matches!(effect, LinkEffect::Send { packet: QuorumPacket::UpToDate, .. }))
}

/// A reconfiguration that is proposed is remembered for the checkers.
fn note_config(stage: &mut Stage, zxid: Zxid, effect: &DiskEffect) {
    let DiskEffect::Append { txn, .. } = effect else { return };
    let Ok(record) = TxnRecord::read(txn, MAX_FIELD) else { return };
    if record.header.txn_type != OpCode::Reconfig.to_int() {
        return;
    }
    let Txn::SetData { data: Some(text), .. } = record.txn else { return };
    if let Ok(config) = QuorumVerifier::parse(text) {
        stage.history.configs.push((zxid, Arc::new(config)));
    }
}
