//! Limits and bad input: nothing a client sends harms anyone else.

use crate::common::client::{CREATED, DATA_CHANGED, DELETED};
use crate::common::server::SUPER_DIGEST;
use crate::common::{
    Hello, RawClient, TestServer, bodies, err, eventually, flag, golden, op, shared, skip_deviation,
};

const MAX_FRAME: usize = 0xf_ffff;

/// A setData whose frame has exactly this length.
fn set_data_of_length(path: &str, length: usize) -> Vec<u8> {
    let empty = bodies::frame(1, op::SET_DATA, &bodies::set_data(path, Some(b""), -1)).len() - 4;
    let data = vec![b'x'; length - empty];
    let frame = bodies::frame(1, op::SET_DATA, &bodies::set_data(path, Some(&data), -1));
    assert_eq!(frame.len(), length + 4);
    frame
}

/// C-057: the largest frame passes, and one byte more ends the connection.
#[test]
fn the_largest_frame_passes_and_no_larger_one() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c057");
    c.send(&set_data_of_length(&path, MAX_FRAME));
    let stat = c.reply().ok().stat();
    assert!(stat.data_length as usize > MAX_FRAME - 100);
    assert_eq!(c.get_data(&path, false).data().0.unwrap().len(), stat.data_length as usize);
    let mut other = RawClient::new(&server);
    other.try_send(&set_data_of_length(&path, MAX_FRAME + 1));
    other.expect_close();
    assert_eq!(c.stat(&path).version, 1);
}

/// C-285: absurd lengths before the session.
#[test]
fn absurd_frames_before_the_session_end_the_connection() {
    let server = shared();
    for bytes in [
        &(-1i32).to_be_bytes()[..],
        &i32::MIN.to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &(MAX_FRAME as i32 + 1).to_be_bytes(),
        &0i32.to_be_bytes(),
        &[0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 28, 1],
    ] {
        let mut c = RawClient::tcp(server.address());
        c.send(bytes);
        if bytes.len() == 5 {
            continue; // A beginning: dropping it is all the client does.
        }
        c.expect_close();
    }
    assert_eq!(RawClient::new(&server).ping().err, 0);
}

/// C-286: a web browser.
#[test]
fn an_http_request_ends_the_connection() {
    let server = shared();
    let mut c = RawClient::tcp(server.address());
    c.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    c.expect_close();
}

/// C-285: and within a session.
#[test]
fn absurd_frames_within_a_session_end_the_connection() {
    let server = shared();
    for bytes in [&(-1i32).to_be_bytes()[..], &[0, 0, 0, 0], &[0, 0, 0, 4, 0, 0, 0, 7]] {
        let mut c = RawClient::new(&server);
        c.send(bytes);
        c.expect_close();
        let mut again = RawClient::connect(&server, &Hello::resume(&c.welcome));
        assert_eq!(again.ping().err, 0, "the session is unharmed");
    }
}

/// C-287: a write whose body is cut off is told so, and writing goes on (N-4).
#[test]
fn a_truncated_write_is_told_and_writing_goes_on() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let acl = bodies::open_acl();
    let mut expected_zxid = 1;
    for (kind, body) in [
        (op::CREATE, bodies::create("/n", Some(b"x"), &acl, 0)),
        (op::CREATE2, bodies::create("/n", Some(b"x"), &acl, 0)),
        (op::CREATE_CONTAINER, bodies::create("/n", Some(b"x"), &acl, flag::CONTAINER)),
        (op::SET_DATA, bodies::set_data("/", Some(b"x"), -1)),
        (op::SET_ACL, bodies::set_acl("/", &acl, -1)),
        (op::DELETE, bodies::numbered("/n", -1)),
    ] {
        for end in [0, 3, body.len() / 2, body.len() - 1] {
            let reply = c.call(kind, &body[..end]);
            assert_eq!((reply.err, reply.body.len()), (err::MARSHALLING, 0), "{kind} cut at {end}");
        }
        let written = c.create("/w-", b"", flag::SEQUENTIAL).ok();
        assert!(written.zxid > expected_zxid, "zxids go on");
        expected_zxid = written.zxid;
    }
    assert!(!c.has("/n"));
}

/// C-287: the log that came of it is read again.
#[test]
fn malformed_writes_do_not_spoil_the_log() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for n in 0..20 {
        assert_eq!(c.call(op::CREATE, &[0, 0]).err, err::MARSHALLING);
        c.create(&format!("/n{n}"), b"", 0).ok();
    }
    let zxid = c.ping().zxid;
    server.kill();
    server.restart();
    assert_eq!(server.zxid(), zxid);
    assert_eq!(RawClient::new(&server).get_children("/", false).children().len(), 21);
}

/// C-287: reads whose body is cut off are told so, and the connection stays.
#[test]
fn a_truncated_read_is_told_and_the_connection_stays() {
    let server = shared();
    let mut c = RawClient::new(&server);
    for (kind, body) in [
        (op::EXISTS, bodies::watched("/", false)),
        (op::GET_DATA, bodies::watched("/", false)),
        (op::GET_CHILDREN, bodies::watched("/", false)),
        (op::GET_CHILDREN2, bodies::watched("/", false)),
        (op::GET_ACL, bodies::path("/")),
        (op::ADD_WATCH, bodies::numbered("/", 0)),
        (op::REMOVE_WATCHES, bodies::numbered("/", 0)),
        (op::CHECK_WATCHES, bodies::numbered("/", 0)),
        (op::GET_ALL_CHILDREN_NUMBER, bodies::path("/")),
        (op::GET_EPHEMERALS, bodies::path("/")),
        (op::SET_WATCHES, bodies::set_watches(0, &[&[], &[], &[]])),
    ] {
        for end in [0, body.len() - 1] {
            assert_eq!(c.call(kind, &body[..end]).err, err::MARSHALLING, "{kind} cut at {end}");
        }
    }
    assert_eq!(c.ping().err, 0);
}

/// Bytes behind a record are ignored.
#[test]
fn bytes_behind_a_record_are_ignored() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("trailing");
    let mut body = bodies::set_data(&path, Some(b"x"), 0);
    body.extend_from_slice(&[1, 2, 3]);
    assert_eq!(c.call(op::SET_DATA, &body).ok().stat().version, 1);
}

/// C-291: a vector of two billion, and a string of two.
#[test]
fn promised_lengths_are_not_believed() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let mut acl = bodies::path("/promised");
    acl.extend_from_slice(&0i32.to_be_bytes());
    acl.extend_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(c.call(op::CREATE, &acl).err, err::MARSHALLING);
    let mut lists = 0i64.to_be_bytes().to_vec();
    lists.extend_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(c.call(op::SET_WATCHES, &lists).err, err::MARSHALLING);
    for length in [i32::MAX, -2, i32::MIN] {
        assert_eq!(c.call(op::GET_DATA, &length.to_be_bytes()).err, err::MARSHALLING, "{length}");
    }
    assert_eq!(c.ping().err, 0);
}

/// C-293: captured requests with random bytes changed: whatever comes back, the server lives, and
/// what it has logged it reads again.
#[test]
fn mutated_requests_harm_nobody() {
    let mut server = TestServer::start(&[
        ("extendedTypesEnabled", "true"),
        ("DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
    ]);
    let mut frames = Vec::new();
    for name in ["client-3.9/session-A-all-ops.txt", "client/session-W-watches.txt"] {
        let lines = golden::session(name);
        frames.extend(lines.into_iter().filter(|line| line.to_server).map(|line| line.bytes));
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for _ in 0..60 {
        let mut c = RawClient::new(&server);
        for _ in 0..30 {
            let mut frame = frames[random(frames.len())].clone();
            for _ in 0..1 + random(3) {
                // Not the length: a frame stays a frame, so that its content is looked at.
                let at = 4 + random(frame.len() - 4);
                frame[at] = random(256) as u8;
            }
            if !c.try_send(&frame) {
                break;
            }
        }
    }
    let zxid = {
        let mut c = RawClient::new(&server);
        // One of the requests sets the root's ACL: it may have locked everyone else out.
        c.auth("digest", b"super:test").ok();
        c.create("/after", b"", 0).ok().zxid
    };
    assert_eq!(server.exited(), None);
    server.kill();
    server.restart();
    assert!(server.zxid() >= zxid);
    assert!(RawClient::new(&server).has("/after"));
}

/// C-294: a client that never reads is stopped or cut off; others do not notice.
#[test]
fn a_client_that_never_reads_does_not_slow_others() {
    let server = shared();
    let mut greedy = RawClient::new(&server);
    let path = greedy.scratch("c294");
    greedy.set_data(&path, &[b'x'; 500_000], -1).ok();
    // 200 MB of replies are asked for and never read.
    let request = bodies::frame(9, op::GET_DATA, &bodies::watched(&path, false));
    for _ in 0..400 {
        if !greedy.try_send(&request) {
            break;
        }
    }
    let mut other = RawClient::new(&server);
    for n in 0..50 {
        assert_eq!(other.set_data(&path, b"small", -1).ok().stat().version, n + 2);
    }
    let resident = server.resident_kib();
    if !crate::common::foreign_server() {
        assert!(resident < 150_000, "{resident} KiB are resident");
    }
}

/// A session with a recursive watch on a node; a writer; and names below that node of about a
/// thousand bytes each.
fn unread_events(server: &TestServer) -> (RawClient, RawClient, Vec<String>) {
    let mut writer = RawClient::new(server);
    let top = writer.scratch("events");
    let names = (0..10).map(|n| format!("{top}/{n}{}", "-".repeat(1000))).collect();
    let mut watcher = RawClient::new(server);
    watcher.add_watch(&top, 1).ok();
    (watcher, writer, names)
}

/// One more change to each of `names`, in one go; the events that this gives.
fn change_all(writer: &mut RawClient, names: &[String], round: i32) -> Vec<(i32, String)> {
    let mut frames = Vec::new();
    let mut expected = Vec::new();
    for name in names {
        let (op, body, kind) = match round % 5 {
            0 => (op::CREATE, bodies::create(name, None, &bodies::open_acl(), 0), CREATED),
            4 => (op::DELETE, bodies::numbered(name, -1), DELETED),
            _ => (op::SET_DATA, bodies::set_data(name, None, -1), DATA_CHANGED),
        };
        frames.extend(bodies::frame(round, op, &body));
        expected.push((kind, name.clone()));
    }
    writer.send(&frames);
    writer.take_ok(names.len());
    expected
}

/// C-143: the events of a client that does not read pile up, more of them than the sockets hold
/// (4 MiB on the server's side), and come complete and in order once it reads.
#[test]
fn unread_events_come_complete_and_in_order() {
    let server = TestServer::start(&[]);
    let (mut watcher, mut writer, names) = unread_events(&server);
    let mut expected = Vec::new();
    for round in 0..700 {
        expected.extend(change_all(&mut writer, &names, round));
    }
    let bytes: usize = expected.iter().map(|(_, path)| 4 + 28 + path.len()).sum();
    assert!((7_000_000..8 << 20).contains(&bytes), "{bytes} bytes of events");
    let events = watcher.events();
    assert!(events.is_sorted_by(|a, b| a.zxid < b.zxid), "in the order of their transactions");
    let got: Vec<_> = events.into_iter().map(|event| (event.kind, event.path)).collect();
    assert!(got == expected, "{} events of {}, or others", got.len(), expected.len());
}

/// C-143: above 8 MiB of unread events (and what the sockets hold) the connection is closed, not
/// an event dropped; its session, the writer and other watchers do not notice.
#[test]
fn too_many_unread_events_end_the_connection() {
    if skip_deviation("Java keeps unread events without a bound") {
        return;
    }
    let server = TestServer::start(&[]);
    let (watcher, mut writer, names) = unread_events(&server);
    let top = names[0].rsplit_once('/').expect("a parent").0.to_owned();
    let mut other = RawClient::new(&server);
    other.add_watch(&top, 1).ok();
    let alive = || server.mntr("zk_num_alive_connections").expect("the metric");
    let before = alive();
    let mut round = 0;
    eventually("the connection is closed", || {
        for _ in 0..20 {
            let expected = change_all(&mut writer, &names, round);
            assert_eq!(other.all_fired(), expected, "another watcher");
            round += 1;
        }
        (alive() != before).then_some(())
    });
    let bytes = round as usize * names.len() * (4 + 28 + names[0].len());
    assert!((8 << 20..16 << 20).contains(&bytes), "{bytes} bytes of events");
    let mut again = RawClient::connect(&server, &Hello::resume(&watcher.welcome));
    assert_eq!(again.ping().err, 0, "the session is unharmed");
}

/// A server on which a record may be little longer than a frame.
fn server_with_short_records() -> TestServer {
    TestServer::start(&[("jute.maxbuffer", "10000"), ("jute.maxbuffer.extrasize", "1024")])
}

/// C-296: a transaction that is longer than its request, and too long to be read back, is refused
/// before it gets a place in the log: here by the numbers that a multi's sequential names get.
#[test]
fn a_transaction_too_long_to_be_read_back_is_refused() {
    if skip_deviation("Java writes what it cannot read back") {
        return;
    }
    let mut server = server_with_short_records();
    let mut c = RawClient::new(&server);
    let parts = |count: usize| {
        let create = bodies::create("/s", None, &bodies::open_acl(), flag::SEQUENTIAL);
        vec![(op::CREATE, create); count]
    };
    // A part of the request takes 51 bytes, of the transaction 61; a header and a digest join it.
    let before = c.multi(&parts(150)).ok().zxid;
    let body = bodies::multi(&parts(190));
    assert!(body.len() < 10_000 - 8 && 190 * 61 > 11_024, "the request is taken");
    let refused = c.call(op::MULTI, &body);
    assert_eq!((refused.err, refused.zxid), (err::MARSHALLING, before + 1));
    assert_eq!(c.stat("/").num_children, 151, "nothing of it is there");
    let zxid = c.create("/after", b"", 0).ok().zxid;
    assert_eq!(zxid, before + 2);
    server.kill();
    server.restart();
    assert_eq!(server.zxid(), zxid);
    let mut c = RawClient::new(&server);
    assert_eq!(c.stat("/").num_children, 152);
    assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
}

/// C-296: a session whose ephemerals make too long a list ends all the same, by a transaction
/// without the list: all of them go, and stay gone after a restart.
#[test]
fn a_session_with_too_many_ephemerals_for_one_record_ends() {
    if skip_deviation("Java writes what it cannot read back") {
        return;
    }
    let mut server = server_with_short_records();
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    let mut owner = RawClient::new(&server);
    let mut length = 0;
    for n in 0..100 {
        let path = format!("/p/{n}{}", "-".repeat(200));
        length += 4 + path.len();
        owner.create(&path, b"", flag::EPHEMERAL).ok();
    }
    assert!(length > 11_024, "a list of {length} bytes");
    c.create("/p/stays", b"", 0).ok();
    let zxid = owner.call(op::CLOSE_SESSION, &[]).ok().zxid;
    assert_eq!(c.get_children("/p", false).children(), ["stays"]);
    let stat = c.stat("/p");
    assert_eq!((stat.pzxid.to_long(), stat.num_children), (zxid, 1));
    server.kill();
    server.restart();
    let mut c = RawClient::new(&server);
    assert_eq!(c.get_children("/p", false).children(), ["stays"]);
    assert_eq!(c.stat("/p"), stat);
    assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
}

/// How many idle connections are measured.
const IDLE: u64 = 1000;
/// What one of them may add to the resident memory, in bytes: about half as much again as it does, in
/// a debug build as in a release build.
const IDLE_BYTES: u64 = 2560;

/// C-295: idle connections are cheap. (A thousand here.)
#[test]
fn idle_connections_are_cheap() {
    let server = TestServer::start(&[]);
    let _first = RawClient::new(&server);
    let before = server.resident_kib();
    let clients: Vec<RawClient> = (0..IDLE).map(|_| RawClient::new(&server)).collect();
    let each = server.resident_kib().saturating_sub(before) * 1024 / IDLE;
    println!("{each} bytes for each of {IDLE} connections");
    let alive = server.mntr("zk_num_alive_connections").expect("the metric");
    assert!(alive.parse::<u64>().expect("a number") > IDLE, "all are there: {alive}");
    if !crate::common::foreign_server() {
        assert!(each <= IDLE_BYTES, "{each} bytes for each of {IDLE} connections");
    }
    drop(clients);
}
