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
//! skew, and a caller may count by a clock that is [ahead of its own](crate::CounterState::clock_lead)
//! by as much. A later time was written by a wrong clock. Then the bucket is absent: it starts
//! over.
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
        (Window::Aligned { .. } | Window::FromFirstHit { .. }, _) => Ok(None),
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
