use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600;

fn at(time: &str) -> Timestamp {
    timestamp(time.parse().unwrap())
}

fn calendar(period: Period, zone: &str) -> &'static Calendar {
    Calendar::interned(period, TimeZone::get(zone).unwrap())
}

/// Returns the hours of the day of this date.
fn hours(zone: &str, date: &str) -> f64 {
    let zone = TimeZone::get(zone).unwrap();
    let noon = date.parse::<Date>().unwrap().at(12, 0, 0, 0).to_zoned_datetime(zone.clone()).unwrap();
    let span = Calendar::interned(Period::Day, zone).span(timestamp(noon.timestamp()));
    span.end.saturating_since(span.start).as_secs_f64() / 3_600.0
}

/// Returns the days of the months of a year.
fn days_of_months(zone: &str, year: i16) -> Vec<u64> {
    let calendar = calendar(Period::MONTH, zone);
    let days = (1..=12).map(|month| {
        let noon =
            jiff::civil::date(year, month, 15).at(12, 0, 0, 0).to_zoned_datetime(calendar.zone.clone());
        let span = calendar.span(timestamp(noon.unwrap().timestamp()));
        span.end.saturating_since(span.start).as_secs().div_ceil(24 * HOUR)
    });
    days.collect()
}

#[test]
fn day_has_23_or_25_hours_if_daylight_saving_time_changes() {
    for (date, expected) in [("2026-03-28", 24.0), ("2026-03-29", 23.0), ("2026-10-25", 25.0)] {
        assert_eq!(hours("Europe/Berlin", date), expected, "{date}");
    }
    let span = calendar(Period::Day, "Europe/Berlin").span(at("2026-03-29T12:00:00+02:00"));
    assert_eq!(span, at("2026-03-29T00:00:00+01:00")..at("2026-03-30T00:00:00+02:00"));
    // By half an hour.
    assert_eq!(hours("Australia/Lord_Howe", "2026-04-05"), 24.5);
}

#[test]
fn day_without_a_midnight_starts_when_the_clock_is_set_forward() {
    assert_eq!(hours("America/Sao_Paulo", "2018-11-04"), 23.0);
    let span = calendar(Period::Day, "America/Sao_Paulo").span(at("2018-11-04T12:00:00-02:00"));
    assert_eq!(span.start, at("2018-11-04T01:00:00-02:00"));
    // The last nanosecond of the day before.
    let before = Timestamp::from_nanos(span.start.as_nanos() - 1);
    assert_eq!(calendar(Period::Day, "America/Sao_Paulo").span(before).end, span.start);
}

#[test]
fn day_with_two_midnights_starts_at_the_first() {
    // In Havana the clock was set from 01:00 to 00:00.
    assert_eq!(hours("America/Havana", "2025-11-02"), 25.0);
    // In Sao Paulo it was set from midnight to 23:00, so the evening before had one hour more.
    assert_eq!(hours("America/Sao_Paulo", "2018-02-17"), 25.0);
}

#[test]
fn evening_that_repeats_after_midnight_belongs_to_the_day_that_has_begun() {
    // At 00:01 the clock was set to 23:01 of the day before.
    let calendar = calendar(Period::Day, "America/St_Johns");
    let midnight = at("2006-10-29T00:00:00-02:30");
    let repeated = at("2006-10-28T23:30:00-03:30");
    assert!(repeated > midnight);
    let span = calendar.span(repeated);
    assert_eq!(span, midnight..at("2006-10-30T00:00:00-03:30"));
    assert_eq!(calendar.compute_span(repeated), Some(span));
}

#[test]
fn day_that_a_zone_skips_has_no_time() {
    // Samoa changed the side of the date line, and had no 30 December.
    let calendar = calendar(Period::Day, "Pacific/Apia");
    let span = calendar.span(at("2011-12-29T12:00:00-10:00"));
    assert_eq!(span.end, at("2011-12-31T00:00:00+14:00"));
    let next = calendar.span(span.end);
    assert_eq!(next, span.end..at("2012-01-01T00:00:00+14:00"));
}

#[test]
fn month_has_28_to_31_days() {
    assert_eq!(days_of_months("UTC", 2027), [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
    assert_eq!(days_of_months("UTC", 2028)[1], 29);
    // No leap years.
    assert_eq!([days_of_months("UTC", 2100)[1], days_of_months("UTC", 2000)[1]], [28, 29]);
    let march = calendar(Period::MONTH, "Europe/Berlin").span(at("2026-03-15T00:00:00Z"));
    assert_eq!(march.end.saturating_since(march.start), Duration::from_secs((31 * 24 - 1) * HOUR));
}

#[test]
fn month_from_the_31st_starts_on_the_last_day_of_shorter_months() {
    let period = Period::MONTH.starting_on(31).unwrap();
    let calendar = calendar(period, "Europe/Berlin");
    let mut now = at("2027-01-31T12:00:00+01:00");
    for end in [
        "2027-02-28T00:00:00+01:00",
        "2027-03-31T00:00:00+02:00",
        "2027-04-30T00:00:00+02:00",
        "2027-05-31T00:00:00+02:00",
        "2027-06-30T00:00:00+02:00",
        "2027-07-31T00:00:00+02:00",
        "2027-08-31T00:00:00+02:00",
        "2027-09-30T00:00:00+02:00",
        "2027-10-31T00:00:00+02:00",
        "2027-11-30T00:00:00+01:00",
        "2027-12-31T00:00:00+01:00",
        "2028-01-31T00:00:00+01:00",
        "2028-02-29T00:00:00+01:00",
    ] {
        let span = calendar.span(now);
        assert_eq!(span.end, at(end));
        now = span.end;
    }
}

#[test]
fn year_has_365_or_366_days_and_can_start_on_any_date() {
    for (year, days) in [("2027", 365), ("2028", 366), ("2100", 365)] {
        let span = calendar(Period::YEAR, "Asia/Kolkata").span(at(&format!("{year}-06-01T00:00:00Z")));
        assert_eq!(span.start, at(&format!("{year}-01-01T00:00:00+05:30")));
        assert_eq!(span.end.saturating_since(span.start), Duration::from_secs(days * 24 * HOUR));
    }
    let fiscal = calendar(Period::YEAR.starting_on_date(4, 6).unwrap(), "Europe/London");
    let span = fiscal.span(at("2027-01-01T00:00:00Z"));
    assert_eq!(span, at("2026-04-06T00:00:00+01:00")..at("2027-04-06T00:00:00+01:00"));
}

#[test]
fn days_around_every_change_of_a_clock_cover_it() {
    let end = "2040-01-01T00:00:00Z".parse().unwrap();
    for zone in ZONES {
        let calendar = calendar(Period::Day, zone);
        let changes = calendar.zone.following(jiff::Timestamp::UNIX_EPOCH).map(|change| change.timestamp());
        for change in changes.take_while(|change| *change < end).map(timestamp) {
            for seconds in (0..=50 * HOUR).step_by(1_800) {
                let now = change.saturating_add(Duration::from_secs(seconds));
                let now = now.saturating_sub(Duration::from_secs(25 * HOUR));
                let span = calendar.compute_span(now).unwrap();
                assert!(span.contains(&now), "{zone}, {now:?}");
                assert_eq!(calendar.compute_span(span.end).unwrap().start, span.end, "{zone}, {now:?}");
            }
        }
    }
}

#[test]
fn first_and_last_spans_are_cut_off() {
    let span = calendar(Period::YEAR, "America/New_York").span(Timestamp::EPOCH);
    assert_eq!(span, Timestamp::EPOCH..at("1970-01-01T00:00:00-05:00"));
    for period in [Period::Day, Period::WEEK, Period::MONTH, Period::YEAR] {
        let span = calendar(period, "UTC").span(Timestamp::from_nanos(u64::MAX - 1));
        assert!(span.start < span.end && span.end == Timestamp::MAX, "{span:?}");
        assert_eq!(calendar(period, "UTC").span(Timestamp::MAX), span);
    }
}

#[test]
fn calendar_of_a_period_and_a_zone_exists_once() {
    let interned = || calendar(Period::Day, "Europe/Vienna");
    assert!(std::ptr::eq(interned(), interned()));
    assert_ne!(interned(), calendar(Period::Day, "Europe/Zurich"));
    assert_ne!(interned(), calendar(Period::WEEK, "Europe/Vienna"));
}

/// Zones with changes at midnight, of days, of half hours, or of the date line.
const ZONES: [&str; 21] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "UTC",
];

fn any_period() -> impl Strategy<Value = Period> {
    let year = (1..=12_u8, 1..=31_u8)
        .prop_filter_map("a date", |(month, day)| Period::YEAR.starting_on_date(month, day).ok());
    let weekday = (0..7_i32).prop_map(|days| jiff::civil::Weekday::Monday.wrapping_add(days));
    prop_oneof![
        Just(Period::Day),
        weekday.prop_map(|first| Period::Week { first }),
        (1..=31_u8).prop_map(|day| Period::MONTH.starting_on(day).unwrap()),
        year,
    ]
}

const END_OF_2199: u64 = 7_258_118_400_000_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn spans_cover_every_instant_without_gap_or_overlap(
        now in 0..END_OF_2199, zone in prop::sample::select(&ZONES), period in any_period(),
    ) {
        let calendar = calendar(period, zone);
        let now = Timestamp::from_nanos(now);
        let span = calendar.compute_span(now).unwrap();
        prop_assert!(span.contains(&now));
        let hours = span.end.saturating_since(span.start).as_secs() / HOUR;
        let nominal = 24 * calendar.period.nominal_days();
        prop_assert!(span.start == Timestamp::EPOCH || hours.abs_diff(nominal) <= 3 * 24 + 2, "{hours} h");
        prop_assert_eq!(calendar.compute_span(span.start), Some(span.clone()));
        prop_assert_eq!(calendar.compute_span(span.end).unwrap().start, span.end);
        let last = Timestamp::from_nanos(span.end.as_nanos() - 1);
        prop_assert_eq!(calendar.compute_span(last), Some(span.clone()));
        if span.start > Timestamp::EPOCH {
            let before = Timestamp::from_nanos(span.start.as_nanos() - 1);
            prop_assert_eq!(calendar.compute_span(before).unwrap().end, span.start);
        }
    }

    #[test]
    fn remembered_span_is_the_computed_one(
        times in prop::collection::vec(0..40_000_000_u64, 1..20), zone in prop::sample::select(&ZONES), period in any_period(),
    ) {
        let calendar = calendar(period, zone);
        for seconds in times {
            let now = Timestamp::from_secs(1_764_000_000 + seconds);
            prop_assert_eq!(Some(calendar.span(now)), calendar.compute_span(now));
        }
    }
}
