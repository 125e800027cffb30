//! From the configuration to what each part of the server wants to know of it.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::{AuthPolicy, EnsembleNames};
use crate::config::{Config, EnsembleConfig, SnapshotCompression};
use crate::operator::four_letter_words::{SET_TRACE_MASK, WORDS};
use crate::persistence::snapshot::{Compression, SnapshotOptions};
use crate::persistence::{
    DataDir, DataDirOptions, MemberRestoreOptions, RestoreOptions, SyncQueueOptions,
};
use crate::processor::connection::ConnectionOptions;
use crate::processor::connection_throttle::BlueThrottle;
use crate::processor::container_manager::ContainerOptions;
use crate::processor::large_requests::LargeRequests;
use crate::processor::prep::PrepOptions;
use crate::processor::sync::SnapshotSchedule;
use crate::proto::Sid;
use crate::proto::stat::OwnerEncoding;
use crate::quorum::member::MemberOptions;
use crate::status::{EnsembleSettings, Settings};
use crate::tree::TreeOptions;

/// Who may come in and do what.
pub fn policy(config: &Config) -> AuthPolicy {
    let schemes = config.enforce_auth_schemes.iter().map(|scheme| scheme.as_bytes().into());
    let names = config.ensemble_auth_names.iter().map(String::as_str);
    AuthPolicy {
        skip_acl: config.skip_acl,
        super_digest: config.super_digest.as_ref().map(|s| s.expose().as_bytes().into()),
        digest_algorithm: config.digest_algorithm,
        digest_enabled: config.digest_provider_enabled,
        required_schemes: config.enforce_auth_enabled.then(|| schemes.collect()),
        ensemble: config.ensemble_scheme.then(|| EnsembleNames::new(names)),
    }
}

/// The limits and bounds of a connection. Its throttle begins full at `now_ms`.
pub fn connection(config: &Config, now_ms: u64, seed: u64) -> ConnectionOptions {
    let throttle = BlueThrottle::new(config.limits.connections.clone(), now_ms, seed);
    ConnectionOptions {
        max_frame_bytes: config.jute_max_buffer,
        max_field_bytes: max_field_bytes(config),
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        throttle: throttle.map(|throttle| Arc::new(Mutex::new(throttle))),
        large_requests: large_requests(config),
        words: WORDS,
        word_with_number: config.four_letter_whitelist.allows("stmk").then_some(SET_TRACE_MASK),
    }
}

/// How many unfinished requests a server may have before busy connections are not read. In an
/// ensemble of more than two voters each has its part of what the leader can take.
pub fn outstanding_limit(config: &Config) -> u64 {
    let voters = config.ensemble.as_ref().map_or(1, |ensemble| ensemble.members.voters().count());
    let share = if voters > 2 { voters as u64 - 1 } else { 1 };
    (u64::from(config.global_outstanding_limit) / share).max(1)
}

fn large_requests(config: &Config) -> Option<Arc<LargeRequests>> {
    let threshold = usize::try_from(config.limits.large_request_threshold).ok()?;
    let max_bytes = config.limits.large_request_max_bytes as usize;
    (threshold > 0).then(|| Arc::new(LargeRequests::new(threshold, max_bytes)))
}

/// What prep must know.
pub fn prep(config: &Config, policy: AuthPolicy, hash_seed: u64) -> PrepOptions {
    PrepOptions {
        policy,
        owners: owners(config),
        digest_enabled: config.digest_enabled,
        close_session_txn: config.close_session_txn,
        multi_has_create2: config.compatibility_level.multi_has_create2(),
        reconfig_enabled: config.reconfig_enabled,
        enforce_quota: config.enforce_quota,
        max_txn_bytes: max_field_bytes(config),
        max_field_bytes: max_field_bytes(config),
        hash_seed,
    }
}

/// How containers and TTL nodes are looked after.
pub fn containers(config: &Config) -> ContainerOptions {
    ContainerOptions {
        check_interval_ms: config.container_check_interval_ms,
        max_per_minute: config.container_max_per_minute,
        max_never_used_ms: config.container_max_never_used_ms,
    }
}

/// When snapshots are due.
pub fn snapshot_schedule(config: &Config) -> SnapshotSchedule {
    SnapshotSchedule {
        snap_count: config.snap_count.into(),
        snap_size_limit_bytes: u64::try_from(config.snap_size_limit_kb)
            .ok()
            .filter(|kb| *kb > 0)
            .map(|kb| kb.saturating_mul(1024)),
    }
}

/// How snapshots are written.
pub fn snapshot(config: &Config) -> SnapshotOptions {
    SnapshotOptions {
        digest: config.digest_enabled,
        last_zxid: config.serialize_last_processed_zxid,
        compression: match config.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gz => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
    }
}

/// How the log is written.
pub fn sync_queue(config: &Config) -> SyncQueueOptions {
    SyncQueueOptions {
        force_sync: config.force_sync,
        pre_alloc_kb: config.pre_alloc_size_kb,
        txn_log_size_limit_kb: config.txn_log_size_limit_kb,
        fsync_warning_threshold_ms: config.fsync_warning_threshold_ms,
    }
}

/// Where the data is.
pub fn data_dir(config: &Config) -> DataDirOptions {
    DataDirOptions {
        data_dir: config.data_dir.clone(),
        data_log_dir: Some(config.data_log_dir.clone()),
        autocreate: config.datadir_autocreate,
    }
}

/// How data is read at start.
pub fn restore(config: &Config, hash_seed: u64) -> RestoreOptions {
    let digest_enabled = config.digest_enabled;
    RestoreOptions {
        tree: TreeOptions { owners: owners(config), digest_enabled, hash_seed },
        max_record: max_field_bytes(config),
        db_autocreate: config.db_autocreate,
        snapshot_trust_empty: config.snapshot_trust_empty,
        force_sync: config.force_sync,
    }
}

/// How long an election settles at most after the last vote that counted (`finalizeWait`), ms. No
/// key of Apache ZooKeeper changes it.
const FINALIZE_WAIT_MS: u64 = 200;

/// How a member behaves.
pub fn member(
    config: &Config,
    ensemble: &EnsembleConfig,
    policy: AuthPolicy,
    hash_seed: u64,
) -> MemberOptions {
    MemberOptions {
        tick_ms: config.tick_time_ms.into(),
        init_limit: ensemble.init_limit_ticks.into(),
        sync_limit: ensemble.sync_limit_ticks.into(),
        connect_to_learner_master_limit: ensemble.connect_to_learner_master_limit_ticks.into(),
        leader_connect_delay_ms: ensemble.leader_connect_delay_during_retry_ms,
        min_notification_ms: ensemble.min_notification_interval_ms,
        max_notification_ms: ensemble.max_notification_interval_ms,
        finalize_wait_ms: FINALIZE_WAIT_MS,
        observer_election_delay_ms: ensemble.observer_election_delay_ms,
        observer_reconnect_delay_ms: ensemble.observer_reconnect_delay_ms,
        max_time_to_wait_for_epoch_ms: ensemble.max_time_to_wait_for_epoch_ms,
        commit_log_count: ensemble.commit_log_count as usize,
        force_snapshot_sync: ensemble.force_snapshot_sync,
        max_concurrent_snap_syncs: ensemble.max_concurrent_snap_syncs as usize,
        max_concurrent_diff_syncs: ensemble.max_concurrent_diff_syncs as usize,
        leader_serves: ensemble.leader_serves,
        observer_logs: ensemble.observer_logs(),
        reconfig_enabled: config.reconfig_enabled,
        standalone_enabled: ensemble.standalone_enabled,
        multi_address: ensemble.multi_address,
        // The one above means that the next epoch is due.
        last_counter: u32::MAX - 1,
        local_sessions: ensemble.local_sessions,
        local_sessions_upgrade: ensemble.local_sessions_upgrading,
        prep: prep(config, policy, hash_seed),
        containers: containers(config),
    }
}

/// How a member's data is read at start.
pub fn member_restore(
    config: &Config,
    ensemble: &EnsembleConfig,
    hash_seed: u64,
) -> MemberRestoreOptions {
    MemberRestoreOptions {
        restore: restore(config, hash_seed),
        snapshot: snapshot(config),
        commit_log_count: ensemble.commit_log_count as usize,
    }
}

/// What `conf` tells. A standalone server says that its id is 0, whatever its session ids have.
pub fn settings(
    config: &Config,
    member: Option<(Sid, &EnsembleConfig)>,
    dir: &DataDir,
    client_port: u16,
) -> Settings {
    let absolute = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    Settings {
        client_port,
        data_dir: absolute(dir.snapshot_dir()),
        data_log_dir: absolute(dir.log_dir()),
        tick_time_ms: config.tick_time_ms,
        max_client_cnxns: config.max_client_cnxns,
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        client_port_listen_backlog: config.client_port_listen_backlog,
        server_id: member.map_or(0, |(me, _)| me.0),
        ensemble: member.map(|(_, ensemble)| EnsembleSettings {
            init_limit_ticks: ensemble.init_limit_ticks.into(),
            sync_limit_ticks: ensemble.sync_limit_ticks.into(),
            local_sessions: ensemble.local_sessions,
        }),
    }
}

/// The longest field of any record, and the longest transaction that can be read back, in bytes.
pub fn max_field_bytes(config: &Config) -> usize {
    let sum = config.jute_max_buffer.saturating_add(config.jute_max_buffer_extrasize);
    sum.min(i32::MAX as usize)
}

/// How container and TTL nodes are marked.
fn owners(config: &Config) -> OwnerEncoding {
    OwnerEncoding { extended_types: config.extended_types, emulate_353_ttl: config.emulate_353_ttl }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn member_of(lines: &str) -> MemberOptions {
        let text = format!(
            "dataDir=/data\nclientPort=2181\ninitLimit=12\nsyncLimit=7\nserver.1=a:1:2\n\
             server.2=b:1:2\nserver.3=c:1:2\n{lines}"
        );
        let config = parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|e| panic!("{e}")).config;
        let ensemble = config.ensemble.as_ref().expect("an ensemble");
        member(&config, ensemble, policy(&config), 1)
    }

    #[test]
    fn a_member_has_apaches_defaults() {
        let options = member_of("");
        assert_eq!((options.tick_ms, options.init_limit, options.sync_limit), (3000, 12, 7));
        assert_eq!(options.connect_to_learner_master_limit, 0);
        assert_eq!((options.min_notification_ms, options.max_notification_ms), (200, 60_000));
        assert_eq!((options.finalize_wait_ms, options.observer_election_delay_ms), (200, 200));
        assert_eq!((options.max_time_to_wait_for_epoch_ms, options.commit_log_count), (None, 500));
        assert_eq!(options.leader_connect_delay_ms, 100);
        assert_eq!(options.observer_reconnect_delay_ms, 0);
        assert_eq!(options.max_concurrent_snap_syncs, 10);
        assert_eq!(options.max_concurrent_diff_syncs, 100);
        assert_eq!(options.last_counter, 0xffff_fffe);
        assert!(options.leader_serves && options.observer_logs && options.standalone_enabled);
        assert!(!options.force_snapshot_sync && !options.reconfig_enabled);
        assert!(!options.multi_address && !options.local_sessions);
        assert!(!options.local_sessions_upgrade);
    }

    #[test]
    fn the_outstanding_limit_is_shared_among_more_than_two_voters() {
        let of = |voters: usize, limit: u32| {
            let servers: String = (1..=voters).map(|n| format!("server.{n}=h{n}:1:2\n")).collect();
            let text = format!(
                "dataDir=/data\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n\
                 globalOutstandingLimit={limit}\n{servers}server.9=h9:1:2:observer\n"
            );
            // With one participant the observer would be refused.
            let text = if voters > 1 { text } else { text.replace("server.9", "ignored") };
            let parsed = parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|e| panic!("{e}"));
            outstanding_limit(&parsed.config)
        };
        assert_eq!((of(1, 1000), of(2, 1000), of(3, 1000), of(5, 1000)), (1000, 1000, 500, 250));
        assert_eq!(of(5, 1), 1);
    }

    #[test]
    fn each_key_reaches_its_option() {
        let options = member_of(
            "tickTime=500\nconnectToLearnerMasterLimit=3\n\
             fastleader.minNotificationInterval=31\nfastleader.maxNotificationInterval=32\n\
             observer.election.DelayMs=33\nleader.maxTimeToWaitForEpoch=34\ncommitLogCount=600\n\
             forceSnapshotSync=true\nleaderServes=no\nsyncEnabled=false\n\
             multiAddress.enabled=true\nlocalSessionsEnabled=true\n\
             localSessionsUpgradingEnabled=true\nleaderConnectDelayDuringRetryMs=35\n\
             observer.reconnectDelayMs=36\nleader.maxConcurrentSnapSyncs=37\n\
             leader.maxConcurrentDiffSyncs=38\n",
        );
        assert_eq!((options.tick_ms, options.connect_to_learner_master_limit), (500, 3));
        assert_eq!((options.min_notification_ms, options.max_notification_ms), (31, 32));
        assert_eq!(options.observer_election_delay_ms, 33);
        assert_eq!(options.leader_connect_delay_ms, 35);
        assert_eq!(options.observer_reconnect_delay_ms, 36);
        assert_eq!(options.max_concurrent_snap_syncs, 37);
        assert_eq!(options.max_concurrent_diff_syncs, 38);
        assert_eq!(options.max_time_to_wait_for_epoch_ms, Some(34));
        assert_eq!(options.commit_log_count, 600);
        assert!(options.force_snapshot_sync && !options.leader_serves && !options.observer_logs);
        assert!(options.multi_address && options.local_sessions);
        assert!(options.local_sessions_upgrade);
        let lone = "standaloneEnabled=false\nobserver.syncEnabled=true\nsyncEnabled=false\n";
        let options = member_of(lone);
        assert!(!options.standalone_enabled && options.observer_logs);
    }
}
