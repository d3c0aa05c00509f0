//! Attempt windows: one counter that starts with its first hit and lasts for one length.

use limited_core::{Timestamp, WindowLength};

use super::integer::saturate_u64;
use super::usage::{CounterValues, Usage, nanos_until};

pub(crate) fn usage(max: u64, length: WindowLength, now: Timestamp, values: CounterValues) -> Usage {
    let used = saturate_u64(values.value);
    Usage {
        used,
        remaining: max.saturating_sub(used),
        reset_after: values.start.map_or(0, |start| nanos_until(start, length.as_nanos(), now)),
    }
}

/// Returns the nanoseconds until a hit of cost 1, refused at `now`, is admitted.
///
/// A whole length if the start of the window is unknown, or if `max` is 0, which admits no hit.
pub(crate) fn retry_after(max: u64, length: WindowLength, now: Timestamp, values: CounterValues) -> u64 {
    match values.start {
        Some(start) if max > 0 => nanos_until(start, length.as_nanos(), now),
        _ => length.as_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use limited_core::{CounterState, Hit, has_ended};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn window_ends_after_retry_after_and_not_a_nanosecond_earlier(
            start: u64,
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            elapsed: u64,
            jumps_back: bool,
            max in 1..=u64::MAX,
        ) {
            let now = if jumps_back {
                start - elapsed % start.max(1)
            } else {
                start.saturating_add(elapsed % length)
            };
            let length = WindowLength::try_from(Duration::from_nanos(length)).unwrap();
            let (start, now) = (Timestamp::from_nanos(start), Timestamp::from_nanos(now));
            prop_assert!(!has_ended(start, length, now));
            let values = CounterValues::from(CounterState::new(false, max.into()).with_start(start));
            let wait = retry_after(max, length, now, values);
            prop_assert_eq!(wait, usage(max, length, now, values).reset_after);
            if let Some(end) = now.as_nanos().checked_add(wait) {
                prop_assert!(has_ended(start, length, Timestamp::from_nanos(end)));
                prop_assert!(!has_ended(start, length, Timestamp::from_nanos(end - 1)));
            }
        }

        #[test]
        fn remaining_is_the_largest_admitted_cost(max: u64, value: u128) {
            let values = CounterValues::from(CounterState::new(false, value).with_start(Timestamp::EPOCH));
            let remaining = usage(max, WindowLength::HOUR, Timestamp::EPOCH, values).remaining;
            prop_assert_eq!(Hit::new(remaining.into(), max.into()).apply(value).is_some(), value <= max.into());
            prop_assert_eq!(Hit::new(u128::from(remaining) + 1, max.into()).apply(value), None);
        }
    }
}
