//! From the configuration to what each part of the server wants to know of it.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::{AuthPolicy, EnsembleNames};
use crate::config::{Config, SnapshotCompression};
use crate::operator::four_letter_words::{SET_TRACE_MASK, WORDS};
use crate::persistence::snapshot::{Compression, SnapshotOptions};
use crate::persistence::{DataDir, DataDirOptions, RestoreOptions, SyncQueueOptions};
use crate::processor::connection::ConnectionOptions;
use crate::processor::connection_throttle::BlueThrottle;
use crate::processor::container_manager::ContainerOptions;
use crate::processor::large_requests::LargeRequests;
use crate::processor::prep::PrepOptions;
use crate::processor::sync::SnapshotSchedule;
use crate::proto::stat::OwnerEncoding;
use crate::status::Settings;
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

/// What `conf` tells. A standalone server says that its id is 0, whatever its session ids have.
pub fn settings(config: &Config, dir: &DataDir, client_port: u16) -> Settings {
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
        server_id: 0,
        ensemble: None,
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
