//! The real clock and the real randomness: the only place that asks the system for either.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::{Clock, Instant};

/// The system's clocks.
#[derive(Debug)]
pub struct RealClock {
    start: std::time::Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        RealClock { start: std::time::Instant::now() }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Instant {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant {
            mono_ms: self.start.elapsed().as_millis() as u64,
            wall_ms: since_1970.as_millis() as i64,
        }
    }

    fn nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// A number that an adversary cannot foresee, to seed hashes with.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
