//! An exhaustive search through the states of a model.

use std::collections::HashSet;
use std::hash::Hash;

/// A model: its states, the steps between them, and what has to hold in each state.
pub(crate) trait Model {
    type State: Clone + Eq + Hash + std::fmt::Debug;

    fn first(&self) -> Self::State;

    /// Returns every state that one step of any process or of the network leads to.
    fn next(&self, state: &Self::State) -> Vec<Self::State>;

    /// Returns what is wrong with a state. `is_final` if no step leads out of it.
    fn fault(&self, state: &Self::State, is_final: bool) -> Option<String>;
}

/// Visits every reachable state once. Returns their number, or the first fault.
pub(crate) fn explore<M: Model>(model: &M) -> Result<usize, String> {
    let mut seen = HashSet::from([model.first()]);
    let mut open = vec![model.first()];
    while let Some(state) = open.pop() {
        let next = model.next(&state);
        if let Some(fault) = model.fault(&state, next.is_empty()) {
            return Err(format!("{fault}\n  in {state:?}"));
        }
        open.extend(next.into_iter().filter(|state| seen.insert(state.clone())));
    }
    Ok(seen.len())
}

#[track_caller]
pub(crate) fn holds<M: Model>(model: &M, at_least: usize) {
    match explore(model) {
        Ok(states) => assert!(states >= at_least, "only {states} states were reachable"),
        Err(fault) => panic!("{fault}"),
    }
}

/// Asserts that the search finds a fault, and that it is this one.
#[track_caller]
pub(crate) fn fails<M: Model>(model: &M, expected: &str) {
    match explore(model) {
        Ok(states) => panic!("no fault in {states} states"),
        Err(fault) => assert!(fault.contains(expected), "expected {expected:?}, found {fault}"),
    }
}
