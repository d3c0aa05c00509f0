//! Injected errors, lost answers and scripted answers.

mod common;

use common::{NOW, in_this_minute, user};
use limited_core::{Backend, BackendError, CounterState, Hit, ImmediateBackend};
use limited_mock::{Fault, MockBackend, Operation};

const HIT: Hit<'static> = Hit::new(1, 100);

fn throttled() -> BackendError {
    BackendError::throttled("slow down")
}

#[test]
fn the_next_call_fails_whatever_it_is_and_nothing_is_counted() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.increment_now(&counter, &HIT, NOW).unwrap();

    mock.fail_next(throttled());
    assert!(matches!(mock.increment_now(&counter, &HIT, NOW), Err(BackendError::Throttled(_))));
    mock.fail_next(throttled());
    assert!(mock.get_now(&counter, NOW).is_err());
    mock.fail_next(throttled());
    assert!(mock.reset_now(&counter, None, NOW).is_err());

    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 1);
}

#[test]
fn the_caller_gets_the_error_that_was_injected() {
    let (mock, key) = (MockBackend::new(), user());
    mock.fail_next(BackendError::Full { max_keys: 3 });
    let error = mock.get_now(&in_this_minute(&key), NOW).unwrap_err();
    assert!(matches!(error, BackendError::Full { max_keys: 3 }));
}

#[test]
fn each_nth_call_fails() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.fail_every(3, throttled());
    let failed = (1..=7).filter(|_| mock.increment_now(&counter, &HIT, NOW).is_err());
    assert_eq!(failed.collect::<Vec<_>>(), [3, 6]);
    assert_eq!(mock.faults_left(), 1);
}

#[test]
fn a_fault_of_one_operation_leaves_the_others_alone() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(throttled()).on(Operation::Increment).times(2));
    assert!(mock.get_now(&counter, NOW).is_ok());
    assert!(mock.increment_now(&counter, &HIT, NOW).is_err());
    assert!(mock.reset_now(&counter, None, NOW).is_ok());
    assert!(mock.increment_now(&counter, &HIT, NOW).is_err());
    assert!(mock.increment_now(&counter, &HIT, NOW).is_ok());
    assert_eq!(mock.faults_left(), 0);
}

#[test]
fn an_outage_lasts_until_faults_are_cleared() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(BackendError::unavailable("an outage")).always());
    assert!((0..20).all(|_| mock.increment_now(&counter, &HIT, NOW).is_err()));
    mock.clear_faults();
    assert_eq!(mock.faults_left(), 0);
    assert_eq!(mock.increment_now(&counter, &HIT, NOW).unwrap().value, 1);
}

#[test]
fn a_hit_whose_answer_is_lost_is_counted() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::lost_response().on(Operation::Increment));
    assert!(matches!(mock.increment_now(&counter, &HIT, NOW), Err(BackendError::TimedOut(_))));
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 1);
}

#[test]
fn a_reset_whose_answer_is_lost_is_done() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.increment_now(&counter, &HIT, NOW).unwrap();
    mock.inject(Fault::lost_response());
    assert!(mock.reset_now(&counter, None, NOW).is_err());
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 0);
}

#[test]
fn scripted_answers_come_in_order_and_count_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let refused = CounterState::new(false, 100).with_start(NOW);
    mock.return_next(refused.clone());
    mock.return_next(CounterState::new(true, 7));
    mock.reset_now(&counter, None, NOW).unwrap();
    assert_eq!(mock.increment_now(&counter, &HIT, NOW).unwrap(), refused);
    assert_eq!(mock.get_now(&counter, NOW).unwrap(), CounterState::new(true, 7));
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 0);
}

#[test]
fn a_sliding_hit_meets_faults_in_each_of_its_two_steps() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(throttled()).on(Operation::Increment));
    mock.inject(Fault::counter_state(CounterState::new(false, 90)).on(Operation::Get));
    assert!(mock.increment_sliding_now(&counter, &HIT, NOW).is_err());
    assert_eq!(mock.faults_left(), 0);

    mock.inject(Fault::counter_state(CounterState::new(false, 100)).on(Operation::Get));
    let with_previous = mock.increment_sliding_now(&counter, &HIT, NOW).unwrap();
    assert_eq!((with_previous.counted, with_previous.previous), (false, 100));
}

#[test]
fn faults_hit_waiting_calls_as_they_hit_immediate_ones() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::lost_response().on(Operation::Increment));
    mock.fail_every(3, throttled());
    pollster::block_on(async {
        assert!(matches!(mock.increment(&counter, &HIT, NOW).await, Err(BackendError::TimedOut(_))));
        assert_eq!(mock.get(&counter, NOW).await.unwrap().value, 1);
        assert!(matches!(mock.reset(&counter, None, NOW).await, Err(BackendError::Throttled(_))));
        assert!(mock.reset(&counter, None, NOW).await.is_ok());
    });
}
