//! Every operation, those of counters and those of claims, meets faults and gates.

mod common;

use std::pin::pin;

use common::{NOW, OTHER, OWNER, UNTIL, ask, claim_of, once, poll, seven, user};
use limited_core::{
    Acquisition, Backend, BackendError, CounterState, FencingToken, FinishResult, ImmediateBackend,
    InProgress, LeaseStatus, Record,
};
use limited_mock::{Fault, MockBackend, Operation};
use pollster::block_on;

/// A mock whose key is claimed by the owner that asks.
fn claimed() -> MockBackend {
    let mock = MockBackend::new();
    block_on(ask(&mock, Operation::Claim)).unwrap();
    block_on(ask(&mock, Operation::Increment)).unwrap();
    mock.clear_calls();
    mock
}

/// What is stored, as reads tell it.
fn stored(mock: &MockBackend) -> (u128, Option<Record>) {
    let key = user();
    let value = mock.get_now(&common::in_this_minute(&key), NOW).unwrap().value;
    (value, block_on(mock.find(&once(&key), NOW)).unwrap())
}

/// What an operation leaves that is carried out.
fn stored_after(operation: Operation) -> (u128, Option<Record>) {
    let mock = claimed();
    block_on(ask(&mock, operation)).unwrap();
    stored(&mock)
}

#[test]
fn an_injected_error_is_what_the_caller_gets_and_nothing_is_done() {
    for operation in Operation::ALL {
        let mock = claimed();
        let before = stored(&mock);
        mock.inject(Fault::error(BackendError::throttled("slow down")).on(operation));
        let error = block_on(ask(&mock, operation)).unwrap_err();
        assert!(matches!(error, BackendError::Throttled(_)), "{operation:?}");
        assert_eq!((stored(&mock), mock.faults_left()), (before, 0), "{operation:?}");
    }
}

#[test]
fn an_operation_whose_answer_is_lost_is_done() {
    for operation in Operation::ALL {
        let mock = claimed();
        mock.inject(Fault::lost_response().on(operation));
        let error = block_on(ask(&mock, operation)).unwrap_err();
        assert!(matches!(error, BackendError::TimedOut(_)), "{operation:?}");
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn a_repeated_write_is_done_once_and_answered_as_if_it_had_come_once() {
    for operation in Operation::ALL {
        let (mock, plain) = (claimed(), claimed());
        block_on(ask(&plain, operation)).unwrap();
        mock.inject(Fault::repeated_write().on(operation));
        block_on(ask(&mock, operation)).unwrap();
        assert_eq!(stored(&mock), stored(&plain), "{operation:?}");
        let is_read = matches!(operation, Operation::Get | Operation::Find);
        assert_eq!(mock.faults_left(), usize::from(is_read), "{operation:?}");
        mock.clear_faults();
        let answer = |mock: &MockBackend| {
            let call = &mock.calls_of(operation)[0];
            let (tally, claimed) = (call.tally().cloned(), call.claimed().cloned());
            (tally, claimed, call.recorded().cloned(), call.ownership().cloned(), call.found().cloned())
        };
        assert_eq!(answer(&mock), answer(&plain), "{operation:?}");
    }
}

#[test]
fn a_first_claim_that_is_repeated_is_granted_once() {
    let mock = MockBackend::new();
    mock.inject(Fault::repeated_write());
    block_on(ask(&mock, Operation::Claim)).unwrap();
    let call = &mock.calls()[0];
    let (Some(&Acquisition::Acquired(grant)), Some(Record::InProgress(held))) =
        (call.claimed(), stored(&mock).1)
    else {
        panic!("{call:?}")
    };
    assert_eq!((grant.fencing_token, grant.expires_at), (held.fencing_token, held.expires_at));
}

#[test]
fn a_held_call_dropped_on_its_way_never_happened_and_on_its_way_back_it_has() {
    for operation in Operation::ALL {
        let mock = claimed();
        let before = stored(&mock);
        mock.clear_calls();
        let gate = mock.hold(operation);
        {
            let mut call = pin!(ask(&mock, operation));
            assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
            assert_eq!((gate.pending(), mock.total()), (1, 0), "{operation:?}");
        }
        gate.release();
        assert_eq!(stored(&mock), before, "{operation:?}");

        mock.clear_calls();
        let gate = mock.hold_responses(operation);
        {
            let mut call = pin!(ask(&mock, operation));
            assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
            assert_eq!((gate.pending(), mock.count(operation)), (1, 1), "{operation:?}");
        }
        gate.release();
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn a_released_gate_lets_every_operation_go_on() {
    for operation in Operation::ALL {
        let mock = claimed();
        let (there, back) = (mock.hold(operation), mock.hold_responses(operation));
        let mut call = pin!(ask(&mock, operation));
        assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
        there.release();
        assert!(poll(call.as_mut()).is_pending(), "{operation:?}");
        back.release();
        block_on(call).unwrap();
        assert_eq!(stored(&mock), stored_after(operation), "{operation:?}");
    }
}

#[test]
fn a_scripted_answer_is_met_by_the_operations_that_it_answers() {
    let key = user();
    let key = once(&key);
    let mock = MockBackend::new();
    let record = Record::InProgress(InProgress {
        owner: OTHER,
        fencing_token: FencingToken(7),
        expires_at: UNTIL,
        request_hash: None,
    });
    let not_kept = FinishResult::Omitted { reason: "500 KB".into() };
    mock.inject(Fault::counter_state(CounterState::new(true, 9)));
    mock.inject(Fault::acquisition(Acquisition::Held(record.clone())));
    mock.inject(Fault::finish_result(not_kept.clone()));
    mock.inject(Fault::lease_status(LeaseStatus::Lost(None)).on(Operation::Release));
    mock.inject(Fault::lease_status(LeaseStatus::Lost(Some(record.clone()))).on(Operation::Renew));
    mock.inject(Fault::record(Some(record.clone())));
    block_on(async {
        mock.forget(&key, NOW).await.unwrap();
        assert_eq!(mock.find(&key, NOW).await.unwrap(), Some(record.clone()));
        assert_eq!(mock.claim(&key, &claim_of(OWNER), NOW).await.unwrap(), Acquisition::Held(record.clone()));
        assert_eq!(mock.finish(&key, &seven(OWNER), NOW).await.unwrap(), not_kept);
        let lost = LeaseStatus::Lost(Some(record));
        assert_eq!(mock.renew(&key, OWNER, UNTIL, NOW).await.unwrap(), lost);
        assert_eq!(mock.release(&key, OWNER, NOW).await.unwrap(), LeaseStatus::Lost(None));
    });
    assert_eq!((mock.claims(), mock.faults_left()), (0, 1), "nothing is stored, and no counter was asked");
}
