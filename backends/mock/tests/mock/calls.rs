//! Calls are recorded with their requests and results.

use crate::common::{FROM_FIRST_HIT, NOW, OTHER, OWNER, UNTIL, in_this_minute, in_window, once, seven, user};
use limited_core::{
    Acquisition, Backend, BackendError, ClaimKind, ClaimMetadata, ClaimRequest, FinishResult, Grant, Hit,
    Key, LeaseStatus, Record, RequestHash, StoredResult, Timestamp, WindowId,
};
use limited_mock::{Call, Fault, MockBackend, Operation};
use pollster::block_on;

#[test]
fn call_is_recorded_with_its_whole_request() {
    let mock = MockBackend::new();
    let hit = Hit::new(2, 9).with_floor(1).with_window_meta(WindowId(4), Some("from 192.0.2.1"));
    {
        // The record outlives the key and the metadata.
        let key = Key::from(String::from("user:7"));
        let counter = in_window(&key, FROM_FIRST_HIT);
        block_on(mock.increment(&counter, &hit, NOW)).unwrap();
        block_on(mock.reset(&counter, Some(WindowId(4)), NOW)).unwrap();
    }
    let calls = mock.calls();
    let [increment, reset] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(increment.operation(), Operation::Increment);
    assert_eq!((increment.namespace(), increment.key()), ("test", "user:7"));
    assert_eq!((increment.window(), increment.kind(), increment.now()), (Some(FROM_FIRST_HIT), None, NOW));
    assert!(increment.owner().is_none() && increment.expires_at().is_none());
    assert_eq!(increment.hit(), Some(hit));
    assert_eq!(increment.counter_state().map(|state| state.value), Some(3));
    assert!(increment.is_counted());
    assert_eq!((reset.operation(), reset.window_id()), (Operation::Reset, Some(WindowId(4))));
    assert!(reset.error().is_none());
}

#[test]
fn call_of_a_claim_is_recorded_with_its_request_and_result() {
    let mock = MockBackend::new();
    let metadata = ClaimMetadata::default()
        .with_function_name("charge")
        .with_tenant("acme")
        .with_request(r#"{"amount":7}"#);
    let request =
        ClaimRequest::new(OWNER, UNTIL).with_request_hash(RequestHash([7; 32])).with_metadata(metadata);
    let completion = seven(OWNER).with_status_code(201).with_expiry(Timestamp::MAX).with_metadata(metadata);
    {
        // The records outlive the key.
        let key = user();
        let key = once(&key);
        block_on(async {
            mock.claim(&key, &request, NOW).await.unwrap();
            mock.renew(&key, OWNER, UNTIL, NOW).await.unwrap();
            mock.finish(&key, &completion, NOW).await.unwrap();
            mock.find(&key, NOW).await.unwrap();
            mock.release(&key, OTHER, NOW).await.unwrap();
            mock.forget(&key, NOW).await.unwrap();
        });
    }
    let calls = mock.calls();
    let [claim, renew, finish, find, release, forget] = calls.as_slice() else { panic!("{calls:?}") };
    for call in &calls {
        assert_eq!((call.namespace(), call.key(), call.now()), ("test", user().as_str(), NOW));
        assert_eq!((call.kind(), call.window()), (Some(ClaimKind::DoOnce), None));
        assert!(call.error().is_none() && call.counter_state().is_none() && call.hit().is_none());
    }
    let owners = calls.iter().map(|call| call.owner().map(|owner| owner.0));
    assert_eq!(owners.collect::<Vec<_>>(), [Some(1), Some(1), Some(1), None, Some(2), None]);
    let leases = calls.iter().filter_map(Call::expires_at);
    assert_eq!(leases.collect::<Vec<_>>(), [UNTIL, UNTIL]);

    let request_of_claim = claim.claim_request().unwrap();
    assert_eq!(
        (request_of_claim.owner, request_of_claim.expires_at, request_of_claim.request_hash),
        (OWNER, UNTIL, request.request_hash)
    );
    assert_eq!(request_of_claim.metadata, metadata);
    assert!(
        claim.is_acquired()
            && matches!(claim.acquisition(), Some(Acquisition::Acquired(Grant { expires_at: UNTIL, .. })))
    );
    assert_eq!(renew.lease_status(), Some(&LeaseStatus::Owned));
    let finished = finish.completion().unwrap();
    assert_eq!((finished.status_code, finished.expires), (Some(201), Some(Timestamp::MAX)));
    assert_eq!((finished.result, finished.metadata), (StoredResult::Value("7".into()), metadata));
    assert_eq!(finish.finish_result(), Some(&FinishResult::Stored));
    assert!(matches!(find.record(), Some(Record::Finished(_))));
    assert!(matches!(release.lease_status(), Some(LeaseStatus::Lost(Some(_)))));
    assert_eq!((forget.operation(), forget.record()), (Operation::Forget, None));
    assert!(calls[1..].iter().all(|call| call.claim_request().is_none() && !call.is_acquired()));
    assert_eq!(Operation::ALL.map(|operation| mock.count(operation)), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn call_is_recorded_with_the_result_that_the_caller_got() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::error(BackendError::throttled("slow down")));
    mock.inject(Fault::lost_response());
    for _ in 0..4 {
        let _ = block_on(mock.increment(&counter, &Hit::new(1, 2), NOW));
    }
    let calls = mock.calls();
    assert!(matches!(calls[0].error(), Some(BackendError::Throttled(_))));
    assert!(matches!(calls[1].error(), Some(BackendError::TimedOut(_))));
    let values: Vec<_> = calls.iter().map(|call| call.counter_state().map(|state| state.value)).collect();
    assert_eq!(values, [None, None, Some(2), Some(2)]);
    let counted: Vec<_> = calls.iter().map(Call::is_counted).collect();
    assert_eq!(counted, [false, false, true, false]);
}

#[test]
fn sliding_hit_is_a_read_of_the_previous_window_and_a_hit() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let before = counter.window().previous().unwrap();
    block_on(mock.increment(&counter.with_window(before), &Hit::new(4, 10), NOW)).unwrap();
    mock.clear_calls();

    block_on(mock.increment(&counter.sliding(), &Hit::new(1, 10), NOW)).unwrap();
    let calls = mock.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].operation(), calls[0].window()), (Operation::Get, Some(before)));
    assert_eq!((calls[1].operation(), calls[1].window()), (Operation::Increment, Some(counter.window())));
    assert_eq!(calls[1].hit(), Some(Hit::new(1, 6)));

    mock.clear_calls();
    block_on(mock.get(&counter.sliding(), NOW)).unwrap();
    assert_eq!((mock.total(), mock.count(Operation::Get)), (2, 2));
}

#[test]
fn calls_are_counted_by_operation_until_records_are_cleared() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    for _ in 0..3 {
        block_on(mock.increment(&counter, &Hit::new(1, 2), NOW)).unwrap();
    }
    block_on(mock.get(&counter, NOW)).unwrap();
    block_on(mock.reset(&counter, None, NOW)).unwrap();

    let counts =
        [Operation::Increment, Operation::Get, Operation::Reset].map(|operation| mock.count(operation));
    assert_eq!((counts, mock.total()), ([3, 1, 1], 5));
    assert_eq!(mock.calls_of(Operation::Increment).len(), 3);
    assert!(mock.calls_of(Operation::Get).iter().all(|call| call.operation() == Operation::Get));

    block_on(mock.increment(&counter, &Hit::new(1, 2), NOW)).unwrap();
    mock.clear_calls();
    assert_eq!((mock.total(), mock.count(Operation::Increment)), (0, 0));
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1, "counters stay");
}

#[test]
fn unpolled_call_is_not_recorded() {
    let (mock, key) = (MockBackend::new(), user());
    drop(mock.increment(&in_this_minute(&key), &Hit::new(1, 2), NOW));
    assert_eq!(mock.total(), 0);
}
