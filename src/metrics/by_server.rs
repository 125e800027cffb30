//! A metric for each of the other servers, which come up as they are counted.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::sample::{Metric, Sample};
use super::summary::{Advanced, Basic};

/// More servers than this are not told apart: whoever dials says itself which one it is.
const MOST_SERVERS: usize = 256;

/// A metric for each server id. One thread counts; a lock guards them all.
#[derive(Debug)]
pub struct ByServer<T>(Mutex<BTreeMap<i64, T>>);

impl ByServer<Basic> {
    /// A value of the server `sid`, in the metric's unit.
    pub fn record(&self, sid: i64, value: u64) {
        with(&self.0, sid, |metric| metric.record(value));
    }
}

impl ByServer<Advanced> {
    /// A value of the server `sid`, in the metric's unit.
    pub fn record(&self, sid: i64, value: u64) {
        with(&self.0, sid, |metric| metric.record(value));
    }
}

fn with<T: Metric>(metrics: &Mutex<BTreeMap<i64, T>>, sid: i64, record: impl FnOnce(&T)) {
    let mut metrics = metrics.lock();
    if metrics.len() < MOST_SERVERS || metrics.contains_key(&sid) {
        record(metrics.entry(sid).or_insert_with(|| T::new(0)));
    }
}

impl<T: Metric> Metric for ByServer<T> {
    fn new(_: u64) -> Self {
        ByServer(Mutex::default())
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        for (sid, metric) in &*self.0.lock() {
            let from = to.len();
            metric.sample(name, help, to);
            to[from..].iter_mut().for_each(|sample| sample.key = Some(sid.to_string()));
        }
    }

    /// The servers stay.
    fn reset(&self) {
        self.0.lock().values().for_each(T::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Value;

    #[test]
    fn servers_are_told_apart_and_never_too_many() {
        let set = ByServer::<Basic>::new(0);
        set.record(3, 5);
        set.record(-1, 1);
        set.record(3, 7);
        let told = || {
            let mut samples = Vec::new();
            set.sample("name", "help", &mut samples);
            samples
        };
        let count = |sample: &Sample| match sample.value {
            Value::Digest(digest) => (sample.key.clone().unwrap(), digest.count, digest.sum),
            _ => panic!("a summary"),
        };
        assert_eq!(
            told().iter().map(count).collect::<Vec<_>>(),
            [("-1".to_owned(), 1, 1), ("3".to_owned(), 2, 12)]
        );
        set.reset();
        assert_eq!(count(&told()[1]), ("3".to_owned(), 0, 0));
        (0..2 * MOST_SERVERS as i64).for_each(|sid| set.record(sid, 1));
        assert_eq!(told().len(), MOST_SERVERS);
    }
}
