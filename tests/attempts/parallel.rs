//! Many at once: exactly the maximum passes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use limited::{AttemptError, LimitedAttempt, ManualClock};
use limited_mock::{MockBackend, Operation};

use crate::HOUR;
use crate::common::{backends, block_on};

const THREADS: usize = 16;

/// How many of the attempts of many threads pass, `asks` each.
fn crowd(asks: u64, attempt: impl Fn() -> bool + Sync) -> u64 {
    let barrier = Barrier::new(THREADS);
    let ask = || {
        barrier.wait();
        (0..asks).map(|_| u64::from(attempt())).sum::<u64>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
fn of_parallel_attempts_exactly_the_maximum_pass() {
    for (name, backend) in backends() {
        for round in 0..150 {
            let max = [1, 3, 10][round % 3];
            let attempts = LimitedAttempt::new(Arc::clone(&backend), max, HOUR).clock(ManualClock::new());
            let key = format!("key {round}");
            let passed = crowd(3, || match block_on(attempts.attempt(&key)) {
                Ok(_) => true,
                Err(AttemptError::TooManyAttempts { .. }) => false,
                Err(error) => panic!("{error}"),
            });
            assert_eq!(passed, max, "{name}, round {round}");
        }
    }
}

#[test]
fn parallel_attempts_have_numbers_of_their_own_and_the_context_of_one_of_them() {
    for (name, backend) in backends() {
        for round in 0..60 {
            let attempts = LimitedAttempt::new(Arc::clone(&backend), 20, HOUR).clock(ManualClock::new());
            let key = format!("key {round}");
            let made = Mutex::new(Vec::new());
            crowd(2, || {
                let context = format!("{:?}", std::thread::current().id());
                let attempt = block_on(attempts.attempt_with(&key, &context));
                attempt.is_ok_and(|attempt| {
                    made.lock().unwrap().push((
                        attempt.number(),
                        attempt.context().map(str::to_owned),
                        context,
                    ));
                    true
                })
            });
            let mut made = made.into_inner().unwrap();
            made.sort();
            let numbers: Vec<_> = made.iter().map(|(number, ..)| *number).collect();
            assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "{name}");
            let first = made[0].2.clone();
            assert!(made.iter().all(|(_, told, _)| told.as_ref() == Some(&first)), "{name}: {made:?}");
        }
    }
}

#[test]
fn attempts_that_are_all_under_way_before_one_is_decided_do_not_all_pass() {
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
fn while_windows_are_cleared_and_reset_no_window_passes_more_than_the_maximum() {
    for (name, backend) in backends() {
        let attempts = LimitedAttempt::new(backend, 2, HOUR).clock(ManualClock::new());
        let (passed, ends) = (AtomicU64::new(0), AtomicU64::new(0));
        crowd(200, || match block_on(attempts.attempt("key")) {
            Ok(attempt) => {
                assert!(attempt.number() <= 2);
                passed.fetch_add(1, Ordering::SeqCst);
                if attempt.number() == 2 {
                    // The second clearing meets a window that others have opened, and leaves it.
                    ends.fetch_add(1, Ordering::SeqCst);
                    block_on(attempt.clear()).unwrap();
                    block_on(attempt.clear()).unwrap();
                }
                true
            }
            Err(_) => false,
        });
        let (passed, ends) = (passed.into_inner(), ends.into_inner());
        // Each window that ended had two attempts, and the last one may have had one.
        assert!(
            passed == 2 * ends || passed == 2 * ends + 1,
            "{name}: {passed} passed, {ends} windows ended"
        );
    }
}
