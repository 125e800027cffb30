//! What a `zoo.cfg` asks for, as the server means to do it.
//!
//! ```text
//!  zoo.cfg ──── properties ──┐
//!  zoo.toml ─── toml ────────┤            ┌─────────┐           class of the key
//!  JVMFLAGS ─── jvm_flags ───┼─▶ sources ─│ Setting │─▶ keys ───────┐
//!  -Dkey=value ──────────────┤   reach    └─────────┘               │
//!  port dataDir … ───────────┘                                      ▼
//!      Config + notices + origins  ◀── parse, take ◀── types, values, membership
//!                                           │
//!            myid ── member ────────────────┘   which of the members this server is
//! ```
//!
//! What always holds:
//! * Nothing here opens a file: the texts are given (that of the members' own file too, which
//!   [`dynamic_config_file`] names), and paths are only named.
//! * A [`Config`] exists only if every value given was understood. A wrong value is an error that
//!   names the key, its place and what is allowed; all errors are collected before giving up.
//! * Every value knows where it came from.
//! * A key that asks for protection this version does not have (TLS, SASL, ...) is an error, never
//!   a warning: a server that looks protected and is not would be worse than none.
//! * Every other key that Apache ZooKeeper knows is accepted; what has no effect yet is named once
//!   in a [`Notice`]. So is a key nobody knows, with the nearest one that exists.
//! * Secrets are [`Secret`]s: no `Debug`, notice, error or start-up log shows one (CVE-2026-24308).

mod access;
mod asked;
mod effective;
mod ensemble;
mod ensemble_checks;
mod jvm_flags;
pub mod keys;
mod limits;
mod log_levels;
mod member;
mod membership;
mod notice;
mod parse;
pub mod properties;
mod reach;
mod report;
mod secret;
mod setting;
mod sources;
mod suggest;
mod take;
mod toml;
mod types;
mod values;
mod whitelist;

#[cfg(test)]
mod samples;

use std::path::PathBuf;

pub use ensemble::EnsembleConfig;
pub use limits::{ConnectionThrottle, Limits, Ratio, RequestThrottle};
pub use log_levels::{Level, LogFormat, LogLevels};
pub use member::member_id;
pub use notice::{ConfigError, ConfigErrors, Notice, NoticeKind};
pub use parse::{Parsed, parse, resolve};
pub use secret::Secret;
pub use setting::Origin;
pub use sources::{File, Given, dynamic_config_file};
pub use whitelist::FourLetterWhitelist;

use crate::proto::{CompatibilityLevel, DigestAlgorithm};

/// What this server is to do. Field names are `zoo.cfg`'s keys with their unit added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `dataDir`: where snapshots live. May be relative to the working directory.
    pub data_dir: PathBuf,
    /// `dataLogDir`: where transaction logs live; `dataDir` if not given.
    pub data_log_dir: PathBuf,

    /// `clientPort`, or the client part of the own server line ([`Parsed::as_member`]). None: no
    /// client listener.
    pub client_port: Option<u16>,
    /// `clientPortAddress`: the host or IP (IPv6 without brackets) to listen on. None: all.
    pub client_port_address: Option<String>,
    /// `clientPortListenBacklog`: connections the kernel may hold before accept. None: its default.
    pub client_port_listen_backlog: Option<u32>,
    /// `maxClientCnxns`: connections per client IP; 0 is without limit.
    pub max_client_cnxns: u32,
    /// Limits that are off unless a key sets them.
    pub limits: Limits,
    /// `globalOutstandingLimit`: unfinished requests above which busy connections are not read.
    pub global_outstanding_limit: u32,
    /// `nio.sessionlessCnxnTimeout`: a connection without a session is closed after this, ms.
    pub sessionless_cnxn_timeout_ms: u64,
    /// `readonlymode.enabled`: whether this server would serve reads without a quorum. One that is
    /// alone never has to; all it does is to answer `isro`.
    pub read_only_mode: bool,
    /// `4lw.commands.whitelist`: the four-letter words that are answered.
    pub four_letter_whitelist: FourLetterWhitelist,
    /// `jute.maxbuffer`: the largest packet taken, in bytes; equal is taken.
    pub jute_max_buffer: usize,
    /// `jute.maxbuffer.extrasize`: what a record may exceed `jute.maxbuffer` by, in bytes.
    pub jute_max_buffer_extrasize: usize,

    /// `tickTime`: the unit of session expiry, ms.
    pub tick_time_ms: u32,
    /// `minSessionTimeout`, ms; 2 ticks if not given. Not above the maximum.
    pub min_session_timeout_ms: i32,
    /// `maxSessionTimeout`, ms; 20 ticks if not given.
    pub max_session_timeout_ms: i32,

    /// `snapCount`: a snapshot comes after half to all of this many transactions; at least 2.
    pub snap_count: u32,
    /// `snapSizeLimitInKb`: the same by bytes of log, in KiB; not positive is off.
    pub snap_size_limit_kb: i64,
    /// `txnLogSizeLimitInKb`: a log file is ended when it reaches this, in KiB; not positive is off.
    pub txn_log_size_limit_kb: i64,
    /// `preAllocSize`: the most zeros that the log is filled with ahead at once, and that its next
    /// file is made of, in KiB; 0 is off.
    pub pre_alloc_size_kb: i64,
    /// `forceSync`: a change is on the disk, not only written, before it is acknowledged.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`: a sync that takes longer is told, ms.
    pub fsync_warning_threshold_ms: u64,
    /// `snapshot.compression.method`: how snapshots are written; read are all kinds.
    pub snapshot_compression: SnapshotCompression,
    /// `autopurge.snapRetainCount`: the snapshots that a purge keeps; at least 3.
    pub snap_retain_count: u32,
    /// `autopurge.purgeInterval`: when old snapshots and logs are removed.
    pub purge_interval: PurgeInterval,
    /// `diskReserveInMb`: less free space than this is warned of, in MiB; 0 is off. None: the
    /// server's own choice.
    pub disk_reserve_mb: Option<u64>,
    /// `snapshot.trust.empty`: logs without any snapshot are believed.
    pub snapshot_trust_empty: bool,
    /// `datadir.autocreate`: missing data directories are made.
    pub datadir_autocreate: bool,
    /// `db.autocreate`: an empty data directory is a new database.
    pub db_autocreate: bool,
    /// `digest.enabled`: the digest of the tree is kept, logged and compared.
    pub digest_enabled: bool,
    /// `serializeLastProcessedZxid.enabled`: snapshots end with the last zxid.
    pub serialize_last_processed_zxid: bool,
    /// `closeSessionTxn.enabled`: the transaction that closes a session lists its ephemerals.
    pub close_session_txn: bool,
    /// `reconfigEnabled`: whether `reconfig` is answered as unimplemented rather than disabled.
    pub reconfig_enabled: bool,

    /// `extendedTypesEnabled`: TTL nodes exist.
    pub extended_types: bool,
    /// `emulate353TTLNodes`: TTL nodes written by 3.5.3 are recognised.
    pub emulate_353_ttl: bool,
    /// `znode.container.checkIntervalMs`: how often containers and TTL nodes are looked for that
    /// are due; 0 is never.
    pub container_check_interval_ms: u64,
    /// `znode.container.maxPerMinute`: how many of them are deleted in a minute, at most.
    pub container_max_per_minute: u64,
    /// `znode.container.maxNeverUsedIntervalMs`: the age at which a container that never had a
    /// child is deleted; 0 is never.
    pub container_max_never_used_ms: i64,
    /// `enforceQuota`: what would exceed a hard quota is refused.
    pub enforce_quota: bool,
    /// `skipACL`: no permission is checked.
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.enabled`: the scheme `digest` exists.
    pub digest_provider_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`: the hash of digest ids.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.superDigest`: `name:base64(hash)`; who authenticates with it is
    /// `super`.
    pub super_digest: Option<Secret>,
    /// `enforce.auth.enabled`: a connection may ask for nothing before it has an identity of one
    /// of `enforce_auth_schemes`.
    pub enforce_auth_enabled: bool,
    /// `enforce.auth.schemes`: each can give an identity here, if it is enabled.
    pub enforce_auth_schemes: Vec<String>,
    /// `ensembleAuthName`: the names that clients may mean by this server.
    pub ensemble_auth_names: Vec<String>,
    /// Whether the scheme `ensemble` exists: there are names, or its provider is named.
    pub ensemble_scheme: bool,

    /// The ensemble that it is a member of; None for a server that is alone.
    pub ensemble: Option<EnsembleConfig>,

    /// `compatibilityLevel`: the line of Apache ZooKeeper's releases whose ways it has where they
    /// differ.
    pub compatibility_level: CompatibilityLevel,

    /// `log.level`: which lines are logged.
    pub log_levels: LogLevels,
    /// `log.format`: how they look.
    pub log_format: LogFormat,
}

/// How snapshots are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SnapshotCompression {
    None,
    Gz,
    Snappy,
}

impl SnapshotCompression {
    /// In any case, as Apache ZooKeeper reads it; it takes what it does not know for none.
    fn parse(value: &str) -> Result<Self, String> {
        [Self::None, Self::Gz, Self::Snappy]
            .into_iter()
            .find(|method| method.name().eq_ignore_ascii_case(value))
            .ok_or_else(|| "gz, snappy or nothing".to_owned())
    }

    /// The value of the key.
    fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => "gz",
            Self::Snappy => "snappy",
        }
    }
}

/// When old snapshots and logs are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeInterval {
    /// The file does not say: after each snapshot, but only files that zkserver wrote.
    Unset,
    /// Apache's default.
    Never,
    /// At start, then each time so many milliseconds have passed; whoever wrote them.
    EveryMs(u64),
}

/// `tickTime` where the file says nothing: what Apache's code has, not its sample file.
const DEFAULT_TICK_TIME_MS: u32 = 3000;
/// `jute.maxbuffer`'s default: 1 MiB less one byte.
const DEFAULT_JUTE_MAX_BUFFER: usize = 0xf_ffff;

impl Config {
    /// Where the data goes when nobody says.
    pub const EMBEDDED_DATA_DIR: &str = "zkserver-data";

    /// The configuration of a server that was given none: standalone, port 2181 on all addresses,
    /// `tickTime` 2000, data under `data_dir`.
    ///
    /// Besides `srvr` (all that a `zoo.cfg` without a whitelist allows) it answers every
    /// four-letter word that is cheap and changes nothing, because a server started without a file
    /// is being tried out; `dump`, `wchc` and `wchp` are costly, `crst`, `srst` and `stmk` change
    /// something.
    pub fn embedded_default(data_dir: impl Into<PathBuf>) -> Config {
        let data_dir = data_dir.into();
        Config {
            client_port: Some(2181),
            four_letter_whitelist: FourLetterWhitelist::only([
                "conf", "cons", "dirs", "envi", "isro", "mntr", "ruok", "stat", "wchs",
            ]),
            ..Config::defaults(data_dir.clone(), data_dir, 2000)
        }
    }

    /// What holds where the file says nothing.
    fn defaults(data_dir: PathBuf, data_log_dir: PathBuf, tick_time_ms: u32) -> Config {
        let tick = i32::try_from(tick_time_ms).unwrap_or(i32::MAX);
        Config {
            data_dir,
            data_log_dir,
            client_port: None,
            client_port_address: None,
            client_port_listen_backlog: None,
            max_client_cnxns: 60,
            limits: Limits::default(),
            global_outstanding_limit: 1000,
            sessionless_cnxn_timeout_ms: 10_000,
            read_only_mode: false,
            four_letter_whitelist: FourLetterWhitelist::only([]),
            jute_max_buffer: DEFAULT_JUTE_MAX_BUFFER,
            jute_max_buffer_extrasize: DEFAULT_JUTE_MAX_BUFFER,
            tick_time_ms,
            min_session_timeout_ms: tick.saturating_mul(2),
            max_session_timeout_ms: tick.saturating_mul(20),
            snap_count: 100_000,
            snap_size_limit_kb: 4_194_304,
            txn_log_size_limit_kb: -1,
            pre_alloc_size_kb: 65_536,
            force_sync: true,
            fsync_warning_threshold_ms: 1000,
            snapshot_compression: SnapshotCompression::None,
            snap_retain_count: 3,
            purge_interval: PurgeInterval::Unset,
            disk_reserve_mb: None,
            snapshot_trust_empty: false,
            datadir_autocreate: true,
            db_autocreate: true,
            digest_enabled: true,
            serialize_last_processed_zxid: true,
            close_session_txn: true,
            reconfig_enabled: false,
            extended_types: false,
            emulate_353_ttl: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_ms: 0,
            enforce_quota: false,
            skip_acl: false,
            digest_provider_enabled: true,
            digest_algorithm: DigestAlgorithm::default(),
            super_digest: None,
            enforce_auth_enabled: false,
            enforce_auth_schemes: Vec::new(),
            ensemble_auth_names: Vec::new(),
            ensemble_scheme: false,
            ensemble: None,
            compatibility_level: CompatibilityLevel::default(),
            log_levels: LogLevels::default(),
            log_format: LogFormat::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_default_is_a_standalone_server_on_2181() {
        let config = Config::embedded_default("data");
        assert_eq!(config.client_port, Some(2181));
        assert_eq!(config.client_port_address, None);
        assert_eq!(config.data_log_dir, config.data_dir);
        assert_eq!(config.tick_time_ms, 2000);
        assert_eq!(config.min_session_timeout_ms, 4000);
        assert_eq!(config.max_session_timeout_ms, 40_000);
        for word in ["srvr", "ruok", "stat", "mntr", "isro"] {
            assert!(config.four_letter_whitelist.allows(word), "{word}");
        }
        for word in ["wchp", "wchc", "srst", "dump"] {
            assert!(!config.four_letter_whitelist.allows(word), "{word}");
        }
    }
}
