//! The values of `Retry-After`, and the longest wait that it asks for.

use std::time::Duration;

/// The default maximum of `Retry-After`: the whole seconds in 2^31 - 1 ms, which is 24.8 days.
///
/// Many clients wait by a timer of 32 bits, in milliseconds. A longer wait overflows it, and they
/// retry immediately: axios-retry 4.5.0, got 14.6.6 and grpc-js 1.14.7 wait for 20 days as they
/// should, and not at all for 30 days.
pub(super) const DEFAULT_MAX_SECONDS: u64 = 2_147_483;

/// Returns the value of `Retry-After` with the default maximum.
pub(super) fn retry_after_seconds(wait: Duration) -> u64 {
    retry_after_seconds_up_to(wait, DEFAULT_MAX_SECONDS)
}

/// Returns the value of `Retry-After`: seconds, rounded up, at most `max`, and at least 1. A client
/// that reads 0 retries immediately, or never.
pub(super) fn retry_after_seconds_up_to(wait: Duration, max: u64) -> u64 {
    seconds(wait).min(max).max(1)
}

/// Returns whole seconds, rounded up.
pub(super) const fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(if duration.subsec_nanos() > 0 { 1 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_rounded_up_and_fits_into_a_timer_of_32_bits() {
        let nanosecond = Duration::from_nanos(1);
        let max = Duration::from_secs(DEFAULT_MAX_SECONDS);
        for (wait, expected) in [
            (Duration::ZERO, 1),
            (nanosecond, 1),
            (Duration::from_secs(1), 1),
            (Duration::from_secs(1) + nanosecond, 2),
            (max - nanosecond, DEFAULT_MAX_SECONDS),
            (max, DEFAULT_MAX_SECONDS),
            (max + nanosecond, DEFAULT_MAX_SECONDS),
            (Duration::MAX, DEFAULT_MAX_SECONDS),
        ] {
            assert_eq!(retry_after_seconds(wait), expected, "{wait:?}");
        }
        assert!(i32::try_from(DEFAULT_MAX_SECONDS * 1_000).is_ok());
        assert!(i32::try_from((DEFAULT_MAX_SECONDS + 1) * 1_000).is_err());
    }

    #[test]
    fn other_maximum_is_applied_and_no_maximum_makes_it_0() {
        let day = Duration::from_secs(86_400);
        assert_eq!(retry_after_seconds_up_to(day, 3_600), 3_600);
        assert_eq!(retry_after_seconds_up_to(day, 0), 1);
        assert_eq!(retry_after_seconds_up_to(Duration::MAX, u64::MAX), u64::MAX);
    }
}
