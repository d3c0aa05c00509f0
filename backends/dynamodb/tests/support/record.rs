//! What went over the wire.

use serde_json::Value;
use tokio::time::Instant;

use super::emulator::{Answer, capacity_units};
use super::fault::Fault;

/// One request: each attempt of the SDK is one.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// `"UpdateItem"`, say.
    pub(crate) operation: String,
    pub(crate) request: Value,
    /// When the client sent it, on tokio's clock.
    pub(crate) sent_at: Instant,
    /// What befell it.
    pub(crate) fault: Fault,
    /// Whether the server has run it. A late one has not at first; see [`Wire::settled`](super::Wire::settled).
    pub(crate) reached: bool,
    /// Whether the client was given the whole answer.
    pub(crate) answered: bool,
    /// The answer's status, though it may have been lost on the way; `None` where there is no answer.
    pub(crate) status: Option<u16>,
    /// The answer's body, likewise.
    pub(crate) response: Option<Value>,
    /// The capacity units it is billed, asked for or not, those of failed conditions included; `None` for operations
    /// without, and for what the server did not run.
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
            answered: false,
            status: None,
            response: None,
            units: None,
        }
    }

    pub(crate) fn fill(&mut self, answer: &Answer) {
        self.status = Some(answer.status);
        self.response = Some(answer.body.clone());
        self.units = answer.units;
    }

    /// The capacity units that the client was told, which it has to ask for.
    pub(crate) fn consumed_capacity(&self) -> Option<f64> {
        self.response.as_ref()?.get("ConsumedCapacity").and_then(capacity_units)
    }

    /// The error's short name (`"ConditionalCheckFailedException"`), if it is one.
    pub(crate) fn error(&self) -> Option<&str> {
        let kind = self.response.as_ref()?.get("__type")?.as_str()?;
        Some(kind.rsplit_once('#').map_or(kind, |(_, name)| name))
    }

    /// Whether the server ran the write and its condition held.
    pub(crate) fn is_applied(&self) -> bool {
        self.reached && self.status == Some(200)
    }
}
