//! Values as Java prints them, for formats that tools parse.

use std::fmt;
use std::net::SocketAddr;

use crate::time::date_of_day;

/// A number as Java prints a double that was rounded to four decimals: `0.0`, `1.5`, `0.3333`.
pub fn double(value: f64) -> String {
    let rounded = (value * 10_000.0).round() / 10_000.0;
    if rounded >= 1e7 { format!("{rounded:E}") } else { format!("{rounded:?}") }
}

/// An `InetSocketAddress` without a host name: `/127.0.0.1:2181`, `/[0:0:0:0:0:0:0:1]:2181`.
pub struct Address(pub SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(address) => write!(f, "/{address}"),
            SocketAddr::V6(address) => {
                let [first, rest @ ..] = address.ip().segments();
                write!(f, "/[{first:x}")?;
                for group in rest {
                    write!(f, ":{group:x}")?;
                }
                write!(f, "]:{}", address.port())
            }
        }
    }
}

/// A `Date` in UTC, by milliseconds since 1970: `Wed Nov 25 18:17:01 UTC 2026`.
pub struct Date(pub i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let seconds = self.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date_of_day(days);
        write!(
            f,
            "{} {} {day:02} {:02}:{:02}:{:02} UTC {year:04}",
            WEEKDAYS[days.rem_euclid(7) as usize],
            MONTHS[(month - 1) as usize],
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_javas() {
        assert_eq!(double(0.0), "0.0");
        assert_eq!(double(1.5), "1.5");
        assert_eq!(double(2.0 / 3.0), "0.6667");
        assert_eq!(double(1e7), "1E7");
    }

    #[test]
    fn addresses_are_javas() {
        assert_eq!(Address("[::1]:2181".parse().unwrap()).to_string(), "/[0:0:0:0:0:0:0:1]:2181");
        assert_eq!(Address("1.2.3.4:5".parse().unwrap()).to_string(), "/1.2.3.4:5");
    }

    #[test]
    fn dates_are_javas() {
        for (millis, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_709_251_199_999, "Thu Feb 29 23:59:59 UTC 2024"),
            (1_709_251_200_000, "Fri Mar 01 00:00:00 UTC 2024"),
            (1_795_630_621_000, "Wed Nov 25 18:17:01 UTC 2026"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(Date(millis).to_string(), text);
        }
    }
}
