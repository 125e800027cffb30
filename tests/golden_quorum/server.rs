//! Our server on a stage: the production core, a tree, and a disk in memory that reports what it is
//! asked for after each step.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use zkserver::auth::AuthPolicy;
use zkserver::persistence::snapshot::{Compression, SnapshotOptions, SnapshotSpool, spool_name};
use zkserver::persistence::{
    DataDir, DataDirOptions, MemberRestoreOptions, RealDisk, RestoreOptions, history,
    restore_history,
};
use zkserver::processor::container_manager::ContainerOptions;
use zkserver::processor::prep::PrepOptions;
use zkserver::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use zkserver::proto::membership::LearnerType;
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::txns::TxnRecord;
use zkserver::proto::{
    Epoch, LinkId, Notification, QuorumPacket, QuorumVerifier, ServerState, SessionId, Sid, Ticket,
    Vote, Zxid,
};
use zkserver::quorum::committed_log::CommittedLog;
use zkserver::quorum::configs::Configs;
use zkserver::quorum::durable::Tickets;
use zkserver::quorum::effect::{
    ClientEffect, DiskEffect, Effects, Input, LinkEffect, LogSurvey, Restored,
};
use zkserver::quorum::member::{Member, MemberOptions};
use zkserver::quorum::peer::QuorumPeer;
use zkserver::session::SessionTouch;
use zkserver::time::Instant;
use zkserver::tree::{Database, TreeOptions};

use crate::recording::MAX_LENGTH;

const OWNERS: OwnerEncoding = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
const TREE: TreeOptions = TreeOptions { owners: OWNERS, digest_enabled: true, hash_seed: 7 };

/// The first members of the captured ensemble, as their files have them.
pub fn first_config() -> QuorumVerifier {
    let line = |n| format!("server.{n}=127.0.0.1:231{n}1:231{n}2:participant;127.0.0.1:231{n}0\n");
    let text = format!("{}{}{}version=0", line(1), line(2), line(3));
    QuorumVerifier::parse(text.as_bytes()).expect("a configuration")
}

pub struct Server {
    peer: QuorumPeer,
    pub db: Database,
    pub now_ms: u64,
    pub wall_ms: i64,
    asked: Ticket,
    reported: Ticket,
    /// What its threads report next.
    reports: VecDeque<Input>,
    reload: bool,
    /// The stream that came last.
    stream: Bytes,
    /// The snapshot on the disk.
    snapshot: Option<(Zxid, Bytes)>,
    /// What is on the disk behind the snapshot.
    pub log: Vec<(Zxid, Bytes)>,
    /// What was sent, and not yet taken from here.
    pub sent: Vec<(LinkId, QuorumPacket)>,
    /// What was told in elections, likewise.
    pub told: Vec<(Sid, Notification)>,
    /// The last leader that was dialled.
    pub dialled: Option<(LinkId, Sid)>,
    /// Links that it ended, and why.
    pub closed: Vec<(LinkId, String)>,
    /// Transactions that clients may see, in order.
    pub let_go: Vec<Zxid>,
    /// How many clients were answered by a transaction, and by a sync.
    pub answered: usize,
    pub synced: usize,
    /// Sessions that were resumed, and refused.
    pub resumed: Vec<SessionId>,
    pub refused: Vec<SessionId>,
    /// The trees that were sent.
    pub trees: Vec<(Zxid, TreeInShort)>,
    /// The sessions it serves.
    pub touches: Vec<(SessionId, Arc<SessionTouch>)>,
}

/// What a server begins with.
pub struct Beginning {
    pub sid: i64,
    pub config: QuorumVerifier,
    pub accepted: u32,
    pub current: u32,
    pub history: Vec<(Zxid, Bytes)>,
    pub peer_type: LearnerType,
    pub reconfig_enabled: bool,
}

impl Beginning {
    /// A server that has nothing.
    pub fn empty(sid: i64) -> Self {
        let (config, history, peer_type) = (first_config(), Vec::new(), LearnerType::Participant);
        let (accepted, current, reconfig_enabled) = (0, 0, true);
        Beginning { sid, config, accepted, current, history, peer_type, reconfig_enabled }
    }

    /// A server of epoch 1, with the configuration of that version, and this history.
    pub fn of_epoch_1(sid: i64, config_version: i64, history: &[(Zxid, Bytes)]) -> Self {
        let mut config = first_config();
        config.version = config_version;
        let history = history.to_vec();
        Beginning { config, accepted: 1, current: 1, history, ..Beginning::empty(sid) }
    }

    pub fn start(self) -> Server {
        Server::new(self)
    }
}

impl Server {
    fn new(beginning: Beginning) -> Self {
        let Beginning { sid, config, accepted, current, history, peer_type, reconfig_enabled } =
            beginning;
        let me = Sid(sid);
        let mut db = Database::new(TREE);
        let mut committed = CommittedLog::new(Zxid::ZERO, 500);
        for (zxid, txn) in &history {
            db.apply(&TxnRecord::read(txn, MAX_LENGTH).expect("a transaction"), &mut ());
            committed.push(*zxid, txn.clone());
        }
        let schedule = SnapshotSchedule { snap_count: 1_000_000, snap_size_limit_bytes: None };
        let peer = QuorumPeer::member(Member {
            me,
            options: member_options(peer_type, reconfig_enabled),
            configs: Configs::new(Arc::new(config)),
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            tickets: Tickets::default(),
            last_logged: committed.max(),
            committed,
            has_data: true,
            may_vote: true,
            database_is_current: true,
            reloading: false,
            round: 0,
            vote: (Vote { leader: me, zxid: 0, peer_epoch: 0 }, 0),
            connected: BTreeSet::new(),
            sync: SyncRequestProcessor::new(schedule, 7, 0, 0),
            random: 7,
            next_link: LinkId(0),
        });
        let mut server = Server {
            peer,
            db,
            now_ms: 0,
            wall_ms: 0,
            asked: Ticket::default(),
            reported: Ticket::default(),
            reports: VecDeque::new(),
            reload: false,
            stream: Bytes::new(),
            snapshot: None,
            log: history,
            sent: Vec::new(),
            told: Vec::new(),
            dialled: None,
            closed: Vec::new(),
            let_go: Vec::new(),
            answered: 0,
            synced: 0,
            resumed: Vec::new(),
            refused: Vec::new(),
            trees: Vec::new(),
            touches: Vec::new(),
        };
        server.take(Input::Tick);
        server
    }

    pub fn member(&self) -> &Member {
        self.peer.as_member().expect("a member")
    }

    pub fn state(&self) -> ServerState {
        self.peer.state().expect("a member")
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.peer.next_deadline()
    }

    /// Takes an input, and everything the disk reports behind it.
    pub fn take(&mut self, input: Input) {
        self.step(input);
        loop {
            if self.reported < self.asked {
                self.reported = self.asked;
                self.step(Input::Persisted(self.asked));
            } else if std::mem::take(&mut self.reload) {
                let restored = self.restore();
                self.step(Input::Reloaded(restored));
            } else if let Some(report) = self.reports.pop_front() {
                self.step(report);
            } else {
                return;
            }
        }
    }

    /// Looks for a leader no longer: a quorum says that it follows `leader`.
    pub fn hears_who_leads(&mut self, leader: Sid) {
        let config = self.member().configs.current.clone();
        for from in config.voters() {
            let led = from == leader;
            let state = if led { ServerState::Leading } else { ServerState::Following };
            let vote = Vote { leader, zxid: 0, peer_epoch: 1 };
            let notification = Notification { state, vote, round: 1, version: 2, config: None };
            if from != self.member().me {
                self.take(Input::Notified { from, notification });
            }
        }
        let (_, dialled) = self.dialled.expect("it dials");
        assert_eq!(dialled, leader);
    }

    /// Time passes until then; the core is woken whenever it wants to be.
    pub fn pass_time_until(&mut self, ms: u64) {
        while let Some(deadline) = self.next_deadline().filter(|deadline| *deadline <= ms) {
            self.now_ms = self.now_ms.max(deadline);
            self.take(Input::Tick);
        }
        self.now_ms = self.now_ms.max(ms);
    }

    /// The session's connection has heard of its client.
    pub fn touch(&mut self, session: SessionId) {
        let now_ms = self.now_ms;
        let of_session = self.touches.iter().filter(|(id, _)| *id == session);
        of_session.for_each(|(_, touch)| touch.touch(now_ms));
    }

    /// The stream behind a SNAP packet has come.
    pub fn snapshot_arrived(&mut self, link: LinkId, stream: Bytes) {
        self.stream = stream;
        self.take(Input::SnapshotArrived(link));
    }

    fn step(&mut self, input: Input) {
        let mut effects = Effects::default();
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.wall_ms };
        self.peer.step(now, input, &self.db, &mut effects);
        for effect in effects.disk {
            self.disk(effect);
        }
        let said_before = self.sent.len();
        for effect in effects.links {
            self.link(effect);
        }
        for effect in effects.client {
            match effect {
                // What was sent over the link in this step goes behind it.
                ClientEffect::SendSnapshot { link, zxid } => {
                    assert_eq!(zxid, self.db.last_processed());
                    self.trees.push((zxid, tree_in_short(&self.db)));
                    self.sent.insert(said_before, (link, QuorumPacket::Snap { zxid }));
                }
                effect => self.client(effect),
            }
        }
    }

    fn disk(&mut self, effect: DiskEffect) {
        self.asked = match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                self.log.push((zxid, txn));
                ticket
            }
            DiskEffect::Truncate { ticket, to } => {
                self.log.retain(|(zxid, _)| *zxid <= to);
                ticket
            }
            DiskEffect::InstallSnapshot { ticket, zxid, .. } => {
                self.snapshot = Some((zxid, self.stream.clone()));
                self.log.clear();
                ticket
            }
            DiskEffect::AcceptedEpoch { ticket, .. }
            | DiskEffect::CurrentEpoch { ticket, .. }
            | DiskEffect::LastSeenConfig { ticket, .. }
            | DiskEffect::ActivateConfig { ticket, .. } => ticket,
            DiskEffect::RollAndSnapshot => return,
        };
    }

    fn link(&mut self, effect: LinkEffect) {
        match effect {
            LinkEffect::Notify { to, notification } => self.told.push((to, notification)),
            LinkEffect::ConnectMesh => {}
            LinkEffect::Dial { link, leader } => self.dialled = Some((link, leader)),
            LinkEffect::Send { link, packet } => self.sent.push((link, packet)),
            LinkEffect::Close { link, why } => self.closed.push((link, why)),
            LinkEffect::SurveyLog { link, peer, .. } => {
                let here = self.log.iter().rposition(|(zxid, _)| *zxid <= peer);
                let survey = here.and_then(|at| {
                    let after = self.log.get(at + 1)?.0;
                    Some(LogSurvey { at_or_before: self.log[at].0, after })
                });
                self.reports.push_back(Input::LogSurveyed { link, survey });
            }
            LinkEffect::SendLog { .. } => panic!("everything is in memory"),
        }
    }

    fn client(&mut self, effect: ClientEffect) {
        match effect {
            ClientEffect::Commit(proposal) => {
                self.apply(proposal.zxid, &proposal.txn);
                self.answered += usize::from(proposal.origin.is_some());
                if let Some(new) = proposal.new_session {
                    self.touches.push((proposal.session, new.touch));
                }
            }
            ClientEffect::CatchUp { zxid, txn } => self.apply(zxid, &txn),
            ClientEffect::AnswerSync(..) => self.synced += 1,
            ClientEffect::Resume(resumption) => {
                self.resumed.push(resumption.grant.session);
                self.touches.push((resumption.grant.session, resumption.grant.touch));
            }
            ClientEffect::Refuse { session, .. } => self.refused.push(session),
            ClientEffect::Reload => self.reload = true,
            ClientEffect::StartServing
            | ClientEffect::StopServing
            | ClientEffect::ActivateConfig(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn apply(&mut self, zxid: Zxid, txn: &[u8]) {
        let record = TxnRecord::read(txn, MAX_LENGTH).expect("a transaction");
        self.db.apply(&record, &mut ());
        self.let_go.push(zxid);
        self.reports.push_back(Input::Applied(zxid));
    }

    fn restore(&mut self) -> Restored {
        let mut db = match &self.snapshot {
            Some((zxid, stream)) => tree_of(*zxid, stream),
            None => Database::new(TREE),
        };
        for (_, txn) in &self.log {
            db.apply(&TxnRecord::read(txn, MAX_LENGTH).expect("a transaction"), &mut ());
        }
        let last_zxid = db.last_processed();
        self.db.replace(db);
        Restored { last_zxid, recent: self.log.clone() }
    }
}

/// What tells a tree from another: its digest, how many nodes it has, its sessions.
pub type TreeInShort = (u64, usize, Vec<(SessionId, i32)>);

pub fn tree_in_short(db: &Database) -> TreeInShort {
    let mut sessions: Vec<_> = db.sessions().collect();
    sessions.sort_unstable();
    (db.tree.digest(), db.tree.node_count(), sessions)
}

/// The tree that a restart finds when that stream was installed.
pub fn tree_of(zxid: Zxid, stream: &[u8]) -> Database {
    let root = tempfile::tempdir().expect("a directory");
    let options =
        DataDirOptions { data_dir: root.path().into(), data_log_dir: None, autocreate: true };
    let dir = DataDir::open(Arc::new(RealDisk), &options).expect("a data directory");
    let link = LinkId(0);
    let mut spool =
        SnapshotSpool::new(&RealDisk, dir.snapshot_dir(), link, TREE, MAX_LENGTH).expect("a spool");
    assert_eq!(spool.take(stream).expect("a tree"), stream.len());
    spool.finish().expect("the whole tree");
    history::replace(&dir, &spool_name(link), zxid).expect("it is installed");
    let options = MemberRestoreOptions {
        restore: RestoreOptions {
            tree: TREE,
            max_record: MAX_LENGTH,
            db_autocreate: true,
            snapshot_trust_empty: false,
            force_sync: true,
        },
        snapshot: SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None },
        commit_log_count: 500,
    };
    let found = restore_history(&dir, &options, &mut |_| ());
    found.unwrap_or_else(|refusal| panic!("{refusal}")).database
}

/// Ticks of 2 s, as the captured servers have them; and patience, since the idle PINGs are left out
/// of the captures.
fn member_options(peer_type: LearnerType, reconfig_enabled: bool) -> MemberOptions {
    MemberOptions {
        tick_ms: 2_000,
        init_limit: 1_000_000,
        sync_limit: 1_000_000,
        connect_to_learner_master_limit: 0,
        min_notification_ms: 200,
        max_notification_ms: 60_000,
        finalize_wait_ms: 200,
        observer_election_delay_ms: 0,
        max_time_to_wait_for_epoch_ms: None,
        peer_type,
        commit_log_count: 500,
        force_snapshot_sync: false,
        leader_serves: true,
        observer_logs: true,
        reconfig_enabled,
        standalone_enabled: true,
        last_counter: 0xffff_fffe,
        local_sessions: false,
        local_sessions_upgrade: false,
        prep: PrepOptions {
            policy: AuthPolicy::default(),
            owners: OWNERS,
            digest_enabled: true,
            close_session_txn: true,
            multi_has_create2: false,
            reconfig_enabled,
            enforce_quota: false,
            max_txn_bytes: MAX_LENGTH,
            max_field_bytes: MAX_LENGTH,
            hash_seed: 7,
        },
        containers: ContainerOptions {
            check_interval_ms: 0,
            max_per_minute: 10_000,
            max_never_used_ms: 0,
        },
    }
}
