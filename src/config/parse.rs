//! The journey from what was given to a [`Config`]: each setting is judged by the class of its key,
//! then what concerns more than one key is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::access::{missing_provider, protects};
use super::asked::{Asked, asked, check_form};
use super::keys::{self, Asks, Class, Key, Why};
use super::membership::{self, ClientPart};
use super::notice::{ConfigError, ConfigErrors, Notice, NoticeKind, printable};
use super::secret::is_secret;
use super::setting::{Origin, Setting};
use super::sources::{File, Given, gather};
use super::suggest::nearest;
use super::{Config, DEFAULT_TICK_TIME_MS, types};

/// What was given, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What is to be done.
    pub config: Config,
    /// What is to be said, in the order of the file; what was given elsewhere comes last.
    pub notices: Vec<Notice>,
    /// The file, as it was named; empty without one.
    pub file_name: String,
    /// Where each key that was given has its value from.
    pub(super) origins: BTreeMap<String, Origin>,
}

/// Reads a configuration file alone. `file_name` says whether it is TOML, and appears in errors.
///
/// # Errors
/// As [`resolve`].
pub fn parse(text: &[u8], file_name: &str) -> Result<Parsed, ConfigErrors> {
    resolve(&Given { file: Some(File { name: file_name, text }), ..Given::default() })
}

/// Makes a configuration of all that was given; of nothing, or of properties alone, the embedded
/// default.
///
/// # Errors
/// Every reason not to start. Lines that cannot be read at all are told alone: what the others come
/// to is unknown without them.
pub fn resolve(given: &Given<'_>) -> Result<Parsed, ConfigErrors> {
    let file_name = given.file.map_or_else(String::new, |file| file.name.to_owned());
    let gathered = match gather(given) {
        Ok(gathered) => gathered,
        Err(errors) => return Err(ConfigErrors { file_name, errors, unknown: Vec::new() }),
    };
    let mut draft = match (given.file, &given.short_form[..]) {
        (None, []) => Draft::embedded(),
        (None, _) => Draft::short_form(),
        (Some(_), _) => Draft::default(),
    };
    draft.notices = gathered.notices;
    draft.errors = gathered.errors;
    for setting in &gathered.settings {
        draft.judge(setting);
    }
    draft.finish(file_name, &gathered.settings)
}

/// A configuration in the making. The keys in effect are taken by `take`.
pub(super) struct Draft {
    /// Everything that stands for itself.
    pub(super) config: Config,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) data_log_dir: Option<PathBuf>,
    pub(super) min_session_timeout_ms: Option<i32>,
    pub(super) max_session_timeout_ms: Option<i32>,
    pub(super) jute_max_buffer_extrasize: Option<usize>,
    notices: Vec<Notice>,
    errors: Vec<ConfigError>,
    origins: BTreeMap<String, Origin>,
}

impl Default for Draft {
    fn default() -> Self {
        Draft {
            config: Config::defaults(PathBuf::new(), PathBuf::new(), DEFAULT_TICK_TIME_MS),
            data_dir: None,
            data_log_dir: None,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            jute_max_buffer_extrasize: None,
            notices: Vec::new(),
            errors: Vec::new(),
            origins: BTreeMap::new(),
        }
    }
}

impl Draft {
    /// Begins where a server stands that was given nothing: nobody has said who may come in, so
    /// nobody from outside does.
    fn embedded() -> Draft {
        let config = Config {
            client_port_address: Some("127.0.0.1".to_owned()),
            ..Config::embedded_default(Config::EMBEDDED_DATA_DIR)
        };
        Draft { data_dir: Some(config.data_dir.clone()), config, ..Draft::default() }
    }

    /// Begins where Apache's short form does: without a limit of connections.
    fn short_form() -> Draft {
        let mut draft = Draft::default();
        draft.config.max_client_cnxns = 0;
        draft
    }

    fn judge(&mut self, property: &Setting) {
        if let Some(earlier) = property.replaces {
            let what = format!("stands on line {earlier} too; this later line counts");
            self.notice(NoticeKind::Warning, property, what);
        }
        let Some(key) = keys::find(&property.key) else {
            return self.judge_unknown(property);
        };
        let property = &match types::check(&key, property) {
            Ok(setting) => setting,
            Err(allowed) => return self.wrong(property, &allowed),
        };
        match key.class {
            Class::InEffect => {
                if let Err(allowed) = self.take(property) {
                    self.wrong(property, &allowed);
                }
            }
            Class::NotYet(form) => match check_form(form, &property.value) {
                Ok(Asked::Nothing) => {}
                Ok(Asked::Something) => {
                    let what = "is known but not yet in effect in this version".to_owned();
                    self.notice(NoticeKind::NotYet, property, what);
                }
                Err(allowed) => self.wrong(property, &allowed),
            },
            Class::Ignored(why) => {
                let reason = match why {
                    Why::Jvm => "tunes a Java virtual machine; there is none here",
                    Why::Internals => {
                        "tunes the inside of the Java server; there is no such part here"
                    }
                    Why::Client => "is a setting for clients",
                    Why::Tests => "is a hook for Apache ZooKeeper's own tests",
                    Why::Batching => {
                        "lets the Java server wait for more writes before it syncs; here all \
                         writes that wait are always synced together"
                    }
                    Why::Logging => {
                        "sets up Java's logging; here the log goes to standard output, \
                         and log.level and log.format say how"
                    }
                };
                self.notice(NoticeKind::Ignored, property, format!("is ignored: it {reason}"));
            }
            Class::Protection(asks, what) => {
                self.judge_protection(property, asks, what);
            }
            // All of them together, in `finish`.
            Class::Ensemble => {}
        }
    }

    /// A name that nobody reads. With the prefix of system properties Apache does not read it
    /// either, but the operator surely meant it, and a protection asked for in vain is refused.
    fn judge_unknown(&mut self, property: &Setting) {
        let bare = property.key.strip_prefix("zookeeper.").unwrap_or(&property.key);
        match keys::find(bare) {
            Some(Key { class: Class::Protection(asks, what), .. }) => {
                self.judge_protection(property, asks, what);
            }
            Some(Key { name, .. }) if protects(name, &property.value) => {
                let what = format!(
                    "asks for protection, but has no effect with the prefix zookeeper. (in Apache \
                     ZooKeeper neither); write {name}"
                );
                self.refuse(&property.written, Some(property.origin), what);
            }
            Some(_) => {
                let what = format!(
                    "has no effect with the prefix zookeeper. (in Apache ZooKeeper neither); \
                     write {} in this file",
                    printable(bare)
                );
                self.notice(NoticeKind::Unknown, property, what);
            }
            None => {
                let what = match nearest(bare, keys::names()) {
                    Some(name) => format!("is unknown and has no effect; did you mean {name}?"),
                    None if !property.key.is_empty() => "is unknown and has no effect".to_owned(),
                    None => "(a line without a key) has no effect".to_owned(),
                };
                self.notice(NoticeKind::Unknown, property, what);
            }
        }
    }

    fn judge_protection(&mut self, property: &Setting, asks: Asks, what: &str) {
        match asked(asks, &property.value) {
            Ok(Asked::Nothing) => {}
            Ok(Asked::Something) => {
                let what = match asks {
                    Asks::OtherProvider => missing_provider(&property.value),
                    _ => what,
                };
                let what = format!(
                    "asks for protection that this version does not have ({what}); \
                     remove it to run without"
                );
                self.refuse(&property.written, Some(property.origin), what);
            }
            Err(allowed) => self.wrong(property, &allowed),
        }
    }

    /// Checks what concerns several keys, and fills in what depends on others.
    fn finish(mut self, file_name: String, settings: &[Setting]) -> Result<Parsed, ConfigErrors> {
        self.origins =
            settings.iter().map(|setting| (setting.key.clone(), setting.origin)).collect();
        let of_ensemble =
            |s: &&Setting| keys::find(&s.key).is_some_and(|key| key.class == Class::Ensemble);
        let members: Vec<&Setting> = settings.iter().filter(of_ensemble).collect();
        match membership::judge(&members) {
            Ok(client) => self.merge_client(client),
            Err(errors) => self.errors.extend(errors),
        }
        self.finish_timeouts();
        self.finish_extrasize(settings);
        self.finish_access(settings);
        self.finish_level();
        if self.config.read_only_mode {
            self.config.four_letter_whitelist.add("isro");
        }
        match &self.data_dir {
            Some(dir) => self.config.data_dir.clone_from(dir),
            // A dataDir that stands there and is wrong was told already.
            None if self.origin("dataDir").is_some() => {}
            None => {
                let what = "is missing: it must name the directory of the snapshots";
                self.refuse("dataDir", None, what.to_owned());
            }
        }
        let data_log_dir = self.data_log_dir.take().or_else(|| self.data_dir.clone());
        self.config.data_log_dir = data_log_dir.unwrap_or_default();
        // What is missing has no place and goes last.
        let order = |origin: Option<Origin>| (origin.is_none(), origin.map(Origin::order));
        self.notices.sort_by_key(|notice| order(notice.origin));
        self.errors.sort_by_key(|error| order(error.origin));
        if !self.errors.is_empty() {
            let unknown = self.notices.into_iter();
            let unknown = unknown.filter(|notice| notice.kind == NoticeKind::Unknown).collect();
            return Err(ConfigErrors { file_name, errors: self.errors, unknown });
        }
        let Draft { config, notices, origins, .. } = self;
        Ok(Parsed { config, notices, file_name, origins })
    }

    fn origin(&self, key: &str) -> Option<Origin> {
        self.origins.get(key).copied()
    }

    /// Brings together `clientPort`, `clientPortAddress` and the client part of a server line.
    fn merge_client(&mut self, on_server_line: Option<ClientPart>) {
        let (port_origin, address_origin) =
            (self.origin("clientPort"), self.origin("clientPortAddress"));
        let told = |error: &ConfigError| error.key.starts_with("clientPort");
        if self.errors.iter().any(told) {
            return;
        }
        let port = self.config.client_port;
        if port.is_none() && address_origin.is_some() {
            let what = "needs a clientPort beside it".to_owned();
            return self.refuse("clientPortAddress", address_origin, what);
        }
        let Some(part) = on_server_line else {
            if port.is_none() {
                let what = "is not set: nobody could connect".to_owned();
                self.refuse("clientPort", port_origin, what);
            }
            return;
        };
        if let Some(port) = port.filter(|&port| port != part.port) {
            let what = format!("is {port}, but the server line {} has {}", part.line(), part.port);
            self.refuse("clientPort", port_origin, what);
        }
        let address = self.config.client_port_address.take();
        let address = address.filter(|host| !matches!(host.as_str(), "0.0.0.0" | "::"));
        if address.is_some() && address != part.host {
            let what = format!("and the server line {} have different addresses", part.line());
            self.refuse("clientPortAddress", address_origin, what);
        }
        self.config.client_port = Some(part.port);
        self.config.client_port_address = part.host;
        for key in ["clientPort", "clientPortAddress"] {
            self.origins.entry(key.to_owned()).or_insert(part.origin);
        }
    }

    fn finish_timeouts(&mut self) {
        let origin = self.origin("minSessionTimeout").or(self.origin("maxSessionTimeout"));
        let config = &mut self.config;
        // tickTime's range leaves room for twenty.
        let tick = config.tick_time_ms as i32;
        config.min_session_timeout_ms = self.min_session_timeout_ms.unwrap_or(2 * tick);
        config.max_session_timeout_ms = self.max_session_timeout_ms.unwrap_or(20 * tick);
        let (min, max) = (config.min_session_timeout_ms, config.max_session_timeout_ms);
        // What was refused was told, and its default must not be blamed.
        let told = |error: &ConfigError| {
            ["tickTime", "minSessionTimeout", "maxSessionTimeout"].contains(&error.key.as_str())
        };
        if min > max && !self.errors.iter().any(told) {
            let what = format!(
                "({min} ms) must not be above maxSessionTimeout ({max} ms); \
                 without a value they are 2 and 20 ticks of tickTime"
            );
            self.refuse("minSessionTimeout", origin, what);
        }
    }

    /// Defaults that depend on the compatibility level.
    fn finish_level(&mut self) {
        let (level, given) = (self.config.compatibility_level, &self.origins);
        let config = &mut self.config;
        if !given.contains_key("serializeLastProcessedZxid.enabled") {
            config.serialize_last_processed_zxid = level.snapshots_have_last_zxid();
        }
        if !given.contains_key("znode.container.maxNeverUsedIntervalMs") {
            config.container_max_never_used_ms = level.container_max_never_used_ms();
        }
    }

    /// `jute.maxbuffer.extrasize` follows `jute.maxbuffer` where it is not given; Java allows 1024
    /// bytes at least.
    fn finish_extrasize(&mut self, settings: &[Setting]) {
        const LEAST: usize = 1024;
        let given = self.jute_max_buffer_extrasize;
        let extra = given.unwrap_or(self.config.jute_max_buffer);
        self.config.jute_max_buffer_extrasize = extra.max(LEAST);
        let property = settings.iter().find(|s| s.key == "jute.maxbuffer.extrasize");
        if let (Some(property), Some(0..LEAST)) = (property, given) {
            let what = format!("is taken as {LEAST}, the least");
            self.notice(NoticeKind::Warning, property, what);
        }
    }

    pub(super) fn notice(&mut self, kind: NoticeKind, property: &Setting, what: String) {
        let (key, origin) = (printable(&property.written), Some(property.origin));
        self.notices.push(Notice { kind, key, origin, what });
    }

    pub(super) fn refuse(&mut self, key: &str, origin: Option<Origin>, what: String) {
        self.errors.push(ConfigError { key: printable(key), origin, what });
    }

    pub(super) fn wrong(&mut self, property: &Setting, allowed: &str) {
        let mut what = format!("must be {allowed}");
        if !is_secret(&property.key) {
            what.push_str(&format!(", not \"{}\"", printable(&property.value)));
        }
        self.refuse(&property.written, Some(property.origin), what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "dataDir=/data\nclientPort=2181\n";

    fn parsed(lines: &str) -> Parsed {
        let text = format!("{BASE}{lines}");
        parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|errors| panic!("{lines}: {errors}"))
    }

    /// What is said of `lines`, which begin on line 3.
    fn notices(lines: &str) -> Vec<(NoticeKind, String)> {
        let told = parsed(lines).notices;
        told.into_iter().map(|notice| (notice.kind, notice.to_string())).collect()
    }

    fn errors(text: &str) -> Vec<String> {
        let errors = parse(text.as_bytes(), "zoo.cfg").expect_err(text).errors;
        errors.iter().map(ToString::to_string).collect()
    }

    fn base_errors(lines: &str) -> Vec<String> {
        errors(&format!("{BASE}{lines}"))
    }

    #[test]
    fn a_minimal_file_gets_the_defaults_without_a_word() {
        let Parsed { config, notices, .. } = parsed("");
        assert_eq!(notices, []);
        assert_eq!(
            config,
            Config {
                client_port: Some(2181),
                ..Config::defaults("/data".into(), "/data".into(), 3000)
            }
        );
        assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (6000, 60_000));
        assert_eq!(config.four_letter_whitelist.to_string(), "srvr");
    }

    #[test]
    fn all_errors_are_told_in_the_order_of_the_file() {
        let told =
            errors("tickTime=0\nforceSync=maybe\nsslQuorum=true\n\nclientPort=x\nsnapCount=\n");
        assert_eq!(
            told,
            [
                "line 1: tickTime must be a whole number from 1 to 107374182, not \"0\"",
                "line 2: forceSync must be yes or no (in lower case), not \"maybe\"",
                "line 3: sslQuorum asks for protection that this version does not have \
             (TLS between servers); remove it to run without",
                "line 5: clientPort must be a whole number from 0 to 65535 (0 is no client port), \
             not \"x\"",
                "line 6: snapCount must be a whole number from 0 to 2147483647, not \"\"",
                "dataDir is missing: it must name the directory of the snapshots",
            ]
        );
        assert_eq!(errors("a=\\u1\nb=\\uxyza").len(), 2);
    }

    #[test]
    fn what_asks_for_protection_refuses() {
        for line in [
            "secureClientPort=2281",
            "secureClientPort=x",
            "secureClientPortAddress=0.0.0.0",
            "sslQuorum=TRUE",
            "portUnification=true",
            "sslQuorumReloadCertFiles=true",
            "client.portUnification=true",
            "client.certReload=true",
            "ssl.keyStore.location=/ks.jks",
            "ssl.quorum.trustStore.password=geheim",
            "ssl.clientAuth=need",
            "ssl.quorum.hostnameVerification=true",
            "ssl.authProvider=x509",
            "quorum.auth.enableSasl=true",
            "quorum.auth.learnerRequireSasl=true",
            "quorum.auth.kerberos.servicePrincipal=zk/_HOST",
            "java.security.auth.login.config=/jaas.conf",
            "requireKerberosConfig=true",
            "sessionRequireClientSASLAuth=true",
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
            "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
            "authProvider.key=org.apache.zookeeper.server.auth.KeyAuthenticationProvider",
            "authProvider.9=com.example.OurProvider",
            "admin.forceHttps=true",
            "admin.needClientAuth=true",
            "admin.portUnification=true",
            "metricsProvider.httpsPort=7443",
            "metricsProvider.ssl.keyStore.location=/ks.jks",
            // Without effect in Apache, but nobody writes this and wants no protection.
            "zookeeper.sslQuorum=true",
            "zookeeper.ssl.keyStore.location=/ks.jks",
            "zookeeper.sessionRequireClientSASLAuth=true",
            "zookeeper.enforce.auth.enabled=true",
            "zookeeper.ensembleAuthName=prod",
        ] {
            let told = base_errors(line);
            let key = line.split('=').next().unwrap();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("line 3: {key} asks for protection")), "{told:?}");
            assert!(!told[0].contains("geheim"), "{told:?}");
        }
    }

    #[test]
    fn what_asks_for_no_protection_says_nothing() {
        for line in [
            "secureClientPort=0",
            "secureClientPort=",
            "sslQuorum=false",
            "portUnification=False",
            "client.portUnification=false",
            "ssl.hostnameVerification=false",
            "ssl.keyStore.password=",
            "ssl.clientAuth=NONE",
            "quorum.auth.enableSasl=false",
            "java.security.auth.login.config=",
            "sessionRequireClientSASLAuth=false",
            "enforce.auth.enabled=false",
            "DigestAuthenticationProvider.digestAlg=SHA1",
            "authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
            "authProvider.2=org.apache.zookeeper.server.auth.IPAuthenticationProvider",
            "admin.forceHttps=false",
            "metricsProvider.httpsPort=-1",
        ] {
            assert_eq!(notices(line), [], "{line}");
        }
    }

    #[test]
    fn a_switch_for_protection_is_a_switch() {
        for line in ["sslQuorum=yes", "portUnification=1", "sessionRequireClientSASLAuth=on"] {
            let told = base_errors(line);
            assert!(told[0].contains("must be true or false"), "{told:?}");
        }
    }

    #[test]
    fn a_key_without_effect_yet_is_named_once() {
        for line in [
            "initLimit=10",
            "syncLimit=5",
            "autopurge.snapRetainCount=3",
            "autopurge.purgeInterval=24",
            "autopurge.purgeInterval=30m",
            "admin.serverPort=8080",
            "admin.enableServer=true",
            "peerType=observer",
            "enforceQuota=true",
            "superUser=ops",
            "superUser.2=dev",
            "fips-mode=true",
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
            "connectionMaxTokens=5",
            "quorumListenOnAllIPs=true",
        ] {
            let key = line.split('=').next().unwrap();
            let what = format!("line 3: {key} is known but not yet in effect in this version");
            assert_eq!(notices(line), [(NoticeKind::NotYet, what)], "{line}");
        }
    }

    #[test]
    fn a_key_that_asks_for_what_is_so_anyway_needs_no_word() {
        for line in [
            "admin.enableServer=false",
            "autopurge.purgeInterval=0",
            "peerType=participant",
            "electionAlg=3",
            "standaloneEnabled=true",
            "leaderServes=yes",
            "maxCnxns=0",
        ] {
            assert_eq!(notices(line), [], "{line}");
        }
    }

    #[test]
    fn what_apache_refuses_of_keys_without_effect_is_refused() {
        for (line, allowed) in [
            ("initLimit=ten", "a whole number"),
            ("syncLimit=", "a whole number"),
            ("peerType=leader", "participant or observer"),
            ("electionAlg=0", "3"),
            ("syncEnabled=yes", "true or false"),
            ("localSessionsEnabled=1", "true or false"),
            ("autopurge.purgeInterval=daily", "hours"),
        ] {
            let told = base_errors(line);
            assert!(told[0].starts_with("line 3: ") && told[0].contains(allowed), "{told:?}");
        }
    }

    #[test]
    fn a_key_that_means_nothing_here_is_ignored_and_named() {
        for line in ["jvm.pause.monitor=true", "nio.numWorkerThreads=8", "serverCnxnFactory=x.Y"] {
            let told = notices(line);
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].0, NoticeKind::Ignored, "{told:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_one() {
        for (line, hint) in [
            ("clientport=2182", "did you mean clientPort?"),
            ("tickTimes=2000", "did you mean tickTime?"),
            ("snapcount=5", "did you mean snapCount?"),
            ("sslquorum=true", "did you mean sslQuorum?"),
            ("zookeeper.snapCuont=5", "did you mean snapCount?"),
            ("wholly.different.thing=5", "is unknown and has no effect"),
        ] {
            let told = notices(line);
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].0, NoticeKind::Unknown);
            assert!(told[0].1.starts_with("line 3: ") && told[0].1.ends_with(hint), "{told:?}");
        }
    }

    #[test]
    fn a_key_with_the_prefix_of_properties_has_no_effect_and_is_told() {
        let Parsed { config, notices, .. } = parsed("zookeeper.snapCount=7");
        assert_eq!(config.snap_count, 100_000);
        let told = notices[0].to_string();
        assert!(told.starts_with("line 3: zookeeper.snapCount has no effect"), "{told}");
        assert!(told.contains("write snapCount"), "{told}");
    }

    #[test]
    fn a_repeated_key_is_told_and_the_last_counts() {
        let Parsed { config, notices, .. } = parsed("clientPort=2182\n");
        assert_eq!(config.client_port, Some(2182));
        assert_eq!(
            notices[0].to_string(),
            "line 3: clientPort stands on line 2 too; this later line counts"
        );
    }

    #[test]
    fn every_notice_is_one_line_and_shows_no_value() {
        let told =
            notices("a\\nb\\u0007=geheim\nzookeeper.superUser=geheim\nsuperUser=geheim\n=geheim");
        assert_eq!(told.len(), 4);
        for (_, line) in told {
            assert!(!line.contains('\n') && !line.contains("geheim"), "{line}");
        }
    }

    #[test]
    fn client_port_and_address_go_together() {
        let address = |lines: &str| {
            let config = parse(format!("dataDir=/d\n{lines}").as_bytes(), "f").unwrap().config;
            (config.client_port_address, config.client_port)
        };
        assert_eq!(
            address("clientPort=1\nclientPortAddress=[::1]"),
            (Some("::1".to_owned()), Some(1))
        );
        assert_eq!(address("server.1=h:2:3;2181"), (None, Some(2181)));
        assert_eq!(
            address("clientPort=2181\nserver.1=h:2:3;10.0.0.1:2181"),
            (Some("10.0.0.1".to_owned()), Some(2181))
        );
        assert_eq!(
            address("clientPort=2181\nclientPortAddress=0.0.0.0\nserver.1=h:2:3;10.0.0.1:2181"),
            (Some("10.0.0.1".to_owned()), Some(2181))
        );
        assert_eq!(
            address("clientPort=2181\nclientPortAddress=10.0.0.2\nserver.1=h:2:3"),
            (Some("10.0.0.2".to_owned()), Some(2181))
        );
        for (lines, told) in [
            ("clientPortAddress=::1", "line 2: clientPortAddress needs a clientPort beside it"),
            (
                "clientPort=0\nclientPortAddress=::1",
                "line 3: clientPortAddress needs a clientPort beside it",
            ),
            (
                "clientPort=2182\nserver.1=h:2:3;2181",
                "line 2: clientPort is 2182, but the server line 3 has 2181",
            ),
            (
                "clientPort=2181\nclientPortAddress=10.0.0.2\nserver.1=h:2:3;2181",
                "line 3: clientPortAddress and the server line 4 have different addresses",
            ),
        ] {
            assert_eq!(errors(&format!("dataDir=/d\n{lines}")), [told]);
        }
        let told = parse(b"dataDir=/d", "f").unwrap_err();
        assert_eq!(told.errors[0].to_string(), "clientPort is not set: nobody could connect");
    }

    #[test]
    fn session_timeouts_follow_the_tick_and_each_other() {
        let timeouts = |lines: &str| {
            let config = parsed(lines).config;
            (config.min_session_timeout_ms, config.max_session_timeout_ms)
        };
        assert_eq!(timeouts("tickTime=500"), (1000, 10_000));
        assert_eq!(timeouts("minSessionTimeout=-1\nmaxSessionTimeout=-1"), (6000, 60_000));
        assert_eq!(timeouts("maxSessionTimeout=60000000"), (6000, 60_000_000));
        assert_eq!(timeouts("tickTime=107374182").1, 2_147_483_640);
        for (lines, line) in [
            (
                "minSessionTimeout=9000\nmaxSessionTimeout=8000",
                "line 3: minSessionTimeout (9000 ms)",
            ),
            ("maxSessionTimeout=5000", "line 3: minSessionTimeout (6000 ms)"),
            ("tickTime=100\nminSessionTimeout=9000", "line 4: minSessionTimeout (9000 ms)"),
            ("tickTime=x\nmaxSessionTimeout=5000", "line 3: tickTime must be"),
        ] {
            let told = base_errors(lines);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(line), "{told:?}");
        }
    }

    #[test]
    fn extrasize_follows_maxbuffer() {
        let sizes = |lines: &str| {
            let config = parsed(lines).config;
            (config.jute_max_buffer, config.jute_max_buffer_extrasize)
        };
        assert_eq!(sizes(""), (1_048_575, 1_048_575));
        assert_eq!(sizes("jute.maxbuffer=0x400000"), (4_194_304, 4_194_304));
        assert_eq!(sizes("jute.maxbuffer=100"), (100, 1024));
        assert_eq!(sizes("jute.maxbuffer.extrasize=2000"), (1_048_575, 2000));
        assert_eq!(sizes("jute.maxbuffer.extrasize=5"), (1_048_575, 1024));
        assert_eq!(notices("jute.maxbuffer.extrasize=5").len(), 1);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let text = b"dataDir=/d\nserver.1=[::1]:2888:3888|a:1:2:observer;[::]:2181;1\nclientPort=\\u0031\n";
        for at in 0..text.len() {
            for byte in [0, b'\n', b'\\', b'=', b':', b'[', b']', b';', b'|', b'-', 0xff] {
                let mut changed = text.to_vec();
                changed[at] = byte;
                if let Err(errors) = parse(&changed, "f") {
                    assert!(!errors.errors.is_empty());
                }
                let _ = parse(&changed[..at], "f");
            }
        }
    }
}
