//! Who the members are: whether the lines of the file describe one server or an ensemble.
//!
//! As in Apache ZooKeeper a file is standalone without server lines, or with a single participant
//! while `standaloneEnabled` is true. HBase and container images write such a single line; what
//! counts of it is the client part. Everything else is an ensemble.
//!
//! The lines stand in the file, or in the one that `dynamicConfigFile` names, never in both. Each
//! is judged where it stands; only if nothing is wrong with any of them they are put together.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::ensemble::EnsembleConfig;
use super::keys::{self, Class};
use super::notice::{NoticeKind, printable};
use super::parse::Draft;
use super::setting::{Origin, Setting};
use super::values;
use crate::proto::host_port::is_wildcard;
use crate::proto::membership::{LearnerType, QuorumServer};
use crate::proto::{QuorumVerifier, Sid};

/// Where clients connect according to a server line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPart {
    /// None: all addresses.
    pub host: Option<String>,
    /// Never 0.
    pub port: u16,
    /// Where the server line stands.
    pub origin: Origin,
}

impl ClientPart {
    /// That of `server`, whose line stands at `origin`.
    pub fn of(server: &QuorumServer, origin: Origin) -> Option<ClientPart> {
        let (host, port) = server.client.clone()?;
        Some(ClientPart { host: (!is_wildcard(&host)).then_some(host), port, origin })
    }
}

/// The lines as far as they are understood: each with what is behind its `=`.
#[derive(Debug, Default)]
struct Lines<'a> {
    servers: BTreeMap<Sid, (&'a Setting, QuorumServer)>,
    groups: BTreeMap<Sid, (&'a Setting, i64)>,
    weights: BTreeMap<Sid, (&'a Setting, i64)>,
    hierarchical: bool,
}

impl Draft {
    /// Decides whether the server is alone, and if it is not, who the others are. `dynamic` has the
    /// settings of the file that `dynamicConfigFile` names.
    pub(super) fn finish_members(&mut self, settings: &[Setting], dynamic: Option<&[Setting]>) {
        let pointer = settings.iter().find(|setting| setting.key == POINTER);
        let of_members = |s: &&Setting| {
            s.key != POINTER && keys::find(&s.key).is_some_and(|key| key.class == Class::Members)
        };
        let beside: Vec<&Setting> = settings.iter().filter(of_members).collect();
        let told = self.errors_told();
        let lines = match pointer {
            None => beside,
            Some(pointer) => {
                for setting in beside {
                    let what = format!(
                        "must stand in the file that dynamicConfigFile ({}) names, or \
                         dynamicConfigFile must go",
                        pointer.origin
                    );
                    self.refuse(&setting.written, Some(setting.origin), what);
                }
                self.dynamic_lines(pointer, dynamic)
            }
        };
        let lines = self.read_lines(&lines);
        if told == self.errors_told() {
            self.check_hierarchy(&lines);
        }
        if told != self.errors_told() {
            return;
        }
        self.standalone_or_ensemble(&lines, pointer);
    }

    /// The settings of the dynamic file, which must be of members.
    fn dynamic_lines<'a>(
        &mut self,
        pointer: &Setting,
        dynamic: Option<&'a [Setting]>,
    ) -> Vec<&'a Setting> {
        if pointer.value.is_empty() {
            self.wrong(pointer, "the path of a file");
            return Vec::new();
        }
        let path = Path::new(&pointer.value);
        if path.is_relative() && !path.starts_with(".") {
            let what = "is relative to the directory the server is started in".to_owned();
            self.notice(NoticeKind::Warning, pointer, what);
        }
        let Some(dynamic) = dynamic else {
            let what = "names the file of the members, which was not read".to_owned();
            self.refuse(&pointer.written, Some(pointer.origin), what);
            return Vec::new();
        };
        let (lines, others): (Vec<&Setting>, Vec<&Setting>) = dynamic.iter().partition(|setting| {
            ["server.", "group.", "weight."].iter().any(|kind| setting.key.starts_with(kind))
        });
        for setting in others {
            let what = match setting.key.as_str() {
                "version" => {
                    "must not stand in this file: its version is the end of its name, in \
                     hexadecimal"
                }
                _ => {
                    "must not stand in this file: it has server.N, group.N and weight.N, and \
                     nothing else"
                }
            };
            self.refuse(&setting.written, Some(setting.origin), what.to_owned());
        }
        for setting in dynamic {
            self.tell_repeated(setting);
        }
        lines
    }

    /// Understands each line by itself.
    fn read_lines<'a>(&mut self, settings: &[&'a Setting]) -> Lines<'a> {
        let mut lines = Lines::default();
        for &setting in settings {
            let read = if let Some(sid) = setting.key.strip_prefix("server.") {
                self.read_server(&mut lines, sid, setting)
            } else if let Some(group) = setting.key.strip_prefix("group.") {
                lines.hierarchical = true;
                read_group(&mut lines, group, setting)
            } else if let Some(sid) = setting.key.strip_prefix("weight.") {
                lines.hierarchical = true;
                read_weight(&mut lines, sid, setting)
            } else {
                Ok(())
            };
            if let Err(what) = read {
                self.refuse(&setting.written, Some(setting.origin), what);
            }
        }
        lines
    }

    fn read_server<'a>(
        &mut self,
        lines: &mut Lines<'a>,
        sid: &str,
        setting: &'a Setting,
    ) -> Result<(), String> {
        let sid = number(sid).ok_or("must be server. and a number")?;
        let server = QuorumServer::parse(&setting.value)
            .map_err(|what| format!("{what}, not \"{}\"", printable(&setting.value)))?;
        if server.secure_client.is_some() {
            return Err("has a port for clients with TLS; this version has no TLS".to_owned());
        }
        if server.addresses.len() > 1 && !self.ensemble.multi_address {
            return Err("has several addresses, which needs multiAddress.enabled=true (on every \
                        server)"
                .to_owned());
        }
        if let Some((other, _)) = lines.servers.get(&sid) {
            return Err(format!("is server {} once more; {} has it too", sid.0, at(other)));
        }
        lines.servers.insert(sid, (setting, server));
        Ok(())
    }

    /// With groups, every participant must be in one.
    fn check_hierarchy(&mut self, lines: &Lines<'_>) {
        if !lines.hierarchical {
            return;
        }
        for (sid, (setting, server)) in &lines.servers {
            if server.learner_type == LearnerType::Participant && !lines.groups.contains_key(sid) {
                let what = format!(
                    "is a participant in no group; where there are group.N or weight.N, every \
                     participant must be in one group.N: add {}",
                    sid.0
                );
                self.refuse(&setting.written, Some(setting.origin), what);
            }
        }
        for (sid, (setting, _)) in &lines.groups {
            let server = lines.servers.get(sid).map(|(_, server)| server.learner_type);
            let weighs = lines.weights.contains_key(sid);
            let who = match server {
                Some(LearnerType::Participant) => continue,
                Some(LearnerType::Observer) => "is an observer",
                None => "has no server line",
            };
            if weighs {
                let what = format!(
                    "has server {}, which {who}: its weight counts against the group",
                    sid.0
                );
                self.notice(NoticeKind::Warning, setting, what);
            } else {
                let what = format!("has server {}, which {who}; take it out", sid.0);
                self.refuse(&setting.written, Some(setting.origin), what);
            }
        }
        for (sid, (setting, _)) in &lines.weights {
            if !lines.groups.contains_key(sid) {
                let what = "has no effect: the server is in no group".to_owned();
                self.notice(NoticeKind::Warning, setting, what);
            }
        }
    }

    /// Apache's decision: more than one voter, or one that may not be alone, is an ensemble.
    fn standalone_or_ensemble(&mut self, lines: &Lines<'_>, pointer: Option<&Setting>) {
        let alone = self.ensemble.standalone_enabled;
        let of = |kind| {
            let servers = lines.servers.iter();
            servers.filter(move |(_, (_, server))| server.learner_type == kind)
        };
        let voters = of(LearnerType::Participant).count();
        let observer = of(LearnerType::Observer).next().map(|(_, (setting, _))| *setting);
        match (voters, observer) {
            (0, _) if !alone => {
                let what = "is false, which asks for an ensemble, but no server.N line names a \
                            participant"
                    .to_owned();
                let origin = self.origin("standaloneEnabled");
                self.refuse("standaloneEnabled", origin, what);
            }
            (0, Some(observer)) => {
                let what = "is an observer, and there is no participant: add the server.N lines \
                            of those who vote";
                self.refuse(&observer.written, Some(observer.origin), what.to_owned());
            }
            (1, Some(observer)) if alone => {
                let what = "is an observer beside a single participant, which would be a \
                            standalone server: write standaloneEnabled=false (on every server), \
                            or add participants";
                self.refuse(&observer.written, Some(observer.origin), what.to_owned());
            }
            (0, None) => self.merge_client(None),
            (1, None) if alone => {
                let line = lines.servers.values().next();
                self.merge_client(line.and_then(|(at, server)| ClientPart::of(server, at.origin)));
            }
            _ => self.finish_verifier(lines, pointer, voters),
        }
    }

    fn finish_verifier(&mut self, lines: &Lines<'_>, pointer: Option<&Setting>, voters: usize) {
        let text = lines.to_text(pointer.map_or(0, |file| version_of(&file.value)));
        let verifier = match QuorumVerifier::parse(text.as_bytes()) {
            Ok(verifier) => verifier,
            Err(what) => return self.refuse("server.N", None, format!("lines: {what}")),
        };
        if let Some((setting, _)) = lines.servers.values().next_back() {
            let what = if voters <= 2 {
                Some(format!(
                    "is one of {voters} that vote: the failure of one stops the ensemble; there \
                     should be at least 3"
                ))
            } else if voters.is_multiple_of(2) {
                Some(format!(
                    "is one of {voters} that vote, which survive no more failures than {} would",
                    voters - 1
                ))
            } else {
                None
            };
            if let Some(what) = what {
                self.notice(NoticeKind::Warning, setting, what);
            }
        }
        self.tell_clashes(lines);
        for (sid, (setting, _)) in &lines.servers {
            self.place(format!("server.{}", sid.0), setting.origin);
        }
        for (setting, group) in lines.groups.values() {
            self.place(format!("group.{group}"), setting.origin);
        }
        for (sid, (setting, _)) in &lines.weights {
            self.place(format!("weight.{}", sid.0), setting.origin);
        }
        let file = pointer.map(|pointer| Path::new(&pointer.value).to_owned());
        let ensemble = std::mem::take(&mut self.ensemble);
        self.config.ensemble =
            Some(EnsembleConfig { members: verifier, dynamic_config_file: file, ..ensemble });
    }

    /// Two members at one address: Apache ZooKeeper starts, but only one of them can.
    fn tell_clashes(&mut self, lines: &Lines<'_>) {
        let mut taken: BTreeMap<(String, u16), (Sid, &Setting)> = BTreeMap::new();
        for (&sid, (setting, server)) in &lines.servers {
            for (host, port) in server.all_addresses().filter(|(host, _)| !is_wildcard(host)) {
                match taken.get(&(host.to_ascii_lowercase(), port)) {
                    Some((other, line)) if *other != sid => {
                        let what = format!(
                            "has {host}:{port}, which {} has too: only one of them can have it",
                            at(line)
                        );
                        self.notice(NoticeKind::Warning, setting, what);
                    }
                    Some(_) => {}
                    None => {
                        taken.insert((host.to_ascii_lowercase(), port), (sid, setting));
                    }
                }
            }
        }
    }
}

/// The key that names the file of the members.
pub(super) const POINTER: &str = "dynamicConfigFile";

impl Lines<'_> {
    /// The form in which members tell each other.
    fn to_text(&self, version: i64) -> String {
        let mut text = String::new();
        for (sid, (_, server)) in &self.servers {
            let _ = writeln!(text, "server.{}={server}", sid.0);
        }
        for (sid, (_, group)) in &self.groups {
            let _ = writeln!(text, "group.{group}={}", sid.0);
        }
        for (sid, (_, weight)) in &self.weights {
            let _ = writeln!(text, "weight.{}={weight}", sid.0);
        }
        let _ = write!(text, "version={version:x}");
        text
    }
}

fn read_group<'a>(lines: &mut Lines<'a>, group: &str, setting: &'a Setting) -> Result<(), String> {
    let group = number(group).ok_or("must be group. and a number")?.0;
    // Java does not see empty parts at the end.
    for part in setting.value.trim_end_matches(':').split(':') {
        let sid = number(part.trim()).ok_or_else(|| {
            let value = printable(&setting.value);
            format!("must be numbers of servers with colons between them, not \"{value}\"")
        })?;
        if let Some((other, _)) = lines.groups.insert(sid, (setting, group)) {
            let other = if other == setting {
                "it has it twice".to_owned()
            } else {
                format!("{} has it too", at(other))
            };
            return Err(format!("must not have server {}: {other}", sid.0));
        }
    }
    Ok(())
}

fn read_weight<'a>(lines: &mut Lines<'a>, sid: &str, setting: &'a Setting) -> Result<(), String> {
    let sid = number(sid).ok_or("must be weight. and the number of a server")?;
    let weight = values::decimal(&setting.value, 0..=i64::MAX)
        .map_err(|allowed| format!("must be {allowed}, not \"{}\"", printable(&setting.value)))?;
    match lines.weights.insert(sid, (setting, weight)) {
        None => Ok(()),
        Some((other, _)) => {
            Err(format!("is the weight of server {} once more; {} has it too", sid.0, at(other)))
        }
    }
}

/// A server's id, as Java takes it; one of them is no server's.
fn number(text: &str) -> Option<Sid> {
    let number = values::decimal::<i64>(text, i64::MIN..=i64::MAX).ok().map(Sid);
    number.filter(|sid| *sid != Sid::NOBODY)
}

/// A line, and where it stands.
fn at(line: &Setting) -> String {
    format!("{} ({})", printable(&line.written), line.origin)
}

/// The version of a dynamic file: the end of its name in hexadecimal. Without one, or with one that
/// nobody could tell another (as in `zoo.cfg.dynamic`), it is 0.
fn version_of(name: &str) -> i64 {
    let end = name.rsplit_once('.').map(|(_, end)| end);
    end.and_then(|end| i64::from_str_radix(end, 16).ok()).filter(|v| *v >= 0).unwrap_or(0)
}

#[cfg(test)]
mod tests;
