//! What a member must have, and what it may not ask for yet.

use super::notice::NoticeKind;
use super::parse::Draft;
use super::setting::Setting;

impl Draft {
    /// Checks what only a member needs, once it is known to be one.
    pub(super) fn finish_ensemble(&mut self, settings: &[Setting]) {
        let Some(ensemble) = &self.config.ensemble else { return };
        let (min, max) =
            (ensemble.min_notification_interval_ms, ensemble.max_notification_interval_ms);
        let limits = [
            ("initLimit", ensemble.init_limit_ticks, "connect and be synchronized", 10),
            ("syncLimit", ensemble.sync_limit_ticks, "be silent", 5),
        ];
        let upgrades_nothing = ensemble.local_sessions_upgrading && !ensemble.local_sessions;
        for (key, ticks, purpose, usual) in limits {
            if ticks == 0 && !self.is_wrong(&[key]) {
                let what = format!(
                    "is missing: a member of an ensemble must say how many ticks of tickTime \
                     another may take to {purpose} ({usual} is usual)"
                );
                self.refuse(key, self.origin(key), what);
            }
        }
        let find = |key: &str| settings.iter().find(|setting| setting.key == key);
        if let Some(setting) = find("fastleader.minNotificationInterval").filter(|_| min > max) {
            let what = format!(
                "({min} ms) is above fastleader.maxNotificationInterval ({max} ms), which counts"
            );
            self.notice(NoticeKind::Warning, setting, what);
        }
        if let Some(setting) = find("localSessionsUpgradingEnabled").filter(|_| upgrades_nothing) {
            let what = "has no effect without localSessionsEnabled=true".to_owned();
            self.notice(NoticeKind::Warning, setting, what);
        }
        self.check_client_address();
        self.refuse_what_is_not_there(settings);
    }

    /// What an ensemble of Apache ZooKeeper may have, and ours has not yet. It would not be the same
    /// without: each of these changes who may do what, or who is reached how.
    fn refuse_what_is_not_there(&mut self, settings: &[Setting]) {
        let find = |key: &str| settings.iter().find(|setting| setting.key == key);
        let asks = |key: &str, idle: fn(&str) -> bool| {
            find(key).filter(|setting| !idle(&setting.value)).cloned()
        };
        let off = |value: &str| !value.eq_ignore_ascii_case("true");
        let no_port = |value: &str| value.parse::<i64>().is_ok_and(|port| port <= 0);
        for (asking, what) in [
            (
                asks("reconfigEnabled", off),
                "is true, but this version cannot change the members of a running ensemble: \
                 switch it off (reconfigEnabled=false) on every server, restart each, and change \
                 the server lines by hand",
            ),
            (
                asks("observerMasterPort", no_port),
                "asks for followers that serve observers, which this version has not: remove it \
                 on every server; observers then follow the leader",
            ),
            (
                asks("oraclePath", str::is_empty),
                "asks for an oracle that lets one of two servers go on alone, which this version \
                 has not: remove it, and have three servers",
            ),
            (
                asks("readonlymode.enabled", off),
                "is true, but this version does not serve reads without a quorum: remove it",
            ),
        ] {
            if let Some(setting) = asking.filter(|setting| !self.is_wrong(&[&setting.key])) {
                self.refuse(&setting.written, Some(setting.origin), what.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};

    const MEMBERS: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";

    /// The lines begin on line 6.
    fn member(lines: &str) -> Result<(Config, Vec<String>), Vec<String>> {
        let text = format!("dataDir=/data\nclientPort=2181\n{MEMBERS}{lines}");
        let told = |notices: Vec<super::super::Notice>| {
            notices.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        parse(text.as_bytes(), "zoo.cfg")
            .map(|parsed| (parsed.config, told(parsed.notices)))
            .map_err(|errors| errors.errors.iter().map(ToString::to_string).collect())
    }

    fn refused(lines: &str) -> Vec<String> {
        member(&format!("initLimit=10\nsyncLimit=5\n{lines}")).expect_err(lines)
    }

    #[test]
    fn a_member_must_have_both_limits() {
        let (config, told) = member("initLimit=10\nsyncLimit=5\n").unwrap();
        let ensemble = config.ensemble.unwrap();
        assert_eq!((ensemble.init_limit_ticks, ensemble.sync_limit_ticks), (10, 5));
        assert_eq!(told, [""; 0]);
        assert_eq!(
            member("").unwrap_err(),
            [
                "initLimit is missing: a member of an ensemble must say how many ticks of \
                 tickTime another may take to connect and be synchronized (10 is usual)",
                "syncLimit is missing: a member of an ensemble must say how many ticks of \
                 tickTime another may take to be silent (5 is usual)",
            ]
        );
        assert!(
            member("initLimit=0\nsyncLimit=5").unwrap_err()[0].starts_with("line 6: initLimit")
        );
        assert_eq!(
            member("initLimit=x\nsyncLimit=5").unwrap_err(),
            ["line 6: initLimit must be a whole number from 0 to 2147483647, not \"x\""]
        );
    }

    #[test]
    fn what_this_version_has_not_refuses_a_member_and_nobody_else() {
        for (line, words) in [
            ("reconfigEnabled=true", "switch it off (reconfigEnabled=false) on every server"),
            ("observerMasterPort=2191", "observers then follow the leader"),
            ("oraclePath=/oracle", "have three servers"),
            ("readonlymode.enabled=true", "does not serve reads without a quorum"),
            ("sslQuorum=true", "asks for protection"),
            ("quorum.auth.enableSasl=true", "asks for protection"),
        ] {
            let told = refused(line);
            assert_eq!(told.len(), 1, "{told:?}");
            let key = line.split('=').next().unwrap();
            assert!(told[0].starts_with(&format!("line 8: {key} ")), "{told:?}");
            assert!(told[0].contains(words), "{told:?}");
        }
        for line in [
            "reconfigEnabled=false",
            "observerMasterPort=0",
            "observerMasterPort=-1",
            "oraclePath=",
            "readonlymode.enabled=False",
        ] {
            let (_, told) = member(&format!("initLimit=10\nsyncLimit=5\n{line}")).unwrap();
            assert_eq!(told.len(), usize::from(line == "observerMasterPort=-1"), "{told:?}");
        }
        let alone =
            "dataDir=/data\nclientPort=2181\nreconfigEnabled=true\nreadonlymode.enabled=true\n";
        assert!(parse(alone.as_bytes(), "zoo.cfg").is_ok());
    }

    #[test]
    fn a_value_that_is_wrong_is_told_once() {
        for line in ["reconfigEnabled=yes", "observerMasterPort=x", "readonlymode.enabled=1"] {
            let told = refused(line);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(" must be "), "{told:?}");
        }
    }

    #[test]
    fn keys_that_contradict_each_other_are_warned_of() {
        for (lines, words) in [
            (
                "fastleader.minNotificationInterval=500\nfastleader.maxNotificationInterval=400",
                "line 8: fastleader.minNotificationInterval (500 ms) is above",
            ),
            (
                "localSessionsUpgradingEnabled=true",
                "line 8: localSessionsUpgradingEnabled has no effect without",
            ),
            ("commitLogCount=10", "line 8: commitLogCount is taken as 500, the least"),
        ] {
            let (_, told) = member(&format!("initLimit=10\nsyncLimit=5\n{lines}")).unwrap();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(words), "{told:?}");
        }
    }

    #[test]
    fn a_server_that_is_alone_says_nothing_of_what_only_members_have() {
        let text = "dataDir=/data\nclientPort=2181\ninitLimit=0\nleaderServes=no\n\
                    fastleader.minNotificationInterval=90000\nsyncEnabled=false\n";
        let parsed = parse(text.as_bytes(), "zoo.cfg").unwrap();
        assert_eq!((parsed.notices, parsed.config.ensemble), (vec![], None));
    }
}
