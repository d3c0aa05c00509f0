//! Servers that do not return the item for which a condition failed.

use std::time::Duration;

use limited_core::{Backend, BackendError, ClaimRequest, FinishResult, LeaseStatus, Owner, Record};
use limited_dynamodb::DynamoDbBackend;

use crate::support::Fault;
use crate::table::{ALICE, BOB, LEASE, NOON, Table, after, claim, done, granted, held, key, order};

async fn table() -> (Table, DynamoDbBackend) {
    let (table, backend) = Table::new().await;
    table.wire.hide_old_items();
    (table, backend)
}

#[tokio::test(start_paused = true)]
async fn lost_claim_has_the_record_of_the_new_owner() {
    let (_, backend) = table().await;
    let (key, later) = (key(), after(LEASE));
    let on = order(&key);
    granted(claim(&backend, ALICE, NOON).await);
    granted(claim(&backend, BOB, later).await);
    let is_of_bob = |record: Option<Record>| match record {
        Some(Record::InProgress(held)) => held.owner == BOB,
        _ => false,
    };
    let FinishResult::Lost(record) = backend.finish(&on, &done(ALICE, "1"), later).await.unwrap() else {
        panic!("the claim was lost")
    };
    assert!(is_of_bob(record), "finish");
    for (operation, status) in [
        ("renew", backend.renew(&on, ALICE, after(3 * LEASE), later).await.unwrap()),
        ("release", backend.release(&on, ALICE, later).await.unwrap()),
    ] {
        let LeaseStatus::Lost(record) = status else { panic!("the claim was lost") };
        assert!(is_of_bob(record), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_recognises_itself_after_a_lost_response() {
    let (table, backend) = table().await;
    let key = key();
    let on = order(&key);
    let lose = || table.wire.push_fault_on("UpdateItem", Fault::CutAfter);
    lose();
    granted(claim(&backend, ALICE, NOON).await);
    lose();
    assert_eq!(backend.renew(&on, ALICE, after(2 * LEASE), NOON).await.unwrap(), LeaseStatus::Owned);
    lose();
    assert_eq!(backend.release(&on, ALICE, NOON).await.unwrap(), LeaseStatus::Owned);
    granted(claim(&backend, BOB, NOON).await);
    lose();
    assert_eq!(backend.finish(&on, &done(BOB, "1"), NOON).await.unwrap(), FinishResult::Stored);
    assert!(matches!(held(claim(&backend, ALICE, NOON).await), Record::Finished(_)));
}

/// The key is held when the claim is written, and free when its record is read.
#[tokio::test(start_paused = true)]
async fn claim_of_a_key_that_is_released_meanwhile_is_granted() {
    for is_gone in [false, true] {
        let (table, backend) = table().await;
        granted(claim(&backend, ALICE, NOON).await);
        table.wire.push_fault_on("GetItem", Fault::DelayBefore(Duration::from_millis(20)));
        let claiming = tokio::spawn({
            let backend = backend.clone();
            async move { claim(&backend, BOB, NOON).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        if is_gone {
            table.delete().await;
        } else {
            backend.release(&order(&key()), ALICE, NOON).await.unwrap();
        }
        granted(claiming.await.unwrap());
    }
}

/// The owner's claim arrives between the write of each operation and the read after it.
#[tokio::test(start_paused = true)]
async fn operation_on_a_claim_that_arrives_meanwhile_is_done() {
    for operation in ["finish", "renew", "release"] {
        let (table, backend) = table().await;
        table.wire.push_fault_on("GetItem", Fault::DelayBefore(Duration::from_millis(20)));
        let running = tokio::spawn({
            let backend = backend.clone();
            async move {
                let key = key();
                let on = order(&key);
                match operation {
                    "finish" => {
                        let result = backend.finish(&on, &done(ALICE, "1"), NOON).await.unwrap();
                        result == FinishResult::Stored
                    }
                    "renew" => {
                        let result = backend.renew(&on, ALICE, after(2 * LEASE), NOON).await.unwrap();
                        result == LeaseStatus::Owned
                    }
                    _ => backend.release(&on, ALICE, NOON).await.unwrap() == LeaseStatus::Owned,
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        granted(claim(&backend, ALICE, NOON).await);
        assert!(running.await.unwrap(), "{operation}");
    }
}

/// Each write finds the key held, and each read finds it free.
#[tokio::test(start_paused = true)]
async fn claim_of_a_record_that_changes_before_each_request_is_throttled() {
    let (table, backend) = table().await;
    granted(claim(&backend, ALICE, NOON).await);
    table.wire.set_latency(Duration::from_millis(20));
    table.wire.clear();
    let claiming = tokio::spawn({
        let backend = backend.clone();
        async move {
            let request = ClaimRequest::new(BOB, after(LEASE));
            backend.claim(&order(&key()), &request, NOON).await
        }
    });
    // Requests reach the server after 10 ms: those of Bob at 10, 30, 50 ms and so on, and these in
    // the middle between two of them.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut owner = ALICE;
    while !claiming.is_finished() {
        assert_eq!(backend.release(&order(&key()), owner, NOON).await.unwrap(), LeaseStatus::Owned);
        owner = Owner(owner.0 + 1);
        granted(claim(&backend, owner, NOON).await);
    }
    let error = claiming.await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Throttled(_)), "{error:?}");
    assert_eq!(table.wire.count("GetItem"), 4);
}
