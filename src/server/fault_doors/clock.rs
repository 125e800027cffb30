//! A clock that jumps, or goes too fast or too slowly.

use std::sync::Arc;

use parking_lot::Mutex;

use super::orders::Control;
use crate::time::{Clock, Instant};

/// A clock, and what is ordered of it. Its monotonic time never goes back.
pub(super) struct DoorClock {
    real: Arc<dyn Clock>,
    control: Arc<Control>,
    seen: Mutex<Seen>,
}

/// Where the clock is, in nanoseconds.
#[derive(Default)]
struct Seen {
    /// On the real monotonic clock.
    real: u64,
    /// On this one.
    shown: u64,
    /// What a wrong pace has put the wall clock off by since it is wrong.
    drift: i64,
}

impl DoorClock {
    /// A clock that is `real` but for its orders.
    pub(super) fn new(real: Arc<dyn Clock>, control: Arc<Control>) -> Self {
        let start = real.nanos();
        let seen = Mutex::new(Seen { real: start, shown: start, drift: 0 });
        DoorClock { real, control, seen }
    }

    /// The monotonic time that is shown, and what the wall clock is off by, in nanoseconds.
    fn look(&self) -> (u64, i64) {
        let pace = self.control.orders().pace;
        let mut seen = self.seen.lock();
        let real = self.real.nanos();
        let passed = real.saturating_sub(seen.real);
        seen.real = seen.real.max(real);
        if pace == 1.0 {
            seen.shown += passed;
            seen.drift = 0;
        } else {
            let shown = (passed as f64 * pace) as u64;
            seen.shown += shown;
            seen.drift += shown as i64 - passed as i64;
        }
        (seen.shown, seen.drift)
    }
}

impl Clock for DoorClock {
    fn now(&self) -> Instant {
        let off_ms = self.control.orders().wall_ms;
        let (shown, drift) = self.look();
        let wall_ms = self.real.now().wall_ms + off_ms + drift / 1_000_000;
        Instant { mono_ms: shown / 1_000_000, wall_ms }
    }

    fn nanos(&self) -> u64 {
        self.look().0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::orders::testing::Ordered;
    use super::*;

    #[derive(Default)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn now(&self) -> Instant {
            let ms = self.0.load(Ordering::Relaxed);
            Instant { mono_ms: ms, wall_ms: ms as i64 + 1_000_000 }
        }

        fn nanos(&self) -> u64 {
            self.0.load(Ordering::Relaxed) * 1_000_000
        }
    }

    #[test]
    fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
        let (ordered, real) = (Ordered::new(), Arc::new(Set::default()));
        let clock = DoorClock::new(real.clone(), ordered.control.clone());
        real.0.store(100, Ordering::Relaxed);
        assert_eq!(clock.now(), Instant { mono_ms: 100, wall_ms: 1_000_100 });
        ordered.order("clock.wall_ms=60000");
        assert_eq!(clock.now(), Instant { mono_ms: 100, wall_ms: 1_060_100 });
        ordered.order("clock.wall_ms=-60000");
        assert_eq!(clock.now(), Instant { mono_ms: 100, wall_ms: 940_100 });
        ordered.order("");
        assert_eq!(clock.now(), Instant { mono_ms: 100, wall_ms: 1_000_100 });
    }

    #[test]
    fn another_pace_moves_both_clocks_and_only_the_wall_clock_comes_back() {
        let (ordered, real) = (Ordered::new(), Arc::new(Set::default()));
        let clock = DoorClock::new(real.clone(), ordered.control.clone());
        real.0.store(100, Ordering::Relaxed);
        assert_eq!(clock.nanos(), 100_000_000);
        ordered.order("clock.pace=2");
        real.0.store(200, Ordering::Relaxed);
        assert_eq!(clock.now(), Instant { mono_ms: 300, wall_ms: 1_000_300 });
        ordered.order("clock.pace=0.5");
        real.0.store(300, Ordering::Relaxed);
        assert_eq!(clock.now(), Instant { mono_ms: 350, wall_ms: 1_000_350 });
        ordered.order("");
        real.0.store(301, Ordering::Relaxed);
        assert_eq!(clock.now(), Instant { mono_ms: 351, wall_ms: 1_000_301 });
    }
}
