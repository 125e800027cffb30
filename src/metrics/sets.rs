//! Sets of metrics, one member for each namespace: the first component of a path.
//!
//! Who counts collects [`Namespaces`] first and hands them over together, so that a run of
//! requests below one node costs one look at the table.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::per_thread::PerThread;
use super::sample::{Digest, Kind, Metric, Sample, Value};

/// More namespaces than this are not told apart: those that come later are left out.
const MOST_NAMESPACES: usize = 1024;
/// As many are collected before the rest is left out.
const MOST_COLLECTED: usize = 64;

/// Values by namespace, collected by one thread.
#[derive(Debug, Default)]
pub struct Namespaces(SmallVec<[Collected; 1]>);

#[derive(Debug)]
struct Collected {
    name: SmallVec<[u8; 24]>,
    few: Few,
}

/// A small summary, for it is moved about with every socket read.
#[derive(Debug)]
struct Few {
    count: u32,
    min: u32,
    max: u32,
    sum: u64,
}

impl From<Few> for Digest {
    fn from(few: Few) -> Self {
        let Few { count, sum, min, max } = few;
        let (count, min, max) = (count.into(), min.into(), max.into());
        Digest { count, sum, min, max, percentiles: None }
    }
}

impl Namespaces {
    /// A value of the namespace called `name`. The root has none, and is not counted.
    #[inline]
    pub fn record(&mut self, name: &[u8], value: u64) {
        if name.is_empty() {
            return;
        }
        let small = u32::try_from(value).unwrap_or(u32::MAX);
        if let Some(same) = self.0.iter_mut().find(|collected| *collected.name == *name) {
            let few = &mut same.few;
            few.count += 1;
            few.sum += value;
            few.min = few.min.min(small);
            few.max = few.max.max(small);
        } else if self.0.len() < MOST_COLLECTED {
            let few = Few { count: 1, sum: value, min: small, max: small };
            self.0.push(Collected { name: SmallVec::from_slice(name), few });
        }
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A summary for each namespace.
#[derive(Debug)]
pub struct BasicSet(PerThread<Table>);

type Table = Mutex<HashMap<Box<[u8]>, Digest, FixedState>>;

impl BasicSet {
    /// Takes what was collected.
    pub fn take(&self, namespaces: &mut Namespaces) {
        if namespaces.is_empty() {
            return;
        }
        let mut table = self.0.mine().lock();
        for Collected { name, few } in namespaces.0.drain(..) {
            let digest = Digest::from(few);
            if let Some(sum) = table.get_mut(&*name) {
                *sum = sum.and(digest);
            } else if table.len() < MOST_NAMESPACES {
                table.insert(name.as_slice().into(), digest);
            }
        }
    }
}

impl Metric for BasicSet {
    fn new(seed: u64) -> Self {
        BasicSet(PerThread::new(|| Table::new(HashMap::with_hasher(FixedState::with_seed(seed)))))
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let mut sums = std::collections::BTreeMap::<Box<[u8]>, Digest>::new();
        for table in self.0.iter() {
            for (namespace, digest) in &*table.lock() {
                let sum = sums.entry(namespace.clone()).or_default();
                *sum = sum.and(*digest);
            }
        }
        to.extend(sums.into_iter().map(|(namespace, digest)| Sample {
            name,
            key: Some(String::from_utf8_lossy(&namespace).into_owned()),
            kind: Kind::Basic,
            help,
            value: Value::Digest(digest),
        }));
    }

    fn reset(&self) {
        self.0.iter().for_each(|table| table.lock().clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added_up_over_threads_and_told_by_name() {
        let set = BasicSet::new(7);
        std::thread::scope(|scope| {
            for value in [3, 5] {
                let set = &set;
                scope.spawn(move || {
                    let mut namespaces = Namespaces::default();
                    namespaces.record(b"b", value);
                    namespaces.record(b"a", 1);
                    namespaces.record(b"b", 2 * value);
                    namespaces.record(b"", 100);
                    set.take(&mut namespaces);
                    assert!(namespaces.is_empty());
                });
            }
        });
        let mut samples = Vec::new();
        set.sample("name", "help", &mut samples);
        let told: Vec<_> = samples.iter().map(|s| (s.key.as_deref(), s.value)).collect();
        let digest = |count, sum, min, max| {
            Value::Digest(Digest { count, sum, min, max, percentiles: None })
        };
        assert_eq!(told, [(Some("a"), digest(2, 2, 1, 1)), (Some("b"), digest(4, 24, 3, 10))]);
        set.reset();
        samples.clear();
        set.sample("name", "help", &mut samples);
        assert!(samples.is_empty());
    }

    #[test]
    fn clients_cannot_make_it_grow_for_ever() {
        let set = BasicSet::new(7);
        for i in 0..3 * MOST_NAMESPACES {
            let mut namespaces = Namespaces::default();
            namespaces.record(format!("n{i}").as_bytes(), 1);
            set.take(&mut namespaces);
        }
        let mut samples = Vec::new();
        set.sample("name", "help", &mut samples);
        assert_eq!(samples.len(), MOST_NAMESPACES);
    }
}
