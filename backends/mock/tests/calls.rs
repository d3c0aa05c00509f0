//! Calls are recorded as they were asked and answered.

mod common;

use common::{NOW, OPENED, in_this_minute, in_window, user};
use limited_core::{Backend, BackendError, Generation, Hit, ImmediateBackend, Key};
use limited_mock::{Call, Fault, MockBackend, Operation};

#[test]
fn a_call_is_recorded_with_all_that_was_asked() {
    let mock = MockBackend::new();
    let hit = Hit::new(2, 9).with_floor(1).opening(Generation(4), Some("from 192.0.2.1"));
    {
        // Neither key nor note outlives the call, and the record does.
        let key = Key::from(String::from("user:7"));
        let counter = in_window(&key, OPENED);
        mock.increment_now(&counter, &hit, NOW).unwrap();
        mock.reset_now(&counter, Some(Generation(4)), NOW).unwrap();
    }
    let calls = mock.calls();
    let [increment, reset] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(increment.operation(), Operation::Increment);
    assert_eq!((increment.namespace(), increment.key()), ("test", "user:7"));
    assert_eq!((increment.window(), increment.now()), (OPENED, NOW));
    assert_eq!(increment.hit(), Some(hit));
    assert_eq!(increment.tally().map(|tally| tally.value), Some(3));
    assert!(increment.is_counted());
    assert_eq!((reset.operation(), reset.generation()), (Operation::Reset, Some(Generation(4))));
    assert!(reset.error().is_none());
}

#[test]
fn a_call_is_recorded_with_what_the_caller_got() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(BackendError::throttled("slow down")));
    mock.inject(Fault::lost_answer());
    for _ in 0..4 {
        let _ = mock.increment_now(&counter, &Hit::new(1, 2), NOW);
    }
    let calls = mock.calls();
    assert!(matches!(calls[0].error(), Some(BackendError::Throttled(_))));
    assert!(matches!(calls[1].error(), Some(BackendError::TimedOut(_))));
    let answers: Vec<_> = calls.iter().map(|call| call.tally().map(|tally| tally.value)).collect();
    assert_eq!(answers, [None, None, Some(2), Some(2)]);
    let counted: Vec<_> = calls.iter().map(Call::is_counted).collect();
    assert_eq!(counted, [false, false, true, false]);
}

#[test]
fn a_sliding_hit_is_a_read_of_the_window_before_and_a_hit() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let before = counter.window().previous().unwrap();
    mock.increment_now(&counter.with_window(before), &Hit::new(4, 10), NOW).unwrap();
    mock.clear_calls();

    pollster::block_on(mock.increment_sliding(&counter, &Hit::new(1, 10), NOW)).unwrap();
    let calls = mock.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].operation(), calls[0].window()), (Operation::Get, before));
    assert_eq!((calls[1].operation(), calls[1].window()), (Operation::Increment, counter.window()));
    assert_eq!(calls[1].hit(), Some(Hit::new(1, 6)));

    mock.clear_calls();
    mock.get_sliding_now(&counter, NOW).unwrap();
    assert_eq!((mock.total(), mock.count(Operation::Get)), (2, 2));
}

#[test]
fn calls_are_counted_by_operation_until_records_are_cleared() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    for _ in 0..3 {
        mock.increment_now(&counter, &Hit::new(1, 2), NOW).unwrap();
    }
    mock.get_now(&counter, NOW).unwrap();
    mock.reset_now(&counter, None, NOW).unwrap();

    let counts =
        [Operation::Increment, Operation::Get, Operation::Reset].map(|operation| mock.count(operation));
    assert_eq!((counts, mock.total()), ([3, 1, 1], 5));
    assert_eq!(mock.calls_of(Operation::Increment).len(), 3);
    assert!(mock.calls_of(Operation::Get).iter().all(|call| call.operation() == Operation::Get));

    mock.increment_now(&counter, &Hit::new(1, 2), NOW).unwrap();
    mock.clear_calls();
    assert_eq!((mock.total(), mock.count(Operation::Increment)), (0, 0));
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 1, "counters stay");
}

#[test]
fn a_call_that_nobody_polled_is_no_call() {
    let (mock, key) = (MockBackend::new(), user());
    drop(mock.increment(&in_this_minute(&key), &Hit::new(1, 2), NOW));
    assert_eq!(mock.total(), 0);
}
