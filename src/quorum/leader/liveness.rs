//! The leader's heart: a beat each half tick.
//!
//! Each beat pings the learners, and drops those that are silent for too long. Every second one is
//! a full tick, at which the leader must hear a quorum, or it leaves (C-212).

use super::learner_handler::Limits;
use crate::quorum::member::MemberOptions;

/// When it beats.
#[derive(Debug)]
pub struct Heart {
    half_tick_ms: u64,
    next_ms: u64,
    full: bool,
}

/// A beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Half a tick.
    Half,
    /// A full tick.
    Full,
}

impl Heart {
    /// It beats for the first time half a tick from now.
    pub fn new(tick_ms: u64, now_ms: u64) -> Self {
        let half_tick_ms = (tick_ms / 2).max(1);
        Heart { half_tick_ms, next_ms: now_ms.saturating_add(half_tick_ms), full: false }
    }

    /// The beat that is due. Those missed in a stall are not made up for.
    pub fn beat(&mut self, now_ms: u64) -> Option<Beat> {
        if now_ms < self.next_ms {
            return None;
        }
        self.next_ms = now_ms.saturating_add(self.half_tick_ms);
        self.full = !self.full;
        Some(if self.full { Beat::Half } else { Beat::Full })
    }

    /// When the next is due.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }
}

/// How long learners may be silent.
pub fn limits(options: &MemberOptions) -> Limits {
    Limits {
        init_ms: options.init_limit.saturating_mul(options.tick_ms),
        sync_ms: options.sync_limit.saturating_mul(options.tick_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_beat_is_a_full_tick() {
        let mut heart = Heart::new(2000, 500);
        assert_eq!((heart.beat(1499), heart.next_ms()), (None, 1500));
        assert_eq!(heart.beat(1500), Some(Beat::Half));
        assert_eq!(heart.beat(1501), None);
        assert_eq!(heart.beat(2600), Some(Beat::Full));
        assert_eq!(heart.beat(9000), Some(Beat::Half), "a stall is one beat");
        assert_eq!(heart.next_ms(), 10_000);
    }
}
