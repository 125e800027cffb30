//! The keys that are in effect, each taken by one arm.
//!
//! `decimal` and `decoded` differ as Apache's reading does: keys of its parser are decimal,
//! properties may be hexadecimal or octal.

use std::path::PathBuf;

use super::FourLetterWhitelist;
use super::access;
use super::ensemble::Taken;
use super::log_levels::{LogFormat, LogLevels};
use super::notice::{NoticeKind, printable};
use super::parse::Draft;
use super::setting::Setting;
use super::values::{self, Allowed, boolean, decimal, decoded, yes_no};
use super::{PurgeInterval, SnapshotCompression};
use crate::proto::{CompatibilityLevel, DigestAlgorithm};

impl Draft {
    /// Takes the value of a key that is in effect.
    pub(super) fn take(&mut self, setting: &Setting) -> Result<(), Allowed> {
        const I32_MAX: i64 = i32::MAX as i64;
        const I32_MIN: i64 = i32::MIN as i64;
        // So many KiB that their bytes still are an i64.
        const KIB_MAX: i64 = i64::MAX / 1024;
        let value = setting.value.as_str();
        let config = &mut self.config;
        match setting.key.as_str() {
            "dataDir" => self.data_dir = Some(self.directory(setting)?),
            "dataLogDir" => self.data_log_dir = Some(self.directory(setting)?),
            "snapCount" => {
                config.snap_count = decoded(value, 0..=I32_MAX)?;
                if config.snap_count < 2 {
                    config.snap_count = 2;
                    self.notice(
                        NoticeKind::Warning,
                        setting,
                        "is taken as 2, the least".to_owned(),
                    );
                }
            }
            "snapSizeLimitInKb" => config.snap_size_limit_kb = decoded(value, i64::MIN..=KIB_MAX)?,
            "txnLogSizeLimitInKb" => {
                config.txn_log_size_limit_kb = decoded(value, i64::MIN..=KIB_MAX)?;
            }
            "preAllocSize" => config.pre_alloc_size_kb = decimal(value, 0..=KIB_MAX)?,
            "forceSync" => {
                config.force_sync = yes_no(value)?;
                if !config.force_sync {
                    let what = "is no: acknowledged changes can be lost if the machine stops";
                    self.notice(NoticeKind::Warning, setting, what.to_owned());
                }
            }
            "fsync.warningthresholdms" => {
                config.fsync_warning_threshold_ms = decoded(value, 0..=i64::MAX)?;
            }
            "snapshot.compression.method" => {
                config.snapshot_compression = SnapshotCompression::parse(value)?;
            }
            "autopurge.snapRetainCount" => {
                const LEAST: u32 = 3;
                let count: i32 = decimal(value, I32_MIN..=I32_MAX)?;
                let count = u32::try_from(count).unwrap_or(0);
                config.snap_retain_count = count.max(LEAST);
                if count < LEAST {
                    let what = format!("is taken as {LEAST}, the least");
                    self.notice(NoticeKind::Warning, setting, what);
                }
            }
            "autopurge.purgeInterval" => {
                config.purge_interval = match values::interval_ms(value)? {
                    0 => PurgeInterval::Never,
                    ms => PurgeInterval::EveryMs(ms),
                };
            }
            "diskReserveInMb" => {
                config.disk_reserve_mb = Some(decoded(value, 0..=KIB_MAX / 1024)?);
            }
            "snapshot.trust.empty" => config.snapshot_trust_empty = boolean(value)?,
            "datadir.autocreate" => config.datadir_autocreate = boolean(value)?,
            "db.autocreate" => config.db_autocreate = boolean(value)?,
            "digest.enabled" => config.digest_enabled = boolean(value)?,
            "serializeLastProcessedZxid.enabled" => {
                config.serialize_last_processed_zxid = boolean(value)?;
            }
            "reconfigEnabled" => config.reconfig_enabled = boolean(value)?,
            "closeSessionTxn.enabled" => config.close_session_txn = boolean(value)?,
            "extendedTypesEnabled" => config.extended_types = boolean(value)?,
            "emulate353TTLNodes" => config.emulate_353_ttl = boolean(value)?,
            "clientPort" => {
                let port: u16 = decimal(value, 0..=65535)
                    .map_err(|allowed| format!("{allowed} (0 is no client port)"))?;
                config.client_port = (port != 0).then_some(port);
            }
            "clientPortAddress" => config.client_port_address = Some(values::host(value)?),
            "clientPortListenBacklog" => {
                let backlog: i32 = decimal(value, -1..=I32_MAX)
                    .map_err(|allowed| format!("{allowed} (-1 is the system's default)"))?;
                config.client_port_listen_backlog = u32::try_from(backlog).ok();
            }
            "tickTime" => {
                // Twenty of them must be a time-out.
                config.tick_time_ms = decimal(value, 1..=I32_MAX / 20)?;
            }
            "minSessionTimeout" => self.min_session_timeout_ms = session_timeout(value)?,
            "maxSessionTimeout" => self.max_session_timeout_ms = session_timeout(value)?,
            "maxClientCnxns" => {
                config.max_client_cnxns = decimal(value, 0..=I32_MAX)
                    .map_err(|allowed| format!("{allowed} (0 is without limit)"))?;
            }
            "globalOutstandingLimit" => {
                config.global_outstanding_limit = decoded(value, 1..=I32_MAX)?;
            }
            "nio.sessionlessCnxnTimeout" => {
                config.sessionless_cnxn_timeout_ms = decoded(value, 1..=I32_MAX)?;
            }
            "jute.maxbuffer" => config.jute_max_buffer = decoded(value, 1..=I32_MAX)?,
            "jute.maxbuffer.extrasize" => {
                self.jute_max_buffer_extrasize = Some(decoded(value, 0..=I32_MAX)?);
            }
            "4lw.commands.whitelist" => {
                let list = FourLetterWhitelist::parse(value);
                for word in list.unknown_words() {
                    let word = printable(word);
                    let what = format!("lists {word}, which is no four-letter word");
                    self.notice(NoticeKind::Warning, setting, what);
                }
                self.config.four_letter_whitelist = list;
            }
            "znode.container.checkIntervalMs" => {
                config.container_check_interval_ms = decoded(value, 0..=I32_MAX)?;
            }
            "znode.container.maxPerMinute" => {
                config.container_max_per_minute = decoded(value, 1..=I32_MAX)?;
            }
            "znode.container.maxNeverUsedIntervalMs" => {
                config.container_max_never_used_ms = decoded(value, 0..=i64::MAX)?;
            }
            "readonlymode.enabled" => config.read_only_mode = boolean(value)?,
            "log.level" => config.log_levels = LogLevels::parse(value)?,
            "log.format" => config.log_format = LogFormat::parse(value)?,
            "enforceQuota" => config.enforce_quota = boolean(value)?,
            "skipACL" => {
                config.skip_acl = yes_no(value)?;
                if config.skip_acl {
                    let what = "is yes: no permission is checked".to_owned();
                    self.notice(NoticeKind::Warning, setting, what);
                }
            }
            "DigestAuthenticationProvider.enabled" => {
                config.digest_provider_enabled = boolean(value)?;
            }
            "DigestAuthenticationProvider.digestAlg" => {
                let known = || DigestAlgorithm::all_names().collect::<Vec<_>>().join(", ");
                config.digest_algorithm = DigestAlgorithm::from_name(value)
                    .ok_or_else(|| format!("a hash known here: {}", known()))?;
            }
            // How long it is depends on the algorithm, so it is taken when all keys are known.
            "DigestAuthenticationProvider.superDigest" => {}
            "enforce.auth.enabled" => config.enforce_auth_enabled = boolean(value)?,
            "enforce.auth.schemes" => config.enforce_auth_schemes = access::names(value),
            "ensembleAuthName" => {
                config.ensemble_auth_names = access::names(value);
                config.ensemble_auth_names.retain(|name| !name.is_empty());
            }
            "compatibilityLevel" => {
                let known = || CompatibilityLevel::all_names().collect::<Vec<_>>().join(", ");
                config.compatibility_level = CompatibilityLevel::from_name(value)
                    .ok_or_else(|| format!("one of {}", known()))?;
            }
            key => self.take_group(key, setting)?,
        }
        Ok(())
    }

    /// The keys that have a structure of their own.
    fn take_group(&mut self, key: &str, setting: &Setting) -> Result<(), Allowed> {
        if let Some(taken) = self.config.limits.take(key, &setting.value) {
            return taken;
        }
        match self.ensemble.take(key, &setting.value) {
            Some(Ok(Taken::AsGiven)) => {}
            Some(Ok(Taken::Other(what))) => self.notice(NoticeKind::Warning, setting, what),
            Some(Err(allowed)) => return Err(allowed),
            None => unreachable!("{key} is in effect by the table, but nothing takes it"),
        }
        Ok(())
    }

    /// A path, with a word of warning if it depends on where the server was started.
    fn directory(&mut self, setting: &Setting) -> Result<PathBuf, Allowed> {
        let path = values::path(&setting.value)?;
        // As in Apache ZooKeeper, who writes ./ knows.
        if path.is_relative() && !path.starts_with(".") {
            let what = "is relative to the directory the server is started in".to_owned();
            self.notice(NoticeKind::Warning, setting, what);
        }
        Ok(path)
    }
}

/// -1 stands for the default, as in Apache ZooKeeper.
fn session_timeout(value: &str) -> Result<Option<i32>, Allowed> {
    let default = |allowed| format!("{allowed} (or -1 for the default)");
    if decimal::<i64>(value, -1..=-1).is_ok() {
        return Ok(None);
    }
    decimal(value, 1..=i64::from(i32::MAX)).map(Some).map_err(default)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, PurgeInterval, keys, parse};

    fn config(line: &str) -> Result<Config, String> {
        let text = format!("dataDir=/data\nclientPort=2181\n{line}");
        parse(text.as_bytes(), "zoo.cfg")
            .map(|parsed| parsed.config)
            .map_err(|errors| errors.to_string())
    }

    /// The value that `key` has in the start-up log after `line`.
    fn told(line: &str, key: &str) -> String {
        let effective = config(line).unwrap().effective();
        effective.into_iter().find(|(name, _)| name == key).expect("told").1
    }

    #[test]
    fn every_key_in_effect_takes_its_value_and_no_other_key_changes() {
        for (key, given, taken) in [
            ("dataDir", "/zk", "/zk"),
            ("dataLogDir", "/zk/log", "/zk/log"),
            ("clientPort", "2182", "2182"),
            ("clientPortAddress", "127.0.0.1", "127.0.0.1"),
            ("clientPortListenBacklog", "100", "100"),
            ("maxClientCnxns", "0", "0"),
            ("globalOutstandingLimit", "5000", "5000"),
            ("nio.sessionlessCnxnTimeout", "5000", "5000"),
            ("4lw.commands.whitelist", "stat, ruok", "ruok,srvr,stat"),
            ("jute.maxbuffer", "0x200000", "2097152"),
            ("jute.maxbuffer.extrasize", "4096", "4096"),
            ("tickTime", "1500", "1500"),
            ("minSessionTimeout", "5000", "5000"),
            ("maxSessionTimeout", "70000", "70000"),
            ("snapCount", "3000000", "3000000"),
            ("snapSizeLimitInKb", "0", "0"),
            ("txnLogSizeLimitInKb", "1048576", "1048576"),
            ("preAllocSize", "131072", "131072"),
            ("forceSync", "no", "no"),
            ("fsync.warningthresholdms", "20", "20"),
            ("snapshot.compression.method", "GZ", "gz"),
            ("snapshot.compression.method", "snappy", "snappy"),
            ("autopurge.snapRetainCount", "5", "5"),
            ("autopurge.purgeInterval", "30m", "1800000ms"),
            ("diskReserveInMb", "0x400", "1024"),
            ("snapshot.trust.empty", "true", "true"),
            ("datadir.autocreate", "false", "false"),
            ("db.autocreate", "FALSE", "false"),
            ("digest.enabled", "false", "false"),
            ("serializeLastProcessedZxid.enabled", "false", "false"),
            ("closeSessionTxn.enabled", "false", "false"),
            ("reconfigEnabled", "true", "true"),
            ("znode.container.checkIntervalMs", "200", "200"),
            ("znode.container.maxPerMinute", "600", "600"),
            ("znode.container.maxNeverUsedIntervalMs", "300000", "300000"),
            ("extendedTypesEnabled", "True", "true"),
            ("emulate353TTLNodes", "true", "true"),
            ("skipACL", "yes", "yes"),
            ("DigestAuthenticationProvider.enabled", "false", "false"),
            ("DigestAuthenticationProvider.digestAlg", "sha-256", "SHA-256"),
            (
                "DigestAuthenticationProvider.superDigest",
                "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
                "***",
            ),
            ("enforce.auth.schemes", "digest, ip", "digest,ip"),
            ("enforce.auth.enabled", "true\nenforce.auth.schemes=digest", "true"),
            ("ensembleAuthName", "prod, stage", "prod,stage"),
            ("compatibilityLevel", "3.10", "3.10"),
        ] {
            assert_eq!(keys::find(key).map(|key| key.class), Some(keys::Class::InEffect), "{key}");
            let line = format!("{key}={given}");
            assert_ne!(told("", key), taken, "{key}: the test would pass by its default");
            assert_eq!(told(&line, key), taken);
            // Keys that follow another one.
            let follows = |name: &str| match key {
                "dataDir" => name == "dataLogDir",
                "jute.maxbuffer" => name == "jute.maxbuffer.extrasize",
                "tickTime" => name.ends_with("SessionTimeout"),
                "enforce.auth.enabled" => name == "enforce.auth.schemes",
                "compatibilityLevel" => name == "znode.container.maxNeverUsedIntervalMs",
                _ => false,
            };
            for (name, value) in config("").unwrap().effective() {
                if name != key && !follows(&name) {
                    assert_eq!(told(&line, &name), value, "{key} changes {name}");
                }
            }
        }
    }

    #[test]
    fn the_table_and_the_arms_name_the_same_keys() {
        for name in keys::names() {
            let class = keys::find(name).unwrap().class;
            if matches!(class, keys::Class::InEffect | keys::Class::OfMembers) {
                // Would panic if no arm took it.
                let _ = config(&format!("{name}=1"));
            }
        }
    }

    #[test]
    fn a_wrong_value_refuses_with_key_line_and_what_is_allowed() {
        for (line, allowed) in [
            ("dataDir=", "the path of a directory"),
            ("dataLogDir=", "the path of a directory"),
            ("clientPort=65536", "from 0 to 65535"),
            ("clientPort=-1", "from 0 to 65535"),
            ("clientPort=0x885", "from 0 to 65535"),
            ("clientPort=2181 # clients", "from 0 to 65535"),
            ("clientPortAddress=", "a host name or an IP address"),
            ("clientPortAddress=localhost:2181", "a host name or an IP address"),
            ("clientPortListenBacklog=-2", "from -1 to 2147483647 (-1 is the system's default)"),
            ("maxClientCnxns=-1", "(0 is without limit)"),
            ("globalOutstandingLimit=0", "from 1 to 2147483647"),
            ("nio.sessionlessCnxnTimeout=0", "from 1 to 2147483647"),
            ("jute.maxbuffer=0", "from 1 to 2147483647"),
            ("jute.maxbuffer=4M", "from 1 to 2147483647"),
            ("jute.maxbuffer=0x80000000", "from 1 to 2147483647"),
            ("jute.maxbuffer.extrasize=-1", "from 0 to 2147483647"),
            ("tickTime=0", "from 1 to 107374182"),
            ("tickTime=-2000", "from 1 to 107374182"),
            ("tickTime=2s", "from 1 to 107374182"),
            ("minSessionTimeout=0", "(or -1 for the default)"),
            ("maxSessionTimeout=-2", "(or -1 for the default)"),
            ("snapCount=-1", "from 0 to 2147483647"),
            ("snapCount=1e5", "from 0 to 2147483647"),
            ("snapSizeLimitInKb=4G", "at most 9007199254740991"),
            ("txnLogSizeLimitInKb=9007199254740992", "at most 9007199254740991"),
            ("preAllocSize=-1", "from 0 to 9007199254740991"),
            ("preAllocSize=64M", "from 0 to 9007199254740991"),
            ("forceSync=true", "yes or no"),
            ("forceSync=YES", "yes or no"),
            ("skipACL=true", "yes or no"),
            ("fsync.warningthresholdms=-1", "at least 0"),
            ("snapshot.compression.method=zip", "gz, snappy or nothing"),
            ("autopurge.snapRetainCount=three", "a whole number"),
            ("autopurge.snapRetainCount=", "a whole number"),
            ("autopurge.purgeInterval=daily", "hours, or a number and ms, s, m, h or d"),
            ("diskReserveInMb=1G", "from 0 to 8796093022207"),
            ("diskReserveInMb=-1", "from 0 to 8796093022207"),
            ("snapshot.trust.empty=yes", "true or false"),
            ("datadir.autocreate=", "true or false"),
            ("db.autocreate=no", "true or false"),
            ("digest.enabled=1", "true or false"),
            ("serializeLastProcessedZxid.enabled=on", "true or false"),
            ("closeSessionTxn.enabled=t", "true or false"),
            ("reconfigEnabled=yes", "true or false"),
            ("extendedTypesEnabled=yes", "true or false"),
            ("emulate353TTLNodes=yes", "true or false"),
            ("DigestAuthenticationProvider.enabled=yes", "true or false"),
            ("DigestAuthenticationProvider.digestAlg=", "a hash known here: MD5, SHA1, SHA-224"),
            ("DigestAuthenticationProvider.digestAlg=MD2", "SHA3-384, SHA3-512"),
            ("enforce.auth.enabled=yes", "true or false"),
            ("compatibilityLevel=3.7", "one of 3.8.0, 3.8, 3.9, 3.10"),
            ("DigestAuthenticationProvider.superDigest=super:geheim", "name:digest"),
            ("DigestAuthenticationProvider.superDigest=geheim", "name:digest"),
            (
                "DigestAuthenticationProvider.superDigest=:D/InIHSb7yEEbrWz8b9l71RjZJU=",
                "name:digest",
            ),
        ] {
            let told = config(line).expect_err(line);
            let key = line.split('=').next().unwrap();
            assert!(told.starts_with(&format!("zoo.cfg: line 3: {key} must be ")), "{told}");
            assert!(told.contains(allowed), "{line}: {told}");
            assert!(!told.contains("geheim") && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn what_is_taken_otherwise_than_written_is_told() {
        for (line, what) in [
            ("snapCount=1", "is taken as 2"),
            ("autopurge.snapRetainCount=2", "is taken as 3"),
            ("autopurge.snapRetainCount=-1", "is taken as 3"),
            ("forceSync=no", "can be lost"),
            ("skipACL=yes", "no permission is checked"),
            ("dataLogDir=log", "is relative"),
            ("4lw.commands.whitelist=stat,rouk", "lists rouk"),
        ] {
            let text = format!("dataDir=./data\nclientPort=2181\n{line}");
            let notices = parse(text.as_bytes(), "zoo.cfg").unwrap().notices;
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert!(notices[0].to_string().contains(what), "{}", notices[0]);
        }
        assert_eq!(config("snapCount=0").unwrap().snap_count, 2);
        assert_eq!(config("autopurge.snapRetainCount=0").unwrap().snap_retain_count, 3);
    }

    #[test]
    fn purging_every_so_often_never_and_not_said_are_three_things() {
        let interval = |line| config(line).unwrap().purge_interval;
        assert_eq!(interval(""), PurgeInterval::Unset);
        assert_eq!(interval("autopurge.purgeInterval=0"), PurgeInterval::Never);
        assert_eq!(interval("autopurge.purgeInterval=-5"), PurgeInterval::Never);
        assert_eq!(interval("autopurge.purgeInterval=1"), PurgeInterval::EveryMs(3_600_000));
    }

    #[test]
    fn an_empty_super_digest_is_none() {
        assert_eq!(config("DigestAuthenticationProvider.superDigest=").unwrap().super_digest, None);
    }

    #[test]
    fn the_level_decides_where_nothing_is_said() {
        let of = |lines: &str| {
            let config = config(lines).unwrap();
            (config.serialize_last_processed_zxid, config.container_max_never_used_ms)
        };
        assert_eq!(of(""), (true, 0));
        assert_eq!(of("compatibilityLevel=3.9"), (true, 0));
        assert_eq!(of("compatibilityLevel=3.8"), (false, 0));
        assert_eq!(of("compatibilityLevel=3.10"), (true, 300_000));
        let said = "znode.container.maxNeverUsedIntervalMs=0\ncompatibilityLevel=3.10";
        assert_eq!(of(said), (true, 0));
        let said = "serializeLastProcessedZxid.enabled=true\ncompatibilityLevel=3.8";
        assert_eq!(of(said), (true, 0));
    }
}
