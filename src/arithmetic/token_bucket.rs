//! Token buckets, by the generic cell rate algorithm (ITU-T I.371, annex A, "virtual scheduling").
//!
//! The one number stored is the theoretical arrival time: when the bucket is full again. A token takes the emission
//! interval `window / limit` to flow in. That is seldom a whole number of nanoseconds, so the unit of time is
//! 1/`limit` nanosecond, in which the interval is `window` nanoseconds' worth and nothing is ever rounded.

use limited_core::{Hit, Tally, Timestamp, bucket_full_at};

use super::{Standing, at_most_u64};
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
    fn of(quota: Quota, now: Timestamp) -> Self {
        // Products of two 64-bit numbers fit in 128 bits; their sum saturates only for absurd quotas after 2262, on
        // the side of refusing.
        let now = u128::from(now.as_nanos()) * u128::from(quota.limit());
        let interval = u128::from(quota.length().as_nanos());
        let capacity = u128::from(quota.capacity()) * interval;
        Self { now, interval, capacity, ceiling: now.saturating_add(capacity) }
    }
}

pub(crate) fn hit(quota: Quota, cost: u64, now: Timestamp) -> Hit<'static> {
    let units = Units::of(quota, now);
    Hit::new(u128::from(cost) * units.interval, units.ceiling).with_floor(units.now)
}

pub(crate) fn standing(quota: Quota, now: Timestamp, tally: &Tally) -> Standing {
    let units = Units::of(quota, now);
    let room = units.ceiling.saturating_sub(tally.value.max(units.now));
    let remaining = at_most_u64(room / units.interval);
    let full_at = u128::from(bucket_full_at(tally.value, quota.limit()).as_nanos());
    Standing {
        used: quota.capacity().saturating_sub(remaining),
        remaining,
        reset_after: full_at.saturating_sub(now.as_nanos().into()),
    }
}

pub(crate) fn retry_after(quota: Quota, cost: u64, now: Timestamp, tally: &Tally) -> Option<u128> {
    if cost > quota.capacity() {
        return None;
    }
    let units = Units::of(quota, now);
    // The least t with value + cost · interval ≤ t · limit + capacity.
    let spare = units.capacity - u128::from(cost) * units.interval;
    let admitted_at = tally.value.saturating_sub(spare).div_ceil(u128::from(quota.limit()).max(1));
    Some(admitted_at.saturating_sub(now.as_nanos().into()))
}
