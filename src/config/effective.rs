//! A configuration in `zoo.cfg`'s words.

use super::secret::REDACTED;
use super::{Config, PurgeInterval};

impl Config {
    /// Every key that is in effect and its value, defaults included, in `zoo.cfg`'s words. A secret
    /// shows only that it is set; what is not set at all has an empty value. A member has the keys
    /// of its ensemble behind the others.
    pub fn effective(&self) -> Vec<(String, String)> {
        fn number(value: Option<impl ToString>) -> String {
            value.map(|value| value.to_string()).unwrap_or_default()
        }
        fn yes_no(value: bool) -> String {
            if value { "yes" } else { "no" }.to_owned()
        }
        fn interval(value: PurgeInterval) -> String {
            match value {
                PurgeInterval::Unset => String::new(),
                PurgeInterval::Never => "0".to_owned(),
                PurgeInterval::EveryMs(ms) => format!("{ms}ms"),
            }
        }
        let pairs = [
            ("dataDir", self.data_dir.display().to_string()),
            ("dataLogDir", self.data_log_dir.display().to_string()),
            ("clientPort", number(self.client_port)),
            ("clientPortAddress", self.client_port_address.clone().unwrap_or_default()),
            ("clientPortListenBacklog", number(self.client_port_listen_backlog)),
            ("maxClientCnxns", self.max_client_cnxns.to_string()),
            ("globalOutstandingLimit", self.global_outstanding_limit.to_string()),
            ("nio.sessionlessCnxnTimeout", self.sessionless_cnxn_timeout_ms.to_string()),
            ("readonlymode.enabled", self.read_only_mode.to_string()),
            ("4lw.commands.whitelist", self.four_letter_whitelist.to_string()),
            ("jute.maxbuffer", self.jute_max_buffer.to_string()),
            ("jute.maxbuffer.extrasize", self.jute_max_buffer_extrasize.to_string()),
            ("tickTime", self.tick_time_ms.to_string()),
            ("minSessionTimeout", self.min_session_timeout_ms.to_string()),
            ("maxSessionTimeout", self.max_session_timeout_ms.to_string()),
            ("snapCount", self.snap_count.to_string()),
            ("snapSizeLimitInKb", self.snap_size_limit_kb.to_string()),
            ("txnLogSizeLimitInKb", self.txn_log_size_limit_kb.to_string()),
            ("preAllocSize", self.pre_alloc_size_kb.to_string()),
            ("forceSync", yes_no(self.force_sync)),
            ("fsync.warningthresholdms", self.fsync_warning_threshold_ms.to_string()),
            ("snapshot.compression.method", self.snapshot_compression.name().to_owned()),
            ("autopurge.snapRetainCount", self.snap_retain_count.to_string()),
            ("autopurge.purgeInterval", interval(self.purge_interval)),
            ("diskReserveInMb", number(self.disk_reserve_mb)),
            ("snapshot.trust.empty", self.snapshot_trust_empty.to_string()),
            ("datadir.autocreate", self.datadir_autocreate.to_string()),
            ("db.autocreate", self.db_autocreate.to_string()),
            ("digest.enabled", self.digest_enabled.to_string()),
            ("serializeLastProcessedZxid.enabled", self.serialize_last_processed_zxid.to_string()),
            ("closeSessionTxn.enabled", self.close_session_txn.to_string()),
            ("reconfigEnabled", self.reconfig_enabled.to_string()),
            ("extendedTypesEnabled", self.extended_types.to_string()),
            ("emulate353TTLNodes", self.emulate_353_ttl.to_string()),
            ("znode.container.checkIntervalMs", self.container_check_interval_ms.to_string()),
            ("znode.container.maxPerMinute", self.container_max_per_minute.to_string()),
            (
                "znode.container.maxNeverUsedIntervalMs",
                self.container_max_never_used_ms.to_string(),
            ),
            ("enforceQuota", self.enforce_quota.to_string()),
            ("skipACL", yes_no(self.skip_acl)),
            ("DigestAuthenticationProvider.enabled", self.digest_provider_enabled.to_string()),
            ("DigestAuthenticationProvider.digestAlg", self.digest_algorithm.name().to_owned()),
            (
                "DigestAuthenticationProvider.superDigest",
                self.super_digest.as_ref().map(|_| REDACTED.to_owned()).unwrap_or_default(),
            ),
            ("enforce.auth.enabled", self.enforce_auth_enabled.to_string()),
            ("enforce.auth.schemes", self.enforce_auth_schemes.join(",")),
            ("ensembleAuthName", self.ensemble_auth_names.join(",")),
            ("compatibilityLevel", self.compatibility_level.name().to_owned()),
            ("log.level", self.log_levels.to_string()),
            ("log.format", self.log_format.to_string()),
        ];
        let pairs = pairs.into_iter().chain(self.limits.effective());
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value));
        pairs.chain(self.ensemble.iter().flat_map(|ensemble| ensemble.effective())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Secret, keys};
    use super::*;

    #[test]
    fn every_key_in_effect_is_told_once() {
        use keys::Class::{InEffect, Members, OfMembers};
        let mut config = Config::embedded_default("data");
        let all = |config: &Config, classes: &[keys::Class]| {
            let mut told: Vec<String> =
                config.effective().into_iter().map(|(key, _)| key).collect();
            let of_classes = |name: &&str| classes.contains(&keys::find(name).unwrap().class);
            let mut in_effect: Vec<&str> = keys::names().filter(of_classes).collect();
            told.sort_unstable();
            in_effect.sort_unstable();
            assert_eq!(told, in_effect);
        };
        all(&config, &[InEffect]);
        config.ensemble = Some(Default::default());
        all(&config, &[InEffect, OfMembers, Members]);
    }

    #[test]
    fn no_secret_is_told() {
        let mut config = Config::embedded_default("data");
        config.super_digest = Some(Secret::new("super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        let told = format!("{:?} {config:?}", config.effective());
        assert!(told.contains("superDigest") && !told.contains("D/InIHSb7"), "{told}");
    }
}
