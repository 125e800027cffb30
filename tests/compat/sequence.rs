//! Sequential names: the counter is the parent's, and it counts creates.

use std::collections::BTreeSet;

use crate::common::{
    RawClient, TestServer, bodies, err, eventually, flag, op, shared, skip_deviation,
};

fn sequential(c: &mut RawClient, prefix: &str) -> String {
    c.create(prefix, b"", flag::SEQUENTIAL).path()
}

/// C-079: the first child of a new parent is number zero.
#[test]
fn the_first_number_is_zero() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c079");
    assert_eq!(sequential(&mut c, &format!("{path}/s-")), format!("{path}/s-0000000000"));
}

/// C-080: the counter is shared by all prefixes of one parent.
#[test]
fn prefixes_share_the_counter() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c080");
    for (n, prefix) in ["x-", "y-", "x-", "lock-"].iter().enumerate() {
        let expected = format!("{path}/{prefix}{n:010}");
        assert_eq!(sequential(&mut c, &format!("{path}/{prefix}")), expected);
    }
}

/// C-081: a plain create advances the counter, a delete and a failed create do not.
#[test]
fn only_successful_creates_advance_the_counter() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c081");
    let prefix = format!("{path}/s-");
    c.create(&format!("{path}/plain"), b"", 0).ok();
    assert_eq!(sequential(&mut c, &prefix), format!("{prefix}0000000001"));
    c.delete(&format!("{path}/plain"), -1).ok();
    assert_eq!(c.create(&format!("{prefix}0000000001"), b"", 0).err, err::NODE_EXISTS);
    assert_eq!(sequential(&mut c, &prefix), format!("{prefix}0000000002"));
}

/// C-082: a name may be the number alone.
#[test]
fn a_name_may_be_the_number_alone() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c082");
    assert_eq!(sequential(&mut c, &format!("{path}/")), format!("{path}/0000000000"));
    assert_eq!(sequential(&mut c, &format!("{path}/..")), format!("{path}/..0000000001"));
    let missing = c.create(&format!("{path}/no/"), b"", flag::SEQUENTIAL);
    assert_eq!(missing.err, err::NO_NODE);
}

/// C-083: many clients at once get no number twice, and none is left out.
#[test]
fn concurrent_creates_get_different_numbers() {
    let server = shared();
    let mut clients: Vec<RawClient> = (0..8).map(|_| RawClient::new(&server)).collect();
    let path = clients[0].scratch("c083");
    let body = bodies::create(format!("{path}/q-"), None, &bodies::open_acl(), flag::SEQUENTIAL);
    for client in &mut clients {
        client.submit_many(50, op::CREATE, &body);
    }
    let mut by_zxid = Vec::new();
    for client in &mut clients {
        for _ in 0..50 {
            let reply = client.reply().ok();
            by_zxid.push((reply.zxid, reply.path()));
        }
    }
    by_zxid.sort();
    let expected: Vec<String> = (0..400).map(|n| format!("{path}/q-{n:010}")).collect();
    let got: Vec<String> = by_zxid.into_iter().map(|(_, path)| path).collect();
    assert_eq!(got, expected, "numbers grow in the order of zxids");
}

/// C-084: numbering goes on after a restart, from the log.
#[test]
fn numbering_continues_after_restart() {
    let mut server = TestServer::start(&[]);
    RawClient::new(&server).create("/p", b"", 0).ok();
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        let mut c = RawClient::new(&server);
        for _ in 0..3 {
            seen.insert(sequential(&mut c, "/p/s-"));
        }
        if round == 1 {
            let last = seen.last().expect("a node").clone();
            c.delete(&last, -1).ok();
        }
        server.kill();
        server.restart();
    }
    let expected: BTreeSet<String> = (0..9).map(|n| format!("/p/s-{n:010}")).collect();
    assert_eq!(seen, expected);
}

/// C-084: numbering goes on from a snapshot. The logs before it are taken away, so that nothing
/// else can tell how far the numbers were.
#[test]
fn numbering_continues_from_a_snapshot() {
    let mut server = TestServer::start(&[("snapCount", "40"), ("preAllocSize", "16")]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    let mut last = String::new();
    eventually("two snapshots that hold numbers", || {
        for _ in 0..10 {
            last = sequential(&mut c, "/p/s-");
        }
        (server.files("snapshot").len() >= 3).then_some(())
    });
    c.delete(&last, -1).ok();
    server.kill();
    let number = |name: &str| {
        let (_, hex) = name.split_once('.').expect("a zxid in the name");
        i64::from_str_radix(hex, 16).expect("hex")
    };
    let newest = server.files("snapshot").iter().map(|name| number(name)).max().expect("one");
    assert!(newest > 0);
    let mut logs = server.files("log");
    logs.sort_by_key(|name| number(name));
    let needed = logs.iter().rposition(|name| number(name) <= newest + 1).expect("a log");
    assert!(needed > 0, "a log before the snapshot: {logs:?}");
    for name in &logs[..needed] {
        std::fs::remove_file(server.version_dir().join(name)).expect("the log");
    }
    server.restart();
    let mut c = RawClient::new(&server);
    let count: u32 = last["/p/s-".len()..].parse().expect("a number");
    assert_eq!(sequential(&mut c, "/p/s-"), format!("/p/s-{:010}", count + 1));
}

/// C-085: a parent that is created again counts from zero.
#[test]
fn numbering_restarts_with_the_parent() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = format!("{}/p", c.scratch("c085"));
    for _ in 0..2 {
        c.create(&path, b"", 0).ok();
        let node = sequential(&mut c, &format!("{path}/s-"));
        assert_eq!(node, format!("{path}/s-0000000000"));
        c.delete(&node, -1).ok();
        c.delete(&path, -1).ok();
    }
}

/// C-094: flag 3 makes a node that is both.
#[test]
fn ephemeral_sequential_nodes_are_both() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c094");
    let prefix = format!("{path}/es-");
    let node = c.create(&prefix, b"", flag::EPHEMERAL_SEQUENTIAL).path();
    assert_eq!(node, format!("{path}/es-0000000000"));
    assert_eq!(c.stat(&node).ephemeral_owner, c.session());
    let (node, stat) = c.create2(&prefix, b"", flag::EPHEMERAL_SEQUENTIAL).path_stat();
    assert_eq!(node, format!("{path}/es-0000000001"));
    assert_eq!(stat.ephemeral_owner, c.session());
    c.close();
    let mut c = RawClient::new(&server);
    assert_eq!(c.get_children(&path, false).children(), Vec::<String>::new());
}

/// C-081, F-11: a sequential create on a reserved name makes its sibling.
#[test]
fn a_sequential_create_on_a_reserved_name_makes_a_sibling() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    assert_eq!(sequential(&mut c, "/"), "/0000000000");
    let sibling = sequential(&mut c, "/zookeeper/config");
    assert_eq!(sibling, "/zookeeper/config0000000000");
}

/// C-096: when the counter has reached its end, the same name comes again and is refused.
#[test]
fn the_last_number_does_not_come_twice() {
    let server = crate::recovery::server_with_cversion(i32::MAX);
    let mut c = RawClient::new(&server);
    let first = c.create("/app/end-", b"", flag::SEQUENTIAL);
    if skip_deviation("Java may give a negative number while creates are in flight") {
        return;
    }
    if first.err == 0 {
        assert_eq!(first.path(), "/app/end-2147483647");
    }
    assert_eq!(c.create("/app/end-", b"", flag::SEQUENTIAL).err, err::NODE_EXISTS);
    assert_eq!(c.ping().err, 0, "the server lives");
}
