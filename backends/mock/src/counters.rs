//! Counters as the contract defines them, in the simplest form.

use std::collections::HashMap;
use std::sync::Arc;

use limited_core::bucket::{LiveBucket, StoredBucket};
use limited_core::{
    BucketQuota, CounterState, Hit, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowMeta, has_ended,
    has_passed, is_ahead,
};

use crate::request::{CounterId, CounterOp};
use crate::response::Response;

/// Every counter that was ever hit. Nothing is deleted: expired counters are ignored.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    states: HashMap<CounterId, State>,
    writes: u64,
}

/// Identifies a write. A repeated write keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteNumber(u64);

/// A counter after its last counted hit.
#[derive(Clone, Debug)]
struct State {
    value: u128,
    start: Option<Timestamp>,
    meta: Option<Arc<WindowMeta>>,
    /// The quota of the hit, if this is a bucket.
    bucket: Option<BucketQuota>,
    /// Only a counted hit changes a state, so the state is also the result of this write.
    last_write: WriteNumber,
}

impl Counters {
    /// Returns the number of a new write.
    pub(crate) fn next_write(&mut self) -> WriteNumber {
        self.writes += 1;
        WriteNumber(self.writes)
    }

    /// Applies one operation.
    pub(crate) fn apply(
        &mut self,
        write: WriteNumber,
        id: &CounterId,
        operation: &CounterOp,
        now: Timestamp,
    ) -> Response {
        match operation {
            CounterOp::Increment { hit, metadata, bucket } => {
                let hit = Hit { metadata: metadata.as_deref(), ..*hit };
                Response::CounterState(self.increment(write, id, *bucket, &hit, now))
            }
            CounterOp::Get { bucket } => Response::CounterState(self.get(id, *bucket, now)),
            CounterOp::Reset { window } => {
                self.reset(id, *window);
                Response::Done
            }
        }
    }

    /// Returns the number of stored counters, expired ones included.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn increment(
        &mut self,
        write: WriteNumber,
        id: &CounterId,
        bucket: Option<BucketQuota>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> CounterState {
        let window = id.window;
        if let Some(state) = self.states.get(id).filter(|state| state.last_write == write) {
            return state.to_counter_state(true);
        }
        if let Some(start) = earliest_known(window, now) {
            return CounterState::new(false, 0).with_start(start);
        }
        let before = self.get(id, bucket, now);
        let Some(value) = hit.apply(before.value) else { return before };
        let (start, meta) = match (window, before.start) {
            (Window::FromFirstHit { .. }, None) => (Some(now), Some(meta(hit))),
            (_, start) => (start, before.meta),
        };
        let state = State { value, start, meta, bucket, last_write: write };
        let result = state.to_counter_state(true);
        self.states.insert(id.clone(), state);
        result
    }

    /// Returns a bucket in the unit of `quota`: absent if it is full.
    fn live_bucket(&self, id: &CounterId, quota: BucketQuota, now: Timestamp) -> LiveBucket {
        let stored = self.states.get(id).and_then(|state| {
            let quota = state.bucket?;
            // `bucket_full_at` saturates at the last timestamp, but a bucket that fills up later
            // must still count.
            let is_full = state.value <= u128::from(now.as_nanos()) * u128::from(quota.limit);
            (!is_full).then_some(StoredBucket { value: state.value, quota })
        });
        let length = id.window.length();
        stored.map_or_else(LiveBucket::default, |stored| stored.live(quota, length, now, MAX_CLOCK_SKEW))
    }

    fn get(&self, id: &CounterId, bucket: Option<BucketQuota>, now: Timestamp) -> CounterState {
        if let Some(quota) = bucket {
            let live = self.live_bucket(id, quota, now);
            return CounterState::new(false, live.value).with_clock_lead(live.clock_lead);
        }
        let window = id.window;
        self.states
            .get(id)
            .filter(|state| !state.has_expired(window, now))
            .map_or_else(|| absent(window), |state| state.to_counter_state(false))
    }

    fn reset(&mut self, id: &CounterId, window: Option<WindowId>) {
        let stored = self.states.get(id);
        let stored_id = stored.and_then(|state| state.meta.as_ref().map(|meta| meta.id));
        if window.is_none() || window == stored_id {
            self.states.remove(id);
        }
    }
}

impl State {
    fn to_counter_state(&self, counted: bool) -> CounterState {
        let mut state = CounterState::new(counted, self.value);
        state.start = self.start;
        state.meta = self.meta.clone();
        state
    }

    fn has_expired(&self, window: Window, now: Timestamp) -> bool {
        match window {
            Window::Aligned { .. } => earliest_known(window, now).is_some(),
            Window::FromFirstHit { length } => self
                .start
                .is_some_and(|start| has_ended(start, length, now) || is_ahead(start, now, MAX_CLOCK_SKEW)),
            Window::Span { end, .. } => has_passed(end.saturating_add(MAX_CLOCK_SKEW), now),
            Window::Bucket { .. } | Window::Log { .. } => false,
        }
    }
}

/// Returns the start of the earliest window of this length that is still known at `now`; `None` if
/// `window` itself is.
///
/// The contract's `retained_until`, but exact at the last timestamp, where that saturates.
fn earliest_known(window: Window, now: Timestamp) -> Option<Timestamp> {
    let Window::Aligned { start, length } = window else { return None };
    let known_for = 2 * length.as_duration() + MAX_CLOCK_SKEW;
    if now.saturating_since(start) < known_for {
        return None;
    }
    match Window::aligned(now.saturating_sub(known_for), length) {
        Window::Aligned { start, .. } => Some(start.saturating_add(length.as_duration())),
        _ => None,
    }
}

fn absent(window: Window) -> CounterState {
    match window {
        Window::Aligned { start, .. } | Window::Span { start, .. } => {
            CounterState::new(false, 0).with_start(start)
        }
        _ => CounterState::new(false, 0),
    }
}

fn meta(hit: &Hit<'_>) -> Arc<WindowMeta> {
    Arc::new(WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use limited_core::{WindowLength, bucket_full_at, retained_until};
    use proptest::prelude::*;

    use super::*;

    fn any_length() -> impl Strategy<Value = WindowLength> {
        (WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos())
            .prop_map(|nanos| WindowLength::try_from(std::time::Duration::from_nanos(nanos)).unwrap())
    }

    #[test]
    fn repeated_write_counts_once_and_a_new_one_again() {
        let mut counters = Counters::default();
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
        let counter = CounterId { namespace: String::new(), key: "user".into(), window };
        let hit = Hit::new(2, 5);
        let write = counters.next_write();
        let first = counters.increment(write, &counter, None, &hit, Timestamp::EPOCH);
        assert_eq!(counters.increment(write, &counter, None, &hit, Timestamp::EPOCH), first);
        let write = counters.next_write();
        assert_eq!(counters.increment(write, &counter, None, &hit, Timestamp::EPOCH).value, 4);
        let write = counters.next_write();
        for _ in 0..2 {
            let refused = counters.increment(write, &counter, None, &hit, Timestamp::EPOCH);
            assert_eq!((refused.counted, refused.value), (false, 4));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn aligned_window_is_known_until_the_contract_allows_forgetting_it(
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
        fn earliest_known_window_is_known_and_the_one_before_it_is_not(now: u64, length in any_length()) {
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
        fn bucket_is_absent_exactly_when_it_is_full(
            full in 1..u64::MAX, limit in 1..=u64::MAX, below in prop_oneof![Just(0), any::<u64>()],
        ) {
            let quota = BucketQuota::new(limit, u64::MAX);
            let value = u128::from(full) * u128::from(limit) - u128::from(below % limit);
            prop_assert_eq!(bucket_full_at(value, limit), Timestamp::from_nanos(full));
            let window = Window::Bucket { length: WindowLength::MAX };
            let id = CounterId { namespace: String::new(), key: "user".into(), window };
            let mut counters = Counters::default();
            let write = counters.next_write();
            let hit = Hit::new(value, u128::MAX);
            prop_assert!(counters.increment(write, &id, Some(quota), &hit, Timestamp::from_nanos(full)).counted);
            prop_assert_eq!(counters.get(&id, Some(quota), Timestamp::from_nanos(full)).value, 0);
            prop_assert_eq!(counters.get(&id, Some(quota), Timestamp::from_nanos(full - 1)).value, value);
        }
    }
}
