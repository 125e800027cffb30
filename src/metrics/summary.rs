//! Summaries: how many values there were, what they amount to, the extremes, and percentiles.
//!
//! Percentiles come from counts in fixed buckets. Values up to 31 have one each; above, sixteen
//! divide every doubling, so that a percentile is too small by at most a sixteenth. Apache keeps
//! a sample of the values instead, and is off by chance.

use std::sync::atomic::{AtomicU64, Ordering};

use super::per_thread::PerThread;
use super::sample::{Digest, Kind, Metric, Sample, Value};

/// Count, sum and extremes of values.
#[derive(Debug)]
pub struct Basic {
    count: AtomicU64,
    totals: Totals,
}

impl Basic {
    /// A value, in the metric's unit.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// The same value, `n` times.
    pub fn record_many(&self, value: u64, n: u64) {
        if n > 0 {
            self.count.fetch_add(n, Ordering::Relaxed);
            self.totals.record_many(value, n);
        }
    }

    /// The values so far.
    pub fn digest(&self) -> Digest {
        self.totals.digest(self.count.load(Ordering::Relaxed))
    }
}

impl Metric for Basic {
    fn new(_: u64) -> Self {
        Basic { count: AtomicU64::new(0), totals: Totals::default() }
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let value = Value::Digest(self.digest());
        to.push(Sample { name, key: None, kind: Kind::Basic, help, value });
    }

    fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.totals.reset();
    }
}

/// Sum and extremes.
#[derive(Debug)]
struct Totals {
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals { sum: AtomicU64::new(0), min: AtomicU64::new(u64::MAX), max: AtomicU64::new(0) }
    }
}

impl Totals {
    /// Writes only where something changes: most values are small, many are 0.
    fn record_many(&self, value: u64, n: u64) {
        if value > 0 {
            self.sum.fetch_add(value.saturating_mul(n), Ordering::Relaxed);
        }
        if value < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }

    fn digest(&self, count: u64) -> Digest {
        let min = self.min.load(Ordering::Relaxed);
        Digest {
            count,
            sum: self.sum.load(Ordering::Relaxed),
            min: if min == u64::MAX { 0 } else { min },
            max: self.max.load(Ordering::Relaxed),
            percentiles: None,
        }
    }

    fn reset(&self) {
        self.sum.store(0, Ordering::Relaxed);
        self.max.store(0, Ordering::Relaxed);
        self.min.store(u64::MAX, Ordering::Relaxed);
    }
}

/// [`Basic`] with percentiles.
#[derive(Debug)]
pub struct Advanced {
    totals: Totals,
    /// How many values there were is what these amount to.
    buckets: Box<[AtomicU64; BUCKETS]>,
}

impl Advanced {
    /// A value, in the metric's unit.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// The same value, `n` times.
    pub fn record_many(&self, value: u64, n: u64) {
        if n > 0 {
            self.totals.record_many(value, n);
            self.buckets[bucket(value)].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The values so far.
    pub fn digest(&self) -> Digest {
        digest_of(std::iter::once(self))
    }
}

impl Metric for Advanced {
    fn new(_: u64) -> Self {
        let buckets = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Advanced { totals: Totals::default(), buckets }
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let value = Value::Digest(self.digest());
        to.push(Sample { name, key: None, kind: Kind::Advanced, help, value });
    }

    fn reset(&self) {
        self.totals.reset();
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

/// An [`Advanced`] that many threads record to all the time.
#[derive(Debug)]
pub struct HotAdvanced(PerThread<Advanced>);

impl HotAdvanced {
    /// The same value, `n` times.
    #[inline]
    pub fn record_many(&self, value: u64, n: u64) {
        self.0.mine().record_many(value, n);
    }

    /// The values so far.
    pub fn digest(&self) -> Digest {
        digest_of(self.0.iter())
    }
}

impl Metric for HotAdvanced {
    fn new(seed: u64) -> Self {
        HotAdvanced(PerThread::new(|| Advanced::new(seed)))
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        let value = Value::Digest(self.digest());
        to.push(Sample { name, key: None, kind: Kind::Advanced, help, value });
    }

    fn reset(&self) {
        self.0.iter().for_each(Advanced::reset);
    }
}

/// Values below this have a bucket each.
const EXACT: u64 = 32;
/// Buckets of a doubling, as a power of two.
const STEP_BITS: u32 = 4;
/// Doublings above [`EXACT`]; whatever lies above the last is counted in its last bucket. In
/// milliseconds that is more than twelve days.
const DOUBLINGS: usize = 25;
const BUCKETS: usize = EXACT as usize + (DOUBLINGS << STEP_BITS);

fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let doubling = value.ilog2() - EXACT.ilog2();
    let step = (value >> (value.ilog2() - STEP_BITS)) & ((1 << STEP_BITS) - 1);
    (EXACT as usize + ((doubling as usize) << STEP_BITS) + step as usize).min(BUCKETS - 1)
}

/// The smallest value of a bucket.
fn smallest(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
    let (doubling, step) = (above >> STEP_BITS, above & ((1 << STEP_BITS) - 1));
    let first = EXACT << doubling;
    first + (first >> STEP_BITS) * step as u64
}

fn digest_of<'a>(parts: impl Iterator<Item = &'a Advanced>) -> Digest {
    let mut digest = Digest::default();
    let mut buckets = [0_u64; BUCKETS];
    for part in parts {
        let mut count = 0;
        for (sum, bucket) in buckets.iter_mut().zip(&*part.buckets) {
            let n = bucket.load(Ordering::Relaxed);
            *sum += n;
            count += n;
        }
        digest = digest.and(part.totals.digest(count));
    }
    let total: u64 = buckets.iter().sum();
    let percentile = |of_thousand: u64| {
        let rank = (total * of_thousand).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        found.map_or(0, |bucket| smallest(bucket).clamp(digest.min, digest.max))
    };
    digest.percentiles = Some([500, 950, 990, 999].map(percentile));
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_all_zeros() {
        assert_eq!(Basic::new(0).digest(), Digest::default());
        let empty = Digest { percentiles: Some([0; 4]), ..Digest::default() };
        assert_eq!(Advanced::new(0).digest(), empty);
        assert_eq!(HotAdvanced::new(0).digest(), empty);
        assert_eq!(Digest::default().avg(), 0.0);
    }

    #[test]
    fn every_value_is_in_the_bucket_that_begins_at_or_below_it() {
        for bit in 0..40 {
            for value in [1_u64 << bit, (1 << bit) + 1, (3 << bit) / 2, (2 << bit) - 1] {
                let n = bucket(value);
                let first = smallest(n);
                assert!(first <= value, "{value}");
                if n + 1 < BUCKETS {
                    assert!(value < smallest(n + 1), "{value}");
                    assert!(value - first <= first / 16, "{value}");
                }
            }
        }
        assert!((1..BUCKETS).all(|n| smallest(n - 1) < smallest(n)));
    }

    #[test]
    fn percentiles_are_found_where_the_values_are() {
        let summary = Advanced::new(0);
        (1..=1000).for_each(|value| summary.record(value));
        let digest = summary.digest();
        assert_eq!((digest.count, digest.sum, digest.min, digest.max), (1000, 500_500, 1, 1000));
        for (found, exact) in digest.percentiles.unwrap().into_iter().zip([500, 950, 990, 999]) {
            assert!(found <= exact && exact - found <= exact / 16, "{found} for {exact}");
        }
    }

    #[test]
    fn a_lone_value_is_every_percentile() {
        let summary = Advanced::new(0);
        summary.record(1_000_000_007);
        assert_eq!(summary.digest().percentiles, Some([1_000_000_007; 4]));
    }

    #[test]
    fn what_threads_record_is_one_summary_and_a_reset_forgets_it() {
        let hot = HotAdvanced::new(0);
        std::thread::scope(|scope| {
            for value in 1..=20 {
                let hot = &hot;
                scope.spawn(move || hot.record_many(value, 10));
            }
        });
        let digest = hot.digest();
        assert_eq!((digest.count, digest.sum, digest.min, digest.max), (200, 2100, 1, 20));
        assert_eq!(digest.percentiles, Some([10, 19, 20, 20]));
        hot.reset();
        assert_eq!((hot.digest().count, hot.digest().max), (0, 0));
        hot.record_many(7, 1);
        assert_eq!((hot.digest().min, hot.digest().max), (7, 7));
    }
}
