//! How the reference counts and resets, and where that is broken.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};

use limited_core::{BackendError, Counter, CounterState, Hit, Timestamp, Window, WindowId, WindowMeta};

use super::{Id, Reference, State, give_way};
use crate::Defect::*;

impl Reference {
    fn value_after(&self, hit: &Hit<'_>, value: u128, window: Window) -> Option<u128> {
        let from = value.max(hit.floor);
        let fits = |after| (after <= hit.ceiling).then_some(after);
        let after = match self.defect {
            Some(WrapsAround) => fits(from.wrapping_add(hit.cost)),
            Some(Saturates) => fits(from.saturating_add(hit.cost)),
            Some(IgnoresTheFloor) => Hit { floor: 0, ..*hit }.apply(value),
            Some(TakesZeroForNoLimit) if hit.ceiling == 0 => from.checked_add(hit.cost),
            Some(IgnoresTheCostInTheCheck) if from < hit.ceiling => from.checked_add(hit.cost),
            Some(StopsOneBelowTheCeiling) => {
                fits(from.saturating_add(hit.cost).saturating_add(1)).map(|after| after - 1)
            }
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(CutsCostsTo64Bits) => Hit { cost: u128::from(hit.cost as u64), ..*hit }.apply(value),
            _ => hit.apply(value),
        };
        match (self.defect, window) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "the defect"
            )]
            (Some(CountsInFloatingPoint), _) => after.map(|after| after as f64 as u128),
            (Some(CountsWholeNanoseconds), Window::Bucket { limit, .. }) => {
                after.map(|after| after / u128::from(limit.max(1)) * u128::from(limit.max(1)))
            }
            _ => after,
        }
    }

    pub(super) fn read(&self, counter: &Counter<'_>, now: Timestamp) -> CounterState {
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
        self.tally(false, window, state)
    }

    pub(super) fn count(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        let (id, window, now) = (self.id(counter), counter.window(), self.time(now));
        let busy = matches!(self.states.try_lock(), Err(TryLockError::WouldBlock));
        if busy && self.has(RefusesUnderContention) {
            return self.tally(false, window, self.live(None, window, now));
        }
        let mut states = self.states();
        self.forget_some(&mut states, now);
        if id.kind == 0 && self.is_forgotten(&id, 0) && !self.has(CountsWhatItForgot) {
            return self.too_late(window.length());
        }
        if self.has(RefusesUnderContention) {
            give_way();
        }
        let mut state = self.live(states.get(&id), window, now);
        if self.has(RollsOverInTwoSteps)
            && states.get(&id).is_some_and(|stored| stored.value > 0)
            && state.value == 0
        {
            drop(states);
            give_way();
            states = self.states();
            states.remove(&id);
            state = self.live(None, window, now);
        }
        let Some(mut value) = self.value_after(hit, state.value, window) else {
            self.refuse(&mut states, id, &mut state, hit, now, window);
            return self.refusal(window, state);
        };
        if matches!(self.defect, Some(ChecksThenAdds | LosesUpdates)) {
            drop(states);
            give_way();
            states = self.states();
            if self.has(ChecksThenAdds) {
                state = self.live(states.get(&id), window, now);
                value = state.value.max(hit.floor) + hit.cost;
            }
        }
        state.value = value;
        if let (Some(KeepsTheOldOpening), None, Some(old)) = (self.defect, state.start, states.get(&id)) {
            state.meta.clone_from(&old.meta);
        }
        self.open(&mut state, hit, now, window);
        states.insert(id, state.clone());
        self.tally(true, window, state)
    }

    /// The counted hit opens the window, where none is open.
    fn open(&self, state: &mut State, hit: &Hit<'_>, now: Timestamp, window: Window) {
        if !matches!(window, Window::FromFirstHit { .. }) {
            return;
        }
        if state.start.is_none() || self.has(MovesTheStart) {
            state.start = Some(now);
        }
        let metadata =
            hit.metadata.filter(|metadata| !(self.has(TakesEmptyNotesForNone) && metadata.is_empty()));
        let fresh = WindowMeta { id: hit.window_id, metadata: metadata.map(Into::into) };
        state.meta = Some(Arc::new(match state.meta.as_deref() {
            None => fresh,
            Some(meta) if self.has(OverwritesTheNote) => WindowMeta { id: meta.id, ..fresh },
            Some(meta) if self.has(OverwritesTheGeneration) => {
                WindowMeta { metadata: meta.metadata.clone(), ..fresh }
            }
            Some(meta) => meta.clone(),
        }));
    }

    /// A refused hit changes nothing, in a backend without these defects.
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
            Some(WipesOnACostOverTheLimit) if hit.apply(0).is_none() => {
                states.remove(&id);
            }
            Some(OpensWindowsForRefusedHits) => {
                self.open(state, hit, now, window);
                states.insert(id, state.clone());
            }
            _ => {}
        }
    }

    fn refusal(&self, window: Window, state: State) -> CounterState {
        let told = match self.defect {
            Some(RefusesWithoutTheValue) => State { value: 0, ..state },
            Some(RefusesWithoutTheOpening) => State { meta: None, ..state },
            _ => state,
        };
        self.tally(false, window, told)
    }

    pub(super) fn forget(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
    ) -> Result<(), BackendError> {
        let id = self.id(counter);
        let mut states = self.states();
        let opened = states.get(&id).and_then(|state| state.meta.clone());
        match self.defect {
            Some(NeverResets) => {}
            Some(ResetsClaimsToo) => {
                states.remove(&id);
                self.slots().retain(|claim, _| (&claim.namespace, &claim.key) != (&id.namespace, &id.key));
            }
            Some(ResetsAnyGeneration) => drop(states.remove(&id)),
            Some(ResetsEveryWindowOfTheKey) => {
                states.retain(|other, _| (&other.namespace, &other.key) != (&id.namespace, &id.key));
            }
            Some(CannotResetWhatIsAbsent) if !states.contains_key(&id) => {
                return Err(BackendError::Other("there is no such counter".into()));
            }
            _ if window_id.is_none() || opened.map(|meta| meta.id) == window_id => {
                states.remove(&id);
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the store to apply a write until its answer arrives. The store recognises a write that it has applied
    /// already, and answers as it did then.
    pub(super) fn write<T: Clone>(
        &self,
        apply: impl Fn() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut applied = None;
        for _ in 0..3 {
            let answer = match applied.take() {
                Some(answer) if !self.has(CountsLostAnswersTwice) => answer,
                _ => apply(),
            };
            if !self.loses_next_response.swap(false, Ordering::Relaxed) {
                return answer;
            }
            match self.defect {
                Some(TakesALostAnswerForAFailure) => return Err(BackendError::Other("no answer".into())),
                Some(TakesALostAnswerForThrottling) => return Err(BackendError::throttled("no answer")),
                _ => applied = Some(answer),
            }
        }
        Err(BackendError::timed_out("no answer to three attempts"))
    }

    /// Asks the store to apply a write until its answer arrives. A claim needs no memory of it, since it recognises its
    /// owner; `apply` is told whether it is a repetition.
    pub(super) fn write_claim<T>(
        &self,
        apply: impl Fn(bool) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        for attempt in 0..3 {
            let answer = apply(attempt > 0);
            if !self.loses_next_response.swap(false, Ordering::Relaxed) {
                return answer;
            }
            match self.defect {
                Some(TakesALostAnswerForAFailure) => return Err(BackendError::Other("no answer".into())),
                Some(TakesALostAnswerForThrottling) => return Err(BackendError::throttled("no answer")),
                _ => {}
            }
        }
        Err(BackendError::timed_out("no answer to three attempts"))
    }
}
