//! How a limiter calls its backend: the fast path, and the slow path behind it.

use std::time::Duration;

use limited_core::{Backend, BackendError, Counter, CounterState, Immediate, Key};

use super::Limiter;
use super::check::Check;
use crate::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use crate::poll_once::poll_once;
use crate::{Decision, Error, OnError, telemetry};

impl<B: Backend> Limiter<B> {
    /// Decides by one quota without waiting, if the backend can. Returns `None` also for several
    /// quotas, and for invalid arguments, which the slow path reports.
    #[inline(always)]
    pub(super) fn try_decide(&self, key: &Key<'_>, check: Check<'_>) -> Option<Result<Decision, Error>> {
        if check.several.is_some() {
            return None;
        }
        // One specialized copy per algorithm, which saves a third of the instructions.
        match check.algorithm {
            FixedWindow => self.try_decide_by(key, Check { algorithm: FixedWindow, ..check }),
            SlidingWindow => self.try_decide_by(key, Check { algorithm: SlidingWindow, ..check }),
            TokenBucket => {
                self.try_decide_by(key, self.by_leading_clock(Check { algorithm: TokenBucket, ..check }))
            }
        }
    }

    #[inline(always)]
    fn try_decide_by(&self, key: &Key<'_>, check: Check<'_>) -> Option<Result<Decision, Error>> {
        if check.cost == 0 {
            return None;
        }
        let Ok(counter) = check.counter(&self.namespace, key) else { return None };
        // Written out: `decision_after_hit` takes a whole `Result`, which has to be in memory. That
        // costs a third more instructions.
        let decision = match self.backend.try_increment(&counter, &check.hit(), check.now) {
            Some(Ok(state)) => {
                let check = self.learn_clock_lead(check, state.clock_lead);
                Ok(check.decision_after_hit(state, &self.clock))
            }
            Some(Err(error)) => self.on_backend_error(check, error),
            None => return None,
        };
        telemetry::record_decision(&self.policy, check.algorithm, check.cost, &counter, &decision);
        Some(decision)
    }

    /// Decides by a call of the backend that may wait.
    ///
    /// Takes the key by value: values that live across an `.await` are stored in the future of the
    /// caller, also if it never waits.
    pub(super) async fn decide_waiting(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        if check.several.is_some() {
            if let Some(decision) = self.try_decide_several(&key, check) {
                return decision;
            }
            // Boxed, because the future would make those of all other decisions larger.
            return Box::pin(self.decide_several(key, check)).await;
        }
        let check = self.by_leading_clock(check);
        let counter = self.counter_of_hit(&key, check)?;
        let result = self.backend.count(&counter, &check.hit(), check.now).await;
        self.decision_after_hit(check, &counter, result)
    }

    pub(super) async fn predict(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        if check.several.is_some() {
            return Box::pin(self.predict_several(key, check)).await;
        }
        let check = self.by_leading_clock(check);
        let counter = check.counter(&self.namespace, &key)?;
        let result = self.backend.get(&counter, check.now).await;
        self.decision_after_read(check, result)
    }

    pub(super) fn counter_of_hit<'a>(
        &'a self,
        key: &'a Key<'a>,
        check: Check<'_>,
    ) -> Result<Counter<'a>, Error> {
        if check.cost == 0 {
            return Err(Error::ZeroCost);
        }
        Ok(check.counter(&self.namespace, key)?)
    }

    fn decision_after_hit(
        &self,
        check: Check<'_>,
        counter: &Counter<'_>,
        result: limited_core::Result<CounterState>,
    ) -> Result<Decision, Error> {
        let decision = match result {
            Ok(state) => {
                let check = self.learn_clock_lead(check, state.clock_lead);
                Ok(check.decision_after_hit(state, &self.clock))
            }
            Err(error) => self.on_backend_error(check, error),
        };
        telemetry::record_decision(&self.policy, check.algorithm, check.cost, counter, &decision);
        decision
    }

    fn decision_after_read(
        &self,
        check: Check<'_>,
        result: limited_core::Result<CounterState>,
    ) -> Result<Decision, Error> {
        match result {
            Ok(state) => {
                let check = self.learn_clock_lead(check, state.clock_lead);
                Ok(check.decision_after_read(state, &self.clock))
            }
            Err(error) => self.on_backend_error(check, error),
        }
    }

    pub(super) async fn delete(&self, key: Key<'_>, check: Check<'_>) -> Result<(), Error> {
        let first = check.counter(&self.namespace, &key)?;
        for quota in check.quotas() {
            let counter = check.by_quota(quota).counter_like(first);
            let previous = if counter.is_sliding() { counter.window().previous() } else { None };
            if let Some(previous) = previous {
                self.backend.reset(&counter.with_window(previous), None, check.now).await?;
            }
            self.backend.reset(&counter, None, check.now).await?;
        }
        Ok(())
    }

    /// Returns the check by the most advanced clock that buckets have shown, if it is about one.
    #[inline(always)]
    pub(super) fn by_leading_clock<'q>(&self, check: Check<'q>) -> Check<'q> {
        match check.algorithm {
            FixedWindow | SlidingWindow => check,
            TokenBucket => Check { lead: self.clock_lead.at(check.now), ..check },
        }
    }

    /// Returns the check by the clock that wrote a bucket, if that is ahead, and remembers it.
    #[inline(always)]
    pub(super) fn learn_clock_lead<'q>(&self, check: Check<'q>, lead: Duration) -> Check<'q> {
        match check.algorithm {
            TokenBucket if !lead.is_zero() => self.learn_reported_lead(check, lead),
            FixedWindow | SlidingWindow | TokenBucket => check,
        }
    }

    #[cold]
    fn learn_reported_lead<'q>(&self, check: Check<'q>, lead: Duration) -> Check<'q> {
        // The clock is read again. If this thread was suspended since the first reading, the value
        // may be that of another thread by the same clock, which is not ahead.
        let now = self.clock.now();
        let lead = check.now.saturating_add(lead).saturating_since(now);
        let learned = self.clock_lead.learn(lead, now);
        // Another thread may have learned more meanwhile, by which this hit would not be refused.
        let reported = u64::try_from(lead.as_nanos()).unwrap_or(u64::MAX);
        Check { lead: learned.min(reported).max(check.lead), ..check }
    }

    #[cold]
    fn on_backend_error(&self, check: Check<'_>, error: BackendError) -> Result<Decision, Error> {
        match self.on_error {
            OnError::Return => Err(error.into()),
            OnError::Allow => Ok(check.degraded(true)),
            OnError::Deny => Ok(check.degraded(false)),
        }
    }
}

impl<B: Immediate> Limiter<B> {
    #[inline(always)]
    pub(super) fn decide_now(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        match self.try_decide(&key, check) {
            Some(decision) => decision,
            None => self.decide_by_polling(key, check),
        }
    }

    #[inline(never)]
    fn decide_by_polling(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        if check.several.is_some() {
            return match self.try_decide_several(&key, check) {
                Some(decision) => decision,
                None => poll_once(self.decide_several(key, check)),
            };
        }
        let check = self.by_leading_clock(check);
        let counter = self.counter_of_hit(&key, check)?;
        let result = poll_once(self.backend.count(&counter, &check.hit(), check.now));
        self.decision_after_hit(check, &counter, result)
    }

    pub(super) fn predict_now(&self, key: Key<'_>, check: Check<'_>) -> Result<Decision, Error> {
        if check.several.is_some() {
            return poll_once(self.predict_several(key, check));
        }
        let check = self.by_leading_clock(check);
        let counter = check.counter(&self.namespace, &key)?;
        let result = poll_once(self.backend.get(&counter, check.now));
        self.decision_after_read(check, result)
    }
}
