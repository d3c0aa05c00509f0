//! Counting, reading and resetting, and the defects of each.

use std::collections::HashMap;
use std::sync::{Arc, TryLockError};

use limited_core::{
    BackendError, Counter, CounterState, Hit, Result, Timestamp, Window, WindowId, WindowMeta,
};

use super::{Id, Reference, State, yield_to_others};
use crate::Defect::*;

impl Reference {
    pub(super) fn value_after(&self, hit: &Hit<'_>, value: u128, counter: &Counter<'_>) -> Option<u128> {
        let from = value.max(hit.floor);
        let fits = |after| (after <= hit.ceiling).then_some(after);
        let after = match self.defect {
            Some(WrapsAround) => fits(from.wrapping_add(hit.cost)),
            Some(Saturates) => fits(from.saturating_add(hit.cost)),
            Some(IgnoresTheFloor) => Hit { floor: 0, ..*hit }.apply(value),
            Some(TreatsZeroAsUnlimited) if hit.ceiling == 0 => from.checked_add(hit.cost),
            Some(IgnoresTheCostInTheCheck) if from < hit.ceiling => from.checked_add(hit.cost),
            Some(StopsOneBelowTheCeiling) => {
                fits(from.saturating_add(hit.cost).saturating_add(1)).map(|after| after - 1)
            }
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(TruncatesCostsTo64Bits) => Hit { cost: u128::from(hit.cost as u64), ..*hit }.apply(value),
            _ => hit.apply(value),
        };
        match (self.defect, counter.bucket()) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "the defect"
            )]
            (Some(CountsInFloatingPoint), _) => after.map(|after| after as f64 as u128),
            (Some(CountsWholeNanoseconds), Some(quota)) => {
                let limit = u128::from(quota.limit.max(1));
                after.map(|after| after / limit * limit)
            }
            _ => after,
        }
    }

    pub(super) fn read_counter(&self, counter: &Counter<'_>, now: Timestamp) -> CounterState {
        let (id, window, now) = (self.id(counter), counter.window(), self.time(now));
        let mut states = self.states();
        self.forget_some(&mut states, window.length(), now);
        if let (Some(ReadsCount), Some(state)) = (self.defect, states.get_mut(&id)) {
            state.value += 1;
        }
        if let Window::Log { length } = window {
            return self.read_log(states.get(&id), length, now);
        }
        let state = self.live(states.get(&id), counter, now);
        if self.has(DeletesExpiredCountersOnRead) && state.value == 0 {
            states.remove(&id);
        }
        self.state(false, window, state)
    }

    pub(super) fn count_hit(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        let (id, window, now) = (self.id(counter), counter.window(), self.time(now));
        let busy = matches!(self.states.try_lock(), Err(TryLockError::WouldBlock));
        if busy && self.has(RefusesUnderContention) {
            return self.state(false, window, self.live(None, counter, now));
        }
        let mut states = self.states();
        self.forget_some(&mut states, window.length(), now);
        if let Window::Log { length } = window {
            return self.count_log_hit(states.entry(id).or_default(), length, hit, now);
        }
        if self.has_span_passed(window, now) {
            return self.state(false, window, self.live(None, counter, now));
        }
        if id.kind == 0 && self.is_forgotten(&id, &State::default()) && !self.has(CountsForgottenWindows) {
            return self.refused_as_forgotten(window.length());
        }
        if self.has(KeepsAlignedWindowsOfAWrongClock)
            && states
                .iter()
                .any(|(other, _)| other.start > id.start && Id { start: id.start, ..other.clone() } == id)
        {
            return self.state(false, window, self.live(None, counter, now));
        }
        if self.has(RefusesUnderContention) {
            yield_to_others();
        }
        let mut state = self.live(states.get(&id), counter, now);
        if self.has(ReplacesWindowsInTwoSteps)
            && states.get(&id).is_some_and(|stored| stored.value > 0)
            && state.value == 0
        {
            drop(states);
            yield_to_others();
            states = self.states();
            states.remove(&id);
            state = self.live(None, counter, now);
        }
        let Some(mut value) = self.value_after(hit, state.value, counter) else {
            self.refuse(&mut states, id, &mut state, hit, now, window);
            return self.refusal(window, state);
        };
        if matches!(self.defect, Some(ChecksThenAdds | LosesUpdates)) {
            drop(states);
            yield_to_others();
            states = self.states();
            if self.has(ChecksThenAdds) {
                state = self.live(states.get(&id), counter, now);
                value = state.value.max(hit.floor) + hit.cost;
            }
        }
        state.value = value;
        if let (Some(KeepsTheOldMeta), None, Some(old)) = (self.defect, state.start, states.get(&id)) {
            state.meta.clone_from(&old.meta);
        }
        self.start_window(&mut state, hit, now, window);
        states.insert(id, state.clone());
        self.state(true, window, state)
    }

    /// Starts a window from the first hit, if none is live.
    pub(super) fn start_window(&self, state: &mut State, hit: &Hit<'_>, now: Timestamp, window: Window) {
        if !matches!(window, Window::FromFirstHit { .. }) {
            return;
        }
        if state.start.is_none() || self.has(MovesTheStart) {
            state.start = Some(now);
        }
        let metadata =
            hit.metadata.filter(|metadata| !(self.has(TreatsEmptyMetadataAsNone) && metadata.is_empty()));
        let new = WindowMeta { id: hit.window_id, metadata: metadata.map(Into::into) };
        state.meta = Some(Arc::new(match state.meta.as_deref() {
            None => new,
            Some(meta) if self.has(OverwritesTheMetadata) => WindowMeta { id: meta.id, ..new },
            Some(meta) if self.has(OverwritesTheWindowId) => {
                WindowMeta { metadata: meta.metadata.clone(), ..new }
            }
            Some(meta) => meta.clone(),
        }));
    }

    /// Changes what a refused hit changes: nothing without these defects.
    fn refuse(
        &self,
        states: &mut HashMap<Id, State>,
        id: Id,
        state: &mut State,
        hit: &Hit<'_>,
        now: Timestamp,
        window: Window,
    ) {
        match self.defect {
            Some(CountsRefusedHits) => {
                state.value = state.value.max(hit.floor).saturating_add(hit.cost);
                states.insert(id, state.clone());
            }
            Some(DeletesOnACostAboveTheLimit) if hit.apply(0).is_none() => {
                states.remove(&id);
            }
            Some(StartsWindowsForRefusedHits) => {
                self.start_window(state, hit, now, window);
                states.insert(id, state.clone());
            }
            _ => {}
        }
    }

    fn refusal(&self, window: Window, state: State) -> CounterState {
        let returned = match self.defect {
            Some(RefusesWithoutTheValue) => State { value: 0, ..state },
            Some(RefusesWithoutTheMeta) => State { meta: None, ..state },
            _ => state,
        };
        self.state(false, window, returned)
    }

    pub(super) fn delete_counter(&self, counter: &Counter<'_>, window_id: Option<WindowId>) -> Result<()> {
        let id = self.id(counter);
        let mut states = self.states();
        let meta = states.get(&id).and_then(|state| state.meta.clone());
        match self.defect {
            Some(NeverResets) => {}
            Some(ResetsClaimsToo) => {
                states.remove(&id);
                self.slots().retain(|claim, _| (&claim.namespace, &claim.key) != (&id.namespace, &id.key));
            }
            Some(ResetsAnyWindowId) => drop(states.remove(&id)),
            Some(ResetsEveryWindowOfTheKey) => {
                states.retain(|other, _| (&other.namespace, &other.key) != (&id.namespace, &id.key));
            }
            Some(CannotResetAbsentCounters) if !states.contains_key(&id) => {
                return Err(BackendError::Other("the counter is absent".into()));
            }
            _ if window_id.is_none() || meta.map(|meta| meta.id) == window_id => {
                states.remove(&id);
            }
            _ => {}
        }
        Ok(())
    }
}
