//! Quotas: nodes below /zookeeper/quota, and what they refuse.

use crate::common::{RawClient, TestServer, err, eventually};

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

/// C-281: soft limits, and hard ones without enforcement, refuse nothing.
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

/// C-281: past a limit of either kind the log says so, and a flood of excesses is no flood of lines.
#[test]
fn an_excess_is_logged() {
    if crate::common::skip_deviation("Java logs it with enforceQuota only, and each time") {
        return;
    }
    for (enforce, limits, kind) in [
        ("false", "count=1,bytes=-1", "soft"),
        ("false", "count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=1", "hard"),
        ("true", "count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=1", "hard"),
    ] {
        let server = TestServer::start(&[("enforceQuota", enforce)]);
        let mut c = RawClient::new(&server);
        c.create("/q", b"", 0).ok();
        limit(&mut c, "/q", limits);
        let refused = enforce == "true" && kind == "hard";
        for n in 0..50 {
            let reply = c.create(&format!("/q/{n}"), b"", 0);
            assert_eq!(reply.err, if refused { err::QUOTA_EXCEEDED } else { 0 });
        }
        let text = format!("Quota exceeded: /q [current count=2, {kind}CountLimit=1]");
        let log =
            eventually("it is logged", || Some(server.log()).filter(|log| log.contains(&text)));
        assert_eq!(log.matches("Quota exceeded").count(), 1, "{log}");
    }
}

/// mntr has the limits and the usage of each namespace, and what was refused there.
#[test]
fn figures_are_told_by_namespace() {
    let server = enforcing();
    let mut c = RawClient::new(&server);
    for path in ["/q", "/q/a", "/q/b", "/r"] {
        c.create(path, b"12", 0).ok();
    }
    limit(&mut c, "/q/a", "count=5,bytes=10=;byteHardLimit=-1;countHardLimit=1");
    limit(&mut c, "/q/b", "count=5,bytes=10=;byteHardLimit=20;countHardLimit=-1");
    limit(&mut c, "/r", "count=7,bytes=-1");
    for path in ["/q/a/x", "/q/a/y"] {
        assert_eq!(c.create(path, b"", 0).err, err::QUOTA_EXCEEDED);
    }
    let told = server.word("mntr");
    let mut told: Vec<&str> = told.lines().filter(|line| line.contains("_quota_")).collect();
    told.sort_unstable();
    let expected = [
        "zk_q_quota_bytes_limit_per_namespace\t30",
        "zk_q_quota_bytes_usage_per_namespace\t4",
        "zk_q_quota_count_limit_per_namespace\t6",
        "zk_q_quota_count_usage_per_namespace\t2",
        "zk_q_quota_exceeded_error_per_namespace\t2",
        "zk_r_quota_bytes_limit_per_namespace\t-1",
        "zk_r_quota_bytes_usage_per_namespace\t2",
        "zk_r_quota_count_limit_per_namespace\t7",
        "zk_r_quota_count_usage_per_namespace\t1",
    ];
    assert_eq!(told, expected);
    server.word("srst");
    assert_eq!(server.mntr("zk_q_quota_exceeded_error_per_namespace").as_deref(), Some("0"));
}

/// What is in flight counts: a pipeline does not pass a limit that its requests would not pass
/// one by one.
#[test]
fn a_pipeline_passes_no_limit() {
    if crate::common::skip_deviation("Java judges by what was applied") {
        return;
    }
    let server = enforcing();
    let mut c = RawClient::new(&server);
    c.create("/q", b"", 0).ok();
    limit(&mut c, "/q", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=10");
    let acl = crate::common::bodies::open_acl();
    let create = |n: usize| crate::common::bodies::create(format!("/q/{n}"), None, &acl, 0);
    for n in 0..40 {
        c.submit(crate::common::op::CREATE, &create(n));
    }
    let codes: Vec<i32> = (0..40).map(|_| c.reply().err).collect();
    assert_eq!(codes[..9], [0; 9]);
    assert_eq!(codes[9..], [err::QUOTA_EXCEEDED; 31]);
    assert_eq!(stats(&mut c, "/q"), "count=10,bytes=0");
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
