//! Arithmetic of token buckets: the value in the unit of another limit, and values that only a
//! wrong clock can have written.
//!
//! The value of a bucket is the time at which it is full again, in units of 1/`limit` nanosecond
//! since the Unix epoch. In this unit one token flows in per `length` nanoseconds, and nothing is
//! rounded. The limit is no part of a bucket's identity, so a backend stores with each value the
//! [`BucketQuota`] of the hit that wrote it: a [`StoredBucket`]. [`read`] returns what that value
//! is for another hit.
//!
//! # Limits that change
//!
//! A change of the limit keeps the time at which the bucket is full, [rounded up](convert). The
//! conversion does not depend on `now`. It could keep the number of used tokens instead. But then
//! two processes with different limits and slightly different clocks would gain tokens at each
//! alternation.
//!
//! # Clocks that are wrong
//!
//! A counted hit leaves a time of at most its `now` and the [time in which its quota
//! fills](BucketQuota::fills_in). Its `now` is ahead of another clock by at most the maximum clock
//! skew, and a caller may count by a clock that is [ahead of its
//! own](crate::CounterState::clock_lead) by as much. A later time was written by a wrong clock.
//! Then the bucket is absent: it starts over.
//!
//! The quota is that of the hit that wrote the value. By the quota of the reader, a hit with a
//! smaller burst would free the bucket of one with a larger burst.

use std::time::Duration;

use crate::timestamp::nanos;
use crate::{BackendError, Counter, Result, Timestamp, Window, WindowLength};

/// The quota of a hit on a [bucket](Window::Bucket), apart from the length of the window.
///
/// A property of the operation, and no part of the counter's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketQuota {
    /// The tokens that flow in per length. Determines the unit of the value.
    pub limit: u64,
    /// The tokens that the bucket holds.
    pub capacity: u64,
}

impl BucketQuota {
    /// Creates the quota of a bucket that holds `capacity` tokens, of which `limit` flow in per
    /// length.
    pub const fn new(limit: u64, capacity: u64) -> Self {
        Self { limit, capacity }
    }

    /// Returns the time in which an empty bucket fills, in units of 1/`limit` nanosecond.
    #[inline]
    pub const fn fills_in(self, length: WindowLength) -> u128 {
        // Two factors of 64 bits.
        self.capacity as u128 * length.as_nanos() as u128
    }

    /// Returns the highest value that a hit of this quota at `now` can leave. Saturates.
    #[inline]
    pub const fn highest_value(self, length: WindowLength, now: Timestamp) -> u128 {
        (now.as_nanos() as u128 * self.limit as u128).saturating_add(self.fills_in(length))
    }
}

/// The value of a bucket, and the quota of the hit that wrote it: what a backend stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredBucket {
    /// The value, in units of 1/`quota.limit` nanosecond.
    pub value: u128,
    /// The quota of the hit that wrote the value.
    pub quota: BucketQuota,
}

/// What the value of a bucket is for a hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveBucket {
    /// The value, in the unit of the hit's limit. 0 if the bucket is absent.
    pub value: u128,
    /// How far the clock that wrote the value is ahead, at least. See
    /// [`CounterState::clock_lead`](crate::CounterState::clock_lead).
    pub clock_lead: Duration,
}

impl StoredBucket {
    /// Returns what this value is for a hit of `quota` at `now`. The bucket is absent if only a
    /// wrong clock can have written the value.
    pub fn live(
        self,
        quota: BucketQuota,
        length: WindowLength,
        now: Timestamp,
        skew: Duration,
    ) -> LiveBucket {
        let ahead = self.value.saturating_sub(self.quota.highest_value(length, now));
        // A caller may count by a clock that is ahead of its own by the skew.
        let longest = (2 * u128::from(nanos(skew))).saturating_mul(self.quota.limit.into());
        if ahead > longest {
            return LiveBucket::default();
        }
        LiveBucket {
            value: convert(self.value, self.quota.limit, quota.limit),
            clock_lead: match ahead.checked_div(self.quota.limit.into()) {
                Some(ahead) => Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX)),
                None => Duration::ZERO,
            },
        }
    }
}

/// Returns what a stored bucket is for an operation on `counter` at `now`. A bucket that is not
/// stored is absent: its value is 0.
///
/// `skew` is the maximum clock skew of the backend.
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) if the counter is no bucket, or has no quota.
pub fn read(
    stored: Option<StoredBucket>,
    counter: &Counter<'_>,
    now: Timestamp,
    skew: Duration,
) -> Result<LiveBucket> {
    let window = counter.window();
    let Some(quota) = quota(counter)? else {
        return Err(BackendError::invalid(format!("expected a bucket, not the window {window:?}")));
    };
    let length = window.length();
    Ok(stored.map_or_else(LiveBucket::default, |stored| stored.live(quota, length, now, skew)))
}

/// Returns the quota of a counter that is a bucket; `None` for other windows.
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) if the counter is a bucket without a quota.
pub fn quota(counter: &Counter<'_>) -> Result<Option<BucketQuota>> {
    match (counter.window(), counter.bucket()) {
        (Window::Bucket { .. }, Some(quota)) => Ok(Some(quota)),
        (Window::Bucket { .. }, None) => {
            Err(BackendError::invalid("a bucket needs a quota; set one by `Counter::with_bucket`"))
        }
        (_, _) => Ok(None),
    }
}

/// Converts a value from the unit of one limit to that of another: the same time, rounded up.
/// Saturates.
///
/// Rounded up, so that a change of the limit never lowers the time at which the bucket is full.
/// From a limit of 0 the result is 0: no hit counts in a bucket that never refills.
pub fn convert(value: u128, from_limit: u64, to_limit: u64) -> u128 {
    if from_limit == to_limit {
        return value;
    }
    let (from, to) = (u128::from(from_limit), u128::from(to_limit));
    let (Some(whole), Some(rest)) = (value.checked_div(from), value.checked_rem(from)) else { return 0 };
    // The rest is below 2^64, so its product fits.
    whole.saturating_mul(to).saturating_add((rest * to).div_ceil(from))
}

/// Converts an amount that is returned to a bucket: the same time, rounded down. Saturates.
///
/// Rounded down, so that a refund never returns more than was charged. From a limit of 0 the result
/// is 0.
pub(crate) fn convert_down(amount: u128, from_limit: u64, to_limit: u64) -> u128 {
    if from_limit == to_limit {
        return amount;
    }
    let (from, to) = (u128::from(from_limit), u128::from(to_limit));
    let (Some(whole), Some(rest)) = (amount.checked_div(from), amount.checked_rem(from)) else { return 0 };
    // The rest is below 2^64, so its product fits.
    whole.saturating_mul(to).saturating_add(rest * to / from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SKEW: Duration = Duration::from_secs(5);
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn any_length() -> impl Strategy<Value = WindowLength> {
        (WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos())
            .prop_map(|nanos| WindowLength::try_from(Duration::from_nanos(nanos)).unwrap())
    }

    fn any_limit() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(limit, shift)| (limit >> shift).max(1))
    }

    #[test]
    fn used_share_of_a_bucket_without_a_burst_stays_the_same() {
        let length = WindowLength::MINUTE;
        let full = |limit| BucketQuota::new(limit, limit).highest_value(length, NOW);
        for (from, to) in [(10, 9), (10, 20), (1_000_000_007, 3)] {
            assert_eq!(convert(full(from), from, to), full(to));
        }
    }

    #[test]
    fn bucket_that_never_refills_is_converted_to_an_absent_one() {
        assert_eq!(convert(u128::MAX, 0, 7), 0);
        assert_eq!(convert(u128::MAX, 7, 0), 0);
        assert_eq!(convert(u128::MAX, 0, 0), u128::MAX);
    }

    #[test]
    fn value_is_live_up_to_twice_the_skew_and_absent_beyond() {
        let (quota, length) = (BucketQuota::new(10, 7), WindowLength::SECOND);
        let highest = quota.highest_value(length, NOW);
        let live = |ahead| StoredBucket { value: highest + ahead, quota }.live(quota, length, NOW, SKEW);
        for (nanos, lead) in [(0, 0), (1, 1), (10_000_000_000, 10_000_000_000)] {
            let expected = LiveBucket { value: highest + 10 * nanos, clock_lead: Duration::from_nanos(lead) };
            assert_eq!(live(10 * nanos), expected);
        }
        assert_eq!(live(10 * 10_000_000_000 + 1), LiveBucket::default());
        // Less than a nanosecond is no lead.
        assert_eq!(live(9).clock_lead, Duration::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn conversion_is_the_exact_quotient_rounded_up(value: u64, from in any_limit(), to in any_limit()) {
            let exact = u128::from(value) * u128::from(to);
            prop_assert_eq!(convert(value.into(), from, to), exact.div_ceil(from.into()));
        }

        #[test]
        fn conversion_there_and_back_never_lowers_a_value(
            value: u128, shift in 0..128_u32, from in any_limit(), to in any_limit(),
        ) {
            let value = value >> shift;
            let there = convert(value, from, to);
            prop_assume!(there < u128::MAX);
            let back = convert(there, to, from);
            prop_assert!(back >= value);
            // By less than one unit of the other limit.
            prop_assert!(back - value <= u128::from(from.div_ceil(to)));
        }

        #[test]
        fn conversion_keeps_the_order_of_values(
            one: u128, other: u128, from in any_limit(), to in any_limit(),
        ) {
            let [low, high] = [one.min(other), one.max(other)];
            prop_assert!(convert(low, from, to) <= convert(high, from, to));
        }

        #[test]
        fn value_of_a_clock_within_the_skew_is_live_for_every_quota(
            limit in any_limit(), capacity: u64, length in any_length(), ahead in 0..=5_000_000_000_u64,
            lead in 0..=5_000_000_000_u64, asked in any_limit(),
        ) {
            let quota = BucketQuota::new(limit, capacity);
            let writer = NOW.saturating_add(Duration::from_nanos(ahead + lead));
            let stored = StoredBucket { value: quota.highest_value(length, writer), quota };
            let live = stored.live(BucketQuota::new(asked, 0), length, NOW, SKEW);
            prop_assert_eq!(live.value, convert(stored.value, limit, asked));
            prop_assert_eq!(live.clock_lead, Duration::from_nanos(ahead + lead));
        }

        #[test]
        fn no_input_overflows(value: u128, limit: u64, capacity: u64, asked: u64, now: u64, skew: u64) {
            let stored = StoredBucket { value, quota: BucketQuota::new(limit, capacity) };
            let (now, skew) = (Timestamp::from_nanos(now), Duration::from_secs(skew));
            stored.live(BucketQuota::new(asked, 1), WindowLength::MAX, now, skew);
        }
    }
}
