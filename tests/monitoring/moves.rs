//! No metric is a constant: a server is driven until each has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;

use crate::common::{Hello, RawClient, TestServer, bodies, eventually, flag, foreign_server, op};
use crate::document::document;
use crate::mntr;
use crate::table::reach_a_quota;

/// The values each key was seen to have.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeSet<String>>);

impl Seen {
    fn look(&mut self, server: &TestServer) -> BTreeMap<String, String> {
        let now = mntr(server);
        for (key, value) in &now {
            self.0.entry(key.clone()).or_default().insert(value.clone());
        }
        now
    }
}

fn number(told: &BTreeMap<String, String>, key: &str) -> i64 {
    told[key].parse().unwrap_or_else(|_| panic!("{key} is {}", told[key]))
}

/// Every metric moves, or its row of `docs/metrics.md` says why it stands still. Summaries move
/// by their count.
#[test]
fn every_metric_moves() {
    let mut server = TestServer::start(&[
        ("maxClientCnxns", "12"),
        ("nio.sessionlessCnxnTimeout", "300"),
        ("snapCount", "50"),
        ("ensembleAuthName", "ours"),
        ("enforceQuota", "true"),
    ]);
    if foreign_server() {
        return;
    }
    let mut seen = Seen::default();
    seen.look(&server);

    // Data, watches of every kind, ephemerals, and what is sent for them.
    let mut c = RawClient::new(&server);
    let mut watcher = RawClient::new(&server);
    c.create("/app", b"12345", 0).ok();
    watcher.get_data("/app", true).ok();
    watcher.get_children("/app", true).ok();
    watcher.exists("/app/e", true);
    seen.look(&server);
    c.set_data("/app", b"1", -1).ok();
    c.create("/app/e", b"", flag::EPHEMERAL).ok();
    for _ in 0..3 {
        watcher.event();
    }
    watcher.exists("/app/e", true).ok();
    seen.look(&server);
    c.delete("/app/e", -1).ok();
    watcher.event();
    seen.look(&server);

    // Sessions: one that is closed, one that changes connections, one that is left to expire.
    RawClient::new(&server).close();
    let moving = RawClient::new(&server);
    let resume = Hello::resume(&moving.welcome);
    let _moved = RawClient::connect(&server, &resume);
    drop(RawClient::connect(&server, &Hello::timeout(400)));
    eventually("a session expires", || {
        (number(&seen.look(&server), "zk_stale_sessions_expired") > 0).then_some(())
    });

    // A connection that says nothing, then more than one address may have.
    let silent = TcpStream::connect(server.address()).expect("accepted");
    eventually("a silent connection is closed", || {
        (number(&seen.look(&server), "zk_sessionless_connections_expired") > 0).then_some(())
    });
    drop(silent);
    eventually("a connection is one too many", || {
        let many: Vec<_> =
            (0..12).filter_map(|_| TcpStream::connect(server.address()).ok()).collect();
        drop(many);
        let text = server.try_word("mntr").filter(|text| !text.is_empty())?;
        let rejected = text.lines().find_map(|l| l.strip_prefix("zk_connection_rejected\t"))?;
        (rejected != "0").then_some(())
    });
    seen.look(&server);

    // Clients that say which ensemble they mean.
    c.auth("ensemble", b"ours").ok();
    c.auth("ensemble", b"").ok();
    let mut stray = RawClient::new(&server);
    stray.send(&bodies::frame(-4, op::AUTH, &bodies::auth("ensemble", b"another")));
    stray.expect_close();
    seen.look(&server);

    // More at once than is done at once, until some are seen waiting; and a snapshot.
    let mut n = 0;
    eventually("requests wait, and a snapshot is written", || {
        for _ in 0..100 {
            n += 1;
            let body = bodies::create(format!("/app/n{n}"), Some(b"x"), &bodies::open_acl(), 0);
            c.submit(op::CREATE, &body);
        }
        let waiting = number(&seen.look(&server), "zk_outstanding_requests");
        c.take_ok(100);
        let snapshots = number(&seen.look(&server), "zk_cnt_snapshottime");
        (waiting > 0 && snapshots > 1).then_some(())
    });

    reach_a_quota(&mut c);
    seen.look(&server);

    // What is about the start moves when it is forgotten, and when there is a log to replay.
    assert_eq!(server.word("srst"), "Server stats reset.\n");
    seen.look(&server);
    server.restart();
    seen.look(&server);

    let (present, ..) = document();
    for metric in present {
        let moved = metric.keys().iter().any(|key| {
            let values = seen.0.get(&format!("zk_{key}"));
            // A member of a set that was not there at first has moved by coming.
            values.is_some_and(|values| values.len() > 1 || key.contains("per_namespace"))
        });
        let name = &metric.name;
        let why = &metric.stands_still;
        assert!(moved || !why.is_empty(), "{name} stands still, and its row does not say why");
        assert!(!moved || !why.starts_with("0:"), "{name} moved, though its row says: {why}");
    }
}
