//! Every place in which a configuration is given, brought together with Apache's precedence.
//!
//! From weakest to strongest: the default, `SERVER_JVMFLAGS`, `JVMFLAGS`, `-D` arguments of the
//! program, the file. Only for a property without a prefix, which Apache does not take from the
//! file, a `-D` is stronger than the file; [`reach`](super::reach) draws the table.

use super::access::protects;
use super::jvm_flags::{JvmFlags, name_and_value};
use super::keys::{self, Class};
use super::membership::POINTER;
use super::notice::{ConfigError, Notice, NoticeKind, printable};
use super::reach::{Reach, reach};
use super::setting::{Origin, Setting, Shape};
use super::suggest::nearest;
use super::{properties, toml};

/// All that was given to the server at its start.
#[derive(Debug, Clone, Default)]
pub struct Given<'a> {
    /// The configuration file.
    pub file: Option<File<'a>>,
    /// The file that it names for the members ([`dynamic_config_file`]).
    pub dynamic: Option<File<'a>>,
    /// Apache's short form: `port dataDir [tickTime [maxClientCnxns]]`; empty if not used.
    pub short_form: Vec<String>,
    /// Variables with flags for a Java virtual machine, the stronger ones later.
    pub variables: Vec<(&'static str, String)>,
    /// `name=value` of each `-D` argument.
    pub defines: Vec<String>,
}

/// A configuration file, read.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// For what is told. A name that ends with `.toml` says that it is TOML.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a [u8],
}

/// What was given, one setting a key.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// What counts, in the order in which it is told.
    pub(super) settings: Vec<Setting>,
    /// What the dynamic file has, if there is one. It is no rival of the others: the same line in
    /// both is an error.
    pub(super) dynamic: Option<Vec<Setting>>,
    pub(super) notices: Vec<Notice>,
    pub(super) errors: Vec<ConfigError>,
}

/// Brings together all that was given.
///
/// # Errors
/// Lines of the file that cannot be read at all; they are told alone, because what the others come
/// to is unknown without them.
pub(super) fn gather(given: &Given<'_>) -> Result<Gathered, Vec<ConfigError>> {
    let mut gathered = Gathered::default();
    for (variable, text) in &given.variables {
        gathered.variable(variable, text);
    }
    for define in &given.defines {
        let (name, value) = name_and_value(define);
        gathered.define(Origin::CommandLine, &name, value);
    }
    for (key, value) in
        ["clientPort", "dataDir", "tickTime", "maxClientCnxns"].into_iter().zip(&given.short_form)
    {
        gathered.settings.push(Setting {
            key: key.to_owned(),
            written: key.to_owned(),
            value: value.trim().to_owned(),
            shape: Shape::Untyped,
            origin: Origin::CommandLine,
            replaces: None,
        });
    }
    if let Some(file) = given.file {
        let is_toml = file.name.to_ascii_lowercase().ends_with(".toml");
        let mut settings =
            if is_toml { toml::read(file.text)? } else { of_properties(file.text, Origin::line)? };
        for setting in &mut settings {
            setting.key = keys::canonical(&setting.key).to_owned();
        }
        gathered.settings.extend(settings);
    }
    if let Some(file) = given.dynamic {
        gathered.dynamic = Some(of_properties(file.text, |line| Origin::Dynamic { line })?);
    }
    gathered.keep_the_strongest();
    gathered.settings.sort_by_key(|setting| setting.origin.order());
    Ok(gathered)
}

/// The name of a second file, which whoever can read files must add to `given`: the one in which
/// the members stand (`dynamicConfigFile`). It may be relative to the working directory.
pub fn dynamic_config_file(given: &Given<'_>) -> Option<String> {
    // What cannot be read at all is told when the whole is made a configuration.
    let settings = gather(given).ok()?.settings;
    let file = settings.into_iter().find(|setting| setting.key == POINTER)?;
    Some(file.value).filter(|name| !name.is_empty())
}

/// The settings of a properties file, each where `place` says that its line is.
fn of_properties(
    text: &[u8],
    place: fn(usize) -> Origin,
) -> Result<Vec<Setting>, Vec<ConfigError>> {
    let setting = |property: properties::Property| Setting {
        written: property.key.clone(),
        key: property.key,
        value: property.value,
        shape: Shape::Untyped,
        origin: place(property.line),
        replaces: property.replaces,
    };
    let unreadable = |mut errors: Vec<ConfigError>| {
        for error in &mut errors {
            if let Some(Origin::File { line, .. }) = error.origin {
                error.origin = Some(place(line));
            }
        }
        errors
    };
    let properties = properties::read(text).map_err(unreadable)?;
    Ok(properties.into_iter().map(setting).collect())
}

impl Gathered {
    fn variable(&mut self, name: &'static str, text: &str) {
        let origin = Origin::Variable(name);
        let Some(flags) = JvmFlags::read(text) else {
            let what = "has a quote that is not closed".to_owned();
            self.errors.push(ConfigError { key: String::new(), origin: Some(origin), what });
            return;
        };
        for (name, value) in flags.properties {
            self.define(origin, &name, value);
        }
        let mut others: Vec<String> = Vec::new();
        for flag in flags.others.iter().filter(|flag| flag.starts_with('-')) {
            // The value could be anything, a secret too.
            let flag = printable(flag.split(['=', ':']).next().unwrap_or_default());
            if !others.contains(&flag) {
                others.push(flag);
            }
        }
        if !others.is_empty() {
            let what = "is ignored: there is no Java virtual machine here".to_owned();
            self.notice(NoticeKind::Ignored, origin, others.join(" "), what);
        }
    }

    /// A system property. Where Apache would not read it, it has no effect here either, and that is
    /// told; but a protection asked for in vain is passed on, to be refused.
    fn define(&mut self, origin: Origin, name: &str, value: String) {
        let (bare, prefixed) = match name.strip_prefix("zookeeper.") {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        let key = keys::canonical(bare);
        let reads = match reach(key) {
            Reach::File => false,
            Reach::Property => prefixed || key == FSYNC_WARNING,
            Reach::BareProperty => !prefixed,
        };
        let written = format!("-D{name}");
        match keys::find(key).map(|key| key.class) {
            Some(class) if reads || matches!(class, Class::Protection(..) | Class::Ignored(_)) => {
                self.settings.push(Setting {
                    key: key.to_owned(),
                    written,
                    value,
                    shape: Shape::Untyped,
                    origin,
                    replaces: None,
                });
            }
            Some(_) => {
                let key = printable(key);
                let instead = match reach(&key) {
                    Reach::File => format!("as a system property; write {key} in the file"),
                    Reach::Property => format!("without its prefix; write -Dzookeeper.{key}"),
                    Reach::BareProperty => format!("with this prefix; write -D{key}"),
                };
                let (no_effect, apache) = ("has no effect", "(in Apache ZooKeeper neither)");
                let what = match instead.split_once(';') {
                    Some((how, write)) => format!("{no_effect} {how} {apache};{write}"),
                    None => no_effect.to_owned(),
                };
                if protects(&key, &value) {
                    let what = format!("asks for protection, but {what}");
                    self.errors.push(ConfigError { key: written, origin: Some(origin), what });
                } else {
                    self.notice(NoticeKind::Unknown, origin, written, what);
                }
            }
            None => self.unknown(origin, bare, prefixed, written),
        }
    }

    fn unknown(&mut self, origin: Origin, bare: &str, prefixed: bool, written: String) {
        let candidates = keys::spellings().filter(|name| match reach(keys::canonical(name)) {
            Reach::File => false,
            Reach::Property => prefixed,
            Reach::BareProperty => !prefixed,
        });
        let prefix = if prefixed { "zookeeper." } else { "" };
        let (kind, what) = match nearest(bare, candidates) {
            Some(name) => {
                let what = format!("is unknown and has no effect; did you mean -D{prefix}{name}?");
                (NoticeKind::Unknown, what)
            }
            None if prefixed => (NoticeKind::Unknown, "is unknown and has no effect".to_owned()),
            None => {
                let what = "is ignored: it sets a property of Java or of one of its libraries";
                (NoticeKind::Ignored, what.to_owned())
            }
        };
        self.notice(kind, origin, written, what);
    }

    /// Of settings with the same key the strongest stays, and the others are told if they differ.
    fn keep_the_strongest(&mut self) {
        let mut kept: Vec<Setting> = Vec::new();
        for setting in std::mem::take(&mut self.settings) {
            let Some(rival) = kept.iter_mut().find(|rival| rival.key == setting.key) else {
                kept.push(setting);
                continue;
            };
            // Settings come in rising strength, so of equals the later one wins.
            let loser = if strength(&setting) >= strength(rival) {
                std::mem::replace(rival, setting)
            } else {
                setting
            };
            if loser.value != rival.value {
                let what = format!("gives way to {} ({})", printable(&rival.written), rival.origin);
                self.notices.push(Notice {
                    kind: NoticeKind::Warning,
                    key: printable(&loser.written),
                    origin: Some(loser.origin),
                    what,
                });
            }
        }
        self.settings = kept;
    }

    fn notice(&mut self, kind: NoticeKind, origin: Origin, key: String, what: String) {
        self.notices.push(Notice { kind, key: printable(&key), origin: Some(origin), what });
    }
}

/// The one property that Apache reads with its prefix and, behind that, without.
const FSYNC_WARNING: &str = "fsync.warningthresholdms";

/// How strong a setting is: by its place, and below that by whether its name is the one that Apache
/// reads.
fn strength(setting: &Setting) -> (u8, bool) {
    let in_file = matches!(setting.origin, Origin::File { .. });
    let place = match reach(&setting.key) {
        _ if setting.written.strip_prefix("-D") == Some(FSYNC_WARNING) => 0,
        Reach::BareProperty => 1 + u8::from(!in_file),
        Reach::File | Reach::Property => 1 + u8::from(in_file),
    };
    (place, setting.written.ends_with(&setting.key))
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, resolve};
    use super::*;

    fn given(file: &str, variables: &[(&'static str, &str)], defines: &[&str]) -> Parsed {
        let file = format!("dataDir=/data\nclientPort=2181\n{file}");
        let given = Given {
            file: Some(File { name: "zoo.cfg", text: file.as_bytes() }),
            variables: variables.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
            defines: defines.iter().map(|define| (*define).to_owned()).collect(),
            ..Given::default()
        };
        resolve(&given).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn told(parsed: &Parsed) -> Vec<String> {
        parsed.notices.iter().map(ToString::to_string).collect()
    }

    fn refused(variables: &[(&'static str, &str)], defines: &[&str]) -> String {
        let given = Given {
            file: Some(File { name: "zoo.cfg", text: b"dataDir=/data\nclientPort=2181\n" }),
            variables: variables.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
            defines: defines.iter().map(|define| (*define).to_owned()).collect(),
            ..Given::default()
        };
        resolve(&given).expect_err("a refusal").to_string()
    }

    #[test]
    fn the_file_overwrites_arguments_and_they_the_variables() {
        let server = ("SERVER_JVMFLAGS", "-Dzookeeper.snapCount=10 -Dzookeeper.preAllocSize=10");
        let all = ("JVMFLAGS", "-Dzookeeper.snapCount=20");
        let snap_count = |parsed: &Parsed| (parsed.config.snap_count, parsed.source("snapCount"));
        let of = |count, source: &str| (count, source.to_owned());

        let parsed = given("", &[server], &[]);
        assert_eq!(snap_count(&parsed), of(10, "SERVER_JVMFLAGS"));
        assert_eq!(told(&parsed), [""; 0]);
        let parsed = given("", &[server, all], &[]);
        assert_eq!(snap_count(&parsed), of(20, "JVMFLAGS"));
        assert_eq!(parsed.config.pre_alloc_size_kb, 10);
        let parsed = given("", &[server, all], &["zookeeper.snapCount=30"]);
        assert_eq!(snap_count(&parsed), of(30, "command line"));
        let parsed = given("snapCount=40", &[server, all], &["zookeeper.snapCount=30"]);
        assert_eq!(snap_count(&parsed), of(40, "zoo.cfg, line 3"));
        assert_eq!(
            told(&parsed),
            [
                "SERVER_JVMFLAGS: -Dzookeeper.snapCount gives way to -Dzookeeper.snapCount (JVMFLAGS)",
                "JVMFLAGS: -Dzookeeper.snapCount gives way to -Dzookeeper.snapCount (command line)",
                "command line: -Dzookeeper.snapCount gives way to snapCount (line 3)",
            ]
        );
        assert_eq!(parsed.source("tickTime"), "default");
    }

    #[test]
    fn a_property_without_prefix_may_stand_in_the_file_but_a_define_goes_first() {
        let parsed = given("jute.maxbuffer=4096", &[], &[]);
        assert_eq!(parsed.config.jute_max_buffer, 4096);
        assert_eq!(told(&parsed), [""; 0]);
        let parsed = given("jute.maxbuffer=4096", &[("JVMFLAGS", "-Djute.maxbuffer=8192")], &[]);
        assert_eq!(parsed.config.jute_max_buffer, 8192);
        assert_eq!(
            told(&parsed),
            ["line 3: jute.maxbuffer gives way to -Djute.maxbuffer (JVMFLAGS)"]
        );
        let parsed = given(
            "",
            &[],
            &["znode.container.maxPerMinute=7", "zookeeper.jute.maxbuffer.extrasize=2048"],
        );
        assert_eq!(parsed.config.container_max_per_minute, 7);
        assert_eq!(parsed.config.jute_max_buffer_extrasize, 2048);
    }

    #[test]
    fn both_names_of_the_sync_warning_are_read_and_the_one_with_prefix_goes_first() {
        let threshold =
            |defines: &[&str]| given("", &[], defines).config.fsync_warning_threshold_ms;
        assert_eq!(threshold(&["fsync.warningthresholdms=5"]), 5);
        assert_eq!(
            threshold(&["zookeeper.fsync.warningthresholdms=6", "fsync.warningthresholdms=5"]),
            6
        );
    }

    #[test]
    fn a_define_that_apache_does_not_read_has_no_effect_and_is_told() {
        for (define, what) in [
            (
                "zookeeper.clientPort=9",
                "-Dzookeeper.clientPort has no effect as a system property (in Apache ZooKeeper \
                 neither); write clientPort in the file",
            ),
            (
                "snapCount=9",
                "-DsnapCount has no effect without its prefix (in Apache ZooKeeper neither); \
                 write -Dzookeeper.snapCount",
            ),
            (
                "zookeeper.jute.maxbuffer=9",
                "-Dzookeeper.jute.maxbuffer has no effect with this prefix (in Apache ZooKeeper \
                 neither); write -Djute.maxbuffer",
            ),
            (
                "zookeeper.snapCuont=9",
                "-Dzookeeper.snapCuont is unknown and has no effect; did you mean \
                 -Dzookeeper.snapCount?",
            ),
            (
                "jute.maxbufer=9",
                "-Djute.maxbufer is unknown and has no effect; did you mean -Djute.maxbuffer?",
            ),
            ("zookeeper.what=9", "-Dzookeeper.what is unknown and has no effect"),
        ] {
            let parsed = given("", &[], &[define]);
            assert_eq!(parsed.config, given("", &[], &[]).config, "{define}");
            assert_eq!(told(&parsed), [format!("command line: {what}")]);
            assert_eq!(parsed.notices[0].kind, NoticeKind::Unknown);
        }
    }

    #[test]
    fn what_only_a_java_machine_understands_is_named_once() {
        let flags = "-Xmx512m -XX:+UseG1GC -XX:MaxGCPauseMillis=5 -cp a.jar \
                     -javaagent:x.jar=password -Dlog4j.configuration=file:geheim";
        let parsed = given("", &[("JVMFLAGS", flags)], &["java.awt.headless=true"]);
        assert_eq!(
            told(&parsed),
            [
                "JVMFLAGS: -Dlog4j.configuration is ignored: it sets a property of Java or of one \
                 of its libraries",
                "JVMFLAGS: -Xmx512m -XX -cp -javaagent is ignored: there is no Java virtual \
                 machine here",
                "command line: -Djava.awt.headless is ignored: it sets a property of Java or of \
                 one of its libraries",
            ]
        );
        assert!(parsed.notices.iter().all(|notice| notice.kind == NoticeKind::Ignored));
    }

    #[test]
    fn protection_asked_for_by_a_define_refuses() {
        for define in [
            "java.security.auth.login.config=/jaas.conf",
            "zookeeper.ssl.keyStore.location=/ks",
            "ssl.keyStore.location=/ks",
            "zookeeper.sslQuorum=true",
            "zookeeper.sessionRequireClientSASLAuth=true",
        ] {
            let flags = format!("-Xmx1g -D{define}");
            let told = refused(&[("SERVER_JVMFLAGS", &flags)], &[]);
            let name = define.split('=').next().unwrap();
            let expected = format!("SERVER_JVMFLAGS: -D{name} asks for protection");
            assert!(told.starts_with(&expected), "{told}");
            assert!(refused(&[], &[define]).starts_with("command line: -D"), "{define}");
        }
        assert!(
            refused(&[], &["enforce.auth.enabled=true"])
                .contains("asks for protection, but has no")
        );
        // The file is the stronger one, and it asks for nothing.
        given("ssl.keyStore.location=", &[], &["zookeeper.ssl.keyStore.location=/ks"]);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        assert_eq!(
            refused(&[("JVMFLAGS", "-Dzookeeper.snapCount=x")], &["jute.maxbuffer=4M"]),
            "JVMFLAGS: -Dzookeeper.snapCount must be a whole number from 0 to 2147483647, not \
             \"x\"\ncommand line: -Djute.maxbuffer must be a whole number from 1 to 2147483647, \
             not \"4M\""
        );
        assert_eq!(
            refused(&[("JVMFLAGS", "-Da='b")], &[]),
            "JVMFLAGS: has a quote that is not closed"
        );
        let secret = "zookeeper.DigestAuthenticationProvider.superDigest=super:geheim";
        assert!(!refused(&[], &[secret]).contains("geheim"));
    }

    #[test]
    fn a_name_of_the_documentation_is_weaker_than_the_real_one() {
        // Their effect is that of the real name; here it is only seen which of them is told.
        let parsed = given("request_throttle_stall_time=1\nrequestThrottleStallTime=2", &[], &[]);
        assert!(
            told(&parsed).contains(
                &"line 4: requestThrottleStallTime gives way to request_throttle_stall_time \
                  (line 3)"
                    .to_owned()
            ),
            "{parsed:?}"
        );
    }

    #[test]
    fn the_short_form_is_apaches() {
        let short = |words: &[&str]| {
            let short_form = words.iter().map(|word| (*word).to_owned()).collect();
            resolve(&Given { short_form, ..Given::default() })
        };
        let config = short(&["2182", "/zk"]).unwrap().config;
        assert_eq!((config.client_port, config.tick_time_ms), (Some(2182), 3000));
        assert_eq!(config.client_port_address, None);
        assert_eq!(config.data_log_dir.to_str(), Some("/zk"));
        // Apache's short form has no limit, unlike its file.
        assert_eq!(config.max_client_cnxns, 0);
        let parsed = short(&["2182", "/zk", "500", "10"]).unwrap();
        assert_eq!((parsed.config.tick_time_ms, parsed.config.max_client_cnxns), (500, 10));
        assert_eq!(parsed.source("tickTime"), "command line");
        assert_eq!(
            short(&["port", "/zk"]).unwrap_err().to_string(),
            "command line: clientPort must be a whole number from 0 to 65535 (0 is no client \
             port), not \"port\""
        );
    }

    #[test]
    fn without_a_file_defines_go_over_the_embedded_default() {
        let given =
            Given { defines: vec!["zookeeper.snapCount=30".to_owned()], ..Given::default() };
        let parsed = resolve(&given).unwrap();
        assert_eq!(parsed.config.snap_count, 30);
        assert_eq!(parsed.config.client_port_address.as_deref(), Some("127.0.0.1"));
        assert_eq!(parsed.config.tick_time_ms, 2000);
    }
}
