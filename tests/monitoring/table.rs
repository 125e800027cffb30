//! `docs/metrics.md` and `mntr` say the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{RawClient, TestServer, foreign_server};
use crate::mntr;

const BASIC: &[&str] = &["avg_", "min_", "max_", "cnt_", "sum_"];
const PERCENTILES: &[&str] = &["p50_", "p95_", "p99_", "p999_"];

/// A metric that is there.
pub struct Present {
    /// Its name without `zk_`.
    pub name: String,
    kind: String,
    /// Why its number does not change, if it does not.
    pub stands_still: String,
    /// Apache ZooKeeper has none of it, and the row says so.
    is_own: bool,
}

/// Sets a hard quota on `/app` and has it refuse a write.
pub fn reach_a_quota(c: &mut RawClient) {
    c.create("/zookeeper/quota/app", b"", 0).ok();
    let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1";
    c.create("/zookeeper/quota/app/zookeeper_limits", limits, 0).ok();
    c.create("/zookeeper/quota/app/zookeeper_stats", b"count=0,bytes=0", 0).ok();
    assert_ne!(c.create("/app/too-many", b"", 0).err, 0, "the quota is reached");
}

/// The document: what is there, and what is not.
pub fn document() -> (Vec<Present>, Vec<String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (present, absent) = text.split_once("\n## Absent\n").expect("two tables");
    let rows = |text: &str| -> Vec<Vec<String>> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let name = |cell: &str| cell.trim_matches('`').to_owned();
    let present = rows(present).into_iter().map(|row| {
        assert_eq!(row.len(), 6, "four columns: {row:?}");
        let [_, metric, kind, meaning, stands_still, _] = &row[..] else { unreachable!() };
        assert!(!meaning.is_empty(), "{metric} has no meaning");
        Present {
            name: name(metric),
            kind: kind.clone(),
            stands_still: stands_still.clone(),
            is_own: meaning.ends_with("zkserver's own."),
        }
    });
    let absent = rows(absent).into_iter().map(|row| {
        assert_eq!(row.len(), 4, "two columns: {row:?}");
        assert!(!row[2].is_empty(), "{} is absent without a reason", row[1]);
        name(&row[1])
    });
    (present.collect(), absent.collect())
}

impl Present {
    /// The keys of `mntr` that tell it, without `zk_`; for a set, those of the member `app`.
    pub fn keys(&self) -> Vec<String> {
        let each = |prefixes: &[&str], name: &str| -> Vec<String> {
            prefixes.iter().map(|prefix| format!("{prefix}{name}")).collect()
        };
        match self.kind.as_str() {
            "gauge" | "counter" | "text" => vec![self.name.clone()],
            "summary" => each(BASIC, &self.name),
            "summary with percentiles" => each(&[BASIC, PERCENTILES].concat(), &self.name),
            "set of gauges" | "set of counters" => vec![format!("app_{}", self.name)],
            "set of summaries" => each(BASIC, &format!("app_{}", self.name)),
            kind => panic!("{} is of no kind: {kind}", self.name),
        }
    }
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
    let (present, absent) = document();
    // The quota itself was written below another first-level node.
    let of_another = |key: &String| key.contains("_zookeeper_");
    let told: BTreeSet<String> = mntr(&server).into_keys().filter(|key| !of_another(key)).collect();
    let promised: BTreeSet<String> =
        present.iter().flat_map(Present::keys).map(|key| format!("zk_{key}")).collect();
    let undocumented: Vec<_> = told.difference(&promised).collect();
    assert!(undocumented.is_empty(), "in mntr, not in docs/metrics.md: {undocumented:?}");
    let missing: Vec<_> = promised.difference(&told).collect();
    assert!(missing.is_empty(), "in docs/metrics.md, not in mntr: {missing:?}");
    let names: Vec<_> = present.iter().map(|p| &p.name).chain(&absent).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a metric has two rows");
}

/// Whatever Apache ZooKeeper 3.9.5 prints when it is alone has a row, if only one that says why
/// it is absent; and what is there has the same lines.
#[test]
fn no_name_of_apaches_is_forgotten() {
    let (present, absent) = document();
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
}
