//! The arithmetic of the algorithms, apart from everything else: functions from numbers to numbers.
//!
//! Each algorithm has three: which window to count in, which hit to send, and what the answer means
//! ([`Standing`]). Attempts, which have no quota, need the last of them only. Times are whole nanoseconds, counts are
//! whole, and nothing overflows: see the tests.

pub(crate) mod fixed_window;
pub(crate) mod opened_window;
pub(crate) mod sliding_window;
pub(crate) mod token_bucket;

use std::num::NonZeroU64;
use std::time::Duration;

use limited_core::{CounterState, Hit, Timestamp, Window};

use crate::{Algorithm, Quota};

/// What a counter says: a [`CounterState`] without what only hit-opened windows have. Numbers alone, so that they need not be in
/// memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) value: u128,
    pub(crate) previous: u128,
    pub(crate) start: Option<Timestamp>,
}

impl From<&CounterState> for Count {
    fn from(tally: &CounterState) -> Self {
        Self { value: tally.value, previous: tally.previous, start: tally.start }
    }
}

// Taken apart: a tally that is whole when it is dropped has to be in memory.
impl From<CounterState> for Count {
    #[inline(always)]
    fn from(CounterState { value, previous, start, meta: _opening, .. }: CounterState) -> Self {
        Self { value, previous, start }
    }
}

/// Where a key stands against its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How much of that is taken.
    pub(crate) used: u64,
    /// How much can be admitted now.
    pub(crate) remaining: u64,
    /// Nanoseconds until nothing is taken any more, if nothing else is admitted; as many as there can be at most.
    pub(crate) reset_after: u64,
}

/// The window that a hit at `now` is counted in.
#[inline(always)]
pub(crate) fn window(algorithm: Algorithm, quota: &Quota, now: Timestamp) -> Window {
    match algorithm {
        Algorithm::FixedWindow | Algorithm::SlidingWindow => Window::aligned(now, quota.length()),
        Algorithm::TokenBucket => Window::Bucket { limit: quota.limit(), length: quota.length() },
    }
}

/// The hit that asks for `cost`.
#[inline(always)]
pub(crate) fn hit(algorithm: Algorithm, quota: &Quota, cost: u64, now: Timestamp) -> Hit<'static> {
    match algorithm {
        Algorithm::FixedWindow | Algorithm::SlidingWindow => Hit::new(cost.into(), quota.limit().into()),
        Algorithm::TokenBucket => token_bucket::hit(quota, cost, now),
    }
}

/// What a count says about the key at `now`.
#[inline(always)]
pub(crate) fn standing(algorithm: Algorithm, quota: &Quota, now: Timestamp, count: Count) -> Standing {
    match algorithm {
        Algorithm::FixedWindow => fixed_window::standing(quota, now, count),
        Algorithm::SlidingWindow => sliding_window::standing(quota, now, count),
        Algorithm::TokenBucket => token_bucket::standing(quota, now, count),
    }
}

/// Nanoseconds until `cost`, which is refused at `now`, is admitted if nothing else is; `None` if it never is.
#[inline(always)]
pub(crate) fn retry_after(
    algorithm: Algorithm,
    quota: &Quota,
    cost: u64,
    now: Timestamp,
    count: Count,
) -> Option<u128> {
    match algorithm {
        Algorithm::FixedWindow => fixed_window::retry_after(quota, cost, now, count).map(u128::from),
        Algorithm::SlidingWindow => sliding_window::retry_after(quota, cost, now, count).map(u128::from),
        Algorithm::TokenBucket => token_bucket::retry_after(quota, cost, now, count),
    }
}

/// The start of the aligned window that a count is about: the one around `now`, unless it says another.
#[inline(always)]
fn start_of(quota: &Quota, now: Timestamp, count: Count) -> Timestamp {
    count.start.unwrap_or_else(|| match Window::aligned(now, quota.length()) {
        Window::Aligned { start, .. } => start,
        Window::FromFirstHit { .. } | Window::Bucket { .. } => now,
    })
}

/// Nanoseconds from `now` until `span` nanoseconds after `start`, none where that has been, and as many as there can be
/// at most.
#[inline(always)]
fn until(start: Timestamp, span: u64, now: Timestamp) -> u64 {
    match now.as_nanos().checked_sub(start.as_nanos()) {
        Some(elapsed) => span.saturating_sub(elapsed),
        // The clock jumped back.
        None => span.saturating_add(start.as_nanos() - now.as_nanos()),
    }
}

/// The quotient, rounded down. A quotient of 64-bit numbers, as mostly it is, is many times cheaper.
#[inline]
fn quotient(dividend: u128, divisor: u128) -> Option<u128> {
    match (u64::try_from(dividend), u64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => dividend.checked_div(divisor).map(u128::from),
        _ => dividend.checked_div(divisor),
    }
}

/// The quotient, rounded up.
#[inline(always)]
fn quotient_rounded_up(dividend: u128, divisor: NonZeroU64) -> u128 {
    match u64::try_from(dividend) {
        Ok(dividend) => dividend.div_ceil(divisor.get()).into(),
        Err(_) => long_quotient_rounded_up(dividend, divisor),
    }
}

/// The same, by a division that costs more.
#[cold]
fn long_quotient_rounded_up(dividend: u128, divisor: NonZeroU64) -> u128 {
    let divisor = u128::from(divisor.get());
    let quotient = dividend / divisor;
    // To multiply is cheaper than to divide once more.
    quotient + u128::from(quotient * divisor < dividend)
}

/// A count as far as a decision can tell it.
#[inline]
fn at_most_u64(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What to tell somebody who has to wait for so many nanoseconds, by a clock of this resolution.
#[inline]
pub(crate) fn wait(nanos: u128, resolution: Duration) -> Duration {
    let coarse = if resolution > Duration::from_nanos(1) { resolution } else { Duration::ZERO };
    duration(nanos).saturating_add(coarse)
}

/// A duration of so many nanoseconds, as long as there is at most.
#[inline]
pub(crate) fn duration(nanos: u128) -> Duration {
    match u64::try_from(nanos) {
        Ok(nanos) => Duration::from_nanos(nanos),
        Err(_) => longer_duration(nanos),
    }
}

/// The same, by a division that costs more.
#[cold]
fn longer_duration(nanos: u128) -> Duration {
    const PER_SECOND: u128 = 1_000_000_000;
    match (u64::try_from(nanos / PER_SECOND), u32::try_from(nanos % PER_SECOND)) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn a_cheap_quotient_is_the_quotient(
            dividend: u128,
            divisor: u128,
            (less, smaller) in (0..128_u32, 0..128_u32),
        ) {
            let (dividend, divisor) = (dividend >> less, divisor >> smaller);
            prop_assert_eq!(quotient(dividend, divisor), dividend.checked_div(divisor));
            if let Some(divisor) = u64::try_from(divisor).ok().and_then(NonZeroU64::new) {
                let expected = dividend.div_ceil(divisor.get().into());
                prop_assert_eq!(quotient_rounded_up(dividend, divisor), expected);
            }
        }

        #[test]
        fn a_cheap_duration_is_the_duration(nanos: u128, less in 0..128_u32) {
            prop_assert_eq!(duration(nanos >> less), longer_duration(nanos >> less));
        }
    }
}
