//! The door through which time enters; no clock here.
//!
//! Cores take `now` as a plain value, and randomness as a seed, so that a simulation can hand them
//! any. The real clock is `server::clock`. What a stored moment is called is arithmetic, and here too.

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

/// Year, month from 1 and day from 1 of a day since 1970, by the Gregorian calendar. Years begin in
/// March here, so that the leap day is a year's last and every 400 of them are alike.
pub fn date_of_day(days_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let days = days_since_1970 + 719_468; // since 1 March of year 0
    let (era, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day_of_month)
}

/// The day since 1970 of a date: the inverse of [`date_of_day`].
pub fn day_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for day in (-200_000..200_000).step_by(97) {
            let (year, month, of_month) = date_of_day(day);
            assert_eq!(day_of_date(year, month, of_month), day);
        }
    }
}
