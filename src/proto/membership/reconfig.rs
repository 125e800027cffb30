//! From a reconfig request to the configuration it asks for.

use super::{QuorumServer, QuorumVerifier};
use crate::proto::host_port::{is_loopback, is_wildcard};
use crate::proto::requests::ReconfigRequest;
use crate::proto::{ErrorCode, Sid};

/// What a new configuration must keep to.
#[derive(Debug, Clone, Copy)]
pub struct ReconfigRules {
    /// `standaloneEnabled`: then it must keep two participants.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`: whether a member may have several addresses.
    pub multi_address_enabled: bool,
}

/// The configuration that `request` makes of `current`, still with the version of that one: its own
/// is the zxid of the transaction that proposes it.
///
/// # Errors
/// In this order: BADVERSION if the request is for another configuration than `current`;
/// BADARGUMENTS for joiners and leavers while there are groups; then the leavers, MARSHALLINGERROR
/// for an id that is no number; then the joiners, BADARGUMENTS for one that cannot be understood,
/// has no port for clients, or listens where another one does; last, BADARGUMENTS if too few of
/// them vote. A list of all members replaces everything, joiners and leavers are ignored then;
/// BADARGUMENTS if it cannot be understood.
pub fn reconfig(
    current: &QuorumVerifier,
    request: &ReconfigRequest<'_>,
    rules: ReconfigRules,
) -> Result<QuorumVerifier, ErrorCode> {
    if request.cur_config_id != -1 && request.cur_config_id != current.version {
        return Err(ErrorCode::BadVersion);
    }
    let mut next = match request.new_members {
        Some(members) => replaced(members)?,
        None => edited(current, request)?,
    };
    // Its transaction's zxid is to become its version.
    next.version = i64::MAX;
    let least = if rules.standalone_enabled { 2 } else { 1 };
    let fits = next.to_text().len() <= super::MAX_CONFIG_TEXT
        && (rules.multi_address_enabled || !next.has_several_addresses());
    if !fits || next.voters().count() < least {
        return Err(ErrorCode::BadArguments);
    }
    next.version = current.version;
    Ok(next)
}

/// A list of all members, between commas or on lines.
fn replaced(members: &[u8]) -> Result<QuorumVerifier, ErrorCode> {
    let lines: Vec<u8> =
        members.iter().map(|&byte| if byte == b',' { b'\n' } else { byte }).collect();
    QuorumVerifier::parse(&lines).map_err(|_| ErrorCode::BadArguments)
}

fn edited(
    current: &QuorumVerifier,
    request: &ReconfigRequest<'_>,
) -> Result<QuorumVerifier, ErrorCode> {
    if current.hierarchy.is_some() {
        return Err(ErrorCode::BadArguments);
    }
    let mut next = current.clone();
    for leaving in listed(request.leaving) {
        let sid = number(leaving).ok_or(ErrorCode::MarshallingError)?;
        next.members.remove(&sid);
    }
    for joining in listed(request.joining) {
        let (sid, server) = joiner(joining).ok_or(ErrorCode::BadArguments)?;
        let others = next.members.iter().filter(|(other, _)| **other != sid);
        if others.into_iter().any(|(_, other)| clash(&server, other)) {
            return Err(ErrorCode::BadArguments);
        }
        next.members.insert(sid, server);
    }
    Ok(next)
}

/// The entries of a list with commas; empty ones do not count.
fn listed(list: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    let entries = list.unwrap_or_default().split(|&byte| byte == b',');
    entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

fn number(text: &[u8]) -> Option<Sid> {
    std::str::from_utf8(text).ok()?.parse().ok().map(Sid).filter(|sid| *sid != Sid::NOBODY)
}

/// `server.N=…`, with a port for clients.
fn joiner(text: &[u8]) -> Option<(Sid, QuorumServer)> {
    let (key, value) = std::str::from_utf8(text).ok()?.split_once('=')?;
    // Only what is behind the last dot matters.
    let sid = key.trim().rsplit('.').next()?;
    let server = QuorumServer::parse(value.trim()).ok()?;
    let has_client = server.client.is_some() || server.secure_client.is_some();
    has_client.then_some((number(sid.as_bytes())?, server))
}

/// Whether both would listen at the same place. Addresses that mean another machine to everybody
/// who reads them do not clash; names are compared as they are written, Apache resolves them.
fn clash(one: &QuorumServer, other: &QuorumServer) -> bool {
    let special = |host: &str| is_wildcard(host) || is_loopback(host);
    one.all_addresses().filter(|(host, _)| !special(host)).any(|(host, port)| {
        other.all_addresses().any(|(h, p)| p == port && h.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "server.1=a:1:2:participant;10.0.0.1:3\nserver.2=b:1:2:participant;0.0.0.0:3\n\
                         server.3=c:1:2:participant;0.0.0.0:3\nversion=5";

    fn ask<'a>(joining: Option<&'a str>, leaving: Option<&'a str>) -> ReconfigRequest<'a> {
        ReconfigRequest {
            joining: joining.map(str::as_bytes),
            leaving: leaving.map(str::as_bytes),
            new_members: None,
            cur_config_id: -1,
        }
    }

    fn answer(current: &str, request: &ReconfigRequest<'_>) -> Result<String, ErrorCode> {
        let current = QuorumVerifier::parse(current.as_bytes()).unwrap();
        let rules = ReconfigRules { standalone_enabled: true, multi_address_enabled: false };
        reconfig(&current, request, rules).map(|next| next.to_text())
    }

    #[test]
    fn members_leave_before_others_join() {
        let moved = ask(Some("server.4=a:1:2:observer;3, server.2=d:1:2;3"), Some("1 , 9,"));
        assert_eq!(
            answer(THREE, &moved).unwrap(),
            "server.2=d:1:2:participant;0.0.0.0:3\nserver.3=c:1:2:participant;0.0.0.0:3\n\
             server.4=a:1:2:observer;0.0.0.0:3\nversion=5"
        );
        assert_eq!(answer(THREE, &ask(None, None)).unwrap(), THREE, "nothing to do is no error");
    }

    #[test]
    fn a_list_of_all_members_replaces_everything() {
        let both = ReconfigRequest {
            new_members: Some(b"server.1=a:1:2;3,server.7=g:1:2\nserver.8=h:1:2:observer"),
            ..ask(Some("nonsense"), Some("nonsense"))
        };
        assert_eq!(
            answer(THREE, &both).unwrap(),
            "server.1=a:1:2:participant;0.0.0.0:3\nserver.7=g:1:2:participant\n\
             server.8=h:1:2:observer\nversion=5"
        );
        let groups = ReconfigRequest {
            new_members: Some(b"server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=0"),
            ..ask(None, None)
        };
        let text = answer(THREE, &groups).unwrap();
        assert!(text.contains("group.1=1:2\nweight.1=0\nweight.2=1\n"), "{text}");
        assert_eq!(answer(&text, &ask(None, Some("2"))), Err(ErrorCode::BadArguments));
        assert_eq!(
            answer(&text, &ask(None, Some("x"))),
            Err(ErrorCode::BadArguments),
            "groups first"
        );
    }

    #[test]
    fn a_request_for_another_configuration_is_refused_before_it_is_read() {
        for (id, expected) in
            [(5, Err(ErrorCode::MarshallingError)), (4, Err(ErrorCode::BadVersion))]
        {
            let request = ReconfigRequest { cur_config_id: id, ..ask(None, Some("x")) };
            assert_eq!(answer(THREE, &request), expected);
        }
    }

    #[test]
    fn what_cannot_be_understood_or_clashes_is_refused() {
        for joining in [
            "server.4=d:1:2",
            "server.4=d:1",
            "server.4",
            "server.x=d:1:2;3",
            "server.4=d:1:1;3",
            "server.4=d:1:2|e:1:2;3",
            "server.4=A:2:5;3",
            "server.4=d:1:2;10.0.0.1:3",
            "server.4=d:1:2;3,server.5=d:2:9;4",
            "server.4=d:1:2;3;4;5",
        ] {
            assert_eq!(
                answer(THREE, &ask(Some(joining), None)),
                Err(ErrorCode::BadArguments),
                "{joining}"
            );
        }
        for joining in
            ["4=d:1:2;3", "server.4=d:1:2;;3", "server.4=localhost:1:2;3", "server.1=a:1:2;4"]
        {
            assert!(answer(THREE, &ask(Some(joining), None)).is_ok(), "{joining}");
        }
        for members in ["", "server.1=a:1:2", "server.1=a:1:2,server.1=b:1:2", "x=y"] {
            let request =
                ReconfigRequest { new_members: Some(members.as_bytes()), ..ask(None, None) };
            assert_eq!(answer(THREE, &request), Err(ErrorCode::BadArguments), "{members}");
        }
    }

    #[test]
    fn enough_members_keep_their_vote() {
        assert!(answer(THREE, &ask(None, Some("1"))).is_ok());
        assert_eq!(answer(THREE, &ask(None, Some("1,2"))), Err(ErrorCode::BadArguments));
        let current = QuorumVerifier::parse(THREE.as_bytes()).unwrap();
        let rules = ReconfigRules { standalone_enabled: false, multi_address_enabled: true };
        assert!(reconfig(&current, &ask(None, Some("1,2")), rules).is_ok());
        let none = reconfig(&current, &ask(None, Some("1,2,3")), rules);
        assert_eq!(none.unwrap_err(), ErrorCode::BadArguments);
        let several = reconfig(&current, &ask(Some("server.4=d:1:2|e:1:2;3"), None), rules);
        assert!(several.is_ok());
    }

    /// The transaction's zxid becomes its version, which has more digits: what followers could not
    /// read must not be proposed.
    #[test]
    fn a_configuration_is_not_accepted_that_its_own_version_makes_too_long() {
        let members = |host: usize| {
            let host = "h".repeat(host);
            format!("server.1={host}:1:2:participant,server.2=b:1:2:participant")
        };
        let length = |text: &str| text.replace(',', "\n").len() + "\nversion=".len();
        let room = crate::proto::membership::MAX_CONFIG_TEXT - length(&members(0));
        let try_with = |host: usize| {
            let members = members(host);
            let list = Some(members.as_bytes());
            answer(THREE, &ReconfigRequest { new_members: list, ..ask(None, None) }).map(|_| ())
        };
        assert_eq!(try_with(room - 16), Ok(()));
        assert_eq!(try_with(room - 15), Err(ErrorCode::BadArguments));
    }

    /// In a vote its id means that nobody is voted for.
    #[test]
    fn nobody_cannot_join() {
        let nobody = format!("server.{}=a:1:2;3", i64::MIN);
        assert_eq!(answer(THREE, &ask(Some(&nobody), None)), Err(ErrorCode::BadArguments));
        let listed = format!("server.1=a:1:2;3,server.2=b:1:2;3,{nobody}");
        let list = ReconfigRequest { new_members: Some(listed.as_bytes()), ..ask(None, None) };
        assert_eq!(answer(THREE, &list), Err(ErrorCode::BadArguments));
    }
}
