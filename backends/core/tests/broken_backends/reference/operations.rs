//! The operations of the reference, its fast path, and the defects of both.

use std::sync::PoisonError;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, Key, LeaseStatus, Owner, Record, Timestamp, Window, WindowId, async_trait,
    sliding,
};

use super::Reference;
use crate::Defect::*;

#[async_trait]
impl Backend for Reference {
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState, BackendError>> {
        if !self.is_live(counter, now) {
            return None;
        }
        let increment = |counter, hit| self.increment_any(counter, hit, now);
        Some(match self.defect {
            Some(CountsAndReturnsNone) => {
                let _ = increment(counter, hit);
                return None;
            }
            Some(FastPathIgnoresTheCeiling) => increment(counter, &Hit { ceiling: u128::MAX, ..*hit }),
            Some(FastPathIgnoresSliding) => increment(&counter.fixed(), hit),
            Some(FastPathOmitsTheMeta) => increment(counter, hit).map(|mut state| {
                state.meta = None;
                state
            }),
            _ => increment(counter, hit),
        })
    }

    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        let fast = if self.prefers_fast_path { self.try_increment(counter, hit, now) } else { None };
        fast.unwrap_or_else(|| self.increment_any(counter, hit, now))
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        if !self.slides(counter) {
            return Ok(self.read(counter, now));
        }
        let previous = self.previous(counter, now)?;
        Ok(self.read(counter, now).with_previous(previous))
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        _now: Timestamp,
    ) -> Result<(), BackendError> {
        self.write(|| self.forget(counter, window_id))
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

impl Immediate for Reference {}

/// # Sliding counters
impl Reference {
    fn slides(&self, counter: &Counter<'_>) -> bool {
        counter.is_sliding() && !self.has(IgnoresSliding)
    }

    /// Counts a hit on a fixed or on a sliding counter.
    fn increment_any(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        if !self.slides(counter) {
            return self.write(|| Ok(self.count(counter, hit, now)));
        }
        let previous = self.previous(counter, now)?;
        let elsewhere = Key::from(format!("{} sliding", counter.key()));
        let counter = match self.defect {
            Some(SlidesInACounterOfItsOwn) => Counter::new(counter.namespace(), &elsewhere, counter.window()),
            _ => Ok(*counter),
        };
        let counter = &counter.map_err(|error| BackendError::invalid(error.to_string()))?;
        let hit = self.with_previous(hit, previous, counter.window(), now);
        let state = self.write(|| Ok(self.count(counter, &hit, now)))?;
        Ok(state.with_previous(if self.has(TellsNoPrevious) { 0 } else { previous }))
    }

    fn with_previous<'a>(&self, hit: &Hit<'a>, previous: u128, window: Window, now: Timestamp) -> Hit<'a> {
        match (self.defect, window) {
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
        }
    }

    /// Returns the value of the previous window.
    fn previous(&self, counter: &Counter<'_>, now: Timestamp) -> Result<u128, BackendError> {
        let previous = match sliding::previous_window(counter) {
            Err(_) if self.has(SlidesAnyWindow) => None,
            previous => previous?,
        };
        let Some(previous) = previous else { return Ok(0) };
        let value = self.read(&previous, now).value;
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match self.defect {
            Some(TakesTheWindowBeforeForSettled) => *settled.entry(self.id(&previous)).or_insert(value),
            _ => value,
        })
    }
}
