//! Opened windows: one counter, from its first hit on, for one length.

use limited_core::{Timestamp, WindowLength};

use super::{Count, Standing, at_most_u64, until};

pub(crate) fn standing(max: u64, length: WindowLength, now: Timestamp, count: Count) -> Standing {
    let used = at_most_u64(count.value);
    Standing {
        used,
        remaining: max.saturating_sub(used),
        reset_after: count.start.map_or(0, |start| until(start, length.as_nanos(), now)),
    }
}

/// Nanoseconds until a hit of cost 1, which is refused at `now`, is admitted. Of a maximum of 0, which never admits one,
/// and of a window whose start is unknown, a whole length.
pub(crate) fn retry_after(max: u64, length: WindowLength, now: Timestamp, count: Count) -> u64 {
    match count.start {
        Some(start) if max > 0 => until(start, length.as_nanos(), now),
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
        fn the_window_ends_after_the_waiting_time_and_not_a_nanosecond_earlier(
            start: u64,
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            elapsed: u64,
            jumps_back: bool,
            max in 1..=u64::MAX,
        ) {
            let now = if jumps_back { start - elapsed % start.max(1) } else { start.saturating_add(elapsed % length) };
            let length = WindowLength::try_from(Duration::from_nanos(length)).unwrap();
            let (start, now) = (Timestamp::from_nanos(start), Timestamp::from_nanos(now));
            prop_assert!(!has_ended(start, length, now));
            let tally = CounterState::new(false, max.into()).with_start(start);
            let wait = retry_after(max, length, now, Count::from(&tally));
            prop_assert_eq!(wait, standing(max, length, now, Count::from(&tally)).reset_after);
            if let Some(end) = now.as_nanos().checked_add(wait) {
                prop_assert!(has_ended(start, length, Timestamp::from_nanos(end)));
                prop_assert!(!has_ended(start, length, Timestamp::from_nanos(end - 1)));
            }
        }

        #[test]
        fn what_remains_is_what_is_admitted(max: u64, value: u128) {
            let tally = CounterState::new(false, value).with_start(Timestamp::EPOCH);
            let remaining = standing(max, WindowLength::HOUR, Timestamp::EPOCH, Count::from(&tally)).remaining;
            prop_assert_eq!(Hit::new(remaining.into(), max.into()).apply(value).is_some(), value <= max.into());
            prop_assert_eq!(Hit::new(u128::from(remaining) + 1, max.into()).apply(value), None);
        }
    }
}
