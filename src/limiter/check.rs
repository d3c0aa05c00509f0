//! One question to a limiter, as numbers: what the backend is asked, and what its result means.

use limited_core::{Counter, CounterState, Hit, InvalidKey, Key, Timestamp};

use crate::arithmetic::{self, Count, Standing};
use crate::clock::ClockChoice;
use crate::{Algorithm, Decision, Quota};

/// Whether a hit of this cost is allowed now, by this quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'q> {
    pub(super) algorithm: Algorithm,
    pub(super) quota: &'q Quota,
    /// Whether `now` was read from the coarse clock.
    pub(super) is_coarse: bool,
    pub(super) cost: u64,
    pub(super) now: Timestamp,
}

impl Check<'_> {
    /// Returns the counter that the hit is counted in.
    #[inline(always)]
    pub(super) fn counter<'a>(self, namespace: &'a str, key: &'a Key<'a>) -> Result<Counter<'a>, InvalidKey> {
        let window = arithmetic::window(self.algorithm, self.quota, self.now);
        let counter = Counter::new(namespace, key, window)?;
        Ok(if matches!(self.algorithm, Algorithm::SlidingWindow) { counter.sliding() } else { counter })
    }

    #[inline(always)]
    pub(super) fn hit(self) -> Hit<'static> {
        arithmetic::hit(self.algorithm, self.quota, self.cost, self.now)
    }

    /// Returns the decision after a hit.
    #[inline(always)]
    pub(super) fn from_hit(self, state: CounterState, clock: &ClockChoice) -> Decision {
        let counted = state.counted;
        let count = Count::from(state);
        self.decision(counted, self.standing(count), count, clock)
    }

    /// Returns the decision that a hit would lead to, after a read.
    pub(super) fn from_read(self, state: CounterState, clock: &ClockChoice) -> Decision {
        let count = Count::from(state);
        let standing = self.standing(count);
        self.decision(self.cost <= standing.remaining, standing, count, clock)
    }

    /// Returns the decision without a backend.
    pub(super) const fn degraded(self, allowed: bool) -> Decision {
        Decision::degraded(allowed, self.limit())
    }

    #[inline(always)]
    fn standing(self, count: Count) -> Standing {
        arithmetic::standing(self.algorithm, self.quota, self.now, count)
    }

    #[inline(always)]
    fn decision(self, allowed: bool, standing: Standing, count: Count, clock: &ClockChoice) -> Decision {
        let retry_after = if allowed {
            None
        } else {
            arithmetic::retry_after(self.algorithm, self.quota, self.cost, self.now, count)
                .map(|nanos| arithmetic::wait(nanos, clock.resolution_of(self.is_coarse)))
        };
        Decision::new(allowed, self.limit(), standing, retry_after)
    }

    const fn limit(self) -> u64 {
        match self.algorithm {
            Algorithm::FixedWindow | Algorithm::SlidingWindow => self.quota.limit(),
            Algorithm::TokenBucket => self.quota.capacity(),
        }
    }
}
