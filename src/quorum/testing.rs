//! What the plays of agreement share: configurations, members over an empty database, effects in
//! words.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::committed_log::CommittedLog;
use super::configs::Configs;
use super::durable::Tickets;
use super::early_links::EarlyLinks;
use super::effect::{ClientEffect, DiskEffect, LinkEffect};
use super::member::{Member, MemberOptions};
use crate::processor::container_manager::ContainerOptions;
use crate::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use crate::processor::testing::prep_options;
use crate::proto::membership::{LearnerType, QuorumServer, ServerAddress};
use crate::proto::txns::{Txn, TxnHeader};
use crate::proto::{
    Epoch, LinkId, QuorumVerifier, ServerState, SessionId, Sid, Ticket, Vote, Zxid,
};

/// Servers 1 to `voters` with a vote, and `observers` behind them without; version 0, decided by
/// majority.
pub(crate) fn ensemble(voters: i64, observers: i64) -> QuorumVerifier {
    let server = |sid| {
        let learner_type =
            if sid <= voters { LearnerType::Participant } else { LearnerType::Observer };
        (Sid(sid), server(sid, learner_type))
    };
    QuorumVerifier {
        members: (1..=voters + observers).map(server).collect(),
        version: 0,
        hierarchy: None,
    }
}

/// A member at an address of its own.
pub(crate) fn server(sid: i64, learner_type: LearnerType) -> QuorumServer {
    let address =
        ServerAddress { host: format!("10.0.0.{sid}"), quorum_port: 2888, election_port: 3888 };
    QuorumServer { addresses: vec![address], learner_type, client: None, secure_client: None }
}

/// Ticks of 2 s, limits of 10 and 5 of them, votes again after 200 ms to 60 s, settling for 200 ms.
pub(crate) fn member_options() -> MemberOptions {
    MemberOptions {
        tick_ms: 2_000,
        init_limit: 10,
        sync_limit: 5,
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
        reconfig_enabled: true,
        standalone_enabled: true,
        multi_address: false,
        last_counter: 0xffff_fffe,
        local_sessions: false,
        local_sessions_upgrade: false,
        prep: prep_options(),
        containers: ContainerOptions {
            check_interval_ms: 0,
            max_per_minute: 10_000,
            max_never_used_ms: 0,
        },
    }
}

/// A member that has started over an empty database: nothing accepted, nothing logged.
pub(crate) fn member(me: i64, config: &QuorumVerifier) -> Member {
    let schedule = SnapshotSchedule { snap_count: 1_000_000, snap_size_limit_bytes: None };
    let options = member_options();
    Member {
        me: Sid(me),
        configs: Configs::new(Arc::new(config.clone())),
        accepted_epoch: Epoch(0),
        current_epoch: Epoch(0),
        tickets: Tickets::default(),
        last_logged: Zxid::ZERO,
        committed: CommittedLog::new(Zxid::ZERO, options.commit_log_count),
        has_data: true,
        may_vote: true,
        database_is_current: true,
        unlogged: false,
        tree_on_trial: false,
        acknowledged: Zxid::ZERO,
        reloading: false,
        round: 0,
        vote: (Vote { leader: Sid(me), zxid: 0, peer_epoch: 0 }, 0),
        connected: BTreeSet::new(),
        met: BTreeSet::new(),
        lately: Default::default(),
        sync: SyncRequestProcessor::new(schedule, 7, 0, 0),
        random: 7,
        next_link: LinkId(0),
        early: EarlyLinks::default(),
        options,
    }
}

/// A transaction that changes nothing: a request that failed.
pub(crate) fn nothing(zxid: Zxid) -> Bytes {
    let header = TxnHeader { client_id: SessionId(9), cxid: 1, zxid, time: 1, txn_type: -1 };
    let mut txn = Vec::new();
    header.write(&mut txn);
    Txn::Error { err: -101 }.write(&mut txn);
    txn.into()
}

/// The ticket by which the disk reports an effect.
pub(crate) fn ticket_of(effect: &DiskEffect) -> Option<Ticket> {
    match effect {
        DiskEffect::Append { ticket, .. }
        | DiskEffect::Truncate { ticket, .. }
        | DiskEffect::InstallSnapshot { ticket, .. }
        | DiskEffect::AcceptedEpoch { ticket, .. }
        | DiskEffect::CurrentEpoch { ticket, .. }
        | DiskEffect::LastSeenConfig { ticket, .. }
        | DiskEffect::ActivateConfig { ticket, .. } => Some(*ticket),
        DiskEffect::RollAndSnapshot => None,
    }
}

/// A vote as `3 (epoch 1, zxid 0x100000002)`.
pub(crate) fn vote_in_words(vote: &Vote) -> String {
    if vote.leader == Sid::NOBODY {
        return "nobody".to_owned();
    }
    let zxid = if vote.zxid < 0 { vote.zxid.to_string() } else { format!("{:#x}", vote.zxid) };
    format!("{} (epoch {}, zxid {zxid})", vote.leader.0, vote.peer_epoch)
}

/// What a server does, in the present participle.
pub(crate) fn state_in_words(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "looking",
        ServerState::Following => "following",
        ServerState::Leading => "leading",
        ServerState::Observing => "observing",
    }
}

/// An effect of the link lane as a line.
pub(crate) fn link_in_words(effect: &LinkEffect) -> String {
    match effect {
        LinkEffect::Notify { to, notification: n } => {
            let (state, vote) = (state_in_words(n.state), vote_in_words(&n.vote));
            format!("tell {}: {state}, {vote}, round {}", to.0, n.round)
        }
        LinkEffect::ConnectMesh => "connect the mesh".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An effect of the disk lane as a line.
pub(crate) fn disk_in_words(effect: &DiskEffect) -> String {
    match effect {
        DiskEffect::AcceptedEpoch { epoch, .. } => format!("disk: acceptedEpoch {epoch}"),
        DiskEffect::CurrentEpoch { epoch, .. } => format!("disk: currentEpoch {epoch}"),
        DiskEffect::LastSeenConfig { config, .. } => {
            format!("disk: next configuration {:#x}", config.version)
        }
        DiskEffect::ActivateConfig { config, .. } => {
            format!("disk: configuration {:#x}", config.version)
        }
        other => format!("disk: {other:?}"),
    }
}

/// An effect of the client lane as a line.
pub(crate) fn client_in_words(effect: &ClientEffect) -> String {
    match effect {
        ClientEffect::ActivateConfig(config) => {
            format!("configuration {:#x} is in force", config.version)
        }
        other => format!("{other:?}"),
    }
}
