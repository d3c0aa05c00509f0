//! Timestamps at the start of the lines of a system log.
//!
//! ```text
//! Jun  9 03:11:02 …                        RFC 3164: local time, without a year and without an offset
//! 2026-06-09T03:11:02.250000+02:00 …       RFC 3339, also with an offset like +0200, or Z
//! ```
//!
//! The first kind is read as if it were UTC. In autumn, when clocks are put back, one hour occurs
//! twice.

use jiff::civil::{Date, DateTime, Time};
use limited::Timestamp;

use super::line::Malformed;

/// Reads timestamps, and completes those without a year: each gets the year that puts it nearest to
/// the previous line, so a log may continue into the next year.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    year: i16,
    last: Option<DateTime>,
}

/// A timestamp and the rest of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamped<'a> {
    pub(crate) time: Timestamp,
    pub(crate) has_year: bool,
    pub(crate) rest: &'a str,
}

impl Stamps {
    /// Starts with this year for the first line without a year.
    pub(crate) const fn new(year: i16) -> Self {
        Self { year, last: None }
    }

    pub(crate) fn read<'a>(&mut self, line: &'a str) -> Result<Stamped<'a>, Malformed> {
        if line.starts_with(|character: char| character.is_ascii_digit()) {
            let (word, rest) = word(line);
            let time = read_rfc3339(word).ok_or(Malformed::NoTime)?;
            return Ok(Stamped { time: timestamp(time)?, has_year: true, rest });
        }
        let (month, rest) = word(line);
        let (day, rest) = word(rest);
        let (time, rest) = word(rest);
        let month = month_number(month).ok_or(Malformed::NoTime)?;
        let day = day.parse().map_err(|_| Malformed::NoTime)?;
        let time = Time::strptime("%H:%M:%S%.f", time).map_err(|_| Malformed::NoTime)?;
        let time = self.with_year(month, day, time).ok_or(Malformed::Year)?;
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| Malformed::Year)?;
        let stamped = Stamped { time: timestamp(zoned.timestamp())?, has_year: false, rest };
        self.last = Some(time);
        Ok(stamped)
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

/// Returns the first word of a text and what follows it, without the spaces between.
pub(crate) fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    (word, rest.trim_start_matches(' '))
}

fn read_rfc3339(text: &str) -> Option<jiff::Timestamp> {
    text.parse().or_else(|_| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text)).ok()
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
    fn both_kinds_of_timestamp_are_parsed() {
        let mut stamps = Stamps::new(2026);
        let expected = Timestamp::from_secs(1_780_974_662);
        for (line, has_year) in [
            ("Jun  9 03:11:02 gate sshd[7]: x", false),
            ("Jun 9 03:11:02 gate sshd[7]: x", false),
            ("Jun 09 03:11:02 gate sshd[7]: x", false),
            ("2026-06-09T03:11:02Z gate sshd[7]: x", true),
            ("2026-06-09T05:11:02+02:00 gate sshd[7]: x", true),
            ("2026-06-09T05:11:02+0200 gate sshd[7]: x", true),
        ] {
            let stamped = Stamped { time: expected, has_year, rest: "gate sshd[7]: x" };
            assert_eq!(stamps.read(line), Ok(stamped), "{line}");
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
            "2026-06-09 03:11:02 x",
            "2026-06-09T03:11:02 x",
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
