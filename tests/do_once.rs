//! Do-once: at most once at a time, and once in all when it succeeds.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::stepping::{Running, drive, poll, step};
use common::{AnyBackend, backends, block_on};
use limited::{BackendError, Clock, DoOnce, Done, InvalidKey, ManualClock, RunError};
use limited_mock::{Fault, MockBackend, Operation};

fn everywhere(behaviour: impl Fn(DoOnce<AnyBackend>, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        behaviour(DoOnce::new(backend).clock(clock.clone()), clock);
    }
}

fn succeed(once: &DoOnce<AnyBackend>, scope: &str, action: &str) -> Result<Done<u32>, RunError<String, u32>> {
    block_on(once.run(scope, action, async || Ok(7)))
}

#[test]
fn what_succeeded_is_not_done_again() {
    everywhere(|once, clock| {
        let at = clock.now();
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        assert_eq!(succeed(&once, "user", "mail").unwrap(), Done::Executed { at, value: 7 });
        for years in [0, 1, 100] {
            clock.advance(Duration::from_secs(years * 366 * 86_400));
            assert_eq!(succeed(&once, "user", "mail").unwrap(), Done::AlreadyDone { at });
            assert!(block_on(once.is_done("user", "mail")).unwrap());
        }
    });
}

#[test]
fn what_failed_can_be_tried_again() {
    everywhere(|once, _| {
        let done = block_on(once.run("user", "mail", async || Err::<(), _>("no route to host")));
        assert!(matches!(done, Err(RunError::Failed("no route to host"))), "{done:?}");
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::Executed { .. })));
    });
}

#[test]
fn scopes_and_actions_never_meet() {
    everywhere(|once, _| {
        for (scope, action) in [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("a", ""), ("a", "b")] {
            assert!(
                matches!(succeed(&once, scope, action), Ok(Done::Executed { .. })),
                "{scope:?}, {action:?}"
            );
        }
        let elsewhere = once.clone().namespace("elsewhere");
        assert!(matches!(succeed(&elsewhere, "a", "b"), Ok(Done::Executed { .. })));
        let long = succeed(&once, &"x".repeat(1_024), "action");
        assert!(matches!(long, Err(RunError::InvalidKey(InvalidKey::TooLong { .. }))), "{long:?}");
    });
}

#[test]
fn while_somebody_is_at_it_the_others_are_told_or_wait() {
    everywhere(|once, clock| {
        let mut first: Running<'_, _> = Box::pin(once.run("user", "mail", async || {
            step().await;
            Ok::<_, String>(1)
        }));
        assert!(poll(&mut first).is_pending());
        match succeed(&once, "user", "mail") {
            Err(RunError::InProgress { retry_after }) => assert_eq!(retry_after, Duration::from_secs(30)),
            other => panic!("{other:?}"),
        }
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        let patient = once.clone().wait_timeout(Duration::from_secs(5));
        let mut second: Running<'_, _> = Box::pin(patient.run("user", "mail", async || Ok::<_, String>(2)));
        assert!(poll(&mut second).is_pending());
        let at = clock.now();
        assert!(matches!(poll(&mut first), std::task::Poll::Ready(Ok(Done::Executed { value: 1, .. }))));
        clock.advance(Duration::from_secs(1));
        let done = block_on(second).unwrap();
        assert_eq!(done, Done::AlreadyDone { at });
    });
}

#[test]
fn one_that_was_taken_over_is_told_so() {
    everywhere(|once, clock| {
        let mut first: Running<'_, _> = Box::pin(once.run_with("user", "mail", async |claim| {
            step().await;
            assert!(!claim.is_held());
            Ok::<_, String>(1)
        }));
        assert!(poll(&mut first).is_pending());
        clock.advance(Duration::from_secs(30));
        let at = clock.now();
        assert_eq!(succeed(&once, "user", "mail").unwrap(), Done::Executed { at, value: 7 });
        assert!(matches!(block_on(first), Err(RunError::LeaseLost { outcome: Ok(1) })));
        assert_eq!(succeed(&once, "user", "mail").unwrap(), Done::AlreadyDone { at });
    });
}

#[test]
fn it_is_remembered_for_as_long_as_is_set() {
    everywhere(|once, clock| {
        let once = once.ttl(Duration::from_secs(60));
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::Executed { .. })));
        clock.advance(Duration::from_nanos(59_999_999_999));
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::AlreadyDone { .. })));
        clock.advance(Duration::from_nanos(1));
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::Executed { .. })));
    });
}

#[test]
fn something_can_be_marked_as_done_and_cleared() {
    everywhere(|once, clock| {
        let at = clock.now();
        assert_eq!(block_on(once.mark_done("user", "mail")).unwrap(), Done::Executed { at, value: () });
        clock.advance(Duration::from_secs(1));
        assert_eq!(block_on(once.mark_done("user", "mail")).unwrap(), Done::AlreadyDone { at });
        assert_eq!(succeed(&once, "user", "mail").unwrap(), Done::AlreadyDone { at });
        block_on(once.clear("user", "mail")).unwrap();
        block_on(once.clear("user", "mail")).unwrap();
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::Executed { .. })));
    });
}

#[test]
fn nothing_is_marked_while_somebody_is_at_it() {
    everywhere(|once, _| {
        let mut first: Running<'_, _> = Box::pin(once.run("user", "mail", async || {
            step().await;
            Ok::<_, String>(1)
        }));
        assert!(poll(&mut first).is_pending());
        assert!(matches!(block_on(once.mark_done("user", "mail")), Err(RunError::InProgress { .. })));
        assert!(poll(&mut first).is_ready());
    });
}

#[test]
fn at_most_once_marks_before_it_acts() {
    everywhere(|once, _| {
        let runs = Cell::new(0);
        let act = |result: Result<u32, String>| {
            block_on(once.run_at_most_once("user", "prize", async || {
                runs.set(runs.get() + 1);
                assert!(once.is_done("user", "prize").await.unwrap(), "it is marked before it happens");
                result
            }))
        };
        assert!(matches!(act(Err("lost in the post".into())), Err(RunError::Failed(_))));
        assert!(matches!(act(Ok(1)), Ok(Done::AlreadyDone { .. })));
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn at_most_once_does_nothing_where_it_is_not_known_to_be_marked() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let once = DoOnce::new(mock.clone()).clock(clock.clone());
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Finish).always());
    let act =
        once.run_at_most_once("user", "prize", async || -> Result<(), String> { panic!("it is not marked") });
    let done = drive(&clock, Duration::from_millis(10), act);
    assert!(matches!(done, Err(RunError::Backend(BackendError::Unavailable(_)))), "{done:?}");
}

#[test]
fn doing_is_two_requests_and_having_done_is_one() {
    let mock = MockBackend::new();
    let once = DoOnce::new(mock.clone());
    for expected in [&[Operation::Claim, Operation::Finish][..], &[Operation::Claim]] {
        mock.clear_calls();
        block_on(once.run("user", "mail", async || Ok::<_, String>(()))).unwrap();
        assert_eq!(mock.calls().iter().map(limited_mock::Call::operation).collect::<Vec<_>>(), expected);
    }
}
