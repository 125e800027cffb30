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

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use zkserver::auth::AuthPolicy;
use zkserver::metrics::Metrics;
use zkserver::persistence::snapshot::{Compression, SnapshotOptions, write_snapshot};
use zkserver::persistence::txn_log::ZeroFill;
use zkserver::persistence::{
    DataDir, DataDirOptions, DiskRequest, RestoreOptions, SyncQueue, SyncQueueOptions, restore,
};
use zkserver::processor::connection::{ConnectionOptions, Surroundings};
use zkserver::processor::connections::{Connection, Connections};
use zkserver::processor::container_manager::ContainerOptions;
use zkserver::processor::prep::PrepOptions;
use zkserver::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::{ConnectionId, Epoch, ServerState, Sid, Ticket, Zxid};
use zkserver::quorum::effect::{DiskEffect, Input};
use zkserver::quorum::peer::QuorumPeer;
use zkserver::quorum::standalone::Standalone;
use zkserver::server::carry_out::CarryOut;
use zkserver::server::driver::Driver;
use zkserver::server::inbox::Inbox;
use zkserver::session::SessionTracker;
use zkserver::time::Clock;
use zkserver::tree::{SharedDatabase, SnapshotCapture, TreeOptions};
use zkserver::watch::Watches;

use crate::clock::SimClock;
use crate::connection::{SimConnection, ToFlush};
use crate::disk::SimDisk;
use crate::doors::{Door, HandedOut, Job, Seen, Witnessed};
use crate::ensemble::Ensemble;
use crate::history::{How, Micros, ServerEvent, TxnHash};
use crate::network::{Dial, End, Payload, Port};
use crate::peer::PeerEvent;
use crate::random::Random;
use crate::stage::{Happening, Stage};

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
}

impl Character {
    /// A seed's.
    pub fn draw(random: &mut Random) -> Self {
        Character {
            snap_count: random.pick(&[40, 200, 1_000, 100_000]),
            inputs: random.pick(&[1, 4, 64, 256]),
            compression: random.pick(&[Compression::None, Compression::None, Compression::Snappy]),
            lazy_flush: random.pick(&[0, 100, 500]),
            purges: random.coin(),
        }
    }
}

/// `tickTime`: small, so that a run meets many elections.
pub const TICK_MS: u64 = 200;

const OWNERS: OwnerEncoding = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
const MAX_FIELD: usize = 1 << 20;

type SimDriver = Driver<Door, Door, Door, SimConnection>;

/// A running process.
pub struct Process {
    sid: Sid,
    index: usize,
    life: u64,
    random: Random,
    character: Character,
    clock: Arc<SimClock>,
    disk: SimDisk,
    dir: Arc<DataDir>,
    driver: SimDriver,
    database: Arc<SharedDatabase>,
    around: Surroundings,
    connections: Arc<Connections<SimConnection>>,
    flushes: Arc<Mutex<ToFlush>>,
    by_end: BTreeMap<End, ConnectionId>,
    inbox: Inbox,
    door: Door,
    queue: SyncQueue,
    /// What waits for the disk, and what it is about to do.
    to_disk: Vec<DiskRequest>,
    on_disk: Option<Vec<DiskRequest>>,
    /// What is durable when its ticket is reported.
    promises: VecDeque<(Ticket, ServerEvent)>,
    jobs: BTreeMap<u64, Slow>,
    next_job: u64,
    snapshot_runs: bool,
    turn: u64,
    turn_at: Option<Micros>,
    rests_until: Micros,
    serving: bool,
    role: Option<ServerState>,
    committed: Zxid,
    mismatches: u64,
}

/// Slow work under way.
enum Slow {
    Snapshot(SnapshotCapture),
}

fn data_dir() -> DataDirOptions {
    DataDirOptions { data_dir: PathBuf::from("/data"), data_log_dir: None, autocreate: true }
}

fn tree_options(seed: u64) -> TreeOptions {
    TreeOptions { owners: OWNERS, digest_enabled: true, hash_seed: seed }
}

fn restore_options(seed: u64) -> RestoreOptions {
    RestoreOptions {
        tree: tree_options(seed),
        max_record: MAX_FIELD,
        db_autocreate: true,
        snapshot_trust_empty: false,
        force_sync: true,
    }
}

fn prep_options(seed: u64) -> PrepOptions {
    PrepOptions {
        policy: AuthPolicy::default(),
        owners: OWNERS,
        digest_enabled: true,
        close_session_txn: true,
        multi_has_create2: true,
        reconfig_enabled: true,
        enforce_quota: false,
        max_txn_bytes: MAX_FIELD,
        max_field_bytes: MAX_FIELD,
        hash_seed: seed,
    }
}

fn connection_options() -> ConnectionOptions {
    ConnectionOptions {
        max_frame_bytes: MAX_FIELD,
        max_field_bytes: MAX_FIELD,
        min_session_timeout_ms: 2 * TICK_MS as i32,
        max_session_timeout_ms: 20 * TICK_MS as i32,
        words: &[],
        throttle: None,
        large_requests: None,
        word_with_number: None,
    }
}

impl Process {
    /// A process that begins with what is on the disk; in words, why it does not.
    #[allow(clippy::too_many_arguments, reason = "a process is made in one place only")]
    pub fn start(
        sid: Sid,
        life: u64,
        ensemble: &Ensemble,
        character: Character,
        disk: &SimDisk,
        clock: &Arc<SimClock>,
        mut random: Random,
        stage: &mut Stage,
    ) -> Result<Self, String> {
        let seed = random.next();
        assert!(ensemble.is_alone(), "members are not simulated yet");
        let dir = DataDir::open(Arc::new(disk.clone()), &data_dir()).map_err(|e| e.to_string())?;
        let dir = Arc::new(dir);
        let restored = restore(&dir, &restore_options(seed)).map_err(|e| e.to_string())?;
        let (needs_snapshot, replayed) = (restored.needs_snapshot(), restored.txns_replayed);
        let database = Arc::new(SharedDatabase::new(restored.database));
        let compression = character.compression;
        let snapshots = SnapshotOptions { digest: true, last_zxid: true, compression };
        if needs_snapshot {
            let capture = database.begin_snapshot();
            write_snapshot(disk, dir.snapshot_dir(), &database, capture, snapshots, |_| ())
                .map_err(|e| e.to_string())?;
        }
        let now = clock.now();
        let (last_zxid, digest) = {
            let db = database.read();
            (db.last_processed(), db.tree.digest())
        };
        let schedule =
            SnapshotSchedule { snap_count: character.snap_count, snap_size_limit_bytes: None };
        let sync = SyncRequestProcessor::new(schedule, seed, replayed, 0);
        let containers = ContainerOptions {
            check_interval_ms: 5_000,
            max_per_minute: 10_000,
            max_never_used_ms: 0,
        };
        let peer = {
            let mut db = database.write();
            db.start_serving();
            let sessions = SessionTracker::new(TICK_MS, sid.0 as u8, now.wall_ms);
            let prep = prep_options(seed);
            QuorumPeer::standalone(Standalone::new(now, prep, sync, sessions, containers, &db))
        };
        stage.server(
            sid,
            ServerEvent::Started {
                last_zxid,
                digest,
                accepted: Epoch(0),
                current: Epoch(0),
                may_vote: true,
            },
        );
        let metrics = Arc::new(Metrics::new(seed));
        let watches = Arc::new(Watches::new(seed));
        let connections = Arc::new(Connections::new(seed));
        let policy = AuthPolicy::default();
        let clients = CarryOut::new(
            database.clone(),
            watches.clone(),
            policy.clone(),
            MAX_FIELD,
            connections.clone(),
            metrics.clone(),
            seed,
        );
        let door = Door::default();
        let doors = (door.clone(), door.clone(), door.clone());
        let driver = Driver::new(peer, database.clone(), doors, clients, metrics, clock.clone());
        let queue = SyncQueue::new(
            Arc::new(disk.clone()),
            dir.log_dir().to_owned(),
            last_zxid,
            SyncQueueOptions { pre_alloc_kb: 4, ..SyncQueueOptions::default() },
            clock.clone(),
            Box::new(ZeroFill::run),
        );
        let options = connection_options();
        let around = Surroundings { database: database.clone(), watches, policy, options };
        Ok(Process {
            sid,
            index: sid.0 as usize - 1,
            life,
            random,
            character,
            clock: clock.clone(),
            disk: disk.clone(),
            dir,
            driver,
            database,
            around,
            connections,
            flushes: Arc::default(),
            by_end: BTreeMap::new(),
            inbox: Inbox::default(),
            door,
            queue,
            to_disk: Vec::new(),
            on_disk: None,
            promises: VecDeque::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            snapshot_runs: false,
            turn: 0,
            turn_at: None,
            rests_until: 0,
            serving: ensemble.is_alone(),
            role: None,
            committed: last_zxid,
            mismatches: 0,
        })
    }

    /// Whether it leads and serves, or is alone.
    pub fn leads(&self) -> bool {
        let leads = matches!(self.driver.peer().state(), None | Some(ServerState::Leading));
        leads && self.serving
    }

    /// The last transaction in its tree, and the tree's digest.
    pub fn tree_state(&self) -> (Zxid, u64) {
        let db = self.database.read();
        (db.last_processed(), db.tree.digest())
    }

    /// Whether somebody listens at the port.
    pub fn listens(&self, port: Port) -> bool {
        match port {
            Port::Client => true,
            Port::Election | Port::Quorum(_) => false,
        }
    }

    /// Puts the driver's next turn on the agenda.
    pub fn plan_turn(&mut self, stage: &mut Stage) {
        let due = if self.inbox.is_empty() {
            self.driver.next_deadline().map(|deadline| self.clock.when(deadline))
        } else {
            Some(stage.agenda.now() + self.random.below(40))
        };
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
            PeerEvent::Turn(_) | PeerEvent::Unpause(_) => {}
            PeerEvent::Flushed => self.flushed(stage, sync_time)?,
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
        self.driver.turn(self.clock.now(), &mut inputs, more);
        self.rests_until = stage.agenda.now() + self.random.between(5, 40);
        let handed_out = std::mem::take(&mut *self.door.0.lock());
        self.observe(stage, &handed_out.witnessed);
        self.carry_out(stage, handed_out, sync_time);
        self.flush(stage);
    }

    /// Writes down what the turn showed.
    fn observe(&mut self, stage: &mut Stage, witnessed: &[Witnessed]) {
        let state = self.driver.peer().state();
        if state != self.role {
            self.role = state;
            if let Some(state) = state {
                stage.server(self.sid, ServerEvent::Role(state));
            }
        }
        for Witnessed { what, digest, mismatches } in witnessed {
            let (zxid, txn, how) = match what {
                Seen::Commit(zxid, txn) => (*zxid, txn, How::Commit),
                Seen::CatchUp(zxid, txn) => (*zxid, txn, How::CatchUp),
                Seen::Serving(serving) => {
                    self.serving = *serving;
                    stage.server(self.sid, ServerEvent::Serving(*serving));
                    continue;
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
    }

    fn carry_out(&mut self, stage: &mut Stage, handed_out: HandedOut, sync_time: Micros) {
        for effect in handed_out.disk {
            self.give_to_disk(stage, effect);
        }
        self.start_batch(stage, sync_time);
        for job in handed_out.jobs {
            match job {
                Job::SendSnapshot(..) | Job::Reload(_) | Job::ActivateConfig(_) => {
                    unreachable!("a server that is alone asks for none")
                }
            }
        }
    }

    fn give_to_disk(&mut self, stage: &mut Stage, effect: DiskEffect) {
        let request = match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                let hash: TxnHash = stage.history.txn(&txn);
                stage.server(self.sid, ServerEvent::LogRequested { zxid, txn: hash });
                self.promises.push_back((ticket, ServerEvent::Logged { zxid, txn: hash }));
                DiskRequest::Append { ticket, zxid, bytes: txn }
            }
            DiskEffect::RollAndSnapshot => {
                self.take_snapshot(stage);
                DiskRequest::Roll
            }
            _ => unreachable!("a server that is alone asks for none"),
        };
        self.to_disk.push(request);
    }

    /// The disk takes everything that waits, if it has nothing to do.
    fn start_batch(&mut self, stage: &mut Stage, sync_time: Micros) {
        if self.on_disk.is_some() || self.to_disk.is_empty() {
            return;
        }
        self.on_disk = Some(std::mem::take(&mut self.to_disk));
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
        self.inbox.push_first(Input::Persisted(persisted.ticket));
        self.start_batch(stage, sync_time);
        Ok(())
    }

    /// What was under way at the end goes as far as the disk lets it.
    pub fn flush_whatever(&mut self) {
        let slow = std::mem::take(&mut self.jobs);
        if let Some(mut batch) = self.on_disk.take() {
            let _ = self.queue.process(&mut batch);
        }
        for (_, job) in slow {
            match job {
                Slow::Snapshot(capture) => {
                    let _ = self.write_snapshot(capture);
                }
            }
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

    fn take_snapshot(&mut self, stage: &mut Stage) {
        if std::mem::replace(&mut self.snapshot_runs, true) {
            return;
        }
        // It shows the database as it is when the job gets hold of it.
        let capture = self.database.begin_snapshot();
        self.begin(stage, Slow::Snapshot(capture), 300_000);
    }

    /// Begins slow work that takes about so long.
    fn begin(&mut self, stage: &mut Stage, work: Slow, takes: Micros) {
        self.next_job += 1;
        self.jobs.insert(self.next_job, work);
        let at = stage.agenda.now() + self.random.about(takes);
        self.plan(stage, at, PeerEvent::Job(self.next_job));
    }

    fn job(&mut self, _stage: &mut Stage, job: u64) -> Result<(), String> {
        let Some(work) = self.jobs.remove(&job) else { return Ok(()) };
        match work {
            Slow::Snapshot(capture) => {
                self.snapshot_runs = false;
                self.write_snapshot(capture)
            }
        }
    }

    fn write_snapshot(&self, capture: SnapshotCapture) -> Result<(), String> {
        let compression = self.character.compression;
        let options = SnapshotOptions { digest: true, last_zxid: true, compression };
        let (dir, database) = (self.dir.snapshot_dir(), &self.database);
        match write_snapshot(&self.disk, dir, database, capture, options, |_| ()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Somebody has dialled.
    pub fn accept(&mut self, stage: &mut Stage, dial: Dial, end: End) {
        match dial.port {
            Port::Client => {
                let flushes = self.flushes.clone();
                let connection = self.connections.open(|id| SimConnection::new(id, end, flushes));
                self.by_end.insert(end, connection.id());
            }
            Port::Election | Port::Quorum(_) => stage.network.close(&mut stage.agenda, end),
        }
    }

    /// An own dial was answered.
    pub fn dialled(&mut self, stage: &mut Stage, _dial: Dial, end: Option<End>) {
        if let Some(end) = end {
            stage.network.close(&mut stage.agenda, end);
        }
    }

    /// Something came over the network.
    pub fn arrive(&mut self, stage: &mut Stage, end: End, payload: Payload) {
        let Some(&id) = self.by_end.get(&end) else { return };
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
        self.by_end.remove(&connection.end);
        self.connections.remove(connection.id());
        connection.queue().kill();
        self.around.watches.remove_connection(connection.id());
        stage.network.close(&mut stage.agenda, connection.end);
    }
}
