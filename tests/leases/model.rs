//! Random interleavings of callers, crashes, lost responses, expiry and clocks. Each result of each
//! backend is the result of a simple model, and no caller gets a result that no handler returned.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use limited::backend::MAX_CLOCK_SKEW;
use limited::{Clock, Idempotency, ManualClock, Outcome, RunError, Timestamp};
use proptest::prelude::*;

use crate::common::stepping::{self, Running, Stepping, drive, poll};
use crate::common::{backends, block_on};

const KEYS: [&str; 2] = ["key", "other"];
const LEASE: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(60);

/// One step of an interleaving.
#[derive(Clone, Debug)]
enum Step {
    /// Starts a run. Its handler is pending for some polls.
    Call { key: usize, request: u32, polls: usize, succeeds: bool, waits: bool, stores_errors: bool },
    /// Polls a run some times.
    Poll { run: prop::sample::Index, times: usize },
    /// Drops a run.
    Crash { run: prop::sample::Index },
    /// Advances the clock.
    Advance { milliseconds: u64 },
    /// Sets the clock back, within the maximum clock skew.
    JumpBack { milliseconds: u64 },
    /// Loses some of the next responses.
    LoseResponses { lost: Vec<bool> },
    /// Removes the record of a key.
    Forget { key: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let call = (0..KEYS.len(), 0..2_u32, 0..4_usize, any::<[bool; 3]>()).prop_map(
        |(key, request, polls, [succeeds, waits, stores_errors])| Step::Call {
            key,
            // Most calls send the same request.
            request: if request == 1 && polls == 3 { 1 } else { 0 },
            polls,
            succeeds,
            waits,
            stores_errors,
        },
    );
    prop_oneof![
        6 => call,
        20 => (any::<prop::sample::Index>(), 1..6_usize).prop_map(|(run, times)| Step::Poll { run, times }),
        2 => any::<prop::sample::Index>().prop_map(|run| Step::Crash { run }),
        5 => prop_oneof![0..100_u64, 0..12_000_u64, Just(10_000), 0..70_000_u64]
            .prop_map(|milliseconds| Step::Advance { milliseconds }),
        1 => (0..5_000_u64).prop_map(|milliseconds| Step::JumpBack { milliseconds }),
        2 => prop::collection::vec(any::<bool>(), 1..6).prop_map(|lost| Step::LoseResponses { lost }),
        1 => (0..KEYS.len()).prop_map(|key| Step::Forget { key }),
    ]
}

type RunResult = Result<Outcome<u64>, RunError<u64, u64>>;

/// The numbers that handlers returned, with their key and request.
type Returned = Rc<RefCell<HashMap<u64, (usize, u32)>>>;

fn run_steps(steps: &[Step], name: &str) {
    let backend = backends().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let backend = Arc::new(Stepping::new(backend));
    let clock = ManualClock::new();
    let mut latest = clock.now();
    let idempotency = Idempotency::new(Arc::clone(&backend)).lease(LEASE).ttl(TTL).clock(clock.clone());
    let waiting = idempotency.clone().wait_timeout(LEASE * 2);
    let returned = Returned::default();
    let mut runs: Vec<(usize, u32, Running<'_, RunResult>)> = Vec::new();
    let mut number = 0;
    for step in steps {
        match step.clone() {
            Step::Call { key, request, polls, succeeds, waits, stores_errors } => {
                number += 1;
                let (returned, number) = (Rc::clone(&returned), number);
                let handler = async move || {
                    for _ in 0..polls {
                        stepping::step().await;
                    }
                    returned.borrow_mut().insert(number, (key, request));
                    if succeeds { Ok(number) } else { Err(number) }
                };
                let idempotency = if waits { &waiting } else { &idempotency };
                runs.push((
                    key,
                    request,
                    Box::pin(async move {
                        if stores_errors {
                            idempotency.run_storing_errors(KEYS[key], &request, handler).await
                        } else {
                            idempotency.run(KEYS[key], &request, handler).await
                        }
                    }),
                ));
            }
            Step::Poll { run, times } if !runs.is_empty() => {
                let index = run.index(runs.len());
                for _ in 0..times {
                    let (key, request, run) = &mut runs[index];
                    if let Poll::Ready(result) = poll(run) {
                        check(&result, *key, *request, &returned);
                        drop(runs.swap_remove(index));
                        break;
                    }
                }
            }
            Step::Crash { run } if !runs.is_empty() => {
                drop(runs.swap_remove(run.index(runs.len())));
            }
            Step::Advance { milliseconds } => {
                clock.advance(Duration::from_millis(milliseconds));
                latest = latest.max(clock.now());
            }
            Step::JumpBack { milliseconds } => {
                let back = clock.now().saturating_sub(Duration::from_millis(milliseconds));
                clock.set(back.max(latest.saturating_sub(MAX_CLOCK_SKEW)));
            }
            Step::LoseResponses { lost } => backend.lose_responses(lost),
            Step::Forget { key } => {
                let _ = drive(&clock, Duration::ZERO, idempotency.forget(KEYS[key]));
            }
            Step::Poll { .. } | Step::Crash { .. } => {}
        }
    }
}

/// Checks that a handler returned the result, for the same key and request.
fn check(result: &RunResult, key: usize, request: u32, returned: &Returned) {
    use RunError::{Failed, LeaseLost, NotRecorded, ReplayedError};
    let number = match result {
        Ok(outcome) => *outcome.get(),
        Err(Failed(number) | ReplayedError(number)) => *number,
        Err(LeaseLost { outcome } | NotRecorded { outcome, .. }) => outcome.unwrap_or_else(|number| number),
        Err(RunError::NotStored { .. } | RunError::InvalidRequest(_)) => {
            panic!("all values of this test are JSON: {result:?}")
        }
        Err(_) => return,
    };
    assert_eq!(returned.borrow().get(&number), Some(&(key, request)), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_interleaving_agrees_with_the_model(
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        for name in ["memory", "mock"] {
            run_steps(&steps, name);
        }
    }
}

#[test]
fn runs_and_replays_at_the_maximum_timestamp() {
    for (_, backend) in backends() {
        let clock = ManualClock::at(Timestamp::MAX);
        let idempotency = Idempotency::new(backend).clock(clock);
        let run = |value: u32| block_on(idempotency.run("key", &1, async || Ok::<_, String>(value)));
        assert_eq!(run(1).unwrap(), Outcome::Executed(1));
        assert_eq!(run(2).unwrap(), Outcome::Replayed(1));
    }
}
