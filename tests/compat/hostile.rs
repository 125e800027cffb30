//! Hostile clients: what one of them can do to the server or to others, which is nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Acl, Hello, RawClient, TestServer, bodies, err, eventually, flag, op};

/// K: an impossible length right behind the connect request, while the session is being made, ends
/// the connection and nothing else. (It ended the process: a session was granted to a connection
/// that was over.)
#[test]
fn garbage_behind_the_connect_request_harms_nobody() {
    let server = TestServer::start(&[("maxClientCnxns", "0")]);
    let mut other = RawClient::new(&server);
    let known = RawClient::new(&server).welcome.clone();
    for round in 0..3000 {
        let hello = if round % 2 == 0 { Hello::default() } else { Hello::resume(&known) };
        let mut bytes = hello.frame();
        bytes.extend([0xff; 4]);
        let mut stream = TcpStream::connect(server.address()).expect("the server accepts");
        stream.write_all(&bytes).expect("sent");
        if round % 3 == 0 {
            let _ = stream.read(&mut [0; 64]);
        }
    }
    other.create("/alive", b"", 0).ok();
}

/// K: a list that stands for large identities makes a small request into a large transaction. It is
/// refused before it has become one, and what is under way is bounded.
#[test]
fn an_acl_that_grows_is_refused_before_it_has_grown() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let user = "u".repeat(60_000);
    assert_eq!(c.call(op::AUTH, &bodies::auth("digest", format!("{user}:p").as_bytes())).err, 0);
    let acl = [Acl::new(31, b"auth", b"")];
    let parts: Vec<_> =
        (0..3000).map(|n| (op::CREATE, bodies::create(format!("/m{n}"), None, &acl, 0))).collect();
    assert_eq!(c.multi(&parts).err, err::MARSHALLING);
    assert!(!c.has("/m0"));
    for n in 0..300 {
        c.submit(op::CREATE, &bodies::create(format!("/n{n}"), None, &acl, 0));
    }
    c.take_ok(300);
    assert!(server.resident_kib() < 200_000, "{} KiB", server.resident_kib());

    // More identities than a connection may have are refused like a wrong password.
    let mut c = RawClient::new(&server);
    let user = "u".repeat(70_000);
    let reply = c.call(op::AUTH, &bodies::auth("digest", format!("{user}:p").as_bytes()));
    assert_eq!(reply.err, err::AUTH_FAILED);
    c.expect_close();
}

/// C-294: a client that never reads is closed when too much waits for it or its session ends; its
/// memory and its watches go with it.
#[test]
fn a_client_that_never_reads_is_dropped() {
    let server = TestServer::start(&[("tickTime", "200"), ("4lw.commands.whitelist", "*")]);
    let mut deaf = RawClient::connect(&server, &Hello::timeout(60_000));
    deaf.add_watch("/", 1);
    let mut writer = RawClient::connect(&server, &Hello::timeout(60_000));
    let before = server.resident_kib();
    // Every change of a node with a long name is an event of a kilobyte.
    let long = format!("/{}", "n".repeat(1000));
    writer.create(&long, b"", 0).ok();
    let body = bodies::set_data(&long, Some(b""), -1);
    let watches = || server.mntr("zk_watch_count");
    let mut rounds = 0;
    while watches().as_deref() != Some("0") {
        writer.submit_many(1000, op::SET_DATA, &body);
        writer.take_ok(1000);
        rounds += 1;
        assert!(rounds < 60, "60 MB of events are kept for a client that does not read");
    }
    assert!(server.resident_kib() < before + 60_000, "{} KiB", server.resident_kib());
    assert!(writer.has(&long));

    // One whose session ends is gone at once, whatever waits for it.
    let mut deaf = RawClient::connect(&server, &Hello::timeout(400));
    deaf.add_watch("/", 1);
    for _ in 0..5 {
        writer.submit_many(1000, op::SET_DATA, &body);
        writer.take_ok(1000);
    }
    eventually("the session and its watch end", || {
        (watches().as_deref() == Some("0")).then_some(())
    });
}

/// C-143: a client that falls behind gets every event, in order, once it reads on.
#[test]
fn a_slow_reader_gets_every_event_in_order() {
    let server = TestServer::start(&[]);
    let mut slow = RawClient::new(&server);
    slow.add_watch("/", 1);
    let mut writer = RawClient::new(&server);
    let name = "n".repeat(500);
    for n in 0..8000 {
        writer.submit(
            op::CREATE,
            &bodies::create(format!("/{name}{n}"), None, &bodies::open_acl(), 0),
        );
    }
    writer.take_ok(8000);
    let mut last = 0;
    for n in 0..8000 {
        let event = slow.event();
        assert_eq!(event.path, format!("/{name}{n}"));
        assert!(event.zxid > last, "events come in zxid order");
        last = event.zxid;
    }
}

/// C-017, C-087: what a client sent before it closed its side is carried out, its closeSession too.
#[test]
fn what_came_before_the_end_is_carried_out() {
    let server = TestServer::start(&[]);
    let mut other = RawClient::new(&server);
    for round in 0..20 {
        let c = RawClient::new(&server);
        let ephemeral = format!("/e{round}");
        let lasting = format!("/l{round}");
        let acl = bodies::open_acl();
        let mut bytes =
            bodies::frame(1, op::CREATE, &bodies::create(&ephemeral, None, &acl, flag::EPHEMERAL));
        bytes.extend(bodies::frame(2, op::GET_DATA, &bodies::watched("/", true)));
        bytes.extend(bodies::frame(3, op::CREATE, &bodies::create(&lasting, None, &acl, 0)));
        bytes.extend(bodies::frame(4, op::CLOSE_SESSION, &[]));
        let mut stream = c.into_stream();
        stream.write_all(&bytes).expect("sent");
        stream.shutdown(Shutdown::Write).expect("closed");
        eventually("all of it is done", || {
            (other.has(&lasting) && !other.has(&ephemeral)).then_some(())
        });
    }
}

/// K: a piece of a request is no sign of life; a whole one is, even if it has to wait.
#[test]
fn a_trickled_frame_keeps_no_session_alive() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let c = RawClient::connect(&server, &Hello::timeout(400));
    let mut stream = c.into_stream();
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    stream.write_all(&1_000_000_i32.to_be_bytes()).expect("a length");
    // Each read waits 50 ms for what does not come; two hundred of them are ten seconds.
    let closed = (0..200)
        .any(|_| stream.write_all(&[0]).is_err() || matches!(stream.read(&mut [0; 64]), Ok(0)));
    assert!(closed, "the session outlived its timeout on pieces of a request");
}

/// K: the lists and paths of a multi are looked at before any of its parts (F-5).
#[test]
fn a_null_anywhere_in_a_multi_refuses_all_of_it() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let missing = (op::DELETE, bodies::numbered("/missing", -1));
    let null_path = (op::DELETE, [(-1_i32).to_be_bytes(), (-1_i32).to_be_bytes()].concat());
    assert_eq!(c.multi(&[missing.clone(), null_path]).err, err::MARSHALLING);
    let mut null_acl = bodies::create("/a", None, &[], 0);
    let count_at = null_acl.len() - 8;
    null_acl[count_at..count_at + 4].copy_from_slice(&(-1_i32).to_be_bytes());
    assert_eq!(c.multi(&[missing, (op::CREATE, null_acl)]).err, err::MARSHALLING);
    c.create("/still", b"", 0).ok();
}

/// C-131: a client that has seen nothing may say so with -1.
#[test]
fn set_watches_with_a_negative_zxid_catches_up_with_everything() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"", 0).ok();
    c.set_watches(-1, [&["/a"], &[], &["/a"]]);
    assert_eq!(c.all_fired(), [(3, "/a".to_owned()), (4, "/a".to_owned())]);
}

/// A server whose log nobody takes goes on serving, and one that cannot write its log at all too.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    for stdout in [Stdio::piped(), full().into()] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
        let address = port.expect("an address");
        let config = dir.path().join("zoo.cfg");
        let data = dir.path().join("data");
        let text = format!("dataDir={}\nclientPort={}\n", data.display(), address.port());
        std::fs::write(&config, text).expect("written");
        let mut process = Command::new(env!("CARGO_BIN_EXE_zkserver"))
            .arg("--config")
            .arg(&config)
            .stdout(stdout)
            .stderr(full())
            .spawn()
            .expect("started");
        eventually("the server serves", || TcpStream::connect(address).ok());
        // Each broken connection is a line; together far more than a pipe holds.
        for _ in 0..3000 {
            let mut stream = TcpStream::connect(address).expect("the server accepts");
            stream.write_all(&[0xff; 4]).expect("sent");
            let _ = stream.read(&mut [0; 8]);
        }
        let mut stream = TcpStream::connect(address).expect("the server accepts");
        stream.write_all(b"srvr").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("Mode: standalone"), "{answer}");
        assert!(process.try_wait().expect("its state").is_none(), "the server has ended");
        process.kill().expect("killed");
        process.wait().expect("ended");
    }
}
