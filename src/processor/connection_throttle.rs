//! `BlueThrottle`: how many sessions may begin in a time (`connection_throttle_*`).
//!
//! A bucket of tokens that fills as time goes by; each session that begins or goes on takes some,
//! and is refused if there are not enough. While the bucket stays empty, a part of the clients can
//! also be refused by chance, and the part grows: so those that come late in a crowd are not
//! refused more often than those that come early.

use crate::config::ConnectionThrottle;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A new session.
    New,
    /// A session that exists.
    Renewed,
}

/// The bucket.
#[derive(Debug)]
pub struct BlueThrottle {
    options: ConnectionThrottle,
    max_tokens: u64,
    fill_count: u64,
    tokens: u64,
    filled_ms: u64,
    /// The probability of a refusal by chance, and when it was changed last.
    drop: f64,
    changed_ms: u64,
    random: u64,
}

impl BlueThrottle {
    /// A full bucket at `now_ms`, or `None` if sessions are not limited. The weights and sizes are
    /// taken as Apache does: with weights the sizes count new sessions, and no kind costs less
    /// than a local session.
    pub fn new(options: ConnectionThrottle, now_ms: u64, seed: u64) -> Option<Self> {
        if options.tokens == 0 {
            return None;
        }
        let least = options.local_session_weight;
        let mut options = options;
        options.global_session_weight = options.global_session_weight.max(least);
        options.renew_session_weight = options.renew_session_weight.max(least);
        let scale =
            if options.weight_enabled { u64::from(options.global_session_weight) } else { 1 };
        let max_tokens = u64::from(options.tokens) * scale;
        let fill_count = u64::from(options.fill_count) * scale;
        Some(BlueThrottle {
            options,
            max_tokens,
            fill_count,
            tokens: max_tokens,
            filled_ms: now_ms,
            drop: 0.0,
            changed_ms: now_ms,
            random: seed | 1,
        })
    }

    /// Whether a client may have what it asks for; if so, its tokens are taken.
    pub fn admits(&mut self, asked: Asked, now_ms: u64) -> bool {
        let need = match asked {
            _ if !self.options.weight_enabled => 1,
            Asked::New => self.options.global_session_weight,
            Asked::Renewed => self.options.renew_session_weight,
        };
        self.fill(now_ms);
        if self.is_dropped_by_chance(now_ms) || self.tokens < u64::from(need) {
            return false;
        }
        self.tokens -= u64::from(need);
        true
    }

    /// Whole periods only: what is left of one counts for the next, however often clients come.
    fn fill(&mut self, now_ms: u64) {
        let period_ms = u64::from(self.options.fill_time_ms);
        let periods = now_ms.saturating_sub(self.filled_ms) / period_ms;
        let filled = self.tokens.saturating_add(periods.saturating_mul(self.fill_count));
        self.tokens = filled.min(self.max_tokens);
        self.filled_ms += periods * period_ms;
    }

    fn is_dropped_by_chance(&mut self, now_ms: u64) -> bool {
        let Some(freeze_ms) = self.options.freeze_time_ms else { return false };
        if now_ms.saturating_sub(self.changed_ms) > u64::from(freeze_ms) {
            let missing = self.max_tokens - self.tokens;
            let few = (self.max_tokens as f64 * self.options.decrease_ratio.get()).round() as u64;
            if self.tokens == 0 {
                self.drop = (self.drop + self.options.drop_increase.get()).min(1.0);
            } else if missing <= few {
                self.drop = (self.drop - self.options.drop_decrease.get()).max(0.0);
            }
            self.changed_ms = now_ms;
        }
        self.drop > 0.0 && self.next_random() < self.drop
    }

    /// xorshift64, as a number from 0 to below 1.
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn throttle(change: impl FnOnce(&mut ConnectionThrottle)) -> BlueThrottle {
        let mut options = Limits::default().connections;
        options.tokens = 10;
        options.fill_time_ms = 100;
        change(&mut options);
        BlueThrottle::new(options, 1000, 7).expect("it is on")
    }

    fn admitted(throttle: &mut BlueThrottle, asked: Asked, now_ms: u64) -> usize {
        (0..100).filter(|_| throttle.admits(asked, now_ms)).count()
    }

    #[test]
    fn without_tokens_there_is_no_bucket() {
        assert!(BlueThrottle::new(Limits::default().connections, 0, 7).is_none());
    }

    #[test]
    fn a_full_bucket_is_a_burst_and_then_it_fills() {
        let mut throttle = throttle(|_| {});
        assert_eq!(admitted(&mut throttle, Asked::New, 1000), 10);
        assert_eq!(admitted(&mut throttle, Asked::New, 1099), 0);
        assert_eq!(admitted(&mut throttle, Asked::Renewed, 1350), 3);
        // The half period from before counts.
        assert_eq!(admitted(&mut throttle, Asked::New, 1400), 1);
        assert_eq!(admitted(&mut throttle, Asked::New, 1_000_000), 10);
    }

    #[test]
    fn clients_that_come_all_the_time_do_not_keep_it_empty() {
        let mut throttle = throttle(|_| {});
        let count = (0..1000).filter(|ms| throttle.admits(Asked::New, 1000 + ms)).count();
        assert_eq!(count, 10 + 9);
    }

    #[test]
    fn with_weights_sizes_count_new_sessions_and_going_on_costs_less() {
        let mut throttle = throttle(|options| options.weight_enabled = true);
        assert_eq!(admitted(&mut throttle, Asked::New, 1000), 10);
        let mut throttle = self::throttle(|options| options.weight_enabled = true);
        assert_eq!(admitted(&mut throttle, Asked::Renewed, 1000), 15);
        assert_eq!(admitted(&mut throttle, Asked::New, 1199), 1);
        // No kind costs less than a local session.
        let mut throttle = self::throttle(|options| {
            options.weight_enabled = true;
            options.local_session_weight = 6;
        });
        assert_eq!(admitted(&mut throttle, Asked::Renewed, 1000), 10);
    }

    #[test]
    fn an_empty_bucket_makes_refusals_by_chance_likelier_and_a_full_one_rarer() {
        let mut throttle = throttle(|options| {
            options.freeze_time_ms = Some(10);
            options.fill_time_ms = 1_000_000;
        });
        assert_eq!(admitted(&mut throttle, Asked::New, 1000), 10);
        assert!(!throttle.admits(Asked::New, 1011));
        assert_eq!(throttle.drop, 0.02);
        assert!(!throttle.admits(Asked::New, 1021), "once in a freeze time");
        assert_eq!(throttle.drop, 0.02);
        for step in 2..200 {
            throttle.admits(Asked::New, 1000 + 11 * step);
        }
        assert_eq!(throttle.drop, 1.0);
        // A full bucket: nobody is admitted at first, then ever more.
        throttle.fill(30_000_000);
        assert!(!throttle.admits(Asked::New, 30_000_000));
        assert_eq!(throttle.drop, 0.998);
        let mut count = 0;
        for step in 1..2000 {
            count += usize::from(throttle.admits(Asked::New, 30_000_000 + 10_000_000 * step));
        }
        assert!((1000..1900).contains(&count), "{count}");
        assert_eq!(throttle.drop, 0.0);
    }
}
