//! `docs/metrics.md`, read.

/// What a summary is told as.
pub const BASIC: &[&str] = &["avg_", "min_", "max_", "cnt_", "sum_"];
/// What its percentiles are told as.
pub const PERCENTILES: &[&str] = &["p50_", "p95_", "p99_", "p999_"];

/// A metric that is there.
pub struct Present {
    /// Its name without `zk_`.
    pub name: String,
    pub kind: String,
    /// Which members of an ensemble have it: `all`, or those of one role.
    pub who: String,
    /// Why its number does not change, if it does not.
    pub stands_still: String,
    /// Apache ZooKeeper has none of it, and the row says so.
    pub is_own: bool,
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
            who: "all".to_owned(),
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
            who: who.clone(),
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
