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
        Self::NotStored { reason: Arc::from("it is kept in a form that cannot be read here") }
    }

    /// Returns the member `reason`, which identifies the problem to programs.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Key(KeyHeaderError::Missing) => "idempotency-key-missing",
            Self::Key(_) => "idempotency-key-malformed",
            Self::UnknownCaller(_) => "caller-unknown",
            Self::RequestTooLarge { .. } => "request-too-large",
            Self::RequestCutOff => "request-broken-off",
            Self::InProgress { .. } => "request-in-progress",
            Self::KeyReused => "idempotency-key-reused",
            Self::NotStored { .. } => "answer-not-kept",
            Self::Superseded => "answer-superseded",
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
            Self::UnknownCaller(_) => "The caller is unknown",
            Self::RequestTooLarge { .. } => "The request is too large",
            Self::RequestCutOff => "The request broke off",
            Self::InProgress { .. } => "A request is outstanding for this Idempotency-Key",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::NotStored { .. } => "The answer was not kept",
            Self::Superseded => "The answer is superseded",
            Self::BackendFailed => "Idempotency is unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Key(error) => key_detail(*error),
            Self::UnknownCaller(error) => error.to_string().into(),
            Self::RequestTooLarge { limit } => format!(
                "a request with an idempotency key may have a body of {limit} bytes: this one has more"
            )
            .into(),
            Self::RequestCutOff => {
                "the body of the request ended before its end: send it again with the same key".into()
            }
            Self::InProgress { .. } => {
                "the same request is being carried out: ask again with the same key for its answer".into()
            }
            Self::KeyReused => "this key belongs to a request with another method, path, query or body: \
                 use a fresh key for each request, and the same key only to send the same request again"
                .into(),
            Self::NotStored { reason } => format!(
                "the request with this key was carried out, and is not carried out again; \
                 its answer cannot be given once more: {reason}"
            )
            .into(),
            Self::Superseded => "the request took longer than it was held for, and was taken over: \
                 ask again with the same key for the answer that counts"
                .into(),
            Self::BackendFailed => {
                "whether the request was carried out before cannot be told at the moment: \
                 send it again with the same key"
                    .into()
            }
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
            "this operation needs the header `Idempotency-Key`: a key of the client's choosing, fresh for each request \
             and the same when it is sent again, such as a UUID"
                .into()
        }
        KeyHeaderError::Repeated => {
            "the header `Idempotency-Key` is there more than once: send it once".into()
        }
        KeyHeaderError::Malformed => {
            "the header `Idempotency-Key` has to be a String of Structured Fields, in double quotes, or a token"
                .into()
        }
        KeyHeaderError::Empty => {
            "the key in `Idempotency-Key` is empty: make up one, such as a UUID".into()
        }
        KeyHeaderError::TooLong => {
            format!("the key in `Idempotency-Key` may have {MAX_KEY_LENGTH} characters").into()
        }
    }
}
