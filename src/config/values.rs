//! Values as Java reads them: numbers, switches, paths, hosts.
//!
//! A function either understands the whole value or returns what would have been allowed; Apache's
//! way of silently falling back to the default is not repeated.

use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What is allowed in place of the value that was found: follows "must be".
pub type Allowed = String;

/// `Integer.parseInt` and `Long.parseLong`, as Apache reads the keys of its parser: decimal only.
pub fn decimal<T: TryFrom<i64>>(value: &str, range: RangeInclusive<i64>) -> Result<T, Allowed> {
    in_range(signed(value).and_then(|(minus, digits)| number(minus, digits, 10)), range)
}

/// `Integer.getInteger` and `Long.getLong`, as Apache reads properties: decimal, hexadecimal behind
/// `0x`, `0X` or `#`, octal behind `0`.
pub fn decoded<T: TryFrom<i64>>(value: &str, range: RangeInclusive<i64>) -> Result<T, Allowed> {
    let found = signed(value).and_then(|(minus, digits)| {
        let hex = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
        match (hex, digits.strip_prefix('0')) {
            (Some(hex), _) => number(minus, hex, 16),
            (None, Some(octal)) if !octal.is_empty() => number(minus, octal, 8),
            _ => number(minus, digits, 10),
        }
    });
    in_range(found, range)
}

/// `true` or `false`, upper and lower case counting as equal.
pub fn boolean(value: &str) -> Result<bool, Allowed> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("true or false".to_owned())
    }
}

/// `yes` or `no`, in lower case: Java compares exactly, so `forceSync=YES` and `forceSync=true`
/// turn it *off* there. Neither meaning can be guessed, hence neither is taken.
pub fn yes_no(value: &str) -> Result<bool, Allowed> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no (in lower case)".to_owned()),
    }
}

/// An interval in milliseconds: hours, or a number and its unit. As in Apache ZooKeeper what is not
/// positive is none.
pub fn interval_ms(value: &str) -> Result<u64, Allowed> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let with_unit = |(unit, ms): &(&str, u64)| Some((value.strip_suffix(unit)?.trim_end(), *ms));
    let (number, unit_ms) = UNITS.iter().find_map(with_unit).unwrap_or((value, 3_600_000));
    let number: i32 = decimal(number, i32::MIN.into()..=i32::MAX.into())
        .map_err(|_| "hours, or a number and ms, s, m, h or d".to_owned())?;
    Ok(u64::try_from(number).unwrap_or(0) * unit_ms)
}

/// A directory; relative ones are the caller's to warn about.
pub fn path(value: &str) -> Result<PathBuf, Allowed> {
    if value.is_empty() || value.contains('\0') {
        return Err("the path of a directory".to_owned());
    }
    Ok(PathBuf::from(value))
}

/// A host name or IP address; an IPv6 address may stand in brackets, which are taken off.
pub fn host(value: &str) -> Result<String, Allowed> {
    let bare = match value.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':')),
        None => Some(value),
    };
    let is_host = |host: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let port_appended = host.matches(':').count() == 1;
        !host.is_empty() && host.chars().all(fits) && !port_appended
    };
    bare.filter(is_host)
        .map(str::to_owned)
        .ok_or_else(|| "a host name or an IP address, without a port".to_owned())
}

fn signed(value: &str) -> Option<(bool, &str)> {
    let (minus, digits) = match value.as_bytes().first()? {
        b'-' => (true, &value[1..]),
        b'+' => (false, &value[1..]),
        _ => (false, value),
    };
    Some((minus, digits))
}

/// i128 holds every number that a range of i64 can be compared with.
fn number(minus: bool, digits: &str, radix: u32) -> Option<i128> {
    // from_str_radix would take a second sign.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // Too long for an i128 is out of every range.
    let value = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(if minus { -value } else { value })
}

fn in_range<T: TryFrom<i64>>(
    found: Option<i128>,
    range: RangeInclusive<i64>,
) -> Result<T, Allowed> {
    found
        .and_then(|value| i64::try_from(value).ok())
        .filter(|value| range.contains(value))
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (low, i64::MAX) => format!("a whole number, at least {low}"),
            (i64::MIN, high) => format!("a whole number, at most {high}"),
            (low, high) => format!("a whole number from {low} to {high}"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

    #[test]
    fn decimal_numbers_as_parse_int() {
        for (text, value) in [("0", 0), ("2181", 2181), ("+5", 5), ("-1", -1), ("010", 10)] {
            assert_eq!(decimal::<i64>(text, ANY), Ok(value), "{text}");
        }
        for text in ["", "+", "-", "0x10", "1.5", "1 2", "--1", "+-1", "1_000", "10s", "\u{661}"] {
            assert!(decimal::<i64>(text, ANY).is_err(), "{text}");
        }
    }

    #[test]
    fn property_numbers_as_get_integer() {
        for (text, value) in [
            ("0", 0),
            ("-0x10", -16),
            ("0X1f", 31),
            ("#fF", 255),
            ("010", 8),
            ("-010", -8),
            ("4194304", 4_194_304),
            ("0xfffff", 1_048_575),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(decoded::<i64>(text, ANY), Ok(value), "{text}");
        }
        for text in ["", "0x", "#", "08", "0x-1", "x1", "abc", "1e3", "99999999999999999999"] {
            assert!(decoded::<i64>(text, ANY).is_err(), "{text}");
        }
        assert!(decimal::<i64>(&"9".repeat(5000), ANY).is_err());
    }

    #[test]
    fn ranges_are_held_and_named() {
        assert_eq!(decimal::<i64>("65535", 0..=65535), Ok(65535));
        assert_eq!(
            decimal::<i64>("65536", 0..=65535),
            Err("a whole number from 0 to 65535".into())
        );
        assert_eq!(decimal::<i64>("0", 1..=i64::MAX), Err("a whole number, at least 1".into()));
        assert_eq!(decimal::<i64>("1", i64::MIN..=0), Err("a whole number, at most 0".into()));
        assert_eq!(decimal::<i64>("x", ANY), Err("a whole number".into()));
    }

    #[test]
    fn switches() {
        assert_eq!((boolean("TRUE"), boolean("False")), (Ok(true), Ok(false)));
        for text in ["", "yes", "1", "on", "truee"] {
            assert!(boolean(text).is_err(), "{text}");
        }
        assert_eq!((yes_no("yes"), yes_no("no")), (Ok(true), Ok(false)));
        for text in ["", "YES", "No", "true", "false", "1"] {
            assert!(yes_no(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        for (text, bare) in [
            ("0.0.0.0", "0.0.0.0"),
            ("zk-1.example.com", "zk-1.example.com"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(bare), "{text}");
        }
        for text in ["", "[::1", "[host]", "[]", "a b", "localhost:2181", "http://x", "a,b"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_is_hours_or_has_a_unit() {
        for (text, ms) in [
            ("24", 86_400_000),
            ("2h", 7_200_000),
            ("30m", 1_800_000),
            ("90s", 90_000),
            ("500ms", 500),
            ("1 d", 86_400_000),
            ("0", 0),
            ("-1", 0),
            ("0d", 0),
            ("2147483647d", 2_147_483_647 * 86_400_000),
        ] {
            assert_eq!(interval_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "h", "1w", "1.5h", "daily", "2147483648"] {
            assert!(interval_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path("/data"), Ok(PathBuf::from("/data")));
        assert!(path("").is_err());
        assert!(path("a\0b").is_err());
    }
}
