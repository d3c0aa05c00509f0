//! One decision as data: its parameters, what the backend is called with, and what the result
//! means.

use limited_core::{BucketQuota, Counter, CounterState, Hit, InvalidKey, Key, Timestamp};

use crate::algorithm::{CounterValues, Usage};
use crate::clock::LimiterClock;
use crate::{Algorithm, Decision, Quota, duration};

/// The parameters of a decision, apart from the key.
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
        let counter = Counter::new(namespace, key, self.algorithm.window(self.quota, self.now))?;
        Ok(match self.algorithm {
            Algorithm::FixedWindow => counter,
            Algorithm::SlidingWindow => counter.sliding(),
            Algorithm::TokenBucket => {
                counter.with_bucket(BucketQuota::new(self.quota.limit(), self.quota.capacity()))
            }
        })
    }

    #[inline(always)]
    pub(super) fn hit(self) -> Hit<'static> {
        self.algorithm.hit(self.quota, self.cost, self.now)
    }

    /// Returns the decision after a hit.
    #[inline(always)]
    pub(super) fn decision_after_hit(self, state: CounterState, clock: &LimiterClock) -> Decision {
        let allowed = state.counted;
        let values = CounterValues::from(state);
        self.decision(allowed, self.usage(values), values, clock)
    }

    /// Returns the decision that a hit would lead to, after a read.
    pub(super) fn decision_after_read(self, state: CounterState, clock: &LimiterClock) -> Decision {
        let values = CounterValues::from(state);
        let usage = self.usage(values);
        self.decision(self.cost <= usage.remaining, usage, values, clock)
    }

    /// Returns the decision without a backend.
    pub(super) const fn degraded(self, allowed: bool) -> Decision {
        Decision::degraded(allowed, self.algorithm.limit(self.quota))
    }

    #[inline(always)]
    fn usage(self, values: CounterValues) -> Usage {
        self.algorithm.usage(self.quota, self.now, values)
    }

    #[inline(always)]
    fn decision(self, allowed: bool, usage: Usage, values: CounterValues, clock: &LimiterClock) -> Decision {
        let retry_after = if allowed {
            None
        } else {
            self.algorithm
                .retry_after(self.quota, self.cost, self.now, values)
                .map(|nanos| duration::with_resolution(nanos, clock.resolution_by(self.is_coarse)))
        };
        Decision::new(allowed, self.algorithm.limit(self.quota), usage, retry_after)
    }
}
