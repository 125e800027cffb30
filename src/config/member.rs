//! Which of the members a server is: what its `myid` says, and what follows from its own line.

use std::path::Path;

use super::ensemble::role;
use super::membership::ClientPart;
use super::notice::{ConfigError, ConfigErrors, Notice, NoticeKind, printable};
use super::setting::Origin;
use super::{EnsembleConfig, Parsed};
use crate::proto::Sid;
use crate::proto::host_port::{canonical, is_wildcard};

/// With extended types the top byte of an ephemeral node's owner must not look like a TTL's.
const MOST_WITH_EXTENDED_TYPES: i64 = 254;
/// More does not fit into the top byte of a session's id.
const MOST_DISTINCT: i64 = 255;

/// The id of this server: what the file `myid` in its data directory has, a number on the first
/// line. `None`: there is no such file. `path` is named in what is told.
///
/// # Errors
/// What is wrong with the file, and what should be in it.
pub fn member_id(
    ensemble: &EnsembleConfig,
    path: &Path,
    text: Option<&[u8]>,
) -> Result<Sid, String> {
    let path = path.display();
    let should = || {
        let ids: Vec<String> =
            ensemble.members.members.keys().map(|sid| sid.0.to_string()).collect();
        format!(
            "it must have this server's number, the N of its line server.N (there are {})",
            ids.join(", ")
        )
    };
    let Some(text) = text else {
        return Err(format!("{path} is missing: {}", should()));
    };
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let id = line.trim().parse().ok().map(Sid).filter(|sid| *sid != Sid::NOBODY);
    id.ok_or_else(|| format!("{path} has \"{}\": {}", printable(&line), should()))
}

impl Parsed {
    /// The configuration of the member `me`: its own server line says where its clients connect if
    /// `clientPort` does not. Of a server that is alone, nothing changes.
    ///
    /// # Errors
    /// Every reason why it cannot be that member.
    pub fn as_member(mut self, me: Sid) -> Result<Parsed, ConfigErrors> {
        let Some(ensemble) = &self.config.ensemble else { return Ok(self) };
        let mut own = OwnLine::new(&self, me);
        let Some(server) = ensemble.members.members.get(&me) else {
            let ids: Vec<String> =
                ensemble.members.members.keys().map(|sid| format!("server.{}", sid.0)).collect();
            let what = format!(
                "is not among the members ({}), but myid says that this server is it: either myid \
                 is another server's, or its line is missing",
                ids.join(", ")
            );
            own.refuse(None, &own.key.clone(), what);
            return Err(own.into_errors());
        };
        if self.config.extended_types && !(0..=MOST_WITH_EXTENDED_TYPES).contains(&me.0) {
            let what = format!(
                "is true, which allows ids up to {MOST_WITH_EXTENDED_TYPES} only: this server \
                 needs another number, in myid and in all server lines"
            );
            own.refuse(
                self.origins.get("extendedTypesEnabled").copied(),
                "extendedTypesEnabled",
                what,
            );
        } else if !(0..=MOST_DISTINCT).contains(&me.0) {
            let what = format!(
                "has an id outside of 0 to {MOST_DISTINCT}: sessions of other servers may get the \
                 same ids as its own"
            );
            own.warn(what);
        }
        if ensemble.peer_type != server.learner_type {
            let what = format!(
                "makes this server {}, while peerType is {}: the line counts",
                role(server.learner_type),
                role(ensemble.peer_type)
            );
            own.warn(what);
        }
        let client = ClientPart::of(server, own.origin.unwrap_or(Origin::CommandLine));
        own.check_client(&self, client.as_ref());
        let (port, host) = match &client {
            Some(part) => (Some(part.port), part.host.clone()),
            None => (self.config.client_port, self.config.client_port_address.clone()),
        };
        for address in &server.addresses {
            for (what, taken) in
                [("quorum", address.quorum_port), ("election", address.election_port)]
            {
                let same_host = ensemble.quorum_listen_on_all_ips
                    || is_wildcard(&address.host)
                    || host.as_ref().is_none_or(|host| canonical(host) == address.host);
                if port == Some(taken) && same_host {
                    let what = format!("has {taken} as its {what} port and for clients too");
                    own.refuse(own.origin, &own.key.clone(), what);
                }
            }
        }
        if port.is_none() {
            own.warn(
                "has no port for clients, and there is no clientPort: nobody can connect to \
                      this server"
                    .to_owned(),
            );
        }
        if !own.errors.is_empty() {
            return Err(own.into_errors());
        }
        let notices = own.notices;
        self.notices.extend(notices);
        self.config.client_port = port;
        self.config.client_port_address = host;
        if let Some(part) = client {
            for key in ["clientPort", "clientPortAddress"] {
                self.origins.entry(key.to_owned()).or_insert(part.origin);
            }
        }
        Ok(self)
    }
}

/// What there is to say of a server's own line.
struct OwnLine {
    key: String,
    origin: Option<Origin>,
    file_name: String,
    notices: Vec<Notice>,
    errors: Vec<ConfigError>,
}

impl OwnLine {
    fn new(parsed: &Parsed, me: Sid) -> OwnLine {
        let key = format!("server.{}", me.0);
        let origin = parsed.origins.get(&key).copied();
        let file_name = parsed.file_name.clone();
        OwnLine { key, origin, file_name, notices: Vec::new(), errors: Vec::new() }
    }

    /// `clientPort` and `clientPortAddress` must not contradict the line.
    fn check_client(&mut self, parsed: &Parsed, part: Option<&ClientPart>) {
        let config = &parsed.config;
        let (Some(port), Some(part)) = (config.client_port, part) else { return };
        let origin = |key: &str| parsed.origins.get(key).copied();
        let line = part.origin;
        if port != part.port {
            let what = format!("is {port}, but {} ({line}) has {}", self.key, part.port);
            self.refuse(origin("clientPort"), "clientPort", what);
        }
        let address = config.client_port_address.as_ref().filter(|host| !is_wildcard(host));
        let address = address.map(|host| canonical(host));
        if address.is_some() && address != part.host {
            let what = format!("and {} ({line}) have different addresses", self.key);
            self.refuse(origin("clientPortAddress"), "clientPortAddress", what);
        }
    }

    fn warn(&mut self, what: String) {
        let (key, origin) = (self.key.clone(), self.origin);
        self.notices.push(Notice { kind: NoticeKind::Warning, key, origin, what });
    }

    fn refuse(&mut self, origin: Option<Origin>, key: &str, what: String) {
        self.errors.push(ConfigError { key: key.to_owned(), origin, what });
    }

    fn into_errors(self) -> ConfigErrors {
        ConfigErrors { file_name: self.file_name, errors: self.errors, unknown: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const LIMITS: &str = "initLimit=10\nsyncLimit=5\n";
    const OTHERS: &str = "server.2=b:2888:3888\nserver.3=c:2888:3888\n";

    /// The line of server 1 is line 4, the lines behind it begin on line 7.
    fn parsed(own: &str, lines: &str) -> Parsed {
        let text = format!("dataDir=/data\n{LIMITS}server.1={own}\n{OTHERS}{lines}");
        parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn address(own: &str, lines: &str) -> (Option<String>, Option<u16>) {
        let parsed = parsed(own, lines).as_member(Sid(1));
        let config = parsed.unwrap_or_else(|errors| panic!("{errors}")).config;
        (config.client_port_address, config.client_port)
    }

    fn told(own: &str, lines: &str, me: i64) -> Vec<String> {
        let parsed = parsed(own, lines).as_member(Sid(me));
        let parsed = parsed.unwrap_or_else(|errors| panic!("{errors}"));
        parsed.notices.iter().map(ToString::to_string).collect()
    }

    fn refused(own: &str, lines: &str, me: i64) -> Vec<String> {
        let errors = parsed(own, lines).as_member(Sid(me)).map(|parsed| parsed.config);
        errors.expect_err(lines).lines().collect()
    }

    #[test]
    fn clients_connect_where_the_own_line_says() {
        let host = |host: &str| Some(host.to_owned());
        assert_eq!(address("a:1:2;2181", ""), (None, Some(2181)));
        assert_eq!(address("a:1:2;10.0.0.1:2181", ""), (host("10.0.0.1"), Some(2181)));
        assert_eq!(
            address("a:1:2;10.0.0.1:2181", "clientPort=2181"),
            (host("10.0.0.1"), Some(2181))
        );
        assert_eq!(address("a:1:2", "clientPort=2181"), (None, Some(2181)));
        assert_eq!(
            address("a:1:2", "clientPort=2181\nclientPortAddress=10.0.0.1"),
            (host("10.0.0.1"), Some(2181))
        );
        let loopback = "clientPort=2181\nclientPortAddress=::1";
        assert_eq!(address("a:1:2;[::1]:2181", loopback).1, Some(2181), "in two spellings");
        let parsed = parsed("a:1:2;2181", "").as_member(Sid(1)).unwrap();
        assert_eq!(parsed.source("clientPort"), "zoo.cfg, line 4");
        // What the others' lines say is theirs.
        assert_eq!(parsed.config.ensemble.unwrap().members.members[&Sid(2)].client, None);
    }

    #[test]
    fn a_port_that_contradicts_the_line_is_refused() {
        for (own, lines, what) in [
            (
                "a:1:2;2181",
                "clientPort=2182",
                "zoo.cfg: line 7: clientPort is 2182, but server.1 (line 4) has 2181",
            ),
            (
                "a:1:2;2181",
                "clientPort=2181\nclientPortAddress=10.0.0.2",
                "zoo.cfg: line 8: clientPortAddress and server.1 (line 4) have different addresses",
            ),
            (
                "a:2181:3888;2181",
                "",
                "zoo.cfg: line 4: server.1 has 2181 as its quorum port and for clients too",
            ),
            (
                "a:2888:2181",
                "clientPort=2181",
                "zoo.cfg: line 4: server.1 has 2181 as its election port and for clients too",
            ),
        ] {
            assert_eq!(refused(own, lines, 1), [what]);
        }
        let elsewhere = "clientPort=2181\nclientPortAddress=10.0.0.2";
        assert_eq!(address("10.0.0.1:2181:3888", elsewhere).1, Some(2181));
        assert_eq!(
            refused("10.0.0.1:2181:3888", &format!("{elsewhere}\nquorumListenOnAllIPs=true"), 1)
                .len(),
            1
        );
    }

    #[test]
    fn who_is_no_member_is_refused() {
        assert_eq!(
            refused("a:1:2", "", 4),
            [
                "zoo.cfg: server.4 is not among the members (server.1, server.2, server.3), but myid \
              says that this server is it: either myid is another server's, or its line is missing"
            ]
        );
    }

    #[test]
    fn the_line_decides_what_it_is() {
        let port = "clientPort=2181";
        let observer = format!("peerType=observer\nserver.4=d:2888:3888:observer\n{port}");
        assert_eq!(told("a:1:2", &observer, 4), [""; 0]);
        assert_eq!(
            told("a:1:2", &observer, 1),
            ["line 4: server.1 makes this server participant, while peerType is observer: the \
              line counts"]
        );
        assert_eq!(
            told("a:1:2", &format!("server.4=d:2888:3888:observer\n{port}"), 4),
            ["line 7: server.4 makes this server observer, while peerType is participant: the \
              line counts"]
        );
    }

    #[test]
    fn a_member_without_a_client_port_starts_and_says_so() {
        assert_eq!(
            told("a:1:2", "", 1),
            ["line 4: server.1 has no port for clients, and there is no clientPort: nobody can \
              connect to this server"]
        );
    }

    #[test]
    fn ids_must_leave_room_for_what_is_marked_beside_them() {
        let far =
            "clientPort=2181\nserver.255=d:2888:3888:observer\nserver.256=e:2888:3888:observer\n";
        assert_eq!(told("a:1:2", far, 255).len(), 1, "only its role");
        assert!(told("a:1:2", far, 256)[0].contains("outside of 0 to 255"));
        let extended = format!("{far}extendedTypesEnabled=true");
        assert_eq!(
            refused("a:1:2", &extended, 255),
            ["zoo.cfg: line 10: extendedTypesEnabled is true, which allows ids up to 254 only: \
              this server needs another number, in myid and in all server lines"]
        );
    }

    #[test]
    fn a_server_that_is_alone_stays_as_it_is() {
        let parsed = parse(b"dataDir=/data\nclientPort=2181\n", "zoo.cfg").unwrap();
        assert_eq!(parsed.clone().as_member(Sid(7)), Ok(parsed));
    }

    #[test]
    fn myid_is_a_number_on_the_first_line() {
        let ensemble = parsed("a:1:2", "").config.ensemble.unwrap();
        let read = |text: Option<&[u8]>| member_id(&ensemble, Path::new("/data/myid"), text);
        for (text, id) in [
            (&b"1"[..], 1),
            (b"2\n", 2),
            (b" 3 \r\nserver three\n", 3),
            (b"+1\n", 1),
            (b"0", 0),
            (b"007\n", 7),
        ] {
            assert_eq!(read(Some(text)), Ok(Sid(id)), "{text:?}");
        }
        let should =
            "it must have this server's number, the N of its line server.N (there are 1, 2, 3)";
        assert_eq!(read(None), Err(format!("/data/myid is missing: {should}")));
        for (text, shown) in [
            (&b""[..], ""),
            (b"\n1\n", ""),
            (b"one\n", "one"),
            (b"1 2", "1 2"),
            (b"-9223372036854775808", "-9223372036854775808"),
            (b"\xff\x1b", "\u{fffd}\\u{1b}"),
        ] {
            assert_eq!(read(Some(text)), Err(format!("/data/myid has \"{shown}\": {should}")));
        }
    }
}
