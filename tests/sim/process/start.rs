//! The start of a process: from what is on its disk to a driver that may take its first turn.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use zkserver::auth::AuthPolicy;
use zkserver::metrics::Metrics;
use zkserver::persistence::restore::MemberRestoreOptions;
use zkserver::persistence::snapshot::{FirstSnapshot, SnapshotOptions, write_snapshot};
use zkserver::persistence::sync_queue::MemberFiles;
use zkserver::persistence::txn_log::ZeroFill;
use zkserver::persistence::{
    DataDir, DataDirOptions, RestoreOptions, SyncQueue, SyncQueueOptions, restore,
};
use zkserver::processor::connection::{ConnectionOptions, Surroundings};
use zkserver::processor::connections::Connections;
use zkserver::processor::container_manager::ContainerOptions;
use zkserver::processor::prep::PrepOptions;
use zkserver::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::{Epoch, LinkId, QuorumVerifier, Sid, Zxid};
use zkserver::quorum::member::{Member, MemberOptions};
use zkserver::quorum::peer::QuorumPeer;
use zkserver::quorum::standalone::Standalone;
use zkserver::server::carry_out::CarryOut;
use zkserver::server::driver::Driver;
use zkserver::server::inbox::Inbox;
use zkserver::server::member::{self, Started};
use zkserver::session::SessionTracker;
use zkserver::time::{Clock, Instant};
use zkserver::tree::{Database, SharedDatabase, TreeOptions};
use zkserver::watch::Watches;

use super::{Character, MAX_FIELD, Process, TICK_MS};
use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::doors::Door;
use crate::ensemble::Ensemble;
use crate::history::ServerEvent;
use crate::random::Random;
use crate::stage::Stage;
use crate::world::Upgrades;

const OWNERS: OwnerEncoding = OwnerEncoding { extended_types: true, emulate_353_ttl: false };

/// Where the dynamic configurations lie beside.
const CONFIG_FILE: &str = "/conf/zoo.cfg";

/// Where a process begins.
pub struct Beginning<'a> {
    /// Who it is.
    pub sid: Sid,
    /// Which of its lives it is.
    pub life: u64,
    /// With whom.
    pub ensemble: &'a Ensemble,
    /// How it is set up.
    pub character: Character,
    /// What it finds.
    pub disk: &'a SimDisk,
    /// Its machine's clock.
    pub clock: &'a Arc<SimClock>,
    /// The last that it was seen to know committed.
    pub known: Rc<Cell<Zxid>>,
    /// Whether an empty disk is meant.
    pub is_new: bool,
    /// What it draws.
    pub random: Random,
}

/// What was restored.
struct Restored {
    database: Database,
    replayed: u64,
    member: Option<Box<Member>>,
    first_snapshot: Option<FirstSnapshot>,
}

impl Process {
    /// A process that begins with what is on the disk; in words, why it does not.
    pub fn start(beginning: Beginning<'_>, stage: &mut Stage) -> Result<Self, String> {
        let Beginning { sid, life, ensemble, character, disk, clock, known, is_new, mut random } =
            beginning;
        let seed = random.next();
        let dir = DataDir::open(Arc::new(disk.clone()), &data_dir()).map_err(|e| e.to_string())?;
        let dir = Arc::new(dir);
        let restored = match ensemble.config() {
            None => restored_alone(&dir, character, seed)?,
            Some(config) => restored_member(sid, &dir, character, seed, is_new, config)?,
        };
        let Restored { mut database, replayed, member, first_snapshot } = restored;
        let now = clock.now();
        let (last_zxid, digest) = (database.last_processed(), database.tree.digest());
        let (accepted, current, may_vote) =
            member.as_ref().map_or((Epoch(0), Epoch(0), true), |member| {
                (member.accepted_epoch, member.current_epoch, member.may_vote)
            });
        stage.server(sid, ServerEvent::Started { last_zxid, digest, accepted, current, may_vote });
        let alone = member.is_none();
        let members = match member.as_ref() {
            None => vec![sid],
            Some(member) => member.configs.current.members.keys().copied().collect(),
        };
        let current_config = member.as_ref().map(|member| member.configs.current.clone());
        // All of it is committed as soon as it is served.
        let recent = member.iter().flat_map(|member| member.committed.iter());
        let claimed = recent.map(|(zxid, txn)| (*zxid, stage.history.txn(txn))).collect();
        let peer = match member {
            None => {
                database.start_serving();
                let sync = SyncRequestProcessor::new(character.schedule(), seed, replayed, 0);
                alone_peer(sid, sync, seed, now, &database)
            }
            Some(member) => QuorumPeer::member(*member),
        };
        let database = Arc::new(SharedDatabase::new(database));
        let metrics = Arc::new(Metrics::new(seed));
        let watches = Arc::new(Watches::new(seed));
        let connections = Arc::new(Connections::new(seed));
        let policy = policy();
        let clients = CarryOut::new(
            database.clone(),
            watches.clone(),
            policy.clone(),
            MAX_FIELD,
            connections.clone(),
            metrics.clone(),
            seed,
        );
        let clients = match current_config {
            None => clients,
            Some(config) => clients.with_config(config),
        };
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
        let queue = match alone {
            true => queue,
            false => queue.with_member_files(MemberFiles {
                dir: dir.clone(),
                config: Some(CONFIG_FILE.into()),
                first_snapshot,
            }),
        };
        let options = connection_options();
        let around = Surroundings { database: database.clone(), watches, policy, options };
        Ok(Process {
            sid,
            index: sid.0 as usize - 1,
            life,
            random,
            seed,
            character,
            clock: clock.clone(),
            disk: disk.clone(),
            dir,
            driver,
            database,
            around,
            connections,
            flushes: Arc::default(),
            ends: BTreeMap::new(),
            links: BTreeMap::new(),
            next_accepted: LinkId::FIRST_ACCEPTED,
            mesh: BTreeMap::new(),
            members,
            inbox: match alone || !character.rounds {
                true => Inbox::default(),
                false => Inbox::in_rounds(clock.clone()),
            },
            door,
            queue,
            to_disk: Vec::new(),
            on_disk: None,
            batches: 0,
            leads: false,
            promises: VecDeque::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            snapshot_runs: false,
            turn: 0,
            turn_at: (!alone).then_some(u64::MAX),
            rests_until: 0,
            serving: alone,
            established: false,
            role: None,
            committed: last_zxid,
            claimed,
            reloaded: None,
            known,
            logged: BTreeMap::new(),
            mismatches: 0,
        })
    }
}

fn restored_alone(dir: &DataDir, character: Character, seed: u64) -> Result<Restored, String> {
    let restored = restore(dir, &restore_options(seed)).map_err(|e| e.to_string())?;
    let (needs_snapshot, replayed) = (restored.needs_snapshot(), restored.txns_replayed);
    let database = SharedDatabase::new(restored.database);
    if needs_snapshot {
        let capture = database.begin_snapshot();
        let (disk, into) = (&**dir.disk(), dir.snapshot_dir());
        write_snapshot(disk, into, &database, capture, character.snapshots(), |_| ())
            .map_err(|e| e.to_string())?;
    }
    let database = database.into_inner();
    Ok(Restored { database, replayed, member: None, first_snapshot: None })
}

fn restored_member(
    sid: Sid,
    dir: &DataDir,
    character: Character,
    seed: u64,
    is_new: bool,
    config: &Arc<QuorumVerifier>,
) -> Result<Restored, String> {
    let mut restore = member_restore_options(character, seed);
    restore.restore.db_autocreate = is_new;
    let beginning = member::Beginning {
        me: sid,
        config: config.clone(),
        config_file: Some(Path::new(CONFIG_FILE)),
        options: member_options(character, seed),
        restore,
        schedule: character.schedule(),
        seed,
    };
    let started = member::start(dir, beginning, &mut |_| ()).map_err(|e| e.to_string())?;
    let Started { member, database, report, first_snapshot } = started;
    let (replayed, member) = (report.txns_replayed, Some(Box::new(member)));
    Ok(Restored { database, replayed, member, first_snapshot })
}

fn alone_peer(
    sid: Sid,
    sync: SyncRequestProcessor,
    seed: u64,
    now: Instant,
    database: &Database,
) -> QuorumPeer {
    let sessions = SessionTracker::new(TICK_MS, sid.0 as u8, now.wall_ms);
    let (prep, containers) = (prep_options(seed), containers());
    QuorumPeer::standalone(Standalone::new(now, prep, sync, sessions, containers, database))
}

fn member_options(character: Character, seed: u64) -> MemberOptions {
    MemberOptions {
        tick_ms: TICK_MS,
        init_limit: 10,
        sync_limit: 5,
        connect_to_learner_master_limit: 0,
        leader_connect_delay_ms: 100,
        min_notification_ms: 40,
        max_notification_ms: 2_000,
        finalize_wait_ms: 40,
        observer_election_delay_ms: 100,
        observer_reconnect_delay_ms: 0,
        max_time_to_wait_for_epoch_ms: character.epoch_patience_ms,
        commit_log_count: character.commit_log,
        force_snapshot_sync: character.force_snapshot,
        max_concurrent_snap_syncs: 10,
        max_concurrent_diff_syncs: 100,
        leader_serves: character.leader_serves,
        observer_logs: character.observer_logs,
        reconfig_enabled: true,
        standalone_enabled: true,
        multi_address: false,
        last_counter: character.last_counter,
        local_sessions: character.local_sessions.is_some(),
        local_sessions_upgrade: character.local_sessions == Some(Upgrades(true)),
        prep: prep_options(seed),
        containers: containers(),
    }
}

fn containers() -> ContainerOptions {
    ContainerOptions { check_interval_ms: 700, max_per_minute: 10_000, max_never_used_ms: 0 }
}

impl Character {
    /// When its snapshots are due.
    fn schedule(self) -> SnapshotSchedule {
        SnapshotSchedule { snap_count: self.snap_count, snap_size_limit_bytes: None }
    }

    /// How its snapshots are written.
    pub(super) fn snapshots(self) -> SnapshotOptions {
        SnapshotOptions { digest: true, last_zxid: true, compression: self.compression }
    }
}

/// How a member is restored.
pub(super) fn member_restore_options(character: Character, seed: u64) -> MemberRestoreOptions {
    MemberRestoreOptions {
        restore: restore_options(seed),
        snapshot: character.snapshots(),
        commit_log_count: character.commit_log,
    }
}

fn data_dir() -> DataDirOptions {
    DataDirOptions { data_dir: PathBuf::from("/data"), data_log_dir: None, autocreate: true }
}

pub(super) fn tree_options(seed: u64) -> TreeOptions {
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
        policy: policy(),
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

/// Whoever comes may change the configuration.
fn policy() -> AuthPolicy {
    AuthPolicy { skip_acl: true, ..AuthPolicy::default() }
}
