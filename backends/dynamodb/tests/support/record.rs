//! The record of a request.

use serde_json::Value;

use super::emulator::Response;
use super::fault::Fault;

/// One request. Each attempt of the SDK is a request.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// Such as `"UpdateItem"`.
    pub(crate) operation: String,
    pub(crate) request: Value,
    /// The fault that it met.
    pub(crate) fault: Fault,
    /// Whether the server has run it. A delayed request runs later; see
    /// [`Wire::drained`](super::Wire::drained).
    pub(crate) reached: bool,
    /// The status of the response, even if it was lost; `None` if there is none.
    pub(crate) status: Option<u16>,
    /// The capacity units that it is billed, requested or not, and for failed conditions too.
    /// `None` for operations that have none, and for requests that the server did not run.
    pub(crate) units: Option<f64>,
}

impl RecordedRequest {
    pub(crate) fn new(operation: String, request: Value, fault: Fault) -> Self {
        Self { operation, request, fault, reached: false, status: None, units: None }
    }

    pub(crate) fn fill(&mut self, response: &Response) {
        self.status = Some(response.status);
        self.units = response.units;
    }

    /// Returns whether the server ran the write and its condition held.
    pub(crate) fn is_applied(&self) -> bool {
        self.reached && self.status == Some(200)
    }
}
