//! A backend on a table of its own, over TCP: the embedded server, or the one that `LIMITED_DYNAMODB_ENDPOINT` names.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use limited_core::{Backend, Counter, CounterState, Hit, Key, Timestamp, Window, WindowLength};
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};

use crate::support::{serve_over_tcp, tcp_config, unique_table};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);

/// What a client of the server is made of.
pub(crate) async fn config() -> Builder {
    tcp_config(&serve_over_tcp().await.0)
}

/// A backend over its own tables, which are not there yet.
pub(crate) fn builder(config: Builder) -> DynamoDbBackendBuilder {
    DynamoDbBackend::builder(Client::from_conf(config.build()))
        .table_name(unique_table("limits"))
        .idempotency_table_name(unique_table("claims"))
        .operation_timeout(Duration::from_secs(30))
}

/// A hit on a key in the minute of `now`.
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
