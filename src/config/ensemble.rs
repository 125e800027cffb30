//! What a member of an ensemble is told that a server which is alone has no use for.
//!
//! A field has Apache ZooKeeper's default unless its key is given. Only `initLimit` and `syncLimit`
//! have none: no [`EnsembleConfig`] in a [`Config`](super::Config) lacks them.

use std::path::PathBuf;

use super::limits::Ratio;
use super::values::{Allowed, boolean, decimal, decoded, yes_no};
use crate::proto::QuorumVerifier;
use crate::proto::membership::LearnerType;

/// The ensemble, and how this server is a member of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsembleConfig {
    /// `server.N`, `group.N`, `weight.N`: more than one participant, or one that
    /// `standaloneEnabled=false` makes a member. The version is the end of the dynamic file's name,
    /// 0 without one.
    pub members: QuorumVerifier,
    /// `dynamicConfigFile`: where the members stand, if not in the file itself.
    pub dynamic_config_file: Option<PathBuf>,
    /// `peerType`: what the server would be. Its own server line decides
    /// ([`Parsed::as_member`](super::Parsed::as_member) tells if they differ).
    pub peer_type: LearnerType,
    /// `standaloneEnabled`: a single participant is no ensemble.
    pub standalone_enabled: bool,

    /// `initLimit`: how long a learner may take to connect and be synchronized, in ticks; never 0.
    pub init_limit_ticks: u32,
    /// `syncLimit`: how long the other end of a link may be silent, in ticks; never 0.
    pub sync_limit_ticks: u32,
    /// `connectToLearnerMasterLimit`: how long a learner may take to reach its leader, in ticks; 0
    /// is `initLimit`.
    pub connect_to_learner_master_limit_ticks: u32,
    /// `leaderConnectDelayDuringRetryMs`: the pause between its tries, ms.
    pub leader_connect_delay_during_retry_ms: u64,
    /// `leader.maxTimeToWaitForEpoch`: how long a leader waits for a quorum once one of its voters
    /// looks for another leader, ms; `None` as long as `initLimit` allows.
    pub max_time_to_wait_for_epoch_ms: Option<u64>,

    /// `cnxTimeout`: how long a connection of the election mesh may take to come about, ms.
    pub cnx_timeout_ms: u64,
    /// `quorumCnxnTimeoutMs`: how long whoever connects there may take to say who it is, ms; `None`
    /// is `syncLimit`.
    pub quorum_cnxn_timeout_ms: Option<u64>,
    /// `electionPortBindRetry`: how often the election port is tried; 0 is for ever.
    pub election_port_bind_retry: u32,
    /// `tcpKeepAlive`: the system probes silent connections of the mesh (SO_KEEPALIVE).
    pub tcp_keep_alive: bool,
    /// `quorumListenOnAllIPs`: the quorum and the election port are open on every address.
    pub quorum_listen_on_all_ips: bool,
    /// `fastleader.minNotificationInterval`: the first wait for votes, ms.
    pub min_notification_interval_ms: u64,
    /// `fastleader.maxNotificationInterval`: the longest, ms.
    pub max_notification_interval_ms: u64,

    /// `leaderServes`: a leader takes clients.
    pub leader_serves: bool,
    /// `leader.nodelay`: a leader's links send at once (TCP_NODELAY).
    pub leader_nodelay: bool,
    /// `follower.nodelay`: the same of a learner's link.
    pub follower_nodelay: bool,
    /// `leader.maxConcurrentSnapSyncs`: snapshots under way above which observers are turned away.
    pub max_concurrent_snap_syncs: u32,
    /// `leader.maxConcurrentDiffSyncs`: the same of logs.
    pub max_concurrent_diff_syncs: u32,
    /// `commitLogCount`: transactions kept in memory for learners that come back; at least 500.
    pub commit_log_count: u32,
    /// `snapshotSizeFactor`: a learner is sent what it lacks from the log on the disk while that is no
    /// larger than this part of the newest snapshot. `None`: never.
    pub snapshot_size_factor: Option<Ratio>,
    /// `forceSnapshotSync`: a learner always gets a snapshot.
    pub force_snapshot_sync: bool,

    /// `syncEnabled`: an observer has a log.
    pub sync_enabled: bool,
    /// `observer.syncEnabled`: goes before `syncEnabled`.
    pub observer_sync_enabled: Option<bool>,
    /// `observer.reconnectDelayMs`: how long an observer that lost its leader waits, ms.
    pub observer_reconnect_delay_ms: u64,
    /// `observer.election.DelayMs`: how long it waits before it asks who leads, ms.
    pub observer_election_delay_ms: u64,

    /// `localSessionsEnabled`: new sessions are known only where the client is.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: until they create something ephemeral.
    pub local_sessions_upgrading: bool,

    /// `multiAddress.enabled`: a member may have several addresses.
    pub multi_address: bool,
}

/// Fewer committed transactions Apache does not keep.
const LEAST_COMMIT_LOG: u32 = 500;
const DEFAULT_SNAPSHOT_SIZE_FACTOR: f64 = 0.33;

impl Default for EnsembleConfig {
    /// Nobody, with Apache's defaults: how a configuration begins before its keys are known.
    fn default() -> Self {
        let nobody = QuorumVerifier { members: Default::default(), version: 0, hierarchy: None };
        EnsembleConfig {
            members: nobody,
            dynamic_config_file: None,
            peer_type: LearnerType::Participant,
            standalone_enabled: true,
            init_limit_ticks: 0,
            sync_limit_ticks: 0,
            connect_to_learner_master_limit_ticks: 0,
            leader_connect_delay_during_retry_ms: 100,
            max_time_to_wait_for_epoch_ms: None,
            cnx_timeout_ms: 5000,
            quorum_cnxn_timeout_ms: None,
            election_port_bind_retry: 3,
            tcp_keep_alive: false,
            quorum_listen_on_all_ips: false,
            min_notification_interval_ms: 200,
            max_notification_interval_ms: 60_000,
            leader_serves: true,
            leader_nodelay: true,
            follower_nodelay: true,
            max_concurrent_snap_syncs: 10,
            max_concurrent_diff_syncs: 100,
            commit_log_count: LEAST_COMMIT_LOG,
            snapshot_size_factor: Ratio::new(DEFAULT_SNAPSHOT_SIZE_FACTOR),
            force_snapshot_sync: false,
            sync_enabled: true,
            observer_sync_enabled: None,
            observer_reconnect_delay_ms: 0,
            observer_election_delay_ms: 200,
            local_sessions: false,
            local_sessions_upgrading: false,
            multi_address: false,
        }
    }
}

impl EnsembleConfig {
    /// Whether an observer has a log.
    pub fn observer_logs(&self) -> bool {
        self.observer_sync_enabled.unwrap_or(self.sync_enabled)
    }

    /// Takes the value of `key`; `None` if the key is none of these.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Option<Result<Taken, Allowed>> {
        match self.try_take(key, value) {
            Ok(None) => None,
            Ok(Some(taken)) => Some(Ok(taken)),
            Err(allowed) => Some(Err(allowed)),
        }
    }

    fn try_take(&mut self, key: &str, value: &str) -> Result<Option<Taken>, Allowed> {
        const MAX: i64 = i32::MAX as i64;
        let or_default = |what: &'static str| {
            move |allowed: Allowed| format!("{allowed} ({what} is the default)")
        };
        match key {
            "peerType" => self.peer_type = peer_type(value)?,
            "standaloneEnabled" => self.standalone_enabled = boolean(value)?,
            // The only one there is; Apache gave up the others.
            "electionAlg" => {
                decimal::<i32>(value, 3..=3).map_err(|_| "3, the only one there is".to_owned())?;
            }
            "initLimit" => self.init_limit_ticks = decimal(value, 0..=MAX)?,
            "syncLimit" => self.sync_limit_ticks = decimal(value, 0..=MAX)?,
            "connectToLearnerMasterLimit" => {
                self.connect_to_learner_master_limit_ticks = decimal(value, 0..=MAX)
                    .map_err(|allowed| format!("{allowed} (0 is initLimit)"))?;
            }
            "leaderConnectDelayDuringRetryMs" => {
                self.leader_connect_delay_during_retry_ms = decoded(value, 1..=MAX)?;
            }
            "leader.maxTimeToWaitForEpoch" => {
                let ms: i32 = decoded(value, -1..=MAX).map_err(or_default("-1"))?;
                self.max_time_to_wait_for_epoch_ms = u64::try_from(ms).ok();
            }
            "cnxTimeout" => self.cnx_timeout_ms = decimal(value, 1..=MAX)?,
            "quorumCnxnTimeoutMs" => {
                let ms: i32 = decoded(value, -1..=MAX).map_err(or_default("-1"))?;
                self.quorum_cnxn_timeout_ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
            }
            "electionPortBindRetry" => {
                self.election_port_bind_retry = decoded(value, 0..=MAX)
                    .map_err(|allowed| format!("{allowed} (0 is without limit)"))?;
            }
            "tcpKeepAlive" => self.tcp_keep_alive = boolean(value)?,
            "quorumListenOnAllIPs" => self.quorum_listen_on_all_ips = boolean(value)?,
            "fastleader.minNotificationInterval" => {
                self.min_notification_interval_ms = decoded(value, 1..=MAX)?;
            }
            "fastleader.maxNotificationInterval" => {
                self.max_notification_interval_ms = decoded(value, 1..=MAX)?;
            }
            "leaderServes" => self.leader_serves = yes_no(value)?,
            "leader.nodelay" => self.leader_nodelay = boolean(value)?,
            "follower.nodelay" => self.follower_nodelay = boolean(value)?,
            "leader.maxConcurrentSnapSyncs" => {
                self.max_concurrent_snap_syncs = decoded(value, 1..=MAX)?;
            }
            "leader.maxConcurrentDiffSyncs" => {
                self.max_concurrent_diff_syncs = decoded(value, 1..=MAX)?;
            }
            "commitLogCount" => {
                let count: u32 = decoded(value, 0..=MAX)?;
                self.commit_log_count = count.max(LEAST_COMMIT_LOG);
                if count < LEAST_COMMIT_LOG {
                    return Ok(Some(Taken::Other(format!(
                        "is taken as {LEAST_COMMIT_LOG}, the least"
                    ))));
                }
            }
            "snapshotSizeFactor" => self.snapshot_size_factor = size_factor(value)?,
            "forceSnapshotSync" => self.force_snapshot_sync = boolean(value)?,
            "syncEnabled" => self.sync_enabled = boolean(value)?,
            "observer.syncEnabled" => self.observer_sync_enabled = Some(boolean(value)?),
            "observer.reconnectDelayMs" => {
                self.observer_reconnect_delay_ms = decoded(value, 0..=MAX)?;
            }
            "observer.election.DelayMs" => {
                self.observer_election_delay_ms = decoded(value, 0..=MAX)?;
            }
            "localSessionsEnabled" => self.local_sessions = boolean(value)?,
            "localSessionsUpgradingEnabled" => self.local_sessions_upgrading = boolean(value)?,
            "multiAddress.enabled" => self.multi_address = boolean(value)?,
            _ => return Ok(None),
        }
        Ok(Some(Taken::AsGiven))
    }

    /// Every key and its value, in `zoo.cfg`'s words; the members last.
    pub(super) fn effective(&self) -> Vec<(String, String)> {
        fn or(value: Option<impl ToString>, unset: &str) -> String {
            value.map_or_else(|| unset.to_owned(), |value| value.to_string())
        }
        let file = self.dynamic_config_file.as_ref().map(|file| file.display());
        let pairs = [
            ("dynamicConfigFile", or(file, "")),
            ("peerType", role(self.peer_type).to_owned()),
            ("standaloneEnabled", self.standalone_enabled.to_string()),
            ("electionAlg", "3".to_owned()),
            ("initLimit", self.init_limit_ticks.to_string()),
            ("syncLimit", self.sync_limit_ticks.to_string()),
            ("connectToLearnerMasterLimit", self.connect_to_learner_master_limit_ticks.to_string()),
            (
                "leaderConnectDelayDuringRetryMs",
                self.leader_connect_delay_during_retry_ms.to_string(),
            ),
            ("leader.maxTimeToWaitForEpoch", or(self.max_time_to_wait_for_epoch_ms, "-1")),
            ("cnxTimeout", self.cnx_timeout_ms.to_string()),
            ("quorumCnxnTimeoutMs", or(self.quorum_cnxn_timeout_ms, "-1")),
            ("electionPortBindRetry", self.election_port_bind_retry.to_string()),
            ("tcpKeepAlive", self.tcp_keep_alive.to_string()),
            ("quorumListenOnAllIPs", self.quorum_listen_on_all_ips.to_string()),
            ("fastleader.minNotificationInterval", self.min_notification_interval_ms.to_string()),
            ("fastleader.maxNotificationInterval", self.max_notification_interval_ms.to_string()),
            ("leaderServes", if self.leader_serves { "yes" } else { "no" }.to_owned()),
            ("leader.nodelay", self.leader_nodelay.to_string()),
            ("follower.nodelay", self.follower_nodelay.to_string()),
            ("leader.maxConcurrentSnapSyncs", self.max_concurrent_snap_syncs.to_string()),
            ("leader.maxConcurrentDiffSyncs", self.max_concurrent_diff_syncs.to_string()),
            ("commitLogCount", self.commit_log_count.to_string()),
            ("snapshotSizeFactor", or(self.snapshot_size_factor.map(Ratio::get), "-1")),
            ("forceSnapshotSync", self.force_snapshot_sync.to_string()),
            ("syncEnabled", self.sync_enabled.to_string()),
            ("observer.syncEnabled", or(self.observer_sync_enabled, "")),
            ("observer.reconnectDelayMs", self.observer_reconnect_delay_ms.to_string()),
            ("observer.election.DelayMs", self.observer_election_delay_ms.to_string()),
            ("localSessionsEnabled", self.local_sessions.to_string()),
            ("localSessionsUpgradingEnabled", self.local_sessions_upgrading.to_string()),
            ("multiAddress.enabled", self.multi_address.to_string()),
        ];
        let mut pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let members = self.members.to_text();
        let members = members.lines().filter_map(|line| line.split_once('='));
        // The version is the name's of the dynamic file, and no key.
        let members = members.filter(|(key, _)| *key != "version");
        pairs.extend(members.map(|(key, value)| (key.to_owned(), value.to_owned())));
        pairs
    }
}

/// How a value was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// As it stands there.
    AsGiven,
    /// As told.
    Other(String),
}

/// In any case, as Apache reads it.
fn peer_type(value: &str) -> Result<LearnerType, Allowed> {
    [LearnerType::Participant, LearnerType::Observer]
        .into_iter()
        .find(|kind| role(*kind).eq_ignore_ascii_case(value))
        .ok_or_else(|| "participant or observer".to_owned())
}

/// The role's name in a server line.
pub(super) fn role(kind: LearnerType) -> &'static str {
    match kind {
        LearnerType::Participant => "participant",
        LearnerType::Observer => "observer",
    }
}

/// A part from 0 to 1; below 0 is off.
fn size_factor(value: &str) -> Result<Option<Ratio>, Allowed> {
    let number = value.parse::<f64>().ok().filter(|number| *number <= 1.0);
    let number = number.ok_or("a number up to 1 (below 0 is off)")?;
    Ok(Ratio::new(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(config: &EnsembleConfig, key: &str) -> String {
        config.effective().into_iter().find(|(name, _)| name == key).expect("told").1
    }

    /// Names no file and no member, which are not its own to take.
    fn defaults() -> Vec<(String, String)> {
        let told = EnsembleConfig::default().effective();
        told.into_iter().filter(|(key, _)| key != "dynamicConfigFile").collect()
    }

    #[test]
    fn every_key_is_taken_and_told_and_changes_no_other() {
        assert_eq!(defaults().len(), 30);
        for (key, default) in defaults() {
            let given = match (key.as_str(), default.as_str()) {
                ("electionAlg", _) => "3",
                ("snapshotSizeFactor", _) => "0.5",
                ("peerType", _) => "observer",
                ("observer.syncEnabled", _) | (_, "true") => "false",
                (_, "false") => "true",
                (_, "yes") => "no",
                _ => "777",
            };
            let mut config = EnsembleConfig::default();
            let taken = config.take(&key, given).expect("known").expect("allowed");
            assert_eq!(taken, Taken::AsGiven, "{key}");
            assert!(key == "electionAlg" || given != default, "{key}");
            for (name, value) in defaults() {
                let expected = if name == key { given } else { &value };
                assert_eq!(value_of(&config, &name), expected, "{key} and {name}");
            }
        }
        assert_eq!(EnsembleConfig::default().take("tickTime", "7"), None);
    }

    #[test]
    fn the_defaults_are_apaches() {
        for (key, default) in [
            ("peerType", "participant"),
            ("standaloneEnabled", "true"),
            ("electionAlg", "3"),
            ("connectToLearnerMasterLimit", "0"),
            ("leaderConnectDelayDuringRetryMs", "100"),
            ("leader.maxTimeToWaitForEpoch", "-1"),
            ("cnxTimeout", "5000"),
            ("quorumCnxnTimeoutMs", "-1"),
            ("electionPortBindRetry", "3"),
            ("tcpKeepAlive", "false"),
            ("quorumListenOnAllIPs", "false"),
            ("fastleader.minNotificationInterval", "200"),
            ("fastleader.maxNotificationInterval", "60000"),
            ("leaderServes", "yes"),
            ("leader.nodelay", "true"),
            ("follower.nodelay", "true"),
            ("leader.maxConcurrentSnapSyncs", "10"),
            ("leader.maxConcurrentDiffSyncs", "100"),
            ("commitLogCount", "500"),
            ("snapshotSizeFactor", "0.33"),
            ("forceSnapshotSync", "false"),
            ("syncEnabled", "true"),
            ("observer.syncEnabled", ""),
            ("observer.reconnectDelayMs", "0"),
            ("observer.election.DelayMs", "200"),
            ("localSessionsEnabled", "false"),
            ("localSessionsUpgradingEnabled", "false"),
            ("multiAddress.enabled", "false"),
        ] {
            assert_eq!(value_of(&EnsembleConfig::default(), key), default, "{key}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        for (key, value, words) in [
            ("peerType", "leader", "participant or observer"),
            ("standaloneEnabled", "no", "true or false"),
            ("electionAlg", "0", "3, the only one"),
            ("electionAlg", "", "3, the only one"),
            ("initLimit", "-1", "from 0"),
            ("initLimit", "ten", "from 0"),
            ("syncLimit", "0x5", "from 0"),
            ("connectToLearnerMasterLimit", "-1", "0 is initLimit"),
            ("leaderConnectDelayDuringRetryMs", "0", "from 1"),
            ("leader.maxTimeToWaitForEpoch", "-2", "-1 is the default"),
            ("cnxTimeout", "0", "from 1"),
            ("quorumCnxnTimeoutMs", "-2", "-1 is the default"),
            ("electionPortBindRetry", "-1", "0 is without limit"),
            ("tcpKeepAlive", "yes", "true or false"),
            ("quorumListenOnAllIPs", "yes", "true or false"),
            ("fastleader.minNotificationInterval", "0", "from 1"),
            ("fastleader.maxNotificationInterval", "0", "from 1"),
            ("leaderServes", "true", "yes or no"),
            ("leader.nodelay", "yes", "true or false"),
            ("follower.nodelay", "1", "true or false"),
            ("leader.maxConcurrentSnapSyncs", "0", "from 1"),
            ("leader.maxConcurrentDiffSyncs", "0", "from 1"),
            ("commitLogCount", "-1", "from 0"),
            ("snapshotSizeFactor", "1.5", "up to 1"),
            ("snapshotSizeFactor", "NaN", "up to 1"),
            ("forceSnapshotSync", "yes", "true or false"),
            ("syncEnabled", "yes", "true or false"),
            ("observer.syncEnabled", "", "true or false"),
            ("observer.reconnectDelayMs", "-1", "from 0"),
            ("observer.election.DelayMs", "-1", "from 0"),
            ("localSessionsEnabled", "1", "true or false"),
            ("localSessionsUpgradingEnabled", "1", "true or false"),
            ("multiAddress.enabled", "1", "true or false"),
        ] {
            let allowed = EnsembleConfig::default().take(key, value).expect("known").unwrap_err();
            assert!(allowed.contains(words), "{key}={value}: {allowed}");
        }
    }

    #[test]
    fn what_turns_something_off_is_taken_so() {
        let taken = |key: &str, value: &str| {
            let mut config = EnsembleConfig::default();
            config.take(key, value).expect("known").expect("allowed");
            config
        };
        assert_eq!(taken("quorumCnxnTimeoutMs", "0").quorum_cnxn_timeout_ms, None);
        let patience = |value| taken("leader.maxTimeToWaitForEpoch", value);
        assert_eq!(patience("-1").max_time_to_wait_for_epoch_ms, None);
        assert_eq!(patience("0").max_time_to_wait_for_epoch_ms, Some(0));
        assert_eq!(taken("snapshotSizeFactor", "-1").snapshot_size_factor, None);
    }

    #[test]
    fn too_small_a_committed_log_is_taken_as_the_least() {
        let mut config = EnsembleConfig { commit_log_count: 0, ..EnsembleConfig::default() };
        let Some(Ok(Taken::Other(told))) = config.take("commitLogCount", "499") else {
            panic!("taken in silence");
        };
        assert_eq!((told.as_str(), config.commit_log_count), ("is taken as 500, the least", 500));
    }

    #[test]
    fn the_property_of_observers_goes_before_the_key() {
        let mut config = EnsembleConfig::default();
        assert!(config.observer_logs());
        config.sync_enabled = false;
        assert!(!config.observer_logs());
        config.observer_sync_enabled = Some(true);
        assert!(config.observer_logs());
    }
}
