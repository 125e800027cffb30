//! The handshake: new sessions, resumed ones, refused ones.

use std::time::Instant;

use crate::common::{
    DEADLINE, Hello, RawClient, Setup, TestServer, bodies, err, eventually, flag, foreign_server,
    op, shared, skip_deviation,
};

/// C-001: a new client gets a non-zero id, 16 password bytes, version 0 and a timeout.
#[test]
fn a_new_client_gets_a_session() {
    let server = shared();
    let client = RawClient::new(&server);
    let welcome = &client.welcome;
    assert_eq!(welcome.version, 0);
    assert_ne!(welcome.session, 0);
    assert_eq!(welcome.password.len(), 16);
    assert_ne!(welcome.password, [0; 16]);
    assert_eq!(welcome.timeout_ms, 30_000);
}

/// C-001: the password is Java's, so that any server of an ensemble can check it.
#[test]
fn the_password_follows_from_the_id() {
    let server = shared();
    let client = RawClient::new(&server);
    let expected =
        zkserver::proto::password::generate(zkserver::proto::SessionId(client.session()));
    assert_eq!(client.welcome.password, expected);
}

/// C-002: the timeout is clamped into the configured bounds.
#[test]
fn the_timeout_is_clamped_into_the_configured_bounds() {
    let server = TestServer::start(&[("minSessionTimeout", "3000"), ("maxSessionTimeout", "5000")]);
    for (asked, given) in [(1, 3000), (-5, 3000), (4321, 4321), (100_000_000, 5000)] {
        let client = RawClient::connect(&server, &Hello::timeout(asked));
        assert_eq!(client.welcome.timeout_ms, given, "{asked}");
    }
}

/// C-002: without configured bounds they are 2 and 20 ticks.
#[test]
fn the_bounds_are_two_and_twenty_ticks() {
    let server = TestServer::start(&[("tickTime", "700"), ("maxSessionTimeout", "-1")]);
    for (asked, given) in [(0, 1400), (1400, 1400), (100_000, 14_000)] {
        let client = RawClient::connect(&server, &Hello::timeout(asked));
        assert_eq!(client.welcome.timeout_ms, given, "{asked}");
    }
}

/// C-003: the readOnly byte is in the response exactly when it was in the request.
#[test]
fn the_read_only_byte_is_echoed_as_a_shape() {
    let server = shared();
    for (sent, got) in [(None, None), (Some(false), Some(false)), (Some(true), Some(false))] {
        let hello = Hello { read_only: sent, ..Hello::default() };
        assert_eq!(RawClient::connect(&server, &hello).welcome.read_only, got);
    }
}

/// C-003: a refusal has the same shape.
#[test]
fn a_refusal_has_the_shape_of_its_request() {
    let server = shared();
    for read_only in [None, Some(false)] {
        let hello = Hello { session: 0x123_4567, read_only, ..Hello::default() };
        let mut client = RawClient::knock(&server, &hello);
        assert!(client.welcome.refused());
        assert_eq!(client.welcome.read_only, read_only);
        client.expect_close();
    }
}

/// C-001: the password of a new session is not looked at: null, empty, or short.
#[test]
fn the_password_of_a_new_session_does_not_matter() {
    let server = shared();
    for password in [None, Some(vec![]), Some(vec![1, 2, 3])] {
        RawClient::connect(&server, &Hello { password, ..Hello::default() });
    }
}

/// C-004: when the response comes the session is in the log and the tree's zxid counts it.
#[test]
fn the_response_comes_after_the_session_is_committed() {
    let server = TestServer::start(&[]);
    for expected in 1..=5 {
        let mut client = RawClient::new(&server);
        assert_eq!(client.ping().zxid, expected);
    }
}

/// C-004: and it is durable: whenever the server is killed behind the response, the next start knows
/// the session and its password.
#[test]
fn a_session_is_durable_when_the_response_comes() {
    let mut server = TestServer::start(&[]);
    for round in 0..20 {
        let client = RawClient::new(&server);
        server.kill();
        server.restart();
        let again = RawClient::knock(&server, &Hello::resume(&client.welcome));
        assert_eq!(again.session(), client.session(), "round {round}");
    }
}

/// C-005: requests pipelined behind the connect request are answered after it, in order.
#[test]
fn requests_behind_the_connect_request_are_answered_in_order() {
    let server = shared();
    let mut client = RawClient::tcp(server.address());
    let mut bytes = Hello::default().frame();
    bytes.extend(bodies::frame(1, op::GET_DATA, &bodies::watched("/", false)));
    bytes.extend(bodies::frame(2, op::EXISTS, &bodies::watched("/nothing-here", false)));
    bytes.extend(bodies::frame(-2, op::PING, &[]));
    client.send(&bytes);
    client.take_welcome();
    assert_eq!((client.reply().xid, client.reply().xid, client.reply().xid), (1, 2, -2));
}

/// C-006: reconnecting with id and password keeps session, id and ephemerals.
#[test]
fn a_session_survives_its_connection() {
    let server = shared();
    let mut client = RawClient::new(&server);
    let path = client.scratch("c006");
    client.create(&format!("{path}/e"), b"", flag::EPHEMERAL).ok();
    let welcome = client.welcome.clone();
    drop(client);
    let mut again = RawClient::connect(&server, &Hello::resume(&welcome));
    assert_eq!(again.welcome, welcome);
    let stat = again.stat(&format!("{path}/e"));
    assert_eq!(stat.ephemeral_owner, welcome.session);
    assert_eq!(again.create(&format!("{path}/f"), b"", flag::EPHEMERAL).err, 0);
}

/// C-009: an id that nobody has is refused, then the connection closed.
#[test]
fn an_unknown_session_is_refused() {
    let server = shared();
    let session = 0x0fff_ffff_ffff;
    let password = zkserver::proto::password::generate(zkserver::proto::SessionId(session));
    let hello = Hello { session, password: Some(password.to_vec()), ..Hello::default() };
    let mut client = RawClient::knock(&server, &hello);
    assert!(client.welcome.refused());
    assert_eq!(client.welcome.password, [0; 16]);
    client.expect_close();
}

/// C-009: so is one that was closed.
#[test]
fn a_closed_session_is_refused() {
    let server = shared();
    let client = RawClient::new(&server);
    let welcome = client.welcome.clone();
    client.close();
    let mut client = RawClient::knock(&server, &Hello::resume(&welcome));
    assert!(client.welcome.refused());
    client.expect_close();
}

/// C-010: a wrong password is refused, and does no harm to whom the session belongs (N-7).
#[test]
fn a_wrong_password_is_refused_and_harms_nobody() {
    let server = shared();
    let mut rightful = RawClient::new(&server);
    let mut hello = Hello::resume(&rightful.welcome);
    for password in [Some(vec![1; 16]), Some(vec![]), None] {
        hello.password = password;
        let mut thief = RawClient::knock(&server, &hello);
        assert!(thief.welcome.refused());
        thief.expect_close();
        if skip_deviation("Java closes the rightful connection before it looks at the password") {
            return;
        }
        assert_eq!(rightful.get_data("/", false).err, 0);
    }
}

/// C-011: a client that has seen the future is turned away without an answer; its session lives.
#[test]
fn a_client_ahead_of_the_server_is_closed_without_reply() {
    let server = shared();
    let mut client = RawClient::new(&server);
    for session in [Hello::default(), Hello::resume(&client.welcome)] {
        let mut ahead = RawClient::tcp(server.address());
        ahead.send(&Hello { last_zxid: 1 << 40, ..session }.frame());
        ahead.expect_close();
    }
    assert_eq!(client.ping().err, 0);
    let zxid = client.ping().zxid;
    let hello = Hello { last_zxid: zxid, ..Hello::resume(&client.welcome) };
    RawClient::connect(&server, &hello);
}

/// C-020: a second connection of a session takes over; the first is closed.
#[test]
fn reconnecting_closes_the_previous_connection() {
    let server = shared();
    let mut first = RawClient::new(&server);
    let mut second = RawClient::connect(&server, &Hello::resume(&first.welcome));
    first.expect_close();
    assert_eq!(second.ping().err, 0);
}

/// C-028: the top byte of a session id is the server's id, one on a standalone server, and no id
/// is given twice, also after a restart.
#[test]
fn session_ids_name_their_server_and_are_never_reused() {
    let mut server = TestServer::start(&[]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        for _ in 0..20 {
            let id = RawClient::new(&server).session();
            assert!(seen.insert(id), "{id:#x} was given before");
            assert_eq!((id as u64) >> 56, 1, "{id:#x}");
        }
        server.kill();
        server.restart();
    }
}

/// C-031: a connection that says nothing is closed after about ten seconds, not before nine.
#[test]
fn a_connection_without_handshake_is_closed() {
    let server = TestServer::start(&[]);
    let begin = Instant::now();
    let mut silent = RawClient::tcp(server.address());
    let mut half = RawClient::tcp(server.address());
    half.send(&[0, 0, 0]);
    silent.expect_close();
    half.expect_close();
    let after = begin.elapsed();
    assert!(after.as_millis() > 9_000 && after.as_secs() < 25, "{after:?}");
}

/// C-032: one connection more than maxClientCnxns is closed at accept.
#[test]
fn connections_per_address_are_limited() {
    let server = TestServer::start(&[("maxClientCnxns", "5")]);
    // The polls of the start are over; whatever they left is closed soon.
    eventually("the polling connections are gone", || {
        server.word("srvr").contains("Connections: 1\n").then_some(())
    });
    let mut clients: Vec<RawClient> = (0..5).map(|_| RawClient::new(&server)).collect();
    let mut extra = RawClient::tcp(server.address());
    extra.expect_close();
    for client in &mut clients {
        assert_eq!(client.ping().err, 0);
    }
    clients.pop();
    eventually("there is room again", || {
        let mut client = RawClient::tcp(server.address());
        if !client.try_send(&Hello::default().frame()) {
            return None;
        }
        client.frame()
    });
}

/// C-032: zero means that there is no limit.
#[test]
fn a_limit_of_zero_connections_is_none() {
    let server = TestServer::start(&[("maxClientCnxns", "0")]);
    let clients: Vec<RawClient> = (0..100).map(|_| RawClient::new(&server)).collect();
    assert_eq!(clients.len(), 100);
}

/// C-030: the timeout of the last handshake is the one that counts.
#[test]
fn a_renegotiated_timeout_is_used_for_expiry() {
    let server = TestServer::start(&[("tickTime", "200")]);
    let long = RawClient::connect(&server, &Hello::timeout(60_000));
    let mut short = Hello::resume(&long.welcome);
    short.timeout_ms = 400;
    let begin = Instant::now();
    let mut client = RawClient::connect(&server, &short);
    assert_eq!(client.welcome.timeout_ms, 400);
    client.expect_close();
    assert!(begin.elapsed() < DEADLINE);
}

/// C-035: a server that is told to stop closes connections, not sessions.
#[test]
fn shutdown_leaves_sessions_alive() {
    let mut server = TestServer::start(&[]);
    let mut client = RawClient::new(&server);
    client.create("/e", b"", flag::EPHEMERAL).ok();
    let welcome = client.welcome.clone();
    server.terminate();
    client.expect_close();
    server.restart();
    let mut again = RawClient::connect(&server, &Hello::resume(&welcome));
    assert_eq!(again.stat("/e").ephemeral_owner, welcome.session);
}

/// Exit codes: SIGTERM is a normal end.
#[test]
fn sigterm_ends_with_success() {
    if skip_deviation("a JVM that is told to stop exits with 143") {
        return;
    }
    let mut server = TestServer::start(&[]);
    assert_eq!(server.terminate().code(), Some(0));
}

/// Exit codes: a configuration that makes no sense is refused with 2.
#[test]
fn a_senseless_configuration_is_refused() {
    for (key, value) in [("tickTime", "soon"), ("clientPortAddress", "no such host!")] {
        let refusal = Setup::new(&[(key, value)]).refusal();
        assert_eq!(refusal.code, Some(2), "{key}: {refusal:?}");
        assert!(foreign_server() || refusal.log.contains(key), "it names the key: {refusal:?}");
    }
}

/// after the handshake a four-letter word is an absurd length.
#[test]
fn words_are_no_words_after_the_handshake() {
    let server = shared();
    let mut client = RawClient::new(&server);
    client.send(b"ruok");
    client.expect_close();
    assert_eq!(RawClient::new(&server).get_data("/nothing", false).err, err::NO_NODE);
}
