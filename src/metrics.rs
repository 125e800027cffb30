//! Every metric: its name, its kind and its meaning.
//!
//! A [`Metrics`] is a value owned by a server, of handles that are resolved once. The handles are
//! the `metrics` crate's, over atomics that the four-letter words read.

mod count_set;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub use count_set::CountSet;
use metrics::{Counter, CounterFn, Gauge, GaugeFn};

/// What a server counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// `packets_received`: requests, words and handshakes taken from clients.
    pub packets_received: Count,
    /// `packets_sent`: replies and events given to clients.
    pub packets_sent: Count,
    /// `bytes_received`: bytes read from clients.
    pub bytes_received: Count,
    /// `connection_rejected`: connections closed at accept.
    pub connection_rejected: Count,
    /// `sessionless_connections_expired`: connections closed for want of a handshake.
    pub sessionless_connections_expired: Count,
    /// `stale_sessions_expired`: sessions ended by their timeout.
    pub stale_sessions_expired: Count,
    /// `fsync_threshold_exceed_count`: syncs of the log that took too long.
    pub fsync_threshold_exceed_count: Count,
    /// `quota_exceeded_error_per_namespace`: writes refused by a hard quota.
    pub quota_exceeded_error_per_namespace: CountSet,
    /// `throttled_ops`: requests that waited too long and were told so.
    pub throttled_ops: Count,
    /// `stale_requests`: requests let in although their clients can hardly wait for them any more.
    pub stale_requests: Count,
    /// `stale_requests_dropped`: those that were dropped.
    pub stale_requests_dropped: Count,
    /// `request_throttle_wait_count`: times that requests had to wait for others to finish.
    pub request_throttle_wait_count: Count,
    /// `large_requests_rejected`: connections closed because too many large requests were under way.
    pub large_requests_rejected: Count,
    /// `outstanding_requests`: submissions whose replies are not out yet.
    pub outstanding_requests: Level,
    /// `min_latency`, `avg_latency`, `max_latency`: from a request's receipt to its reply.
    pub latency: Latency,
}

impl Metrics {
    /// What `srst` does: latencies and counters begin anew. What stands for a present state
    /// stays, and so does the count of slow syncs, as in Apache ZooKeeper.
    pub fn reset(&self) {
        let Metrics {
            packets_received,
            packets_sent,
            bytes_received,
            connection_rejected,
            sessionless_connections_expired,
            stale_sessions_expired,
            fsync_threshold_exceed_count: _,
            quota_exceeded_error_per_namespace,
            throttled_ops,
            stale_requests,
            stale_requests_dropped,
            request_throttle_wait_count,
            large_requests_rejected,
            outstanding_requests: _,
            latency,
        } = self;
        latency.reset();
        quota_exceeded_error_per_namespace.reset();
        for count in [
            packets_received,
            packets_sent,
            bytes_received,
            connection_rejected,
            sessionless_connections_expired,
            stale_sessions_expired,
            throttled_ops,
            stale_requests,
            stale_requests_dropped,
            request_throttle_wait_count,
            large_requests_rejected,
        ] {
            count.reset();
        }
    }
}

/// A number that only grows, between resets.
#[derive(Debug)]
pub struct Count {
    handle: Counter,
    value: Arc<AtomicU64>,
}

impl Default for Count {
    fn default() -> Self {
        let value = Arc::new(AtomicU64::new(0));
        Count { handle: Counter::from_arc(value.clone()), value }
    }
}

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        if n > 0 {
            CounterFn::increment(&*self.value, n);
        }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Counts from 0 again (`srst`).
    pub fn reset(&self) {
        self.value.store(0, Ordering::Relaxed);
    }

    /// The handle, for an exporter.
    pub fn handle(&self) -> &Counter {
        &self.handle
    }
}

/// A number that goes up and down.
#[derive(Debug)]
pub struct Level {
    handle: Gauge,
    value: Arc<SignedLevel>,
}

#[derive(Debug, Default)]
struct SignedLevel(AtomicI64);

impl GaugeFn for SignedLevel {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as i64, Ordering::Relaxed);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as i64, Ordering::Relaxed);
    }

    fn set(&self, value: f64) {
        self.0.store(value as i64, Ordering::Relaxed);
    }
}

impl Default for Level {
    fn default() -> Self {
        let value = Arc::new(SignedLevel::default());
        Level { handle: Gauge::from_arc(value.clone()), value }
    }
}

impl Level {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.value.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number; one that is being counted down elsewhere reads as 0 at worst.
    pub fn get(&self) -> u64 {
        self.value.0.load(Ordering::Relaxed).max(0) as u64
    }

    /// The handle, for an exporter.
    pub fn handle(&self) -> &Gauge {
        &self.handle
    }
}

/// Milliseconds from receipt to reply.
#[derive(Debug)]
pub struct Latency {
    min: AtomicU64,
    max: AtomicU64,
    sum: AtomicU64,
    count: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency {
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }
}

impl Latency {
    /// `n` requests took `millis` each.
    pub fn record(&self, millis: u64, n: u64) {
        if n == 0 {
            return;
        }
        if millis < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(millis, Ordering::Relaxed);
        }
        if millis > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(millis, Ordering::Relaxed);
        }
        self.sum.fetch_add(millis * n, Ordering::Relaxed);
        self.count.fetch_add(n, Ordering::Relaxed);
    }

    /// Measures afresh (`srst`). What is recorded at this very moment may be lost in part.
    pub fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.sum.store(0, Ordering::Relaxed);
        self.max.store(0, Ordering::Relaxed);
        self.min.store(u64::MAX, Ordering::Relaxed);
    }

    /// The shortest, 0 before the first.
    pub fn min(&self) -> u64 {
        match self.min.load(Ordering::Relaxed) {
            u64::MAX => 0,
            millis => millis,
        }
    }

    /// The longest, 0 before the first.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// The mean, 0 before the first.
    pub fn avg(&self) -> f64 {
        match self.count.load(Ordering::Relaxed) {
            0 => 0.0,
            count => self.sum.load(Ordering::Relaxed) as f64 / count as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_start_at_zero() {
        let latency = Latency::default();
        assert_eq!((latency.min(), latency.avg(), latency.max()), (0, 0.0, 0));
        latency.record(4, 1);
        latency.record(1, 3);
        assert_eq!((latency.min(), latency.avg(), latency.max()), (1, 1.75, 4));
    }

    #[test]
    fn a_reset_keeps_what_is_the_case() {
        let metrics = Metrics::default();
        metrics.packets_received.add(3);
        metrics.outstanding_requests.add(2);
        metrics.fsync_threshold_exceed_count.add(1);
        metrics.latency.record(4, 1);
        metrics.reset();
        assert_eq!((metrics.packets_received.get(), metrics.latency.max()), (0, 0));
        assert_eq!((metrics.latency.min(), metrics.latency.avg()), (0, 0.0));
        assert_eq!(metrics.outstanding_requests.get(), 2);
        assert_eq!(metrics.fsync_threshold_exceed_count.get(), 1);
        metrics.latency.record(7, 1);
        assert_eq!((metrics.latency.min(), metrics.latency.max()), (7, 7));
    }
}
