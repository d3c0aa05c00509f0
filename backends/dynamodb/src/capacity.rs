//! What requests consume, and the observer that it is reported to.

use std::fmt;
use std::sync::Arc;

/// A request to DynamoDB, by DynamoDB's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `GetItem`: a consistent read of a counter or a claim. Consumes read units.
    GetItem,
    /// `UpdateItem`: counted or refused hits, and every change of a claim. Consumes write units.
    UpdateItem,
    /// `DeleteItem`: a reset of a counter. Consumes write units.
    DeleteItem,
    /// `TransactWriteItems`: hits on several counters, all or none. Consumes write units: two for
    /// each that a write of the same item would consume.
    TransactWriteItems,
    /// `Query`: a page of an index. Consumes read units.
    Query,
    /// `BatchGetItem`: consistent reads of the items on a page of an index, or of several counters.
    /// Consumes read units.
    BatchGetItem,
}

impl Operation {
    /// Returns DynamoDB's name of the operation, such as `UpdateItem`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetItem => "GetItem",
            Self::UpdateItem => "UpdateItem",
            Self::DeleteItem => "DeleteItem",
            Self::TransactWriteItems => "TransactWriteItems",
            Self::Query => "Query",
            Self::BatchGetItem => "BatchGetItem",
        }
    }

    /// Returns whether its units are write units. Otherwise they are read units.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::UpdateItem | Self::DeleteItem | Self::TransactWriteItems)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one request consumed, as reported to the callback of
/// [`on_consumed_capacity`](crate::DynamoDbBackendBuilder::on_consumed_capacity).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Consumed<'a> {
    /// The request.
    pub operation: Operation,
    /// The capacity units of the table and its indexes: [write units](Operation::is_write), or read
    /// units.
    pub units: f64,
    /// Whether the units are an estimate. DynamoDB bills a write whose condition failed, but does
    /// not report its units.
    pub is_estimated: bool,
    /// The table.
    pub table: &'a str,
}

/// The callback that is called with the capacity of each request.
#[derive(Clone)]
pub(crate) struct CapacityObserver(Arc<dyn Fn(&Consumed<'_>) + Send + Sync>);

impl CapacityObserver {
    pub(crate) fn new(observer: impl Fn(&Consumed<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observer))
    }

    pub(crate) fn observe(&self, consumed: &Consumed<'_>) {
        (self.0)(consumed);
    }
}

impl fmt::Debug for CapacityObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CapacityObserver")
    }
}
