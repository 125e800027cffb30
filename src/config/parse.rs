//! The journey from what was given to a [`Config`]: each setting is judged by the class of its key,
//! then what concerns more than one key is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::access::{missing_provider, protects};
use super::asked::{Asked, asked, check_form};
use super::ensemble::EnsembleConfig;
use super::keys::{self, Asks, Class, Key, Why};
use super::membership::ClientPart;
use super::notice::{ConfigError, ConfigErrors, Notice, NoticeKind, printable};
use super::secret::is_secret;
use super::setting::{Origin, Setting};
use super::sources::{File, Given, gather};
use super::suggest::nearest;
use super::{Config, DEFAULT_TICK_TIME_MS, types};
use crate::proto::host_port::{canonical, is_wildcard};

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
    draft.finish(file_name, &gathered.settings, gathered.dynamic.as_deref())
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
    /// What counts if it turns out to be a member.
    pub(super) ensemble: EnsembleConfig,
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
            ensemble: EnsembleConfig::default(),
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

    fn judge(&mut self, setting: &Setting) {
        self.tell_repeated(setting);
        let Some(key) = keys::find(&setting.key) else {
            return self.judge_unknown(setting);
        };
        let setting = &match types::check(&key, setting) {
            Ok(setting) => setting,
            Err(allowed) => return self.wrong(setting, &allowed),
        };
        match key.class {
            Class::InEffect | Class::OfMembers => {
                if let Err(allowed) = self.take(setting) {
                    self.wrong(setting, &allowed);
                }
            }
            Class::NotYet(form) => match check_form(form, &setting.value) {
                Ok(Asked::Nothing) => {}
                Ok(Asked::Something) => {
                    let what = "is known but not yet in effect in this version".to_owned();
                    self.notice(NoticeKind::NotYet, setting, what);
                }
                Err(allowed) => self.wrong(setting, &allowed),
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
                    Why::LeaderJudges => {
                        "lets a member of the Java server's ensemble judge a write before it passes \
                         it on; here the leader judges, as there without this key"
                    }
                    Why::Racing => {
                        "makes the Java server try out an address before it dials it; here all of \
                         a server's addresses are dialled, and the first to answer is taken"
                    }
                };
                self.notice(NoticeKind::Ignored, setting, format!("is ignored: it {reason}"));
            }
            Class::Protection(asks, what) => {
                self.judge_protection(setting, asks, what);
            }
            // All of them together, in `finish`.
            Class::Members => {}
        }
    }

    /// A name that nobody reads. With the prefix of system properties Apache does not read it
    /// either, but the operator surely meant it, and a protection asked for in vain is refused.
    fn judge_unknown(&mut self, setting: &Setting) {
        let bare = setting.key.strip_prefix("zookeeper.").unwrap_or(&setting.key);
        match keys::find(bare) {
            Some(Key { class: Class::Protection(asks, what), .. }) => {
                self.judge_protection(setting, asks, what);
            }
            Some(Key { name, .. }) if protects(name, &setting.value) => {
                let what = format!(
                    "asks for protection, but has no effect with the prefix zookeeper. (in Apache \
                     ZooKeeper neither); write {name}"
                );
                self.refuse(&setting.written, Some(setting.origin), what);
            }
            Some(_) => {
                let what = format!(
                    "has no effect with the prefix zookeeper. (in Apache ZooKeeper neither); \
                     write {} in this file",
                    printable(bare)
                );
                self.notice(NoticeKind::Unknown, setting, what);
            }
            None => {
                let what = match nearest(bare, keys::spellings()) {
                    Some(name) => format!("is unknown and has no effect; did you mean {name}?"),
                    None if !setting.key.is_empty() => "is unknown and has no effect".to_owned(),
                    None => "(a line without a key) has no effect".to_owned(),
                };
                self.notice(NoticeKind::Unknown, setting, what);
            }
        }
    }

    fn judge_protection(&mut self, setting: &Setting, asks: Asks, what: &str) {
        match asked(asks, &setting.value) {
            Ok(Asked::Nothing) => {}
            Ok(Asked::Something) => {
                let what = match asks {
                    Asks::OtherProvider => missing_provider(&setting.value),
                    _ => what,
                };
                let what = format!(
                    "asks for protection that this version does not have ({what}); \
                     remove it to run without"
                );
                self.refuse(&setting.written, Some(setting.origin), what);
            }
            Err(allowed) => self.wrong(setting, &allowed),
        }
    }

    /// Checks what concerns several keys, and fills in what depends on others.
    fn finish(
        mut self,
        file_name: String,
        settings: &[Setting],
        dynamic: Option<&[Setting]>,
    ) -> Result<Parsed, ConfigErrors> {
        self.origins =
            settings.iter().map(|setting| (setting.key.clone(), setting.origin)).collect();
        self.finish_members(settings, dynamic);
        self.finish_ensemble(settings);
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

    pub(super) fn origin(&self, key: &str) -> Option<Origin> {
        self.origins.get(key).copied()
    }

    /// Where `key` has its value from, if nobody gave it under that name.
    pub(super) fn place(&mut self, key: String, origin: Origin) {
        self.origins.entry(key).or_insert(origin);
    }

    /// How many errors there are so far.
    pub(super) fn errors_told(&self) -> usize {
        self.errors.len()
    }

    /// Whether one of `keys` is wrong, so that what depends on it must not be blamed.
    pub(super) fn is_wrong(&self, keys: &[&str]) -> bool {
        self.errors.iter().any(|error| keys.contains(&error.key.as_str()))
    }

    pub(super) fn tell_repeated(&mut self, setting: &Setting) {
        if let Some(earlier) = setting.replaces {
            let what = format!("stands on line {earlier} too; this later line counts");
            self.notice(NoticeKind::Warning, setting, what);
        }
    }

    /// Brings together `clientPort`, `clientPortAddress` and the client part of a server line.
    pub(super) fn merge_client(&mut self, on_server_line: Option<ClientPart>) {
        let (port_origin, address_origin) =
            (self.origin("clientPort"), self.origin("clientPortAddress"));
        let told = |error: &ConfigError| error.key.starts_with("clientPort");
        if self.errors.iter().any(told) {
            return;
        }
        if !self.check_client_address() {
            return;
        }
        let port = self.config.client_port;
        let Some(part) = on_server_line else {
            if port.is_none() {
                let what = "is not set: nobody could connect".to_owned();
                self.refuse("clientPort", port_origin, what);
            }
            return;
        };
        if let Some(port) = port.filter(|&port| port != part.port) {
            let what =
                format!("is {port}, but the server line ({}) has {}", part.origin, part.port);
            self.refuse("clientPort", port_origin, what);
        }
        let address = self.config.client_port_address.take();
        let address = address.filter(|host| !is_wildcard(host)).map(|host| canonical(&host));
        if address.is_some() && address != part.host {
            let what = format!("and the server line ({}) have different addresses", part.origin);
            self.refuse("clientPortAddress", address_origin, what);
        }
        self.config.client_port = Some(part.port);
        self.config.client_port_address = part.host;
        for key in ["clientPort", "clientPortAddress"] {
            self.origins.entry(key.to_owned()).or_insert(part.origin);
        }
    }

    /// Whether `clientPortAddress` has the port that it needs.
    pub(super) fn check_client_address(&mut self) -> bool {
        let address = self.origin("clientPortAddress");
        let lacks_port = self.config.client_port.is_none() && address.is_some();
        if lacks_port && !self.is_wrong(&["clientPort", "clientPortAddress"]) {
            let what = "needs a clientPort beside it".to_owned();
            self.refuse("clientPortAddress", address, what);
        }
        !lacks_port
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
        let setting = settings.iter().find(|s| s.key == "jute.maxbuffer.extrasize");
        if let (Some(setting), Some(0..LEAST)) = (setting, given) {
            let what = format!("is taken as {LEAST}, the least");
            self.notice(NoticeKind::Warning, setting, what);
        }
    }

    pub(super) fn notice(&mut self, kind: NoticeKind, setting: &Setting, what: String) {
        let (key, origin) = (printable(&setting.written), Some(setting.origin));
        self.notices.push(Notice { kind, key, origin, what });
    }

    pub(super) fn refuse(&mut self, key: &str, origin: Option<Origin>, what: String) {
        self.errors.push(ConfigError { key: printable(key), origin, what });
    }

    pub(super) fn wrong(&mut self, setting: &Setting, allowed: &str) {
        let mut what = format!("must be {allowed}");
        if !is_secret(&setting.key) {
            what.push_str(&format!(", not \"{}\"", printable(&setting.value)));
        }
        self.refuse(&setting.written, Some(setting.origin), what);
    }
}

#[cfg(test)]
mod tests;
