//! A counter for each of several names, which come up as they are counted.

use std::collections::BTreeMap;

use parking_lot::Mutex;

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

    /// The names and their numbers.
    pub fn get(&self) -> Vec<(Box<[u8]>, u64)> {
        self.0.lock().iter().map(|(name, &count)| (name.clone(), count)).collect()
    }

    /// Counts from 0 again (`srst`); the names stay.
    pub fn reset(&self) {
        self.0.lock().values_mut().for_each(|count| *count = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_apart_and_never_too_many() {
        let set = CountSet::default();
        set.add(b"a", 1);
        set.add(b"a", 2);
        assert_eq!(set.get(), [(Box::from(&b"a"[..]), 3)]);
        set.reset();
        assert_eq!(set.get(), [(Box::from(&b"a"[..]), 0)]);
        for n in 0..2 * MOST_NAMES {
            set.add(n.to_string().as_bytes(), 1);
        }
        assert_eq!(set.get().len(), MOST_NAMES);
    }
}
