//! Restart: what was acknowledged is there, and what is on disk is looked at before it is used.

use zkserver::jute::Writer;
use zkserver::proto::acl::write_acl_vector;

use crate::common::{
    Hello, RawClient, Setup, TestServer, bodies, eventually, flag, golden, op, skip_deviation,
};

/// A log file with one transaction of this type and body behind the captured directory's last.
fn server_with_record(txn_type: i32, body: &[u8]) -> TestServer {
    let setup = Setup::new(&[("extendedTypesEnabled", "true")])
        .with_files_of(&golden::path("standalone-3.9/version-2"));
    let mut record = Vec::new();
    record.put_long(0x100_002a_b59c_0000);
    record.put_int(0);
    record.put_long(0x62);
    record.put_long(1_795_289_300_000);
    record.put_int(txn_type);
    record.extend_from_slice(body);
    let mut adler = simd_adler32::Adler32::new();
    adler.write(&record);
    let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    file.put_long(i64::from(adler.finish()));
    file.put_buffer(Some(&record));
    file.push(b'B');
    std::fs::write(setup.version_dir().join("log.62"), file).expect("the log");
    setup.start()
}

/// A server whose `/app` has this version.
pub fn server_with_version(version: i32) -> TestServer {
    server_with_record(op::SET_DATA, &bodies::set_data("/app", Some(b"x"), version))
}

/// A server under whose `/app` that many nodes were created.
pub fn server_with_cversion(cversion: i32) -> TestServer {
    let mut body = Vec::new();
    body.put_ustring(b"/app/crafted");
    body.put_buffer(None);
    write_acl_vector(&bodies::open_acl(), &mut body);
    body.put_bool(false);
    body.put_int(cversion);
    server_with_record(op::CREATE, &body)
}

/// C-239: kill -9 behind an acknowledged write: the write is there.
#[test]
fn acknowledged_writes_survive_kill_9() {
    let mut server = TestServer::start(&[]);
    for round in 0..5 {
        let mut c = RawClient::new(&server);
        let path = format!("/r{round}");
        c.create(&path, b"", 0).ok();
        for n in 0..20 {
            c.create(&format!("{path}/{n}"), b"data", 0).ok();
        }
        c.set_data(&path, b"last", 0).ok();
        c.delete(&format!("{path}/7"), 0).ok();
        let zxid = c.ping().zxid;
        server.kill();
        server.restart();
        assert_eq!(server.zxid(), zxid);
        let mut c = RawClient::new(&server);
        for earlier in 0..=round {
            let path = format!("/r{earlier}");
            let (data, stat) = c.get_data(&path, false).ok().data();
            assert_eq!(
                (data.unwrap(), stat.num_children, stat.cversion),
                (b"last".to_vec(), 19, 21)
            );
            assert!(!c.has(&format!("{path}/7")));
        }
    }
}

/// C-239: every stat is the same after a restart, from the log and from a snapshot.
#[test]
fn stats_are_the_same_after_a_restart() {
    let mut server = TestServer::start(&[("snapCount", "40"), ("extendedTypesEnabled", "true")]);
    let mut c = RawClient::connect(&server, &Hello::timeout(60_000));
    let mut paths = vec!["/".to_owned(), "/zookeeper".into(), "/zookeeper/config".into()];
    for n in 0..30 {
        let flags = [0, flag::EPHEMERAL, flag::SEQUENTIAL][n % 3];
        paths.push(c.create(&format!("/n{n}"), &vec![b'x'; n], flags).path());
        if n % 3 != 1 {
            let parent = paths.last().expect("a path").clone();
            for _ in 0..n {
                c.create(&format!("{parent}/s-"), b"", flag::SEQUENTIAL).ok();
            }
            c.set_data(&parent, b"", -1).ok();
            c.set_acl(&parent, &bodies::open_acl(), -1).ok();
        }
    }
    c.set_data("/", b"root", -1).ok();
    let before: Vec<_> = paths.iter().map(|path| c.stat(path)).collect();
    for _ in 0..2 {
        server.kill();
        server.restart();
        let mut c = RawClient::new(&server);
        for (path, stat) in paths.iter().zip(&before) {
            assert_eq!(c.stat(path), *stat, "{path}");
        }
        assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
    }
}

/// C-239: SIGTERM, too.
#[test]
fn a_polite_stop_loses_nothing() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for n in 0..100 {
        c.create(&format!("/n{n}"), b"", 0).ok();
    }
    let zxid = c.ping().zxid;
    server.terminate();
    server.restart();
    assert_eq!(server.zxid(), zxid);
    assert_eq!(RawClient::new(&server).stat("/").num_children, 101);
}

/// C-246: an empty directory starts empty, and leaves a snapshot of that.
#[test]
fn an_empty_directory_starts_empty() {
    let server = TestServer::start(&[]);
    assert_eq!(server.zxid(), 0);
    assert_eq!(server.files("snapshot"), ["snapshot.0"]);
    let mut c = RawClient::new(&server);
    assert_eq!(c.get_children("/", false).children(), ["zookeeper"]);
}

/// C-239: the data directory is made where there is none.
#[test]
fn a_missing_data_directory_is_made() {
    let setup = Setup::new(&[]);
    std::fs::remove_dir(setup.data_dir()).expect("the empty directory");
    let server = setup.start();
    assert!(server.version_dir().is_dir());
}

/// C-259: the log rolls, snapshots are written, and all of it is read again.
#[test]
fn the_log_rolls_and_snapshots_are_written() {
    let mut server = TestServer::start(&[("snapCount", "200"), ("preAllocSize", "64")]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    let mut n = 0;
    eventually("three snapshots beside the first", || {
        for _ in 0..50 {
            n += 1;
            let body = bodies::create(format!("/p/{n}"), Some(b"x"), &bodies::open_acl(), 0);
            c.submit(op::CREATE, &body);
        }
        c.take_ok(50);
        (server.files("snapshot").len() >= 4).then_some(())
    });
    assert!(server.files("log").len() >= 3, "{:?}", server.files("log"));
    for _ in 0..2 {
        server.kill();
        server.restart();
        assert_eq!(RawClient::new(&server).stat("/p").num_children, n);
        assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
    }
}

/// The unfinished snapshot, if one is being written: its name when it is finished.
fn snapshot_under_way(server: &TestServer) -> Option<String> {
    let name = server.files("tmp.snapshot.").pop()?;
    Some(name["tmp.".len()..].to_owned())
}

/// C-257: while a snapshot is written, writes are made and acknowledged: ten, one after the other,
/// each asked for and answered while the same file was unfinished and shorter than at its end.
#[test]
fn writes_go_on_while_a_snapshot_is_written() {
    if skip_deviation("Java writes a snapshot under its final name") {
        return;
    }
    const NODES: usize = 200_000;
    const PER_MULTI: usize = 1000;
    // A multi is one transaction: no snapshot is due before the tree is large.
    let server = TestServer::start(&[("snapCount", "1000")]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    for group in 0..NODES / PER_MULTI {
        let create = |n| {
            let path = format!("/p/{group}-{n}");
            (op::CREATE, bodies::create(path, Some(&[b'x'; 100]), &bodies::open_acl(), 0))
        };
        let parts: Vec<_> = (0..PER_MULTI).map(create).collect();
        c.submit(op::MULTI, &bodies::multi(&parts));
    }
    c.take_ok(NODES / PER_MULTI);
    assert_eq!(server.files("snapshot"), ["snapshot.0"]);

    let version_dir = server.version_dir();
    let length = |name: String| std::fs::metadata(version_dir.join(name)).map(|meta| meta.len());
    // A machine that is slow to run this thread may miss most of one snapshot: the next will do.
    eventually("ten writes during one snapshot", || {
        let Some(name) = snapshot_under_way(&server) else {
            c.submit_many(20, op::SET_DATA, &bodies::set_data("/p", None, -1));
            c.take_ok(20);
            return None;
        };
        // How long the unfinished file was when a write was acknowledged.
        let mut lengths = Vec::new();
        loop {
            c.set_data("/p", b"during", -1).ok();
            let Ok(length) = length(format!("tmp.{name}")) else { break };
            lengths.push(length);
        }
        let end = length(name).expect("the finished snapshot");
        let during = lengths.iter().filter(|length| **length < end).count();
        (during >= 10).then_some(())
    });
}

/// C-259: a log of limited size rolls by size.
#[test]
fn the_log_rolls_by_size() {
    let server = TestServer::start(&[("txnLogSizeLimitInKb", "100"), ("preAllocSize", "16")]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    for _ in 0..40 {
        c.set_data("/p", &[7; 10_000], -1).ok();
    }
    assert!(server.files("log").len() >= 3, "{:?}", server.files("log"));
}

/// C-259: a size limit of 0 is none, and does not end the server at its first write (N-12).
#[test]
fn a_snapshot_size_limit_of_zero_is_no_trap() {
    if skip_deviation("Java's sync thread dies of a division by zero") {
        return;
    }
    let mut server = TestServer::start(&[("snapSizeLimitInKb", "0")]);
    let mut c = RawClient::new(&server);
    for n in 0..100 {
        c.create(&format!("/n{n}"), &[7; 10_000], 0).ok();
    }
    assert_eq!(server.files("snapshot"), ["snapshot.0"], "no size makes a snapshot due");
    assert_eq!(server.exited(), None);
}

/// C-255: the file names are Apache ZooKeeper's: a log is named by its first zxid.
#[test]
fn logs_are_named_by_their_first_zxid() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for n in 0..15 {
        c.create(&format!("/n{n}"), b"", 0).ok();
    }
    assert_eq!(server.files("log"), ["log.1"]);
    server.kill();
    server.restart();
    RawClient::new(&server);
    assert_eq!(server.files("log"), ["log.1", "log.11"]);
}

/// C-263: a second server on the same directory refuses to start.
#[test]
fn a_second_server_on_the_same_directory_refuses() {
    if skip_deviation("Java has no lock") {
        return;
    }
    let server = TestServer::start(&[]);
    let mut second = Setup::new(&[]);
    second.set("dataDir", &server.data_dir().display().to_string());
    let refusal = second.refusal();
    assert_ne!(refusal.code, Some(0));
    assert!(refusal.log.contains("another server is using the directory"), "{refusal:?}");
    assert_eq!(RawClient::new(&server).ping().err, 0, "the first one serves on");
}

/// C-263: the lock ends with its process, however that ends.
#[test]
fn a_killed_server_leaves_no_lock() {
    let mut server = TestServer::start(&[]);
    for _ in 0..5 {
        server.kill();
        server.restart();
    }
    assert_eq!(RawClient::new(&server).ping().err, 0);
}

/// C-256: purge keeps what a start from the oldest kept snapshot needs.
#[test]
fn what_purge_leaves_is_enough() {
    let mut server = TestServer::start(&[
        ("snapCount", "20"),
        ("preAllocSize", "16"),
        ("autopurge.snapRetainCount", "3"),
    ]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    let mut n = 0;
    eventually("many snapshots", || {
        for _ in 0..10 {
            c.create("/p/s-", b"", flag::SEQUENTIAL).ok();
            n += 1;
        }
        (server.files("snapshot").len() > 8).then_some(())
    });
    server.kill();
    // The purge task runs at the start when an interval is set.
    server.set("autopurge.purgeInterval", "1");
    server.restart();
    eventually("three snapshots are left", || (server.files("snapshot").len() <= 4).then_some(()));
    assert!(server.files("snapshot").len() >= 3);
    server.kill();
    // The oldest of the kept ones must do.
    let mut snapshots = server.files("snapshot");
    snapshots.sort_by_key(|name| i64::from_str_radix(&name["snapshot.".len()..], 16).expect("hex"));
    for name in &snapshots[1..] {
        std::fs::remove_file(server.version_dir().join(name)).expect("a snapshot");
    }
    server.set("autopurge.purgeInterval", "0");
    server.restart();
    assert_eq!(RawClient::new(&server).stat("/p").num_children, n);
}
