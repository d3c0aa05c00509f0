//! Decisions over several limiters, each with a key of its own, in one step of the backend.

use std::fmt;
use std::time::Duration;

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
/// DynamoDB with one item per window it is one transaction, of two write units for each limit.
///
/// With one item per key, and over backends without such a step, hits on several keys are counted
/// one after the other, and refunded if one does not fit. That is never over a limit. If the
/// process crashes or the future is dropped in between, hits that were counted first stay counted.
pub async fn allow_all<'a, B: Backend + 'a>(
    hits: impl AsRef<[LimiterHit<'a, B>]>,
) -> Result<Decision, Error> {
    let mut joint = Joint::new(hits.as_ref())?;
    loop {
        let result = match joint.try_increment() {
            Some(result) => result,
            None => joint.backend.increment_all(&joint.counted, joint.first.now).await,
        };
        if let Some(decision) = joint.decide(result) {
            return decision;
        }
    }
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
    /// The counters and hits of all limits, and after them the conditions of blocks.
    counted: Vec<(Counter<'h>, Hit<'static>)>,
    /// For each hit, the limits that would refuse it, if it passes them because of a shadow. It is
    /// no longer counted.
    shadowed: Vec<Option<Vec<Decision>>>,
}

/// The result of one hit by its own limiter.
struct Own {
    limits: Vec<Decision>,
    /// How long the key is blocked.
    block: Option<Duration>,
}

impl Own {
    fn is_refused(&self) -> bool {
        self.block.is_some() || self.limits.iter().any(|limit| !limit.is_allowed())
    }

    /// Returns the limits if the hit passes them because of a shadow.
    fn into_shadowed(self) -> Vec<Decision> {
        // A block refuses by all limits.
        let is_blocked = self.block.is_some();
        let shadowed = |limit: Decision| {
            if is_blocked || !limit.is_allowed() { limit.shadowed() } else { limit.with_charged_cost(0) }
        };
        self.limits.into_iter().map(shadowed).collect()
    }

    fn summary(&self) -> Decision {
        let summary = Decision::summary(&self.limits);
        match self.block {
            Some(wait) => summary.blocked(wait),
            None => summary,
        }
    }
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
        let shadowed = hits.iter().map(|_| None).collect();
        let mut joint = Self { hits, checks, first, backend, counted: Vec::new(), shadowed };
        joint.collect_hits()?;
        let limits: usize = joint.checks.iter().map(|check| check.quotas().len()).sum();
        let counted = joint.counted.get(..limits).unwrap_or_default();
        let is_repeated = |(index, (counter, _)): (usize, &(Counter<'_>, _))| {
            counted[..index].iter().any(|(other, _)| counter.is_same(other))
        };
        if limits <= several::MAX_HITS && counted.iter().enumerate().any(is_repeated) {
            return Err(Error::SameCounter);
        }
        several::check(&joint.counted)?;
        Ok(joint)
    }

    /// Collects the counters and hits of all limits, and the condition of each block once.
    fn collect_hits(&mut self) -> Result<(), Error> {
        let limits = self.checks.iter().map(|check| check.quotas().len()).sum();
        let (mut counted, mut blocks) = (Vec::with_capacity(limits), Vec::new());
        for ((hit, check), shadowed) in self.hits.iter().zip(&self.checks).zip(&self.shadowed) {
            let counter = hit.limiter.counter_of_hit(&hit.key, *check)?;
            if shadowed.is_none() {
                counted.extend(check.hits_on(counter));
                let block = hit.limiter.block_condition(counter, check.now);
                blocks.extend(block.filter(|(block, _)| !is_in(&blocks, block)));
            }
        }
        counted.append(&mut blocks);
        self.counted = counted;
        Ok(())
    }

    fn try_increment(&self) -> Option<limited_core::Result<Vec<CounterState>>> {
        let mut states = Vec::with_capacity(self.counted.len());
        let result = self.backend.try_increment_all(&self.counted, self.first.now, &mut states)?;
        Some(result.map(|()| states))
    }

    /// Returns the decision; `None` if some hits pass because of a shadow, and the others have yet
    /// to be counted without them.
    fn decide(&mut self, result: limited_core::Result<Vec<CounterState>>) -> Option<Result<Decision, Error>> {
        let own = match result.and_then(|states| expect_each(states, self.counted.len())) {
            Ok(states) => self.own_after_hits(states),
            Err(error) => match self.own_after_error(error) {
                Ok(own) => own,
                Err(error) => {
                    self.record(|_| Err(error.clone()));
                    return Some(Err(error));
                }
            },
        };
        let refused = || self.hits.iter().zip(&own).filter(|(_, own)| own.is_refused());
        if refused().next().is_none() || !refused().all(|(hit, _)| hit.limiter.is_shadow) {
            return Some(Ok(self.decision(own)));
        }
        for (shadowed, own) in self.shadowed.iter_mut().zip(own) {
            if own.is_refused() {
                *shadowed = Some(own.into_shadowed());
            }
        }
        if self.shadowed.iter().all(Option::is_some) {
            let own = self.own_after_hits(Vec::new());
            return Some(Ok(self.decision(own)));
        }
        self.collect_hits().err().map(Err)
    }

    /// Returns the decision after the last step of the backend.
    fn decision(&self, own: Vec<Own>) -> Decision {
        self.record(|index| {
            let summary = own.get(index).map_or_else(|| Decision::summary(&[]), Own::summary);
            Ok(self.hits.get(index).map_or(summary.clone(), |hit| hit.limiter.in_shadow(summary)))
        });
        // A limiter in shadow refuses nothing, also if another one does.
        let shown = |(hit, own): (&LimiterHit<'_, B>, Own)| match hit.limiter.is_shadow && own.is_refused() {
            true => Own { limits: own.into_shadowed(), block: None },
            false => own,
        };
        let own: Vec<_> = self.hits.iter().zip(own).map(shown).collect();
        let block = own.iter().filter_map(|own| own.block).max();
        let limits = own.into_iter().flat_map(|own| {
            let is_blocked = own.block.is_some();
            let mark = move |limit: Decision| if is_blocked { limit.of_blocked_key() } else { limit };
            own.limits.into_iter().map(mark)
        });
        let decision = Decision::of_limits(limits.collect());
        match block {
            Some(wait) => decision.blocked(wait),
            None => decision,
        }
    }

    /// Returns the result of each hit, also of those that are no longer counted.
    fn own_after_hits(&self, states: Vec<CounterState>) -> Vec<Own> {
        let hits = self.hits.iter().zip(&self.checks);
        let blocks: Vec<_> = hits.clone().map(|(hit, check)| self.block_of(hit, *check, &states)).collect();
        let mut states = states.into_iter();
        hits.zip(&self.shadowed)
            .zip(blocks)
            .map(|(((hit, check), shadowed), block)| {
                if let Some(limits) = shadowed {
                    return Own { limits: limits.clone(), block: None };
                }
                let limits = check.quotas().iter().zip(&mut states);
                let limits =
                    limits.map(|(quota, state)| hit.limiter.after_hit(*check, quota, state)).collect();
                Own { limits, block }
            })
            .collect()
    }

    /// Returns how long the key of a hit is blocked, if its limiter looks for blocks and it is.
    fn block_of(
        &self,
        hit: &LimiterHit<'_, B>,
        check: Check<'_>,
        states: &[CounterState],
    ) -> Option<Duration> {
        let counter = hit.limiter.counter_of_hit(&hit.key, check).ok()?;
        let (block, _) = hit.limiter.block_condition(counter, check.now)?;
        let at = self.counted.iter().position(|(counter, _)| counter.is_same(&block))?;
        hit.limiter.block_wait(check, states.get(at)?)
    }

    #[cold]
    fn own_after_error(&self, error: BackendError) -> Result<Vec<Own>, Error> {
        let has = |on_error| self.hits.iter().any(|hit| hit.limiter.on_error == on_error);
        if has(OnError::Return) {
            return Err(error.into());
        }
        let denies =
            |hit: &LimiterHit<'_, B>| hit.limiter.on_error == OnError::Deny && !hit.limiter.is_shadow;
        let allowed = !self.hits.iter().any(denies);
        let own = |check: &Check<'_>| Own { limits: check.degraded_limits(allowed).collect(), block: None };
        Ok(self.checks.iter().map(own).collect())
    }

    /// Records the decision of each limiter by its own limits. The argument is the number of the
    /// hit.
    fn record(&self, decision: impl Fn(usize) -> Result<Decision, Error>) {
        if cfg!(not(any(feature = "metrics", feature = "tracing"))) {
            return;
        }
        for (index, (hit, check)) in self.hits.iter().zip(&self.checks).enumerate() {
            let Ok(counter) = hit.limiter.counter_of_hit(&hit.key, *check) else { continue };
            let policy = &hit.limiter.policy;
            telemetry::record_decision(policy, check.algorithm, check.cost, &counter, &decision(index));
        }
    }
}

fn is_in(hits: &[(Counter<'_>, Hit<'_>)], counter: &Counter<'_>) -> bool {
    hits.iter().any(|(other, _)| other.is_same(counter))
}
