//! Backends that fail, lose answers, or say less than they should.

use limited::backend::CounterState;
use limited::{AttemptError, BackendError, Clock, LimitedAttempt, ManualClock};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::block_on;
use crate::{HOUR, wait_of};

#[test]
fn a_failing_backend_neither_refuses_nor_admits() {
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

    // Nothing was counted or cleared by what failed.
    assert_eq!(attempts.attempt_now("key").unwrap().number(), 2);
    let refusal = attempts.attempt_now("key").unwrap_err();
    assert_eq!(refusal.retry_after(), Some(HOUR));
    assert!(!refusal.is_retryable());
    assert!(refusal.to_string().contains("retry in 3600s"), "{refusal}");
    // A failed clearing is made up for by the same attempt.
    block_on(attempt.clear()).unwrap();
    assert_eq!(attempts.attempt_now("key").unwrap().number(), 1);
}

#[test]
fn an_attempt_whose_answer_was_lost_is_used_and_no_more_than_that() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR).clock(ManualClock::new());
    mock.inject(Fault::lost_response());
    let lost = block_on(attempts.attempt_with("key", "lost")).unwrap_err();
    assert!(matches!(lost, AttemptError::Backend(BackendError::TimedOut(_))) && lost.is_retryable());
    // The write that a client library repeats counts once.
    mock.inject(Fault::repeated_write());
    let second = block_on(attempts.attempt("key")).unwrap();
    assert_eq!((second.number(), second.remaining(), second.context()), (2, 1, Some("lost")));
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 3);
    wait_of(block_on(attempts.attempt("key")));

    mock.inject(Fault::lost_response().on(Operation::Reset));
    assert!(block_on(second.clear()).is_err());
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 1);
    // Clearing again, since nobody knows, ends no newer window.
    block_on(second.clear()).unwrap();
    assert_eq!(block_on(attempts.attempt("key")).unwrap().number(), 2);
}

#[test]
fn a_cancelled_attempt_was_counted_or_was_not() {
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
fn an_attempt_of_a_backend_that_tells_no_generation_clears_nothing() {
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
    assert_eq!(wait_of(attempts.attempt_now("key")), HOUR);
}
