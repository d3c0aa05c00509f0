//! Counters as the contract defines them, in the simplest form.

use std::collections::HashMap;
use std::sync::Arc;

use limited_core::bucket::{LiveBucket, StoredBucket};
use limited_core::{
    BucketQuota, CounterState, Hit, HitLog, MAX_CLOCK_SKEW, Refund, Timestamp, Window, WindowId,
    WindowLength, WindowMeta, has_ended, has_passed, is_ahead, sliding,
};

use crate::request::{CounterHit, CounterId, CounterOp};
use crate::response::Response;

/// Every counter that was ever hit. Nothing is deleted: expired counters are ignored.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    states: HashMap<CounterId, State>,
    writes: u64,
    /// The last operation, and its result.
    last: Option<(WriteNumber, Response)>,
}

/// Identifies an operation. A repeated write keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteNumber(u64);

/// A counter after its last counted hit or refund.
#[derive(Clone, Debug)]
struct State {
    /// 0 for a log.
    value: u128,
    start: Option<Timestamp>,
    meta: Option<Arc<WindowMeta>>,
    /// The quota of the hit, if this is a bucket.
    bucket: Option<BucketQuota>,
    /// The hits, if this is a log.
    log: HitLog,
}

/// What a hit does.
struct Decision {
    /// The state without the hit.
    before: CounterState,
    /// What is stored after the hit, if it fits.
    after: Option<State>,
}

impl Counters {
    /// Returns the number of a new write.
    pub(crate) fn next_write(&mut self) -> WriteNumber {
        self.writes += 1;
        WriteNumber(self.writes)
    }

    /// Applies one operation. A repeated one changes nothing, and has its first result.
    pub(crate) fn apply(
        &mut self,
        write: WriteNumber,
        id: &CounterId,
        operation: &CounterOp,
        now: Timestamp,
    ) -> Response {
        self.once(write, |counters| match operation {
            CounterOp::Increment { hit, metadata, bucket } => {
                let hit = Hit { metadata: metadata.as_deref(), ..*hit };
                Response::CounterState(counters.increment(id, *bucket, &hit, now))
            }
            CounterOp::Refund { refund, bucket } => {
                Response::CounterState(counters.refund(id, *bucket, refund, now))
            }
            CounterOp::Get { bucket } => Response::CounterState(counters.get(id, *bucket, now)),
            CounterOp::Reset { window } => {
                counters.reset(id, *window);
                Response::Done
            }
        })
    }

    /// Counts several hits, all or none.
    pub(crate) fn apply_all(&mut self, write: WriteNumber, hits: &[CounterHit], now: Timestamp) -> Response {
        self.once(write, |counters| Response::CounterStates(counters.increment_all(hits, now)))
    }

    fn once(&mut self, write: WriteNumber, apply: impl FnOnce(&mut Self) -> Response) -> Response {
        match &self.last {
            Some((last, response)) if *last == write => response.clone(),
            _ => {
                let response = apply(self);
                self.last = Some((write, response.clone()));
                response
            }
        }
    }

    /// Returns the number of stored counters, expired ones included.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn increment(
        &mut self,
        id: &CounterId,
        bucket: Option<BucketQuota>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> CounterState {
        let Decision { before, after } = self.decide(id, bucket, hit, now);
        match after {
            Some(state) => self.store(id, state, now),
            None => before,
        }
    }

    fn increment_all(&mut self, hits: &[CounterHit], now: Timestamp) -> Vec<CounterState> {
        let decide = |hit: &CounterHit| {
            let previous = self.previous_value(hit, now);
            let limited = match hit.is_sliding {
                true => sliding::with_previous(&hit.hit(), previous, hit.id.window, now),
                false => hit.hit(),
            };
            let Decision { before, after } = self.decide(&hit.id, hit.bucket, &limited, now);
            Decision { before: before.with_previous(previous), after }
        };
        let decisions: Vec<_> = hits.iter().map(decide).collect();
        let all_fit = decisions.iter().all(|decision| decision.after.is_some());
        let results = hits.iter().zip(decisions).map(|(hit, Decision { before, after })| {
            let is_condition = hit.hit.cost == 0 && hit.hit.floor == 0;
            let previous = before.previous;
            match after {
                Some(state) if all_fit && !is_condition => {
                    self.store(&hit.id, state, now).with_previous(previous)
                }
                after => {
                    let mut state = before;
                    state.counted = after.is_some();
                    state
                }
            }
        });
        results.collect()
    }

    /// Returns the value of the previous window of a sliding counter; 0 for others.
    fn previous_value(&self, hit: &CounterHit, now: Timestamp) -> u128 {
        let window = hit.id.window.previous().filter(|_| hit.is_sliding);
        window.map_or(0, |window| self.get(&CounterId { window, ..hit.id.clone() }, None, now).value)
    }

    /// Stores a state, and returns it as that after a counted hit.
    fn store(&mut self, id: &CounterId, state: State, now: Timestamp) -> CounterState {
        let mut result = state.to_counter_state(id.window, now);
        (result.counted, result.log) = (true, None);
        self.states.insert(id.clone(), state);
        result
    }

    fn decide(&self, id: &CounterId, bucket: Option<BucketQuota>, hit: &Hit<'_>, now: Timestamp) -> Decision {
        let window = id.window;
        if let Some(start) = earliest_known(window, now) {
            return Decision { before: CounterState::new(false, 0).with_start(start), after: None };
        }
        if has_span_passed(window, now) {
            return Decision { before: absent(window), after: None };
        }
        let before = self.get(id, bucket, now);
        if let Window::Log { length } = window {
            let mut log = self.live_log(id, length, now);
            let fits = log.hit(hit, length, now);
            return Decision { before, after: fits.then(|| State::of_log(log)) };
        }
        let after = hit.apply(before.value).map(|value| {
            let (start, meta) = match (window, before.start) {
                (Window::FromFirstHit { .. }, None) => (Some(now), Some(meta(hit))),
                (_, start) => (start, before.meta.clone()),
            };
            State { value, start, meta, bucket, log: HitLog::default() }
        });
        Decision { before, after }
    }

    fn refund(
        &mut self,
        id: &CounterId,
        bucket: Option<BucketQuota>,
        refund: &Refund,
        now: Timestamp,
    ) -> CounterState {
        let before = self.get(id, bucket, now);
        let after =
            self.states.get(id).and_then(|state| state.after_refund(&before, id.window, bucket, refund, now));
        let Some(after) = after else { return before };
        self.states.insert(id.clone(), after);
        let mut result = self.get(id, bucket, now);
        result.counted = true;
        result
    }

    /// Returns the hits of a log that some clock still needs.
    fn live_log(&self, id: &CounterId, length: WindowLength, now: Timestamp) -> HitLog {
        let mut log = self.states.get(id).map(|state| state.log.clone()).unwrap_or_default();
        log.expire(length, now, MAX_CLOCK_SKEW);
        log
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
        if let Window::Log { length } = window {
            return State::of_log(self.live_log(id, length, now)).to_counter_state(window, now);
        }
        self.states
            .get(id)
            .filter(|state| !state.has_expired(window, now))
            .map_or_else(|| absent(window), |state| state.to_counter_state(window, now))
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
    fn of_log(log: HitLog) -> Self {
        Self { value: 0, start: log.newest(), meta: None, bucket: None, log }
    }

    /// Returns the state after a read.
    fn to_counter_state(&self, window: Window, now: Timestamp) -> CounterState {
        let mut state = CounterState::new(false, self.value);
        if let Window::Log { length } = window {
            state.value = self.log.value(length, now);
            state.log = Some(Arc::new(self.log.clone()));
        }
        state.start = self.start;
        state.meta = self.meta.clone();
        state
    }

    /// Returns what is stored after a refund; `None` if nothing is returned. `before` is the result
    /// of a read.
    fn after_refund(
        &self,
        before: &CounterState,
        window: Window,
        bucket: Option<BucketQuota>,
        refund: &Refund,
        now: Timestamp,
    ) -> Option<Self> {
        match (window, bucket) {
            (Window::Log { length }, _) => {
                let mut log = self.log.clone();
                log.expire(length, now, MAX_CLOCK_SKEW);
                log.refund(refund, length, now).then(|| Self::of_log(log))
            }
            (Window::Bucket { .. }, Some(quota)) => {
                // A bucket that is full is absent.
                let is_live = before.value > 0 && refund.accepts(before.value);
                let stored = StoredBucket { value: self.value, quota: self.bucket.filter(|_| is_live)? };
                let after = refund.apply_to_bucket(stored, quota, now);
                Some(Self { value: after.value, ..self.clone() })
            }
            _ => {
                let id = self.meta.as_ref().map_or(refund.window_id, |meta| meta.id);
                let is_charged = !self.has_expired(window, now) && id == refund.window_id;
                (is_charged && refund.accepts(self.value))
                    .then(|| Self { value: refund.apply(self.value), ..self.clone() })
            }
        }
    }

    fn has_expired(&self, window: Window, now: Timestamp) -> bool {
        match window {
            Window::Aligned { .. } => earliest_known(window, now).is_some(),
            Window::FromFirstHit { length } => self
                .start
                .is_some_and(|start| has_ended(start, length, now) || is_ahead(start, now, MAX_CLOCK_SKEW)),
            Window::Span { .. } => has_span_passed(window, now),
            Window::Bucket { .. } | Window::Log { .. } => false,
        }
    }
}

/// Returns whether this is a span that is no longer known at `now`.
fn has_span_passed(window: Window, now: Timestamp) -> bool {
    matches!(window, Window::Span { end, .. } if has_passed(end.saturating_add(MAX_CLOCK_SKEW), now))
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
    use limited_core::{bucket_full_at, retained_until};
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
        let hit = CounterOp::increment(None, &Hit::new(2, 5));
        let mut apply = |write| match counters.apply(write, &counter, &hit, Timestamp::EPOCH) {
            Response::CounterState(state) => (state.counted, state.value),
            other => panic!("{other:?}"),
        };
        for (number, expected) in [(1, (true, 2)), (2, (true, 4)), (3, (false, 4))] {
            for _ in 0..2 {
                assert_eq!(apply(WriteNumber(number)), expected);
            }
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
            let hit = Hit::new(value, u128::MAX);
            prop_assert!(counters.increment(&id, Some(quota), &hit, Timestamp::from_nanos(full)).counted);
            prop_assert_eq!(counters.get(&id, Some(quota), Timestamp::from_nanos(full)).value, 0);
            prop_assert_eq!(counters.get(&id, Some(quota), Timestamp::from_nanos(full - 1)).value, value);
        }
    }
}
