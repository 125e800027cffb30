//! A member as text: the value of a `server.N` line.
//!
//! ```text
//! host:quorumPort:electionPort[:role][|host:…][;[[clientHost:]clientPort][;[host:]securePort]]
//! ```

use std::fmt;

use super::{LearnerType, QuorumServer, ServerAddress};
use crate::proto::host_port::{Delimited, port, split_host, split_host_port};

/// Where clients are taken if only a port is named: on every address.
const ANY_HOST: &str = "0.0.0.0";

const FORM: &str = "host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort]";

impl QuorumServer {
    /// Reads the value of a `server.N` line. A role that is not named is a participant's.
    ///
    /// # Errors
    /// What was expected in its place.
    pub fn parse(value: &str) -> Result<Self, String> {
        let mut parts = value.split(';').map(str::trim);
        let server = parts.next().unwrap_or_default();
        let client = client_part(parts.next())?;
        let secure_client = client_part(parts.next())?;
        if parts.next().is_some() {
            return Err("must not have more than two parts for clients".to_owned());
        }
        let (mut addresses, mut role) = (Vec::new(), None);
        for part in server.split('|') {
            let (address, named) =
                server_part(part.trim()).ok_or_else(|| format!("must be {FORM}"))?;
            if address.quorum_port == address.election_port {
                return Err("must have different ports for the quorum and for elections".to_owned());
            }
            if named.is_some() && role.is_some() && named != role {
                return Err("must not have different roles at its addresses".to_owned());
            }
            role = role.or(named);
            addresses.push(address);
        }
        // The addresses are a set: in the order in which Apache writes them, equal sets are equal.
        addresses.sort_by(|a, b| {
            let key = |one: &ServerAddress| (one.quorum_port, one.election_port);
            a.host.cmp(&b.host).then(key(a).cmp(&key(b)))
        });
        addresses.dedup();
        let learner_type = role.unwrap_or(LearnerType::Participant);
        Ok(QuorumServer { addresses, learner_type, client, secure_client })
    }

    /// Every place where it listens: host and port.
    pub fn all_addresses(&self) -> impl Iterator<Item = (&str, u16)> + '_ {
        let servers = self.addresses.iter().flat_map(|address| {
            [(&*address.host, address.quorum_port), (&*address.host, address.election_port)]
        });
        let clients = self.client.iter().chain(&self.secure_client);
        servers.chain(clients.map(|(host, port)| (&**host, *port)))
    }
}

/// `host:quorumPort:electionPort[:role]`
fn server_part(part: &str) -> Option<(ServerAddress, Option<LearnerType>)> {
    let (host, rest) = split_host(part)?;
    let mut rest = rest.split(':');
    let address = ServerAddress {
        host,
        quorum_port: port(rest.next()?)?,
        election_port: port(rest.next()?)?,
    };
    let role = match rest.next().map(str::trim) {
        None => None,
        Some(role) if role.eq_ignore_ascii_case("participant") => Some(LearnerType::Participant),
        Some(role) if role.eq_ignore_ascii_case("observer") => Some(LearnerType::Observer),
        Some(_) => return None,
    };
    rest.next().is_none().then_some((address, role))
}

/// `[host:]port`, or nothing.
fn client_part(part: Option<&str>) -> Result<Option<(String, u16)>, String> {
    let Some(part) = part.filter(|part| !part.is_empty()) else { return Ok(None) };
    let address =
        port(part).map(|port| (ANY_HOST.to_owned(), port)).or_else(|| split_host_port(part));
    address.map(Some).ok_or_else(|| "must be [clientHost:]clientPort behind the ;".to_owned())
}

/// As Apache writes it: the role always, a client's port always with its host.
impl fmt::Display for QuorumServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, address) in self.addresses.iter().enumerate() {
            let ServerAddress { host, quorum_port, election_port } = address;
            let separator = if i == 0 { "" } else { "|" };
            write!(f, "{separator}{}:{quorum_port}:{election_port}", Delimited(host))?;
        }
        f.write_str(match self.learner_type {
            LearnerType::Participant => ":participant",
            LearnerType::Observer => ":observer",
        })?;
        if let Some((host, port)) = &self.client {
            write!(f, ";{}:{port}", Delimited(host))?;
        }
        if let Some((host, port)) = &self.secure_client {
            let separator = if self.client.is_some() { ";" } else { ";;" };
            write!(f, "{separator}{}:{port}", Delimited(host))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_apache_writes_it() {
        for (line, written) in [
            ("h:1:2", "h:1:2:participant"),
            ("h:1:2:Observer;2181", "h:1:2:observer;0.0.0.0:2181"),
            ("h:1:2:participant;h:2181;2281", "h:1:2:participant;h:2181;0.0.0.0:2281"),
            ("h:1:2;;[::1]:2281", "h:1:2:participant;;[0:0:0:0:0:0:0:1]:2281"),
            ("h:1:2;", "h:1:2:participant"),
            ("[fd00::1]:1:2;[::]:3", "[fd00:0:0:0:0:0:0:1]:1:2:participant;[0:0:0:0:0:0:0:0]:3"),
            ("b:1:2|a:3:4:observer;5", "a:3:4|b:1:2:observer;0.0.0.0:5"),
            ("b:1:2|a:3:4|b:1:2", "a:3:4|b:1:2:participant"),
            ("h:1:2 ; 3", "h:1:2:participant;0.0.0.0:3"),
        ] {
            let server = QuorumServer::parse(line).unwrap_or_else(|why| panic!("{line}: {why}"));
            assert_eq!(server.to_string(), written, "{line}");
            assert_eq!(QuorumServer::parse(written).unwrap(), server, "{written}");
        }
    }

    #[test]
    fn what_is_no_member_is_refused() {
        for (line, words) in [
            ("", "host:quorumPort"),
            ("h", "host:quorumPort"),
            ("h:1", "host:quorumPort"),
            ("h:1:2:leader", "host:quorumPort"),
            ("h:1:2:observer:3", "host:quorumPort"),
            ("h:0:2", "host:quorumPort"),
            ("h:1:65536", "host:quorumPort"),
            ("::1:1:2", "host:quorumPort"),
            ("h:1:2|", "host:quorumPort"),
            ("h:1:1", "different ports"),
            ("h:1:2:observer|g:1:2:participant", "different roles"),
            ("h:1:2;x", "clientPort"),
            ("h:1:2;0", "clientPort"),
            ("h:1:2;1;x", "clientPort"),
            ("h:1:2;1;2;3", "two parts"),
        ] {
            let why = QuorumServer::parse(line).unwrap_err();
            assert!(why.contains(words), "{line}: {why}");
        }
    }
}
