//! The record of a request.

use serde_json::Value;
use tokio::time::Instant;

use super::emulator::{Response, capacity_units};
use super::fault::Fault;

/// One request. Each attempt of the SDK is a request.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// Such as `"UpdateItem"`.
    pub(crate) operation: String,
    pub(crate) request: Value,
    /// When the client sent it, by tokio's clock.
    pub(crate) sent_at: Instant,
    /// The fault that it met.
    pub(crate) fault: Fault,
    /// Whether the server has run it. A delayed request runs later; see
    /// [`Wire::drained`](super::Wire::drained).
    pub(crate) reached: bool,
    /// Whether the client received the whole response.
    pub(crate) completed: bool,
    /// The status of the response, even if it was lost; `None` if there is none.
    pub(crate) status: Option<u16>,
    /// The body of the response, even if it was lost.
    pub(crate) response: Option<Value>,
    /// The capacity units that it is billed, requested or not, and for failed conditions too.
    /// `None` for operations that have none, and for requests that the server did not run.
    pub(crate) units: Option<f64>,
}

impl RecordedRequest {
    pub(crate) fn new(operation: String, request: Value, fault: Fault) -> Self {
        Self {
            operation,
            request,
            sent_at: Instant::now(),
            fault,
            reached: false,
            completed: false,
            status: None,
            response: None,
            units: None,
        }
    }

    pub(crate) fn fill(&mut self, response: &Response) {
        self.status = Some(response.status);
        self.response = Some(response.body.clone());
        self.units = response.units;
    }

    /// Returns the capacity units that the client received, which it has to request.
    pub(crate) fn consumed_capacity(&self) -> Option<f64> {
        self.response.as_ref()?.get("ConsumedCapacity").and_then(capacity_units)
    }

    /// Returns the short name of the error, such as `"ConditionalCheckFailedException"`.
    pub(crate) fn error(&self) -> Option<&str> {
        let kind = self.response.as_ref()?.get("__type")?.as_str()?;
        Some(kind.rsplit_once('#').map_or(kind, |(_, name)| name))
    }

    /// Returns whether the server ran the write and its condition held.
    pub(crate) fn is_applied(&self) -> bool {
        self.reached && self.status == Some(200)
    }
}
