//! Concurrent attempts: exactly the maximum passes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use limited::{AttemptError, LimitedAttempt, ManualClock};
use limited_mock::{MockBackend, Operation};

use crate::HOUR;
use crate::common::{backends, block_on, in_parallel};

#[test]
fn exactly_the_maximum_of_parallel_attempts_passes() {
    for (name, backend) in backends() {
        for round in 0..150 {
            let max = [1, 3, 10][round % 3];
            let attempts = LimitedAttempt::new(Arc::clone(&backend), max, HOUR).clock(ManualClock::new());
            let key = format!("key {round}");
            let passed = in_parallel(3, |_, _| match block_on(attempts.attempt(&key)) {
                Ok(_) => 1,
                Err(AttemptError::TooManyAttempts { .. }) => 0,
                Err(error) => panic!("{error}"),
            });
            assert_eq!(passed, max, "{name}, round {round}");
        }
    }
}

#[test]
fn parallel_attempts_have_distinct_numbers_and_the_context_of_the_first() {
    for (name, backend) in backends() {
        for round in 0..60 {
            let attempts = LimitedAttempt::new(Arc::clone(&backend), 20, HOUR).clock(ManualClock::new());
            let key = format!("key {round}");
            let made = Mutex::new(Vec::new());
            in_parallel(2, |_, _| {
                let context = format!("{:?}", std::thread::current().id());
                let attempt = block_on(attempts.attempt_with(&key, &context));
                let Ok(attempt) = attempt else { return 0 };
                let stored = attempt.context().map(str::to_owned);
                made.lock().unwrap().push((attempt.number(), stored, context));
                1
            });
            let mut made = made.into_inner().unwrap();
            made.sort();
            let numbers: Vec<_> = made.iter().map(|(number, ..)| *number).collect();
            assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "{name}");
            let first = made[0].2.clone();
            assert!(made.iter().all(|(_, stored, _)| stored.as_ref() == Some(&first)), "{name}: {made:?}");
        }
    }
}

#[test]
fn attempts_in_progress_before_the_first_decision_do_not_all_pass() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR).clock(ManualClock::new());
    let gate = mock.hold(Operation::Increment);
    let passed = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..12).map(|_| scope.spawn(|| block_on(attempts.attempt("key")).is_ok())).collect();
        block_on(gate.until_pending(12));
        gate.release();
        calls.into_iter().map(|call| u64::from(call.join().unwrap())).sum::<u64>()
    });
    assert_eq!(passed, 3);
}

#[test]
fn no_window_passes_more_than_the_maximum_while_others_clear_it() {
    for (name, backend) in backends() {
        let attempts = LimitedAttempt::new(backend, 2, HOUR).clock(ManualClock::new());
        let (passed, ends) = (AtomicU64::new(0), AtomicU64::new(0));
        in_parallel(200, |_, _| match block_on(attempts.attempt("key")) {
            Ok(attempt) => {
                assert!(attempt.number() <= 2);
                passed.fetch_add(1, Ordering::SeqCst);
                if attempt.number() == 2 {
                    // The second call may find a window that another thread has started, and leaves
                    // it.
                    ends.fetch_add(1, Ordering::SeqCst);
                    block_on(attempt.clear()).unwrap();
                    block_on(attempt.clear()).unwrap();
                }
                1
            }
            Err(_) => 0,
        });
        let (passed, ends) = (passed.into_inner(), ends.into_inner());
        // Each window that ended had two attempts. The last one may have had one.
        assert!(
            passed == 2 * ends || passed == 2 * ends + 1,
            "{name}: {passed} attempts passed, {ends} windows ended"
        );
    }
}
