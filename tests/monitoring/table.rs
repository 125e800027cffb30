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

/// The document: what is there, what is not, and what members of an ensemble have besides.
pub fn document() -> (Vec<Present>, Vec<String>, Vec<Present>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (present, others) = text.split_once("\n## Absent\n").expect("three tables");
    let (absent, members) =
        others.split_once("\n## Members of an ensemble\n").expect("three tables");
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
    let members = rows(members).into_iter().map(|row| {
        assert_eq!(row.len(), 6, "four columns: {row:?}");
        let [_, metric, kind, who, meaning, _] = &row[..] else { unreachable!() };
        assert!(matches!(who.as_str(), "all" | "leader" | "observer"), "{metric} is of {who}");
        Present {
            name: name(metric),
            kind: kind.clone(),
            stands_still: String::new(),
            is_own: meaning.ends_with("zkserver's own."),
        }
    });
    (present.collect(), absent.collect(), members.collect())
}

impl Present {
    /// The keys of `mntr` that tell it, without `zk_`; for a set, those of the member `app` or of the
    /// server 1.
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
            "gauge by server" | "text by server" => vec![format!("1_{}", self.name)],
            "summary by server" => each(BASIC, &format!("1_{}", self.name)),
            "summary with percentiles by server" => {
                each(&[BASIC, PERCENTILES].concat(), &format!("1_{}", self.name))
            }
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
