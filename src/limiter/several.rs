//! Decisions by several quotas of one limiter, in one step of the backend.

use std::array;
use std::cell::Cell;

use limited_core::{Backend, BackendError, Counter, CounterState, Hit, Key, Timestamp};

use super::Limiter;
use super::check::Check;
use crate::{Decision, Error, OnError, Quota, Quotas, telemetry};

thread_local! {
    /// The states of the last decision of this thread, emptied: so that the next one allocates
    /// none.
    static STATES: Cell<Vec<CounterState>> = const { Cell::new(Vec::new()) };
}

impl<B: Backend> Limiter<B> {
    /// Decides by several quotas without waiting, if the backend can. Returns `None` also for
    /// invalid arguments, which the slow path reports.
    ///
    /// Allocates the decisions of the limits, and nothing else.
    #[inline(never)]
    pub(super) fn try_decide_several(
        &self,
        key: &Key<'_>,
        check: Check<'_>,
    ) -> Option<Result<Decision, Error>> {
        let quotas = check.several?;
        if self.is_blocking {
            return None;
        }
        // One copy for each of the usual numbers, whose hits are on the stack.
        match quotas.len() {
            2 => self.try_decide_up_to::<2>(key, check, quotas),
            3 => self.try_decide_up_to::<3>(key, check, quotas),
            4 => self.try_decide_up_to::<4>(key, check, quotas),
            _ => self.try_decide_up_to::<{ Quotas::MAX }>(key, check, quotas),
        }
    }

    fn try_decide_up_to<const N: usize>(
        &self,
        key: &Key<'_>,
        check: Check<'_>,
        quotas: &[Quota],
    ) -> Option<Result<Decision, Error>> {
        let first = self.counter_of_hit(key, check).ok()?;
        let check = self.by_leading_clock(check);
        let last = quotas.len().checked_sub(1)?;
        let hits: [_; N] = array::from_fn(|index| check.by_quota(&quotas[index.min(last)]).hit_on(first));
        let hits = hits.get(..quotas.len())?;

        let mut states = STATES.take();
        let result = self.backend.try_increment_all(hits, check.now, &mut states);
        let decision = result.map(|result| {
            let result = result.map(|()| self.decision_after_hits(check, &mut states));
            self.decision_of_several(check, &first, result)
        });
        states.clear();
        STATES.set(states);
        decision
    }

    /// Decides by several quotas, by a call of the backend that may wait.
    pub(super) async fn decide_several(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        let check = self.by_leading_clock(check);
        let first = self.counter_of_hit(&key, check)?;
        let mut hits = check.hits_on(first);
        hits.extend(self.block_condition(first, check.now));
        let result = self.count_each(&hits, check.now).await;
        let result = result.map(|mut states| self.decision_after_hits(check, &mut states));
        self.decision_of_several(check, &first, result)
    }

    /// Counts all hits, or none. A single hit is counted as such.
    pub(super) async fn count_each(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> limited_core::Result<Vec<CounterState>> {
        if let [(counter, hit)] = hits {
            return Ok(vec![self.backend.count(counter, hit, now).await?]);
        }
        expect_each(self.backend.increment_all(hits, now).await?, hits.len())
    }

    /// Reads the counter of each quota, one after the other.
    pub(super) async fn predict_several(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        let check = self.by_leading_clock(check);
        let first = check.counter(&self.namespace, &key)?;
        let mut limits = Vec::with_capacity(check.quotas().len());
        for quota in check.quotas() {
            let one = check.by_quota(quota);
            match self.backend.get(&one.counter_like(first), check.now).await {
                Ok(state) => {
                    let one = self.learn_clock_lead(one, state.clock_lead);
                    limits.push(one.decision_after_read(state, &self.clock));
                }
                Err(error) => return self.on_error_of_several(check, error),
            }
        }
        let decision = Decision::of_limits(limits.into());
        let Some((block, _)) = self.block_condition(first, check.now) else {
            return Ok(self.in_shadow(decision));
        };
        match self.backend.get(&block, check.now).await {
            Ok(state) => Ok(self.in_shadow(self.unless_blocked(decision, check, Some(&state)))),
            Err(error) => self.on_error_of_several(check, error),
        }
    }

    /// Returns the decision after the hit of each quota, and after the condition of a block if
    /// there is one more state.
    pub(super) fn decision_after_hits(&self, check: Check<'_>, states: &mut Vec<CounterState>) -> Decision {
        let quotas = check.quotas();
        let block = if states.len() > quotas.len() { states.pop() } else { None };
        let limits =
            quotas.iter().zip(states.drain(..)).map(|(quota, state)| self.after_hit(check, quota, state));
        self.unless_blocked(Decision::of_limits(limits.collect()), check, block.as_ref())
    }

    /// Returns the decision of one of several limits.
    #[inline]
    pub(super) fn after_hit(&self, check: Check<'_>, quota: &Quota, state: CounterState) -> Decision {
        let check = self.learn_clock_lead(check.by_quota(quota), state.clock_lead);
        check.decision_after_hit(state, &self.clock)
    }

    pub(super) fn decision_of_several(
        &self,
        check: Check<'_>,
        counter: &Counter<'_>,
        result: limited_core::Result<Decision>,
    ) -> Result<Decision, Error> {
        let decision = match result {
            Ok(decision) => Ok(self.in_shadow(decision)),
            Err(error) => self.on_error_of_several(check, error),
        };
        telemetry::record_decision(&self.policy, check.algorithm, check.cost, counter, &decision);
        decision
    }

    #[cold]
    pub(super) fn on_error_of_several(
        &self,
        check: Check<'_>,
        error: BackendError,
    ) -> Result<Decision, Error> {
        let allowed = match self.on_error {
            OnError::Return => return Err(error.into()),
            OnError::Allow => true,
            OnError::Deny => false,
        };
        Ok(self.in_shadow(Decision::of_limits(check.degraded_limits(allowed).collect())))
    }
}

impl<'q> Check<'q> {
    /// Returns all quotas of the decision.
    pub(super) fn quotas(&self) -> &'q [Quota] {
        self.several.unwrap_or(std::slice::from_ref(self.quota))
    }

    /// Returns the check by one of several quotas.
    #[inline]
    pub(super) fn by_quota<'p>(self, quota: &'p Quota) -> Check<'p> {
        let Self { algorithm, is_coarse, cost, now, lead, .. } = self;
        Check { algorithm, quota, several: None, is_coarse, cost, now, lead }
    }

    /// Returns the counter of this quota, with the namespace and the key of another counter.
    #[inline]
    pub(super) fn counter_like<'a>(self, counter: Counter<'a>) -> Counter<'a> {
        self.with_operation(counter.with_window(self.algorithm.window(self.quota, self.now)))
    }

    /// Returns the hit by this quota, on the counter with this namespace and key.
    #[inline]
    pub(super) fn hit_on<'a>(self, counter: Counter<'a>) -> (Counter<'a>, Hit<'static>) {
        (self.counter_like(counter), self.hit())
    }

    /// Returns the hit by each quota.
    pub(super) fn hits_on<'a>(self, counter: Counter<'a>) -> Vec<(Counter<'a>, Hit<'static>)> {
        self.quotas().iter().map(|quota| self.by_quota(quota).hit_on(counter)).collect()
    }

    /// Returns the decision of each limit without the backend.
    pub(super) fn degraded_limits(self, allowed: bool) -> impl Iterator<Item = Decision> {
        self.quotas().iter().map(move |quota| self.by_quota(quota).degraded(allowed))
    }
}

/// Checks that a backend returned a state for each hit.
pub(super) fn expect_each(states: Vec<CounterState>, hits: usize) -> limited_core::Result<Vec<CounterState>> {
    if states.len() == hits {
        return Ok(states);
    }
    let number = states.len();
    Err(BackendError::invalid(format!("the backend returned {number} states for {hits} hits")))
}
