//! Timestamps at the start of the lines of a system log.
//!
//! ```text
//! Jun  9 03:11:02 …                        RFC 3164: local time, without a year and without an offset
//! Jun  9 2026 03:11:02 …                   the same with a year
//! Tue Jun  9 03:11:02 2026 …               OpenWrt
//! 2026-06-09T03:11:02.250000+02:00 …       RFC 3339, also with an offset like +0200, or Z, or none
//! 2026-06-09 03:11:02.250000+0200 …        the same with a space, as of `log show` of macOS
//! Tue 2026-06-09 03:11:02 UTC …            journalctl -o short-full; other zones have no offset
//! 1781006407.250000 …                      journalctl -o short-unix
//! ```
//!
//! A time without an offset is read as if it were UTC. In autumn, when clocks are put back, one
//! hour of it occurs twice.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use limited::Timestamp;

use super::line::Malformed;

/// Reads timestamps, and completes those without a year: each gets the year that puts it nearest to
/// the previous line, so a log may continue into the next year.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    year: i16,
    last: Option<DateTime>,
}

/// How the time of a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// With a year and an offset from UTC.
    Offset,
    /// With a year, without an offset.
    Year,
    /// Without either.
    Bare,
}

/// A timestamp and the rest of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamped<'a> {
    pub(crate) time: Timestamp,
    pub(crate) clock: Clock,
    pub(crate) rest: &'a str,
}

impl Stamps {
    /// Starts with this year for the first line without a year.
    pub(crate) const fn new(year: i16) -> Self {
        Self { year, last: None }
    }

    pub(crate) fn read<'a>(&mut self, line: &'a str) -> Result<Stamped<'a>, Malformed> {
        let (weekday, after) = word(line);
        let has_weekday = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday);
        let line = if has_weekday { after } else { line };
        let stamped = if line.starts_with(|character: char| character.is_ascii_digit()) {
            year_first(line, has_weekday)?
        } else {
            self.month_first(line, has_weekday)?
        };
        self.passed(stamped.time);
        Ok(stamped)
    }

    /// Remembers the time of a line.
    pub(crate) fn passed(&mut self, time: Timestamp) {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        self.last = jiff::Timestamp::from_second(seconds).ok().map(|time| TimeZone::UTC.to_datetime(time));
    }

    /// Reads `Jun  9 03:11:02`. The year comes before the time, or after it if there is a weekday.
    fn month_first<'a>(&self, line: &'a str, has_weekday: bool) -> Result<Stamped<'a>, Malformed> {
        let (month, rest) = word(line);
        let (day, rest) = word(rest);
        let month = month_number(month).ok_or(Malformed::NoTime)?;
        let day = day.parse().map_err(|_| Malformed::NoTime)?;
        let (before, rest) = year(rest).map_or((None, rest), |(year, rest)| (Some(year), rest));
        let (time, rest) = word(rest);
        let time = Time::strptime("%H:%M:%S%.f", time).map_err(|_| Malformed::NoTime)?;
        let (after, rest) = match has_weekday {
            true => year(rest).map(|(year, rest)| (Some(year), rest)).ok_or(Malformed::NoTime)?,
            false => (None, rest),
        };
        let (time, clock) = match before.or(after) {
            Some(year) => {
                let date = Date::new(year, month, day).map_err(|_| Malformed::NoTime)?;
                (date.to_datetime(time), Clock::Year)
            }
            None => (self.with_year(month, day, time).ok_or(Malformed::Year)?, Clock::Bare),
        };
        Ok(Stamped { time: timestamp(utc(time).ok_or(Malformed::Year)?)?, clock, rest })
    }

    fn with_year(&self, month: i8, day: i8, time: Time) -> Option<DateTime> {
        const HALF_A_YEAR: i64 = 184 * 86_400;

        let Some(last) = self.last else {
            return Date::new(self.year, month, day).ok().map(|date| date.to_datetime(time));
        };
        let distance = |time: &DateTime| time.duration_since(last).as_secs().abs();
        (-1..=1)
            .filter_map(|years| Date::new(last.year().checked_add(years)?, month, day).ok())
            .map(|date| date.to_datetime(time))
            .filter(|time| distance(time) <= HALF_A_YEAR)
            .min_by_key(distance)
    }
}

/// Reads a time in the order of ISO 8601, or in seconds since 1970.
fn year_first(line: &str, has_weekday: bool) -> Result<Stamped<'_>, Malformed> {
    let (first, after_first) = word(line);
    if first.contains('T') {
        let (time, clock) = read_iso(first).ok_or(Malformed::NoTime)?;
        return Ok(Stamped { time: timestamp(time)?, clock, rest: after_first });
    }
    if let Some(time) = read_unix(first) {
        return Ok(Stamped { time, clock: Clock::Offset, rest: after_first });
    }
    let (second, after_second) = word(after_first);
    let (third, after_third) = word(after_second);
    let text = format!("{first}T{}", second.replace(',', "."));
    let (time, clock) = read_iso(&text).ok_or(Malformed::NoTime)?;
    let zoned = match third {
        "UTC" | "GMT" | "Z" => Some((time, Clock::Offset)),
        // An offset as a word of its own.
        _ if third.starts_with(['+', '-']) => {
            Some(read_iso(&format!("{text}{third}")).ok_or(Malformed::NoTime)?)
        }
        _ if has_weekday => return Err(Malformed::Zone),
        _ => None,
    };
    match zoned {
        Some((time, clock)) => Ok(Stamped { time: timestamp(time)?, clock, rest: after_third }),
        None => Ok(Stamped { time: timestamp(time)?, clock, rest: after_second }),
    }
}

/// Returns the first word of a text and what follows it, without the spaces between.
pub(crate) fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    (word, rest.trim_start_matches(' '))
}

fn year(text: &str) -> Option<(i16, &str)> {
    let (word, rest) = word(text);
    (word.len() == 4).then(|| word.parse().ok()).flatten().map(|year| (year, rest))
}

fn read_iso(text: &str) -> Option<(jiff::Timestamp, Clock)> {
    let with_offset = text.parse().or_else(|_| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text));
    match with_offset {
        Ok(time) => Some((time, Clock::Offset)),
        Err(_) => {
            let time = DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", text).ok()?;
            Some((utc(time)?, Clock::Year))
        }
    }
}

/// Reads seconds since 1970 with a fraction.
fn read_unix(text: &str) -> Option<Timestamp> {
    const FRACTION: usize = 9;

    let (seconds, fraction) = text.split_once('.')?;
    if !(1..=FRACTION).contains(&fraction.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<FRACTION$}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(Timestamp::from_nanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

fn utc(time: DateTime) -> Option<jiff::Timestamp> {
    TimeZone::UTC.to_timestamp(time).ok()
}

fn timestamp(time: jiff::Timestamp) -> Result<Timestamp, Malformed> {
    u64::try_from(time.as_nanosecond()).map(Timestamp::from_nanos).map_err(|_| Malformed::TimeOutOfRange)
}

fn month_number(name: &str) -> Option<i8> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

    let at = MONTHS.find(name).filter(|at| name.len() == 3 && at % 3 == 0)?;
    i8::try_from(at / 3 + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(stamps: &mut Stamps, line: &str) -> u64 {
        stamps.read(line).unwrap().time.as_secs()
    }

    #[test]
    fn every_kind_of_timestamp_is_parsed() {
        let mut stamps = Stamps::new(2026);
        let expected = Timestamp::from_secs(1_780_974_662);
        for (written, clock) in [
            ("Jun  9 03:11:02", Clock::Bare),
            ("Jun 9 03:11:02", Clock::Bare),
            ("Jun 09 03:11:02", Clock::Bare),
            ("Jun  9 2026 03:11:02", Clock::Year),
            ("Tue Jun  9 03:11:02 2026", Clock::Year),
            ("2026-06-09T03:11:02Z", Clock::Offset),
            ("2026-06-09T05:11:02+02:00", Clock::Offset),
            ("2026-06-09T05:11:02+0200", Clock::Offset),
            ("2026-06-09T03:11:02", Clock::Year),
            ("2026-06-09 03:11:02", Clock::Year),
            ("2026-06-09 03:11:02,000", Clock::Year),
            ("2026-06-09 05:11:02.000000+0200", Clock::Offset),
            ("2026-06-09 05:11:02 +0200", Clock::Offset),
            ("2026-06-09 03:11:02 UTC", Clock::Offset),
            ("Tue 2026-06-09 03:11:02 UTC", Clock::Offset),
            ("1780974662.000000", Clock::Offset),
        ] {
            let line = format!("{written} gate sshd[7]: x");
            let stamped = Stamped { time: expected, clock, rest: "gate sshd[7]: x" };
            assert_eq!(stamps.read(&line), Ok(stamped), "{line}");
        }
        let fine = stamps.read("2026-06-09T03:11:02.250001-00:00 gate").unwrap().time;
        assert_eq!(fine, Timestamp::from_nanos(1_780_974_662_250_001_000));
        assert_eq!(
            stamps.read("Jun  9 03:11:02.25 gate").unwrap().time.as_nanos() % 1_000_000_000,
            250_000_000
        );
    }

    #[test]
    fn log_continues_into_the_next_year_and_a_late_line_belongs_to_the_previous_year() {
        let mut stamps = Stamps::new(2025);
        let before = seconds(&mut stamps, "Dec 31 23:59:59 x");
        assert_eq!(seconds(&mut stamps, "Jan  1 00:00:01 x"), before + 2);
        assert_eq!(seconds(&mut stamps, "Dec 31 23:59:58 x"), before - 1);
        assert_eq!(seconds(&mut stamps, "Jan  1 00:00:02 x"), before + 3);
    }

    #[test]
    fn february_29_needs_a_leap_year() {
        assert!(Stamps::new(2024).read("Feb 29 00:00:00 x").is_ok());
        assert_eq!(Stamps::new(2026).read("Feb 29 00:00:00 x"), Err(Malformed::Year));
        let mut stamps = Stamps::new(2025);
        stamps.read("Feb 28 23:59:59 x").unwrap();
        assert_eq!(stamps.read("Feb 29 00:00:00 x"), Err(Malformed::Year));
    }

    #[test]
    fn name_of_a_zone_is_an_error() {
        let read = |line| Stamps::new(2026).read(line);
        assert_eq!(read("Tue 2026-06-09 03:11:02 CEST gate sshd[7]: x"), Err(Malformed::Zone));
    }

    #[test]
    fn year_of_a_line_is_that_of_the_line_before() {
        let mut stamps = Stamps::new(2020);
        let before = seconds(&mut stamps, "2026-06-09T03:11:02Z x");
        assert_eq!(seconds(&mut stamps, "Jun  9 03:11:03 x"), before + 1);
    }

    #[test]
    fn invalid_timestamp_is_an_error() {
        for line in [
            "",
            " ",
            "x",
            "Jun",
            "Jun 9",
            "Jun x 03:11:02 y",
            "Jun 9 25:11:02 y",
            "Jux 9 03:11:02",
            "anF 9 03:11:02",
            "JanFeb 9 03:11:02",
            "2026-06-09 x",
            "2026-06-09T03:11 +x",
            "Tue Jun  9 03:11:02 gate",
            "1780974662 x",
            "[    3.123456] x",
            "9 Jun 03:11:02 x",
            "é",
        ] {
            assert_eq!(Stamps::new(2026).read(line), Err(Malformed::NoTime), "{line}");
        }
        assert_eq!(Stamps::new(2026).read("Jun 31 03:11:02 x"), Err(Malformed::Year));
        for line in ["1969-12-31T23:59:59Z x", "2600-01-01T00:00:00Z x"] {
            assert_eq!(Stamps::new(2026).read(line), Err(Malformed::TimeOutOfRange));
        }
        assert_eq!(Stamps::new(1000).read("Jun  9 03:11:02 x"), Err(Malformed::TimeOutOfRange));
    }
}
