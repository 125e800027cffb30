//! The quotas in numbers, by namespace: the first name of a path.

use std::collections::BTreeMap;

use crate::metrics::Metrics;
use crate::proto::path;
use crate::tree::DataTree;

/// The limits and the usage of each namespace, summed over its quotas, and how many writes were
/// refused there. A hard limit counts before a soft one. As in Apache ZooKeeper, a limit that is
/// not set is summed as -1, and statistics count though their limits are gone.
pub fn quota_figures(tree: &DataTree, metrics: &Metrics) -> Vec<(String, &'static str, i64)> {
    let mut sums: BTreeMap<(&[u8], &'static str), i64> = BTreeMap::new();
    let mut add = |namespace, name, value| {
        let sum = sums.entry((namespace, name)).or_default();
        *sum = sum.wrapping_add(value);
    };
    for quota in tree.quotas() {
        let namespace = path::top_namespace(quota.path);
        if let Some(limits) = quota.limits() {
            let either = |hard, soft| if hard > -1 { hard } else { soft };
            let count = either(limits.count_hard_limit(), limits.count);
            let bytes = either(limits.byte_hard_limit(), limits.bytes);
            add(namespace, "quota_count_limit_per_namespace", count);
            add(namespace, "quota_bytes_limit_per_namespace", bytes);
        }
        if let Some(stats) = quota.stats() {
            add(namespace, "quota_count_usage_per_namespace", stats.count);
            add(namespace, "quota_bytes_usage_per_namespace", stats.bytes);
        }
    }
    let text = |namespace: &[u8]| String::from_utf8_lossy(namespace).into_owned();
    let mut figures: Vec<_> =
        sums.into_iter().map(|((namespace, name), value)| (text(namespace), name, value)).collect();
    for (namespace, count) in metrics.quota_exceeded_error_per_namespace.get() {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        figures.push((text(&namespace), "quota_exceeded_error_per_namespace", count));
    }
    figures
}
