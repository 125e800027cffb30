//! The door through which time enters; no clock here.
//!
//! Cores take `now` as a plain value, and randomness as a seed, so that a simulation can hand them
//! any. The real clock is `server::clock`.

use std::time::Duration;

/// A moment: monotonic for deadlines, wall-clock for what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Milliseconds since some fixed moment of this process; never goes back.
    pub mono_ms: u64,
    /// Milliseconds since 1970; may jump.
    pub wall_ms: i64,
}

impl Instant {
    /// This moment and `duration`, on the monotonic clock.
    pub fn after(self, duration: Duration) -> u64 {
        self.mono_ms.saturating_add(duration.as_millis() as u64)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Instant;
    /// Nanoseconds on the monotonic clock, for measuring short stretches.
    fn nanos(&self) -> u64;
}
