//! What requests consume, as the listener is told.

mod loopback;
mod support;

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::Builder;
use limited_core::{Backend, Counter, Hit, Key, Window, WindowId, WindowLength};
use limited_dynamodb::{DynamoDbBackend, Index, Operation};
use loopback::{NOON, builder, config, hit};
use support::Wire;

/// Operation, units, and whether they are an estimate.
type Told = (Operation, f64, bool);

async fn backend(indexes: &[Index]) -> (DynamoDbBackend, impl Fn() -> Vec<Told>) {
    backend_over(config().await, indexes).await
}

async fn backend_over(config: Builder, indexes: &[Index]) -> (DynamoDbBackend, impl Fn() -> Vec<Told>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    let backend = builder(config).indexes(indexes.iter().copied()).on_consumed_capacity(move |consumed| {
        assert!(consumed.table.starts_with("limited-"));
        to.lock().unwrap().push((consumed.operation, consumed.units, consumed.is_estimated));
    });
    let backend = backend.build();
    backend.create_tables().await.unwrap();
    (backend, move || std::mem::take(&mut *told.lock().unwrap()))
}

#[tokio::test]
async fn a_hit_counted_and_a_hit_refused_are_one_write_unit_each() {
    let (backend, told) = backend(&[]).await;
    let key = Key::from("signup");
    assert!(hit(&backend, &key, 1, 1, NOON).await.counted);
    assert_eq!(told(), [(Operation::UpdateItem, 1.0, false)]);
    assert!(!hit(&backend, &key, 1, 1, NOON).await.counted);
    assert_eq!(told(), [(Operation::UpdateItem, 1.0, true)]);
}

#[tokio::test]
async fn reading_is_told_too() {
    let (backend, told) = backend(&[]).await;
    let key = Key::from("signup");
    hit(&backend, &key, 1, 1, NOON).await;
    told();
    let counter = Counter::new("api", &key, Window::aligned(NOON, WindowLength::MINUTE)).unwrap();
    assert_eq!(backend.get(&counter, NOON).await.unwrap().value, 1);
    assert_eq!(told(), [(Operation::GetItem, 1.0, false)]);
}

#[tokio::test]
async fn a_reset_is_told_whether_or_not_it_deletes() {
    let (backend, told) = backend(&[]).await;
    let key = Key::from("signup");
    let counter = Counter::new("api", &key, Window::FromFirstHit { length: WindowLength::MINUTE }).unwrap();
    let meta = Hit::new(1, 1).with_window_meta(WindowId(7), None);
    backend.increment(&counter, &meta, NOON).await.unwrap();
    told();
    backend.reset(&counter, Some(WindowId(8)), NOON).await.unwrap();
    assert_eq!(told(), [(Operation::DeleteItem, 1.0, true)]);
    backend.reset(&counter, Some(WindowId(7)), NOON).await.unwrap();
    assert_eq!(told(), [(Operation::DeleteItem, 1.0, false)]);
}

#[tokio::test]
async fn a_refusal_pays_for_the_size_of_the_item() {
    let (backend, told) = backend(&[]).await;
    // The key is written twice: in `Identifier`, and in `BucketKey`.
    let key = Key::new().tenant("t".repeat(1_000));
    hit(&backend, &key, 1, 1, NOON).await;
    let (_, made, _) = told()[0];
    hit(&backend, &key, 1, 1, NOON).await;
    assert_eq!(told(), [(Operation::UpdateItem, made, true)]);
    assert!(made > 2.0, "{made}");
}

#[tokio::test]
async fn an_index_costs_a_write_for_the_first_hit_of_a_window_and_none_after_it() {
    let (backend, told) = backend(&Index::ALL).await;
    let key = Key::new().tenant("acme").user("7").ip([192, 0, 2, 1]);
    for units in [5.0, 1.0, 1.0] {
        hit(&backend, &key, 1, 10, NOON).await;
        assert_eq!(told(), [(Operation::UpdateItem, units, false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_what_is_billed() {
    let wire = Wire::new();
    let (backend, told) = backend_over(support::config(&wire), &[Index::Tenant]).await;
    wire.clear();
    for length in [1, 500, 1_000] {
        let key = Key::new().tenant("t".repeat(length));
        for _ in 0..4 {
            hit(&backend, &key, 1, 2, NOON).await;
        }
    }
    let told: Vec<_> =
        told().into_iter().map(|(operation, units, _)| (operation.name().to_owned(), units)).collect();
    let billed: Vec<_> = wire
        .requests()
        .into_iter()
        .map(|request| (request.operation.clone(), request.units.unwrap()))
        .collect();
    assert_eq!(told, billed);
    assert_eq!(told.len(), 12);
}
