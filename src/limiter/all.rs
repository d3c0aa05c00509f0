//! Decisions over several limiters, each with a key of its own, in one step of the backend.

use std::fmt;

use limited_core::{Backend, BackendError, Counter, CounterState, Hit, Immediate, Key, several};

use super::Limiter;
use super::check::Check;
use super::several::expect_each;
use crate::poll_once::poll_once;
use crate::telemetry::{self, Instrumented};
use crate::{Decision, Error, OnError, Quota, WithQuota};

/// A hit on a key of a limiter, for a decision over several limiters: [`allow_all`].
///
/// Created by [`Limiter::hit`] and [`WithQuota::hit`]. It decides nothing by itself.
#[must_use = "a hit decides nothing; pass it to `allow_all`"]
pub struct LimiterHit<'a, B> {
    pub(super) limiter: &'a Limiter<B>,
    /// The quota that replaces those of the limiter.
    pub(super) quota: Option<Quota>,
    pub(super) is_coarse: bool,
    pub(super) key: Key<'a>,
    cost: u64,
    /// Whether a reservation corrects the cost.
    pub(super) is_estimate: bool,
}

impl<B> LimiterHit<'_, B> {
    /// Sets the cost. Default: 1.
    pub fn cost(self, cost: u64) -> Self {
        Self { cost, is_estimate: false, ..self }
    }

    /// Sets an estimated cost, which a [reservation](crate::reserve_all) corrects when it is
    /// [settled](crate::Reservation::settle). [`allow_all`] counts it as any other cost.
    pub fn estimate(self, cost: u64) -> Self {
        Self { cost, is_estimate: true, ..self }
    }
}

impl<B> Clone for LimiterHit<'_, B> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), ..*self }
    }
}

impl<B> fmt::Debug for LimiterHit<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterHit")
            .field("limiter", self.limiter)
            .field("key", &self.key)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// # Deciding with other limiters
impl<B> Limiter<B> {
    /// Creates a hit of cost 1 on a key, for [`allow_all`](crate::allow_all).
    pub fn hit<'a>(&'a self, key: impl Into<Key<'a>>) -> LimiterHit<'a, B> {
        LimiterHit {
            limiter: self,
            quota: None,
            is_coarse: self.is_coarse,
            key: key.into(),
            cost: 1,
            is_estimate: false,
        }
    }
}

/// # Deciding with other limiters
impl<'l, B> WithQuota<'l, B> {
    /// [`Limiter::hit`] by this quota.
    pub fn hit<'a>(&self, key: impl Into<Key<'a>>) -> LimiterHit<'a, B>
    where
        'l: 'a,
    {
        let (limiter, quota, is_coarse) = (self.limiter(), Some(self.get_quota()), self.is_coarse);
        LimiterHit { limiter, quota, is_coarse, key: key.into(), cost: 1, is_estimate: false }
    }
}

/// Decides about several hits, on limiters with keys of their own, in one step. Counts all of them,
/// or none.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Limiter, Quota, allow_all};
///
/// # pollster::block_on(async {
/// let users = Limiter::new(MemoryBackend::new()).namespace("users").quota(Quota::per_minute(10));
/// // A clone shares the backend.
/// let tenants = users.clone().namespace("tenants").quota(Quota::per_minute(100));
///
/// let decision = allow_all([users.hit("user:7"), tenants.hit("tenant:1").cost(3)]).await?;
/// assert!(decision.is_allowed());
/// let [user, tenant] = decision.limits() else { unreachable!("one quota of each limiter") };
/// assert_eq!((user.remaining(), tenant.remaining()), (9, 97));
/// # Ok::<(), limited::Error>(())
/// # }).unwrap();
/// ```
///
/// The decision summarizes [the limits](Decision::limits): those of the first limiter in the order
/// of its quotas, then those of the next. The hits may be an array, a slice or a vector, also
/// borrowed. The order has no influence on the result.
///
/// All hits are counted at one time, by the clock of the first limiter. That is the coarse clock of
/// the system only if every quota [allows it](Limiter#clock). If the backend fails, the strictest
/// [`OnError`] of the limiters decides: an error before a refusal, and a refusal before an admission.
///
/// # Errors
///
/// Before the backend is called:
///
/// - [`Error::DifferentBackends`] if the limiters do not share a backend as clones of one limiter,
/// - [`Error::SameCounter`] if two hits are on the same counter,
/// - [`Error::NoHits`] if there is no hit,
/// - [`Error::InvalidKey`] and [`Error::ZeroCost`].
///
/// [`Error::Backend`] if the backend fails and one limiter has [`OnError::Return`], or if there are
/// more than [100](several::MAX_HITS) limits.
///
/// # Cost
///
/// One [`increment_all`](Backend::increment_all). In memory that is one atomic step. Over Amazon
/// DynamoDB, hits on different keys are one transaction, of two write units for each key. A backend
/// without such a step counts one hit after the other, and refunds them if one does not fit.
pub async fn allow_all<'a, B: Backend + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
) -> Result<Decision, Error> {
    let joint = Joint::new(hits.as_ref())?;
    if let Some(result) = joint.try_increment() {
        return joint.decision(result);
    }
    let result = joint.backend.increment_all(&joint.counted, joint.first.now).await;
    joint.decision(result)
}

/// [`allow_all`] without a future.
///
/// # Errors
///
/// The errors of [`allow_all`].
pub fn allow_all_now<'a, B: Immediate + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
) -> Result<Decision, Error> {
    poll_once(allow_all(hits))
}

/// Hits that are decided about together.
struct Joint<'h, 'a, B> {
    hits: &'h [LimiterHit<'a, B>],
    /// The check of each hit.
    checks: Vec<Check<'h>>,
    first: Check<'h>,
    backend: &'h Instrumented<B>,
    /// The counters and hits of all limits.
    counted: Vec<(Counter<'h>, Hit<'static>)>,
}

/// Returns the check of each hit, all at one time. The first hit is given, because there is one.
pub(super) fn checks<'h, B: Backend>(
    hits: &'h [LimiterHit<'_, B>],
    first: &LimiterHit<'_, B>,
) -> Vec<Check<'h>> {
    let is_coarse = hits.iter().all(|hit| hit.is_coarse);
    let now = first.limiter.now(is_coarse);
    hits.iter()
        .map(|hit| {
            let check = hit.limiter.check(hit.cost, now);
            let check = match &hit.quota {
                Some(quota) => Check { quota, several: None, ..check },
                None => check,
            };
            hit.limiter.by_leading_clock(Check { is_coarse, ..check })
        })
        .collect()
}

impl<'h, 'a, B: Backend> Joint<'h, 'a, B> {
    fn new(hits: &'h [LimiterHit<'a, B>]) -> Result<Self, Error> {
        let first_hit = hits.first().ok_or(Error::NoHits)?;
        let backend = &first_hit.limiter.backend;
        if !hits.iter().all(|hit| hit.limiter.backend.is_same(backend)) {
            return Err(Error::DifferentBackends);
        }
        let checks = checks(hits, first_hit);
        let first = *checks.first().ok_or(Error::NoHits)?;
        let mut counted = Vec::with_capacity(checks.iter().map(|check| check.quotas().len()).sum());
        for (hit, check) in hits.iter().zip(&checks) {
            counted.extend(check.hits_on(hit.limiter.counter_of_hit(&hit.key, *check)?));
        }
        let is_repeated = |(index, (counter, _)): (usize, &(Counter<'_>, _))| {
            counted[..index].iter().any(|(other, _)| counter.is_same(other))
        };
        if counted.len() <= several::MAX_HITS && counted.iter().enumerate().any(is_repeated) {
            return Err(Error::SameCounter);
        }
        several::check(&counted)?;
        Ok(Self { hits, checks, first, backend, counted })
    }

    fn try_increment(&self) -> Option<limited_core::Result<Vec<CounterState>>> {
        let mut states = Vec::with_capacity(self.counted.len());
        let result = self.backend.try_increment_all(&self.counted, self.first.now, &mut states)?;
        Some(result.map(|()| states))
    }

    fn decision(&self, result: limited_core::Result<Vec<CounterState>>) -> Result<Decision, Error> {
        let limits = match result.and_then(|states| expect_each(states, self.counted.len())) {
            Ok(states) => Ok(self.limits_after_hits(states)),
            Err(error) => self.limits_after_error(error),
        };
        let limits = limits.inspect_err(|error| self.record_error(error))?;
        self.record(&limits);
        Ok(Decision::of_limits(limits.into()))
    }

    fn limits_after_hits(&self, states: Vec<CounterState>) -> Vec<Decision> {
        let mut limits = Vec::with_capacity(states.len());
        let mut states = states.into_iter();
        for (hit, check) in self.hits.iter().zip(&self.checks) {
            for (quota, state) in check.quotas().iter().zip(&mut states) {
                limits.push(hit.limiter.after_hit(*check, quota, state));
            }
        }
        limits
    }

    #[cold]
    fn limits_after_error(&self, error: BackendError) -> Result<Vec<Decision>, Error> {
        let has = |on_error| self.hits.iter().any(|hit| hit.limiter.on_error == on_error);
        if has(OnError::Return) {
            return Err(error.into());
        }
        let allowed = !has(OnError::Deny);
        Ok(self.checks.iter().flat_map(|check| check.degraded_limits(allowed)).collect())
    }

    /// Records the decision of each limiter by its own limits.
    fn record(&self, limits: &[Decision]) {
        let mut rest = limits;
        self.record_each(|check| {
            let (own, others) = rest.split_at(check.quotas().len().min(rest.len()));
            rest = others;
            Ok(Decision::summary(own))
        });
    }

    fn record_error(&self, error: &Error) {
        self.record_each(|_| Err(error.clone()));
    }

    fn record_each(&self, mut decision: impl FnMut(&Check<'_>) -> Result<Decision, Error>) {
        if cfg!(not(any(feature = "metrics", feature = "tracing"))) {
            return;
        }
        let mut at = 0;
        for (hit, check) in self.hits.iter().zip(&self.checks) {
            let Some((counter, _)) = self.counted.get(at) else { return };
            at += check.quotas().len();
            let (policy, decision) = (&hit.limiter.policy, decision(check));
            telemetry::record_decision(policy, check.algorithm, check.cost, counter, &decision);
        }
    }
}
