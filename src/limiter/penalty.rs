//! Penalties: a cost that is counted past the limit.

use limited_core::{Backend, BackendError, Counter, CounterState, Hit, Immediate, Key};

use super::Limiter;
use super::check::Check;
use crate::Algorithm::TokenBucket;
use crate::algorithm::token_bucket;
use crate::poll_once::poll_once;
use crate::{Decision, Error, WithQuota};

/// The ceiling of a penalty in a window: 2^64 penalties of the largest cost stay below it less the
/// largest weight of a previous window. It has 37 digits, which every backend stores.
const WINDOW_CEILING: u128 = 1 << 120;

/// The number of requests after which a penalty gives up, because others raise the value each time.
const MAX_ROUNDS: u32 = 16;

/// # Penalties
impl<B: Backend> Limiter<B> {
    /// Counts a cost for a key also past its limit, and never refuses. For an action that costs
    /// more than was known before, or for misbehavior.
    ///
    /// Returns the state afterwards: whether a hit of cost 1 would be allowed now, and if not,
    /// when. A [refund](Self::refund) of this decision takes the penalty back.
    ///
    /// ```
    /// # use limited::{Algorithm, Limiter, ManualClock, Quota, memory::MemoryBackend};
    /// # use std::time::Duration;
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new())
    ///     .quota(Quota::per_minute(60))
    ///     .algorithm(Algorithm::TokenBucket);
    /// # let limiter = limiter.clock(ManualClock::new());
    /// let decision = limiter.penalize("user:7", 90).await?;
    /// assert!(!decision.is_allowed());
    /// // 30 tokens are missing, and the hit itself needs one.
    /// assert_eq!(decision.retry_after(), Some(Duration::from_secs(31)));
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// - In a window, a penalty counts like any hit, until the window ends. It may lie above the
    ///   limit by any amount, but does not outlast the window.
    /// - In a token bucket, it is paid back by time, however far ahead that lies. The bucket then
    ///   admits nothing until the missing tokens have flowed in.
    ///
    /// A penalty is no decision: it reads no [block](Self::block), and telemetry records the call
    /// of the backend only.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] and [`Error::ZeroCost`] before the backend is called.
    /// [`Error::Backend`] if the backend fails, whatever [`OnError`](crate::OnError) is set. Nothing
    /// was counted if a bucket is raised by others during 16 requests in a row
    /// ([`Throttled`](BackendError::Throttled)), or would need more than 38 digits
    /// ([`Invalid`](BackendError::Invalid)).
    ///
    /// # Cost
    ///
    /// By a sliding log, `retry_after` is at most one window length too long;
    /// [`peek`](Self::peek) has the exact time.
    ///
    /// One [`increment`](Backend::increment), or one [`increment_all`](Backend::increment_all) by
    /// several quotas: one atomic step. If a bucket is already further ahead than its capacity, one
    /// more request, because the first one finds out by how much.
    pub async fn penalize(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        self.add_penalty(key.into(), self.check(cost, self.now(self.is_coarse))).await
    }

    pub(super) async fn add_penalty(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        let check = self.by_leading_clock(check);
        let first = self.counter_of_hit(&key, check)?;
        let quotas = check.quotas();
        // How far each bucket may be beyond its capacity, apart from the penalty.
        let mut ahead = vec![0; quotas.len()];
        for round in 0..MAX_ROUNDS {
            let penalty = |(quota, ahead): (_, &u128)| check.by_quota(quota).penalty_on(first, *ahead);
            let hits: Vec<_> = quotas.iter().zip(&ahead).map(penalty).collect();
            let states = self.count_each(&hits, check.now).await?;
            let is_counted = states.iter().all(|state| state.counted);
            if is_counted || check.algorithm != TokenBucket {
                let charged = if is_counted { check.cost } else { 0 };
                let decision = self.in_shadow(self.decision_after_penalty(check, states, charged));
                // A penalty is counted in shadow too.
                return Ok(decision.with_charged_cost(charged));
            }
            for ((ahead, quota), state) in ahead.iter_mut().zip(quotas).zip(&states) {
                let found = token_bucket::beyond_capacity(quota, check.leading_now(), state.value);
                // Others may raise it further, so each round has twice the room for them.
                let room = token_bucket::units_of(quota, check.cost).saturating_mul(1 << round);
                let wanted = found.saturating_add(room);
                if !state.counted {
                    *ahead = wanted;
                }
                let (_, hit) = check.by_quota(quota).penalty_on(first, *ahead);
                if hit.apply(state.value).is_none() {
                    return Err(BackendError::invalid("the penalty would need more than 38 digits").into());
                }
            }
        }
        Err(BackendError::throttled("other callers raised the bucket during every try of the penalty").into())
    }

    /// Returns the decision about a hit of cost 1 after a penalty.
    fn decision_after_penalty(&self, check: Check<'_>, states: Vec<CounterState>, charged: u64) -> Decision {
        let limits = check.quotas().iter().zip(states).map(|(quota, state)| {
            Check { cost: 1, ..check.by_quota(quota) }.decision_after_read(state, &self.clock)
        });
        Decision::of_limits(limits.collect()).with_charged_cost(charged)
    }
}

impl Check<'_> {
    /// Returns the hit that counts the cost in a window, or in a bucket up to `ahead` and the cost
    /// beyond its capacity.
    fn penalty_on<'a>(self, counter: Counter<'a>, ahead: u128) -> (Counter<'a>, Hit<'static>) {
        let (counter, hit) = self.hit_on(counter);
        if self.algorithm != TokenBucket {
            return (counter, Hit { ceiling: WINDOW_CEILING, ..hit });
        }
        let ahead = ahead.saturating_add(token_bucket::units_of(self.quota, self.cost));
        let now = self.leading_now();
        let (hit, bucket) = token_bucket::hit_beyond_capacity(self.quota, self.cost, now, ahead);
        (counter.with_bucket(bucket), hit)
    }
}

/// # Penalties without a future
///
/// The same method over an [`Immediate`] backend.
impl<B: Immediate> Limiter<B> {
    /// [`penalize`](Self::penalize) without a future.
    pub fn penalize_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        poll_once(self.penalize(key, cost))
    }
}

/// # Penalties
impl<B: Backend> WithQuota<'_, B> {
    /// [`Limiter::penalize`] by this quota.
    pub async fn penalize(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        self.limiter().add_penalty(key.into(), self.check(cost, self.now())).await
    }
}

/// # Penalties without a future
///
/// The same method over an [`Immediate`] backend.
impl<B: Immediate> WithQuota<'_, B> {
    /// [`Limiter::penalize_now`] by this quota.
    pub fn penalize_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        poll_once(self.penalize(key, cost))
    }
}
