//! The sign of life that a connection leaves for the tracker.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// When a session was last heard of, and how long it may be silent.
///
/// Shared between the tracker and the connection that holds the session. A touch is a single
/// store: no lock, no message, no move between buckets. The tracker looks when the session's
/// bucket is due. The two fields are independent, and a look that misses a store of this very
/// moment sees it the next time, hence the relaxed order.
#[derive(Debug)]
pub struct SessionTouch {
    last_touch_mono_ms: AtomicU64,
    timeout_ms: AtomicI32,
}

impl SessionTouch {
    /// A session that was heard of at `mono_ms` and may be silent for `timeout_ms`.
    pub fn new(mono_ms: u64, timeout_ms: i32) -> Self {
        SessionTouch {
            last_touch_mono_ms: AtomicU64::new(mono_ms),
            timeout_ms: AtomicI32::new(timeout_ms),
        }
    }

    /// Any request of the session, ping included, arrived at `mono_ms` of the monotonic clock
    /// (C-013).
    pub fn touch(&self, mono_ms: u64) {
        self.last_touch_mono_ms.store(mono_ms, Ordering::Relaxed);
    }

    /// The last touch, in milliseconds of the monotonic clock.
    pub fn last_touch_mono_ms(&self) -> u64 {
        self.last_touch_mono_ms.load(Ordering::Relaxed)
    }

    /// The negotiated timeout in milliseconds.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms.load(Ordering::Relaxed)
    }

    /// Only the tracker may change the timeout: a shorter one moves the session between buckets.
    pub(super) fn set_timeout_ms(&self, timeout_ms: i32) {
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
    }
}
