//! A word every few seconds while something takes long: how far it is, and how long it may take.

use crate::time::Clock;

/// What takes less is not spoken of.
const FIRST_AFTER_MS: u64 = 3000;
const THEN_EVERY_MS: u64 = 5000;

/// One thing that takes long.
pub struct Progress<'c> {
    clock: &'c dyn Clock,
    began_ms: u64,
    next_ms: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HowFar {
    /// Of 100; never more.
    pub percent: u64,
    /// What is left to do, at the pace so far.
    pub seconds_left: u64,
}

impl<'c> Progress<'c> {
    /// It begins now.
    pub fn new(clock: &'c dyn Clock) -> Self {
        let began_ms = clock.now().mono_ms;
        Progress { clock, began_ms, next_ms: began_ms + FIRST_AFTER_MS }
    }

    /// How far it is, if it is time to say so; `done` of `total` are done, in any unit, and
    /// `total` may be a guess.
    pub fn due(&mut self, done: u64, total: u64) -> Option<HowFar> {
        let now_ms = self.clock.now().mono_ms;
        if now_ms < self.next_ms {
            return None;
        }
        self.next_ms = now_ms + THEN_EVERY_MS;
        let (done, total) = (u128::from(done.max(1)), u128::from(total.max(done).max(1)));
        let spent_ms = u128::from(now_ms - self.began_ms);
        let seconds_left = (total - done) * spent_ms / done / 1000;
        let percent = (done * 100 / total) as u64;
        Some(HowFar { percent, seconds_left: u64::try_from(seconds_left).unwrap_or(u64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::time::Instant;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Instant {
            Instant { mono_ms: self.0.load(Ordering::Relaxed), wall_ms: 0 }
        }
        fn nanos(&self) -> u64 {
            self.now().mono_ms * 1_000_000
        }
    }

    #[test]
    fn it_speaks_after_three_seconds_and_then_every_five() {
        let clock = Hand::default();
        let mut progress = Progress::new(&clock);
        let mut spoken = Vec::new();
        for second in 1..=14 {
            clock.0.store(second * 1000, Ordering::Relaxed);
            spoken.extend(progress.due(second * 10, 200).map(|far| (second, far)));
        }
        let far = |percent, seconds_left| HowFar { percent, seconds_left };
        assert_eq!(spoken, [(3, far(15, 17)), (8, far(40, 12)), (13, far(65, 7))]);
    }

    #[test]
    fn a_guess_that_was_too_low_ends_at_the_whole() {
        let clock = Hand::default();
        let mut progress = Progress::new(&clock);
        clock.0.store(10_000, Ordering::Relaxed);
        assert_eq!(progress.due(50, 40), Some(HowFar { percent: 100, seconds_left: 0 }));
        clock.0.store(20_000, Ordering::Relaxed);
        assert_eq!(progress.due(0, 0), Some(HowFar { percent: 100, seconds_left: 0 }));
    }
}
