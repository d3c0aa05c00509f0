//! Calls in flight: held, released and cancelled.

use std::pin::pin;
use std::thread;

use crate::common::{NOW, in_this_minute, poll, user};
use limited_core::{Backend, BackendError, CounterState, Hit};
use limited_mock::{MockBackend, Operation};
use pollster::block_on;

const HIT: Hit<'static> = Hit::new(1, 100);

#[test]
fn held_call_has_not_happened_until_its_gate_is_released() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold(Operation::Increment);
    mock.fail_next(BackendError::throttled("slow down"));
    let mut call = pin!(mock.increment(&counter, &HIT, NOW));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!((gate.pending(), mock.total(), mock.faults_left()), (1, 0, 1));

    mock.clear_faults();
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 0, "reads are not held");
    gate.release();
    assert_eq!(block_on(call).unwrap().value, 1);
}

#[test]
fn held_response_belongs_to_a_call_that_has_happened() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold_responses(Operation::Increment);
    let mut call = pin!(mock.increment(&counter, &HIT, NOW));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!((gate.pending(), mock.count(Operation::Increment)), (1, 1));
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
    assert!(poll(pin!(mock.increment(&counter, &HIT, NOW)).as_mut()).is_pending());
    drop(gate);
    assert_eq!(block_on(call).unwrap().value, 1, "the result is that of the time of the call");
}

#[test]
fn call_cancelled_before_the_store_never_happens() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold(Operation::Increment);
    {
        let mut call = pin!(mock.increment(&counter, &HIT, NOW));
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(gate.pending(), 0);
    gate.release();
    assert_eq!((mock.total(), mock.counters()), (0, 0));
}

#[test]
fn call_cancelled_after_the_store_has_counted() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold_responses(Operation::Increment);
    {
        let mut call = pin!(mock.increment(&counter, &HIT, NOW));
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(gate.pending(), 0);
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
}

#[test]
fn calls_are_released_one_by_one_in_order_of_arrival() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold(Operation::Increment);
    let mut first = pin!(mock.increment(&counter, &HIT, NOW));
    let mut second = pin!(mock.increment(&counter, &HIT, NOW));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert!(gate.release_one());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(first.as_mut()).is_ready());
    assert_eq!((gate.pending(), mock.total()), (1, 1));
}

#[test]
fn call_that_is_polled_once_waits_at_a_gate() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let before = mock.hold(Operation::Increment);
    mock.return_next(CounterState::new(false, 9));
    assert!(poll(pin!(mock.increment(&counter, &HIT, NOW)).as_mut()).is_pending());
    assert_eq!((before.pending(), mock.faults_left(), mock.counters()), (0, 1, 0));
    mock.clear_faults();
    drop(before);

    let after = mock.hold_responses(Operation::Increment);
    assert!(poll(pin!(mock.increment(&counter, &HIT, NOW)).as_mut()).is_pending());
    drop(after);
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
    assert_eq!(mock.count(Operation::Increment), 1);
}

#[test]
fn call_passes_every_gate_that_was_closed_when_it_arrived() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let (one, other) = (mock.hold(Operation::Get), mock.hold(Operation::Get));
    let mut call = pin!(mock.get(&counter, NOW));
    assert!(poll(call.as_mut()).is_pending());
    one.release();
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(other.pending(), 1);
    other.release();
    assert!(poll(call.as_mut()).is_ready());
    assert!(block_on(mock.get(&counter, NOW)).is_ok());
}

#[test]
fn released_calls_of_many_threads_all_count() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let gate = mock.hold(Operation::Increment);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| block_on(mock.increment(&counter, &HIT, NOW)).unwrap());
        }
        block_on(gate.until_pending(8));
        assert_eq!((gate.pending(), mock.total()), (8, 0));
        assert!(gate.release_one());
        gate.release();
    });
    let mut values: Vec<_> =
        mock.calls().iter().filter_map(|call| Some(call.counter_state()?.value)).collect();
    assert!(values.is_sorted());
    values.dedup();
    assert_eq!(values.len(), 8);
}
