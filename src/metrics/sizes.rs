//! The sizes of replies: the last, the smallest, the largest, and what they amount to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::per_thread::PerThread;
use super::sample::{Kind, Metric, Sample, Value};

/// Sizes that one thread saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    sum: u64,
    last: u32,
    min: u32,
    max: u32,
}

impl Sizes {
    /// A reply of `bytes` bytes, its length in front not counted.
    #[inline]
    pub fn record(&mut self, bytes: usize) {
        let bytes = bytes as u32;
        self.min = if self.sum == 0 { bytes } else { self.min.min(bytes) };
        self.sum += u64::from(bytes);
        self.last = bytes;
        self.max = self.max.max(bytes);
    }
}

/// The sizes of all replies so far.
#[derive(Debug)]
pub struct ReplySizes(PerThread<Copy>);

#[derive(Debug)]
struct Copy {
    sum: AtomicU64,
    /// When the last one was, to find the last of all threads.
    at: AtomicU64,
    last: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

impl ReplySizes {
    /// What was seen until `at`, a moment in any unit that all threads share.
    #[inline]
    pub fn take(&self, sizes: Sizes, at: u64) {
        if sizes.sum == 0 {
            return;
        }
        let mine = self.0.mine();
        mine.sum.fetch_add(sizes.sum, Ordering::Relaxed);
        mine.at.store(at, Ordering::Relaxed);
        mine.last.store(sizes.last.into(), Ordering::Relaxed);
        let min = mine.min.load(Ordering::Relaxed);
        if min < 0 || i64::from(sizes.min) < min {
            mine.min.store(sizes.min.into(), Ordering::Relaxed);
        }
        if i64::from(sizes.max) > mine.max.load(Ordering::Relaxed) {
            mine.max.store(sizes.max.into(), Ordering::Relaxed);
        }
    }

    /// The last, -1 before the first.
    pub fn last(&self) -> i64 {
        let latest = self.0.iter().max_by_key(|copy| copy.at.load(Ordering::Relaxed));
        latest.map_or(-1, |copy| copy.last.load(Ordering::Relaxed))
    }

    /// The smallest, -1 before the first.
    pub fn min(&self) -> i64 {
        let all = self.0.iter().map(|copy| copy.min.load(Ordering::Relaxed));
        all.filter(|min| *min >= 0).min().unwrap_or(-1)
    }

    /// The largest, -1 before the first.
    pub fn max(&self) -> i64 {
        self.0.iter().map(|copy| copy.max.load(Ordering::Relaxed)).max().unwrap_or(-1)
    }
}

impl Metric for ReplySizes {
    fn new(_: u64) -> Self {
        ReplySizes(PerThread::new(|| Copy {
            sum: AtomicU64::new(0),
            at: AtomicU64::new(0),
            last: AtomicI64::new(-1),
            min: AtomicI64::new(-1),
            max: AtomicI64::new(-1),
        }))
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let sum: u64 = self.0.iter().map(|copy| copy.sum.load(Ordering::Relaxed)).sum();
        let value = Value::Integer(i64::try_from(sum).unwrap_or(i64::MAX));
        to.push(Sample { name, key: None, kind: Kind::Counter, help, value });
    }

    fn reset(&self) {
        for copy in self.0.iter() {
            copy.sum.store(0, Ordering::Relaxed);
            copy.at.store(0, Ordering::Relaxed);
            for size in [&copy.last, &copy.min, &copy.max] {
                size.store(-1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_that_of_the_thread_that_spoke_last() {
        let all = ReplySizes::new(0);
        assert_eq!((all.last(), all.min(), all.max()), (-1, -1, -1));
        std::thread::scope(|scope| {
            for (at, sizes) in [(5, [16, 100]), (9, [360, 20]), (7, [17, 18])] {
                let all = &all;
                scope.spawn(move || {
                    let mut mine = Sizes::default();
                    sizes.iter().for_each(|size| mine.record(*size));
                    all.take(mine, at);
                    all.take(Sizes::default(), 1000);
                });
            }
        });
        assert_eq!((all.last(), all.min(), all.max()), (20, 16, 360));
        let mut samples = Vec::new();
        all.sample("name", "help", &mut samples);
        assert_eq!(samples[0].value, Value::Integer(16 + 100 + 360 + 20 + 17 + 18));
        all.reset();
        assert_eq!((all.last(), all.min(), all.max()), (-1, -1, -1));
    }
}
