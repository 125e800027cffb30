//! A date as Java's short date with a long time prints it in English.

use super::time_zone::TimeZone;

/// The moment `wall_ms`, milliseconds since 1970, as in `11/21/26, 7:26:55 PM UTC`.
pub fn short_date(wall_ms: i64, zone: &TimeZone) -> String {
    let seconds = wall_ms.div_euclid(1000);
    let (offset, name) = zone.at(seconds);
    let local = seconds.saturating_add(i64::from(offset));
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = date_of_day(days);
    let hour = second / 3600;
    format!(
        "{month}/{day}/{:02}, {}:{:02}:{:02} {} {name}",
        year.rem_euclid(100),
        if hour % 12 == 0 { 12 } else { hour % 12 },
        second / 60 % 60,
        second % 60,
        if hour < 12 { "AM" } else { "PM" },
    )
}

/// Year, month and day of a day since 1970. Years begin in March here, so that the leap day is a
/// year's last and every 400 of them are alike.
pub(super) fn date_of_day(days_since_1970: i64) -> (i64, i64, i64) {
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
pub(super) fn day_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_javas() {
        for (millis, text) in [
            (1_795_289_215_000, "11/21/26, 7:26:55 PM UTC"),
            (0, "1/1/70, 12:00:00 AM UTC"),
            (-1, "12/31/69, 11:59:59 PM UTC"),
            (951_825_600_000, "2/29/00, 12:00:00 PM UTC"),
        ] {
            assert_eq!(short_date(millis, &TimeZone::utc()), text);
        }
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for day in (-200_000..200_000).step_by(97) {
            let (year, month, of_month) = date_of_day(day);
            assert_eq!(day_of_date(year, month, of_month), day);
        }
    }
}
