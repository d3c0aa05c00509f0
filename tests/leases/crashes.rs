//! Crashes at every await point: a run is polled n times, for every n, and dropped. Its key is then
//! free, in progress until the lease expires, or finished with its result. No other state is
//! allowed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use limited::backend::{Record, StoredResult};
use limited::{Clock, DoOnce, Done, Idempotency, ManualClock, Outcome, RunError};

use crate::LEASE;
use crate::common::stepping::{Running, Stepping, drive, poll, step};
use crate::common::{AnyBackend, backends};

/// The effects of all handlers: one entry for each.
type Effects = Rc<RefCell<Vec<u32>>>;

/// A variation of the test.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Whether the handler returns a value or an error.
    succeeds: bool,
    /// Whether the lease is renewed before the effect of the handler, and after it.
    is_slow: bool,
    /// The operations whose responses are lost.
    lost: &'static [usize],
}

async fn handler(plan: Plan, number: u32, effects: Effects, clock: ManualClock) -> Result<u32, String> {
    pause(plan, &clock).await;
    effects.borrow_mut().push(number);
    pause(plan, &clock).await;
    if plan.succeeds { Ok(number) } else { Err(format!("declined {number}")) }
}

async fn pause(plan: Plan, clock: &ManualClock) {
    step().await;
    if plan.is_slow {
        clock.advance(LEASE / 3);
        for _ in 0..4 {
            step().await;
        }
    }
}

fn lost_responses(plan: Plan) -> Vec<bool> {
    (0..12).rev().map(|operation| plan.lost.contains(&operation)).collect()
}

/// A run without a result: only its effects count.
type Run<'a> = Running<'a, ()>;

/// Polls `run` up to `times` times while time passes. Returns whether it ended.
fn poll_times(run: &mut Run<'_>, times: usize, clock: &ManualClock) -> bool {
    for _ in 0..times {
        if poll(run).is_ready() {
            return true;
        }
        // Enough for the pause before a retry, and too little for a lease to expire.
        clock.advance(Duration::from_millis(100));
    }
    false
}

/// How often each state of a key was found after a crash.
type Found = BTreeMap<&'static str, usize>;

const PLANS: [Plan; 7] = [
    Plan { succeeds: true, is_slow: false, lost: &[] },
    Plan { succeeds: true, is_slow: true, lost: &[] },
    Plan { succeeds: false, is_slow: false, lost: &[] },
    Plan { succeeds: false, is_slow: true, lost: &[] },
    Plan { succeeds: true, is_slow: false, lost: &[0, 2] },
    Plan { succeeds: true, is_slow: false, lost: &[1, 2, 3] },
    Plan { succeeds: false, is_slow: false, lost: &[0, 2, 3] },
];

/// Crashes a run of each plan at each of its await points, on every backend. Returns the states of
/// its key.
fn crash_everywhere(crash: impl Fn(Plan, AnyBackend, usize, &mut Found) -> bool) -> Found {
    let mut found = Found::new();
    for plan in PLANS {
        for (index, (name, _)) in backends().into_iter().enumerate() {
            for point in 0.. {
                println!("{name}, {plan:?}: dropped after {point} polls");
                // Each crash gets a new backend.
                let (_, backend) = backends().swap_remove(index);
                if crash(plan, backend, point, &mut found) {
                    break;
                }
            }
        }
    }
    println!("{found:?}");
    found
}

#[test]
fn crashed_run_leaves_its_key_free_in_progress_or_finished() {
    let found = crash_everywhere(crash_an_idempotent_run);
    // The test is meaningful only if it finds each state often.
    for state in ["free", "in progress", "finished"] {
        assert!(found.get(state).is_some_and(|times| *times >= 10), "{state}: {found:?}");
    }
}

fn crash_an_idempotent_run(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let idempotency = Idempotency::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();
    let returned = Rc::new(Cell::new(false));

    backend.lose_responses(lost_responses(plan));
    let mut run: Run<'_> = Box::pin(async {
        let outcome = idempotency.run("key", &"request", || {
            let handler = handler(plan, 1, Rc::clone(&effects), clock.clone());
            async {
                let result = handler.await;
                returned.set(true);
                result
            }
        });
        match (outcome.await, plan.succeeds) {
            (Ok(Outcome::Executed(1)), true) | (Err(RunError::Failed(_)), false) => {}
            (other, _) => panic!("{other:?}"),
        }
    });
    let has_ended = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_responses(Vec::new());

    let again = |number: u32| {
        let plan = Plan { succeeds: true, is_slow: false, lost: &[] };
        let run =
            idempotency.run("key", &"request", || handler(plan, number, Rc::clone(&effects), clock.clone()));
        drive(&clock, Duration::ZERO, run)
    };
    match drive(&clock, Duration::ZERO, idempotency.find("key")).unwrap() {
        Some(Record::Finished(finished)) => {
            *found.entry("finished").or_default() += 1;
            assert!(returned.get(), "the record is finished before the handler has returned");
            assert!(plan.succeeds);
            assert_eq!(finished.result, StoredResult::Value("1".into()));
            assert_eq!(again(2).unwrap(), Outcome::Replayed(1));
            assert_eq!(*effects.borrow(), [1]);
        }
        Some(Record::InProgress(record)) => {
            *found.entry("in progress").or_default() += 1;
            assert!(!has_ended);
            let left = record.expires_at.saturating_since(clock.now());
            assert!(left <= LEASE && !left.is_zero(), "{left:?}");
            clock.advance(left - Duration::from_nanos(1));
            let before = effects.borrow().clone();
            let early = again(2);
            let in_progress = matches!(early, Err(RunError::InProgress { retry_after }) if retry_after == Duration::from_nanos(1));
            assert!(in_progress, "{early:?}");
            assert_eq!(*effects.borrow(), before);
            clock.advance(Duration::from_nanos(1));
            assert_eq!(again(3).unwrap(), Outcome::Executed(3));
            assert_eq!(again(4).unwrap(), Outcome::Replayed(3));
        }
        None => {
            *found.entry("free").or_default() += 1;
            assert_eq!(returned.get(), !effects.borrow().is_empty());
            assert!(!(returned.get() && plan.succeeds), "the result of the handler was lost");
            assert_eq!(again(2).unwrap(), Outcome::Executed(2));
            assert_eq!(again(3).unwrap(), Outcome::Replayed(2));
        }
    }
    has_ended
}

#[test]
fn crashed_action_can_run_again_after_its_lease_expired() {
    let found = crash_everywhere(crash_an_action);
    for state in ["free", "in progress", "finished"] {
        assert!(found.get(state).is_some_and(|times| *times >= 10), "{state}: {found:?}");
    }
}

fn crash_an_action(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let once = DoOnce::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();

    backend.lose_responses(lost_responses(plan));
    let mut run: Run<'_> = Box::pin(async {
        let done = once.run("user", "mail", || handler(plan, 1, Rc::clone(&effects), clock.clone())).await;
        assert_eq!(matches!(done, Ok(Done::Executed { value: 1, .. })), plan.succeeds, "{done:?}");
    });
    let has_ended = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_responses(Vec::new());

    let succeeding = Plan { succeeds: true, is_slow: false, lost: &[] };
    let again = || {
        drive(
            &clock,
            Duration::ZERO,
            once.run("user", "mail", || handler(succeeding, 2, Rc::clone(&effects), clock.clone())),
        )
    };
    let is_done = drive(&clock, Duration::ZERO, once.is_done("user", "mail")).unwrap();
    match again() {
        Ok(Done::AlreadyDone { .. }) => {
            *found.entry("finished").or_default() += 1;
            assert!(is_done && plan.succeeds);
            assert_eq!(*effects.borrow(), [1]);
        }
        Ok(Done::Executed { value: 2, .. }) => {
            *found.entry("free").or_default() += 1;
            assert!(!is_done);
            assert!(!has_ended || !plan.succeeds);
        }
        Err(limited::RunError::InProgress { retry_after }) => {
            *found.entry("in progress").or_default() += 1;
            assert!(!is_done && !has_ended);
            clock.advance(retry_after);
            assert!(matches!(again(), Ok(Done::Executed { value: 2, .. })));
        }
        other => panic!("{other:?}"),
    }
    has_ended
}

#[test]
fn action_that_runs_at_most_once_never_runs_twice() {
    let found = crash_everywhere(crash_at_most_once);
    for state in ["never", "once"] {
        assert!(found.get(state).is_some_and(|times| *times >= 10), "{state}: {found:?}");
    }
}

fn crash_at_most_once(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let once = DoOnce::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();
    let act = |number: u32| {
        let succeeding = Plan { succeeds: true, is_slow: false, lost: &[] };
        let plan = if number == 1 { plan } else { succeeding };
        once.run_at_most_once("user", "prize", {
            let (effects, clock) = (Rc::clone(&effects), clock.clone());
            move || handler(plan, number, effects, clock)
        })
    };

    backend.lose_responses(lost_responses(plan));
    let mut run: Run<'_> = Box::pin(async {
        let _ = act(1).await;
    });
    let has_ended = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_responses(Vec::new());

    let count = effects.borrow().len();
    *found.entry(if count == 0 { "never" } else { "once" }).or_default() += 1;
    clock.advance(LEASE);
    let again = drive(&clock, Duration::ZERO, act(2));
    // An action that began does not run again. An action that did not begin may run.
    if count > 0 {
        assert!(matches!(again, Ok(Done::AlreadyDone { .. })), "{again:?}");
    }
    let _ = drive(&clock, Duration::ZERO, act(3));
    assert!(effects.borrow().len() <= 1, "{:?}", effects.borrow());
    if has_ended {
        assert_eq!(*effects.borrow(), [1]);
        assert!(drive(&clock, Duration::ZERO, once.is_done("user", "prize")).unwrap());
    }
    has_ended
}
