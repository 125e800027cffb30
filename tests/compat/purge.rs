//! Old files: which are removed when the file does not say so, and what is told of the disk.

use crate::common::{RawClient, Setup, TestServer, eventually, flag, golden, skip_deviation};

/// A server that snapshots all the time and was not told whether to purge.
fn unasked(settings: &[(&str, &str)]) -> Setup {
    let mut setup = Setup::new(&[("snapCount", "20"), ("preAllocSize", "16")]);
    setup.unset("autopurge.purgeInterval");
    for (key, value) in settings {
        setup.set(key, value);
    }
    setup
}

/// Creates nodes below `/p`, which is there, until `until` says that it is enough; how many.
fn create_until(server: &TestServer, what: &str, until: impl Fn() -> bool) -> i32 {
    let mut c = RawClient::new(server);
    let mut created = 0;
    eventually(what, || {
        for _ in 0..10 {
            c.create("/p/s-", b"", flag::SEQUENTIAL).ok();
            created += 1;
        }
        until().then_some(())
    });
    created
}

/// The zxids in the names of the files of one kind.
fn zxids(server: &TestServer, kind: &str) -> Vec<i64> {
    let hex = |name: &String| i64::from_str_radix(name.split('.').nth(1).expect("a zxid"), 16);
    server.files(kind).iter().map(|name| hex(name).expect("a zxid")).collect()
}

/// The zxid of the newest snapshot.
fn newest(server: &TestServer) -> i64 {
    zxids(server, "snapshot").into_iter().max().expect("a snapshot")
}

/// Waits until there are three snapshots, and one log that begins before them.
#[track_caller]
fn await_purged(server: &TestServer) {
    eventually("what is not needed is gone", || {
        let (snapshots, logs) = (zxids(server, "snapshot"), zxids(server, "log"));
        let oldest = snapshots.iter().min().expect("a snapshot");
        let before = logs.iter().filter(|first| *first <= oldest).count();
        (snapshots.len() == 3 && before == 1).then_some(())
    });
}

/// Waits until the server has listed what it wrote; it does so a moment later.
#[track_caller]
fn await_listed(server: &TestServer) {
    eventually("all is listed", || {
        let list = std::fs::read_to_string(server.version_dir().join("zkserver.files")).ok()?;
        let files = [server.files("snapshot"), server.files("log")].concat();
        files.iter().all(|name| list.lines().any(|line| line == name)).then_some(())
    });
}

/// C-256: unasked, a server removes what is old and its own, and starts from what is left.
#[test]
fn unasked_a_server_removes_its_own_old_files() {
    if skip_deviation("Java removes nothing unasked") {
        return;
    }
    for method in ["", "gz", "snappy"] {
        let mut server = unasked(&[("snapshot.compression.method", method)]).start();
        RawClient::new(&server).create("/p", b"", 0).ok();
        let mut created = create_until(&server, "many snapshots", || newest(&server) > 200);
        await_purged(&server);
        server.log_with("autopurge.purgeInterval=0 keeps everything");
        for _ in 0..2 {
            await_listed(&server);
            server.kill();
            server.restart();
            assert_eq!(RawClient::new(&server).stat("/p").num_children, created);
            let before = newest(&server);
            created += create_until(&server, "more", || newest(&server) > before + 100);
        }
        await_purged(&server);
    }
}

/// C-256: unasked, nothing goes that was there before, or that somebody else wrote since.
#[test]
fn unasked_a_server_leaves_what_others_wrote() {
    if skip_deviation("Java removes nothing unasked") {
        return;
    }
    let settings = [("extendedTypesEnabled", "true")];
    let setup = unasked(&settings).with_files_of(&golden::path("standalone-3.9/version-2"));
    let mut server = setup.start();
    let theirs = ["log.1", "log.42", "snapshot.0", "snapshot.41"].map(str::to_owned);
    let all_there = |server: &TestServer| {
        let there = [server.files("log"), server.files("snapshot")].concat();
        assert!(theirs.iter().all(|name| there.contains(name)), "{there:?}");
    };
    RawClient::new(&server).create("/p", b"", 0).ok();
    create_until(&server, "many snapshots", || newest(&server) > 0x61 + 200);
    eventually("ours are few", || (server.files("snapshot").len() <= 5).then_some(()));
    all_there(&server);
    server.log_with("; 4 that others wrote stay for ever; ");
    server.terminate();
    // Somebody else has it for a while, and takes a snapshot.
    let zxid = newest(&server);
    let at = |zxid: i64| server.version_dir().join(format!("snapshot.{zxid:x}"));
    let foreign = at(zxid - 1);
    std::fs::copy(at(zxid), &foreign).expect("a snapshot");
    server.restart();
    create_until(&server, "more", || newest(&server) > zxid + 100);
    eventually("ours are few", || (server.files("snapshot").len() <= 6).then_some(()));
    all_there(&server);
    assert!(foreign.exists());
    // Asked to, it removes whatever is old.
    server.terminate();
    server.set("autopurge.purgeInterval", "1d");
    server.restart();
    await_purged(&server);
    assert!(!foreign.exists());
}

/// The room on the disk is told, and it is warned of in time.
#[test]
fn the_room_on_the_disk_is_watched() {
    if skip_deviation("Java does not look") {
        return;
    }
    let figure = |server: &TestServer, name: &str| -> Option<u64> {
        server.mntr(&format!("zk_{name}")).map(|value| value.parse().expect("a number"))
    };
    let server = TestServer::start(&[("diskReserveInMb", "0")]);
    let free = eventually("it was looked at", || figure(&server, "data_dir_free_bytes"));
    assert!(free > 0);
    assert!(figure(&server, "data_log_dir_free_bytes").is_some());
    assert_eq!(figure(&server, "disk_reserve_reached"), Some(0));

    let server = TestServer::start(&[("diskReserveInMb", "4000000000")]);
    eventually("it is short", || (figure(&server, "disk_reserve_reached")? == 1).then_some(()));
    eventually("it is said", || {
        server.log().contains("less than the reserve of 4000000000 MiB").then_some(())
    });
}
