//! The capacity that requests consume, as reported to the observer.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::Builder;
use limited_core::{Backend, Counter, Hit, Key, Window, WindowId, WindowLength};
use limited_dynamodb::{DynamoDbBackend, Index, Operation};

use crate::support::loopback::{NOON, builder, config, hit};
use crate::support::{self, Wire};

/// Operation, units, and whether they are an estimate.
type Reported = (Operation, f64, bool);

async fn backend(indexes: &[Index]) -> (DynamoDbBackend, impl Fn() -> Vec<Reported>) {
    backend_over(config().await, indexes).await
}

async fn backend_over(config: Builder, indexes: &[Index]) -> (DynamoDbBackend, impl Fn() -> Vec<Reported>) {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&reported);
    let backend = builder(config).indexes(indexes.iter().copied()).on_consumed_capacity(move |consumed| {
        assert!(consumed.table.starts_with("limited-"));
        observed.lock().unwrap().push((consumed.operation, consumed.units, consumed.is_estimated));
    });
    let backend = backend.build();
    backend.create_tables().await.unwrap();
    (backend, move || std::mem::take(&mut *reported.lock().unwrap()))
}

#[tokio::test]
async fn counted_hit_and_refused_hit_cost_one_write_unit_each() {
    let (backend, reported) = backend(&[]).await;
    let key = Key::from("signup");
    assert!(hit(&backend, &key, 1, 1, NOON).await.counted);
    assert_eq!(reported(), [(Operation::UpdateItem, 1.0, false)]);
    assert!(!hit(&backend, &key, 1, 1, NOON).await.counted);
    assert_eq!(reported(), [(Operation::UpdateItem, 1.0, true)]);
}

#[tokio::test]
async fn transaction_costs_two_write_units_per_counter_also_if_it_is_cancelled() {
    let (backend, reported) = backend_over(support::config(&Wire::new()), &[]).await;
    let other = DynamoDbBackend::builder(backend.client().clone()).table_name(backend.table_name()).build();
    let keys = ["one", "two"].map(Key::from);
    let window = Window::aligned(NOON, WindowLength::MINUTE);
    let hit = |key| (Counter::new("", key, window).unwrap(), Hit::new(1, 1));
    let hits: Vec<_> = keys.iter().map(hit).collect();
    assert!(other.increment(&hits[0].0, &hits[0].1, NOON).await.unwrap().counted);
    assert!(!backend.increment_all(&hits, NOON).await.unwrap()[0].counted);
    assert_eq!(reported(), [(Operation::TransactWriteItems, 4.0, true)]);
    backend.reset(&hits[0].0, None, NOON).await.unwrap();
    reported();
    assert!(backend.increment_all(&hits, NOON).await.unwrap()[0].counted);
    assert_eq!(reported(), [(Operation::TransactWriteItems, 4.0, false)]);
}

#[tokio::test]
async fn read_is_reported() {
    let (backend, reported) = backend(&[]).await;
    let key = Key::from("signup");
    hit(&backend, &key, 1, 1, NOON).await;
    reported();
    let counter = Counter::new("api", &key, Window::aligned(NOON, WindowLength::MINUTE)).unwrap();
    assert_eq!(backend.get(&counter, NOON).await.unwrap().value, 1);
    assert_eq!(reported(), [(Operation::GetItem, 1.0, false)]);
}

#[tokio::test]
async fn reset_is_reported_whether_or_not_it_deletes() {
    let (backend, reported) = backend(&[]).await;
    let key = Key::from("signup");
    let counter = Counter::new("api", &key, Window::FromFirstHit { length: WindowLength::MINUTE }).unwrap();
    let opening = Hit::new(1, 1).with_window_meta(WindowId(7), None);
    backend.increment(&counter, &opening, NOON).await.unwrap();
    reported();
    backend.reset(&counter, Some(WindowId(8)), NOON).await.unwrap();
    assert_eq!(reported(), [(Operation::DeleteItem, 1.0, true)]);
    backend.reset(&counter, Some(WindowId(7)), NOON).await.unwrap();
    assert_eq!(reported(), [(Operation::DeleteItem, 1.0, false)]);
}

#[tokio::test]
async fn refusal_costs_the_size_of_the_item() {
    let (backend, reported) = backend(&[]).await;
    // The item contains the key twice: in `Identifier` and in `BucketKey`.
    let key = Key::new().tenant("t".repeat(1_000));
    hit(&backend, &key, 1, 1, NOON).await;
    let (_, of_first_hit, _) = reported()[0];
    hit(&backend, &key, 1, 1, NOON).await;
    assert_eq!(reported(), [(Operation::UpdateItem, of_first_hit, true)]);
    assert!(of_first_hit > 2.0, "{of_first_hit}");
}

#[tokio::test]
async fn index_costs_a_write_for_the_first_hit_of_a_window_only() {
    let (backend, reported) = backend(&Index::ALL).await;
    let key = Key::new().tenant("acme").user("7").ip([192, 0, 2, 1]);
    for units in [5.0, 1.0, 1.0] {
        hit(&backend, &key, 1, 10, NOON).await;
        assert_eq!(reported(), [(Operation::UpdateItem, units, false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn reported_units_are_the_billed_units() {
    let wire = Wire::new();
    let (backend, reported) = backend_over(support::config(&wire), &[Index::Tenant]).await;
    wire.clear();
    for length in [1, 500, 1_000] {
        let key = Key::new().tenant("t".repeat(length));
        for _ in 0..4 {
            hit(&backend, &key, 1, 2, NOON).await;
        }
    }
    let reported: Vec<_> =
        reported().into_iter().map(|(operation, units, _)| (operation.name().to_owned(), units)).collect();
    let billed: Vec<_> = wire
        .requests()
        .into_iter()
        .map(|request| (request.operation.clone(), request.units.unwrap()))
        .collect();
    assert_eq!(reported, billed);
    assert_eq!(reported.len(), 12);
}
