//! Injected errors, lost responses and scripted results.

use crate::common::{NOW, OWNER, claim_of, in_this_minute, once, user};
use limited_core::{Backend, BackendError, Counter, CounterState, Hit, Key, Window, WindowLength};
use limited_mock::{Fault, MockBackend, Operation};
use pollster::block_on;

const HIT: Hit<'static> = Hit::new(1, 100);

fn throttled() -> BackendError {
    BackendError::throttled("slow down")
}

#[test]
fn next_call_fails_and_nothing_is_counted() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.increment(&counter, &HIT, NOW)).unwrap();

    mock.fail_next(throttled());
    assert!(matches!(block_on(mock.increment(&counter, &HIT, NOW)), Err(BackendError::Throttled(_))));
    mock.fail_next(throttled());
    assert!(block_on(mock.get(&counter, NOW)).is_err());
    mock.fail_next(throttled());
    assert!(block_on(mock.reset(&counter, None, NOW)).is_err());

    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
}

#[test]
fn caller_gets_the_injected_error() {
    let (mock, key) = (MockBackend::new(), user());
    mock.fail_next(BackendError::Full { max_keys: 3 });
    let error = block_on(mock.get(&in_this_minute(&key), NOW)).unwrap_err();
    assert!(matches!(error, BackendError::Full { max_keys: 3 }));
}

#[test]
fn each_nth_call_fails() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.fail_every(3, throttled());
    let failed = (1..=7).filter(|_| block_on(mock.increment(&counter, &HIT, NOW)).is_err());
    assert_eq!(failed.collect::<Vec<_>>(), [3, 6]);
    assert_eq!(mock.faults_left(), 1);
}

#[test]
fn fault_of_one_operation_does_not_affect_others() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(throttled()).on(Operation::Increment).times(2));
    assert!(block_on(mock.get(&counter, NOW)).is_ok());
    assert!(block_on(mock.increment(&counter, &HIT, NOW)).is_err());
    assert!(block_on(mock.reset(&counter, None, NOW)).is_ok());
    assert!(block_on(mock.increment(&counter, &HIT, NOW)).is_err());
    assert!(block_on(mock.increment(&counter, &HIT, NOW)).is_ok());
    assert_eq!(mock.faults_left(), 0);
}

#[test]
fn an_outage_lasts_until_faults_are_cleared() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(BackendError::unavailable("an outage")).always());
    assert!((0..20).all(|_| block_on(mock.increment(&counter, &HIT, NOW)).is_err()));
    mock.clear_faults();
    assert_eq!(mock.faults_left(), 0);
    assert_eq!(block_on(mock.increment(&counter, &HIT, NOW)).unwrap().value, 1);
}

#[test]
fn hit_with_a_lost_response_is_counted() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::lost_response().on(Operation::Increment));
    assert!(matches!(block_on(mock.increment(&counter, &HIT, NOW)), Err(BackendError::TimedOut(_))));
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
}

#[test]
fn reset_with_a_lost_response_is_applied() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.increment(&counter, &HIT, NOW)).unwrap();
    mock.inject(Fault::lost_response());
    assert!(block_on(mock.reset(&counter, None, NOW)).is_err());
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 0);
}

#[test]
fn scripted_results_come_in_order_and_count_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let refused = CounterState::new(false, 100).with_start(NOW);
    mock.return_next(refused.clone());
    mock.return_next(CounterState::new(true, 7));
    block_on(mock.reset(&counter, None, NOW)).unwrap();
    assert_eq!(block_on(mock.increment(&counter, &HIT, NOW)).unwrap(), refused);
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap(), CounterState::new(true, 7));
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 0);
}

#[test]
fn faults_affect_each_of_the_two_steps_of_a_sliding_hit() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(throttled()).on(Operation::Increment));
    mock.inject(Fault::counter_state(CounterState::new(false, 90)).on(Operation::Get));
    assert!(block_on(mock.increment(&counter.sliding(), &HIT, NOW)).is_err());
    assert_eq!(mock.faults_left(), 0);

    mock.inject(Fault::counter_state(CounterState::new(false, 100)).on(Operation::Get));
    let with_previous = block_on(mock.increment(&counter.sliding(), &HIT, NOW)).unwrap();
    assert_eq!((with_previous.counted, with_previous.previous), (false, 100));
}

#[test]
fn faults_affect_calls_in_one_task_in_order() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::lost_response().on(Operation::Increment));
    mock.fail_every(3, throttled());
    block_on(async {
        assert!(matches!(mock.increment(&counter, &HIT, NOW).await, Err(BackendError::TimedOut(_))));
        assert_eq!(mock.get(&counter, NOW).await.unwrap().value, 1);
        assert!(matches!(mock.reset(&counter, None, NOW).await, Err(BackendError::Throttled(_))));
        assert!(mock.reset(&counter, None, NOW).await.is_ok());
    });
}

#[test]
fn outage_of_one_namespace_leaves_the_others() {
    let (mock, key) = (MockBackend::new(), user());
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let counter = |namespace| Counter::new(namespace, &key, window).unwrap();
    mock.inject(Fault::error(BackendError::unavailable("an outage")).for_namespace("login").always());
    for _ in 0..3 {
        assert!(block_on(mock.increment(&counter("login"), &HIT, NOW)).is_err());
        assert!(block_on(mock.get(&counter("login"), NOW)).is_err());
        assert!(block_on(mock.increment(&counter("search"), &HIT, NOW)).is_ok());
    }
    assert!(block_on(mock.claim(&once(&key), &claim_of(OWNER), NOW)).is_ok());
    mock.inject(Fault::lost_response().for_namespace("test").on(Operation::Find));
    assert!(block_on(mock.find(&once(&key), NOW)).is_err());
    assert_eq!(block_on(mock.get(&counter("search"), NOW)).unwrap().value, 3);
}

#[test]
fn fault_of_one_key_leaves_the_others() {
    let (mock, other) = (MockBackend::new(), Key::from("other"));
    let key = user();
    mock.inject(Fault::error(throttled()).for_key(&key).times(2));
    assert!(block_on(mock.increment(&in_this_minute(&other), &HIT, NOW)).is_ok());
    assert!(block_on(mock.increment(&in_this_minute(&key), &HIT, NOW)).is_err());
    assert!(block_on(mock.claim(&once(&other), &claim_of(OWNER), NOW)).is_ok());
    assert!(block_on(mock.claim(&once(&key), &claim_of(OWNER), NOW)).is_err());
    assert!(block_on(mock.increment(&in_this_minute(&key), &HIT, NOW)).is_ok());
    assert_eq!(mock.faults_left(), 0);
}

#[test]
fn fault_of_a_key_affects_both_steps_of_a_sliding_hit() {
    let (mock, other) = (MockBackend::new(), Key::from("other"));
    let key = user();
    mock.inject(Fault::error(throttled()).for_key(&key).on(Operation::Get));
    assert!(block_on(mock.increment(&in_this_minute(&other).sliding(), &HIT, NOW)).is_ok());
    assert!(block_on(mock.increment(&in_this_minute(&key).sliding(), &HIT, NOW)).is_err());
    assert!(block_on(mock.increment(&in_this_minute(&key).sliding(), &HIT, NOW)).is_ok());
}
