//! The operations of the reference, and where sliding is broken.

use std::sync::PoisonError;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, ImmediateBackend, Key, LeaseStatus, Owner, Record, Timestamp, Window, WindowId,
    sliding,
};

use super::Reference;
use crate::Defect::*;

impl ImmediateBackend for Reference {
    fn increment_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.write(|| Ok(self.count(counter, hit, now)))
    }

    fn get_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        let (id, window, now) = (self.id(counter), counter.window(), self.time(now));
        let mut states = self.states();
        self.forget_some(&mut states, now);
        if let (Some(GetsCount), Some(state)) = (self.defect, states.get_mut(&id)) {
            state.value += 1;
        }
        let state = self.live(states.get(&id), window, now);
        if self.has(DeletesWhatItReadsAsExpired) && state.value == 0 {
            states.remove(&id);
        }
        Ok(self.tally(false, window, state))
    }

    fn reset_now(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        _now: Timestamp,
    ) -> Result<(), BackendError> {
        self.write(|| self.forget(counter, window_id))
    }

    fn increment_sliding_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        let previous = self.before(counter, now)?;
        let elsewhere = Key::from(format!("{} sliding", counter.key()));
        let counter = match self.defect {
            Some(SlidesInACounterOfItsOwn) => Counter::new(counter.namespace(), &elsewhere, counter.window()),
            _ => Ok(*counter),
        };
        let counter = &counter.map_err(|error| BackendError::invalid(error.to_string()))?;
        let with_previous = match (self.defect, counter.window()) {
            (Some(WeighsNothing), _) => *hit,
            (Some(RoundsTheShareDown), Window::Aligned { start, length }) => {
                let left = length.as_nanos() - (now.as_nanos() - start.as_nanos());
                let share = previous * u128::from(left) / u128::from(length.as_nanos());
                Hit { ceiling: hit.ceiling.saturating_sub(share), ..*hit }
            }
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            (Some(WeighsIn64Bits), Window::Aligned { start, length }) => {
                let left = length.as_nanos() - (now.as_nanos() - start.as_nanos());
                let share = (previous as u64).wrapping_mul(left).div_ceil(length.as_nanos());
                Hit { ceiling: hit.ceiling.saturating_sub(share.into()), ..*hit }
            }
            (Some(IgnoresTheCostOfSlidingHits), window) => {
                let one = Hit { cost: hit.cost.min(1), ..*hit };
                let ceiling = sliding::with_previous(&one, previous, window, now).ceiling;
                Hit { ceiling: ceiling.saturating_add(hit.cost - one.cost), ..*hit }
            }
            (_, window) => sliding::with_previous(hit, previous, window, now),
        };
        let told = if self.has(TellsNoPrevious) { 0 } else { previous };
        Ok(self.increment_now(counter, &with_previous, now)?.with_previous(told))
    }

    fn get_sliding_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        let previous = self.before(counter, now)?;
        Ok(self.get_now(counter, now)?.with_previous(previous))
    }
}

impl Reference {
    fn before(&self, counter: &Counter<'_>, now: Timestamp) -> Result<u128, BackendError> {
        let Some(before) = counter.window().previous() else {
            return match counter.window() {
                Window::Aligned { .. } => Ok(0),
                _ if self.has(SlidesAnyWindow) => Ok(0),
                Window::FromFirstHit { .. } | Window::Bucket { .. } => {
                    Err(BackendError::invalid("not aligned"))
                }
            };
        };
        let before = counter.with_window(before);
        let previous = self.get_now(&before, now)?.value;
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match self.defect {
            Some(TakesTheWindowBeforeForSettled) => *settled.entry(self.id(&before)).or_insert(previous),
            _ => previous,
        })
    }
}

/// The reference, without its claims.
#[derive(Debug, Default)]
pub(crate) struct CountersAlone(Reference);

impl Backend for CountersAlone {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.0.increment_now(counter, hit, now)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.0.get_now(counter, now)
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.reset_now(counter, window_id, now)
    }
}

impl Backend for Reference {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.increment_now(counter, hit, now)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.get_now(counter, now)
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.reset_now(counter, window_id, now)
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.increment_sliding_now(counter, hit, now)
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.get_sliding_now(counter, now)
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        self.write_claim(|repeated| self.take(key, request, now, repeated))
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        self.write_claim(|repeated| Ok(self.complete(key, completion, now, repeated)))
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        self.write_claim(|_| Ok(self.prolong(key, owner, expires_at, now)))
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        self.write_claim(|_| Ok(self.give_up(key, owner, now)))
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        Ok(self.look(key, now))
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.write_claim(|_| self.remove(key, now))
    }
}
