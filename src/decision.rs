//! Decisions: what a limiter answers.

use std::fmt;
use std::time::Duration;

use crate::arithmetic::Standing;

/// Whether something may happen now, and where its key stands.
///
/// For a fixed or sliding window the limit is the quota's; for a token bucket it is the bucket's capacity. Everything
/// is as of the decision: other callers may count in the meantime.
#[must_use = "a decision that nobody looks at limits nothing"]
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

/// Nanoseconds, as many as there can be at most; shown as a duration.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Nanos(u64);

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration::from_nanos(self.0).fmt(f)
    }
}

impl Decision {
    #[inline(always)]
    pub(crate) const fn new(
        allowed: bool,
        limit: u64,
        standing: Standing,
        retry_after: Option<Duration>,
    ) -> Self {
        let Standing { used, remaining, reset_after } = standing;
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

    /// Returns a decision without a backend.
    pub(crate) const fn degraded(allowed: bool, limit: u64) -> Self {
        let (used, remaining, reset_after) = (0, 0, Nanos(0));
        Self { allowed, degraded: true, limit, used, remaining, retry_after: None, reset_after }
    }

    /// Whether it may happen. Of a [`peek`](crate::Limiter::peek): whether a hit of cost 1 could.
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// The most that can be admitted at once: the quota's limit, or the capacity of the token bucket.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// How much of the limit is taken, this hit included if it was allowed. It is above the limit only where another
    /// limiter with a higher limit counts in the same window.
    ///
    /// Of a sliding window the share of the window before is rounded up; of a bucket, a token that has not flowed in
    /// entirely still counts as taken.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// What could still be admitted at once, right now: exactly so much and no more.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How long to wait until the same hit is admitted, if nothing else is in the meantime.
    ///
    /// `None` does not mean allowed, [`is_allowed`](Self::is_allowed) does. It is `None` if the hit is allowed, if waiting
    /// never helps (the cost is above the limit, or the limit is 0), or if the decision was made
    /// [without the backend](Self::is_degraded).
    ///
    /// It is exact to the nanosecond in the clock's reading: waiting that long is enough, a nanosecond less is not.
    /// Where the clock is coarser, its [resolution](crate::Clock::resolution) is added, so that it is still enough.
    /// What was counted ahead of the clock, before it jumped back, is not foreseen.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How long until the limit resets: a fixed window ends; of a sliding window nothing counted weighs any more; a
    /// token bucket is full. All provided that nothing else is admitted.
    pub const fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_after.0)
    }

    /// Whether this was decided without the backend, which failed, as [`OnError`](crate::OnError) asked for. Nothing
    /// is known about the key then: used and remaining are 0, and no waiting time is given.
    pub const fn is_degraded(&self) -> bool {
        self.degraded
    }
}
