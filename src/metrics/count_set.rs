//! A counter for each of several names, which come up as they are counted.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::sample::{Kind, Metric, Sample, Value};

/// Names that are counted, at most: who makes names up must not fill the memory.
const MOST_NAMES: usize = 1000;

/// Counters by name. What is counted here is rare: a lock guards them all.
#[derive(Debug, Default)]
pub struct CountSet(Mutex<BTreeMap<Box<[u8]>, u64>>);

impl CountSet {
    /// Adds `n` to the counter of that name. Once there are a thousand names no other is counted.
    pub fn add(&self, name: &[u8], n: u64) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(name) {
            *count += n;
        } else if counts.len() < MOST_NAMES {
            counts.insert(name.into(), n);
        }
    }
}

impl Metric for CountSet {
    fn new(_: u64) -> Self {
        CountSet::default()
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        to.extend(self.0.lock().iter().map(|(key, &count)| Sample {
            name,
            key: Some(String::from_utf8_lossy(key).into_owned()),
            kind: Kind::Counter,
            help,
            value: Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        }));
    }

    /// The names stay.
    fn reset(&self) {
        self.0.lock().values_mut().for_each(|count| *count = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_apart_and_never_too_many() {
        let set = CountSet::default();
        let told = || {
            let mut samples = Vec::new();
            set.sample("name", "help", &mut samples);
            samples.into_iter().map(|sample| (sample.key, sample.value)).collect::<Vec<_>>()
        };
        set.add(b"a", 1);
        set.add(b"a", 2);
        assert_eq!(told(), [(Some("a".to_owned()), Value::Integer(3))]);
        set.reset();
        assert_eq!(told(), [(Some("a".to_owned()), Value::Integer(0))]);
        for n in 0..2 * MOST_NAMES {
            set.add(n.to_string().as_bytes(), 1);
        }
        assert_eq!(told().len(), MOST_NAMES);
    }
}
