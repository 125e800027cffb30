//! Containers and TTL nodes: how they come about, and when they go.

use crate::common::client::{CHILDREN_CHANGED, DELETED};
use crate::common::{RawClient, TestServer, bodies, err, eventually, flag, op};

/// A server that sweeps often.
fn sweeping() -> TestServer {
    TestServer::start(&[
        ("extendedTypesEnabled", "true"),
        ("znode.container.checkIntervalMs", "50"),
        ("znode.container.maxPerMinute", "1000000"),
    ])
}

fn container(c: &mut RawClient, path: &str) {
    let body = bodies::create(path, Some(b""), &bodies::open_acl(), flag::CONTAINER);
    c.call(op::CREATE_CONTAINER, &body).ok();
}

fn ttl(c: &mut RawClient, path: &str, ttl: i64) -> crate::common::Reply {
    let body = bodies::create_ttl(path, Some(b""), &bodies::open_acl(), flag::TTL, ttl);
    c.call(op::CREATE_TTL, &body)
}

/// C-277: a container goes after its last child, and not before its first.
#[test]
fn a_container_goes_after_its_last_child() {
    let server = sweeping();
    let mut c = RawClient::new(&server);
    container(&mut c, "/never-used");
    container(&mut c, "/in-use");
    container(&mut c, "/used");
    assert_eq!(c.stat("/used").ephemeral_owner, 0);
    c.create("/in-use/child", b"", 0).ok();
    c.create("/used/a", b"", 0).ok();
    c.create("/used/b", b"", flag::EPHEMERAL).ok();
    c.delete("/used/a", -1).ok();
    assert!(c.has("/used"));
    c.delete("/used/b", -1).ok();
    eventually("the empty container goes", || (!c.has("/used")).then_some(()));
    // The sweep that took it has looked at the other two as well.
    assert!(c.has("/never-used") && c.has("/in-use"));
    assert_eq!(c.create("/used/c", b"", 0).err, err::NO_NODE);
}

/// C-277: createContainer makes a container whatever its flags say.
#[test]
fn create_container_ignores_its_flags() {
    let server = sweeping();
    let mut c = RawClient::new(&server);
    let body = bodies::create("/c", Some(b""), &bodies::open_acl(), flag::PERSISTENT);
    c.call(op::CREATE_CONTAINER, &body).ok();
    c.create("/c/x", b"", 0).ok();
    c.delete("/c/x", -1).ok();
    eventually("it was a container", || (!c.has("/c")).then_some(()));
}

/// C-278: a TTL node goes when it has no children and was not written for so long.
#[test]
fn a_ttl_node_goes_when_childless_and_unwritten() {
    let server = sweeping();
    let mut c = RawClient::new(&server);
    ttl(&mut c, "/short", 100).ok();
    ttl(&mut c, "/long", 600_000).ok();
    ttl(&mut c, "/parent", 100).ok();
    c.create("/parent/child", b"", 0).ok();
    assert_eq!(c.stat("/short").ephemeral_owner, 0);
    eventually("the short one goes", || (!c.has("/short")).then_some(()));
    assert!(c.has("/long") && c.has("/parent"));
    c.delete("/parent/child", -1).ok();
    eventually("nothing holds the parent", || (!c.has("/parent")).then_some(()));
    assert!(c.has("/long"));
}

/// C-278: writing prolongs, so a node lives for at least its ttl after the last write.
#[test]
fn writing_prolongs_a_ttl_node() {
    let server = sweeping();
    let mut c = RawClient::new(&server);
    ttl(&mut c, "/n", 1000).ok();
    let start = std::time::Instant::now();
    let mut written = start;
    while start.elapsed().as_millis() < 2500 {
        written = std::time::Instant::now();
        let reply = c.set_data("/n", b"", -1);
        assert_eq!(reply.err, 0, "gone {:?} after a write", written.elapsed());
        let pause = written + std::time::Duration::from_millis(100);
        assert_eq!(c.frame_until(pause), Err(()));
    }
    eventually("it goes in the end", || (!c.has("/n")).then_some(()));
    assert!(written.elapsed().as_millis() >= 1000, "{:?}", written.elapsed());
}

/// C-279: without extended types there are none; and a ttl has bounds.
#[test]
fn ttl_creates_are_judged() {
    let off = TestServer::start(&[]);
    let mut c = RawClient::new(&off);
    assert_eq!(ttl(&mut c, "/n", 1000).err, err::UNIMPLEMENTED);
    let on = TestServer::start(&[("extendedTypesEnabled", "true")]);
    let mut c = RawClient::new(&on);
    for bad in [0, -1, i64::MIN, 0x100_0000_0000] {
        assert_eq!(ttl(&mut c, "/n", bad).err, err::BAD_ARGUMENTS, "{bad}");
    }
    assert_eq!(ttl(&mut c, "/n", 0xff_ffff_ffff).err, 0);
    for flags in [0, 1, 2, 3, 4] {
        let body = bodies::create_ttl("/m", None, &bodies::open_acl(), flags, 1000);
        assert_eq!(c.call(op::CREATE_TTL, &body).err, err::BAD_ARGUMENTS, "{flags}");
    }
    let sequential =
        bodies::create_ttl("/s-", None, &bodies::open_acl(), flag::TTL_SEQUENTIAL, 100_000);
    assert_eq!(c.call(op::CREATE_TTL, &sequential).path_stat().0, "/s-0000000001");
}

/// C-289: flags 0 with a negative ttl, which kills Apache ZooKeeper.
#[test]
fn a_negative_ttl_without_the_flag_is_refused_and_harms_nobody() {
    if crate::common::skip_deviation("Java dies of it, and again at every start") {
        return;
    }
    let mut server = sweeping();
    let mut c = RawClient::new(&server);
    for flags in 0..=4 {
        let body = bodies::create_ttl("/n", None, &bodies::open_acl(), flags, -1);
        assert_eq!(c.call(op::CREATE_TTL, &body).err, err::BAD_ARGUMENTS, "{flags}");
    }
    assert!(!c.has("/n"));
    server.kill();
    server.restart();
    assert_eq!(RawClient::new(&server).ping().err, 0);
}

/// C-280: the sweep's deletion is a deletion: watches fire, the parent's pzxid moves.
#[test]
fn the_sweeps_deletions_fire_watches() {
    let server = sweeping();
    let mut c = RawClient::new(&server);
    container(&mut c, "/c");
    c.create("/c/x", b"", 0).ok();
    c.exists("/c", true).ok();
    c.get_children("/", true).ok();
    c.delete("/c/x", -1).ok();
    let deleted = c.event();
    assert_eq!((deleted.kind, deleted.path.as_str()), (DELETED, "/c"));
    assert_eq!(c.fired(), (CHILDREN_CHANGED, "/".into()));
    assert_eq!(c.stat("/").pzxid.to_long(), deleted.zxid);
}

/// C-280: creating children while the sweep is at work: the container is there with the child,
/// or the create is told that there is no parent.
#[test]
fn the_sweep_races_safely_with_creates() {
    let server = TestServer::start(&[
        ("znode.container.checkIntervalMs", "1"),
        ("znode.container.maxPerMinute", "1000000"),
    ]);
    let mut c = RawClient::new(&server);
    let (mut gone, mut rounds) = (0, 0);
    while gone < 5 && rounds < 3000 {
        rounds += 1;
        let body = bodies::create("/c", Some(b""), &bodies::open_acl(), flag::CONTAINER);
        let reply = c.call(op::CREATE_CONTAINER, &body);
        assert!(reply.err == 0 || reply.err == err::NODE_EXISTS);
        match c.create("/c/x", b"", 0).err {
            0 => {
                assert!(c.has("/c"), "a parent is never taken from its child");
                c.delete("/c/x", -1).ok();
            }
            err::NO_NODE => gone += 1,
            other => panic!("{other}"),
        }
        if reply.err == 0 && rounds > 1 {
            gone += 1;
        }
    }
    assert!(gone > 0, "the sweep never came in between");
}

/// C-260: what has run out while the server was down goes soon after its start.
#[test]
fn expired_nodes_go_after_a_restart() {
    let mut server = TestServer::start(&[
        ("extendedTypesEnabled", "true"),
        ("znode.container.checkIntervalMs", "3600000"),
    ]);
    let mut c = RawClient::new(&server);
    ttl(&mut c, "/ttl", 1).ok();
    ttl(&mut c, "/long", 600_000).ok();
    container(&mut c, "/container");
    c.create("/container/x", b"", 0).ok();
    c.delete("/container/x", -1).ok();
    server.kill();
    server.set("znode.container.checkIntervalMs", "50");
    server.restart();
    let mut c = RawClient::new(&server);
    eventually("both go", || (!c.has("/ttl") && !c.has("/container")).then_some(()));
    assert!(c.has("/long"));
}
