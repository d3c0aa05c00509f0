//! Idempotency and do-once over a backend that fails, is slow, or is full: repeated requests are
//! recognised, and no handler starts without a lease.

use std::cell::Cell;
use std::time::Duration;

use limited::backend::{
    Acquisition, FencingToken, FinishResult, Grant, InProgress, LeaseStatus, Owner, Record, StoredResult,
};
use limited::{BackendError, Clock, DoOnce, Done, Idempotency, Key, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::block_on;
use crate::common::stepping::{drive, poll, step};
use crate::{LEASE, PACE, PendingRun};

fn idempotency() -> (Idempotency<MockBackend>, MockBackend, ManualClock) {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    (Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone()), mock, clock)
}

/// The record of a claim of another owner.
fn other_claim(clock: &ManualClock) -> Record {
    let expires_at = clock.now().saturating_add(LEASE);
    Record::InProgress(InProgress {
        owner: Owner(7),
        fencing_token: FencingToken(7),
        expires_at,
        request_hash: None,
    })
}

/// Starts a run whose handler returns 1 at the next poll.
fn start_other_run(idempotency: &Idempotency<MockBackend>) -> PendingRun<'_, u32> {
    let mut run: PendingRun<'_, u32> = Box::pin(idempotency.run("key", &1, async || {
        step().await;
        Ok(1)
    }));
    assert!(poll(&mut run).is_pending());
    run
}

#[test]
fn claim_with_unknown_outcome_is_sent_again() {
    for error in [BackendError::timed_out("no response"), BackendError::unavailable("an outage")] {
        let (idempotency, mock, _) = idempotency();
        mock.fail_next(error);
        let run = idempotency.run("key", &1, async || Ok::<_, String>(1));
        assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
    }
}

#[test]
fn claim_whose_outcome_stays_unknown_is_released() {
    let (idempotency, mock, _) = idempotency();
    mock.inject(Fault::lost_response().on(Operation::Claim).times(2));
    let run = idempotency
        .run("key", &1, async || -> Result<u32, String> { panic!("the handler runs without a claim") });
    assert!(matches!(block_on(run), Err(RunError::Backend(BackendError::TimedOut(_)))));
    let run = idempotency.run("key", &1, async || Ok::<_, String>(2));
    assert_eq!(block_on(run).unwrap(), Outcome::Executed(2));
}

#[test]
fn handler_does_not_start_on_an_expired_lease() {
    for is_taken_over in [false, true] {
        let (idempotency, mock, clock) = idempotency();
        mock.inject(Fault::lost_response().on(Operation::Claim));
        let gate = mock.hold_responses(Operation::Claim);
        let runs = Cell::new(0);
        let mut run: PendingRun<'_, u32> = Box::pin(idempotency.run_with("key", &1, async |claim| {
            runs.set(runs.get() + 1);
            assert!(claim.is_held(), "the handler runs without a lease");
            Ok(1)
        }));
        assert!(poll(&mut run).is_pending());
        clock.advance(LEASE);
        let mut other: PendingRun<'_, u32> = Box::pin(idempotency.run("key", &1, async || Ok(2)));
        if is_taken_over {
            assert!(poll(&mut other).is_pending());
        }
        gate.release();
        if is_taken_over {
            assert_eq!(block_on(&mut other).unwrap(), Outcome::Executed(2));
            assert_eq!(block_on(run).unwrap(), Outcome::Replayed(2));
            assert_eq!(runs.get(), 0);
        } else {
            assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
            assert_eq!((mock.count(Operation::Claim), mock.count(Operation::Renew)), (2, 1));
        }
    }
}

#[test]
fn own_claim_that_is_applied_late_is_not_waited_for() {
    let (idempotency, mock, clock) = idempotency();
    let idempotency = idempotency.wait_timeout(LEASE);
    // The first response is lost, and the second is stale.
    mock.inject(Fault::lost_response().on(Operation::Claim));
    mock.inject(Fault::acquisition(Acquisition::Held(other_claim(&clock))).on(Operation::Claim));
    let before = clock.now();
    let run = drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(1)));
    assert_eq!(run.unwrap(), Outcome::Executed(1));
    assert!(clock.now().saturating_since(before) < Duration::from_secs(1));
}

#[test]
fn retryable_error_of_a_poll_does_not_end_the_wait() {
    let (idempotency, mock, clock) = idempotency();
    let mut first = start_other_run(&idempotency);
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Find).times(3));
    let waiting = idempotency.clone().wait_timeout(LEASE);
    let mut waiter: PendingRun<'_, u32> = Box::pin(waiting.run("key", &1, async || Ok(2)));
    for _ in 0..100 {
        assert!(poll(&mut waiter).is_pending());
        clock.advance(PACE);
    }
    assert_eq!(mock.faults_left(), 0);
    assert!(poll(&mut first).is_ready());
    assert_eq!(drive(&clock, PACE, waiter).unwrap(), Outcome::Replayed(1));
    // An error of the read before the claim, if it is retryable, does not end the call.
    let reading = waiting.clone().read_before_claim(true);
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Find));
    let run = reading.run("key", &1, async || Ok::<_, String>(3));
    assert_eq!(block_on(run).unwrap(), Outcome::Replayed(1), "the claim decides without the read");
    // A permanent error ends it.
    mock.inject(Fault::error(BackendError::AccessDenied("no".into())).on(Operation::Find));
    let run = reading.run("key", &1, async || Ok::<_, String>(3));
    assert!(matches!(block_on(run), Err(RunError::Backend(BackendError::AccessDenied(_)))));
}

#[test]
fn read_before_claim_decides_by_finished_records_only() {
    let (idempotency, mock, clock) = idempotency();
    let reading = idempotency.clone().read_before_claim(true);
    drop(start_other_run(&idempotency));
    let run = || block_on(reading.run("key", &1, async || Ok::<_, String>(2)));
    assert!(matches!(run(), Err(RunError::InProgress { .. })));
    clock.advance(LEASE);
    mock.clear_calls();
    assert_eq!(run().unwrap(), Outcome::Executed(2));
    assert_eq!((mock.count(Operation::Find), mock.count(Operation::Claim)), (1, 1));
}

#[test]
fn clock_that_jumps_back_does_not_extend_the_wait() {
    let (idempotency, _, clock) = idempotency();
    let first = start_other_run(&idempotency);
    let waiting = idempotency.clone().wait_timeout(Duration::from_secs(5));
    let mut waiter: PendingRun<'_, u32> = Box::pin(waiting.run("key", &1, async || Ok(2)));
    assert!(poll(&mut waiter).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(poll(&mut waiter).is_pending());
    clock.rewind(Duration::from_secs(3_600));
    let mut waited = Duration::ZERO;
    // The current sleep lasts until the clock has caught up. After that only the time of sleeps
    // counts.
    clock.advance(Duration::from_secs(3_600));
    while poll(&mut waiter).is_pending() {
        clock.advance(PACE);
        waited += PACE;
    }
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
    drop(first);
}

#[test]
fn result_that_the_backend_omits_is_an_error_for_the_first_caller_too() {
    let (idempotency, mock, _) = idempotency();
    let reason = "it has 400,001 bytes";
    mock.inject(Fault::finish_result(FinishResult::Omitted { reason: reason.into() }).on(Operation::Finish));
    match block_on(idempotency.run("key", &1, async || Ok::<_, String>(7))) {
        Err(RunError::NotStored { reason: reported, outcome: Some(Ok(7)) }) => {
            assert_eq!(&*reported, reason);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn result_that_cannot_be_deserialized_is_not_stored() {
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
fn record_without_a_result_replays_as_unit() {
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
fn rejected_renewal_closes_the_claim_before_the_lease_expires() {
    let (idempotency, mock, clock) = idempotency();
    let mut run: PendingRun<'_, u32> = Box::pin(idempotency.run_with("key", &1, async |claim| {
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
    // After a rejection there are no further renewals.
    clock.advance(LEASE / 3 - PACE);
    assert!(poll(&mut run).is_pending());
    assert_eq!(block_on(run).unwrap(), Outcome::Executed(1));
    assert_eq!(mock.count(Operation::Renew), 1);
}

#[test]
fn lease_is_renewed_while_a_final_write_is_retried() {
    let (idempotency, mock, clock) = idempotency();
    let idempotency = idempotency.lease(Duration::from_millis(300));
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Finish).times(4));
    let run = drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(1)));
    assert_eq!(run.unwrap(), Outcome::Executed(1));
    // There are four pauses, of 20, 80, 320 and 1,280 ms.
    assert!(mock.count(Operation::Renew) >= 15, "{}", mock.count(Operation::Renew));
    assert_eq!(mock.count(Operation::Finish), 5);
}

#[test]
fn claim_is_not_held_after_the_run() {
    let (idempotency, _, _) = idempotency();
    let kept = Cell::new(None);
    for end in ["dropped", "failed", "done"] {
        let mut run: PendingRun<'_, u32> = Box::pin(idempotency.run_with(end, &1, async |claim| {
            kept.set(Some(claim));
            step().await;
            if end == "done" { Ok(1) } else { Err("declined".to_owned()) }
        }));
        assert!(poll(&mut run).is_pending());
        if end != "dropped" {
            assert!(poll(&mut run).is_ready());
        }
        drop(run);
        assert!(!kept.take().unwrap().is_held(), "{end}");
    }
}

#[test]
fn no_duration_panics() {
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
fn tenant_of_a_composed_key_and_the_request_are_stored_with_the_record() {
    let (idempotency, mock, _) = idempotency();
    let run = idempotency.clone().store_requests(true);
    block_on(run.run(Key::new().tenant("42").user("7"), &1, async || Ok::<_, String>(1))).unwrap();
    let claimed = &mock.calls_of(Operation::Claim)[0];
    let metadata = claimed.claim_request().unwrap().metadata;
    assert_eq!((metadata.tenant, metadata.request), (Some("42"), Some("1")));
    // A store with a limit on the size of a record needs the metadata of the claim too.
    let finished = &mock.calls_of(Operation::Finish)[0];
    assert_eq!(finished.completion().unwrap().metadata, metadata);
}

#[test]
fn wait_timeout_can_be_set_for_one_call() {
    let (idempotency, _, clock) = idempotency();
    let mut first = start_other_run(&idempotency);
    let mut waiter: PendingRun<'_, u32> =
        Box::pin(idempotency.call("key", &1).wait_timeout(LEASE).run(async || Ok(2)));
    assert!(poll(&mut waiter).is_pending());
    assert!(poll(&mut first).is_ready());
    assert_eq!(drive(&clock, PACE, waiter).unwrap(), Outcome::Replayed(1));
}

#[test]
fn errors_contain_the_result_of_the_handler() {
    let error: RunError<&str, u32> = RunError::LeaseLost { outcome: Ok(7) };
    assert!(error.is_retryable() && error.retry_after().is_none());
    assert_eq!(error.into_outcome(), Some(Ok(7)));
    let error: RunError<&str, u32> = RunError::Failed("declined");
    assert!(!error.is_retryable(), "only the caller knows whether the handler's error is retryable");
    assert_eq!(error.into_outcome(), Some(Err("declined")));
    let error: RunError<&str, u32> = RunError::InProgress { retry_after: LEASE };
    assert_eq!(error.retry_after(), Some(LEASE));
    let error: RunError<&str> = error.without_outcome();
    assert!(matches!(error, RunError::InProgress { .. }));
    let error: RunError<&str, u32> = RunError::LeaseLost { outcome: Err("declined") };
    assert_eq!(error.into_outcome(), Some(Err("declined")));
}

#[test]
fn action_does_not_run_if_its_mark_was_lost() {
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
    // Another owner holds the key, because the lease expired before the mark arrived.
    mock.inject(Fault::finish_result(FinishResult::Lost(Some(other_claim(&clock)))).on(Operation::Finish));
    assert!(matches!(act(), Err(RunError::InProgress { retry_after }) if retry_after == LEASE));
    assert_eq!(acted.get(), 0);
    // No owner holds the key, because an operator cleared it in between. The call claims it again
    // and marks it.
    let grant = Grant { fencing_token: FencingToken(7), expires_at: clock.now().saturating_add(LEASE) };
    mock.inject(Fault::acquisition(Acquisition::Acquired(grant)).on(Operation::Claim));
    mock.inject(Fault::finish_result(FinishResult::Lost(None)).on(Operation::Finish));
    block_on(once.clear("user", "prize")).unwrap();
    mock.clear_calls();
    assert!(matches!(act(), Ok(Done::Executed { .. })));
    assert_eq!((acted.get(), mock.count(Operation::Claim), mock.count(Operation::Finish)), (1, 2, 2));
}
