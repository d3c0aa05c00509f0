//! One decision as data: its parameters, what the backend is called with, and what the result
//! means.

use limited_core::{BucketQuota, Counter, CounterState, Hit, InvalidKey, Key, Timestamp};

use super::clock_lead;
use crate::algorithm::{CounterValues, Usage};
use crate::clock::LimiterClock;
use crate::decision::Charge;
use crate::{Algorithm, Decision, Quota, duration};

/// The parameters of a decision, apart from the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'q> {
    pub(super) algorithm: Algorithm,
    /// The quota; the first one of several.
    pub(super) quota: &'q Quota,
    /// All quotas, if there are several.
    pub(super) several: Option<&'q [Quota]>,
    /// Whether `now` was read from the coarse clock.
    pub(super) is_coarse: bool,
    pub(super) cost: u64,
    /// The time by the clock of this limiter, which the backend gets.
    pub(super) now: Timestamp,
    /// The nanoseconds by which another clock is ahead. Buckets count by that clock.
    pub(super) lead: u64,
}

impl Check<'_> {
    /// Returns the counter that the hit is counted in.
    #[inline(always)]
    pub(super) fn counter<'a>(self, namespace: &'a str, key: &'a Key<'a>) -> Result<Counter<'a>, InvalidKey> {
        let window = self.algorithm.window(self.quota, self.now);
        Ok(self.with_operation(Counter::new(namespace, key, window)?))
    }

    /// Returns the counter with what the algorithm adds to its operations.
    #[inline(always)]
    pub(super) fn with_operation<'a>(self, counter: Counter<'a>) -> Counter<'a> {
        match self.algorithm {
            Algorithm::FixedWindow => counter,
            Algorithm::SlidingWindow => counter.sliding(),
            Algorithm::TokenBucket => {
                counter.with_bucket(BucketQuota::new(self.quota.limit(), self.quota.capacity()))
            }
        }
    }

    #[inline(always)]
    pub(super) fn hit(self) -> Hit<'static> {
        self.algorithm.hit(self.quota, self.cost, self.leading_now())
    }

    /// Returns whether the counter is a bucket.
    pub(super) const fn is_bucket(self) -> bool {
        matches!(self.algorithm, Algorithm::TokenBucket)
    }

    /// Returns the decision after a hit.
    #[inline(always)]
    pub(super) fn decision_after_hit(self, state: CounterState, clock: &LimiterClock) -> Decision {
        let allowed = state.counted;
        let values = CounterValues::from(state);
        let cost = if allowed { self.cost } else { 0 };
        self.decision(allowed, self.usage(values), values, cost, clock)
    }

    /// Returns the decision that a hit would lead to, after a read.
    pub(super) fn decision_after_read(self, state: CounterState, clock: &LimiterClock) -> Decision {
        let values = CounterValues::from(state);
        let usage = self.usage(values);
        self.decision(self.cost <= usage.remaining, usage, values, 0, clock)
    }

    /// Returns the decision without a backend.
    pub(super) const fn degraded(self, allowed: bool) -> Decision {
        Decision::degraded(allowed, self.algorithm.limit(self.quota))
    }

    /// Returns the time by the clock that buckets count by.
    #[inline(always)]
    pub(super) const fn leading_now(self) -> Timestamp {
        Timestamp::from_nanos(self.now.as_nanos().saturating_add(self.lead))
    }

    #[inline(always)]
    fn usage(self, values: CounterValues) -> Usage {
        let usage = self.algorithm.usage(self.quota, self.leading_now(), values);
        match self.lead {
            0 => usage,
            lead => {
                let reset_after = clock_lead::wait(usage.reset_after.into(), lead);
                Usage { reset_after: u64::try_from(reset_after).unwrap_or(u64::MAX), ..usage }
            }
        }
    }

    #[inline(always)]
    fn decision(
        self,
        allowed: bool,
        usage: Usage,
        values: CounterValues,
        charged: u64,
        clock: &LimiterClock,
    ) -> Decision {
        let retry_after = if allowed {
            None
        } else {
            self.algorithm
                .retry_after(self.quota, self.cost, self.leading_now(), values)
                .map(|nanos| if self.lead == 0 { nanos } else { clock_lead::wait(nanos, self.lead) })
                .map(|nanos| duration::with_resolution(nanos, clock.resolution_by(self.is_coarse)))
        };
        let charge = Charge { cost: charged, at: self.leading_now() };
        Decision::new(allowed, self.algorithm.limit(self.quota), usage, retry_after, charge)
    }
}
