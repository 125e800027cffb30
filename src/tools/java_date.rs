//! A date as Java's short date with a long time prints it in English.

use super::time_zone::TimeZone;
use crate::time::date_of_day;

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
}
