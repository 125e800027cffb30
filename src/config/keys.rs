//! Every key that Apache ZooKeeper knows, and those of our own, with what this version makes of it.
//!
//! A name that ends with `.*` stands for all names with that beginning; an exact name goes first,
//! then the longest beginning. A key that is in effect stands here and in `parse`, where it is
//! taken; a test holds the two together.

/// A key of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name, or its beginning and `.*`.
    pub name: &'static str,
    /// What becomes of it.
    pub class: Class,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It does what it says.
    InEffect,
    /// Accepted, and named at start as not yet in effect.
    NotYet(Form),
    /// Accepted, and named at start as meaning nothing here.
    Ignored(Why),
    /// It asks for protection this version does not have, if its value is as told: refused.
    Protection(Asks, &'static str),
    /// It does what it says in a member of an ensemble; a server that is alone has nothing that it
    /// could change, and no word is lost about it.
    OfMembers,
    /// It says who the members are: judged together by `membership`.
    Members,
}

/// What is checked of a value that has no effect yet, so that a file does not become wrong on the
/// day the key comes into effect. Only keys that Apache itself checks at start have a form: whatever
/// starts there must start here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything. With a value: the one that asks for nothing, so that it needs no notice.
    Text(Option<&'static str>),
    /// A decimal i32; the value given asks for nothing.
    Int(Option<i32>),
}

/// Why a key means nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It tunes a Java virtual machine.
    Jvm,
    /// It tunes threads, caches or libraries of the Java server.
    Internals,
    /// It belongs to clients.
    Client,
    /// It is a hook for Apache's own tests.
    Tests,
    /// It makes the Java server wait before a sync.
    Batching,
    /// It sets up Java's logging.
    Logging,
    /// It lets a member judge a write before its leader does.
    LeaderJudges,
    /// It makes the Java server try an address before it dials it.
    Racing,
}

/// Which values ask for protection. An empty value never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// `true`; what is neither `true` nor `false` is an error of its own.
    True,
    /// Everything but `false`.
    UnlessFalse,
    /// Everything but this word, upper and lower case counting as equal.
    Unless(&'static str),
    /// A port other than 0, and what is no number.
    Port,
    /// A class other than the providers of the schemes `digest`, `ip` and `ensemble`.
    OtherProvider,
}

/// The key called `name`, by its own name or by one that Apache's documentation uses and its code
/// does not read.
pub fn find(name: &str) -> Option<Key> {
    let name = canonical(name);
    let exact = KEYS.iter().find(|key| key.name == name);
    let family = || {
        let covers = |key: &&Key| {
            let beginning = key.name.strip_suffix('*');
            beginning.is_some_and(|beginning| name.starts_with(beginning))
        };
        KEYS.iter().filter(covers).max_by_key(|key| key.name.len())
    };
    exact.or_else(family).copied()
}

/// The name that Apache's code reads: `name` itself unless only its documentation has it.
pub fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| real)
}

/// Names to suggest in place of one nobody knows: those of the table, and Apache's documentation's.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    names().chain(ALIASES.iter().map(|(alias, _)| *alias))
}

/// The names of the table that are whole.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name).filter(|name| !name.ends_with('*'))
}

const fn in_effect(name: &'static str) -> Key {
    Key { name, class: Class::InEffect }
}
const fn text(name: &'static str) -> Key {
    Key { name, class: Class::NotYet(Form::Text(None)) }
}
/// Not yet in effect, but nothing is amiss while the value is `idle`.
const fn unless(name: &'static str, idle: &'static str) -> Key {
    Key { name, class: Class::NotYet(Form::Text(Some(idle))) }
}
const fn int(name: &'static str, idle: Option<i32>) -> Key {
    Key { name, class: Class::NotYet(Form::Int(idle)) }
}
const fn ignored(name: &'static str, why: Why) -> Key {
    Key { name, class: Class::Ignored(why) }
}
const fn protection(name: &'static str, asks: Asks, what: &'static str) -> Key {
    Key { name, class: Class::Protection(asks, what) }
}
const fn of_members(name: &'static str) -> Key {
    Key { name, class: Class::OfMembers }
}
const fn members(name: &'static str) -> Key {
    Key { name, class: Class::Members }
}

const TLS: &str = "TLS";
const QUORUM_TLS: &str = "TLS between servers";
const SASL: &str = "SASL";
const QUORUM_SASL: &str = "SASL between servers";

const KEYS: &[Key] = &[
    // The data directory and what is written there.
    in_effect("dataDir"),
    in_effect("dataLogDir"),
    in_effect("snapCount"),
    in_effect("snapSizeLimitInKb"),
    in_effect("txnLogSizeLimitInKb"),
    in_effect("preAllocSize"),
    in_effect("forceSync"),
    in_effect("fsync.warningthresholdms"),
    in_effect("snapshot.trust.empty"),
    in_effect("datadir.autocreate"),
    in_effect("db.autocreate"),
    in_effect("digest.enabled"),
    in_effect("serializeLastProcessedZxid.enabled"),
    in_effect("closeSessionTxn.enabled"),
    in_effect("extendedTypesEnabled"),
    in_effect("znode.container.checkIntervalMs"),
    in_effect("znode.container.maxPerMinute"),
    in_effect("znode.container.maxNeverUsedIntervalMs"),
    in_effect("emulate353TTLNodes"),
    of_members("commitLogCount"),
    of_members("snapshotSizeFactor"),
    in_effect("snapshot.compression.method"),
    in_effect("autopurge.snapRetainCount"),
    in_effect("autopurge.purgeInterval"),
    in_effect("diskReserveInMb"),
    ignored("testingonly.initialZxid", Why::Tests),
    ignored("test.allowDiscontinuousProposals", Why::Tests),
    // Clients and their limits.
    in_effect("clientPort"),
    in_effect("clientPortAddress"),
    in_effect("clientPortListenBacklog"),
    in_effect("tickTime"),
    in_effect("minSessionTimeout"),
    in_effect("maxSessionTimeout"),
    in_effect("maxClientCnxns"),
    in_effect("globalOutstandingLimit"),
    in_effect("nio.sessionlessCnxnTimeout"),
    in_effect("jute.maxbuffer"),
    in_effect("jute.maxbuffer.extrasize"),
    in_effect("4lw.commands.whitelist"),
    in_effect("compatibilityLevel"),
    in_effect("maxCnxns"),
    in_effect("clientTcpKeepAlive"),
    ignored("maxResponseCacheSize", Why::Internals),
    ignored("maxGetChildrenResponseCacheSize", Why::Internals),
    ignored("intBufferStartingSizeBytes", Why::Internals),
    ignored("flushDelay", Why::Batching),
    ignored("maxWriteQueuePollTime", Why::Batching),
    ignored("maxBatchSize", Why::Batching),
    ignored("enableEagerACLCheck", Why::LeaderJudges),
    in_effect("enforceQuota"),
    in_effect("request_throttle_max_requests"),
    in_effect("request_throttle_stall_time"),
    in_effect("request_throttle_drop_stale"),
    in_effect("request_stale_connection_check"),
    in_effect("request_stale_latency_check"),
    ignored("request_throttler.shutdownTimeout", Why::Internals),
    in_effect("throttled_op_wait_time"),
    in_effect("largeRequestMaxBytes"),
    in_effect("largeRequestThreshold"),
    in_effect("connection_throttle_tokens"),
    in_effect("connection_throttle_fill_time"),
    in_effect("connection_throttle_fill_count"),
    in_effect("connection_throttle_freeze_time"),
    in_effect("connection_throttle_drop_increase"),
    in_effect("connection_throttle_drop_decrease"),
    in_effect("connection_throttle_decrease_ratio"),
    in_effect("connection_throttle_weight_enabled"),
    in_effect("connection_throttle_global_session_weight"),
    in_effect("connection_throttle_local_session_weight"),
    in_effect("connection_throttle_renew_session_weight"),
    ignored("nio.numSelectorThreads", Why::Internals),
    ignored("nio.numWorkerThreads", Why::Internals),
    ignored("nio.directBufferBytes", Why::Internals),
    ignored("nio.shutdownTimeout", Why::Internals),
    ignored("serverCnxnFactory", Why::Internals),
    ignored("netty.advancedFlowControl.enabled", Why::Internals),
    text("netty.server.outstandingHandshake.limit"),
    text("netty.server.earlyDropSecureConnectionHandshakes"),
    ignored("commitProcessor.numWorkerThreads", Why::Internals),
    ignored("commitProcessor.maxReadBatchSize", Why::Internals),
    ignored("commitProcessor.maxCommitBatchSize", Why::Internals),
    ignored("commitProcessor.shutdownTimeout", Why::Internals),
    in_effect("readonlymode.enabled"),
    of_members("localSessionsEnabled"),
    of_members("localSessionsUpgradingEnabled"),
    // Who the members are.
    members("server.*"),
    members("group.*"),
    members("weight.*"),
    members("dynamicConfigFile"),
    // What only an ensemble needs.
    of_members("standaloneEnabled"),
    of_members("initLimit"),
    of_members("syncLimit"),
    of_members("connectToLearnerMasterLimit"),
    of_members("electionAlg"),
    of_members("peerType"),
    of_members("quorumListenOnAllIPs"),
    of_members("syncEnabled"),
    in_effect("reconfigEnabled"),
    of_members("multiAddress.enabled"),
    ignored("multiAddress.reachabilityCheckEnabled", Why::Racing),
    ignored("multiAddress.reachabilityCheckTimeoutMs", Why::Racing),
    of_members("leaderServes"),
    of_members("cnxTimeout"),
    of_members("quorumCnxnTimeoutMs"),
    of_members("electionPortBindRetry"),
    of_members("tcpKeepAlive"),
    of_members("fastleader.minNotificationInterval"),
    of_members("fastleader.maxNotificationInterval"),
    of_members("leader.maxConcurrentSnapSyncs"),
    of_members("leader.maxConcurrentDiffSyncs"),
    of_members("leader.maxTimeToWaitForEpoch"),
    of_members("leaderConnectDelayDuringRetryMs"),
    of_members("leader.nodelay"),
    of_members("follower.nodelay"),
    of_members("observer.reconnectDelayMs"),
    of_members("observer.election.DelayMs"),
    of_members("observer.syncEnabled"),
    of_members("forceSnapshotSync"),
    // A member that is asked for these refuses.
    int("observerMasterPort", Some(0)),
    unless("oraclePath", ""),
    text("observerMaster.sizeLimit"),
    ignored("leader.ackLoggingFrequency", Why::Internals),
    ignored("leader.closeSocketAsync", Why::Internals),
    ignored("learner.closeSocketAsync", Why::Internals),
    ignored("learner.asyncSending", Why::Internals),
    ignored("follower.skipLearnerRequestToNextProcessor", Why::Internals),
    ignored("forward_learner_requests_to_commit_processor_disabled", Why::Internals),
    ignored("quorum.cnxn.threads.size", Why::Internals),
    text("messageTracker.Enabled"),
    text("messageTracker.BufferSize"),
    // Operating it.
    unless("admin.enableServer", "false"),
    protection("admin.portUnification", Asks::True, TLS),
    protection("admin.forceHttps", Asks::True, TLS),
    protection("admin.needClientAuth", Asks::True, TLS),
    text("admin.*"),
    unless("audit.enable", "false"),
    text("audit.impl.class"),
    text("metricsProvider.className"),
    protection("metricsProvider.httpsPort", Asks::Port, TLS),
    protection("metricsProvider.ssl.*", Asks::UnlessFalse, TLS),
    text("metricsProvider.*"),
    unless("pathStats.enabled", "false"),
    text("pathStats.*"),
    ignored("watchManagerName", Why::Internals),
    ignored("watcherCleanThreshold", Why::Internals),
    ignored("watcherCleanIntervalInSeconds", Why::Internals),
    ignored("watcherCleanThreadsNum", Why::Internals),
    ignored("maxInProcessingDeadWatchers", Why::Internals),
    ignored("bitHashCacheSize", Why::Internals),
    ignored("controllerPort", Why::Tests),
    ignored("configuration", Why::Tests),
    in_effect("log.level"),
    in_effect("log.format"),
    ignored("log.dir", Why::Logging),
    ignored("log.file", Why::Logging),
    ignored("log.threshold", Why::Logging),
    ignored("log.maxfilesize", Why::Logging),
    ignored("log.maxbackupindex", Why::Logging),
    ignored("console.threshold", Why::Logging),
    ignored("tracelog.dir", Why::Logging),
    ignored("tracelog.file", Why::Logging),
    ignored("root.logger", Why::Logging),
    text("auditlog.*"),
    // Who may do what.
    in_effect("skipACL"),
    in_effect("DigestAuthenticationProvider.enabled"),
    in_effect("DigestAuthenticationProvider.superDigest"),
    in_effect("DigestAuthenticationProvider.digestAlg"),
    protection("authProvider.*", Asks::OtherProvider, "an authentication provider"),
    // These give rights to identities that cannot exist without SASL or TLS, which refuse by their
    // own keys: without effect they take nothing away from anyone's protection.
    text("superUser"),
    text("superUser.*"),
    text("letAnySaslUserDoX"),
    text("X509AuthenticationProvider.superUser"),
    text("SASLAuthenticationProvider.superPassword"),
    unless("allowSaslFailedClients", "false"),
    // With no SASL there is nobody whom it would let in; Apache refuses to start then.
    protection("sessionRequireClientSASLAuth", Asks::True, SASL),
    in_effect("enforce.auth.enabled"),
    in_effect("enforce.auth.schemes"),
    in_effect("ensembleAuthName"),
    text("IPAuthenticationProvider.usexforwardedfor"),
    // Names of sections and shapes of ids; SASL itself is asked for by the JAAS file.
    text("sasl.serverconfig"),
    text("kerberos.*"),
    text("kinit"),
    text("security.auth_to_local"),
    text("java.security.krb5.conf"),
    protection("requireKerberosConfig", Asks::True, "Kerberos"),
    protection("java.security.auth.login.config", Asks::Unless(""), SASL),
    protection("quorum.auth.*", Asks::UnlessFalse, QUORUM_SASL),
    // Without TLS and DIGEST-MD5 there is nothing that FIPS mode would forbid.
    text("fips-mode"),
    // TLS.
    protection("secureClientPort", Asks::Port, TLS),
    protection("secureClientPortAddress", Asks::Unless(""), TLS),
    protection("client.portUnification", Asks::True, TLS),
    protection("client.certReload", Asks::True, TLS),
    protection("ssl.clientAuth", Asks::Unless("none"), TLS),
    protection("ssl.*", Asks::UnlessFalse, TLS),
    protection("sslQuorum", Asks::True, QUORUM_TLS),
    protection("portUnification", Asks::True, QUORUM_TLS),
    protection("sslQuorumReloadCertFiles", Asks::True, QUORUM_TLS),
    protection("ssl.quorum.clientAuth", Asks::Unless("none"), QUORUM_TLS),
    protection("ssl.quorum.*", Asks::UnlessFalse, QUORUM_TLS),
    // Java.
    ignored("jvm.*", Why::Jvm),
    ignored("jmx.*", Why::Jvm),
    ignored("com.sun.*", Why::Jvm),
    ignored("java.net.*", Why::Jvm),
    ignored("sun.*", Why::Jvm),
    ignored("jdk.*", Why::Jvm),
    // Clients.
    ignored("client.secure", Why::Client),
    ignored("clientCnxnSocket", Why::Client),
    ignored("request.timeout", Why::Client),
    ignored("disableAutoWatchReset", Why::Client),
    ignored("sasl.client", Why::Client),
    ignored("sasl.clientconfig", Why::Client),
    ignored("sasl.client.*", Why::Client),
    ignored("hostProvider.dnsSrvRefreshIntervalSeconds", Why::Client),
    ignored("shuffleDnsResponse", Why::Client),
];

/// Names of Apache's documentation, and what its code reads in their place.
const ALIASES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("advancedFlowControlEnabled", "netty.advancedFlowControl.enabled"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("outstandingHandshake.limit", "netty.server.outstandingHandshake.limit"),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
    ("enforce.auth.scheme", "enforce.auth.schemes"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn class(name: &str) -> Class {
        find(name).unwrap_or_else(|| panic!("{name} is unknown")).class
    }

    #[test]
    fn no_name_stands_twice() {
        let mut seen = BTreeSet::new();
        for name in KEYS.iter().map(|key| key.name).chain(ALIASES.iter().map(|(alias, _)| *alias)) {
            assert!(seen.insert(name), "{name}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_key() {
        for (alias, real) in ALIASES {
            assert_eq!(find(alias).map(|key| key.name), Some(*real));
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_family_and_a_long_family_before_a_short_one() {
        assert_eq!(class("ssl.keyStore.location"), Class::Protection(Asks::UnlessFalse, TLS));
        assert_eq!(class("ssl.quorum.crl"), Class::Protection(Asks::UnlessFalse, QUORUM_TLS));
        assert_eq!(class("ssl.clientAuth"), Class::Protection(Asks::Unless("none"), TLS));
        assert_eq!(class("admin.serverPort"), Class::NotYet(Form::Text(None)));
        assert_eq!(class("admin.forceHttps"), Class::Protection(Asks::True, TLS));
        assert_eq!(class("server.3"), Class::Members);
        assert_eq!(class("superUser.ops"), Class::NotYet(Form::Text(None)));
        assert_eq!(find("serverX"), None);
        assert_eq!(find("clientport"), None);
        assert_eq!(find(""), None);
    }
}
