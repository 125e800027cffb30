//! Order: of replies, of zxids, of what one session and two sessions see.

use crate::common::{RawClient, TestServer, bodies, err, flag, op, shared, skip_deviation};

/// C-144: replies come in the order of requests, pings and reads behind writes included.
#[test]
fn replies_come_in_request_order() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c144");
    let mut expected = Vec::new();
    for n in 0..100 {
        let create = bodies::create(format!("{path}/{n}"), None, &bodies::open_acl(), 0);
        expected.push(c.submit(op::CREATE, &create));
        expected.push(c.submit(op::GET_DATA, &bodies::watched("/", false)));
        expected.push(c.submit(op::SYNC, &bodies::path("/")));
        c.send(&bodies::frame(-2, op::PING, &[]));
        expected.push(-2);
        expected.push(c.submit(op::EXISTS, &bodies::watched("/missing", false)));
    }
    let got: Vec<i32> = expected.iter().map(|_| c.reply().xid).collect();
    assert_eq!(got, expected);
}

/// C-145: a read behind a write of the same session sees it.
#[test]
fn a_read_behind_a_write_sees_it() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c145");
    for n in 1..=100 {
        let data = format!("{n}");
        c.submit(op::SET_DATA, &bodies::set_data(&path, Some(data.as_bytes()), -1));
        c.submit(op::GET_DATA, &bodies::watched(&path, false));
    }
    for n in 1..=100 {
        let write = c.reply().ok();
        let read = c.reply().ok();
        assert_eq!(read.data().0.unwrap(), format!("{n}").as_bytes());
        assert!(read.zxid >= write.zxid);
    }
}

/// C-145: a read between two writes sees the one before it and not the one behind it, whatever
/// waits how: small reads and large ones, with a watch and without, all of it in the server's hands
/// before the first write is done.
#[test]
fn a_read_between_writes_sees_the_one_before_and_not_the_one_behind() {
    let server = shared();
    for size in [1, 3_000, 40_000] {
        let mut c = RawClient::new(&server);
        let path = c.scratch(&format!("between-{size}"));
        let mut bytes = Vec::new();
        let mut xid = 100;
        let mut frame = |op: i32, body: &[u8]| {
            xid += 1;
            bytes.extend(bodies::frame(xid, op, body));
        };
        const ROUNDS: i32 = 60;
        for n in 1..=ROUNDS {
            let data = vec![n as u8; size];
            frame(op::SET_DATA, &bodies::set_data(&path, Some(&data), -1));
            frame(op::GET_DATA, &bodies::watched(&path, false));
            frame(op::EXISTS, &bodies::watched(&path, n % 5 == 0));
            frame(op::SET_DATA, &bodies::set_data(&path, Some(b""), -1));
            frame(op::PING, &[]);
            frame(op::GET_CHILDREN2, &bodies::watched(&path, false));
        }
        c.send(&bytes);
        let mut version = 0;
        for n in 1..=ROUNDS {
            assert_eq!(c.reply().ok().stat().version, version + 1, "set");
            let (data, stat) = c.reply().ok().data();
            assert_eq!((data.unwrap(), stat.version), (vec![n as u8; size], version + 1), "get");
            assert_eq!(c.reply().ok().stat().version, version + 1, "exists");
            assert_eq!(c.reply().ok().stat().version, version + 2, "set");
            assert_eq!(c.reply().xid, -2, "ping");
            assert_eq!(c.reply().ok().children_stat().1.version, version + 2, "children");
            version += 2;
        }
    }
}

/// C-146: another session's reads go on meanwhile.
#[test]
fn reads_of_another_session_are_answered() {
    let server = shared();
    let mut writer = RawClient::new(&server);
    let mut reader = RawClient::new(&server);
    let path = writer.scratch("c146");
    let body = bodies::set_data(&path, Some(&[7; 1000]), -1);
    writer.submit_many(500, op::SET_DATA, &body);
    for _ in 0..50 {
        reader.get_data("/", false).ok();
    }
    writer.take_ok(500);
}

/// C-147, C-148: header zxids never go back, and are not below what the body shows.
#[test]
fn header_zxids_never_go_back() {
    let server = shared();
    let mut writer = RawClient::new(&server);
    let mut reader = RawClient::new(&server);
    let path = writer.scratch("c147");
    let write = bodies::set_data(&path, Some(b"x"), -1);
    let read = bodies::watched(&path, false);
    let mut last = 0;
    for _ in 0..20 {
        writer.submit_many(50, op::SET_DATA, &write);
        reader.submit_many(50, op::GET_DATA, &read);
        for _ in 0..50 {
            let reply = reader.reply().ok();
            let stat = reply.data().1;
            assert!(reply.zxid >= last);
            assert!(reply.zxid >= stat.mzxid.to_long());
            last = reply.zxid;
        }
        writer.take_ok(50);
    }
}

/// C-150: two nodes that are written in order are never seen in the other.
#[test]
fn writes_are_seen_in_order() {
    let server = shared();
    let mut writer = RawClient::new(&server);
    let mut reader = RawClient::new(&server);
    let path = writer.scratch("c150");
    let (first, second) = (format!("{path}/1"), format!("{path}/2"));
    writer.create(&first, b"", 0).ok();
    writer.create(&second, b"", 0).ok();
    for _ in 0..20 {
        for _ in 0..25 {
            writer.submit(op::SET_DATA, &bodies::set_data(&first, None, -1));
            writer.submit(op::SET_DATA, &bodies::set_data(&second, None, -1));
        }
        for _ in 0..25 {
            reader.submit(op::EXISTS, &bodies::watched(&second, false));
            reader.submit(op::EXISTS, &bodies::watched(&first, false));
        }
        for _ in 0..25 {
            let second = reader.reply().stat().version;
            let first = reader.reply().stat().version;
            assert!(first >= second, "{first} writes of the first, {second} of the second");
        }
        writer.take_ok(50);
    }
}

/// C-153: sync echoes its path, whatever it is, and needs no permission and no zxid.
#[test]
fn sync_echoes_its_path() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c153");
    c.create_with(&format!("{path}/locked"), &bodies::world(0)).ok();
    for path in ["/", "relative", "", "/missing", &format!("{path}/locked")] {
        assert_eq!(c.sync(path).ok().path(), path);
    }
    let null = c.call(op::SYNC, &(-1i32).to_be_bytes()).ok();
    assert_eq!(null.body, (-1i32).to_be_bytes(), "null is echoed as null");
}

/// C-160, C-288: operations that are unknown, and those that are not a client's.
#[test]
fn unknown_operations_are_told_and_end_the_connection() {
    let server = shared();
    let mut unknown = vec![0, 10, 13, 23, 99, -1, 1000, i32::MIN, i32::MAX];
    if !skip_deviation("Java lets operations -10 and 20 through") {
        unknown.extend([-10, 20]);
    }
    for kind in unknown {
        let mut c = RawClient::new(&server);
        c.send(&bodies::frame(5, kind, &bodies::path("/")));
        let reply = c.reply();
        assert_eq!((reply.xid, reply.zxid, reply.err), (5, -1, err::UNIMPLEMENTED), "{kind}");
        c.expect_close();
    }
}

/// C-288: deleteContainer from a client deletes nothing (N-5).
#[test]
fn delete_container_from_a_client_deletes_nothing() {
    if skip_deviation("Java deletes any childless node for it") {
        return;
    }
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("n5");
    let mut other = RawClient::new(&server);
    other.send(&bodies::frame(1, op::DELETE_CONTAINER, &bodies::path(&path)));
    assert_eq!(other.reply().err, err::UNIMPLEMENTED);
    assert!(c.has(&path));
}

/// C-161: pipelining is not limited by the client's patience: thousands of requests in one go.
#[test]
fn deep_pipelines_are_answered() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c161");
    let body = bodies::set_data(&path, Some(b"x"), -1);
    let mut bytes = Vec::new();
    for xid in 1..=5000 {
        bytes.extend(bodies::frame(xid, op::SET_DATA, &body));
    }
    c.send(&bytes);
    for xid in 1..=5000 {
        let reply = c.reply().ok();
        assert_eq!((reply.xid, reply.stat().version), (xid, xid));
    }
}

/// C-163: what closed connections have left unanswered is not outstanding for ever.
#[test]
fn nothing_is_outstanding_after_connections_close() {
    let server = TestServer::start(&[("globalOutstandingLimit", "10")]);
    for _ in 0..10 {
        let mut c = RawClient::new(&server);
        let create = bodies::create("/o-", None, &bodies::open_acl(), flag::SEQUENTIAL);
        for xid in 1..=20 {
            c.try_send(&bodies::frame(xid, op::CREATE, &create));
        }
    }
    let mut c = RawClient::new(&server);
    for _ in 0..50 {
        c.create("/p-", b"", flag::SEQUENTIAL).ok();
    }
    crate::common::eventually("nothing is outstanding", || {
        (server.mntr("zk_outstanding_requests").as_deref() == Some("0")).then_some(())
    });
}

/// C-264: there is nothing to reconfigure on a standalone server.
#[test]
fn reconfig_is_disabled() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let mut body = Vec::new();
    (0..3).for_each(|_| body.extend_from_slice(&(-1i32).to_be_bytes()));
    body.extend_from_slice(&(-1i64).to_be_bytes());
    assert_eq!(c.call(op::RECONFIG, &body).err, err::RECONFIG_DISABLED);
}
