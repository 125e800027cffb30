//! From where Apache ZooKeeper takes a key: its file, a system property, or both.
//!
//! | | in the file | as `-D` |
//! |---|---|---|
//! | a key of its parser (`tickTime`) | taken | no effect |
//! | any other (`snapCount`) | becomes the property `zookeeper.snapCount` and overwrites a `-D` | `-Dzookeeper.snapCount` |
//! | a property without the prefix (`jute.maxbuffer`) | no effect | `-Djute.maxbuffer` |
//!
//! The one cell this server fills in is the last row's file. There a `-D` goes first, because it is
//! what Apache would have done.

/// From where a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The file only.
    File,
    /// The file, or below it `-Dzookeeper.` and the key.
    Property,
    /// `-D` and the key, or below it the file.
    BareProperty,
}

/// The reach of `key`, by its name in the table of keys.
pub fn reach(key: &str) -> Reach {
    let listed = |list: &[&str]| {
        list.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => key == *name,
        })
    };
    if listed(BARE) {
        Reach::BareProperty
    } else if listed(OF_THE_PARSER) {
        Reach::File
    } else {
        Reach::Property
    }
}

/// Properties that have no prefix.
const BARE: &[&str] = &[
    "jute.maxbuffer",
    "readonlymode.enabled",
    "znode.container.*",
    "leader.nodelay",
    "follower.nodelay",
    "java.*",
    "com.sun.*",
    "sun.*",
    "jdk.*",
];

/// What `QuorumPeerConfig.parseProperties` takes for itself. It has `multiAddress.enabled` too, but
/// reads server lines by the property.
const OF_THE_PARSER: &[&str] = &[
    "dataDir",
    "dataLogDir",
    "clientPort",
    "clientPortAddress",
    "secureClientPort",
    "secureClientPortAddress",
    "clientPortListenBacklog",
    "observerMasterPort",
    "tickTime",
    "initLimit",
    "syncLimit",
    "connectToLearnerMasterLimit",
    "minSessionTimeout",
    "maxSessionTimeout",
    "maxClientCnxns",
    "electionAlg",
    "quorumListenOnAllIPs",
    "peerType",
    "syncEnabled",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "standaloneEnabled",
    "reconfigEnabled",
    "dynamicConfigFile",
    "autopurge.*",
    "quorum.auth.*",
    "quorum.cnxn.threads.size",
    "sslQuorum",
    "portUnification",
    "sslQuorumReloadCertFiles",
    "multiAddress.reachabilityCheckEnabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "oraclePath",
    "metricsProvider.*",
    "jvm.*",
    "server.*",
    "group.*",
    "weight.*",
];

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn each_kind_of_key_is_told_apart() {
        assert_eq!(reach("tickTime"), Reach::File);
        assert_eq!(reach("server.3"), Reach::File);
        assert_eq!(reach("snapCount"), Reach::Property);
        assert_eq!(reach("jute.maxbuffer.extrasize"), Reach::Property);
        assert_eq!(reach("jute.maxbuffer"), Reach::BareProperty);
        assert_eq!(reach("znode.container.maxPerMinute"), Reach::BareProperty);
        assert_eq!(reach("java.security.auth.login.config"), Reach::BareProperty);
    }

    #[test]
    fn every_name_is_a_key() {
        for name in BARE.iter().chain(OF_THE_PARSER) {
            let beginning = name.trim_end_matches('*');
            let covered = keys::names().any(|key| key.starts_with(beginning))
                || keys::find(&format!("{beginning}x")).is_some();
            assert!(covered, "{name}");
        }
    }
}
