//! The problems that the layer responds with.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::key_header::{KeyHeaderError, MAX_KEY_LENGTH};
use crate::http::KeyError;
use crate::http::problem_details::ProblemDetails;
use crate::http::ratelimit_headers::retry_after_seconds;

/// The delay before a retry after a lost lease: the new owner is executing the request, or done.
const RETRY_AFTER_LOST_LEASE: Duration = Duration::from_secs(1);

/// Why a request is neither executed nor replayed.
#[derive(Debug)]
pub(super) enum IdempotencyProblem {
    Key(KeyHeaderError),
    UnknownCaller(KeyError),
    RequestTooLarge { limit: usize },
    RequestCutOff,
    InProgress { retry_after: Duration },
    KeyReused,
    NotStored { reason: Arc<str> },
    Superseded,
    BackendFailed,
}

impl IdempotencyProblem {
    /// The stored result was not written by this layer, or by another version of it.
    pub(super) fn unreadable() -> Self {
        Self::NotStored { reason: Arc::from("the stored response has an unknown format") }
    }

    /// Returns the member `reason`, which identifies the problem to programs.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Key(KeyHeaderError::Missing) => "idempotency-key-missing",
            Self::Key(_) => "idempotency-key-malformed",
            Self::UnknownCaller(_) => "caller-unknown",
            Self::RequestTooLarge { .. } => "request-too-large",
            Self::RequestCutOff => "request-cut-off",
            Self::InProgress { .. } => "request-in-progress",
            Self::KeyReused => "idempotency-key-reused",
            Self::NotStored { .. } => "response-not-stored",
            Self::Superseded => "response-superseded",
            Self::BackendFailed => "idempotency-unavailable",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Key(_) | Self::UnknownCaller(_) | Self::RequestCutOff => StatusCode::BAD_REQUEST,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InProgress { .. } | Self::NotStored { .. } | Self::Superseded => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BackendFailed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the title. The draft defines those of a missing key, a reused key and a request in
    /// progress.
    const fn title(&self) -> &'static str {
        match self {
            Self::Key(KeyHeaderError::Missing) => "Idempotency-Key is missing",
            Self::Key(_) => "Idempotency-Key is malformed",
            Self::UnknownCaller(_) => "Unknown caller",
            Self::RequestTooLarge { .. } => "Request too large",
            Self::RequestCutOff => "Request cut off",
            Self::InProgress { .. } => "A request is outstanding for this Idempotency-Key",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::NotStored { .. } => "Response not stored",
            Self::Superseded => "Response superseded",
            Self::BackendFailed => "Idempotency unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Key(error) => key_detail(*error),
            Self::UnknownCaller(error) => error.to_string().into(),
            Self::RequestTooLarge { limit } => {
                format!("the request body exceeds the limit of {limit} bytes for requests with a key").into()
            }
            Self::RequestCutOff => {
                "the request body was cut off; send the request again with the same key".into()
            }
            Self::InProgress { .. } => {
                "the same request is in progress; retry with the same key to get its response".into()
            }
            Self::KeyReused => "this key belongs to a request with another method, path, query or body; \
                 use a new key for each request, and the same key only to retry it"
                .into(),
            Self::NotStored { reason } => format!(
                "the request with this key was executed and will not be executed again, \
                 but its response cannot be repeated: {reason}"
            )
            .into(),
            Self::Superseded => "the request ran longer than its lease and a retry took it over; \
                 retry with the same key to get the response of that retry"
                .into(),
            Self::BackendFailed => "idempotency temporarily unavailable; retry with the same key".into(),
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            Self::Superseded => Some(RETRY_AFTER_LOST_LEASE),
            _ => None,
        }
    }

    /// Returns the response. Its problem has a type if there is a base for types.
    pub(super) fn response(&self, type_base: Option<&str>) -> Response<Bytes> {
        let problem = ProblemDetails::new(self.status(), self.detail()).with_member("reason", self.reason());
        let problem = match type_base {
            Some(uri) => problem.with_type(format!("{uri}#{}", self.reason()), self.title()),
            None => problem.with_title(self.title()),
        };
        let mut response = problem.into_response();
        if let Some(wait) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, retry_after_seconds(wait).into());
        }
        response
    }
}

fn key_detail(error: KeyHeaderError) -> Cow<'static, str> {
    match error {
        KeyHeaderError::Missing => {
            "this operation requires the header `Idempotency-Key` with a key such as a UUID, \
             new for each request and the same for its retries"
                .into()
        }
        KeyHeaderError::Repeated => {
            "the header `Idempotency-Key` was sent more than once; send it once".into()
        }
        KeyHeaderError::Malformed => {
            "the header `Idempotency-Key` must be a Structured Fields String, in double quotes, or a token"
                .into()
        }
        KeyHeaderError::Empty => "the key in `Idempotency-Key` is empty; use a key such as a UUID".into(),
        KeyHeaderError::TooLong => {
            format!("the key in `Idempotency-Key` exceeds {MAX_KEY_LENGTH} characters").into()
        }
    }
}
