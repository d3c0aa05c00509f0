//! Faults and gates affect every operation, of counters and of claims.

use std::pin::pin;

use crate::common::{NOW, OTHER, OWNER, UNTIL, call, claim_of, once, poll, seven, user};
use limited_core::{
    Acquisition, Backend, BackendError, CounterState, FencingToken, FinishResult, InProgress, LeaseStatus,
    Record,
};
use limited_mock::{Fault, MockBackend, Operation};
use pollster::block_on;

/// Returns a mock whose key is claimed by [`OWNER`].
fn claimed() -> MockBackend {
    let mock = MockBackend::new();
    block_on(call(&mock, Operation::Claim)).unwrap();
    block_on(call(&mock, Operation::Increment)).unwrap();
    mock.clear_calls();
    mock
}

/// Returns the stored state, by reading it.
fn stored(mock: &MockBackend) -> (u128, Option<Record>) {
    let key = user();
    let value = block_on(mock.get(&crate::common::in_this_minute(&key), NOW)).unwrap().value;
    (value, block_on(mock.find(&once(&key), NOW)).unwrap())
}

/// Returns the stored state after an operation.
fn stored_after(operation: Operation) -> (u128, Option<Record>) {
    let mock = claimed();
    block_on(call(&mock, operation)).unwrap();
    stored(&mock)
}

#[test]
fn injected_error_is_returned_and_nothing_is_applied() {
    for operation in Operation::ALL {
        let mock = claimed();
        let before = stored(&mock);
        mock.inject(Fault::error(BackendError::throttled("slow down")).on(operation));
        let error = block_on(call(&mock, operation)).unwrap_err();
        assert!(matches!(error, BackendError::Throttled(_)), "{operation:?}");
        assert_eq!((stored(&mock), mock.faults_left()), (before, 0), "{operation:?}");
    }
}

#[test]
fn operation_with_a_lost_response_is_applied() {
    for operation in Operation::ALL {
        let mock = claimed();
        mock.inject(Fault::lost_response().on(operation));
        let error = block_on(call(&mock, operation)).unwrap_err();
        assert!(matches!(error, BackendError::TimedOut(_)), "{operation:?}");
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn repeated_write_is_applied_once_with_the_result_of_one_write() {
    for operation in Operation::ALL {
        let (mock, plain) = (claimed(), claimed());
        block_on(call(&plain, operation)).unwrap();
        mock.inject(Fault::repeated_write().on(operation));
        block_on(call(&mock, operation)).unwrap();
        assert_eq!(stored(&mock), stored(&plain), "{operation:?}");
        let is_read = matches!(operation, Operation::Get | Operation::Find);
        assert_eq!(mock.faults_left(), usize::from(is_read), "{operation:?}");
        mock.clear_faults();
        let result = |mock: &MockBackend| {
            let call = &mock.calls_of(operation)[0];
            let (state, acquisition) = (call.counter_state().cloned(), call.acquisition().cloned());
            (
                state,
                acquisition,
                call.finish_result().cloned(),
                call.lease_status().cloned(),
                call.record().cloned(),
            )
        };
        assert_eq!(result(&mock), result(&plain), "{operation:?}");
    }
}

#[test]
fn repeated_first_claim_is_acquired_once() {
    let mock = MockBackend::new();
    mock.inject(Fault::repeated_write());
    block_on(call(&mock, Operation::Claim)).unwrap();
    let call = &mock.calls()[0];
    let (Some(&Acquisition::Acquired(grant)), Some(Record::InProgress(held))) =
        (call.acquisition(), stored(&mock).1)
    else {
        panic!("{call:?}")
    };
    assert_eq!((grant.fencing_token, grant.expires_at), (held.fencing_token, held.expires_at));
}

#[test]
fn dropped_held_call_never_happened_and_dropped_held_response_has() {
    for operation in Operation::ALL {
        let mock = claimed();
        let before = stored(&mock);
        mock.clear_calls();
        let gate = mock.hold(operation);
        {
            let mut call = pin!(call(&mock, operation));
            assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
            assert_eq!((gate.pending(), mock.total()), (1, 0), "{operation:?}");
        }
        gate.release();
        assert_eq!(stored(&mock), before, "{operation:?}");

        mock.clear_calls();
        let gate = mock.hold_responses(operation);
        {
            let mut call = pin!(call(&mock, operation));
            assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
            assert_eq!((gate.pending(), mock.count(operation)), (1, 1), "{operation:?}");
        }
        gate.release();
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn released_gate_lets_every_operation_continue() {
    for operation in Operation::ALL {
        let mock = claimed();
        let (before, after) = (mock.hold(operation), mock.hold_responses(operation));
        let mut call = pin!(call(&mock, operation));
        assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
        before.release();
        assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
        after.release();
        block_on(call).unwrap();
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn scripted_result_affects_the_operations_that_it_fits() {
    let key = user();
    let key = once(&key);
    let mock = MockBackend::new();
    let record = Record::InProgress(InProgress {
        owner: OTHER,
        fencing_token: FencingToken(7),
        expires_at: UNTIL,
        request_hash: None,
    });
    let omitted = FinishResult::Omitted { reason: "500 KB".into() };
    mock.inject(Fault::counter_state(CounterState::new(true, 9)));
    mock.inject(Fault::acquisition(Acquisition::Held(record.clone())));
    mock.inject(Fault::finish_result(omitted.clone()));
    mock.inject(Fault::lease_status(LeaseStatus::Lost(None)).on(Operation::Release));
    mock.inject(Fault::lease_status(LeaseStatus::Lost(Some(record.clone()))).on(Operation::Renew));
    mock.inject(Fault::record(Some(record.clone())));
    block_on(async {
        mock.forget(&key, NOW).await.unwrap();
        assert_eq!(mock.find(&key, NOW).await.unwrap(), Some(record.clone()));
        assert_eq!(mock.claim(&key, &claim_of(OWNER), NOW).await.unwrap(), Acquisition::Held(record.clone()));
        assert_eq!(mock.finish(&key, &seven(OWNER), NOW).await.unwrap(), omitted);
        let lost = LeaseStatus::Lost(Some(record));
        assert_eq!(mock.renew(&key, OWNER, UNTIL, NOW).await.unwrap(), lost);
        assert_eq!(mock.release(&key, OWNER, NOW).await.unwrap(), LeaseStatus::Lost(None));
    });
    assert_eq!((mock.claims(), mock.faults_left()), (0, 1), "nothing is stored, and no counter was called");
}
