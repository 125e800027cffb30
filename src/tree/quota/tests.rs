//! The books as transactions write them.

use super::super::builder::DatabaseBuilder;
use super::super::testing::*;
use super::*;
use crate::proto::txns::{CreateTxn, Txn};
use crate::proto::{OpCode, StatPersisted, Zxid};

fn node<'a>(path: &'a str, data: &'a [u8]) -> Txn<'a> {
    let (path, data) = (path.as_bytes(), Some(data));
    Txn::Create(CreateTxn { path, data, acl: OPEN, parent_cversion: -1, kind: PERSISTENT })
}

/// Makes the quota of a path whose quota nodes' parents exist.
fn limit(play: &mut Play, of: &str, limits: &str) {
    let base = format!("/zookeeper/quota{of}");
    play.next(1, node(&base, b""));
    play.next(1, node(&format!("{base}/zookeeper_limits"), limits.as_bytes()));
    play.next(1, node(&format!("{base}/zookeeper_stats"), b"count=0,bytes=0"));
}

fn stats(play: &Play, of: &str) -> String {
    text(&play.database.tree, of)
}

fn text(tree: &DataTree, of: &str) -> String {
    let path = format!("/zookeeper/quota{of}/zookeeper_stats");
    let node = tree.node(path.as_bytes()).expect("statistics");
    String::from_utf8(node.data().expect("a text").to_vec()).expect("UTF-8")
}

/// C-282
#[test]
fn statistics_are_counted_when_made_and_then_follow() {
    let mut play = Play::new();
    play.next(1, node("/q", b"12"));
    play.next(1, node("/q/a", b"345"));
    limit(&mut play, "/q", "count=9,bytes=9");
    assert_eq!(stats(&play, "/q"), "count=2,bytes=5");
    let before = play.persisted("/zookeeper/quota/q/zookeeper_stats");
    play.next(1, node("/q/a/b", b"6"));
    play.next(1, node("/q-", b"no part of it"));
    play.next(1, node("/q-/a", b"nor this"));
    assert_eq!(stats(&play, "/q"), "count=3,bytes=6");
    play.next(1, set_data("/q/a", "", 1));
    assert_eq!(stats(&play, "/q"), "count=3,bytes=3");
    let parts = [(OpCode::Create, node("/q/c", b"x")), (OpCode::Delete, delete("/q/a/b"))];
    play.next(1, multi(&parts));
    assert_eq!(stats(&play, "/q"), "count=3,bytes=3");
    play.next(7, create("/q/e", EPHEMERAL, -1));
    assert_eq!(stats(&play, "/q"), "count=4,bytes=7");
    play.next(7, close(None));
    assert_eq!(stats(&play, "/q"), "count=3,bytes=3");
    assert_eq!(play.persisted("/zookeeper/quota/q/zookeeper_stats"), before);
    assert_eq!(play.events.len(), 2, "of the ephemeral, not of the statistics");
}

/// C-283
#[test]
fn only_the_deepest_quota_books_a_change() {
    let mut play = Play::new();
    for path in ["/q", "/q/in", "/q/in/er"] {
        play.next(1, node(path, b""));
    }
    limit(&mut play, "/q", "count=9");
    limit(&mut play, "/q/in", "count=9");
    play.next(1, node("/q/in/er/x", b"1"));
    play.next(1, node("/q/y", b"22"));
    assert_eq!(stats(&play, "/q/in"), "count=3,bytes=1");
    assert_eq!(stats(&play, "/q"), "count=4,bytes=2");
    play.next(1, delete("/zookeeper/quota/q/in/zookeeper_limits"));
    play.next(1, node("/q/in/z", b"333"));
    assert_eq!(stats(&play, "/q/in"), "count=3,bytes=1", "no longer kept");
    assert_eq!(stats(&play, "/q"), "count=5,bytes=5");
    play.next(1, delete("/zookeeper/quota/q/zookeeper_limits"));
    assert!(play.database.tree.has_quotas(), "their statistics are left");
    assert!(play.database.tree.quota_of(b"/q/in").is_none());
    play.next(1, delete("/zookeeper/quota/q/zookeeper_stats"));
    play.next(1, delete("/zookeeper/quota/q/in/zookeeper_stats"));
    assert!(!play.database.tree.has_quotas());
}

/// C-284
#[test]
fn what_a_client_writes_into_the_statistics_is_carried_on() {
    let mut play = Play::new();
    play.next(1, node("/q", b""));
    limit(&mut play, "/q", "");
    let stats_path = "/zookeeper/quota/q/zookeeper_stats";
    play.next(1, set_data(stats_path, "bytes=7=;x=1", 1));
    play.next(1, node("/q/a", b"12"));
    assert_eq!(stats(&play, "/q"), "count=0,bytes=9=;x=1");
    play.next(1, set_data(stats_path, "nonsense", 2));
    assert_eq!(stats(&play, "/q"), "nonsense");
    play.next(1, set_data("/q/a", "123", 1));
    assert_eq!(stats(&play, "/q"), "count=2,bytes=3", "counted anew");
    let text = format!("count={},bytes={}", i64::MAX, i64::MIN);
    play.next(1, set_data(stats_path, &text, 3));
    play.next(1, node("/q/b", b""));
    assert_eq!(stats(&play, "/q"), format!("count={},bytes={}", i64::MIN, i64::MIN), "as Java's");
}

/// C-282
#[test]
fn a_loaded_tree_is_counted_anew() {
    let mut builder = DatabaseBuilder::new(options());
    let zero = StatPersisted::default();
    for (path, data) in [
        ("", ""),
        ("/q", "12"),
        ("/q/in", "345"),
        ("/zookeeper", ""),
        ("/zookeeper/quota", ""),
        ("/zookeeper/quota/zookeeper_limits", "count=1"),
        ("/zookeeper/quota/q", ""),
        ("/zookeeper/quota/q/zookeeper_stats", "count=77,bytes=77"),
        ("/zookeeper/quota/q/zookeeper_limits", "nonsense"),
        ("/zookeeper/quota/q/in", ""),
        ("/zookeeper/quota/q/in/zookeeper_stats", "count=88,bytes=88"),
        ("/zookeeper/quota/q/in/zookeeper_limits", "count=1"),
        ("/zookeeper/quota/gone", ""),
        ("/zookeeper/quota/gone/zookeeper_stats", "left alone"),
    ] {
        builder.add_node(path.as_bytes(), Some(data.as_bytes()), -1, &zero).unwrap();
    }
    let tree = builder.finish(Zxid(1)).unwrap().tree;
    assert_consistent(&tree);
    assert_eq!(text(&tree, "/q"), "count=2,bytes=5", "with what an inner quota holds");
    assert_eq!(text(&tree, "/q/in"), "count=1,bytes=3");
    assert_eq!(text(&tree, "/gone"), "left alone");
    assert_eq!(tree.quota_of(b"/q/in/x").unwrap().path, b"/q/in");
    assert_eq!(tree.quota_of(b"/q/x").unwrap().limits(), None);
    assert!(tree.quota_of(b"/gone").is_none() && tree.quota_of(b"/").is_none());
}

#[test]
fn the_deepest_of_many_is_found() {
    let names = ["a", "a-", "a/b", "a b", "b", "b/a/a", "ab", "a/a/a", "b/a-"];
    let mut quotas = Quotas::default();
    for (n, name) in names.iter().enumerate() {
        // Some have statistics only.
        let limits = (n % 4 != 3).then_some(n as u32);
        let change = |nodes: &mut QuotaNodes| (nodes.limits, nodes.stats) = (limits, Some(0));
        quotas.put(format!("/{name}").as_bytes(), change);
    }
    let parts = ["a", "b", "a-", "ab", "a b", "c"];
    let mut found = 0;
    for n in 0..6usize.pow(4) {
        let place = |i: u32| parts[n / 6usize.pow(i) % 6];
        let path: String = (0..1 + n as u32 % 4).map(|i| format!("/{}", place(i))).collect();
        let mut expected = Some(path.as_bytes());
        while let Some(at) = expected
            && quotas.0.get(at).is_none_or(|nodes| nodes.limits.is_none())
        {
            expected = path::parent(at);
        }
        let deepest = quotas.deepest(path.as_bytes()).map(|(path, _)| path);
        assert_eq!(deepest, expected, "{path}");
        found += usize::from(deepest.is_some());
    }
    assert!(found > 400, "{found} of them have a quota");
}
