//! Backends over TCP: over the embedded server, or the one that `LIMITED_DYNAMODB_ENDPOINT` names.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use limited_core::{Backend, Counter, CounterState, Hit, Key, Timestamp, Window, WindowLength};
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};

use super::tables::unique_table;
use super::tcp::{serve_over_tcp, tcp_config};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);

/// Returns the configuration of a client of a new server.
pub(crate) async fn config() -> Builder {
    tcp_config(&serve_over_tcp().await.0)
}

/// Returns a builder of a backend over its own tables, which do not exist yet.
pub(crate) fn builder(config: Builder) -> DynamoDbBackendBuilder {
    DynamoDbBackend::builder(Client::from_conf(config.build()))
        .table_name(unique_table("limits"))
        .idempotency_table_name(unique_table("claims"))
        .operation_timeout(Duration::from_secs(30))
}

/// Counts a hit on a key in the minute of `now`.
pub(crate) async fn hit(
    backend: &DynamoDbBackend,
    key: &Key<'_>,
    cost: u128,
    limit: u128,
    now: Timestamp,
) -> CounterState {
    let counter = Counter::new("api", key, Window::aligned(now, WindowLength::MINUTE)).unwrap();
    backend.increment(&counter, &Hit::new(cost, limit), now).await.unwrap()
}
