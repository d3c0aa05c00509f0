//! Logs and spans, with their defects.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    CounterState, Hit, HitLog, MAX_CLOCK_SKEW, Timestamp, Window, WindowLength, has_ended, has_passed,
};

use super::{Reference, State};
use crate::Defect::*;

const NANOSECOND: Duration = Duration::from_nanos(1);

impl Reference {
    /// Returns whether a span is forgotten at this time.
    pub(super) fn has_span_passed(&self, window: Window, now: Timestamp) -> bool {
        let Window::Span { end, .. } = window else { return false };
        match self.defect {
            Some(KeepsSpansForEver) => false,
            Some(ForgetsSpansAtTheirEnd) => has_passed(end, now),
            _ => has_passed(end.saturating_add(MAX_CLOCK_SKEW), now),
        }
    }

    /// Returns the hits of a log that some clock still needs.
    pub(super) fn live_log(&self, state: Option<&State>, length: WindowLength, now: Timestamp) -> HitLog {
        let mut log = state.map(|state| state.log.clone()).unwrap_or_default();
        match self.defect {
            Some(LogsForgetTheSkew) => log.expire(length, now, Duration::ZERO),
            Some(LogsKeepHitsOfAWrongClock) => log.expire(length, now, Duration::MAX),
            _ => log.expire(length, now, MAX_CLOCK_SKEW),
        }
        log
    }

    fn log_value(&self, log: &HitLog, length: WindowLength, now: Timestamp) -> u128 {
        let counts = |time: Timestamp| match self.defect {
            Some(LogsEndANanosecondLate) => !has_ended(time, length, now.saturating_sub(NANOSECOND)),
            Some(LogsEndANanosecondEarly) => !has_ended(time, length, now.saturating_add(NANOSECOND)),
            Some(LogsIgnoreHitsAhead) => time <= now && !has_ended(time, length, now),
            _ => !has_ended(time, length, now),
        };
        let cost = |cost: u128| if self.has(LogsIgnoreTheCost) { 1 } else { cost };
        log.entries().iter().filter(|(time, _)| counts(*time)).map(|(_, each)| cost(*each)).sum()
    }

    pub(super) fn log_state(
        &self,
        counted: bool,
        log: &HitLog,
        length: WindowLength,
        now: Timestamp,
    ) -> CounterState {
        let mut state = CounterState::new(counted, self.log_value(log, length, now));
        state.start = if self.has(OmitsTheNewestHitOfALog) { None } else { log.newest() };
        if !counted && !self.has(RefusesWithoutTheLog) {
            state.log = Some(Arc::new(log.clone()));
        }
        state
    }

    pub(super) fn read_log(
        &self,
        state: Option<&State>,
        length: WindowLength,
        now: Timestamp,
    ) -> CounterState {
        self.log_state(false, &self.live_log(state, length, now), length, now)
    }

    /// Returns the log after a hit, or `None` if it does not fit.
    pub(super) fn log_after(
        &self,
        mut log: HitLog,
        hit: &Hit<'_>,
        length: WindowLength,
        now: Timestamp,
    ) -> Option<HitLog> {
        let room = hit.ceiling.checked_sub(hit.cost)?;
        if self.log_value(&log, length, now) > room {
            return None;
        }
        let cost = if self.has(LogsCountHitsOfCostZero) { hit.cost.max(1) } else { hit.cost };
        log.hit(&Hit::new(cost, u128::MAX), length, now);
        Some(log)
    }

    pub(super) fn count_log_hit(
        &self,
        stored: &mut State,
        length: WindowLength,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> CounterState {
        let log = self.live_log(Some(stored), length, now);
        match self.log_after(log.clone(), hit, length, now) {
            Some(after) => {
                stored.log = after;
                self.log_state(true, &stored.log, length, now)
            }
            None => {
                if self.has(LogsCountRefusedHits) {
                    stored.log.hit(&Hit::new(hit.cost, u128::MAX), length, now);
                }
                self.log_state(false, &log, length, now)
            }
        }
    }
}
