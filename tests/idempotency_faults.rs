//! Idempotency and do-once over a backend that fails, is late, or has no room: what is lost on the way is recognised,
//! and no handler begins without a lease.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::block_on;
use common::stepping::{Running, drive, poll, step};
use limited::backend::{
    Acquisition, FencingToken, FinishResult, Grant, InProgress, LeaseStatus, Owner, Record, StoredResult,
};
use limited::{BackendError, Clock, DoOnce, Done, Idempotency, Key, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};

const LEASE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(10);

fn idempotency() -> (Idempotency<MockBackend>, MockBackend, ManualClock) {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    (Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone()), mock, clock)
}

/// Somebody else's claim, as a backend tells it.
fn taken(clock: &ManualClock) -> Record {
    let expires_at = clock.now().saturating_add(LEASE);
    Record::InProgress(InProgress {
        owner: Owner(7),
        fencing_token: FencingToken(7),
        expires_at,
        request_hash: None,
    })
}

fn somebody_else_is_at_it<'a>(
    idempotency: &'a Idempotency<MockBackend>,
) -> Running<'a, Result<Outcome<u32>, RunError<String, u32>>> {
    let mut run: Running<'_, _> = Box::pin(idempotency.run("key", &1, async || {
        step().await;
        Ok(1)
    }));
    assert!(poll(&mut run).is_pending());
    run
}

#[test]
fn a_claim_that_may_have_been_made_is_made_again() {
    for error in [BackendError::timed_out("no answer"), BackendError::unavailable("an outage")] {
        let (idempotency, mock, _) = idempotency();
        mock.fail_next(error);
        let run = idempotency.run("key", &1, async || Ok::<_, String>(1));
        assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
    }
}

#[test]
fn a_claim_that_stays_open_is_given_up_and_blocks_nobody() {
    let (idempotency, mock, _) = idempotency();
    mock.inject(Fault::lost_response().on(Operation::Claim).times(2));
    let run = idempotency.run("key", &1, async || -> Result<u32, String> { panic!("it has no claim") });
    assert!(matches!(block_on(run), Err(RunError::Backend(BackendError::TimedOut(_)))));
    let run = idempotency.run("key", &1, async || Ok::<_, String>(2));
    assert_eq!(block_on(run).unwrap(), Outcome::Executed(2));
}

#[test]
fn no_handler_begins_on_a_lease_that_has_ended() {
    for taken_over in [false, true] {
        let (idempotency, mock, clock) = idempotency();
        mock.inject(Fault::lost_response().on(Operation::Claim));
        let gate = mock.hold_responses(Operation::Claim);
        let began = Cell::new(0);
        let mut run: Running<'_, Result<_, RunError<String, u32>>> =
            Box::pin(idempotency.run_with("key", &1, async |claim| {
                began.set(began.get() + 1);
                assert!(claim.is_held(), "nobody else may take the key now");
                Ok(1)
            }));
        assert!(poll(&mut run).is_pending());
        clock.advance(LEASE);
        let mut other: Running<'_, Result<_, RunError<String, u32>>> =
            Box::pin(idempotency.run("key", &1, async || Ok(2)));
        if taken_over {
            assert!(poll(&mut other).is_pending());
        }
        gate.release();
        if taken_over {
            assert_eq!(block_on(&mut other).unwrap(), Outcome::Executed(2));
            assert_eq!(block_on(run).unwrap(), Outcome::Replayed(2));
            assert_eq!(began.get(), 0);
        } else {
            assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
            assert_eq!((mock.count(Operation::Claim), mock.count(Operation::Renew)), (2, 1));
        }
    }
}

#[test]
fn ones_own_claim_that_arrives_late_is_not_waited_for() {
    let (idempotency, mock, clock) = idempotency();
    let idempotency = idempotency.wait_timeout(LEASE);
    // The first answer is lost, and the second is an older one.
    mock.inject(Fault::lost_response().on(Operation::Claim));
    mock.inject(Fault::acquisition(Acquisition::Held(taken(&clock))).on(Operation::Claim));
    let before = clock.now();
    let run = drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(1)));
    assert_eq!(run.unwrap(), Outcome::Executed(1));
    assert!(clock.now().saturating_since(before) < Duration::from_secs(1));
}

#[test]
fn a_look_that_fails_for_a_moment_does_not_end_the_wait() {
    let (idempotency, mock, clock) = idempotency();
    let mut first = somebody_else_is_at_it(&idempotency);
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Find).times(3));
    let waiting = idempotency.clone().wait_timeout(LEASE);
    let mut waiter: Running<'_, Result<_, RunError<String, u32>>> =
        Box::pin(waiting.run("key", &1, async || Ok(2)));
    for _ in 0..100 {
        assert!(poll(&mut waiter).is_pending());
        clock.advance(PACE);
    }
    assert_eq!(mock.faults_left(), 0);
    assert!(poll(&mut first).is_ready());
    assert_eq!(drive(&clock, PACE, waiter).unwrap(), Outcome::Replayed(1));
    // What does not pass by itself does.
    idempotency_is_denied(&mock, &waiting);
}

fn idempotency_is_denied(mock: &MockBackend, waiting: &Idempotency<MockBackend>) {
    let looking = waiting.clone().read_before_claim(true);
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Find));
    let run = looking.run("key", &1, async || Ok::<_, String>(3));
    assert_eq!(block_on(run).unwrap(), Outcome::Replayed(1), "the claim decides without the look");
    mock.inject(Fault::error(BackendError::AccessDenied("no".into())).on(Operation::Find));
    let run = looking.run("key", &1, async || Ok::<_, String>(3));
    assert!(matches!(block_on(run), Err(RunError::Backend(BackendError::AccessDenied(_)))));
}

#[test]
fn looking_first_is_about_results_and_not_about_who_is_at_it() {
    let (idempotency, mock, clock) = idempotency();
    let looking = idempotency.clone().read_before_claim(true);
    drop(somebody_else_is_at_it(&idempotency));
    let run = || block_on(looking.run("key", &1, async || Ok::<_, String>(2)));
    assert!(matches!(run(), Err(RunError::InProgress { .. })));
    clock.advance(LEASE);
    mock.clear_calls();
    assert_eq!(run().unwrap(), Outcome::Executed(2));
    assert_eq!((mock.count(Operation::Find), mock.count(Operation::Claim)), (1, 1));
}

#[test]
fn a_clock_that_jumps_back_makes_nobody_wait_for_longer() {
    let (idempotency, _, clock) = idempotency();
    let first = somebody_else_is_at_it(&idempotency);
    let waiting = idempotency.clone().wait_timeout(Duration::from_secs(5));
    let mut waiter: Running<'_, Result<_, RunError<String, u32>>> =
        Box::pin(waiting.run("key", &1, async || Ok(2)));
    assert!(poll(&mut waiter).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(poll(&mut waiter).is_pending());
    clock.rewind(Duration::from_secs(3_600));
    let mut waited = Duration::ZERO;
    // The sleep that was under way lasts until the clock has caught up; after that only the time slept counts.
    clock.advance(Duration::from_secs(3_600));
    while poll(&mut waiter).is_pending() {
        clock.advance(PACE);
        waited += PACE;
    }
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
    drop(first);
}

#[test]
fn a_backend_without_room_for_a_result_is_told_of_to_the_first_caller_too() {
    let (idempotency, mock, _) = idempotency();
    let reason = "it has 400,001 bytes";
    mock.inject(Fault::finish_result(FinishResult::Omitted { reason: reason.into() }).on(Operation::Finish));
    match block_on(idempotency.run("key", &1, async || Ok::<_, String>(7))) {
        Err(RunError::NotStored { reason: told, outcome: Some(Ok(7)) }) => assert_eq!(&*told, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_that_cannot_be_read_back_is_not_kept() {
    let (idempotency, _, _) = idempotency();
    let run = || block_on(idempotency.run("key", &1, async || Ok::<_, String>(f64::NAN)));
    assert!(matches!(run(), Err(RunError::NotStored { outcome: Some(Ok(_)), .. })));
    assert!(matches!(run(), Err(RunError::NotStored { outcome: None, .. })));
    for number in [0.1, 1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, -0.0] {
        let run = || block_on(idempotency.run(format!("{number}"), &1, async || Ok::<_, String>(number)));
        assert_eq!(run().unwrap().into_inner().to_bits(), number.to_bits());
        assert_eq!(run().unwrap().into_inner().to_bits(), number.to_bits());
    }
}

#[test]
fn a_record_without_a_result_replays_as_nothing() {
    let (idempotency, mock, clock) = idempotency();
    let finished = limited::backend::Finished {
        owner: Owner(7),
        fencing_token: FencingToken(7),
        at: clock.now(),
        result: StoredResult::Nothing,
        status_code: None,
        request_hash: None,
    };
    for _ in 0..2 {
        mock.inject(Fault::acquisition(Acquisition::Held(Record::Finished(finished.clone()))));
    }
    assert_eq!(
        block_on(idempotency.run("key", &1, async || Ok::<_, String>(()))).unwrap(),
        Outcome::Replayed(())
    );
    let run = block_on(idempotency.run("key", &1, async || Ok::<_, String>(1)));
    assert!(matches!(run, Err(RunError::Decode(_))), "{run:?}");
}

#[test]
fn a_refused_renewal_ends_the_claim_while_its_lease_still_lasts() {
    let (idempotency, mock, clock) = idempotency();
    let mut run: Running<'_, Result<_, RunError<String, u32>>> =
        Box::pin(idempotency.run_with("key", &1, async |claim| {
            assert!(claim.is_held());
            step().await;
            let _renewed = (step().await, step().await);
            assert!(clock.now() < claim.expires_at() && !claim.is_held());
            Ok(1)
        }));
    assert!(poll(&mut run).is_pending());
    mock.inject(Fault::lease_status(LeaseStatus::Lost(None)).on(Operation::Renew));
    clock.advance(LEASE / 3);
    assert!(poll(&mut run).is_pending());
    assert_eq!(mock.count(Operation::Renew), 1);
    // It is refused once, and not asked for again.
    clock.advance(LEASE / 3 - PACE);
    assert!(poll(&mut run).is_pending());
    assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
    assert_eq!(mock.count(Operation::Renew), 1);
}

#[test]
fn a_lease_is_renewed_while_an_ending_is_sent_again() {
    let (idempotency, mock, clock) = idempotency();
    let idempotency = idempotency.lease(Duration::from_millis(300));
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Finish).times(4));
    let run = drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(1)));
    assert_eq!(run.unwrap(), Outcome::Executed(1));
    // Four pauses, of 20, 80, 320 and 1,280 ms.
    assert!(mock.count(Operation::Renew) >= 15, "{}", mock.count(Operation::Renew));
    assert_eq!(mock.count(Operation::Finish), 5);
}

#[test]
fn the_claim_of_a_run_that_is_over_is_owned_by_nobody() {
    let (idempotency, _, _) = idempotency();
    let kept = Cell::new(None);
    for ending in ["dropped", "failed", "done"] {
        let mut run: Running<'_, Result<_, RunError<String, u32>>> =
            Box::pin(idempotency.run_with(ending, &1, async |claim| {
                kept.set(Some(claim));
                step().await;
                if ending == "done" { Ok(1) } else { Err("declined".to_owned()) }
            }));
        assert!(poll(&mut run).is_pending());
        if ending != "dropped" {
            assert!(poll(&mut run).is_ready());
        }
        drop(run);
        assert!(!kept.take().unwrap().is_held(), "{ending}");
    }
}

#[test]
fn no_length_of_time_panics() {
    for forever in [Duration::MAX, Duration::MAX / 2, Duration::ZERO] {
        let clock = ManualClock::new();
        let idempotency = Idempotency::new(MockBackend::new()).clock(clock.clone());
        let idempotency = idempotency.lease(forever).wait_timeout(forever).ttl(forever.max(LEASE));
        let run = || drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(1)));
        assert_eq!(run().unwrap(), Outcome::Executed(1));
        assert_eq!(run().unwrap(), Outcome::Replayed(1));
        let once = DoOnce::new(MockBackend::new()).clock(clock.clone()).lease(forever);
        let once = once.wait_timeout(forever).ttl(forever);
        let done = drive(&clock, PACE, once.run("user", "mail", async || Ok::<_, String>(1)));
        assert!(matches!(done, Ok(Done::Executed { .. })));
    }
}

#[test]
fn the_tenant_of_a_composed_key_and_a_wanted_request_are_kept_with_the_record() {
    let (idempotency, mock, _) = idempotency();
    let run = idempotency.clone().store_requests(true);
    block_on(run.run(Key::new().tenant("42").user("7"), &1, async || Ok::<_, String>(1))).unwrap();
    let asked = &mock.calls_of(Operation::Claim)[0];
    let metadata = asked.claim_request().unwrap().metadata;
    assert_eq!((metadata.tenant, metadata.request), (Some("42"), Some("1")));
    // A store with a limit on what a record holds has to know what the claim brought.
    let finished = &mock.calls_of(Operation::Finish)[0];
    assert_eq!(finished.completion().unwrap().metadata, metadata);
}

#[test]
fn a_call_may_wait_where_others_do_not() {
    let (idempotency, _, clock) = idempotency();
    let mut first = somebody_else_is_at_it(&idempotency);
    let mut waiter: Running<'_, Result<_, RunError<String, u32>>> =
        Box::pin(idempotency.call("key", &1).wait_timeout(LEASE).run(async || Ok(2)));
    assert!(poll(&mut waiter).is_pending());
    assert!(poll(&mut first).is_ready());
    assert_eq!(drive(&clock, PACE, waiter).unwrap(), Outcome::Replayed(1));
}

#[test]
fn what_was_lost_says_what_the_handler_returned() {
    let error: RunError<&str, u32> = RunError::LeaseLost { outcome: Ok(7) };
    assert!(error.is_retryable() && error.retry_after().is_none());
    assert_eq!(error.into_outcome(), Some(Ok(7)));
    let error: RunError<&str, u32> = RunError::Failed("declined");
    assert!(!error.is_retryable(), "of the handler's own error only the caller knows");
    assert_eq!(error.into_outcome(), Some(Err("declined")));
    let error: RunError<&str, u32> = RunError::InProgress { retry_after: LEASE };
    assert_eq!(error.retry_after(), Some(LEASE));
    let error: RunError<&str> = error.without_outcome();
    assert!(matches!(error, RunError::InProgress { .. }));
    let error: RunError<&str, u32> = RunError::LeaseLost { outcome: Err("declined") };
    assert_eq!(error.into_outcome(), Some(Err("declined")));
}

/// At most once: whatever becomes of the mark, nothing is done that is not marked as one's own.
#[test]
fn a_mark_that_was_lost_is_no_leave_to_act() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let once = DoOnce::new(mock.clone()).clock(clock.clone());
    let acted = Cell::new(0);
    let act = || {
        let action = async || {
            acted.set(acted.get() + 1);
            Ok::<_, String>(())
        };
        block_on(once.run_at_most_once("user", "prize", action))
    };
    // Somebody else is at it, or has done it, since the lease ended before the mark arrived.
    mock.inject(Fault::finish_result(FinishResult::Lost(Some(taken(&clock)))).on(Operation::Finish));
    assert!(matches!(act(), Err(RunError::InProgress { retry_after }) if retry_after == LEASE));
    assert_eq!(acted.get(), 0);
    // Nobody has it: somebody cleared it in between. Then it is claimed once more, and marked.
    let grant = Grant { fencing_token: FencingToken(7), expires_at: clock.now().saturating_add(LEASE) };
    mock.inject(Fault::acquisition(Acquisition::Acquired(grant)).on(Operation::Claim));
    mock.inject(Fault::finish_result(FinishResult::Lost(None)).on(Operation::Finish));
    block_on(once.clear("user", "prize")).unwrap();
    mock.clear_calls();
    assert!(matches!(act(), Ok(Done::Executed { .. })));
    assert_eq!((acted.get(), mock.count(Operation::Claim), mock.count(Operation::Finish)), (1, 2, 2));
}
