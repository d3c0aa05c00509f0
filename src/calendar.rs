//! Calendars: the days, weeks, months and years of a time zone, and where each starts and ends.
//!
//! The spans of a calendar cover all of time, without a gap and without an overlap. The rules of
//! its time zone are those of the time zone database when the calendar was created.

mod first_instant;
mod interned;
mod period;
mod span_cache;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::ptr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use limited_core::Timestamp;

use self::first_instant::first_instant;
pub(crate) use self::period::Period;
use self::span_cache::SpanCache;

/// The spans of one period in one time zone.
///
/// There is one calendar for each period and zone, and it lives until the process ends. So a quota
/// refers to it, and two quotas have equal calendars if they refer to the same one.
pub(crate) struct Calendar {
    period: Period,
    zone: TimeZone,
    /// The text of the period and the zone, as a quota contains it.
    text: Box<str>,
    cache: SpanCache,
}

impl Calendar {
    fn new(period: Period, zone: TimeZone, zone_name: &str) -> Self {
        let text = format!("{period} in {zone_name}").into();
        Self { period, zone, text, cache: SpanCache::default() }
    }

    /// Returns the calendar of a period in a zone.
    pub(crate) fn interned(period: Period, zone: TimeZone) -> &'static Self {
        interned::get(period, zone)
    }

    pub(crate) const fn period(&self) -> Period {
        self.period
    }

    pub(crate) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(crate) const fn text(&self) -> &str {
        &self.text
    }

    /// Returns the day, week, month or year that contains `now`.
    ///
    /// Times before 1970 and after [`Timestamp::MAX`] are cut off.
    pub(crate) fn span(&self, now: Timestamp) -> Range<Timestamp> {
        self.cache.get(now).unwrap_or_else(|| {
            let span = self.compute_span(now).unwrap_or(Timestamp::EPOCH..Timestamp::MAX);
            self.cache.set(&span);
            span
        })
    }

    /// Returns `None` only for years that no [`Timestamp`] reaches.
    fn compute_span(&self, now: Timestamp) -> Option<Range<Timestamp>> {
        let instant = jiff::Timestamp::from_nanosecond(now.as_nanos().into()).ok()?;
        let date = self.zone.to_datetime(instant).date();
        let mut first = self.period.first_date(date)?;
        // A clock that is set back at midnight shows the date before once more, although that day
        // has ended. A date that a zone skips is a day without a time.
        while self.starts_at(first)? > instant {
            first = self.period.first_date(first.yesterday().ok()?)?;
        }
        let mut next = self.period.next(first)?;
        while self.starts_at(next)? <= instant {
            (first, next) = (next, self.period.next(next)?);
        }
        Some(timestamp(self.starts_at(first)?)..timestamp(self.starts_at(next)?))
    }

    fn starts_at(&self, date: Date) -> Option<jiff::Timestamp> {
        first_instant(&self.zone, date)
    }
}

/// Returns the nearest point in time that a [`Timestamp`] can be.
fn timestamp(instant: jiff::Timestamp) -> Timestamp {
    let nanos = instant.as_nanosecond().max(0);
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Calendar {}

impl Hash for Calendar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(self, state);
    }
}

#[cfg(test)]
mod tests;
