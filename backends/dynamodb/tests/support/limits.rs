//! Backends over the table `limits` of a wire.

use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};

use super::fault::Fault;
use super::wire::{Wire, client};

impl Wire {
    /// Returns a builder of a backend over the table `limits`. Each backend is a writer of its own.
    pub(crate) fn builder(&self) -> DynamoDbBackendBuilder {
        DynamoDbBackend::builder(client(self)).table_name("limits")
    }

    /// Creates the tables and clears the record. Returns a backend over the table `limits`.
    pub(crate) async fn backend(&self) -> DynamoDbBackend {
        let backend = self.builder().build();
        backend.create_tables().await.unwrap();
        self.clear();
        backend
    }

    /// Lets the next requests meet these faults, one each.
    pub(crate) fn push_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.push_fault(fault));
    }

    /// Returns the operations since the record was last cleared, and clears it.
    pub(crate) fn take_operations(&self) -> Vec<String> {
        let operations = self.requests().into_iter().map(|request| request.operation).collect();
        self.clear();
        operations
    }
}
