//! Attempts over a backend that fails, loses responses, or returns incomplete states.

use limited::backend::CounterState;
use limited::{AttemptError, BackendError, Clock, LimitedAttempt, ManualClock};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::block_on;
use crate::{HOUR, retry_after};

#[test]
fn failed_backend_is_neither_a_refusal_nor_an_admission() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 2, HOUR).clock(ManualClock::new());
    let fail = || mock.fail_next(BackendError::throttled("slow down"));
    let attempt = attempts.attempt_now("key").unwrap();

    fail();
    let error = block_on(attempts.attempt("key")).unwrap_err();
    assert!(matches!(error, AttemptError::Backend(BackendError::Throttled(_))), "{error:?}");
    assert!(error.is_retryable() && error.retry_after().is_none());
    fail();
    assert!(matches!(attempts.attempt_now("key"), Err(AttemptError::Backend(_))));
    fail();
    assert!(matches!(block_on(attempts.peek("key")), Err(AttemptError::Backend(_))));
    fail();
    assert!(matches!(block_on(attempts.reset("key")), Err(AttemptError::Backend(_))));
    fail();
    assert!(matches!(block_on(attempt.clear()), Err(AttemptError::Backend(_))));
    mock.fail_next(BackendError::AccessDenied("no".into()));
    assert!(!attempts.attempt_now("key").unwrap_err().is_retryable());
    assert_eq!(mock.faults_left(), 0);

    // The failed calls counted and cleared nothing.
    assert_eq!(attempts.attempt_now("key").unwrap().number(), 2);
    let refusal = attempts.attempt_now("key").unwrap_err();
    assert_eq!(refusal.retry_after(), Some(HOUR));
    assert!(!refusal.is_retryable());
    assert!(refusal.to_string().contains("retry in 3600s"), "{refusal}");
    // A failed clear can be repeated.
    block_on(attempt.clear()).unwrap();
    assert_eq!(attempts.attempt_now("key").unwrap().number(), 1);
}

#[test]
fn attempt_with_a_lost_response_is_counted_once() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR).clock(ManualClock::new());
    mock.inject(Fault::lost_response());
    let lost = block_on(attempts.attempt_with("key", "lost")).unwrap_err();
    assert!(matches!(lost, AttemptError::Backend(BackendError::TimedOut(_))) && lost.is_retryable());
    // A write that a client library repeats counts once.
    mock.inject(Fault::repeated_write());
    let second = block_on(attempts.attempt("key")).unwrap();
    assert_eq!((second.number(), second.remaining(), second.context()), (2, 1, Some("lost")));
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 3);
    retry_after(block_on(attempts.attempt("key")));

    mock.inject(Fault::lost_response().on(Operation::Reset));
    assert!(block_on(second.clear()).is_err());
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 1);
    // Clearing again, because the result is unknown, ends no newer window.
    block_on(second.clear()).unwrap();
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 2);
}

#[test]
fn dropped_attempt_was_counted_or_not() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR).clock(ManualClock::new());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let gate = mock.hold(Operation::Increment);
    assert!(Box::pin(attempts.attempt("key")).as_mut().poll(&mut context).is_pending());
    gate.release();
    assert_eq!(attempts.peek_now("key").unwrap().used(), 0);

    let gate = mock.hold_responses(Operation::Increment);
    assert!(Box::pin(attempts.attempt("key")).as_mut().poll(&mut context).is_pending());
    gate.release();
    assert_eq!(attempts.peek_now("key").unwrap().used(), 1);
}

#[test]
fn attempt_without_window_metadata_clears_nothing() {
    let mock = MockBackend::new();
    let clock = ManualClock::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR).clock(clock.clone());
    attempts.attempt_now("key").unwrap();
    mock.return_next(CounterState::new(true, 2));
    let attempt = attempts.attempt_now("key").unwrap();
    assert_eq!((attempt.number(), attempt.context()), (2, None));
    assert_eq!(attempt.expires_at(), clock.now().saturating_add(HOUR));
    attempt.clear_now().unwrap();
    assert_eq!(attempts.peek_now("key").unwrap().used(), 1);
    mock.return_next(CounterState::new(false, 3));
    assert_eq!(retry_after(attempts.attempt_now("key")), HOUR);
}
