//! Several hits at once, with their defects.

use std::collections::HashMap;

use limited_core::{BackendError, Counter, CounterState, Hit, Result, Timestamp, Window, several, sliding};

use super::{Id, Reference, State, yield_to_others};
use crate::Defect::*;

/// What one of several hits does.
struct Decision {
    /// The state before the hit.
    before: CounterState,
    /// What is stored after it, and its result, if it fits.
    after: Option<(Id, State, CounterState)>,
}

impl Reference {
    pub(super) fn increment_each(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        self.check_all(hits, now)?;
        let hits: Vec<_> = match self.defect {
            Some(CountsOneWindowOfEachKey) => {
                let is_first =
                    |at: &usize| hits[..*at].iter().all(|(other, _)| other.key() != hits[*at].0.key());
                (0..hits.len()).filter(is_first).map(|at| hits[at]).collect()
            }
            _ => hits.to_vec(),
        };
        self.write(|| Ok(self.count_each(&hits, now)))
    }

    fn check_all(&self, hits: &[(Counter<'_>, Hit<'_>)], now: Timestamp) -> Result<()> {
        match self.defect {
            Some(NeedsAHit) if hits.is_empty() => Err(BackendError::invalid("no hit")),
            Some(AcceptsTwoHitsOnOneCounter) if hits.len() <= several::MAX_HITS => Ok(()),
            Some(AcceptsAnyNumberOfHits) if hits.len() > several::MAX_HITS => Ok(()),
            Some(CountsBeforeItChecks) if several::check(hits).is_err() => {
                if let Some((counter, hit)) = hits.first() {
                    self.count_hit(&self.with_quota(counter)?, hit, now);
                }
                several::check(hits)
            }
            _ => several::check(hits),
        }
    }

    fn count_each(&self, hits: &[(Counter<'_>, Hit<'_>)], now: Timestamp) -> Vec<CounterState> {
        let mut states = self.states();
        for (counter, _) in hits {
            self.forget_some(&mut states, counter.window().length(), now);
        }
        if self.has(CountsEachHitInAStepOfItsOwn) {
            drop(states);
            return self.count_in_turn(hits, now);
        }
        let decisions: Vec<_> =
            hits.iter().map(|(counter, hit)| self.decide(&states, counter, hit, now)).collect();
        if self.has(ChecksAllThenCounts) {
            drop(states);
            yield_to_others();
            states = self.states();
        }
        let all_fit = decisions.iter().all(|decision| decision.after.is_some());
        let mut is_refused = false;
        let mut results = Vec::new();
        for Decision { before, after } in decisions {
            let fits = after.is_some();
            is_refused |= !fits;
            let counts = match self.defect {
                Some(CountsTheHitsThatFit) => fits,
                Some(BurnsThePointsOfTheFirst) => fits && !is_refused,
                _ => all_fit,
            };
            results.push(match after {
                Some((id, state, result)) if counts => {
                    states.insert(id, state);
                    result
                }
                Some((_, _, result)) if self.has(ReturnsValuesThatWereNotCounted) => result,
                _ => {
                    let counted = match self.defect {
                        Some(ReportsNoHitAsFitting) => false,
                        Some(ReportsEveryHitAsFitting) => !fits || results.is_empty(),
                        Some(StopsAtTheFirstRefusal) => fits && !is_refused,
                        _ => fits,
                    };
                    with_counted(before, counted)
                }
            });
        }
        results
    }

    /// Counts each hit in its own step, and takes all back if one does not fit.
    fn count_in_turn(&self, hits: &[(Counter<'_>, Hit<'_>)], now: Timestamp) -> Vec<CounterState> {
        let mut undo = Vec::new();
        let mut results = Vec::new();
        for (counter, hit) in hits {
            let mut states = self.states();
            let Decision { before, after } = self.decide(&states, counter, hit, now);
            let fits = after.is_some();
            results.push((with_counted(before, fits), after.as_ref().map(|after| after.2.clone())));
            if let Some((id, state, _)) = after {
                undo.push((id.clone(), *counter, hit.cost));
                states.insert(id, state);
            }
            drop(states);
            yield_to_others();
        }
        if results.iter().all(|(_, after)| after.is_some()) {
            return results.into_iter().filter_map(|(_, after)| after).collect();
        }
        for (id, _, cost) in undo {
            if let Some(state) = self.states().get_mut(&id) {
                state.value = state.value.saturating_sub(cost);
            }
        }
        results.into_iter().map(|(before, _)| before).collect()
    }

    fn decide(
        &self,
        states: &HashMap<Id, State>,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Decision {
        let (id, window, time) = (self.id(counter), counter.window(), self.time(now));
        let hit = &match self.defect {
            Some(CountsConditions) => Hit { cost: hit.cost.max(1), ..*hit },
            Some(IgnoresConditions) if hit.cost == 0 => Hit { ceiling: u128::MAX, ..*hit },
            _ => *hit,
        };
        if let Window::Log { length } = window {
            let log = self.live_log(states.get(&id), length, time);
            let before = self.log_state(false, &log, length, time);
            let after = self.log_after(log, hit, length, time).map(|log| {
                let result = self.log_state(true, &log, length, time);
                (id, State { log, ..State::default() }, result)
            });
            return Decision { before, after };
        }
        let (hit, previous) = if self.slides(counter) {
            let previous = sliding::previous_window(counter).ok().flatten();
            let value = previous
                .map_or(0, |previous| self.live(states.get(&self.id(&previous)), &previous, time).value);
            match self.defect {
                Some(SeveralHitsIgnoreSliding) => (*hit, value),
                _ => (self.with_previous(hit, value, window, time), value),
            }
        } else {
            (*hit, 0)
        };
        let state = self.live(states.get(&id), counter, time);
        let before = self.state(false, window, state.clone()).with_previous(previous);
        let is_forgotten =
            self.has_span_passed(window, time) || (id.kind == 0 && self.is_forgotten(&id, &State::default()));
        if is_forgotten {
            return Decision { before, after: None };
        }
        let after = self.value_after(&hit, state.value, counter).map(|value| {
            let mut state = State { value, ..state };
            self.start_window(&mut state, &hit, time, window);
            let result = self.state(true, window, state.clone()).with_previous(previous);
            (id, state, result)
        });
        Decision { before, after }
    }
}

fn with_counted(mut state: CounterState, counted: bool) -> CounterState {
    state.counted = counted;
    state
}
