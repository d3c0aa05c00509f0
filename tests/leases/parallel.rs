//! Parallel callers: one handler runs, and every caller gets the same result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use limited::{DoOnce, Done, Idempotency, ManualClock, Outcome, RunError};

use crate::common::stepping::{Running, poll, step};
use crate::common::{backends, block_on};

const CALLERS: u32 = 64;
const ROUNDS: u32 = 20;
const HOUR: Duration = Duration::from_secs(3_600);

/// Advances the clock, so that waiting callers wake up, until all callers are done.
fn while_time_passes<T: Send>(clock: &ManualClock, callers: impl FnOnce() -> Vec<T> + Send) -> Vec<T> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                clock.advance(Duration::from_millis(1));
                thread::yield_now();
            }
        });
        let outcomes = callers();
        is_done.store(true, Ordering::Relaxed);
        outcomes
    })
}

/// Calls `call` from [`CALLERS`] threads at the same time, each with its number.
fn in_parallel<T: Send>(call: impl Fn(u32) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                scope.spawn({
                    let call = &call;
                    move || call(number)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

#[test]
fn one_of_many_waiting_callers_executes_and_all_get_its_result() {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        for round in 0..ROUNDS {
            let runs = AtomicU32::new(0);
            let outcomes = while_time_passes(&clock, || {
                in_parallel(|number| {
                    // As in separate processes, the callers share only the backend.
                    let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone());
                    let idempotency = idempotency.lease(HOUR * 24 * 365).wait_timeout(HOUR * 24 * 365);
                    let run = idempotency.run(format!("key {round}"), &"request", async || {
                        runs.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        Ok::<_, String>(format!("the bytes of {number}"))
                    });
                    block_on(run).unwrap()
                })
            });
            assert_eq!(runs.load(Ordering::Relaxed), 1);
            assert_eq!(outcomes.iter().filter(|outcome| !outcome.is_replayed()).count(), 1);
            assert!(outcomes.iter().all(|outcome| outcome.get() == outcomes[0].get()), "{outcomes:?}");
        }
    }
}

#[test]
fn one_of_many_callers_that_do_not_wait_executes() {
    for (name, backend) in backends() {
        println!("{name}");
        for round in 0..ROUNDS {
            let runs = AtomicU32::new(0);
            let idempotency = Idempotency::new(Arc::clone(&backend));
            let outcomes = in_parallel(|number| {
                block_on(idempotency.run(format!("key {round}"), &(), async || {
                    runs.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, String>(number)
                }))
            });
            assert_eq!(runs.load(Ordering::Relaxed), 1);
            let executed = outcomes.iter().filter_map(|outcome| match outcome {
                Ok(Outcome::Executed(number)) => Some(number),
                Ok(Outcome::Replayed(_)) | Err(RunError::InProgress { .. }) => None,
                Err(error) => panic!("{error:?}"),
            });
            assert_eq!(executed.count(), 1);
        }
    }
}

#[test]
fn one_of_many_callers_takes_over_after_a_crash() {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        for round in 0..ROUNDS {
            let runs = AtomicU32::new(0);
            let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone()).lease(HOUR);
            let key = format!("key {round}");
            {
                let crashing = idempotency.run(key.as_str(), &(), async || {
                    step().await;
                    Ok::<_, String>(0)
                });
                let mut crashing: Running<'_, _> = Box::pin(crashing);
                assert!(poll(&mut crashing).is_pending());
            }
            clock.advance(HOUR);
            in_parallel(|number| {
                let run = idempotency.run(key.as_str(), &(), async || {
                    runs.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, String>(number)
                });
                match block_on(run) {
                    Ok(_) | Err(RunError::InProgress { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            });
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        }
    }
}

#[test]
fn one_of_many_callers_runs_an_action() {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        for round in 0..ROUNDS {
            let (often, rare) = (AtomicU32::new(0), AtomicU32::new(0));
            let action = format!("action {round}");
            let outcomes = while_time_passes(&clock, || {
                in_parallel(|number| {
                    let once = DoOnce::new(Arc::clone(&backend)).clock(clock.clone());
                    let once = once.lease(HOUR * 24 * 365).wait_timeout(HOUR * 24 * 365);
                    let rarely = once.run_at_most_once("rare", &action, async || {
                        rare.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, String>(())
                    });
                    block_on(rarely).unwrap();
                    block_on(once.run("often", &action, async || {
                        often.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, String>(number)
                    }))
                    .unwrap()
                })
            });
            assert_eq!((often.load(Ordering::Relaxed), rare.load(Ordering::Relaxed)), (1, 1));
            assert_eq!(outcomes.iter().filter(|done| matches!(done, Done::Executed { .. })).count(), 1);
            assert!(outcomes.iter().all(|done| done.at() == outcomes[0].at()));
        }
    }
}
