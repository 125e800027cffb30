//! `docs/metrics.md` and `mntr` say the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{RawClient, TestServer, foreign_server};
use crate::document::{BASIC, PERCENTILES, Present, document};
use crate::mntr;

/// Sets a hard quota on `/app` and has it refuse a write.
pub fn reach_a_quota(c: &mut RawClient) {
    c.create("/zookeeper/quota/app", b"", 0).ok();
    let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1";
    c.create("/zookeeper/quota/app/zookeeper_limits", limits, 0).ok();
    c.create("/zookeeper/quota/app/zookeeper_stats", b"count=0,bytes=0", 0).ok();
    assert_ne!(c.create("/app/too-many", b"", 0).err, 0, "the quota is reached");
}

/// Every line of `mntr` is of a metric in the table, and every metric in the table is in `mntr`.
#[test]
fn the_table_and_mntr_say_the_same() {
    let server = TestServer::start(&[("enforceQuota", "true")]);
    if foreign_server() {
        return;
    }
    let mut c = RawClient::new(&server);
    c.create("/app", b"1", 0).ok();
    c.get_data("/app", false).ok();
    reach_a_quota(&mut c);
    let (present, absent, members) = document();
    // The quota itself was written below another first-level node.
    let of_another = |key: &String| key.contains("_zookeeper_");
    let told: BTreeSet<String> = mntr(&server).into_keys().filter(|key| !of_another(key)).collect();
    let promised: BTreeSet<String> =
        present.iter().flat_map(Present::keys).map(|key| format!("zk_{key}")).collect();
    let undocumented: Vec<_> = told.difference(&promised).collect();
    assert!(undocumented.is_empty(), "in mntr, not in docs/metrics.md: {undocumented:?}");
    let missing: Vec<_> = promised.difference(&told).collect();
    assert!(missing.is_empty(), "in docs/metrics.md, not in mntr: {missing:?}");
    let names = present.iter().chain(&members).map(|p| &p.name);
    let names: Vec<_> = names.chain(&absent).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a metric has two rows");
}

/// Whatever Apache ZooKeeper 3.9.5 prints has a row, if only one that says why it is absent; and
/// what is there has the same lines.
#[test]
fn no_name_of_apaches_is_forgotten() {
    let (present, absent, members) = document();
    let theirs = include_str!("apache-3.9.5-mntr.txt");
    let theirs: BTreeSet<&str> = theirs.lines().filter_map(|l| l.strip_prefix("zk_")).collect();
    assert!(theirs.len() > 480, "the list is whole");
    let ours: BTreeMap<String, &Present> =
        present.iter().flat_map(|p| p.keys().into_iter().map(move |key| (key, p))).collect();
    for key in &theirs {
        let summary = BASIC.iter().chain(PERCENTILES).find_map(|prefix| key.strip_prefix(prefix));
        let is_absent = |name: &str| absent.iter().any(|a| a == name);
        assert!(
            ours.contains_key(*key) || is_absent(key) || summary.is_some_and(is_absent),
            "{key} is in no table"
        );
    }
    for (key, metric) in &ours {
        let is_set = metric.kind.starts_with("set of");
        let is_older = metric.name == "fsync_threshold_exceed_count";
        let is_own = metric.is_own;
        assert!(
            theirs.contains(key.as_str()) || is_set || is_older || is_own,
            "{key} is not Apache's"
        );
    }
    let theirs = include_str!("apache-3.9.5-mntr-members.txt");
    let theirs: BTreeSet<&str> =
        theirs.lines().filter_map(|line| line.split_once(" zk_")).map(|(_, key)| key).collect();
    assert!(theirs.len() > 40, "the list is whole");
    let ours: BTreeMap<String, &Present> =
        members.iter().flat_map(|p| p.keys().into_iter().map(move |key| (key, p))).collect();
    for key in &theirs {
        // A set's members are known by one of them.
        let of_one = ["_2_", "_3_", "_4_"]
            .iter()
            .find_map(|sid| key.contains(sid).then(|| key.replacen(sid, "_1_", 1)));
        let key = of_one.as_deref().unwrap_or(key);
        let is_absent = absent.iter().any(|name| key.ends_with(&format!("_1_{name}")));
        assert!(ours.contains_key(key) || is_absent, "{key} is in no table");
    }
    for (key, metric) in &ours {
        assert!(theirs.contains(key.as_str()) || metric.is_own, "{key} is not Apache's");
    }
}
