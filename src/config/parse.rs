//! The journey from a file's text to a [`Config`]: each key is judged by its class, then what
//! concerns more than one key is checked.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{self, Asks, Class, Form, Key, Why};
use super::membership::{self, ClientPart};
use super::notice::{ConfigError, ConfigErrors, Notice, NoticeKind, printable};
use super::properties::{self, Property};
use super::secret::is_secret;
use super::suggest::nearest;
use super::values::{self, Allowed, boolean, decimal, decoded, yes_no};
use super::{Config, DEFAULT_TICK_TIME_MS, FourLetterWhitelist, Secret};

/// A file that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What is to be done.
    pub config: Config,
    /// What is to be said, in the order of the file.
    pub notices: Vec<Notice>,
}

/// Reads the bytes of a `zoo.cfg`. `file_name` only appears in errors.
///
/// # Errors
/// Every reason not to start. Lines that cannot be read at all are told alone: what the others come
/// to is unknown without them.
pub fn parse(text: &[u8], file_name: &str) -> Result<Parsed, ConfigErrors> {
    let refuse = |errors| ConfigErrors { file_name: file_name.to_owned(), errors };
    let properties = properties::read(text).map_err(refuse)?;
    let mut draft = Draft::default();
    for property in &properties {
        draft.judge(property);
    }
    draft.finish(&properties).map_err(refuse)
}

/// A configuration in the making.
struct Draft {
    /// Everything that stands for itself.
    config: Config,
    data_dir: Option<PathBuf>,
    data_log_dir: Option<PathBuf>,
    min_session_timeout_ms: Option<i32>,
    max_session_timeout_ms: Option<i32>,
    jute_max_buffer_extrasize: Option<usize>,
    notices: Vec<Notice>,
    errors: Vec<ConfigError>,
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
        }
    }
}

impl Draft {
    fn judge(&mut self, property: &Property) {
        if let Some(earlier) = property.replaces {
            let what = format!("stands on line {earlier} too; this later line counts");
            self.notice(NoticeKind::Warning, property, what);
        }
        let Some(key) = keys::find(&property.key) else {
            return self.judge_unknown(property);
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
                };
                self.notice(NoticeKind::Ignored, property, format!("is ignored: it {reason}"));
            }
            Class::Protection(asks, what) => {
                self.judge_protection(property, &property.value, asks, what);
            }
            // All of them together, in `finish`.
            Class::Ensemble => {}
        }
    }

    /// A name that nobody reads. With the prefix of system properties Apache does not read it
    /// either, but the operator surely meant it, and a protection asked for in vain is refused.
    fn judge_unknown(&mut self, property: &Property) {
        let bare = property.key.strip_prefix("zookeeper.").unwrap_or(&property.key);
        let prefixed = bare.len() != property.key.len();
        match keys::find(bare) {
            Some(Key { class: Class::Protection(asks, what), .. }) => {
                self.judge_protection(property, &property.value, asks, what);
            }
            Some(_) => {
                let what = format!(
                    "has no effect with the prefix zookeeper. (in Apache ZooKeeper neither); \
                     write {} in this file",
                    printable(bare)
                );
                self.notice(NoticeKind::Warning, property, what);
            }
            None => {
                let what = match nearest(bare, keys::names()) {
                    Some(name) => format!("is unknown and has no effect; did you mean {name}?"),
                    None if prefixed || !bare.is_empty() => {
                        "is unknown and has no effect".to_owned()
                    }
                    None => "(a line without a key) has no effect".to_owned(),
                };
                self.notice(NoticeKind::Unknown, property, what);
            }
        }
    }

    fn judge_protection(&mut self, property: &Property, value: &str, asks: Asks, what: &str) {
        match asked(asks, value) {
            Ok(Asked::Nothing) => {}
            Ok(Asked::Something) => {
                let what = format!(
                    "asks for protection that this version does not have ({what}); \
                     remove it to run without"
                );
                self.refuse(&property.key, Some(property.line), what);
            }
            Err(allowed) => self.wrong(property, &allowed),
        }
    }

    /// Takes the value of a key that is in effect.
    fn take(&mut self, property: &Property) -> Result<(), Allowed> {
        const I32_MAX: i64 = i32::MAX as i64;
        // So many KiB that their bytes still are an i64.
        const KIB_MAX: i64 = i64::MAX / 1024;
        let value = property.value.as_str();
        let config = &mut self.config;
        match property.key.as_str() {
            "dataDir" => self.data_dir = Some(self.directory(property)?),
            "dataLogDir" => self.data_log_dir = Some(self.directory(property)?),
            "snapCount" => {
                config.snap_count = decoded(value, 0..=I32_MAX)?;
                if config.snap_count < 2 {
                    config.snap_count = 2;
                    self.notice(
                        NoticeKind::Warning,
                        property,
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
                    self.notice(NoticeKind::Warning, property, what.to_owned());
                }
            }
            "fsync.warningthresholdms" => {
                config.fsync_warning_threshold_ms = decoded(value, 0..=i64::MAX)?;
            }
            "snapshot.trust.empty" => config.snapshot_trust_empty = boolean(value)?,
            "datadir.autocreate" => config.datadir_autocreate = boolean(value)?,
            "db.autocreate" => config.db_autocreate = boolean(value)?,
            "digest.enabled" => config.digest_enabled = boolean(value)?,
            "serializeLastProcessedZxid.enabled" => {
                config.serialize_last_processed_zxid = boolean(value)?;
            }
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
                    self.notice(NoticeKind::Warning, property, what);
                }
                self.config.four_letter_whitelist = list;
            }
            "skipACL" => {
                config.skip_acl = yes_no(value)?;
                if config.skip_acl {
                    let what = "is yes: no permission is checked".to_owned();
                    self.notice(NoticeKind::Warning, property, what);
                }
            }
            "DigestAuthenticationProvider.enabled" => {
                config.digest_provider_enabled = boolean(value)?;
            }
            "DigestAuthenticationProvider.superDigest" => {
                config.super_digest = super_digest(value)?;
            }
            key => unreachable!("{key} is in effect according to the table, but nothing takes it"),
        }
        Ok(())
    }

    /// A path, with a word of warning if it depends on where the server was started.
    fn directory(&mut self, property: &Property) -> Result<PathBuf, Allowed> {
        let path = values::path(&property.value)?;
        // As in Apache ZooKeeper, who writes ./ knows.
        if path.is_relative() && !path.starts_with(".") {
            let what = "is relative to the directory the server is started in".to_owned();
            self.notice(NoticeKind::Warning, property, what);
        }
        Ok(path)
    }

    /// Checks what concerns several keys, and fills in what depends on others.
    fn finish(mut self, properties: &[Property]) -> Result<Parsed, Vec<ConfigError>> {
        let line = |key: &str| properties.iter().find(|p| p.key == key).map(|p| p.line);
        let of_ensemble =
            |p: &&Property| keys::find(&p.key).is_some_and(|key| key.class == Class::Ensemble);
        let members: Vec<&Property> = properties.iter().filter(of_ensemble).collect();
        match membership::judge(&members) {
            Ok(client) => self.merge_client(client, line("clientPortAddress"), line("clientPort")),
            Err(errors) => self.errors.extend(errors),
        }
        self.finish_timeouts(line("minSessionTimeout").or(line("maxSessionTimeout")));
        self.finish_extrasize(properties);
        match &self.data_dir {
            Some(dir) => self.config.data_dir.clone_from(dir),
            // A dataDir that stands there and is wrong was told already.
            None if line("dataDir").is_some() => {}
            None => {
                let what = "is missing: it must name the directory of the snapshots";
                self.refuse("dataDir", None, what.to_owned());
            }
        }
        let data_log_dir = self.data_log_dir.take().or_else(|| self.data_dir.clone());
        self.config.data_log_dir = data_log_dir.unwrap_or_default();
        if self.errors.is_empty() {
            return Ok(Parsed { config: self.config, notices: self.notices });
        }
        // What is missing has no line and goes last.
        self.errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        Err(self.errors)
    }

    /// Brings together `clientPort`, `clientPortAddress` and the client part of a server line.
    fn merge_client(
        &mut self,
        on_server_line: Option<ClientPart>,
        address_line: Option<usize>,
        port_line: Option<usize>,
    ) {
        let is_any = |host: &String| matches!(host.as_str(), "0.0.0.0" | "::");
        let wrong_port = |error: &ConfigError| error.key == "clientPort";
        if self.config.client_port.is_none() {
            if let Some(line) = address_line
                && !self.errors.iter().any(wrong_port)
            {
                let what = "needs a clientPort beside it".to_owned();
                return self.refuse("clientPortAddress", Some(line), what);
            }
        }
        let Some(part) = on_server_line else {
            if self.config.client_port.is_none() && !self.errors.iter().any(wrong_port) {
                self.notices.push(Notice {
                    kind: NoticeKind::Warning,
                    key: "clientPort".to_owned(),
                    line: port_line.unwrap_or(0),
                    what: "is not set: nobody can connect".to_owned(),
                });
            }
            return;
        };
        match self.config.client_port {
            Some(port) if port != part.port => {
                let what = format!(
                    "is {port}, but the server line {} says {}; they must be equal",
                    part.line, part.port
                );
                self.refuse("clientPort", port_line, what);
            }
            _ => self.config.client_port = Some(part.port),
        }
        let address = self.config.client_port_address.take().filter(|host| !is_any(host));
        if address.is_some() && address != part.host {
            let what = format!("and the server line {} must be equal", part.line);
            self.refuse("clientPortAddress", address_line, what);
        }
        self.config.client_port_address = part.host;
    }

    fn finish_timeouts(&mut self, line: Option<usize>) {
        let config = &mut self.config;
        // tickTime's range leaves room for twenty.
        let tick = config.tick_time_ms as i32;
        config.min_session_timeout_ms = self.min_session_timeout_ms.unwrap_or(2 * tick);
        config.max_session_timeout_ms = self.max_session_timeout_ms.unwrap_or(20 * tick);
        let (min, max) = (config.min_session_timeout_ms, config.max_session_timeout_ms);
        if min > max {
            let what = format!(
                "({min} ms) must not be above maxSessionTimeout ({max} ms); \
                 without a value they are 2 and 20 ticks of tickTime"
            );
            self.refuse("minSessionTimeout", line, what);
        }
    }

    /// `jute.maxbuffer.extrasize` follows `jute.maxbuffer` where it is not given; Java allows 1024
    /// bytes at least.
    fn finish_extrasize(&mut self, properties: &[Property]) {
        const LEAST: usize = 1024;
        let given = self.jute_max_buffer_extrasize;
        let extra = given.unwrap_or(self.config.jute_max_buffer);
        self.config.jute_max_buffer_extrasize = extra.max(LEAST);
        let property = properties.iter().find(|p| p.key == "jute.maxbuffer.extrasize");
        if let (Some(property), Some(0..LEAST)) = (property, given) {
            let what = format!("is taken as {LEAST}, the least");
            self.notice(NoticeKind::Warning, property, what);
        }
    }

    fn notice(&mut self, kind: NoticeKind, property: &Property, what: String) {
        let (key, line) = (printable(&property.key), property.line);
        self.notices.push(Notice { kind, key, line, what });
    }

    fn refuse(&mut self, key: &str, line: Option<usize>, what: String) {
        self.errors.push(ConfigError { key: printable(key), line, what });
    }

    fn wrong(&mut self, property: &Property, allowed: &str) {
        let mut what = format!("must be {allowed}");
        if !is_secret(&property.key) {
            what.push_str(&format!(", not \"{}\"", printable(&property.value)));
        }
        self.refuse(&property.key, Some(property.line), what);
    }
}

/// Whether a value wants anything of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Something,
}

impl Asked {
    fn unless(idle: bool) -> Asked {
        if idle { Asked::Nothing } else { Asked::Something }
    }
}

fn asked(asks: Asks, value: &str) -> Result<Asked, Allowed> {
    const SPEAKS_FOR_ITSELF: [&str; 2] = [
        "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
        "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
    ];
    let idle = match asks {
        _ if value.is_empty() => true,
        Asks::True => !boolean(value)?,
        Asks::UnlessFalse => value.eq_ignore_ascii_case("false"),
        Asks::Unless(word) => value.eq_ignore_ascii_case(word),
        // -1 is what some keys call no port.
        Asks::Port => decimal::<i64>(value, i64::MIN..=i64::MAX).is_ok_and(|port| port <= 0),
        Asks::OtherProvider => SPEAKS_FOR_ITSELF.contains(&value),
    };
    Ok(Asked::unless(idle))
}

fn check_form(form: Form, value: &str) -> Result<Asked, Allowed> {
    const I32: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
    let idle = match form {
        Form::Text(idle) => idle.is_some_and(|idle| value == idle),
        Form::Bool(idle) => Some(boolean(value)?) == idle,
        Form::Int(idle) => Some(decimal::<i32>(value, I32)?) == idle,
        Form::Interval => {
            let number = ["ms", "s", "m", "h", "d"]
                .iter()
                .find_map(|unit| value.strip_suffix(unit))
                .map_or(value, str::trim_end);
            let allowed = |_| "hours, or a number and ms, s, m, h or d".to_owned();
            decimal::<i32>(number, I32).map_err(allowed)? <= 0
        }
        Form::OneOf(words) => {
            let at = words.iter().position(|word| word.eq_ignore_ascii_case(value));
            at.ok_or_else(|| words.join(" or "))? == 0
        }
    };
    Ok(Asked::unless(idle))
}

/// -1 stands for the default, as in Apache ZooKeeper.
fn session_timeout(value: &str) -> Result<Option<i32>, Allowed> {
    let default = |allowed| format!("{allowed} (or -1 for the default)");
    if decimal::<i64>(value, -1..=-1).is_ok() {
        return Ok(None);
    }
    decimal(value, 1..=i64::from(i32::MAX)).map(Some).map_err(default)
}

/// `name:base64(sha1(name:password))`. Any other text could never match, and so would lock out the
/// super user without a word.
fn super_digest(value: &str) -> Result<Option<Secret>, Allowed> {
    if value.is_empty() {
        return Ok(None);
    }
    let digest = value.split_once(':').filter(|(name, _)| !name.is_empty());
    let is_sha1 = |text: &str| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 20);
    match digest {
        Some((_, digest)) if is_sha1(digest) => Ok(Some(Secret::new(value))),
        _ => Err("name:digest, the digest being base64 of the SHA-1 of name:password \
                  (28 characters), as ZooKeeper's DigestAuthenticationProvider prints it"
            .to_owned()),
    }
}
