//! Several hits at once, refunds, logs and spans: what the mock records, and what faults do.

use crate::common::{FROM_FIRST_HIT, NOW, in_this_minute, in_window, user};
use limited_core::{
    Backend, BackendError, Counter, CounterState, Hit, Key, Refund, Timestamp, Window, WindowLength,
};
use limited_mock::{Fault, MockBackend, Operation};
use pollster::block_on;

/// Returns a hit on each of two counters. The limit of the second is 3.
fn two<'a>(key: &'a Key<'a>, cost: u128) -> [(Counter<'a>, Hit<'static>); 2] {
    [(in_this_minute(key), Hit::new(cost, 100)), (in_window(key, FROM_FIRST_HIT), Hit::new(cost, 3))]
}

fn values(mock: &MockBackend, key: &Key<'_>) -> [u128; 2] {
    two(key, 0).map(|(counter, _)| block_on(mock.get(&counter, NOW)).unwrap().value)
}

fn outcomes(states: &[CounterState]) -> Vec<(bool, u128)> {
    states.iter().map(|state| (state.counted, state.value)).collect()
}

#[test]
fn several_hits_are_one_call_with_their_counters_and_states() {
    let (mock, key) = (MockBackend::new(), user());
    let hits = two(&key, 2);
    block_on(mock.increment_all(&hits, NOW)).unwrap();
    block_on(mock.increment_all(&hits, NOW)).unwrap();
    let calls = mock.calls();
    assert_eq!((calls.len(), mock.count(Operation::IncrementAll)), (2, 2));
    let call = &calls[0];
    assert_eq!((call.namespace(), call.key(), call.window()), ("test", "user:7", None));
    let recorded: Vec<_> =
        call.hits().iter().map(|hit| (hit.namespace, hit.key, hit.window, hit.hit)).collect();
    assert_eq!(recorded, hits.map(|(counter, hit)| ("test", "user:7", counter.window(), hit)));
    assert!(call.is_counted() && call.hit().is_none() && call.counter_state().is_none());
    assert_eq!(outcomes(call.counter_states().unwrap()), [(true, 2), (true, 2)]);
    assert!(!calls[1].is_counted());
    assert_eq!(outcomes(calls[1].counter_states().unwrap()), [(true, 2), (false, 2)]);
}

#[test]
fn hit_that_does_not_fit_stores_nothing_at_all() {
    let (mock, key) = (MockBackend::new(), user());
    block_on(mock.increment_all(&two(&key, 4), NOW)).unwrap();
    assert_eq!((mock.counters(), values(&mock, &key)), (0, [0, 0]));
}

#[test]
fn invalid_hits_never_reach_the_store() {
    let (mock, key) = (MockBackend::new(), user());
    let [first, _] = two(&key, 1);
    let error = block_on(mock.increment_all(&[first, first], NOW)).unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)));
    assert_eq!((mock.total(), mock.counters()), (0, 0));
}

#[test]
fn several_hits_with_a_lost_response_are_all_counted() {
    let (mock, key) = (MockBackend::new(), user());
    mock.inject(Fault::lost_response().on(Operation::IncrementAll));
    let error = block_on(mock.increment_all(&two(&key, 2), NOW)).unwrap_err();
    assert!(matches!(error, BackendError::TimedOut(_)));
    assert_eq!(values(&mock, &key), [2, 2]);
}

#[test]
fn failed_several_hits_count_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::IncrementAll));
    block_on(mock.increment_all(&two(&key, 2), NOW)).unwrap_err();
    assert_eq!((mock.counters(), mock.faults_left()), (0, 0));
}

#[test]
fn repeated_several_hits_count_once_even_if_they_fill_a_counter() {
    let (mock, key) = (MockBackend::new(), user());
    mock.inject(Fault::repeated_write());
    let states = block_on(mock.increment_all(&two(&key, 3), NOW)).unwrap();
    assert_eq!(outcomes(&states), [(true, 3), (true, 3)]);
    assert_eq!(values(&mock, &key), [3, 3]);
}

#[test]
fn repeated_refund_returns_its_cost_once() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.increment(&counter, &Hit::new(5, 5), NOW)).unwrap();
    mock.inject(Fault::repeated_write().on(Operation::Refund));
    let refund = Refund::new(2, NOW);
    let state = block_on(mock.refund(&counter, &refund, NOW)).unwrap();
    assert_eq!((state.counted, state.value, mock.faults_left()), (true, 3, 0));
    let call = &mock.calls_of(Operation::Refund)[0];
    assert_eq!((call.refund(), call.window()), (Some(refund), Some(counter.window())));
    assert!(!call.is_counted(), "a refund is no hit");
}

#[test]
fn scripted_states_are_for_several_hits_alone() {
    let (mock, key) = (MockBackend::new(), user());
    mock.inject(Fault::counter_states(vec![CounterState::new(false, 7), CounterState::new(true, 8)]));
    let [first, second] = two(&key, 1);
    assert_eq!(block_on(mock.increment(&first.0, &first.1, NOW)).unwrap().value, 1);
    let states = block_on(mock.increment_all(&[first, second], NOW)).unwrap();
    assert_eq!(outcomes(&states), [(false, 7), (true, 8)]);
    assert_eq!((values(&mock, &key), mock.faults_left()), ([1, 0], 0));
}

#[test]
fn condition_is_compared_and_stores_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    let limit = in_this_minute(&key);
    let block = in_window(&key, Window::BLOCK);
    let now = u128::from(NOW.as_nanos());
    let hits = [(limit, Hit::new(1, 5)), (block, Hit::new(0, now))];
    assert_eq!(outcomes(&block_on(mock.increment_all(&hits, NOW)).unwrap()), [(true, 1), (true, 0)]);
    assert_eq!(mock.counters(), 1);
    block_on(mock.increment(&block, &Hit::new(9, now * 20).with_floor(now * 10), NOW)).unwrap();
    let states = block_on(mock.increment_all(&hits, NOW)).unwrap();
    assert_eq!(outcomes(&states), [(true, 1), (false, now * 10 + 9)]);
}

#[test]
fn sliding_hit_among_several_reads_the_previous_window_in_the_same_call() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let before = counter.with_window(counter.window().previous().unwrap());
    block_on(mock.increment(&before, &Hit::new(4, 9), NOW)).unwrap();
    mock.clear_calls();
    let hits = [(counter.sliding(), Hit::new(1, 5))];
    let states = block_on(mock.increment_all(&hits, NOW)).unwrap();
    assert_eq!((states[0].counted, states[0].value, states[0].previous), (true, 1, 4));
    let states = block_on(mock.increment_all(&hits, NOW)).unwrap();
    assert_eq!((states[0].counted, states[0].value, states[0].previous), (false, 1, 4));
    assert_eq!((mock.total(), mock.calls()[0].hits()[0].is_sliding), (2, true));
}

#[test]
fn log_and_span_are_counted_and_refunded() {
    let (mock, key) = (MockBackend::new(), user());
    let end = Timestamp::from_secs(NOW.as_secs() + 86_400);
    for window in [Window::Log { length: WindowLength::MINUTE }, Window::Span { start: NOW, end }] {
        let counter = in_window(&key, window);
        let hit = Hit::new(3, 3);
        assert!(block_on(mock.increment(&counter, &hit, NOW)).unwrap().counted, "{window:?}");
        assert!(!block_on(mock.increment(&counter, &hit, NOW)).unwrap().counted, "{window:?}");
        assert!(block_on(mock.refund(&counter, &Refund::new(3, NOW), NOW)).unwrap().counted, "{window:?}");
        assert!(block_on(mock.increment(&counter, &hit, NOW)).unwrap().counted, "{window:?}");
    }
}
