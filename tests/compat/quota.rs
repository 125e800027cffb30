//! Quotas: nodes below /zookeeper/quota, and what they refuse.

use crate::common::{RawClient, TestServer, err};

fn limit(c: &mut RawClient, of: &str, limits: &str) {
    let mut path = "/zookeeper/quota".to_owned();
    for name in of.split('/').skip(1) {
        path = format!("{path}/{name}");
        let reply = c.create(&path, b"", 0);
        assert!(reply.err == 0 || reply.err == err::NODE_EXISTS);
    }
    c.create(&format!("{path}/zookeeper_limits"), limits.as_bytes(), 0).ok();
    c.create(&format!("{path}/zookeeper_stats"), b"count=0,bytes=0", 0).ok();
}

fn stats(c: &mut RawClient, of: &str) -> String {
    let path = format!("/zookeeper/quota{of}/zookeeper_stats");
    String::from_utf8(c.get_data(&path, false).data().0.expect("stats")).expect("text")
}

fn enforcing() -> TestServer {
    TestServer::start(&[("enforceQuota", "true")])
}

/// C-281: a hard limit refuses; deleting is always allowed.
#[test]
fn a_hard_limit_refuses() {
    let server = enforcing();
    let mut c = RawClient::new(&server);
    c.create("/q", b"", 0).ok();
    limit(&mut c, "/q", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3");
    c.create("/q/a", b"12345", 0).ok();
    c.create("/q/b", b"12345", 0).ok();
    assert_eq!(c.create("/q/c", b"", 0).err, err::QUOTA_EXCEEDED, "the count");
    assert_eq!(c.set_data("/q/a", b"123456", -1).err, err::QUOTA_EXCEEDED, "the bytes");
    assert_eq!(c.set_data("/q/a", b"1234", -1).err, 0);
    assert_eq!(c.set_data("/q/b", b"123456", -1).err, 0, "by difference");
    c.delete("/q/a", -1).ok();
    assert_eq!(c.create("/q/c", b"1234", 0).err, 0);
    assert_eq!(c.create("/elsewhere", b"much more than ten bytes", 0).err, 0);
}

/// F-4: the quota is judged before the version.
#[test]
fn the_quota_is_judged_before_the_version() {
    let server = enforcing();
    let mut c = RawClient::new(&server);
    c.create("/q", b"", 0).ok();
    limit(&mut c, "/q", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=-1");
    assert_eq!(c.set_data("/q", b"1234", 77).err, err::QUOTA_EXCEEDED);
    assert_eq!(c.set_data("/q", b"123", 77).err, err::BAD_VERSION);
}

/// Soft limits, and hard ones without enforcement, refuse nothing.
#[test]
fn soft_limits_and_no_enforcement_refuse_nothing() {
    for (settings, limits) in [
        (&[("enforceQuota", "true")][..], "count=1,bytes=1"),
        (&[], "count=1,bytes=1=;byteHardLimit=1;countHardLimit=1"),
    ] {
        let server = TestServer::start(settings);
        let mut c = RawClient::new(&server);
        c.create("/q", b"", 0).ok();
        limit(&mut c, "/q", limits);
        c.create("/q/a", b"12345", 0).ok();
        c.create("/q/b", b"12345", 0).ok();
        c.set_data("/q", b"12345", -1).ok();
    }
}

/// C-282: the stats count the node and all below, follow every change, and survive a restart.
#[test]
fn stats_follow_every_change() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/q", b"12", 0).ok();
    c.create("/q/a", b"345", 0).ok();
    limit(&mut c, "/q", "count=100,bytes=1000");
    assert_eq!(stats(&mut c, "/q"), "count=2,bytes=5");
    let before = c.stat("/zookeeper/quota/q/zookeeper_stats");
    c.create("/q/a/b", b"6", 0).ok();
    assert_eq!(stats(&mut c, "/q"), "count=3,bytes=6");
    c.set_data("/q/a", b"", -1).ok();
    assert_eq!(stats(&mut c, "/q"), "count=3,bytes=3");
    c.delete("/q/a/b", -1).ok();
    assert_eq!(stats(&mut c, "/q"), "count=2,bytes=2");
    let after = c.stat("/zookeeper/quota/q/zookeeper_stats");
    assert_eq!((after.version, after.mzxid), (before.version, before.mzxid), "no transaction");
    server.kill();
    server.restart();
    let mut c = RawClient::new(&server);
    c.create("/q/c", b"789", 0).ok();
    assert_eq!(stats(&mut c, "/q"), "count=3,bytes=5");
}

/// C-282: keeping the books fires no watch.
#[test]
fn keeping_the_books_fires_no_watch() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/q", b"", 0).ok();
    limit(&mut c, "/q", "count=100,bytes=1000");
    c.add_watch("/zookeeper/quota", 1).ok();
    c.create("/q/a", b"x", 0).ok();
    assert_eq!(stats(&mut c, "/q"), "count=2,bytes=1");
    assert_eq!(c.all_fired(), []);
}

/// C-283: only the deepest quota on the path counts.
#[test]
fn only_the_deepest_quota_applies() {
    let server = enforcing();
    let mut c = RawClient::new(&server);
    c.create("/q", b"", 0).ok();
    c.create("/q/in", b"", 0).ok();
    limit(&mut c, "/q", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3");
    limit(&mut c, "/q/in", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=10");
    for n in 0..5 {
        c.create(&format!("/q/in/{n}"), b"", 0).ok();
    }
    assert_eq!(stats(&mut c, "/q/in"), "count=6,bytes=0");
    c.create("/q/x", b"", 0).ok();
    assert_eq!(c.create("/q/y", b"", 0).err, err::QUOTA_EXCEEDED);
}

/// C-284: nonsense in quota nodes harms neither writes nor the next start.
#[test]
fn nonsense_in_quota_nodes_harms_nobody() {
    if crate::common::skip_deviation("Java dies of some of them") {
        return;
    }
    let mut server = enforcing();
    let mut c = RawClient::new(&server);
    let acl = crate::common::bodies::open_acl();
    for (n, data) in
        [None, Some(&b""[..]), Some(b"nonsense"), Some(b"count=x,bytes="), Some(b"\xff\xfe=,;")]
            .into_iter()
            .enumerate()
    {
        c.create(&format!("/q{n}"), b"", 0).ok();
        c.create(&format!("/zookeeper/quota/q{n}"), b"", 0).ok();
        for name in ["zookeeper_limits", "zookeeper_stats"] {
            let path = format!("/zookeeper/quota/q{n}/{name}");
            let create = crate::common::bodies::create(path, data, &acl, 0);
            c.call(crate::common::op::CREATE, &create).ok();
        }
        c.create(&format!("/q{n}/a"), b"xyz", 0).ok();
    }
    // Limits of nothing.
    c.create("/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1", 0).ok();
    c.create("/zookeeper/quota/zookeeper_stats", b"count=1,bytes=1", 0).ok();
    c.create("/after", b"xyz", 0).ok();
    server.kill();
    server.restart();
    let mut c = RawClient::new(&server);
    assert!(c.has("/after") && c.has("/q3/a"));
    c.create("/q3/b", b"xyz", 0).ok();
}
