//! The problems that the layer responds with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::key_header::KeyHeaderError;
use crate::BackendError;
use crate::http::KeyError;
use crate::http::problem_details::ProblemDetails;
use crate::http::retry_after::retry_after_seconds;

/// The delay before a retry after a lost lease: the new owner is executing the request, or done.
const RETRY_AFTER_LOST_LEASE: Duration = Duration::from_secs(1);

/// The delay before a retry if the backend is full or unavailable. It does not say for how long.
const RETRY_AFTER_OUTAGE: Duration = Duration::from_secs(5);

/// The longest `Retry-After`, in seconds: 24.8 days. Clients that keep a wait in milliseconds in 32
/// bits do not wait at all for a longer one.
const MAX_RETRY_AFTER: u64 = i32::MAX as u64 / 1_000;

/// A problem concerns one request at one moment, so no cache may return it to another.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why a request is neither executed nor replayed. The message is the `detail` of the problem.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdempotencyProblem {
    #[error("{0}")]
    Key(KeyHeaderError),
    #[error("{0}")]
    UnknownCaller(KeyError),
    #[error("the request body exceeds the limit of {limit} bytes for requests with a key")]
    RequestTooLarge { limit: usize },
    #[error("the request body was cut off; send the request again with the same key")]
    RequestCutOff,
    #[error("the same request is in progress; retry with the same key to get its response")]
    InProgress { retry_after: Duration },
    #[error(
        "this key belongs to a request with another method, URI, content type or body; \
         use a new key for each request, and the same key only to retry it"
    )]
    KeyReused,
    #[error(
        "the request with this key was executed and will not be executed again, \
         but its response cannot be repeated: {reason}"
    )]
    NotStored { reason: Arc<str> },
    #[error(
        "the request ran longer than its lease and a retry took it over; \
         retry with the same key to get the response of that retry"
    )]
    Superseded,
    #[error(
        "the request ran longer than it may and was stopped; it may have had an effect; \
         retry with the same key"
    )]
    Stopped,
    #[error(
        "too many requests with a key are in progress or stored, and this one was not executed; \
         retry later with the same key"
    )]
    BackendFull,
    #[error("idempotency temporarily unavailable; retry with the same key")]
    BackendFailed { is_retryable: bool },
}

impl IdempotencyProblem {
    /// Returns the problem if the backend failed before the request was executed. Its error may
    /// contain internals, so the client does not get it.
    pub(super) fn backend_failed(error: &BackendError) -> Self {
        match error {
            BackendError::Full { .. } => Self::BackendFull,
            error => Self::BackendFailed { is_retryable: error.is_retryable() },
        }
    }

    /// The stored result was not written by this layer, or by another version of it.
    pub(super) fn unreadable() -> Self {
        Self::NotStored { reason: Arc::from("the stored response has an unknown format") }
    }

    /// Returns the status, the member `reason`, which identifies the problem to programs, and the
    /// title. The draft defines the titles for a missing key, a reused key and a request in
    /// progress.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Key(KeyHeaderError::Missing) => {
                (StatusCode::BAD_REQUEST, "idempotency-key-missing", "Idempotency-Key is missing")
            }
            Self::Key(_) => {
                (StatusCode::BAD_REQUEST, "idempotency-key-malformed", "Idempotency-Key is malformed")
            }
            Self::UnknownCaller(KeyError::Misconfigured(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "server-misconfigured", "Server misconfigured")
            }
            Self::UnknownCaller(_) => (StatusCode::BAD_REQUEST, "caller-unknown", "Unknown caller"),
            Self::RequestTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", "Request too large")
            }
            Self::RequestCutOff => (StatusCode::BAD_REQUEST, "request-cut-off", "Request cut off"),
            Self::InProgress { .. } => (
                StatusCode::CONFLICT,
                "request-in-progress",
                "A request is outstanding for this Idempotency-Key",
            ),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "Idempotency-Key is already used",
            ),
            Self::NotStored { .. } => (StatusCode::CONFLICT, "response-not-stored", "Response not stored"),
            Self::Superseded => (StatusCode::CONFLICT, "response-superseded", "Response superseded"),
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "request-stopped", "Request stopped"),
            Self::BackendFull => {
                (StatusCode::SERVICE_UNAVAILABLE, "idempotency-full", "Too many requests with a key")
            }
            Self::BackendFailed { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "idempotency-unavailable", "Idempotency unavailable")
            }
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            Self::Superseded | Self::Stopped => Some(RETRY_AFTER_LOST_LEASE),
            Self::BackendFull | Self::BackendFailed { is_retryable: true } => Some(RETRY_AFTER_OUTAGE),
            _ => None,
        }
    }

    /// Returns the response. Its problem has a type if there is a base for types.
    pub(super) fn response(&self, type_base: Option<&str>) -> Response<Bytes> {
        let (status, reason, title) = self.kind();
        let problem = ProblemDetails::new(status, self.to_string()).with_member("reason", reason);
        let mut response = match type_base {
            Some(uri) => problem.with_type(format!("{uri}#{reason}"), title),
            None => problem.with_title(title),
        }
        .into_response();
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        if let Some(wait) = self.retry_after() {
            let seconds = retry_after_seconds(wait).min(MAX_RETRY_AFTER);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
