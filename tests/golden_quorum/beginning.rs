//! What a server begins with.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use zkserver::auth::AuthPolicy;
use zkserver::processor::container_manager::ContainerOptions;
use zkserver::processor::prep::PrepOptions;
use zkserver::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use zkserver::proto::txns::TxnRecord;
use zkserver::proto::{Epoch, LinkId, QuorumVerifier, Sid, Vote, Zxid};
use zkserver::quorum::committed_log::CommittedLog;
use zkserver::quorum::configs::Configs;
use zkserver::quorum::durable::Tickets;
use zkserver::quorum::early_links::EarlyLinks;
use zkserver::quorum::member::{Member, MemberOptions};
use zkserver::tree::Database;

use crate::recording::MAX_LENGTH;
use crate::server::Server;
use crate::tree;

/// Its id, its file, its disk.
pub struct Beginning {
    pub sid: i64,
    pub config: QuorumVerifier,
    pub accepted: u32,
    pub current: u32,
    pub history: Vec<(Zxid, Bytes)>,
    pub reconfig_enabled: bool,
}

impl Beginning {
    /// A server that has nothing.
    pub fn empty(sid: i64) -> Self {
        let (config, history) = (first_config(), Vec::new());
        let (accepted, current, reconfig_enabled) = (0, 0, true);
        Beginning { sid, config, accepted, current, history, reconfig_enabled }
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

    /// The member, and its tree.
    pub fn member(self) -> (Member, Database) {
        let Beginning { sid, config, accepted, current, history, reconfig_enabled } = self;
        let me = Sid(sid);
        let mut db = Database::new(tree::OPTIONS);
        let mut committed = CommittedLog::new(Zxid::ZERO, 500);
        for (zxid, txn) in &history {
            db.apply(&TxnRecord::read(txn, MAX_LENGTH).expect("a transaction"), &mut ());
            committed.push(*zxid, txn.clone());
        }
        let schedule = SnapshotSchedule { snap_count: 1_000_000, snap_size_limit_bytes: None };
        let member = Member {
            me,
            options: member_options(reconfig_enabled),
            configs: Configs::new(Arc::new(config)),
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            tickets: Tickets::default(),
            last_logged: committed.max(),
            committed,
            has_data: true,
            may_vote: true,
            database_is_current: true,
            unlogged: false,
            tree_on_trial: false,
            acknowledged: Zxid::ZERO,
            reloading: false,
            round: 0,
            vote: (Vote { leader: me, zxid: 0, peer_epoch: 0 }, 0),
            connected: BTreeSet::new(),
            met: BTreeSet::new(),
            lately: Default::default(),
            sync: SyncRequestProcessor::new(schedule, 7, 0, 0),
            random: 7,
            next_link: LinkId(0),
            early: EarlyLinks::default(),
        };
        (member, db)
    }
}

/// The first members of the captured ensemble, as their files have them.
fn first_config() -> QuorumVerifier {
    let line = |n| format!("server.{n}=127.0.0.1:231{n}1:231{n}2:participant;127.0.0.1:231{n}0\n");
    let text = format!("{}{}{}version=0", line(1), line(2), line(3));
    QuorumVerifier::parse(text.as_bytes()).expect("a configuration")
}

/// Ticks of 2 s, as the captured servers have them; and patience, since the idle PINGs are left out
/// of the captures.
fn member_options(reconfig_enabled: bool) -> MemberOptions {
    MemberOptions {
        tick_ms: 2_000,
        init_limit: 1_000_000,
        sync_limit: 1_000_000,
        connect_to_learner_master_limit: 0,
        leader_connect_delay_ms: 100,
        min_notification_ms: 200,
        max_notification_ms: 60_000,
        finalize_wait_ms: 200,
        observer_election_delay_ms: 0,
        observer_reconnect_delay_ms: 0,
        max_time_to_wait_for_epoch_ms: None,
        commit_log_count: 500,
        force_snapshot_sync: false,
        max_concurrent_snap_syncs: 10,
        max_concurrent_diff_syncs: 100,
        leader_serves: true,
        observer_logs: true,
        reconfig_enabled,
        standalone_enabled: true,
        multi_address: false,
        last_counter: 0xffff_fffe,
        local_sessions: false,
        local_sessions_upgrade: false,
        prep: PrepOptions {
            policy: AuthPolicy::default(),
            owners: tree::OPTIONS.owners,
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
