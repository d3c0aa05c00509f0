//! Token buckets, by the generic cell rate algorithm (ITU-T I.371, annex A, "virtual scheduling").
//!
//! The one number stored is the theoretical arrival time: when the bucket is full again. A token takes the emission
//! interval `window / limit` to flow in. That is seldom a whole number of nanoseconds, so the unit of time is
//! 1/`limit` nanosecond, in which the interval is `window` nanoseconds' worth and nothing is ever rounded.

use std::num::NonZeroU64;

use limited_core::{Hit, Timestamp};

use super::{Count, Standing, at_most_u64, quotient, quotient_rounded_up};
use crate::Quota;

/// Times of one quota, in its own units.
struct Units {
    now: u128,
    /// What one token takes to flow in.
    interval: u128,
    /// What an empty bucket takes to fill up.
    capacity: u128,
    /// The latest arrival time that a hit may lead to.
    ceiling: u128,
}

impl Units {
    fn of(quota: &Quota, now: Timestamp) -> Self {
        // Products of two 64-bit numbers fit in 128 bits; their sum saturates only for absurd quotas after 2262, on
        // the side of refusing.
        let now = u128::from(now.as_nanos()) * u128::from(quota.limit());
        let interval = u128::from(quota.length().as_nanos());
        let capacity = u128::from(quota.capacity()) * interval;
        Self { now, interval, capacity, ceiling: now.saturating_add(capacity) }
    }
}

#[inline(always)]
pub(crate) fn hit(quota: &Quota, cost: u64, now: Timestamp) -> Hit<'static> {
    let units = Units::of(quota, now);
    Hit::new(u128::from(cost) * units.interval, units.ceiling).with_floor(units.now)
}

#[inline(always)]
pub(crate) fn standing(quota: &Quota, now: Timestamp, count: Count) -> Standing {
    let taken = count.value.saturating_sub(u128::from(now.as_nanos()) * u128::from(quota.limit()));
    let used = used(quota, now, taken);
    Standing {
        used,
        remaining: quota.capacity().saturating_sub(used),
        reset_after: full_after(quota, now, taken),
    }
}

/// How many tokens have yet to flow in, the one that is flowing in included.
#[inline(always)]
fn used(quota: &Quota, now: Timestamp, taken: u128) -> u64 {
    match NonZeroU64::new(quota.length().as_nanos()) {
        // The ceiling does not saturate: the capacity has less than 126 bits. Then it is
        // `capacity − ⌊(capacity · interval − taken) / interval⌋`, by a division of what mostly has 64 bits.
        Some(interval) if Units::of(quota, now).now <= u128::MAX / 2 => {
            at_most_u64(quotient_rounded_up(taken, interval)).min(quota.capacity())
        }
        _ => used_by_what_is_left(quota, now, taken),
    }
}

/// The same where the ceiling may saturate, and leave less room than there would be.
#[cold]
fn used_by_what_is_left(quota: &Quota, now: Timestamp, taken: u128) -> u64 {
    let units = Units::of(quota, now);
    let room = units.ceiling.saturating_sub(units.now.saturating_add(taken));
    quota.capacity() - quotient(room, units.interval).map_or(0, at_most_u64).min(quota.capacity())
}

/// Nanoseconds until the bucket is full, at most until the last [`Timestamp`].
///
/// Since `now` is a whole number of units, `⌈value / limit⌉ − now` is `⌈(value − now · limit) / limit⌉`: a division of
/// what has yet to flow in, which mostly has 64 bits, and not of the time since 1970, which has not.
#[inline(always)]
fn full_after(quota: &Quota, now: Timestamp, taken: u128) -> u64 {
    let longest = u64::MAX - now.as_nanos();
    match (NonZeroU64::new(quota.limit()), taken) {
        (_, 0) => 0,
        // Nothing ever flows in.
        (None, _) => longest,
        (Some(limit), taken) => at_most_u64(quotient_rounded_up(taken, limit)).min(longest),
    }
}

#[inline(always)]
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, count: Count) -> Option<u128> {
    if cost > quota.capacity() {
        return None;
    }
    // Without a limit there is no capacity, and no cost that is above neither.
    let limit = NonZeroU64::new(quota.limit())?;
    let units = Units::of(quota, now);
    // The least t with value + cost · interval ≤ (now + t) · limit + capacity.
    let spare = units.capacity - u128::from(cost) * units.interval;
    let missing = count.value.saturating_sub(spare).saturating_sub(units.now);
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
        fn times_counted_from_now_are_those_counted_from_the_epoch(
            limit: u64,
            burst: u64,
            (fewer, smaller, nearer) in (0..64_u32, 0..64_u32, 0..128_u32),
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            now: u64,
            ahead: u128,
            cost in 1..=u64::MAX,
        ) {
            let quota = Quota::new(limit >> fewer, Duration::from_nanos(length)).unwrap().burst(burst >> smaller);
            let limit = u128::from(quota.limit());
            let units = Units::of(&quota, Timestamp::from_nanos(now));
            for value in [ahead >> nearer, (u128::from(now) * limit).saturating_add(ahead >> nearer)] {
                let tally = CounterState::new(false, value);
                let full_at = u128::from(bucket_full_at(value, quota.limit()).as_nanos());
                let expected = full_at.saturating_sub(now.into());
                let at = Timestamp::from_nanos(now);
                // What may still be added, by a division of what is left.
                let room = units.ceiling.saturating_sub(value.max(units.now));
                let remaining = u64::try_from(room / units.interval).unwrap();
                prop_assert_eq!(standing(&quota, at, Count::from(&tally)).remaining, remaining);
                prop_assert_eq!(standing(&quota, at, Count::from(&tally)).used, quota.capacity() - remaining);
                prop_assert_eq!(u128::from(standing(&quota, at, Count::from(&tally)).reset_after), expected);

                let cost = if quota.capacity() == 0 { cost } else { cost % quota.capacity() + 1 };
                let expected = (cost <= quota.capacity()).then(|| {
                    let spare = u128::from(quota.capacity() - cost) * u128::from(length);
                    value.saturating_sub(spare).div_ceil(limit).saturating_sub(now.into())
                });
                prop_assert_eq!(retry_after(&quota, cost, at, Count::from(&tally)), expected);
            }
        }
    }
}
