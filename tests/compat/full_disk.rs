//! A disk without room: the process ends at once and says why, and nothing that was acknowledged
//! is lost once there is room again.
//!
//! Only root can mount the small disks that most of these tests need. For anybody else, and where mounting
//! is forbidden, they say that they were skipped, and have shown nothing.

use std::process::Command;

use crate::common::small_disk::SmallDisk;
use crate::common::{Message, RawClient, Setup, TestServer, bodies, eventually, op};

/// The disk, or `None` and a line that says why the test is skipped.
fn disk_or_skip(disk: Result<SmallDisk, String>) -> Option<SmallDisk> {
    disk.inspect_err(|why| println!("skipped: {why}")).ok()
}

/// A server with its data on that disk.
fn setup_on(disk: &SmallDisk, settings: &[(&str, &str)]) -> Setup {
    let mut setup = Setup::new(settings);
    setup.set("dataDir", &disk.dir().display().to_string());
    setup.set("preAllocSize", "64");
    setup.launch_by(disk.launcher());
    setup
}

/// Writes nodes of 20,000 bytes until the server is gone; how many were acknowledged.
fn write_until_the_end(server: &TestServer) -> usize {
    let mut client = RawClient::new(server);
    client.lenient = true;
    let mut sender = client.sender();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            (0..).all(|n| {
                let create = bodies::create(path(n), Some(&data(n)), &bodies::open_acl(), 0);
                sender.try_send(&bodies::frame(n as i32, op::CREATE, &create))
            })
        });
        let mut acknowledged = 0;
        while let Some(frame) = client.frame() {
            let Message::Reply(reply) = Message::read(&frame) else { panic!("an event") };
            assert_eq!((reply.xid, reply.err), (acknowledged as i32, 0));
            acknowledged += 1;
        }
        acknowledged
    })
}

fn path(n: usize) -> String {
    format!("/n{n}")
}

fn data(n: usize) -> Vec<u8> {
    vec![n as u8; 20_000]
}

/// Waits for the process to end by itself; its exit code and all it said.
#[track_caller]
fn end_of(server: &mut TestServer) -> (Option<i32>, String) {
    let status = eventually("the process ends", || server.exited());
    (status.code(), server.log())
}

/// The acknowledged nodes are there, and writing goes on.
#[track_caller]
fn assert_nothing_lost(server: &TestServer, acknowledged: usize) {
    let mut client = RawClient::new(server);
    for n in 0..acknowledged {
        let read = client.get_data(&path(n), false).ok().data().0;
        assert!(read == Some(data(n)), "node {n} of {acknowledged}");
    }
    client.create("/room-again", b"", 0).ok();
    assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
}

/// C-254: no room for the log.
#[test]
fn a_full_disk_under_the_log_ends_the_process() {
    let Some(disk) = disk_or_skip(SmallDisk::new(4 << 10)) else { return };
    let mut server = setup_on(&disk, &[]).start();
    let acknowledged = write_until_the_end(&server);
    let (code, log) = end_of(&mut server);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("No space left on device") && log.contains("log.1"), "{log}");
    assert!((100..210).contains(&acknowledged), "{acknowledged} of 20 KB on a disk of 4 MiB");
    disk.resize(64 << 10);
    server.restart();
    assert_nothing_lost(&server, acknowledged);
}

/// C-252: the writes seem to succeed, and a sync says that they did not. Nothing of that batch is
/// acknowledged, no sync is tried again, and what was acknowledged before is there afterwards.
#[test]
fn a_failed_sync_of_the_log_ends_the_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shim = dir.path().join("failing_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/failing_sync.c");
    let mut compiled = Command::new("cc");
    compiled.args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(source);
    // Whoever can link this test has a C compiler; another libc may lack the symbol to wrap.
    assert!(compiled.arg("-ldl").status().expect("cc runs").success());
    for after in [3, 10, 40] {
        let mut setup = Setup::new(&[("preAllocSize", "0")]);
        setup.launch_by(vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", shim.display()),
            format!("FAIL_SYNC_AFTER={after}"),
        ]);
        let mut server = setup.start();
        let mut client = RawClient::new(&server);
        client.lenient = true;
        let mut acknowledged = 0;
        // One write at a time: each has a sync of its own.
        loop {
            let create = bodies::create(
                path(acknowledged),
                Some(&data(acknowledged)),
                &bodies::open_acl(),
                0,
            );
            if !client.try_send(&bodies::frame(1, op::CREATE, &create)) {
                break;
            }
            let Some(frame) = client.frame() else { break };
            let Message::Reply(reply) = Message::read(&frame) else { panic!("an event") };
            assert_eq!(reply.err, 0);
            acknowledged += 1;
            assert!(acknowledged < 100, "a write is acknowledged whose sync has failed");
        }
        let (code, log) = end_of(&mut server);
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("sync") && log.contains("log.1"), "{log}");
        assert!(acknowledged < after, "{acknowledged} writes, {after} syncs that succeeded");
        server.launch_plainly();
        server.restart();
        assert_nothing_lost(&server, acknowledged);
    }
}

/// C-253: no room for a snapshot. What was begun does not look like one.
#[test]
fn a_full_disk_under_snapshots_ends_the_process() {
    let Some(disk) = disk_or_skip(SmallDisk::new(1 << 10)) else { return };
    let mut setup = setup_on(&disk, &[("snapCount", "200")]);
    let logs = setup.data_dir().display().to_string();
    setup.set("dataLogDir", &logs);
    let mut server = setup.start();
    let acknowledged = write_until_the_end(&server);
    let (code, log) = end_of(&mut server);
    assert_eq!(code, Some(10), "{log}");
    assert!(log.contains("No space left on device") && log.contains("snapshot"), "{log}");
    assert!(acknowledged * 20_000 > 1 << 20, "{acknowledged} of 20 KB");
    let mut files = disk.names("version-2");
    files.retain(|name| name.starts_with("snapshot"));
    assert_eq!(files, ["snapshot.0"]);
    disk.resize(64 << 10);
    server.restart();
    assert_nothing_lost(&server, acknowledged);
}
