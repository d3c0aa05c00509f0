//! The requests of claims, counted on the wire: the table in the README.

use std::sync::{Arc, Mutex};

use limited_core::{Backend, FinishResult, LeaseStatus};
use limited_dynamodb::{ClaimIndex, Operation};

use crate::table::{ALICE, BOB, LEASE, NOON, Table, after, claim, done, granted, held, key, order, seconds};

const UPDATE: [&str; 1] = ["UpdateItem"];
const GET: [&str; 1] = ["GetItem"];

#[tokio::test]
async fn every_operation_on_a_record_is_one_request_whatever_its_result() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    let expires_at = after(2 * LEASE);

    assert_eq!(backend.find(&on, NOON).await.unwrap(), None);
    assert_eq!(table.take_operations(), GET, "nothing found");
    for lost in [
        backend.renew(&on, ALICE, expires_at, NOON).await.unwrap(),
        backend.release(&on, ALICE, NOON).await.unwrap(),
    ] {
        assert_eq!(lost, LeaseStatus::Lost(None));
    }
    assert_eq!(backend.finish(&on, &done(ALICE, "1"), NOON).await.unwrap(), FinishResult::Lost(None));
    let lost = ["UpdateItem", "GetItem"].repeat(3);
    assert_eq!(table.take_operations(), lost, "lost, without a record");
    backend.forget(&on, NOON).await.unwrap();
    assert_eq!(table.take_operations(), UPDATE, "nothing to forget");

    granted(claim(&backend, ALICE, NOON).await);
    assert_eq!(table.take_operations(), UPDATE, "granted");
    granted(claim(&backend, ALICE, NOON).await);
    assert_eq!(table.take_operations(), UPDATE, "granted again");
    held(claim(&backend, BOB, NOON).await);
    assert_eq!(table.take_operations(), UPDATE, "held");
    for _ in 0..2 {
        assert_eq!(backend.renew(&on, ALICE, expires_at, NOON).await.unwrap(), LeaseStatus::Owned);
        assert_eq!(table.take_operations(), UPDATE, "renewed");
    }
    for _ in 0..2 {
        assert_eq!(backend.release(&on, ALICE, NOON).await.unwrap(), LeaseStatus::Owned);
        assert_eq!(table.take_operations(), UPDATE, "released");
    }
    backend.claim(&on, &limited_core::ClaimRequest::new(ALICE, expires_at), NOON).await.unwrap_err();
    assert_eq!(table.take_operations(), UPDATE, "an owner that has released the key");
    granted(claim(&backend, BOB, NOON).await);
    assert_eq!(table.take_operations(), UPDATE, "a released key");
    for _ in 0..2 {
        assert_eq!(backend.finish(&on, &done(BOB, "1"), NOON).await.unwrap(), FinishResult::Stored);
        assert_eq!(table.take_operations(), UPDATE, "finished");
    }
    held(claim(&backend, ALICE, NOON).await);
    assert_eq!(table.take_operations(), UPDATE, "a replay");
    assert!(backend.find(&on, NOON).await.unwrap().is_some());
    assert_eq!(table.take_operations(), GET, "found");
    assert!(matches!(
        backend.finish(&on, &done(ALICE, "2"), NOON).await.unwrap(),
        FinishResult::Lost(Some(_))
    ));
    assert_eq!(table.take_operations(), UPDATE, "lost to another");
    backend.forget(&on, NOON).await.unwrap();
    assert_eq!(table.take_operations(), UPDATE, "forgotten");
}

#[tokio::test]
async fn find_is_a_consistent_read() {
    let (table, backend) = Table::new().await;
    backend.find(&order(&key()), NOON).await.unwrap();
    assert_eq!(table.wire.requests()[0].request["ConsistentRead"], true);
}

#[tokio::test]
async fn small_claim_costs_one_write_unit_and_replay_costs_the_result() {
    let (table, _) = Table::new().await;
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&reported);
    let backend = table.builder().on_consumed_capacity(move |consumed| {
        assert_eq!(consumed.table, "claims");
        observed.lock().unwrap().push((consumed.operation, consumed.units, consumed.is_estimated));
    });
    let backend = backend.build();
    let reported = || std::mem::take(&mut *reported.lock().unwrap());
    let key = key();
    let on = order(&key);

    granted(claim(&backend, ALICE, NOON).await);
    backend.renew(&on, ALICE, after(2 * LEASE), NOON).await.unwrap();
    assert_eq!(reported(), [(Operation::UpdateItem, 1.0, false); 2]);
    held(claim(&backend, BOB, NOON).await);
    assert_eq!(
        reported(),
        [(Operation::UpdateItem, 1.0, true)],
        "a refused claim is billed and not reported by DynamoDB"
    );

    backend.finish(&on, &done(ALICE, &format!("\"{}\"", "x".repeat(20_000))), NOON).await.unwrap();
    held(claim(&backend, BOB, seconds(1)).await);
    backend.find(&on, seconds(1)).await.unwrap();
    let units = reported();
    assert_eq!(
        units,
        [
            (Operation::UpdateItem, 20.0, false),
            (Operation::UpdateItem, 20.0, true),
            (Operation::GetItem, 5.0, false)
        ]
    );
    let billed: Vec<_> = table.wire.requests().iter().filter_map(|request| request.units).collect();
    assert_eq!(billed, [1.0, 1.0, 1.0, 20.0, 20.0, 5.0], "the billed units are the reported units");
}

#[tokio::test]
async fn status_index_raises_two_write_units_to_five() {
    for (indexes, units) in [(vec![], [1.0, 1.0]), (vec![ClaimIndex::Status], [2.0, 3.0])] {
        let table = Table::not_created();
        let backend = table.builder().claim_indexes(indexes).build();
        backend.create_idempotency_table().await.unwrap();
        table.wire.clear();
        granted(claim(&backend, ALICE, NOON).await);
        backend.finish(&order(&key()), &done(ALICE, "1"), NOON).await.unwrap();
        let billed: Vec<_> = table.wire.requests().iter().filter_map(|request| request.units).collect();
        assert_eq!(billed, units);
    }
}
