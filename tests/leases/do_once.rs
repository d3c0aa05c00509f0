//! Do-once: an action runs at most once at a time, and never again after it succeeded.

use std::cell::Cell;
use std::time::Duration;

use limited::{BackendError, Clock, DoOnce, Done, InvalidKey, ManualClock, RunError};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::stepping::{Running, drive, poll, step};
use crate::common::{AnyBackend, block_on};
use crate::{PACE, on_every_backend};

/// Runs `test` on every backend.
fn everywhere(test: impl Fn(DoOnce<AnyBackend>, ManualClock)) {
    on_every_backend(|backend, clock| test(DoOnce::new(backend).clock(clock.clone()), clock));
}

fn succeed(once: &DoOnce<AnyBackend>, scope: &str, name: &str) -> Result<Done<u32>, RunError<String, u32>> {
    block_on(once.run(scope, name, async || Ok(7)))
}

#[test]
fn successful_action_does_not_run_again() {
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
fn failed_action_can_run_again() {
    everywhere(|once, _| {
        let done = block_on(once.run("user", "mail", async || Err::<(), _>("no route to host")));
        assert!(matches!(done, Err(RunError::Failed("no route to host"))), "{done:?}");
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        assert!(matches!(succeed(&once, "user", "mail"), Ok(Done::Executed { .. })));
    });
}

#[test]
fn scopes_and_names_are_kept_apart() {
    everywhere(|once, _| {
        for (scope, name) in [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("a", ""), ("a", "b")] {
            assert!(matches!(succeed(&once, scope, name), Ok(Done::Executed { .. })), "{scope:?}, {name:?}");
        }
        let elsewhere = once.clone().namespace("elsewhere");
        assert!(matches!(succeed(&elsewhere, "a", "b"), Ok(Done::Executed { .. })));
        let long = succeed(&once, &"x".repeat(1_024), "name");
        assert!(matches!(long, Err(RunError::InvalidKey(InvalidKey::TooLong { .. }))), "{long:?}");
    });
}

#[test]
fn concurrent_call_waits_or_reports_in_progress() {
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
        let waiting = once.clone().wait_timeout(Duration::from_secs(5));
        let mut second: Running<'_, _> = Box::pin(waiting.run("user", "mail", async || Ok::<_, String>(2)));
        assert!(poll(&mut second).is_pending());
        let at = clock.now();
        assert!(matches!(poll(&mut first), std::task::Poll::Ready(Ok(Done::Executed { value: 1, .. }))));
        clock.advance(Duration::from_secs(1));
        let done = block_on(second).unwrap();
        assert_eq!(done, Done::AlreadyDone { at });
    });
}

#[test]
fn owner_that_was_taken_over_gets_lease_lost() {
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
fn record_expires_after_the_ttl() {
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
fn action_can_be_marked_as_done_and_cleared() {
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
fn action_in_progress_cannot_be_marked() {
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
fn at_most_once_marks_the_action_before_it_runs() {
    everywhere(|once, _| {
        let runs = Cell::new(0);
        let act = |result: Result<u32, String>| {
            block_on(once.run_at_most_once("user", "prize", async || {
                runs.set(runs.get() + 1);
                assert!(once.is_done("user", "prize").await.unwrap(), "the action runs before it is marked");
                result
            }))
        };
        assert!(matches!(act(Err("lost in the post".into())), Err(RunError::Failed(_))));
        assert!(matches!(act(Ok(1)), Ok(Done::AlreadyDone { .. })));
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn at_most_once_does_not_run_if_the_mark_fails() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let once = DoOnce::new(mock.clone()).clock(clock.clone());
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Finish).always());
    let act = once.run_at_most_once("user", "prize", async || -> Result<(), String> {
        panic!("the action runs although it is not marked")
    });
    let done = drive(&clock, PACE, act);
    assert!(matches!(done, Err(RunError::Backend(BackendError::Unavailable(_)))), "{done:?}");
}

#[test]
fn run_costs_two_requests_and_a_finished_action_costs_one() {
    let mock = MockBackend::new();
    let once = DoOnce::new(mock.clone());
    for expected in [&[Operation::Claim, Operation::Finish][..], &[Operation::Claim]] {
        mock.clear_calls();
        block_on(once.run("user", "mail", async || Ok::<_, String>(()))).unwrap();
        assert_eq!(mock.calls().iter().map(limited_mock::Call::operation).collect::<Vec<_>>(), expected);
    }
}
