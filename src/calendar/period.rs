//! The periods of a calendar, as dates: which date a day, week, month or year starts with.

use std::fmt;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// A day, week, month or year, and the date that it starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Period {
    Day,
    Week {
        first: Weekday,
    },
    /// A day that a month lacks is its last day.
    Month {
        first: i8,
    },
    Year {
        month: i8,
        first: i8,
    },
}

impl Period {
    pub(crate) const WEEK: Self = Self::Week { first: Weekday::Monday };
    pub(crate) const MONTH: Self = Self::Month { first: 1 };
    pub(crate) const YEAR: Self = Self::Year { month: 1, first: 1 };

    /// Returns the number of days, if every month had 30 and every year 365.
    pub(crate) const fn nominal_days(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week { .. } => 7,
            Self::Month { .. } => 30,
            Self::Year { .. } => 365,
        }
    }

    /// Returns the first date of the period that contains this date.
    pub(super) fn first_date(self, date: Date) -> Option<Date> {
        match self {
            Self::Day => Some(date),
            Self::Week { first } => date.checked_sub(i64::from(date.weekday().since(first)).days()).ok(),
            Self::Month { first } => match day_of_month(date, first) {
                start if start <= date => Some(start),
                _ => Some(day_of_month(date.first_of_month().yesterday().ok()?, first)),
            },
            Self::Year { month, first } => match day_of_year(date.year(), month, first)? {
                start if start <= date => Some(start),
                _ => day_of_year(date.year() - 1, month, first),
            },
        }
    }

    /// Returns the first date of the period after the one that starts with this date.
    pub(super) fn next(self, start: Date) -> Option<Date> {
        match self {
            Self::Day => start.tomorrow().ok(),
            Self::Week { .. } => start.checked_add(7.days()).ok(),
            Self::Month { first } => Some(day_of_month(start.last_of_month().tomorrow().ok()?, first)),
            Self::Year { month, first } => day_of_year(start.year() + 1, month, first),
        }
    }
}

/// Returns this day of the month of a date, or the last day of the month if it has no such day.
fn day_of_month(date: Date, day: i8) -> Date {
    let last = date.last_of_month();
    if day >= last.day() { last } else { date.with().day(day).build().unwrap_or(last) }
}

fn day_of_year(year: i16, month: i8, day: i8) -> Option<Date> {
    Some(day_of_month(Date::new(year, month, 1).ok()?, day))
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// # Text
///
/// A unit and, unless the start is the usual one, ` from {start}`.
impl Period {
    /// Returns the period of this unit with the usual start.
    pub(crate) fn of_unit(unit: &str) -> Result<Self, &'static str> {
        match unit {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::WEEK),
            "month" => Ok(Self::MONTH),
            "year" => Ok(Self::YEAR),
            _ => Err("expected calendar-day, calendar-week, calendar-month or calendar-year"),
        }
    }

    /// Returns the period with the start that a text names.
    pub(crate) fn starting_from(self, start: &str) -> Result<Self, &'static str> {
        match self {
            Self::Day => Err("a day has no other start than midnight; remove `from`"),
            Self::Week { .. } => match WEEKDAYS.iter().find(|(name, _)| *name == start) {
                Some((_, first)) => Ok(Self::Week { first: *first }),
                None => Err("expected the start of the week, such as `from sunday`"),
            },
            Self::Month { .. } => self.starting_on(number(start)),
            Self::Year { .. } => match start.split_once('-') {
                Some((month, day)) => self.starting_on_date(number(month), number(day)),
                None => Err(Self::START_OF_YEAR),
            },
        }
    }

    const START_OF_YEAR: &str = "expected the start of the year, a month and a day such as `from 04-06`";

    pub(crate) fn starting_on(self, day: u8) -> Result<Self, &'static str> {
        match (self, i8::try_from(day)) {
            (Self::Month { .. }, Ok(first @ 1..=31)) => Ok(Self::Month { first }),
            (Self::Month { .. }, _) => Err("expected the start of the month, a day from 1 to 31"),
            _ => Err("only a month starts on a day of the month"),
        }
    }

    pub(crate) fn starting_on_weekday(self, first: Weekday) -> Result<Self, &'static str> {
        match self {
            Self::Week { .. } => Ok(Self::Week { first }),
            _ => Err("only a week starts on a weekday"),
        }
    }

    pub(crate) fn starting_on_date(self, month: u8, day: u8) -> Result<Self, &'static str> {
        // Any leap year has every date.
        const LEAP_YEAR: i16 = 2000;
        let Self::Year { .. } = self else { return Err("only a year starts on a date") };
        match (i8::try_from(month), i8::try_from(day)) {
            (Ok(month), Ok(first)) if Date::new(LEAP_YEAR, month, first).is_ok() => {
                Ok(Self::Year { month, first })
            }
            _ => Err(Self::START_OF_YEAR),
        }
    }
}

/// Reads one or two digits. Returns 0, which is no day and no month, for anything else.
fn number(text: &str) -> u8 {
    let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(0) } else { 0 }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Day => f.write_str("calendar-day"),
            Self::WEEK => f.write_str("calendar-week"),
            Self::Week { first } => {
                let name =
                    WEEKDAYS.iter().find(|(_, weekday)| *weekday == first).map_or("", |(name, _)| name);
                write!(f, "calendar-week from {name}")
            }
            Self::MONTH => f.write_str("calendar-month"),
            Self::Month { first } => write!(f, "calendar-month from {first}"),
            Self::YEAR => f.write_str("calendar-year"),
            Self::Year { month, first } => write!(f, "calendar-year from {month:02}-{first:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// Returns the first dates of this period and of the next ones.
    fn starts(period: Period, of: Date, count: usize) -> Vec<String> {
        let first = period.first_date(of).unwrap();
        let starts = std::iter::successors(Some(first), |start| period.next(*start));
        starts.take(count).map(|date| date.to_string()).collect()
    }

    #[test]
    fn day_that_a_month_lacks_is_its_last_day() {
        let period = Period::MONTH.starting_on(31).unwrap();
        assert_eq!(
            starts(period, date(2027, 1, 30), 14),
            [
                "2026-12-31",
                "2027-01-31",
                "2027-02-28",
                "2027-03-31",
                "2027-04-30",
                "2027-05-31",
                "2027-06-30",
                "2027-07-31",
                "2027-08-31",
                "2027-09-30",
                "2027-10-31",
                "2027-11-30",
                "2027-12-31",
                "2028-01-31",
            ]
        );
        assert_eq!(starts(period, date(2028, 3, 30), 2), ["2028-02-29", "2028-03-31"]);
        let period = Period::MONTH.starting_on(30).unwrap();
        assert_eq!(starts(period, date(2027, 2, 28), 2), ["2027-02-28", "2027-03-30"]);
        assert_eq!(starts(period, date(2027, 2, 27), 1), ["2027-01-30"]);
    }

    #[test]
    fn month_starts_on_the_first_unless_another_day_is_set() {
        assert_eq!(starts(Period::MONTH, date(2028, 2, 29), 3), ["2028-02-01", "2028-03-01", "2028-04-01"]);
    }

    #[test]
    fn week_starts_on_its_first_weekday() {
        // A Wednesday.
        let day = date(2026, 4, 1);
        assert_eq!(starts(Period::WEEK, day, 2), ["2026-03-30", "2026-04-06"]);
        let from = |weekday| Period::WEEK.starting_on_weekday(weekday).unwrap();
        assert_eq!(starts(from(Weekday::Sunday), day, 2), ["2026-03-29", "2026-04-05"]);
        assert_eq!(starts(from(Weekday::Wednesday), day, 2), ["2026-04-01", "2026-04-08"]);
        assert_eq!(starts(from(Weekday::Thursday), day, 2), ["2026-03-26", "2026-04-02"]);
    }

    #[test]
    fn year_starts_on_its_first_date_also_on_29_february() {
        assert_eq!(starts(Period::YEAR, date(2027, 12, 31), 2), ["2027-01-01", "2028-01-01"]);
        let fiscal = Period::YEAR.starting_on_date(4, 6).unwrap();
        assert_eq!(starts(fiscal, date(2027, 4, 5), 2), ["2026-04-06", "2027-04-06"]);
        let leap = Period::YEAR.starting_on_date(2, 29).unwrap();
        assert_eq!(starts(leap, date(2027, 2, 27), 3), ["2026-02-28", "2027-02-28", "2028-02-29"]);
    }
}
