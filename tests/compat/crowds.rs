//! Crowds at the door: more connections than descriptors, silent ones, and what they may cost.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::client::CREATED;
use crate::common::{Hello, RawClient, Setup, TestServer, bodies, eventually, op};

/// A server that may have so many descriptors; it cannot raise them itself.
fn with_descriptors(count: usize, settings: &[(&str, &str)]) -> TestServer {
    let mut setup = Setup::new(settings);
    let script = format!("ulimit -n {count}; exec \"$@\"");
    setup.launch_by(["sh", "-c", &script, "sh"].map(str::to_owned).to_vec());
    setup.start()
}

fn descriptors(server: &TestServer) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the process").count()
}

fn log_lines(server: &TestServer, what: &str) -> usize {
    server.log().lines().filter(|line| line.contains(what)).count()
}

/// Clients never get the last descriptors: while more of them come than there are, the present ones
/// are served, new log files and snapshots are written, and afterwards all is as before.
#[test]
fn clients_do_not_get_the_descriptors_that_files_need() {
    if crate::common::foreign_server() {
        return;
    }
    let server = with_descriptors(150, &[("snapCount", "20")]);
    let mut c = RawClient::new(&server);
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(server.address()).expect("the backlog takes it"));
    }
    let refused = eventually("those for whom there is no room are closed", || {
        let closed = crowd.iter_mut().filter(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
            matches!((&**stream).read(&mut [0; 1]), Ok(0))
        });
        let count = closed.count();
        (count >= 200 - 86).then_some(count)
    });
    assert!(refused < 200, "some were let in");
    assert!(descriptors(&server) < 150);
    let snapshots = server.files("snapshot").len();
    for _ in 0..100 {
        c.create("/n", b"", 0).ok();
        c.delete("/n", -1).ok();
    }
    eventually("snapshots are written", || {
        (server.files("snapshot").len() > snapshots + 1).then_some(())
    });
    assert!(server.files("log").len() > 2, "new log files are opened");
    server.log_with("ulimit -Hn");
    assert!(log_lines(&server, "connection refused") < 20, "and not for each");
    drop(crowd);
    eventually("there is room again", || {
        RawClient::try_connect(server.address(), &Hello::default())
    });
    assert_eq!(c.ping().err, 0);
}

/// Without any descriptor left the server does not spin and serves who is there; it says so once and
/// accepts again when it can.
#[test]
fn exhausted_descriptors_are_said_once_and_survived() {
    if crate::common::foreign_server() {
        return;
    }
    let base = descriptors(&with_descriptors(200, &[]));
    // So few that the server's own reserve cannot be kept.
    let server = with_descriptors(base + 6, &[("nio.sessionlessCnxnTimeout", "600000")]);
    let mut c = RawClient::new(&server);
    let crowd: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(server.address()).expect("the backlog takes it"))
        .collect();
    eventually("it is said", || {
        (log_lines(&server, "connections cannot be accepted") > 0).then_some(())
    });
    let before = cpu_ticks(&server);
    let began = Instant::now();
    // Not so many that they alone keep a processor busy.
    while began.elapsed() < Duration::from_millis(500) {
        c.set_data("/", b"x", -1).ok();
        std::thread::sleep(Duration::from_millis(5));
    }
    let spent = Duration::from_millis((cpu_ticks(&server) - before) * 10);
    println!("{spent:?} of CPU while nothing can be accepted");
    assert!(spent < Duration::from_millis(450), "{spent:?} of CPU in half a second");
    // Whoever takes care of the disk lets go of a descriptor now and then, and a client gets it.
    let said = log_lines(&server, "connections cannot be accepted");
    let again = log_lines(&server, "connections are accepted again");
    assert!((1..=again + 1).contains(&said) && said < 4, "once each time: {said}, {again}");
    drop(crowd);
    eventually("there is room again", || {
        RawClient::try_connect(server.address(), &Hello::default())
    });
    server.log_with("connections are accepted again");
    assert_eq!(c.ping().err, 0);
}

fn cpu_ticks(server: &TestServer) -> u64 {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("the process");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

/// A peer that is gone without a word: its connection goes with its session, also while bytes wait
/// for it that it will never take, and with half a request on the way.
#[test]
fn the_connection_of_a_peer_that_is_gone_ends_with_its_session() {
    let server = TestServer::start(&[("nio.sessionlessCnxnTimeout", "400")]);
    let mut c = RawClient::new(&server);
    let path = c.create("/gone", &[b'x'; 500_000], 0).ok().path();
    let before = descriptors(&server);
    let mut silent = RawClient::connect(&server, &Hello::timeout(400));
    silent.send(&bodies::frame(1, op::SET_DATA, &bodies::set_data(&path, Some(b"half"), -1))[..20]);
    let mut full = RawClient::connect(&server, &Hello::timeout(400));
    let request = bodies::frame(9, op::GET_DATA, &bodies::watched(&path, false));
    for _ in 0..300 {
        full.send(&request);
    }
    let sessionless = RawClient::tcp(server.address());
    eventually("their sockets are closed", || {
        c.ping();
        (descriptors(&server) <= before).then_some(())
    });
    drop((silent, full, sessionless));
    assert_eq!(c.stat(&path).version, 0);
}

/// `clientTcpKeepAlive` sets the option on the server's sockets, and only if asked.
#[test]
fn keep_alive_is_set_if_asked_for() {
    if crate::common::foreign_server() {
        return;
    }
    for (setting, expected) in [("true", "02"), ("false", "00")] {
        let server = TestServer::start(&[("clientTcpKeepAlive", setting)]);
        let mut c = RawClient::new(&server);
        c.ping();
        let stream = c.into_stream();
        let client = stream.local_addr().expect("an address");
        eventually("nothing is on its way", || {
            (timer(server.address(), client) == Some(expected.to_owned())).then_some(())
        });
    }
}

/// The kind of timer that runs on the socket from `local` to `peer`: 02 is keep-alive.
fn timer(local: SocketAddr, peer: SocketAddr) -> Option<String> {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).ok());
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = fields.filter(|fields| {
        fields.len() > 5 && fields[1].ends_with(&port(local)) && fields[2].ends_with(&port(peer))
    });
    Some(found.next()?[5][..2].to_owned())
}

/// A thousand connections that send garbage are closed, and do not fill the log.
#[test]
fn what_hostile_clients_do_is_not_written_each_time() {
    let server = TestServer::start(&[]);
    let foreign = crate::common::foreign_server();
    let before = if foreign { 0 } else { server.log_with("serving standalone").lines().count() };
    for _ in 0..1000 {
        let mut c = RawClient::tcp(server.address());
        c.send(&[0xff; 4]);
        c.expect_close();
    }
    if foreign {
        return;
    }
    let lines = server.log_with("withheld=").lines().count() - before;
    assert!((1..100).contains(&lines), "{lines} lines");
}

/// A client that asks for a long answer and never reads it loses its connection.
#[test]
fn an_answer_to_a_word_that_nobody_reads_is_given_up() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let long = "w".repeat(200);
    for n in 0..60_000 {
        c.submit(op::EXISTS, &bodies::watched(format!("/{n}{long}"), true));
        if n % 1000 == 999 {
            for _ in 0..1000 {
                c.reply();
            }
        }
    }
    let before = descriptors(&server);
    // A small window, so that the answer of 12 MB does not fit into the sockets.
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&server.address().into()).expect("the server accepts");
    socket.send(b"wchp").expect("sent");
    eventually("it is there", || (descriptors(&server) > before).then_some(()));
    eventually("it is closed", || {
        c.ping();
        (descriptors(&server) <= before).then_some(())
    });
    assert_eq!(server.word("ruok"), "imok");
}

/// A million watches, each on a path of its own.
const WATCHERS: usize = 10;
const WATCHES_EACH: usize = 100_000;
/// What one of them may add to the resident memory, in bytes: it does 85.
const WATCH_BYTES: u64 = 120;

/// C-142: a million watches have their budget, and who watches is told, and nobody else.
#[test]
fn a_million_watches_cost_little_and_are_delivered() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let mut watchers: Vec<RawClient> = (0..WATCHERS).map(|_| RawClient::new(&server)).collect();
    let before = server.resident_kib();
    for (n, watcher) in watchers.iter_mut().enumerate() {
        let paths: Vec<String> = (0..WATCHES_EACH).map(|i| format!("/watch-{n}-{i}")).collect();
        for some in paths.chunks(10_000) {
            let missing: Vec<&str> = some.iter().map(String::as_str).collect();
            watcher.set_watches(0, [&[], &missing, &[]]).ok();
        }
    }
    let each =
        server.resident_kib().saturating_sub(before) * 1024 / (WATCHERS * WATCHES_EACH) as u64;
    println!("{each} bytes for each of a million watches");
    if !crate::common::foreign_server() {
        assert!(each <= WATCH_BYTES, "{each} bytes for each watch");
        let counted = server.mntr("zk_watch_count").expect("the metric");
        assert_eq!(counted, (WATCHERS * WATCHES_EACH).to_string());
    }
    for i in [0, 1, WATCHES_EACH / 2, WATCHES_EACH - 1] {
        for (n, watcher) in watchers.iter_mut().enumerate() {
            let path = format!("/watch-{n}-{i}");
            c.create(&path, b"", 0).ok();
            assert_eq!(watcher.fired(), (CREATED, path));
        }
    }
    assert!(watchers.iter_mut().all(|watcher| watcher.all_fired().is_empty()), "and no more");
}
