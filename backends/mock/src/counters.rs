//! The reference: counters as the contract has them, in the plainest way.

use std::collections::HashMap;
use std::sync::Arc;

use limited_core::{
    Counter, CounterState, Hit, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowMeta, has_ended,
};

use crate::answer::Answer;
use crate::operation::OfCounter;

/// Every counter that was ever counted in. Nothing is deleted by itself: what has expired is not seen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    states: HashMap<Identity, State>,
    writes: u64,
}

/// Tells one write from every other. A write that is sent again has the number it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteNumber(u64);

/// What makes two counters the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    namespace: String,
    key: String,
    window: Window,
}

/// A counter as its last counted hit left it.
#[derive(Clone, Debug)]
struct State {
    value: u128,
    start: Option<Timestamp>,
    meta: Option<Arc<WindowMeta>>,
    /// Since only a counted hit changes a state, the state is also the answer to this write.
    last_write: WriteNumber,
}

impl Counters {
    /// A number for a write that is new.
    pub(crate) fn next_write(&mut self) -> WriteNumber {
        self.writes += 1;
        WriteNumber(self.writes)
    }

    /// Carries out one operation.
    pub(crate) fn apply(
        &mut self,
        write: WriteNumber,
        counter: &Counter<'_>,
        request: OfCounter<'_>,
        now: Timestamp,
    ) -> Answer {
        match request {
            OfCounter::Increment(hit) => Answer::CounterState(self.increment(write, counter, hit, now)),
            OfCounter::Get => Answer::CounterState(self.get(counter, now)),
            OfCounter::Reset(window_id) => {
                self.reset(counter, window_id);
                Answer::Done
            }
        }
    }

    /// How many counters are stored, expired ones too.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn increment(
        &mut self,
        write: WriteNumber,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> CounterState {
        let window = counter.window();
        let identity = Identity::of(counter);
        let stored = self.states.get(&identity);
        if let Some(state) = stored.filter(|state| state.last_write == write) {
            return state.tally(true);
        }
        if let Some(start) = earliest_known(window, now) {
            return CounterState::new(false, 0).with_start(start);
        }
        let live = stored.filter(|state| !state.has_expired(window, now));
        let before = live.map_or(0, |state| state.value);
        let Some(value) = hit.apply(before) else {
            return live.map_or_else(|| absent(window), |state| state.tally(false));
        };
        let (start, meta) = match (window, live) {
            (_, Some(state)) => (state.start, state.meta.clone()),
            (Window::Aligned { start, .. }, None) => (Some(start), None),
            (Window::FromFirstHit { .. }, None) => (Some(now), Some(meta(hit))),
            (Window::Bucket { .. }, None) => (None, None),
        };
        let state = State { value, start, meta, last_write: write };
        let tally = state.tally(true);
        self.states.insert(identity, state);
        tally
    }

    fn get(&self, counter: &Counter<'_>, now: Timestamp) -> CounterState {
        let window = counter.window();
        self.states
            .get(&Identity::of(counter))
            .filter(|state| !state.has_expired(window, now))
            .map_or_else(|| absent(window), |state| state.tally(false))
    }

    fn reset(&mut self, counter: &Counter<'_>, window_id: Option<WindowId>) {
        let identity = Identity::of(counter);
        let stored = self.states.get(&identity);
        let opened = stored.and_then(|state| state.meta.as_ref().map(|meta| meta.id));
        if window_id.is_none() || window_id == opened {
            self.states.remove(&identity);
        }
    }
}

impl Identity {
    fn of(counter: &Counter<'_>) -> Self {
        Self {
            namespace: counter.namespace().to_owned(),
            key: counter.key().to_owned(),
            window: counter.window(),
        }
    }
}

impl State {
    fn tally(&self, counted: bool) -> CounterState {
        let mut tally = CounterState::new(counted, self.value);
        tally.start = self.start;
        tally.meta = self.meta.clone();
        tally
    }

    fn has_expired(&self, window: Window, now: Timestamp) -> bool {
        match window {
            Window::Aligned { .. } => earliest_known(window, now).is_some(),
            Window::FromFirstHit { length } => self.start.is_some_and(|start| has_ended(start, length, now)),
            // `bucket_full_at` stops at the last timestamp, where a bucket that fills up later must still count.
            Window::Bucket { limit, .. } => self.value <= u128::from(now.as_nanos()) * u128::from(limit),
        }
    }
}

/// The start of the earliest window of this length that is still known at `now`, where `window` no longer is.
///
/// The contract's `retained_until`, but exact at the last timestamp, where that stops.
fn earliest_known(window: Window, now: Timestamp) -> Option<Timestamp> {
    let Window::Aligned { start, length } = window else {
        return None;
    };
    let known_for = 2 * length.as_duration() + MAX_CLOCK_SKEW;
    if now.saturating_since(start) < known_for {
        return None;
    }
    match Window::aligned(now.saturating_sub(known_for), length) {
        Window::Aligned { start, .. } => Some(start.saturating_add(length.as_duration())),
        Window::FromFirstHit { .. } | Window::Bucket { .. } => None,
    }
}

fn absent(window: Window) -> CounterState {
    match window {
        Window::Aligned { start, .. } => CounterState::new(false, 0).with_start(start),
        Window::FromFirstHit { .. } | Window::Bucket { .. } => CounterState::new(false, 0),
    }
}

fn meta(hit: &Hit<'_>) -> Arc<WindowMeta> {
    Arc::new(WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use limited_core::{Key, WindowLength, bucket_full_at, retained_until};
    use proptest::prelude::*;

    use super::*;

    fn any_length() -> impl Strategy<Value = WindowLength> {
        (WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos())
            .prop_map(|nanos| WindowLength::try_from(std::time::Duration::from_nanos(nanos)).unwrap())
    }

    #[test]
    fn a_repeated_write_counts_once_and_a_new_one_again() {
        let mut counters = Counters::default();
        let key = Key::from("user");
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
        let counter = Counter::new("", &key, window).unwrap();
        let hit = Hit::new(2, 5);
        let write = counters.next_write();
        let first = counters.increment(write, &counter, &hit, Timestamp::EPOCH);
        assert_eq!(counters.increment(write, &counter, &hit, Timestamp::EPOCH), first);
        let write = counters.next_write();
        assert_eq!(counters.increment(write, &counter, &hit, Timestamp::EPOCH).value, 4);
        let write = counters.next_write();
        for _ in 0..2 {
            let refused = counters.increment(write, &counter, &hit, Timestamp::EPOCH);
            assert_eq!((refused.counted, refused.value), (false, 4));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_aligned_window_is_known_until_the_contract_lets_it_be_forgotten(
            at: u64, length in any_length(), now: u64,
        ) {
            let window = Window::aligned(Timestamp::from_nanos(at), length);
            let Window::Aligned { start, .. } = window else { unreachable!() };
            let from = retained_until(start, length, MAX_CLOCK_SKEW);
            let now = Timestamp::from_nanos(now);
            prop_assume!(now < Timestamp::MAX);
            prop_assert_eq!(earliest_known(window, now).is_some(), now >= from);
            if from < Timestamp::MAX {
                let just_before = Timestamp::from_nanos(from.as_nanos() - 1);
                prop_assert_eq!(earliest_known(window, just_before), None);
                prop_assert!(earliest_known(window, from).is_some());
            }
        }

        #[test]
        fn the_earliest_known_window_is_known_and_the_one_before_it_is_not(now: u64, length in any_length()) {
            let now = Timestamp::from_nanos(now);
            let first = Window::aligned(Timestamp::EPOCH, length);
            if let Some(start) = earliest_known(first, now) {
                let earliest = Window::aligned(start, length);
                prop_assert_eq!(earliest, Window::Aligned { start, length });
                prop_assert_eq!(earliest_known(earliest, now), None);
                prop_assert_eq!(earliest_known(earliest.previous().unwrap(), now), Some(start));
            }
        }

        #[test]
        fn a_bucket_has_expired_exactly_when_it_is_full(
            full in 1..u64::MAX, limit in 1..=u64::MAX, below in prop_oneof![Just(0), any::<u64>()],
        ) {
            let window = Window::Bucket { limit, length: WindowLength::SECOND };
            let value = u128::from(full) * u128::from(limit) - u128::from(below % limit);
            prop_assert_eq!(bucket_full_at(value, limit), Timestamp::from_nanos(full));
            let state = State { value, start: None, meta: None, last_write: WriteNumber(1) };
            prop_assert!(state.has_expired(window, Timestamp::from_nanos(full)));
            prop_assert!(!state.has_expired(window, Timestamp::from_nanos(full - 1)));
        }
    }
}
