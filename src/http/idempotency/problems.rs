//! What requests are answered with that are neither carried out nor replayed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::header::{LONGEST, Unusable};
use crate::http::NoKey;
use crate::http::headers::seconds;
use crate::http::problem::Problem;

/// How long to wait after a claim was lost: whoever took it over is at it, or done.
const AFTER_LOSS: Duration = Duration::from_secs(1);

/// Why a request is neither carried out nor replayed.
#[derive(Debug)]
pub(super) enum Trouble {
    Unusable(Unusable),
    NoScope(NoKey),
    RequestTooLarge { limit: usize },
    RequestBrokenOff,
    InProgress { retry_after: Duration },
    KeyReused,
    NotKept { reason: Arc<str> },
    Lost,
    BackendFailed,
}

impl Trouble {
    /// What was kept was written by something else.
    pub(super) fn unreadable() -> Self {
        Self::NotKept { reason: Arc::from("it is kept in a form that cannot be read here") }
    }

    /// The member `reason` of the problem, by which programs tell them apart.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Unusable(Unusable::Missing) => "idempotency-key-missing",
            Self::Unusable(_) => "idempotency-key-malformed",
            Self::NoScope(_) => "caller-unknown",
            Self::RequestTooLarge { .. } => "request-too-large",
            Self::RequestBrokenOff => "request-broken-off",
            Self::InProgress { .. } => "request-in-progress",
            Self::KeyReused => "idempotency-key-reused",
            Self::NotKept { .. } => "answer-not-kept",
            Self::Lost => "answer-superseded",
            Self::BackendFailed => "idempotency-unavailable",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unusable(_) | Self::NoScope(_) | Self::RequestBrokenOff => StatusCode::BAD_REQUEST,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InProgress { .. } | Self::NotKept { .. } | Self::Lost => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BackendFailed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// As the draft words it, where it does.
    const fn title(&self) -> &'static str {
        match self {
            Self::Unusable(Unusable::Missing) => "Idempotency-Key is missing",
            Self::Unusable(_) => "Idempotency-Key is malformed",
            Self::NoScope(_) => "The caller is unknown",
            Self::RequestTooLarge { .. } => "The request is too large",
            Self::RequestBrokenOff => "The request broke off",
            Self::InProgress { .. } => "A request is outstanding for this Idempotency-Key",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::NotKept { .. } => "The answer was not kept",
            Self::Lost => "The answer is superseded",
            Self::BackendFailed => "Idempotency is unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        let detail = match self {
            Self::Unusable(why) => return unusable(*why),
            Self::NoScope(reason) => return reason.to_string().into(),
            Self::RequestTooLarge { limit } => {
                return format!(
                    "a request with an idempotency key may have a body of {limit} bytes: this one has more"
                )
                .into();
            }
            Self::NotKept { reason } => {
                return format!(
                    "the request with this key was carried out, and is not carried out again; \
                     its answer cannot be given once more: {reason}"
                )
                .into();
            }
            Self::RequestBrokenOff => {
                "the body of the request ended before its end: send it again with the same key"
            }
            Self::InProgress { .. } => {
                "the same request is being carried out: ask again with the same key for its answer"
            }
            Self::KeyReused => {
                "this key belongs to a request with another method, path, query or body: \
                 use a fresh key for each request, and the same key only to send the same request again"
            }
            Self::Lost => {
                "the request took longer than it was held for, and was taken over: \
                 ask again with the same key for the answer that counts"
            }
            Self::BackendFailed => {
                "whether the request was carried out before cannot be told at the moment: \
                 send it again with the same key"
            }
        };
        detail.into()
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            Self::Lost => Some(AFTER_LOSS),
            _ => None,
        }
    }

    /// The answer. Its type is under `documentation`, where there is one.
    pub(super) fn response(&self, documentation: Option<&str>) -> Response<Bytes> {
        let problem = Problem::new(self.status(), self.detail()).member("reason", self.reason());
        let problem = match documentation {
            Some(uri) => problem.of_type(format!("{uri}#{}", self.reason()), self.title()),
            None => problem.titled(self.title()),
        };
        let mut response = problem.into_response();
        if let Some(wait) = self.retry_after() {
            // A client that is told 0 comes back at once.
            response.headers_mut().insert(RETRY_AFTER, seconds(wait).max(1).into());
        }
        response
    }
}

fn unusable(why: Unusable) -> Cow<'static, str> {
    let detail = match why {
        Unusable::Missing => {
            "this operation needs the header `Idempotency-Key`: a key of the client's choosing, fresh for each request \
             and the same when it is sent again, such as a UUID"
        }
        Unusable::Repeated => "the header `Idempotency-Key` is there more than once: send it once",
        Unusable::Malformed => {
            "the header `Idempotency-Key` has to be a String of Structured Fields, in double quotes, or a token"
        }
        Unusable::Empty => "the key in `Idempotency-Key` is empty: make up one, such as a UUID",
        Unusable::TooLong => {
            return format!("the key in `Idempotency-Key` may have {LONGEST} characters").into();
        }
    };
    detail.into()
}
