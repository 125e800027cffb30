//! A line of the log that clients can cause, written at most once in a while.
//!
//! A thousand refused connections a second must not become a thousand lines a second.

use std::sync::atomic::{AtomicU64, Ordering};

/// The least time between two lines, in milliseconds.
const PERIOD_MS: u64 = 1000;

/// One kind of line.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// When the next line may be written; 0 before the first.
    next_ms: AtomicU64,
    withheld: AtomicU64,
}

impl LogLimit {
    /// Whether a line may be written at `now_ms`; if so, how many were withheld before it.
    pub fn admit(&self, now_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let due = now_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, now_ms + PERIOD_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if due {
            return Some(self.withheld.swap(0, Ordering::Relaxed));
        }
        self.withheld.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_within_a_period_are_counted_instead() {
        let limit = LogLimit::default();
        assert_eq!(limit.admit(5), Some(0));
        assert_eq!((limit.admit(5), limit.admit(1004)), (None, None));
        assert_eq!(limit.admit(1005), Some(2));
        assert_eq!(limit.admit(1006), None);
    }
}
