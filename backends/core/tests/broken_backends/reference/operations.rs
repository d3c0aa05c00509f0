//! The operations of the reference: its fast path, sliding counters and repeated writes, with their
//! defects.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use limited_core::{
    Acquisition, Backend, BackendError, BucketQuota, ClaimKey, ClaimRequest, Completion, Counter,
    CounterState, FinishResult, Hit, Immediate, Key, LeaseStatus, Owner, Record, Refund, Result, Timestamp,
    Window, WindowId, async_trait, bucket, sliding,
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
    ) -> Option<Result<CounterState>> {
        if !self.is_live(counter, now) {
            return None;
        }
        let increment = |counter, hit| self.increment_any(counter, hit, now);
        Some(match self.defect {
            Some(FastPathCountsAndReturnsNone) => {
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

    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        let fast = if self.prefers_fast_path { self.try_increment(counter, hit, now) } else { None };
        fast.unwrap_or_else(|| self.increment_any(counter, hit, now))
    }

    fn try_increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<Result<()>> {
        if !hits.iter().all(|(counter, _)| self.is_live(counter, now)) {
            return None;
        }
        let result = self.increment_each(hits, now);
        match self.defect {
            Some(FastPathOfAllCountsAndReturnsNone) => return None,
            Some(FastPathOfAllReplacesTheStates) => states.clear(),
            _ => {}
        }
        Some(result.map(|after| states.extend(after)))
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        let mut states = Vec::new();
        let fast = self.prefers_fast_path.then(|| self.try_increment_all(hits, now, &mut states)).flatten();
        match fast {
            Some(result) => result.map(|()| states),
            None => self.increment_each(hits, now),
        }
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        let counter = self.with_quota(counter)?;
        self.write(|| Ok(self.refund_counter(&counter, refund, now)))
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        if !self.slides(counter) {
            return Ok(self.read_counter(&self.with_quota(counter)?, now));
        }
        let previous = self.previous_value(counter, now)?;
        Ok(self.read_counter(counter, now).with_previous(previous))
    }

    async fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, _now: Timestamp) -> Result<()> {
        self.write(|| self.delete_counter(counter, window_id))
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        self.write_claim(|repeated| self.claim_key(key, request, now, repeated))
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        self.write_claim(|repeated| Ok(self.finish_claim(key, completion, now, repeated)))
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        self.write_claim(|_| Ok(self.renew_lease(key, owner, expires_at, now)))
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        self.write_claim(|_| Ok(self.release_claim(key, owner, now)))
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.find_record(key, now))
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        self.write_claim(|_| self.forget_record(key, now))
    }
}

impl Immediate for Reference {}

/// # Sliding counters
impl Reference {
    pub(super) fn slides(&self, counter: &Counter<'_>) -> bool {
        counter.is_sliding() && !self.has(IgnoresSliding)
    }

    /// Returns the counter, which has a quota if it is a bucket.
    pub(super) fn with_quota<'a>(&self, counter: &Counter<'a>) -> Result<Counter<'a>> {
        match bucket::quota(counter) {
            Err(_) if self.has(AcceptsBucketsWithoutAQuota) => {
                Ok(counter.with_bucket(BucketQuota::new(1, u64::MAX)))
            }
            quota => quota.map(|_| *counter),
        }
    }

    /// Counts a hit on a fixed or on a sliding counter.
    fn increment_any(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        if !self.slides(counter) {
            let counter = self.with_quota(counter)?;
            return self.write(|| Ok(self.count_hit(&counter, hit, now)));
        }
        let previous = self.previous_value(counter, now)?;
        let other = Key::from(format!("{} sliding", counter.key()));
        let counter = match self.defect {
            Some(SeparatesSlidingCounters) => Counter::new(counter.namespace(), &other, counter.window()),
            _ => Ok(*counter),
        };
        let counter = &counter.map_err(|error| BackendError::invalid(error.to_string()))?;
        let hit = self.with_previous(hit, previous, counter.window(), now);
        let state = self.write(|| Ok(self.count_hit(counter, &hit, now)))?;
        Ok(state.with_previous(if self.has(OmitsThePreviousValue) { 0 } else { previous }))
    }

    pub(super) fn with_previous<'a>(
        &self,
        hit: &Hit<'a>,
        previous: u128,
        window: Window,
        now: Timestamp,
    ) -> Hit<'a> {
        match (self.defect, window) {
            (Some(IgnoresThePreviousWindow), _) => *hit,
            (Some(RoundsTheWeightDown), Window::Aligned { start, length }) => {
                let left = length.as_nanos() - (now.as_nanos() - start.as_nanos());
                let weight = previous * u128::from(left) / u128::from(length.as_nanos());
                Hit { ceiling: hit.ceiling.saturating_sub(weight), ..*hit }
            }
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            (Some(WeightsIn64Bits), Window::Aligned { start, length }) => {
                let left = length.as_nanos() - (now.as_nanos() - start.as_nanos());
                let weight = (previous as u64).wrapping_mul(left).div_ceil(length.as_nanos());
                Hit { ceiling: hit.ceiling.saturating_sub(weight.into()), ..*hit }
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
    fn previous_value(&self, counter: &Counter<'_>, now: Timestamp) -> Result<u128> {
        let previous = match sliding::previous_window(counter) {
            Err(_) if self.has(SlidesAnyWindow) => None,
            previous => previous?,
        };
        let Some(previous) = previous else { return Ok(0) };
        let value = self.read_counter(&previous, now).value;
        let mut values = self.previous_values.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match self.defect {
            Some(WeighsByTheLatestTime) if self.has_no_weight(previous.window()) => 0,
            Some(CachesThePreviousWindow) => *values.entry(self.id(&previous)).or_insert(value),
            _ => value,
        })
    }
}

/// # Repeated writes
impl Reference {
    /// Repeats a write until its response arrives. The store recognizes a write that it has already
    /// applied, and returns its first result.
    pub(super) fn write<T: Clone>(&self, apply: impl Fn() -> Result<T>) -> Result<T> {
        let mut applied = None;
        for _ in 0..3 {
            let result = match applied.take() {
                Some(result) if !self.has(CountsRepeatedWritesTwice) => result,
                _ => apply(),
            };
            if !self.loses_next_response.swap(false, Ordering::Relaxed) {
                return result;
            }
            match self.defect {
                Some(ReportsALostResponseAsOther) => return Err(BackendError::Other("no response".into())),
                Some(ReportsALostResponseAsThrottled) => return Err(BackendError::throttled("no response")),
                _ => applied = Some(result),
            }
        }
        Err(BackendError::timed_out("no response to three attempts"))
    }

    /// Repeats a write until its response arrives. The record itself shows whether the write was
    /// applied. The argument of `apply` is whether this is a repetition.
    pub(super) fn write_claim<T>(&self, apply: impl Fn(bool) -> Result<T>) -> Result<T> {
        for attempt in 0..3 {
            let result = apply(attempt > 0);
            if !self.loses_next_response.swap(false, Ordering::Relaxed) {
                return result;
            }
            match self.defect {
                Some(ReportsALostResponseAsOther) => return Err(BackendError::Other("no response".into())),
                Some(ReportsALostResponseAsThrottled) => return Err(BackendError::throttled("no response")),
                _ => {}
            }
        }
        Err(BackendError::timed_out("no response to three attempts"))
    }
}
