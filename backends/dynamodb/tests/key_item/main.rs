//! The layout with one item per key: its items, its requests, and what several writers admit.

#[path = "../support/mod.rs"]
mod support;

mod growth;
mod items;
mod random;
mod requests;
mod sharing;

use limited_core::{
    Backend, BackendError, BucketQuota, Counter, CounterState, Hit, Key, Timestamp, Window, WindowLength,
};
use limited_dynamodb::{DynamoDbBackend, Layout};

use crate::support::{Wire, client, raw_item};

/// 2026-11-21T12:00:00Z.
const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);
const UPDATE: &str = "UpdateItem";
const GET: &str = "GetItem";
const QUOTA: BucketQuota = BucketQuota::new(10, 10);

/// Returns another process on the table.
fn process(wire: &Wire) -> DynamoDbBackend {
    wire.builder().layout(Layout::ItemPerKey).build()
}

/// Creates the table.
async fn table() -> (Wire, DynamoDbBackend) {
    let wire = Wire::new();
    wire.backend().await;
    let backend = process(&wire);
    (wire, backend)
}

fn seconds(seconds: u64) -> WindowLength {
    WindowLength::new(std::time::Duration::from_secs(seconds)).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    NOON.saturating_add(std::time::Duration::from_secs(seconds))
}

/// A limit on a key.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Fixed(u64, u128),
    Sliding(u64, u128),
    FirstHit(u64, u128),
    /// Of [`QUOTA`], in tokens per second.
    Bucket,
    Log(u64, u128),
}

impl Limit {
    fn hit<'a>(self, key: &'a Key<'a>, cost: u128, now: Timestamp) -> (Counter<'a>, Hit<'a>) {
        let counter = |window| Counter::new("api", key, window).unwrap();
        match self {
            Self::Fixed(length, limit) => {
                (counter(Window::aligned(now, seconds(length))), Hit::new(cost, limit))
            }
            Self::Sliding(length, limit) => {
                (counter(Window::aligned(now, seconds(length))).sliding(), Hit::new(cost, limit))
            }
            Self::FirstHit(length, limit) => {
                (counter(Window::FromFirstHit { length: seconds(length) }), Hit::new(cost, limit))
            }
            Self::Bucket => {
                let length = WindowLength::SECOND;
                let floor = u128::from(now.as_nanos()) * u128::from(QUOTA.limit);
                let hit = Hit::new(cost * u128::from(length.as_nanos()), floor + QUOTA.fills_in(length));
                (counter(Window::Bucket { length }).with_bucket(QUOTA), hit.with_floor(floor))
            }
            Self::Log(length, limit) => {
                (counter(Window::Log { length: seconds(length) }), Hit::new(cost, limit))
            }
        }
    }
}

/// Hits the limits of a key, all or none.
async fn hit_all(
    backend: &DynamoDbBackend,
    limits: &[Limit],
    cost: u128,
    now: Timestamp,
) -> Result<Vec<CounterState>, BackendError> {
    let key = Key::from("key");
    let hits: Vec<_> = limits.iter().map(|limit| limit.hit(&key, cost, now)).collect();
    backend.increment_all(&hits, now).await
}

/// Hits the limits of a key, and returns whether the hits were counted.
async fn is_admitted(backend: &DynamoDbBackend, limits: &[Limit], now: Timestamp) -> bool {
    let states = hit_all(backend, limits, 1, now).await.unwrap();
    assert_eq!(states.len(), limits.len());
    states.iter().all(|state| state.counted)
}

/// Reads the value of a limit.
async fn value(backend: &DynamoDbBackend, limit: Limit, now: Timestamp) -> u128 {
    let key = Key::from("key");
    let (counter, _) = limit.hit(&key, 1, now);
    backend.get(&counter, now).await.unwrap().value
}

async fn item(wire: &Wire) -> support::RawItem {
    raw_item(&client(wire), "limits", "api#key", "KEY").await
}
