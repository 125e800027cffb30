//! Order: of replies, of zxids, of what one session and two sessions see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::common::{
    DEADLINE, RawClient, TestServer, bodies, err, eventually, flag, op, shared, skip_deviation,
};

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

/// C-146: another session's reads do not wait for a pending write. While the pipeline lasts there
/// is always an unfinished write: a read that waited for one would be answered behind a reply to
/// the writer, so a reader that asks for one thing after the other would get one answer per write
/// at most. The writes are long multis, mostly of checks, which take time before they are
/// committed and hold nobody up when they are.
#[test]
fn reads_of_another_session_do_not_wait_for_writes() {
    const WRITES: usize = 200;
    const READS_PER_WRITE: usize = 2;
    let server = TestServer::start(&[]);
    let mut writer = RawClient::new(&server);
    let path = writer.scratch("c146");
    let mut parts = vec![(op::SET_DATA, bodies::set_data(&path, Some(b"x"), -1))];
    parts.resize(2000, (op::CHECK, bodies::numbered(&path, -1)));
    let multi = bodies::multi(&parts);
    let deadline = Instant::now() + DEADLINE;
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = RawClient::new(&server);
            let mut reads = 0;
            while !ended.load(Ordering::SeqCst) && Instant::now() < deadline {
                let counts = begun.load(Ordering::SeqCst);
                reader.get_data("/", false).ok();
                // Both ends of the read lie between the first write's reply and the last one's.
                reads += usize::from(counts && !ended.load(Ordering::SeqCst));
            }
            reads
        });
        let mut sender = writer.sender();
        scope.spawn(move || {
            (1..=WRITES).for_each(|n| sender.send(&bodies::frame(n as i32, op::MULTI, &multi)));
        });
        for n in 0..WRITES {
            writer.reply().ok();
            begun.store(true, Ordering::SeqCst);
            if n + 2 == WRITES {
                // The last write is in the server's hands: it is unfinished up to here.
                ended.store(true, Ordering::SeqCst);
            }
        }
        reader.join().expect("the reader")
    });
    assert!(
        reads > WRITES * READS_PER_WRITE,
        "{reads} reads, one after the other, beside {WRITES} writes"
    );
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

/// Bytes of a large write.
const LARGE: usize = 16_000;

/// Gives four connections endless pipelines of large writes while `watch` looks at the server, and
/// returns how many writes an otherwise idle connection got through, one after the other.
fn under_load(server: &TestServer, watch: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    let is_over = || over.load(Ordering::SeqCst);
    let mut setup = RawClient::new(server);
    let busy = [0; 4].map(|_| (setup.scratch("busy"), RawClient::new(server)));
    let idle = (setup.scratch("idle"), RawClient::new(server));
    std::thread::scope(|scope| {
        for (path, mut busy) in busy {
            let mut sender = busy.sender();
            scope.spawn(move || {
                let body = bodies::set_data(&path, Some(&[7; LARGE]), -1);
                while !is_over() {
                    sender.send(&bodies::frame(1, op::SET_DATA, &body));
                }
                sender.send(&bodies::frame(1, op::CLOSE_SESSION, &[]));
            });
            scope.spawn(move || while busy.frame().is_some() {});
        }
        let idle = scope.spawn(move || {
            let (path, mut idle) = idle;
            let mut written = 0;
            while !is_over() {
                idle.set_data(&path, b"x", -1).ok();
                written += 1;
            }
            written
        });
        // Whatever becomes of the watching, the load must end.
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(watch));
        over.store(true, Ordering::SeqCst);
        watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        idle.join().expect("the idle one")
    })
}

/// C-161: above globalOutstandingLimit a busy connection is no longer read, and an idle one still
/// gets its request through. What was read at once before that counts on top: up to 64 KiB a
/// connection, that is five large writes; and one request of the idle connection.
#[test]
fn above_the_outstanding_limit_only_idle_connections_are_read() {
    const BOUND: i64 = 10 + 4 * 5 + 1;
    fn outstanding(server: &TestServer) -> i64 {
        let text = server.mntr("zk_outstanding_requests").expect("the metric");
        text.parse().expect("a number")
    }
    let server = TestServer::start(&[("globalOutstandingLimit", "10")]);
    let written = under_load(&server, || {
        for _ in 0..100 {
            let now = outstanding(&server);
            assert!(now <= BOUND, "{now} outstanding requests");
        }
    });
    assert!(written > 0, "an idle connection gets nothing through");
    // The load is such that the limit matters.
    let server = TestServer::start(&[("globalOutstandingLimit", "1000")]);
    under_load(&server, || {
        eventually("more outstanding requests without a limit", || {
            (outstanding(&server) > BOUND).then_some(())
        });
    });
}

/// Pipelining is not limited by the client's patience: thousands of requests in one go.
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

/// C-264: reconfig is off by default, and where it is on there is nothing to reconfigure on a
/// standalone server. Either way the refusal has a zxid of its own.
#[test]
fn reconfig_is_disabled_and_standalone_has_none() {
    for (enabled, expected) in [(None, err::RECONFIG_DISABLED), (Some("true"), err::UNIMPLEMENTED)]
    {
        let setting = enabled.map(|value| ("reconfigEnabled", value));
        let server = TestServer::start(setting.as_slice());
        let mut c = RawClient::new(&server);
        let before = c.create("/before", b"", 0).ok().zxid;
        let mut body = Vec::new();
        (0..3).for_each(|_| body.extend_from_slice(&(-1i32).to_be_bytes()));
        body.extend_from_slice(&(-1i64).to_be_bytes());
        let refused = c.call(op::RECONFIG, &body);
        assert_eq!((refused.err, refused.zxid), (expected, before + 1), "{enabled:?}");
        assert_eq!(c.create("/after", b"", 0).ok().zxid, before + 2, "{enabled:?}");
    }
}
