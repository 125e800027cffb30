//! What a client may do before it has said who it is, and what saying it wrongly leads to.

use super::*;
use crate::auth::EnsembleNames;

/// A client of a server that wants a digest first.
fn unauthenticated() -> Client {
    let mut client = Client::new();
    client.around.policy.required_schemes = Some([(*b"digest").into()].into());
    client.send(&connect(0, 10_000, b""));
    client.grant();
    client.resume();
    client.read_all();
    client
}

/// Scheme and data.
fn auth_of(scheme: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_int(0);
    body.put_ustring(scheme);
    body.put_buffer(Some(data));
    request(-4, OpCode::Auth, &body)
}

/// C-205
#[test]
fn before_authentication_the_first_request_is_the_last() {
    let unknown = request_of(7, 999, b"");
    for frame in [exists(7, "/"), create(7, "/a"), request(7, OpCode::Ping, b""), unknown] {
        let mut client = unauthenticated();
        let pass = client.send(&[frame, exists(8, "/"), auth(b"a:b")].concat());
        assert_eq!((pass.taken, pass.answered, pass.submissions.len()), (1, 1, 0));
        assert_eq!(client.core.ending(), Some(&Ending::NotAuthenticated));
        let replies = client.replies();
        let expected = [Reply { xid: 7, zxid: 0, err: -124, body: vec![] }];
        assert_eq!(replies, expected);
    }
}

/// C-205
#[test]
fn closing_the_session_needs_authentication_too() {
    let mut client = unauthenticated();
    let pass = client.send(&request(7, OpCode::CloseSession, b""));
    assert_eq!(words(&pass), [""; 0]);
    assert_eq!(client.codes(), [(7, -124)]);
}

/// C-205: what is pipelined behind the auth packet counts as after it.
#[test]
fn after_authentication_everything_is_as_ever() {
    let mut client = unauthenticated();
    client.send(&[auth(b"a:b"), exists(1, "/"), create(2, "/a")].concat());
    client.commit(2, "/a", b"");
    client.resume();
    assert_eq!(client.codes(), [(-4, 0), (1, 0), (2, 0)]);
}

/// C-205
#[test]
fn an_identity_of_another_scheme_opens_nothing() {
    let mut client = unauthenticated();
    let mut token = Vec::new();
    token.put_buffer(Some(b""));
    let sasl = request(6, OpCode::Sasl, &token);
    client.send(&[auth_of(b"ip", b""), sasl, exists(7, "/")].concat());
    assert_eq!(client.codes(), [(-4, 0), (6, 0), (7, -124)]);
}

#[test]
fn who_means_another_ensemble_is_cut_off_without_a_word() {
    let ensemble = |names: &[&'static str], said: &[u8]| {
        let mut client = Client::established();
        client.around.policy.ensemble = Some(EnsembleNames::new(names.iter().copied()));
        client.send(&[auth_of(b"ensemble", said), exists(1, "/")].concat());
        (client.codes(), client.core.ending().cloned())
    };
    let welcome = (vec![(-4, 0), (1, 0)], None);
    assert_eq!(ensemble(&["prod", "stage"], b"stage"), welcome);
    assert_eq!(ensemble(&["prod"], b""), welcome);
    assert_eq!(ensemble(&[], b"test"), welcome);
    assert_eq!(ensemble(&["prod"], b"test"), (vec![], Some(Ending::WrongEnsemble)));
}
