//! The quotas in numbers, by namespace: the first name of a path.

use std::collections::BTreeMap;

use crate::metrics::{Kind, Sample, Value};
use crate::proto::path;
use crate::tree::DataTree;

/// The limits and the usage of each namespace, summed over its quotas. A hard limit counts before a
/// soft one. As in Apache ZooKeeper, a limit that is not set is summed as -1, and statistics count
/// though their limits are gone.
pub fn quota_figures(tree: &DataTree) -> Vec<Sample> {
    let mut sums: BTreeMap<(&[u8], &'static str), (&'static str, i64)> = BTreeMap::new();
    let mut add = |namespace, name, help, value| {
        let (_, sum) = sums.entry((namespace, name)).or_insert((help, 0));
        *sum = sum.wrapping_add(value);
    };
    for quota in tree.quotas() {
        let namespace = path::top_namespace(quota.path);
        if let Some(limits) = quota.limits() {
            let either = |hard, soft| if hard > -1 { hard } else { soft };
            let count = either(limits.count_hard_limit(), limits.count);
            let bytes = either(limits.byte_hard_limit(), limits.bytes);
            add(namespace, "quota_count_limit_per_namespace", "Nodes that quotas allow.", count);
            add(namespace, "quota_bytes_limit_per_namespace", "Bytes that quotas allow.", bytes);
        }
        if let Some(stats) = quota.stats() {
            let (count, bytes) = (stats.count, stats.bytes);
            add(namespace, "quota_count_usage_per_namespace", "Nodes that quotas count.", count);
            add(namespace, "quota_bytes_usage_per_namespace", "Bytes that quotas count.", bytes);
        }
    }
    let sample = |((namespace, name), (help, value)): ((&[u8], &'static str), _)| Sample {
        name,
        key: Some(String::from_utf8_lossy(namespace).into_owned()),
        kind: Kind::Gauge,
        help,
        value: Value::Integer(value),
    };
    sums.into_iter().map(sample).collect()
}
