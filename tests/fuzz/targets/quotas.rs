//! The text format of quotas.

use std::time::Duration;

use limited::{Quota, QuotaError};
use proptest::prelude::*;

use super::fuzz;
use crate::inputs;

const WORDS: &[&str] = &[
    "0",
    "1",
    "10",
    "18446744073709551615",
    "18446744073709551616",
    "/",
    " ",
    "\t",
    "s",
    "sec",
    "min",
    "m",
    "h",
    "hours",
    "d",
    "days",
    "ms",
    "us",
    "ns",
    "30s",
    "burst",
    " burst ",
    "+",
    "-",
    ".",
    "week",
    "1/calendar-",
    "calendar-month",
    "calendar-year",
    " in UTC",
    " in ",
    " from ",
    "sunday",
    "31",
    "02-29",
    "Europe/Berlin",
];

/// The units and their nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("seconds", 1_000_000_000),
    ("min", 60_000_000_000),
    ("hour", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

#[test]
fn quota_is_read_as_it_is_documented() {
    let count = prop_oneof![2 => 0..100_u64, 1 => any::<u64>()];
    let burst = prop::option::of(prop_oneof![0..3_u64, any::<u64>()]);
    let case = (any::<u64>(), count, prop::sample::select(&UNITS), burst, inputs::text(WORDS));
    fuzz(&case, |(limit, count, (unit, nanos), burst, text)| {
        let written = format!(
            "{limit}/{count}{unit}{}",
            burst.map_or(String::new(), |burst| format!(" burst {burst}"))
        );
        let window = count.checked_mul(nanos).map(Duration::from_nanos);
        let expected = window.and_then(|window| Quota::new(limit, window).ok());
        match (written.parse::<Quota>(), expected, burst) {
            (Ok(read), Some(quota), None) => assert_eq!(read, quota, "{written}"),
            (Ok(read), Some(quota), Some(burst @ 1..)) => assert_eq!(read, quota.burst(burst), "{written}"),
            (Err(QuotaError::ZeroBurst(_)), Some(_), Some(0)) | (Err(QuotaError::Window(_)), None, _) => {}
            (read, ..) => panic!("{written}: {read:?}"),
        }

        match text.parse::<Quota>() {
            Ok(quota) => assert_eq!(quota.to_string().parse(), Ok(quota), "{text}"),
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
        }
    });
}
