//! Local time, from the system's zone database: where the JVM would print a date, so do the tools.
//!
//! The zone is `TZ`'s, else `/etc/localtime`'s, else UTC. A file of the database (TZif, RFC 9636)
//! holds the changes of the past, and in its last line the rule by which the future goes on, in
//! the form of POSIX's `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`.

use std::path::{Path, PathBuf};

use crate::persistence::Disk;
use crate::time::{date_of_day, day_of_date};

/// A zone: which offset and name hold at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone {
    /// Moments, in seconds since 1970, from which on an entry of `kinds` holds; ascending.
    changes: Vec<(i64, usize)>,
    kinds: Vec<Kind>,
    /// What holds behind the last change.
    rule: Option<Rule>,
}

/// Seconds east of UTC, and the abbreviation.
type Kind = (i32, String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    standard: Kind,
    /// Summer time, with its first and last moment in local time.
    summer: Option<(Kind, Change, Change)>,
}

/// The moment of a change in any year: a day, and seconds from its midnight on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    day: Day,
    seconds: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// Month, week of it (5 is the last), weekday from Sunday.
    OfWeek(i64, i64, i64),
    /// From 1; the leap day has no number.
    Julian(i64),
    /// From 0; the leap day counts.
    OfYear(i64),
}

/// Where systems keep the database.
const DATABASE: &str = "/usr/share/zoneinfo";
const LOCAL: &str = "/etc/localtime";

impl TimeZone {
    /// The zone of dates without one.
    pub fn utc() -> Self {
        TimeZone { changes: Vec::new(), kinds: vec![(0, "UTC".to_owned())], rule: None }
    }

    /// The zone that the variable `TZ` names; without it the system's. UTC when it is unknown.
    pub fn of_system(disk: &dyn Disk, tz: Option<&str>) -> Self {
        let file = |path: &Path| disk.read(path).ok().and_then(|bytes| parse_tzif(&bytes));
        let zone = match tz.map(|name| name.trim_start_matches(':')) {
            None => file(Path::new(LOCAL)),
            Some(name) => {
                let path = PathBuf::from(DATABASE).join(name);
                let rule = || parse_rule(name).map(TimeZone::of_rule);
                let named = !name.is_empty();
                named.then(|| file(&path)).flatten().or_else(rule)
            }
        };
        zone.unwrap_or_else(TimeZone::utc)
    }

    fn of_rule(rule: Rule) -> Self {
        TimeZone { changes: Vec::new(), kinds: vec![rule.standard.clone()], rule: Some(rule) }
    }

    /// Seconds east of UTC and the abbreviation at a moment, in seconds since 1970.
    pub fn at(&self, seconds: i64) -> (i32, &str) {
        let count = self.changes.partition_point(|(from, _)| *from <= seconds);
        let kind = match (&self.rule, count) {
            (Some(rule), n) if n == self.changes.len() => rule.at(seconds),
            (_, 0) => &self.kinds[0],
            (_, n) => &self.kinds[self.changes[n - 1].1],
        };
        (kind.0, &kind.1)
    }
}

impl Rule {
    fn at(&self, seconds: i64) -> &Kind {
        let Some((summer, first, last)) = &self.summer else { return &self.standard };
        let year = date_of_day((seconds + i64::from(self.standard.0)).div_euclid(86_400)).0;
        let begins = first.moment(year) - i64::from(self.standard.0);
        let ends = last.moment(year) - i64::from(summer.0);
        let is_summer = if begins < ends {
            (begins..ends).contains(&seconds)
        } else {
            // South of the equator summer goes over the turn of the year.
            !(ends..begins).contains(&seconds)
        };
        if is_summer { summer } else { &self.standard }
    }
}

impl Change {
    /// Seconds since 1970, in local time.
    fn moment(self, year: i64) -> i64 {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let new_year = day_of_date(year, 1, 1);
        let day = match self.day {
            Day::OfYear(n) => new_year + n,
            Day::Julian(n) => new_year + n - 1 + i64::from(is_leap && n >= 60),
            Day::OfWeek(month, week, weekday) => {
                let first = day_of_date(year, month, 1);
                // 1 January 1970 was a Thursday.
                let to_weekday = (weekday - (first + 4)).rem_euclid(7);
                let day = first + to_weekday + 7 * (week - 1);
                if date_of_day(day).1 == month { day } else { day - 7 }
            }
        };
        day * 86_400 + self.seconds
    }
}

/// Reads a file of the database; `None` when it is none.
fn parse_tzif(bytes: &[u8]) -> Option<TimeZone> {
    let (header, mut rest) = split(bytes, 44)?;
    if !header.starts_with(b"TZif") {
        return None;
    }
    // The first block has moments of four bytes, the second, from version 2 on, of eight.
    let version = header[4];
    let mut counts = counts(header)?;
    let mut width = 4;
    if version >= b'2' {
        rest = split(rest, counts.block_size(4))?.1;
        let (header, behind) = split(rest, 44)?;
        counts = self::counts(header)?;
        (rest, width) = (behind, 8);
    }
    let (moments, rest) = split(rest, counts.changes.checked_mul(width)?)?;
    let (indices, rest) = split(rest, counts.changes)?;
    let (kinds, rest) = split(rest, counts.kinds.checked_mul(6)?)?;
    let (names, rest) = split(rest, counts.name_bytes)?;
    let kinds = kinds.chunks_exact(6).map(|kind| {
        let offset = i32::from_be_bytes(kind[..4].try_into().ok()?);
        let name = names.get(usize::from(kind[5])..)?.split(|&b| b == 0).next()?;
        Some((offset, String::from_utf8_lossy(name).into_owned()))
    });
    let kinds: Vec<Kind> = kinds.collect::<Option<_>>()?;
    let changes = moments.chunks_exact(width).zip(indices).map(|(moment, &index)| {
        let moment = match width {
            8 => i64::from_be_bytes(moment.try_into().ok()?),
            _ => i64::from(i32::from_be_bytes(moment.try_into().ok()?)),
        };
        (usize::from(index) < kinds.len()).then_some((moment, usize::from(index)))
    });
    let changes = changes.collect::<Option<_>>()?;
    if kinds.is_empty() {
        return None;
    }
    let footer = rest.get(counts.tail_size(width)..).filter(|_| version >= b'2');
    let line = footer.and_then(|footer| footer.split(|&b| b == b'\n').nth(1));
    let rule = line.and_then(|line| parse_rule(std::str::from_utf8(line).ok()?));
    Some(TimeZone { changes, kinds, rule })
}

struct Counts {
    changes: usize,
    kinds: usize,
    name_bytes: usize,
    leaps: usize,
    marks: usize,
}

impl Counts {
    fn block_size(&self, width: usize) -> usize {
        self.changes * (width + 1) + self.kinds * 6 + self.name_bytes + self.tail_size(width)
    }

    /// Leap seconds and two kinds of marks, none of which is looked at.
    fn tail_size(&self, width: usize) -> usize {
        self.leaps * (width + 4) + self.marks
    }
}

fn counts(header: &[u8]) -> Option<Counts> {
    let count = |i: usize| {
        let field = header.get(20 + 4 * i..24 + 4 * i)?;
        // No zone has so many of anything.
        usize::try_from(u32::from_be_bytes(field.try_into().ok()?)).ok().filter(|&n| n < 1 << 20)
    };
    Some(Counts {
        changes: count(3)?,
        kinds: count(4)?,
        name_bytes: count(5)?,
        leaps: count(2)?,
        marks: count(0)? + count(1)?,
    })
}

fn split(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(at)
}

/// Reads a rule in the form of POSIX's `TZ`.
fn parse_rule(text: &str) -> Option<Rule> {
    let mut rest = text;
    let name = take_name(&mut rest)?;
    let standard = (-take_hours(&mut rest)? as i32, name);
    if rest.is_empty() {
        return Some(Rule { standard, summer: None });
    }
    let name = take_name(&mut rest)?;
    let offset = match rest.starts_with(',') {
        true => standard.0 + 3600,
        false => -take_hours(&mut rest)? as i32,
    };
    let mut changes = rest.strip_prefix(',')?.split(',').map(parse_change);
    let (first, last) = (changes.next()??, changes.next()??);
    Some(Rule { standard, summer: Some(((offset, name), first, last)) })
}

/// Letters, or anything in `<>`.
fn take_name(rest: &mut &str) -> Option<String> {
    let (name, behind) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            rest.split_at(end)
        }
    };
    *rest = behind;
    (name.len() >= 3).then(|| name.to_owned())
}

/// `[+-]hours[:minutes[:seconds]]`, in seconds.
fn take_hours(rest: &mut &str) -> Option<i64> {
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | ':'))
        .unwrap_or(rest.len());
    let (text, behind) = rest.split_at(end);
    *rest = behind;
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok().filter(|n| (0..=167).contains(n))? * unit;
    }
    Some(sign * seconds)
}

fn parse_change(text: &str) -> Option<Change> {
    let (day, time) = text.split_once('/').unwrap_or((text, "2"));
    let mut time = time;
    let seconds = take_hours(&mut time)?;
    let number = |text: &str, least: i64, most: i64| {
        text.parse::<i64>().ok().filter(|n| (least..=most).contains(n))
    };
    let day = if let Some(of_week) = day.strip_prefix('M') {
        let mut parts = of_week.split('.');
        let month = number(parts.next()?, 1, 12)?;
        let week = number(parts.next()?, 1, 5)?;
        Day::OfWeek(month, week, number(parts.next()?, 0, 6)?)
    } else if let Some(julian) = day.strip_prefix('J') {
        Day::Julian(number(julian, 1, 365)?)
    } else {
        Day::OfYear(number(day, 0, 365)?)
    };
    Some(Change { day, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::RealDisk;

    fn rule(text: &str) -> TimeZone {
        TimeZone::of_rule(parse_rule(text).expect("a rule"))
    }

    #[test]
    fn summer_begins_and_ends_by_the_rule() {
        let berlin = rule("CET-1CEST,M3.5.0,M10.5.0/3");
        // 29 March 2026 and 25 October 2026, 01:00 UTC each.
        assert_eq!(berlin.at(1_774_745_999), (3600, "CET"));
        assert_eq!(berlin.at(1_774_746_000), (7200, "CEST"));
        assert_eq!(berlin.at(1_792_889_999), (7200, "CEST"));
        assert_eq!(berlin.at(1_792_890_000), (3600, "CET"));
    }

    #[test]
    fn summer_in_the_south_goes_over_the_turn_of_the_year() {
        let sydney = rule("AEST-10AEDT,M10.1.0,M4.1.0/3");
        assert_eq!(sydney.at(1_767_225_600), (39_600, "AEDT"), "1 January 2026");
        assert_eq!(sydney.at(1_782_864_000), (36_000, "AEST"), "1 July 2026");
    }

    #[test]
    fn names_and_offsets_have_several_forms() {
        assert_eq!(rule("<-03>3").at(0), (-10_800, "-03"));
        assert_eq!(rule("IST-5:30").at(0), (19_800, "IST"));
        assert_eq!(rule("EST5EDT,J60,J300").at(0), (-18_000, "EST"));
        for wrong in ["", "5", "X5", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0", "CET-1CEST,M3.5.0"] {
            assert_eq!(parse_rule(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_database_is_read_where_there_is_one() {
        let zone = TimeZone::of_system(&RealDisk, Some("Europe/Berlin"));
        if zone != TimeZone::utc() {
            assert_eq!(zone.at(1_774_746_000), (7200, "CEST"));
            assert_eq!(zone.at(1_000_000_000), (7200, "CEST"), "a change of the past");
            assert_eq!(zone.at(946_684_800), (3600, "CET"));
        }
        assert_eq!(TimeZone::of_system(&RealDisk, Some("No/Where")), TimeZone::utc());
        assert_eq!(TimeZone::of_system(&RealDisk, Some("")), TimeZone::utc());
        assert_eq!(TimeZone::of_system(&RealDisk, Some("EST5")).at(0), (-18_000, "EST"));
    }

    #[test]
    fn no_bytes_of_a_file_are_believed() {
        let mut bytes = b"TZif2".to_vec();
        bytes.resize(44, 0xff);
        assert_eq!(parse_tzif(&bytes), None);
        bytes[4] = 0;
        assert_eq!(parse_tzif(&bytes), None);
        assert_eq!(parse_tzif(b"TZif"), None);
    }
}
