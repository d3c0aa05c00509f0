//! The result of a limiter.

use std::fmt;
use std::time::Duration;

use crate::algorithm::Usage;

/// Whether something may happen now, and how much of its limit is used.
///
/// The limit of a fixed or sliding window is that of the quota. The limit of a token bucket is its
/// capacity. All values are as of the decision: other callers may count in the meantime.
#[must_use = "an ignored decision limits nothing"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    allowed: bool,
    degraded: bool,
    limit: u64,
    used: u64,
    remaining: u64,
    retry_after: Option<Duration>,
    reset_after: Nanos,
}

/// Nanoseconds, debug-printed as a duration. Half the size of a [`Duration`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Nanos(u64);

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration::from_nanos(self.0).fmt(f)
    }
}

impl Decision {
    #[inline(always)]
    pub(crate) const fn new(allowed: bool, limit: u64, usage: Usage, retry_after: Option<Duration>) -> Self {
        let Usage { used, remaining, reset_after } = usage;
        Self {
            allowed,
            degraded: false,
            limit,
            used,
            remaining,
            retry_after,
            reset_after: Nanos(reset_after),
        }
    }

    pub(crate) const fn degraded(allowed: bool, limit: u64) -> Self {
        let (used, remaining, reset_after) = (0, 0, Nanos(0));
        Self { allowed, degraded: true, limit, used, remaining, retry_after: None, reset_after }
    }

    /// Returns whether the hit is allowed. After a [`peek`](crate::Limiter::peek): whether a hit of
    /// cost 1 would be.
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Returns the largest cost that can ever be admitted: the limit of the quota, or the capacity
    /// of the token bucket.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how much of the limit is used, including this hit if it was allowed.
    ///
    /// It exceeds the limit only if another limiter with a higher limit counts in the same window.
    /// The share of the previous window of a sliding window is rounded up. A token that has flowed
    /// into a bucket only partly still counts as used.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns the largest cost that would be admitted now. It is exact: a hit of this cost is
    /// admitted, and a hit that costs one more is refused.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns how long to wait until the same hit is admitted, if nothing else is admitted in the
    /// meantime.
    ///
    /// `None` does not mean that the hit is allowed; see [`is_allowed`](Self::is_allowed). It is
    /// `None`
    ///
    /// - if the hit is allowed,
    /// - if waiting never helps, because the cost is above the limit,
    /// - if the decision was made [without the backend](Self::is_degraded).
    ///
    /// By a clock that reads every nanosecond it is exact: after this time the hit is admitted, and
    /// a nanosecond earlier it is refused. For a coarser clock its
    /// [resolution](crate::Clock::resolution) is added, so that this time is always enough. Hits
    /// that were counted ahead of the clock, before it jumped back, are not foreseen.
    ///
    /// A sliding window can ask for almost two of its lengths. After its only hit, `1/10s` returns
    /// up to 19.999 s, because the hit counts until the end of the next window. See
    /// [small limits](crate::Algorithm#small-limits) for what to use instead.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns how long until the limit resets, if nothing else is admitted in the meantime.
    ///
    /// A fixed window resets at its end. A sliding window resets when no counted hit weighs
    /// anything. A token bucket resets when it is full.
    pub const fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_after.0)
    }

    /// Returns whether the backend failed, and [`OnError`](crate::OnError) decided instead. Nothing
    /// is known about the key then: `used`, `remaining` and `reset_after` are 0, and `retry_after`
    /// is `None`.
    pub const fn is_degraded(&self) -> bool {
        self.degraded
    }
}
