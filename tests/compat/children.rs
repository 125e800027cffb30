//! Children: their lists, and what they do to their parent's stat.

use crate::common::{RawClient, TestServer, bodies, err, flag, op, shared};

/// C-049: names, not paths; and a leaf has an empty list.
#[test]
fn children_are_names_and_a_leaf_has_none() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c049");
    assert_eq!(c.get_children(&path, false).children(), Vec::<String>::new());
    for name in ["b", "a", "c"] {
        c.create(&format!("{path}/{name}"), b"", 0).ok();
    }
    c.create(&format!("{path}/a/deep"), b"", 0).ok();
    assert_eq!(c.get_children(&path, false).children(), ["a", "b", "c"]);
    assert!(c.get_children("/", false).children().contains(&"zookeeper".to_owned()));
    assert_eq!(c.get_children(&format!("{path}/x"), false).err, err::NO_NODE);
}

/// C-050: getChildren2's stat belongs to its list.
#[test]
fn the_stat_of_get_children2_fits_the_list() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c050");
    for n in 0..5 {
        c.create(&format!("{path}/{n}"), b"", 0).ok();
        let (names, stat) = c.get_children2(&path, false).children_stat();
        assert_eq!(names.len(), n + 1);
        assert_eq!(stat.num_children as usize, names.len());
        assert_eq!(stat, c.stat(&path));
    }
    assert_eq!(c.get_children2(&format!("{path}/x"), false).err, err::NO_NODE);
}

/// C-051, C-052, C-053: a child's create and delete count in the parent's cversion and set its
/// pzxid; nothing else of the parent moves.
#[test]
fn children_move_their_parents_cversion_and_pzxid_only() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c051");
    let first = c.stat(&path);
    let mut zxid = 0;
    for step in 1..=6 {
        let child = format!("{path}/x");
        let reply = if step % 2 == 1 { c.create(&child, b"", 0) } else { c.delete(&child, -1) };
        zxid = reply.ok().zxid;
        let stat = c.stat(&path);
        assert_eq!(stat.cversion, first.cversion + step);
        assert_eq!(stat.pzxid.to_long(), zxid);
        assert_eq!(stat.num_children, step % 2);
        assert_eq!(
            (stat.version, stat.mzxid, stat.mtime),
            (first.version, first.mzxid, first.mtime)
        );
    }
    c.create(&format!("{path}/y"), b"", 0).ok();
    let before = c.stat(&path);
    c.create(&format!("{path}/y/z"), b"", 0).ok();
    c.set_data(&format!("{path}/y"), b"x", -1).ok();
    assert_eq!(c.stat(&path), before, "grandchildren and a child's data do not count");
    assert!(before.pzxid.to_long() > zxid);
}

/// C-052: the deletion of several ephemerals by their session's end sets pzxid too.
#[test]
fn a_sessions_end_sets_the_parents_pzxid() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c052");
    let mut other = RawClient::new(&server);
    for name in ["a", "b", "c"] {
        other.create(&format!("{path}/{name}"), b"", flag::EPHEMERAL).ok();
    }
    let closed = other.call(op::CLOSE_SESSION, &[]).ok().zxid;
    let stat = c.stat(&path);
    assert_eq!((stat.pzxid.to_long(), stat.num_children, stat.cversion), (closed, 0, 6));
}

/// C-054: numChildren follows every kind of change.
#[test]
fn the_number_of_children_is_right() {
    let server = TestServer::start(&[("extendedTypesEnabled", "true")]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    let mut expected = 0;
    for (name, flags) in [("a", 0), ("e", 1), ("s", 2), ("es", 3)] {
        c.create(&format!("/p/{name}"), b"", flags).ok();
        expected += 1;
        assert_eq!(c.stat("/p").num_children, expected);
    }
    assert_eq!(c.create("/p/a", b"", 0).err, err::NODE_EXISTS);
    assert_eq!(c.stat("/p").num_children, expected);
    c.delete("/p/a", -1).ok();
    assert_eq!(c.stat("/p").num_children, expected - 1);
    let parts = [
        (op::CREATE, bodies::create("/p/m", None, &bodies::open_acl(), 0)),
        (op::DELETE, bodies::numbered("/p/e", -1)),
        (op::CREATE, bodies::create("/p/n", None, &bodies::open_acl(), 0)),
    ];
    c.multi(&parts).ok();
    assert_eq!(c.stat("/p").num_children, expected);
}

/// C-077: a hundred thousand children of one node, listed in one reply.
#[test]
fn many_children_of_one_node_work() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/p", b"", 0).ok();
    const TOTAL: usize = 100_000;
    const CHUNK: usize = 5_000;
    for chunk in 0..TOTAL / CHUNK {
        let mut frames = Vec::new();
        for n in chunk * CHUNK..(chunk + 1) * CHUNK {
            let create = bodies::create(format!("/p/{n:06}"), None, &bodies::open_acl(), 0);
            frames.extend(bodies::frame(n as i32, op::CREATE, &create));
        }
        c.send(&frames);
        if chunk > 0 {
            c.take_ok(CHUNK);
        }
    }
    c.take_ok(CHUNK);
    let (names, stat) = c.get_children2("/p", false).children_stat();
    assert_eq!((names.len(), stat.num_children as usize), (TOTAL, TOTAL));
    assert!(names.iter().enumerate().all(|(n, name)| *name == format!("{n:06}")));
}
