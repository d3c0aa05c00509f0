//! A table at the other end of a wire without sockets, and backends of several writers at this end.

#![allow(dead_code, reason = "each test file takes what it needs")]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};

pub(crate) use support::{Fault, RecordedRequest};

#[derive(Clone)]
pub(crate) struct Wire(support::Wire);

impl Wire {
    pub(crate) fn new() -> Self {
        Self(support::Wire::new())
    }

    /// A backend of a writer of its own, over the table `limits`.
    pub(crate) fn builder(&self) -> DynamoDbBackendBuilder {
        DynamoDbBackend::builder(support::client(&self.0)).table_name("limits")
    }

    /// A backend over the table `limits`, which is made. Nothing is recorded yet.
    pub(crate) async fn backend(&self) -> DynamoDbBackend {
        let backend = self.builder().build();
        backend.create_tables().await.unwrap();
        self.0.clear();
        backend
    }

    /// Every request takes so long, there and back.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.0.set_latency(latency);
    }

    /// What happens to the next requests, one after the other.
    pub(crate) fn push(&self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.0.push_fault(fault));
    }

    pub(crate) fn clear_faults(&self) {
        self.0.clear_faults();
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.0.requests()
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    /// The operations that went over the wire since it was last cleared.
    pub(crate) fn take_operations(&self) -> Vec<String> {
        let operations = self.0.requests().into_iter().map(|request| request.operation).collect();
        self.0.clear();
        operations
    }
}
