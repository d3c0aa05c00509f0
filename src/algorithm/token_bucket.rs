//! Token buckets, by the generic cell rate algorithm (ITU-T I.371, annex A, "virtual scheduling").
//!
//! The only stored number is the theoretical arrival time (TAT): when the bucket will be full
//! again. One token flows in per emission interval, which is `window / limit`. That is rarely a
//! whole number of nanoseconds. So the unit of time is 1/`limit` nanosecond: the interval is then
//! the length of the window in nanoseconds, and nothing is rounded.

use std::num::NonZeroU64;

use limited_core::{BucketQuota, Hit, Timestamp};

use super::integer::{quotient, quotient_rounded_up, saturate_u64};
use super::usage::{CounterValues, Usage};
use crate::Quota;

/// Times in units of 1/`limit` nanosecond.
struct Units {
    now: u128,
    /// The time in which one token flows in.
    interval: u128,
    /// The time in which an empty bucket fills up.
    capacity: u128,
    /// The latest TAT that a hit may lead to.
    ceiling: u128,
}

impl Units {
    fn new(quota: &Quota, now: Timestamp) -> Self {
        // The product of two 64-bit numbers fits into 128 bits. The sum saturates only for extreme
        // quotas after the year 2262; the bucket then refuses more.
        let now = u128::from(now.as_nanos()) * u128::from(quota.limit());
        let interval = u128::from(quota.length().as_nanos());
        let capacity = u128::from(quota.capacity()) * interval;
        Self { now, interval, capacity, ceiling: now.saturating_add(capacity) }
    }
}

#[inline(always)]
pub(super) fn hit(quota: &Quota, cost: u64, now: Timestamp) -> Hit<'static> {
    let units = Units::new(quota, now);
    Hit::new(u128::from(cost) * units.interval, units.ceiling).with_floor(units.now)
}

/// The highest value of a hit beyond the capacity. Backends store 38 decimal digits.
const HIGHEST_VALUE: u128 = 10_u128.pow(38) - 1;

/// Returns the hit that leads to a TAT of up to `ahead` units beyond the capacity, and the quota
/// for its counter.
///
/// The capacity of that quota reaches the ceiling. By the real one, such a value would look like
/// that of a wrong clock.
pub(crate) fn hit_beyond_capacity(
    quota: &Quota,
    cost: u64,
    now: Timestamp,
    ahead: u128,
) -> (Hit<'static>, BucketQuota) {
    let units = Units::new(quota, now);
    let wanted = units.ceiling.saturating_add(ahead).min(HIGHEST_VALUE.max(units.ceiling));
    let capacity = saturate_u64((wanted - units.now).div_ceil(units.interval));
    let bucket = BucketQuota::new(quota.limit(), capacity.max(quota.capacity()));
    let ceiling = wanted.min(bucket.highest_value(quota.length(), now));
    (Hit { ceiling, ..hit(quota, cost, now) }, bucket)
}

/// Returns the nanoseconds until a TAT of `value` is within the capacity: how long the hit that led
/// to it has to wait. Returns `None` if it never is.
pub(crate) fn wait_of(quota: &Quota, now: Timestamp, value: u128) -> Option<u128> {
    match (value.saturating_sub(Units::new(quota, now).ceiling), NonZeroU64::new(quota.limit())) {
        (0, _) => Some(0),
        (missing, Some(limit)) => Some(quotient_rounded_up(missing, limit)),
        (_, None) => None,
    }
}

/// Returns how far a TAT of `value` is beyond the capacity, in units of 1/`limit` nanosecond.
pub(crate) fn beyond_capacity(quota: &Quota, now: Timestamp, value: u128) -> u128 {
    value.saturating_sub(Units::new(quota, now).ceiling)
}

/// Returns the time in which `cost` tokens flow in, in units of 1/`limit` nanosecond.
pub(crate) fn units_of(quota: &Quota, cost: u64) -> u128 {
    u128::from(cost) * u128::from(quota.length().as_nanos())
}

#[inline(always)]
pub(super) fn usage(quota: &Quota, now: Timestamp, values: CounterValues) -> Usage {
    let missing = values.value.saturating_sub(u128::from(now.as_nanos()) * u128::from(quota.limit()));
    let used = used_tokens(quota, now, missing);
    Usage {
        used,
        remaining: quota.capacity().saturating_sub(used),
        reset_after: full_after(quota, now, missing),
    }
}

/// Returns how many tokens have yet to flow in, including one that has flowed in partly.
///
/// `missing` is the time until the bucket is full.
#[inline(always)]
fn used_tokens(quota: &Quota, now: Timestamp, missing: u128) -> u64 {
    match NonZeroU64::new(quota.length().as_nanos()) {
        // The capacity has less than 126 bits, so the ceiling does not saturate here. The result is
        // then `capacity − ⌊(capacity · interval − missing) / interval⌋`. This division is faster,
        // because `missing` usually has 64 bits.
        Some(interval) if Units::new(quota, now).now <= u128::MAX / 2 => {
            saturate_u64(quotient_rounded_up(missing, interval)).min(quota.capacity())
        }
        _ => used_below_ceiling(quota, now, missing),
    }
}

/// [`used_tokens`] if the ceiling may saturate, and then leaves less room.
#[cold]
fn used_below_ceiling(quota: &Quota, now: Timestamp, missing: u128) -> u64 {
    let units = Units::new(quota, now);
    let room = units.ceiling.saturating_sub(units.now.saturating_add(missing));
    quota.capacity() - quotient(room, units.interval).map_or(0, saturate_u64).min(quota.capacity())
}

/// Returns the nanoseconds until the bucket is full, at most until the last [`Timestamp`].
///
/// `now` is a whole number of units, so `⌈value / limit⌉ − now` is
/// `⌈(value − now · limit) / limit⌉`. The second dividend usually has 64 bits; the first, a time
/// since 1970, has more.
#[inline(always)]
fn full_after(quota: &Quota, now: Timestamp, missing: u128) -> u64 {
    let longest = u64::MAX - now.as_nanos();
    match (NonZeroU64::new(quota.limit()), missing) {
        (_, 0) => 0,
        // Nothing ever flows in.
        (None, _) => longest,
        (Some(limit), missing) => saturate_u64(quotient_rounded_up(missing, limit)).min(longest),
    }
}

#[inline(always)]
pub(super) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, values: CounterValues) -> Option<u128> {
    if cost > quota.capacity() {
        return None;
    }
    // A limit of 0 means a capacity of 0, which every cost exceeds.
    let limit = NonZeroU64::new(quota.limit())?;
    let units = Units::new(quota, now);
    // The least t with value + cost · interval ≤ (now + t) · limit + capacity.
    let spare = units.capacity - u128::from(cost) * units.interval;
    let missing = values.value.saturating_sub(spare).saturating_sub(units.now);
    Some(quotient_rounded_up(missing, limit))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use limited_core::{CounterState, WindowLength, bucket_full_at};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn times_relative_to_now_equal_times_since_the_epoch(
            limit: u64,
            burst: u64,
            (limit_shift, burst_shift, ahead_shift) in (0..64_u32, 0..64_u32, 0..128_u32),
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            now: u64,
            ahead: u128,
            cost in 1..=u64::MAX,
        ) {
            let quota = Quota::new(limit >> limit_shift, Duration::from_nanos(length)).unwrap();
            let quota = quota.burst(burst >> burst_shift);
            let limit = u128::from(quota.limit());
            let (at, ahead) = (Timestamp::from_nanos(now), ahead >> ahead_shift);
            let units = Units::new(&quota, at);
            for value in [ahead, (u128::from(now) * limit).saturating_add(ahead)] {
                let values = CounterValues::from(CounterState::new(false, value));
                let usage = usage(&quota, at, values);
                let full_at = u128::from(bucket_full_at(value, quota.limit()).as_nanos());
                let expected = full_at.saturating_sub(now.into());
                // The largest cost that fits, by a division of the room below the ceiling.
                let room = units.ceiling.saturating_sub(value.max(units.now));
                let remaining = u64::try_from(room / units.interval).unwrap();
                prop_assert_eq!(usage.remaining, remaining);
                prop_assert_eq!(usage.used, quota.capacity() - remaining);
                prop_assert_eq!(u128::from(usage.reset_after), expected);

                let cost = if quota.capacity() == 0 { cost } else { cost % quota.capacity() + 1 };
                let expected = (cost <= quota.capacity()).then(|| {
                    let spare = u128::from(quota.capacity() - cost) * u128::from(length);
                    value.saturating_sub(spare).div_ceil(limit).saturating_sub(now.into())
                });
                prop_assert_eq!(retry_after(&quota, cost, at, values), expected);
            }
        }

        #[test]
        fn wait_is_the_least_time_after_which_the_value_is_within_the_capacity(
            limit in 1..=u64::MAX,
            burst: u64,
            (limit_shift, burst_shift, ahead_shift) in (0..64_u32, 0..64_u32, 0..128_u32),
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            now in 0..1_u64 << 62,
            ahead: u128,
        ) {
            let quota = Quota::new((limit >> limit_shift).max(1), Duration::from_nanos(length)).unwrap();
            let quota = quota.burst(burst >> burst_shift);
            let at = Timestamp::from_nanos(now);
            let value = Units::new(&quota, at).now.saturating_add(ahead >> ahead_shift);
            let wait = wait_of(&quota, at, value).unwrap();
            let fits = |wait: u128| {
                let now = (u128::from(now) + wait).checked_mul(quota.limit().into());
                now.is_none_or(|now| value <= now.saturating_add(Units::new(&quota, at).capacity))
            };
            prop_assert!(fits(wait));
            prop_assert!(wait == 0 || !fits(wait - 1));
            prop_assert_eq!(beyond_capacity(&quota, at, value) == 0, wait == 0);
        }

        #[test]
        fn hit_beyond_the_capacity_is_not_that_of_a_wrong_clock(
            limit: u64,
            burst: u64,
            (limit_shift, burst_shift, ahead_shift) in (0..64_u32, 0..64_u32, 0..128_u32),
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            now: u64,
            ahead: u128,
            cost: u64,
        ) {
            let quota = Quota::new(limit >> limit_shift, Duration::from_nanos(length)).unwrap();
            let quota = quota.burst(burst >> burst_shift);
            let (at, ahead) = (Timestamp::from_nanos(now), ahead >> ahead_shift);
            let (beyond, bucket) = hit_beyond_capacity(&quota, cost, at, ahead);
            let plain = hit(&quota, cost, at);
            prop_assert_eq!((beyond.cost, beyond.floor), (plain.cost, plain.floor));
            prop_assert!(plain.ceiling <= beyond.ceiling);
            prop_assert!(beyond.ceiling <= plain.ceiling.saturating_add(ahead));
            prop_assert!(beyond.ceiling <= HIGHEST_VALUE || beyond.ceiling == plain.ceiling);
            prop_assert!(beyond.ceiling <= bucket.highest_value(quota.length(), at));
            let is_exact = plain.ceiling.checked_add(ahead).is_some_and(|wanted| {
                wanted <= HIGHEST_VALUE && wanted - plain.floor <= u128::from(u64::MAX) * u128::from(length)
            });
            prop_assert!(!is_exact || beyond.ceiling == plain.ceiling + ahead);
        }
    }
}
