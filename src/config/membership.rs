//! Who the members are: whether the file describes one server or an ensemble.
//!
//! As in Apache ZooKeeper a file is standalone without server lines, or with a single participant
//! while `standaloneEnabled` is true. HBase and container images write such a single line; what
//! counts of it is the client part. Everything else is an ensemble, which this version cannot be
//! part of: it is refused rather than run as a lone server that would split the data.

use super::notice::{ConfigError, printable};
use super::setting::{Origin, Setting};
use super::values::{self, boolean};

/// Where clients connect according to the only server line.
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
    /// The line of the file; 0 for none.
    pub fn line(&self) -> usize {
        match self.origin {
            Origin::File { line, .. } => line,
            Origin::Variable(_) | Origin::CommandLine => 0,
        }
    }
}

const NO_ENSEMBLES: &str = "ensembles are not part of this version, only a standalone server is";

/// What the keys of class `Ensemble` come to; each of them is in `settings`, nothing else is.
pub fn judge(settings: &[&Setting]) -> Result<Option<ClientPart>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut lines = Vec::new();
    for setting in settings {
        let mut refuse = |what: String| {
            errors.push(ConfigError {
                key: printable(&setting.key),
                origin: Some(setting.origin),
                what,
            });
        };
        match setting.key.as_str() {
            "standaloneEnabled" => match boolean(&setting.value) {
                Ok(true) => {}
                Ok(false) => {
                    refuse(format!("is false and so asks for an ensemble; {NO_ENSEMBLES}"))
                }
                Err(allowed) => {
                    refuse(format!("must be {allowed}, not \"{}\"", printable(&setting.value)));
                }
            },
            "dynamicConfigFile" => {
                refuse(format!("names the members of an ensemble; {NO_ENSEMBLES}"))
            }
            key => match key.strip_prefix("server.") {
                Some(sid) if !is_sid(sid) => refuse("must be server. and a number".to_owned()),
                Some(_) => match ServerLine::parse(&setting.value) {
                    Ok(line) => lines.push((*setting, line)),
                    Err(what) => refuse(what),
                },
                None => refuse(format!("belongs to an ensemble of groups; {NO_ENSEMBLES}")),
            },
        }
    }
    let client = match &lines[..] {
        [] => None,
        [(setting, line)] => {
            if line.observer {
                errors.push(ConfigError {
                    key: printable(&setting.key),
                    origin: Some(setting.origin),
                    what: format!("is an observer without participants; {NO_ENSEMBLES}"),
                });
            }
            line.client.clone().map(|(host, port)| ClientPart {
                host,
                port,
                origin: setting.origin,
            })
        }
        [.., (setting, _)] => {
            errors.push(ConfigError {
                key: printable(&setting.key),
                origin: Some(setting.origin),
                what: format!("is the last of {} server lines; {NO_ENSEMBLES}", lines.len()),
            });
            None
        }
    };
    if errors.is_empty() { Ok(client) } else { Err(errors) }
}

/// Any i64, as Java takes it; the number means nothing to a standalone server.
fn is_sid(text: &str) -> bool {
    values::decimal::<i64>(text, i64::MIN..=i64::MAX).is_ok()
}

/// The value of a `server.N` key:
/// `host:quorumPort:electionPort[:role][|another address...][;[clientHost:]clientPort]`.
struct ServerLine {
    observer: bool,
    client: Option<(Option<String>, u16)>,
}

impl ServerLine {
    fn parse(value: &str) -> Result<ServerLine, String> {
        const FORM: &str = "must be host:quorumPort:electionPort[:role][;[clientHost:]clientPort]";
        let mut parts = value.split(';').map(str::trim);
        let addresses = parts.next().unwrap_or_default();
        let client = parts.next();
        if parts.next().is_some_and(|secure| !secure.is_empty()) {
            return Err("has a secure client port; this version has no TLS".to_owned());
        }
        let mut role = None;
        for address in addresses.split('|') {
            let found = address_role(address).ok_or(FORM)?;
            if found.is_some() && role.is_some() && found != role {
                return Err("names different roles for one server".to_owned());
            }
            role = role.or(found);
        }
        let client = match client {
            None | Some("") => None,
            Some(part) => Some(client_part(part).ok_or(FORM)?),
        };
        Ok(ServerLine { observer: role == Some(Role::Observer), client })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Participant,
    Observer,
}

/// The role named by `host:quorumPort:electionPort[:role]`; None if that is not what it is.
fn address_role(address: &str) -> Option<Option<Role>> {
    let (_, rest) = split_host(address.trim())?;
    let mut parts = rest.split(':');
    let quorum = port(parts.next()?)?;
    let election = port(parts.next()?)?;
    let role = match parts.next() {
        None => None,
        Some(role) if role.eq_ignore_ascii_case("participant") => Some(Role::Participant),
        Some(role) if role.eq_ignore_ascii_case("observer") => Some(Role::Observer),
        Some(_) => return None,
    };
    (parts.next().is_none() && quorum != election).then_some(role)
}

/// `[clientHost:]clientPort`.
fn client_part(part: &str) -> Option<(Option<String>, u16)> {
    if let Some(port) = port(part) {
        return Some((None, port));
    }
    let (host, rest) = split_host(part)?;
    let any = matches!(host.as_str(), "0.0.0.0" | "::");
    Some(((!any).then_some(host), port(rest)?))
}

/// A host, in brackets if it is an IPv6 address, and what follows the colon behind it.
fn split_host(text: &str) -> Option<(String, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':')? };
    let (host, rest) = text.split_at(end);
    Some((values::host(host).ok()?, rest.strip_prefix(':')?))
}

fn port(text: &str) -> Option<u16> {
    values::decimal(text, 1..=65535).ok()
}

#[cfg(test)]
mod tests {
    use super::super::setting::Shape;
    use super::*;

    fn judged(settings: &[(&str, &str)]) -> Result<Option<(Option<String>, u16)>, Vec<String>> {
        let settings: Vec<Setting> = settings
            .iter()
            .zip(1..)
            .map(|((key, value), line)| Setting {
                key: (*key).to_owned(),
                written: (*key).to_owned(),
                value: (*value).to_owned(),
                shape: Shape::Untyped,
                origin: Origin::line(line),
                replaces: None,
            })
            .collect();
        judge(&settings.iter().collect::<Vec<_>>())
            .map(|client| client.map(|part| (part.host, part.port)))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_participant_is_standalone_and_may_name_the_client_port() {
        assert_eq!(judged(&[]), Ok(None));
        assert_eq!(judged(&[("standaloneEnabled", "TRUE")]), Ok(None));
        for (line, client) in [
            ("localhost:2888:3888", None),
            ("localhost:2888:3888:participant", None),
            ("zk-0.zk.svc:2888:3888:PARTICIPANT;2181", Some((None, 2181))),
            ("localhost:2888:3888;", None),
            ("localhost:2888:3888;0.0.0.0:2181", Some((None, 2181))),
            ("localhost:2888:3888;[::]:2181", Some((None, 2181))),
            ("10.0.0.1:2888:3888;10.0.0.2:2181", Some((Some("10.0.0.2".to_owned()), 2181))),
            ("[fd00::1]:2888:3888;[::1]:2181", Some((Some("::1".to_owned()), 2181))),
            ("a:2888:3888|b:2888:3888:participant;2181", Some((None, 2181))),
        ] {
            assert_eq!(judged(&[("server.1", line)]), Ok(client), "{line}");
        }
    }

    #[test]
    fn a_malformed_server_line_is_refused() {
        for line in [
            "",
            "localhost",
            "localhost:2888",
            "localhost:2888:2888",
            "localhost:2888:3888:leader",
            "localhost:2888:3888:participant:x",
            "localhost:0:3888",
            "localhost:2888:70000",
            "::1:2888:3888",
            "[::1:2888:3888",
            "localhost:2888:3888;x",
            "localhost:2888:3888;0",
            "a:2888:3888|",
        ] {
            let errors = judged(&[("server.1", line)]).unwrap_err();
            assert!(errors[0].starts_with("line 1: server.1 must be host:"), "{line}: {errors:?}");
        }
        assert!(judged(&[("server.one", "a:1:2")]).unwrap_err()[0].contains("a number"));
        assert!(judged(&[("server.1", "a:1:2:observer|b:1:2:participant")]).is_err());
    }

    #[test]
    fn what_makes_an_ensemble_is_refused_with_words() {
        let line = "h:2888:3888";
        for (settings, key) in [
            (&[("server.1", line), ("server.2", line)][..], "server.2"),
            (&[("server.1", line), ("server.2", "h:2888:3888:observer")], "server.2"),
            (&[("server.1", "h:2888:3888:observer")], "server.1"),
            (&[("standaloneEnabled", "false")], "standaloneEnabled"),
            (&[("standaloneEnabled", "false"), ("server.1", line)], "standaloneEnabled"),
            (&[("dynamicConfigFile", "/conf/zoo.cfg.dynamic")], "dynamicConfigFile"),
            (&[("group.1", "1:2:3")], "group.1"),
            (&[("weight.1", "1")], "weight.1"),
        ] {
            let errors = judged(settings).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(key) && errors[0].contains(NO_ENSEMBLES), "{errors:?}");
        }
        let errors = judged(&[("standaloneEnabled", "no")]).unwrap_err();
        assert_eq!(errors, ["line 1: standaloneEnabled must be true or false, not \"no\""]);
    }

    #[test]
    fn a_secure_client_port_on_the_line_asks_for_tls() {
        for line in ["h:2888:3888;2181;2281", "h:2888:3888;;2281"] {
            assert!(judged(&[("server.1", line)]).unwrap_err()[0].contains("TLS"), "{line}");
        }
    }
}
