//! Numbers that are counted up, and one that is counted up and down.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::per_thread::PerThread;
use super::sample::{Kind, Metric, Sample, Value};

/// A number that only grows, between resets.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metric for Counter {
    fn new(_: u64) -> Self {
        Counter::default()
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        to.push(counted(name, help, self.get()));
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A [`Counter`] that many threads add to all the time.
#[derive(Debug)]
pub struct HotCounter(PerThread<AtomicU64>);

impl HotCounter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.mine().fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|copy| copy.load(Ordering::Relaxed)).sum()
    }
}

impl Metric for HotCounter {
    fn new(_: u64) -> Self {
        HotCounter(PerThread::new(AtomicU64::default))
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        to.push(counted(name, help, self.get()));
    }

    fn reset(&self) {
        self.0.iter().for_each(|copy| copy.store(0, Ordering::Relaxed));
    }
}

fn counted(name: &'static str, help: &'static str, n: u64) -> Sample {
    let value = Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    Sample { name, key: None, kind: Kind::Counter, help, value }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

impl Level {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number; one that is being counted down elsewhere reads as 0 at worst.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).max(0) as u64
    }
}

impl Metric for Level {
    fn new(_: u64) -> Self {
        Level::default()
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let value = Value::Integer(i64::try_from(self.get()).unwrap_or(i64::MAX));
        to.push(Sample { name, key: None, kind: Kind::Gauge, help, value });
    }

    /// What is the case does not change by forgetting what was.
    fn reset(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_one_number() {
        let hot = HotCounter::new(0);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| (0..100).for_each(|_| hot.add(2)));
            }
        });
        assert_eq!(hot.get(), 8000);
        hot.reset();
        assert_eq!(hot.get(), 0);
    }

    #[test]
    fn a_level_is_kept_by_a_reset_and_never_below_zero() {
        let level = Level::new(0);
        level.add(2);
        level.reset();
        assert_eq!(level.get(), 2);
        level.add(-3);
        assert_eq!(level.get(), 0);
    }
}
