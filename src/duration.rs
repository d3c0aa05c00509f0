//! Durations from counts of nanoseconds.

use std::time::Duration;

/// Returns a duration of `nanos` nanoseconds, or [`Duration::MAX`] if that is longer than any.
#[inline]
pub(crate) fn from_nanos(nanos: u128) -> Duration {
    match u64::try_from(nanos) {
        Ok(nanos) => Duration::from_nanos(nanos),
        Err(_) => from_nanos_wide(nanos),
    }
}

/// [`from_nanos`] for every count, by a slower division.
#[cold]
fn from_nanos_wide(nanos: u128) -> Duration {
    const PER_SECOND: u128 = 1_000_000_000;
    match (u64::try_from(nanos / PER_SECOND), u32::try_from(nanos % PER_SECOND)) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::MAX,
    }
}

/// Returns how long to wait for `nanos` nanoseconds by a clock of this resolution.
///
/// A resolution above 1 ns is added, because such a clock may lag by that much.
#[inline]
pub(crate) fn with_resolution(nanos: u128, resolution: Duration) -> Duration {
    let lag = if resolution > Duration::from_nanos(1) { resolution } else { Duration::ZERO };
    from_nanos(nanos).saturating_add(lag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn fast_path_returns_the_same_duration(nanos: u128, shift in 0..128_u32) {
            prop_assert_eq!(from_nanos(nanos >> shift), from_nanos_wide(nanos >> shift));
        }
    }
}
