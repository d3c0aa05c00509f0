//! Quotas per day, week, month and year of a calendar.

use std::ops::Range;
use std::time::Duration;

use jiff::civil::Weekday;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use limited_core::{Timestamp, WindowLength};

use super::{Quota, QuotaError, Words};
use crate::calendar::{Calendar, Period};

/// # Calendar quotas
///
/// With the feature `calendar`, a window can be a day, week, month or year of the calendar in a
/// time zone of [`jiff`], which is part of the public interface. Such a quota
/// [needs](crate::Algorithm#calendar-quotas) the algorithm
/// [`FixedWindow`](crate::Algorithm::FixedWindow).
///
/// ```
/// use jiff::tz::TimeZone;
/// use limited::{Limiter, Quota, memory::MemoryBackend};
///
/// let quota = Quota::per_calendar_month(1_000, TimeZone::get("Europe/Berlin")?).starting_on(31)?;
/// assert_eq!(quota, "1000/calendar-month from 31 in Europe/Berlin".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Days.** A day starts at midnight in the zone. It has 23 or 25 hours if daylight saving time
/// starts or ends. If a clock that is set forward skips midnight, the day starts at that change. If
/// a clock that is set back shows midnight twice, it starts at the first one.
///
/// **Counters.** The identity of a counter contains the start and the end of its window, but not
/// the zone. Two quotas share a counter while both are equal, such as those of Berlin and of Paris.
///
/// **Time zones.** The data is that of the system (`/usr/share/zoneinfo`), and on Windows a copy in
/// the program. If a container has none, enable the feature `tzdb-bundle-always` of `jiff`. A quota
/// keeps the rules that its zone had when it was created. Processes with different data for a zone
/// count apart, while the rules differ about the current window.
///
/// **Memory.** Each combination of period, start and zone takes some hundred bytes, once, until the
/// process ends. So take zones from a configuration or an account, not from requests.
///
/// **Cost.** A decision reads the last window from one atomic number. Only a decision in another
/// window calculates with the calendar.
impl Quota {
    /// Creates a quota of `limit` per day of the calendar in this zone: 23, 24 or 25 hours.
    pub fn per_calendar_day(limit: u64, zone: TimeZone) -> Self {
        Self::per_period(limit, Period::Day, zone)
    }

    /// Creates a quota of `limit` per week in this zone. A week starts on Monday, unless
    /// [`starting_on_weekday`](Self::starting_on_weekday) is set.
    pub fn per_calendar_week(limit: u64, zone: TimeZone) -> Self {
        Self::per_period(limit, Period::WEEK, zone)
    }

    /// Creates a quota of `limit` per month of the calendar in this zone. A month starts on its
    /// first day, unless [`starting_on`](Self::starting_on) is set.
    pub fn per_calendar_month(limit: u64, zone: TimeZone) -> Self {
        Self::per_period(limit, Period::MONTH, zone)
    }

    /// Creates a quota of `limit` per year of the calendar in this zone. A year starts on 1
    /// January, unless [`starting_on_date`](Self::starting_on_date) is set.
    pub fn per_calendar_year(limit: u64, zone: TimeZone) -> Self {
        Self::per_period(limit, Period::YEAR, zone)
    }

    /// Sets the day that each month starts on, such as the day of a bill. In a month that lacks the
    /// day, it is the last day: from 31 January to 27 February, then from 28 February to 30 March.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Calendar`] if this is no quota per calendar month, or no day from 1 to 31.
    pub fn starting_on(self, day: u8) -> Result<Self, QuotaError> {
        self.with_period(|period| period.starting_on(day))
    }

    /// Sets the weekday that each week starts on.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Calendar`] if this is no quota per calendar week.
    pub fn starting_on_weekday(self, weekday: Weekday) -> Result<Self, QuotaError> {
        self.with_period(|period| period.starting_on_weekday(weekday))
    }

    /// Sets the date that each year starts on, such as 6 April: `starting_on_date(4, 6)`. If it is
    /// 29 February, other years start on 28 February.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Calendar`] if this is no quota per calendar year, or no date.
    pub fn starting_on_date(self, month: u8, day: u8) -> Result<Self, QuotaError> {
        self.with_period(|period| period.starting_on_date(month, day))
    }

    fn per_period(limit: u64, period: Period, zone: TimeZone) -> Self {
        let length = Duration::from_secs(period.nominal_days() * 86_400);
        let quota = Self::with_length(limit, WindowLength::new(length).unwrap_or(WindowLength::DAY));
        Self { calendar: Some(Calendar::interned(period, zone)), ..quota }
    }

    fn with_period(
        self,
        change: impl FnOnce(Period) -> Result<Period, &'static str>,
    ) -> Result<Self, QuotaError> {
        let changed = match self.calendar {
            Some(calendar) => change(calendar.period()).map(|period| (period, calendar.zone().clone())),
            None => Err("only a calendar quota has a start"),
        };
        match changed {
            Ok((period, zone)) => Ok(Self { calendar: Some(Calendar::interned(period, zone)), ..self }),
            Err(reason) => Err(QuotaError::Calendar { text: self.to_string(), reason }),
        }
    }

    /// Returns whether the windows are days, weeks, months or years of a calendar.
    #[inline(always)]
    pub(crate) const fn is_calendar(&self) -> bool {
        self.calendar.is_some()
    }

    /// Returns the window of a calendar quota at `now`. `None` for other quotas.
    pub(crate) fn span(&self, now: Timestamp) -> Option<Range<Timestamp>> {
        self.calendar.map(|calendar| calendar.span(now))
    }

    pub(super) fn calendar_text(&self) -> Option<&'static str> {
        self.calendar.map(Calendar::text)
    }

    /// Reads the words after `calendar-{unit}`: an optional start, and a time zone.
    pub(super) fn parse_calendar(
        limit: u64,
        unit: &str,
        words: &mut Words<'_>,
    ) -> Result<Self, &'static str> {
        let mut period = Period::of_unit(unit)?;
        if words.next_if_eq(&"from").is_some() {
            period = period.starting_from(words.next().unwrap_or_default())?;
        }
        match (words.next(), words.next()) {
            (Some("in"), Some(zone)) => Ok(Self::per_period(limit, period, parse_zone(zone)?)),
            _ => Err("expected a time zone, such as `in Europe/Berlin` or `in UTC`"),
        }
    }
}

fn parse_zone(name: &str) -> Result<TimeZone, &'static str> {
    match DateTimeParser::new().parse_time_zone(name) {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err("unknown time zone; expected a name of the IANA database, such as Europe/Berlin or UTC"),
    }
}

#[cfg(test)]
mod tests {
    use limited_core::Escaped;
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn parse(text: &str) -> Quota {
        text.parse().unwrap()
    }

    #[test]
    fn canonical_texts_parse_and_display() {
        let quota = Quota::per_calendar_week(100, zone("UTC"));
        for (text, quota) in [
            ("5/calendar-day in America/Sao_Paulo", Quota::per_calendar_day(5, zone("America/Sao_Paulo"))),
            ("100/calendar-week in UTC", quota),
            ("100/calendar-week from sunday in UTC", quota.starting_on_weekday(Weekday::Sunday).unwrap()),
            ("1000/calendar-month in Europe/Berlin", Quota::per_calendar_month(1000, zone("Europe/Berlin"))),
            (
                "1000/calendar-month from 31 in UTC burst 7",
                Quota::per_calendar_month(1000, TimeZone::UTC).starting_on(31).unwrap().burst(7),
            ),
            ("9/calendar-year in +05:30", Quota::per_calendar_year(9, parse_zone("+05:30").unwrap())),
            (
                "9/calendar-year from 04-06 in Europe/London",
                Quota::per_calendar_year(9, zone("Europe/London")).starting_on_date(4, 6).unwrap(),
            ),
        ] {
            assert_eq!((text.parse(), quota.to_string().as_str()), (Ok(quota), text));
            assert!(quota.is_calendar());
        }
    }

    #[test]
    fn other_spellings_parse() {
        assert_eq!(parse(" 5 / calendar-day  in  europe/berlin"), parse("5/calendar-day in Europe/Berlin"));
        assert_eq!(parse("5/calendar-week from monday in UTC"), parse("5/calendar-week in UTC"));
        assert_eq!(parse("5/calendar-month from 1 in UTC"), parse("5/calendar-month in UTC"));
        assert_eq!(parse("5/calendar-year from 1-1 in UTC"), parse("5/calendar-year in UTC"));
    }

    #[test]
    fn mistake_in_a_text_is_an_error_that_names_it() {
        for (text, reason) in [
            ("5/calendar-fortnight in UTC", "expected calendar-day, calendar-week, calendar-month"),
            ("5/calendar-month", "expected a time zone, such as `in Europe/Berlin`"),
            ("5/calendar-month in", "expected a time zone"),
            ("5/calendar-month UTC", "expected a time zone"),
            ("5/calendar-month in Europe/Atlantis", "unknown time zone; expected a name of the IANA"),
            ("5/calendar-month in (unnamed)", "unknown time zone"),
            ("5/calendar-month in Etc/Unknown", "unknown time zone"),
            ("5/calendar-month from 0 in UTC", "a day from 1 to 31"),
            ("5/calendar-month from 32 in UTC", "a day from 1 to 31"),
            ("5/calendar-month from 300 in UTC", "a day from 1 to 31"),
            ("5/calendar-month from +1 in UTC", "a day from 1 to 31"),
            ("5/calendar-month from in UTC", "a day from 1 to 31"),
            ("5/calendar-week from 1 in UTC", "such as `from sunday`"),
            ("5/calendar-day from 1 in UTC", "remove `from`"),
            ("5/calendar-year from 1 in UTC", "such as `from 04-06`"),
            ("5/calendar-year from 02-30 in UTC", "such as `from 04-06`"),
            ("5/calendar-year from 13-01 in UTC", "such as `from 04-06`"),
        ] {
            let error = text.parse::<Quota>().unwrap_err();
            assert!(matches!(error, QuotaError::Calendar { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.starts_with(&format!("invalid calendar quota `{text}`: ")), "{message}");
            assert!(message.contains(reason), "{message}");
        }
        for text in ["5/calendar-month in UTC from 3", "5/calendar-day in UTC 3", "x/calendar-day in UTC"] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError::Syntax(text.into())));
        }
        let burst = "5/calendar-day in UTC burst 0";
        assert_eq!(burst.parse::<Quota>(), Err(QuotaError::ZeroBurst(burst.into())));
    }

    #[test]
    fn start_of_another_period_is_an_error() {
        let [day, week, month, year] =
            ["day", "week", "month", "year"].map(|unit| parse(&format!("5/calendar-{unit} in UTC")));
        for quota in [day, week, year, Quota::per_minute(5)] {
            assert!(quota.starting_on(1).is_err(), "{quota}");
        }
        for quota in [day, month, year, Quota::per_minute(5)] {
            assert!(quota.starting_on_weekday(Weekday::Monday).is_err(), "{quota}");
        }
        for quota in [day, week, month, Quota::per_minute(5)] {
            assert!(quota.starting_on_date(1, 1).is_err(), "{quota}");
        }
        for day in [0, 32, u8::MAX] {
            assert!(month.starting_on(day).is_err() && year.starting_on_date(1, day).is_err());
        }
        assert_eq!(
            week.starting_on(3).unwrap_err().to_string(),
            "invalid calendar quota `5/calendar-week in UTC`: only a month starts on a day of the month"
        );
    }

    #[test]
    fn quotas_are_equal_if_limit_period_start_and_zone_are() {
        let quota = Quota::per_calendar_month(5, zone("Europe/Berlin"));
        assert_eq!(quota, Quota::per_calendar_month(5, zone("Europe/Berlin")));
        assert_eq!(quota, quota.starting_on(1).unwrap());
        for other in [
            Quota::per_calendar_month(6, zone("Europe/Berlin")),
            Quota::per_calendar_month(5, zone("Europe/Paris")),
            Quota::per_calendar_day(5, zone("Europe/Berlin")),
            quota.starting_on(2).unwrap(),
            quota.burst(5),
        ] {
            assert_ne!(quota, other);
        }
        assert_ne!(Quota::per_calendar_day(5, TimeZone::UTC), Quota::per_day(5));
        assert!(!Quota::per_day(5).is_calendar());
    }

    #[test]
    fn zone_without_a_name_has_a_text_that_does_not_parse() {
        let berlin = std::fs::read("/usr/share/zoneinfo/Europe/Berlin").ok();
        let Some(unnamed) = berlin.and_then(|data| TimeZone::tzif("", &data).ok()) else { return };
        let quota = Quota::per_calendar_day(5, unnamed);
        assert!(quota.to_string().parse::<Quota>().is_err(), "{quota}");
    }

    #[test]
    fn window_of_a_calendar_quota_is_its_nominal_length() {
        for (unit, days) in [("day", 1), ("week", 7), ("month", 30), ("year", 365)] {
            let quota = parse(&format!("5/calendar-{unit} in UTC"));
            assert_eq!(quota.window(), Duration::from_secs(days * 86_400));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9]/calendar-(day|week|month|year)( from [0-9a-z-]{0,6})?( in [A-Z/+:0-9,.]{0,9})?") {
            if let Err(error) = text.parse::<Quota>() {
                prop_assert!(error.to_string().contains(&Escaped(&text).to_string()));
            }
        }

        #[test]
        fn displayed_quota_parses_to_itself(limit: u64, day in 1..=31_u8, month in 1..=12_u8, unit in 0..4_usize) {
            let zone = zone("Asia/Kathmandu");
            let quota = match unit {
                0 => Quota::per_calendar_day(limit, zone),
                1 => Quota::per_calendar_week(limit, zone)
                    .starting_on_weekday(Weekday::Monday.wrapping_add(day))
                    .unwrap(),
                2 => Quota::per_calendar_month(limit, zone).starting_on(day).unwrap(),
                _ => match Quota::per_calendar_year(limit, zone).starting_on_date(month, day) {
                    Ok(quota) => quota,
                    Err(_) => return Ok(()),
                },
            };
            prop_assert_eq!(quota.to_string().parse(), Ok(quota));
        }
    }
}
