//! Creating nodes: paths, flags, parents, replies.

use crate::common::{RawClient, TestServer, bodies, err, flag, op, shared};

/// C-036: what is created is read back, with a stat that names the transaction.
#[test]
fn a_created_node_is_read_back() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = format!("{}/n", c.scratch("c036"));
    let created = c.create(&path, b"data", flag::PERSISTENT).ok();
    assert_eq!(created.path(), path);
    let (data, stat) = c.get_data(&path, false).data();
    assert_eq!(data.as_deref(), Some(&b"data"[..]));
    for zxid in [stat.czxid, stat.mzxid, stat.pzxid] {
        assert_eq!(zxid.to_long(), created.zxid);
    }
    assert_eq!((stat.version, stat.cversion, stat.aversion), (0, 0, 0));
    assert_eq!(stat.ctime, stat.mtime);
    assert_eq!((stat.data_length, stat.num_children, stat.ephemeral_owner), (4, 0, 0));
}

/// C-037: the parent must exist.
#[test]
fn create_under_a_missing_parent_is_no_node() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c037");
    assert_eq!(c.create(&format!("{path}/a/b"), b"", 0).err, err::NO_NODE);
    assert!(!c.has(&format!("{path}/a")));
}

/// C-038: the node must not exist.
#[test]
fn create_of_an_existing_node_is_node_exists() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c038");
    assert_eq!(c.create(&path, b"other", 0).err, err::NODE_EXISTS);
    assert_eq!(c.get_data(&path, false).data().0.as_deref(), Some(&b""[..]));
}

/// C-039: an ephemeral has no children; that the node exists is found first.
#[test]
fn create_below_an_ephemeral_is_refused() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = format!("{}/e", c.scratch("c039"));
    c.create(&path, b"", flag::EPHEMERAL).ok();
    assert_eq!(c.create(&format!("{path}/x"), b"", 0).err, err::NO_CHILDREN_FOR_EPHEMERALS);
    assert_eq!(c.create(&path, b"", 0).err, err::NODE_EXISTS);
}

/// C-058: opcode 1 answers with the path, 15, 19 and 21 with path and stat.
#[test]
fn replies_have_the_shape_of_their_operation() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c058");
    assert_eq!(c.create(&format!("{path}/a"), b"x", 0).path(), format!("{path}/a"));
    let (created, stat) = c.create2(&format!("{path}/b"), b"xyz", 0).path_stat();
    assert_eq!(created, format!("{path}/b"));
    assert_eq!(stat, c.stat(&created));
    let body = bodies::create(format!("{path}/c"), None, &bodies::open_acl(), flag::CONTAINER);
    let (created, stat) = c.call(op::CREATE_CONTAINER, &body).path_stat();
    assert_eq!(stat, c.stat(&created));
    let body =
        bodies::create_ttl(format!("{path}/d"), None, &bodies::open_acl(), flag::TTL, 90_000);
    let (created, stat) = c.call(op::CREATE_TTL, &body).path_stat();
    assert_eq!(stat, c.stat(&created));
}

const BAD: [&str; 14] = [
    "",
    "a",
    "a/b",
    "//",
    "/a//b",
    "/a/",
    "/.",
    "/..",
    "/a/./b",
    "/a/../b",
    "/a\u{1}",
    "/a\u{7f}",
    "/a\u{9f}",
    "/a\u{e000}",
];

/// C-059: paths that break a rule are bad arguments to every write.
#[test]
fn invalid_paths_are_bad_arguments() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"", 0).ok();
    for path in BAD {
        let set = c.set_data(path, b"", -1).err;
        assert_eq!(set, err::BAD_ARGUMENTS, "setData {path:?}");
        let set = c.set_acl(path, &bodies::open_acl(), -1).err;
        assert_eq!(set, err::BAD_ARGUMENTS, "setACL {path:?}");
        // The parent is looked up first, so a missing one is told instead.
        let create = c.create(path, b"", 0).err;
        let parent_missing = matches!(path, "a/b" | "/a//b" | "/a/./b" | "/a/../b");
        let expected = if parent_missing { err::NO_NODE } else { err::BAD_ARGUMENTS };
        assert_eq!(create, expected, "create {path:?}");
    }
    assert_eq!(c.create("/missing/", b"", 0).err, err::NO_NODE);
}

/// C-059: null paths of writes.
#[test]
fn null_paths_of_writes_are_told_apart() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let null = |body: Vec<u8>| {
        let mut out = (-1i32).to_be_bytes().to_vec();
        out.extend_from_slice(&body[4..]);
        out
    };
    let create = null(bodies::create("", Some(b""), &bodies::open_acl(), 0));
    assert_eq!(c.call(op::CREATE, &create).err, err::MARSHALLING);
    assert_eq!(c.call(op::DELETE, &null(bodies::numbered("", -1))).err, err::MARSHALLING);
    let set = null(bodies::set_data("", Some(b""), -1));
    assert_eq!(c.call(op::SET_DATA, &set).err, err::BAD_ARGUMENTS);
    assert_eq!(c.ping().err, 0);
}

/// C-060: characters outside the basic plane are two surrogates to Java, and refused.
#[test]
fn an_emoji_in_a_path_is_refused() {
    let server = shared();
    let mut c = RawClient::new(&server);
    assert_eq!(c.create("/😀", b"", 0).err, err::BAD_ARGUMENTS);
}

/// C-292: bytes that are no UTF-8 are refused by writes and not found by reads.
#[test]
fn bytes_that_are_no_text_are_refused_and_harm_nobody() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = b"/\xff\xfe";
    let create = bodies::create(path, Some(b""), &bodies::open_acl(), 0);
    assert_eq!(c.call(op::CREATE, &create).err, err::BAD_ARGUMENTS);
    assert_eq!(c.call(op::GET_DATA, &bodies::watched(path, false)).err, err::NO_NODE);
    assert_eq!(c.call(op::DELETE, &bodies::numbered(path, -1)).err, err::NO_NODE);
    assert_eq!(c.ping().err, 0);
}

/// C-061: spaces, accents, CJK and leading dots are fine.
#[test]
fn unusual_names_work() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c061");
    let mut names = vec!["a b", "é", "中文", "...", "..a", ".a", "a.", "-", "\u{a0}"];
    for name in &names {
        let full = format!("{path}/{name}");
        assert_eq!(c.create(&full, name.as_bytes(), 0).path(), full);
        assert_eq!(c.get_data(&full, false).data().0.unwrap(), name.as_bytes());
    }
    names.sort_unstable();
    assert_eq!(c.get_children(&path, false).children(), names);
}

/// C-065: nodes may live under the root and under /zookeeper.
#[test]
fn nodes_can_be_created_under_the_reserved_ones() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for path in ["/x", "/zookeeper/x", "/zookeeper/quota/x"] {
        assert_eq!(c.create(path, b"", 0).path(), path);
        assert_eq!(c.delete(path, -1).err, 0);
    }
}

/// C-067: the root exists.
#[test]
fn create_of_the_root_is_node_exists() {
    let server = shared();
    assert_eq!(RawClient::new(&server).create("/", b"", 0).err, err::NODE_EXISTS);
}

/// C-068: flags that name no mode.
#[test]
fn unknown_flags_are_bad_arguments() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c068");
    for flags in [7, -1, 8, i32::MAX, i32::MIN] {
        assert_eq!(c.create(&format!("{path}/n"), b"", flags).err, err::BAD_ARGUMENTS, "{flags}");
        assert_eq!(c.create2(&format!("{path}/n"), b"", flags).err, err::BAD_ARGUMENTS, "{flags}");
    }
    assert_eq!(c.stat(&path).num_children, 0);
}

/// C-069: the container flag means nothing outside its own operation.
#[test]
fn the_container_flag_alone_makes_a_persistent_node() {
    let server = TestServer::start(&[("znode.container.checkIntervalMs", "50")]);
    let mut c = RawClient::new(&server);
    c.create("/plain", b"", flag::CONTAINER).ok();
    c.create2("/plain2", b"", flag::CONTAINER).ok();
    let body = bodies::create("/container", None, &bodies::open_acl(), flag::CONTAINER);
    c.call(op::CREATE_CONTAINER, &body).ok();
    for path in ["/plain", "/plain2", "/container"] {
        c.create(&format!("{path}/child"), b"", 0).ok();
        c.delete(&format!("{path}/child"), -1).ok();
    }
    // The sweep that takes the container has looked at the others as well.
    crate::common::eventually("the container goes", || (!c.has("/container")).then_some(()));
    assert!(c.has("/plain") && c.has("/plain2"));
}

/// C-070: a TTL flag without a TTL.
#[test]
fn ttl_flags_need_their_own_operation() {
    let server = shared();
    let mut c = RawClient::new(&server);
    for flags in [flag::TTL, flag::TTL_SEQUENTIAL] {
        assert_eq!(c.create("/ttl-", b"", flags).err, err::BAD_ARGUMENTS);
        assert_eq!(c.create2("/ttl-", b"", flags).err, err::BAD_ARGUMENTS);
    }
}

/// C-072: a failed write consumes a zxid, and its reply carries it.
#[test]
fn failed_writes_consume_a_zxid() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    assert_eq!(c.ping().zxid, 1);
    assert_eq!(c.create("/a/b", b"", 0).zxid, 2);
    assert_eq!(c.delete("/a", -1).zxid, 3);
    assert_eq!(c.set_data("/a", b"", -1).zxid, 4);
    assert_eq!(c.set_acl("/a", &bodies::open_acl(), -1).zxid, 5);
    assert_eq!(c.create("/a", b"", 99).zxid, 6);
    assert_eq!(c.get_data("/a", false).zxid, 6, "a read consumes none");
    assert_eq!(c.create("/a", b"", 0).zxid, 7);
}

/// C-073: a node that is created again is a new one.
#[test]
fn a_recreated_node_starts_afresh() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = format!("{}/n", c.scratch("c073"));
    let first = c.create(&path, b"", 0).ok().zxid;
    c.set_data(&path, b"x", -1).ok();
    c.create(&format!("{path}/child"), b"", 0).ok();
    c.delete(&format!("{path}/child"), -1).ok();
    c.delete(&path, -1).ok();
    let second = c.create(&path, b"", 0).ok().zxid;
    let stat = c.stat(&path);
    assert!(second > first);
    assert_eq!(stat.czxid.to_long(), second);
    assert_eq!((stat.version, stat.cversion), (0, 0));
}

/// C-077: a thousand levels work.
#[test]
fn deep_trees_work() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let mut path = c.scratch("c077");
    let top = path.clone();
    let xids: Vec<i32> = (0..1000)
        .map(|_| {
            path.push_str("/d");
            c.submit(op::CREATE, &bodies::create(&path, Some(b""), &bodies::open_acl(), 0))
        })
        .collect();
    for xid in xids {
        let reply = c.reply().ok();
        assert_eq!(reply.xid, xid);
    }
    assert!(c.has(&path));
    assert_eq!(c.call(op::GET_ALL_CHILDREN_NUMBER, &bodies::path(&top)).number(), 1000);
}
