//! The life of a session: pings, expiry, close.

use std::time::{Duration, Instant};

use crate::common::client::DELETED;
use crate::common::{Hello, Message, RawClient, TestServer, bodies, err, flag, op, shared};

/// C-012: a ping has xid -2 in its answer, whatever it had, and the last zxid.
#[test]
fn every_ping_is_answered_with_xid_minus_two() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let zxid = c.create("/a", b"", 0).ok().zxid;
    for xid in [-2, 5, 0, i32::MAX] {
        c.send(&bodies::frame(xid, op::PING, &[]));
        let reply = c.reply();
        assert_eq!((reply.xid, reply.err, reply.zxid), (-2, 0, zxid));
        assert!(reply.body.is_empty());
    }
}

/// C-013: a session that only pings never expires.
#[test]
fn pings_keep_a_session_alive() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let mut c = RawClient::connect(&server, &Hello::timeout(300));
    c.create("/e", b"", flag::EPHEMERAL).ok();
    // Six timeouts long, a ping every third of one. Waiting for nothing to happen takes time.
    let end = Instant::now() + Duration::from_millis(1800);
    while Instant::now() < end {
        c.ping();
        let silence = c.frame_until(Instant::now() + Duration::from_millis(100));
        assert_eq!(silence, Err(()), "neither a frame nor the end");
    }
    assert_eq!(c.stat("/e").ephemeral_owner, c.session());
}

/// C-014: a silent session expires not before its timeout and not later than a tick (and what
/// the machine adds) after it.
#[test]
fn a_silent_session_expires_between_timeout_and_a_tick_more() {
    let server = TestServer::start(&[("tickTime", "500")]);
    for timeout in [1000, 1700] {
        let mut c = RawClient::connect(&server, &Hello::timeout(timeout));
        let before = Instant::now();
        c.ping();
        let after = Instant::now();
        c.expect_close();
        let closed = Instant::now();
        let timeout = Duration::from_millis(timeout as u64);
        assert!(closed - before >= timeout, "{:?} is too early", closed - before);
        // Two seconds for a loaded machine: that it is not minutes is what matters.
        let limit = timeout + Duration::from_millis(500 + 2000);
        assert!(closed - after <= limit, "{:?} is too late", closed - after);
        let mut again = RawClient::knock(&server, &Hello::resume(&c.welcome));
        assert!(again.welcome.refused(), "expired");
        again.expect_close();
    }
}

/// C-015: expiry closes the connection, without a frame.
#[test]
fn expiry_closes_the_connection_without_a_frame() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let mut c = RawClient::connect(&server, &Hello::timeout(200));
    c.expect_close();
}

/// C-017: closeSession is answered with its xid, and the server closes the socket.
#[test]
fn close_is_answered_then_the_socket_closed() {
    let server = shared();
    let mut c = RawClient::new(&server);
    c.send(&bodies::frame(77, op::CLOSE_SESSION, &[]));
    let reply = c.reply();
    assert_eq!((reply.xid, reply.err), (77, 0));
    assert!(reply.zxid > 0 && reply.body.is_empty());
    c.expect_close();
}

/// C-017: closing twice is harmless.
#[test]
fn closing_twice_is_harmless() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let mut bytes = bodies::frame(1, op::CLOSE_SESSION, &[]);
    bytes.extend(bodies::frame(2, op::CLOSE_SESSION, &[]));
    c.send(&bytes);
    assert_eq!(c.reply().err, 0);
    while let Some(frame) = c.frame() {
        let Message::Reply(reply) = Message::read(&frame) else { panic!("an event") };
        assert!(reply.err == 0 || reply.err == err::SESSION_EXPIRED);
    }
    assert_eq!(RawClient::new(&server).ping().err, 0);
}

/// F-13: a session that is ended through a second connection closes the first.
#[test]
fn a_session_closed_through_another_connection_is_over() {
    let server = shared();
    let mut first = RawClient::new(&server);
    let path = format!("{}/e", first.scratch("f13"));
    first.create(&path, b"", flag::EPHEMERAL).ok();
    let welcome = first.welcome.clone();
    RawClient::connect(&server, &Hello::resume(&welcome)).close();
    first.expect_close();
    let again = RawClient::knock(&server, &Hello::resume(&welcome));
    assert!(again.welcome.refused());
    assert!(!RawClient::new(&server).has(&path));
}

/// C-024: what arrives after expiry is answered with -112 or not at all, never executed, and the
/// connection is closed. Many sessions, because it is closed soon: some send before.
#[test]
fn requests_after_expiry_are_never_executed() {
    const SESSIONS: usize = 20;
    let server = TestServer::start(&[("tickTime", "50"), ("minSessionTimeout", "100")]);
    let mut other = RawClient::connect(&server, &Hello::timeout(60_000));
    other.create("/p", b"", 0).ok();
    // Of a recursive watch: each node's coming and going, and nothing else.
    other.add_watch("/p", 1).ok();
    let dying = (0..SESSIONS).map(|n| {
        let mut client = RawClient::connect(&server, &Hello::timeout(400));
        client.create(&format!("/p/{n}"), b"", flag::EPHEMERAL).ok();
        client
    });
    let mut dying: Vec<RawClient> = dying.collect();
    let mut over = 0;
    while over < SESSIONS {
        let (kind, path) = other.fired();
        if kind != DELETED {
            continue;
        }
        // The session is over when its node goes; its connection may still be open for a moment.
        over += 1;
        let n: usize = path["/p/".len()..].parse().expect("the session's number");
        let create = bodies::create(format!("{path}-late"), None, &bodies::open_acl(), 0);
        dying[n].try_submit(op::CREATE, &create);
    }
    for mut client in dying {
        // To the end of the connection, which must come.
        while let Some(frame) = client.frame() {
            let Message::Reply(reply) = Message::read(&frame) else { panic!("an event") };
            assert_eq!(reply.err, err::SESSION_EXPIRED);
        }
    }
    other.sync("/p").ok();
    assert_eq!(other.all_fired(), [], "nothing was created");
    assert_eq!(other.get_children("/p", false).children(), [""; 0]);
}

/// C-013: any request is as good as a ping.
#[test]
fn any_request_touches_the_session() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let mut c = RawClient::connect(&server, &Hello::timeout(300));
    let end = Instant::now() + Duration::from_millis(1200);
    let mut n = 0;
    while Instant::now() < end {
        n += 1;
        match n % 3 {
            0 => drop(c.get_data("/", false).ok()),
            1 => drop(c.exists("/missing", false)),
            _ => drop(c.sync("/").ok()),
        }
        let silence = c.frame_until(Instant::now() + Duration::from_millis(80));
        assert_eq!(silence, Err(()), "neither a frame nor the end");
    }
    assert_eq!(c.ping().err, 0);
}

/// C-006: after a restart every session has its timeout again, and can be resumed.
#[test]
fn sessions_survive_a_crash_of_the_server() {
    let mut server = TestServer::start(&[]);
    let clients: Vec<RawClient> = (0..10).map(|_| RawClient::new(&server)).collect();
    server.kill();
    server.restart();
    for client in clients {
        let mut again = RawClient::connect(&server, &Hello::resume(&client.welcome));
        assert_eq!(again.session(), client.session());
        assert_eq!(again.ping().err, 0);
    }
}
