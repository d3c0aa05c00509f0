//! A crash at every await point: a run is polled so many times, and dropped. Afterwards its key is free, in progress
//! until its lease ends, or done with its result, and nothing else.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::stepping::{Running, Stepping, drive, poll, step};
use common::{AnyBackend, backends};
use limited::backend::{Record, StoredResult};
use limited::{Clock, DoOnce, Done, Idempotency, ManualClock, Outcome, RunError};

const LEASE: Duration = Duration::from_secs(30);

/// What the outside world saw: one entry for each effect.
type Effects = Rc<RefCell<Vec<u32>>>;

/// What a handler does around its effect.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Whether it returns a result, or an error.
    succeeds: bool,
    /// Whether it takes so long that its lease is renewed before its effect, and after.
    is_slow: bool,
    /// Which operations lose their answers.
    loses: &'static [usize],
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

fn losing(plan: Plan) -> Vec<bool> {
    (0..12).rev().map(|operation| plan.loses.contains(&operation)).collect()
}

/// One run, that tells nothing but its effects.
type Run<'a> = Running<'a, ()>;

/// Polls `run` so many times, with time passing in between; tells whether it came to its end.
fn poll_times(run: &mut Run<'_>, times: usize, clock: &ManualClock) -> bool {
    for _ in 0..times {
        if poll(run).is_ready() {
            return true;
        }
        // Enough for whoever waits to send something again, and too little for a lease to end.
        clock.advance(Duration::from_millis(100));
    }
    false
}

/// What a key was found to be after a crash, and how often.
type Found = BTreeMap<&'static str, usize>;

/// Crashes a run of `plan` at each of its await points, on every backend.
fn crash_everywhere(plan: Plan, crash: impl Fn(Plan, AnyBackend, usize, &mut Found) -> bool) -> Found {
    let mut found = Found::new();
    for (name, backend) in backends() {
        drop(backend);
        for point in 0.. {
            // A backend of its own for each crash.
            let backend = backends().into_iter().find(|(other, _)| *other == name).unwrap().1;
            println!("{name}, {plan:?}: dropped after {point} polls");
            if crash(plan, backend, point, &mut found) {
                break;
            }
        }
    }
    found
}

const PLANS: [Plan; 7] = [
    Plan { succeeds: true, is_slow: false, loses: &[] },
    Plan { succeeds: true, is_slow: true, loses: &[] },
    Plan { succeeds: false, is_slow: false, loses: &[] },
    Plan { succeeds: false, is_slow: true, loses: &[] },
    Plan { succeeds: true, is_slow: false, loses: &[0, 2] },
    Plan { succeeds: true, is_slow: false, loses: &[1, 2, 3] },
    Plan { succeeds: false, is_slow: false, loses: &[0, 2, 3] },
];

#[test]
fn a_crashed_idempotent_run_leaves_its_key_free_in_progress_or_done() {
    let mut all = Found::new();
    for plan in PLANS {
        for (what, times) in crash_everywhere(plan, crash_an_idempotent_run) {
            *all.entry(what).or_default() += times;
        }
    }
    println!("{all:?}");
    // The enumeration is worth something only if it came by all of them, often.
    for what in ["free", "in progress", "done"] {
        assert!(all.get(what).is_some_and(|times| *times >= 10), "{what}: {all:?}");
    }
}

fn crash_an_idempotent_run(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let idempotency = Idempotency::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();
    let returned = Rc::new(Cell::new(false));

    backend.lose_answers(losing(plan));
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
    let is_over = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_answers(Vec::new());

    let again = |number: u32| {
        let plan = Plan { succeeds: true, is_slow: false, loses: &[] };
        let run =
            idempotency.run("key", &"request", || handler(plan, number, Rc::clone(&effects), clock.clone()));
        drive(&clock, Duration::ZERO, run)
    };
    match drive(&clock, Duration::ZERO, idempotency.find("key")).unwrap() {
        Some(Record::Finished(finished)) => {
            *found.entry("done").or_default() += 1;
            assert!(returned.get(), "a record says that it is done before its handler has returned");
            assert!(plan.succeeds);
            assert_eq!(finished.result, StoredResult::Value("1".into()));
            assert_eq!(again(2).unwrap(), Outcome::Replayed(1));
            assert_eq!(*effects.borrow(), [1]);
        }
        Some(Record::InProgress(record)) => {
            *found.entry("in progress").or_default() += 1;
            assert!(!is_over);
            let left = record.expires_at.saturating_since(clock.now());
            assert!(left <= LEASE && !left.is_zero(), "{left:?}");
            clock.advance(left - Duration::from_nanos(1));
            let before = effects.borrow().clone();
            let told = again(2);
            let in_progress = matches!(told, Err(RunError::InProgress { retry_after }) if retry_after == Duration::from_nanos(1));
            assert!(in_progress, "{told:?}");
            assert_eq!(*effects.borrow(), before);
            clock.advance(Duration::from_nanos(1));
            assert_eq!(again(3).unwrap(), Outcome::Executed(3));
            assert_eq!(again(4).unwrap(), Outcome::Replayed(3));
        }
        None => {
            *found.entry("free").or_default() += 1;
            assert_eq!(returned.get(), !effects.borrow().is_empty());
            assert!(!(returned.get() && plan.succeeds), "a result was lost");
            assert_eq!(again(2).unwrap(), Outcome::Executed(2));
            assert_eq!(again(3).unwrap(), Outcome::Replayed(2));
        }
    }
    is_over
}

#[test]
fn a_crashed_action_can_be_tried_again_once_its_lease_has_ended() {
    let mut all = Found::new();
    for plan in PLANS {
        for (what, times) in crash_everywhere(plan, crash_an_action) {
            *all.entry(what).or_default() += times;
        }
    }
    for what in ["free", "in progress", "done"] {
        assert!(all.get(what).is_some_and(|times| *times >= 10), "{what}: {all:?}");
    }
}

fn crash_an_action(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let once = DoOnce::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();

    backend.lose_answers(losing(plan));
    let mut run: Run<'_> = Box::pin(async {
        let done = once.run("user", "mail", || handler(plan, 1, Rc::clone(&effects), clock.clone())).await;
        assert_eq!(matches!(done, Ok(Done::Executed { value: 1, .. })), plan.succeeds, "{done:?}");
    });
    let is_over = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_answers(Vec::new());

    let succeeding = Plan { succeeds: true, is_slow: false, loses: &[] };
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
            *found.entry("done").or_default() += 1;
            assert!(is_done && plan.succeeds);
            assert_eq!(*effects.borrow(), [1]);
        }
        Ok(Done::Executed { value: 2, .. }) => {
            *found.entry("free").or_default() += 1;
            assert!(!is_done);
            assert!(!is_over || !plan.succeeds);
        }
        Err(limited::RunError::InProgress { retry_after }) => {
            *found.entry("in progress").or_default() += 1;
            assert!(!is_done && !is_over);
            clock.advance(retry_after);
            assert!(matches!(again(), Ok(Done::Executed { value: 2, .. })));
        }
        other => panic!("{other:?}"),
    }
    is_over
}

#[test]
fn an_action_that_is_to_happen_at_most_once_never_happens_twice() {
    let mut all = Found::new();
    for plan in PLANS {
        for (what, times) in crash_everywhere(plan, crash_at_most_once) {
            *all.entry(what).or_default() += times;
        }
    }
    for what in ["never", "once"] {
        assert!(all.get(what).is_some_and(|times| *times >= 10), "{what}: {all:?}");
    }
}

fn crash_at_most_once(plan: Plan, backend: AnyBackend, point: usize, found: &mut Found) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let once = DoOnce::new(Arc::clone(&backend)).lease(LEASE).clock(clock.clone());
    let effects = Effects::default();
    let act = |number: u32| {
        let succeeding = Plan { succeeds: true, is_slow: false, loses: &[] };
        let plan = if number == 1 { plan } else { succeeding };
        once.run_at_most_once("user", "prize", {
            let (effects, clock) = (Rc::clone(&effects), clock.clone());
            move || handler(plan, number, effects, clock)
        })
    };

    backend.lose_answers(losing(plan));
    let mut run: Run<'_> = Box::pin(async {
        let _ = act(1).await;
    });
    let is_over = poll_times(&mut run, point, &clock);
    drop(run);
    backend.lose_answers(Vec::new());

    let happened = effects.borrow().len();
    *found.entry(if happened == 0 { "never" } else { "once" }).or_default() += 1;
    clock.advance(LEASE);
    let again = drive(&clock, Duration::ZERO, act(2));
    // Where it began, it is not done again; where it never began, it may be done.
    if happened > 0 {
        assert!(matches!(again, Ok(Done::AlreadyDone { .. })), "{again:?}");
    }
    let _ = drive(&clock, Duration::ZERO, act(3));
    assert!(effects.borrow().len() <= 1, "{:?}", effects.borrow());
    if is_over {
        assert_eq!(*effects.borrow(), [1]);
        assert!(drive(&clock, Duration::ZERO, once.is_done("user", "prize")).unwrap());
    }
    is_over
}
