//! The first instant of a date in a time zone.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Returns the first instant at which a clock of the zone has reached midnight of this date.
///
/// That is midnight itself, the first one if a clock that is set back shows it twice. If a clock
/// that is set forward skips midnight, it is the instant of that change. Returns `None` for years
/// that `jiff` cannot represent.
pub(super) fn first_instant(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let midnight = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    let is_skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
    // If midnight is skipped, this is after the change by what of the skipped time is before it.
    let instant = midnight.compatible().ok()?;
    if is_skipped {
        let change = zone.preceding(instant.checked_add(1.nanosecond()).ok()?).next()?;
        return Some(change.timestamp());
    }
    Some(instant)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn first(zone: &str, date: Date) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let first = first_instant(&zone, date).unwrap();
        let before = first.checked_sub(1.nanosecond()).unwrap();
        assert!(zone.to_datetime(before).date() < date);
        zone.to_datetime(first).to_string()
    }

    #[test]
    fn day_starts_at_midnight_or_at_the_change_that_skips_it() {
        assert_eq!(first("Europe/Berlin", date(2026, 3, 29)), "2026-03-29T00:00:00");
        assert_eq!(first("America/Sao_Paulo", date(2018, 11, 4)), "2018-11-04T01:00:00");
        assert_eq!(first("Asia/Beirut", date(2022, 3, 27)), "2022-03-27T01:00:00");
        // The clock was set from 23:30 to 00:30.
        assert_eq!(first("America/Toronto", date(1919, 3, 31)), "1919-03-31T00:30:00");
    }

    #[test]
    fn day_starts_at_the_first_of_two_midnights() {
        // The clock was set from 01:00 to 00:00.
        let havana = TimeZone::get("America/Havana").unwrap();
        let first = first_instant(&havana, date(2025, 11, 2)).unwrap();
        assert_eq!(first.to_string(), "2025-11-02T04:00:00Z");
        assert_eq!(first_instant(&havana, date(2025, 11, 3)).unwrap().to_string(), "2025-11-03T05:00:00Z");
    }

    #[test]
    fn skipped_day_starts_when_the_next_one_does() {
        // Samoa changed the side of the date line.
        let apia = TimeZone::get("Pacific/Apia").unwrap();
        let skipped = first_instant(&apia, date(2011, 12, 30));
        assert_eq!(skipped, first_instant(&apia, date(2011, 12, 31)));
        assert_eq!(skipped.unwrap().to_string(), "2011-12-30T10:00:00Z");
    }
}
