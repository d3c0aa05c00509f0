//! What a request is answered with that does not get through.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Response, StatusCode};

use super::NoKey;
use super::grpc::{self, Code};
use super::headers::seconds;
use super::problem::Problem;
use crate::{Decision, Error, Quota};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Why a request does not get through.
///
/// | | status | gRPC |
/// |---|---|---|
/// | [`Exceeded`](Self::Exceeded) | 429, with `Retry-After` where waiting helps | `RESOURCE_EXHAUSTED` |
/// | [`NoKey`](Self::NoKey) | 400 | `INVALID_ARGUMENT` |
/// | [`BackendFailed`](Self::BackendFailed) | 503 | `UNAVAILABLE` |
///
/// The body is `application/problem+json` (RFC 9457). A 429 has the type `quota-exceeded` of
/// draft-ietf-httpapi-ratelimit-headers-11, and names the policy in `violated-policies`.
///
/// # gRPC
///
/// A call, which is a POST with the content type `application/grpc` or one derived of it, is answered as gRPC has it:
/// with the status 200, no message, and `grpc-status` and `grpc-message` among the headers. The time to wait is in
/// the metadata `retry-after`, in seconds, and in `grpc-retry-pushback-ms`, which the retries of gRPC clients keep to (-1:
/// never).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// The limit is reached.
    Exceeded(Exceeded<'a>),
    /// There is nothing to count the request by.
    NoKey(&'a NoKey),
    /// The backend failed, and the limiter's [`OnError`](crate::OnError) does not let requests through then.
    BackendFailed(&'a Error),
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug)]
pub struct Exceeded<'a> {
    pub(super) policy: &'a str,
    pub(super) quota: Quota,
    pub(super) cost: u64,
    pub(super) decision: &'a Decision,
}

impl<'a> Exceeded<'a> {
    /// The name of the policy.
    pub const fn policy(&self) -> &'a str {
        self.policy
    }

    /// How much may happen in how long.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// What the request costs.
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    /// The decision.
    pub const fn decision(&self) -> &'a Decision {
        self.decision
    }

    /// What is in `Retry-After`: whole seconds, rounded up, and at least 1. `None` where waiting never helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.decision.retry_after().map(whole_seconds)
    }
}

/// At least 1: a client that is told 0 comes back at once.
fn whole_seconds(wait: Duration) -> u64 {
    seconds(wait).max(1)
}

impl Refusal<'_> {
    /// The answer that a layer gives unless it is told [another one](super::RateLimitLayer::refuse_with).
    pub fn response(&self, parts: &Parts) -> Response<Bytes> {
        let problem = self.problem();
        let mut response = match grpc::call(parts) {
            None => problem.into_response(),
            Some(content_type) => {
                let mut response = grpc::trailers_only(content_type, self.code(), problem.detail());
                if let Self::Exceeded(exceeded) = self {
                    grpc::push_back(&mut response, exceeded.decision.retry_after());
                }
                response
            }
        };
        self.add_retry_after(&mut response);
        response
    }

    /// Adds `Retry-After`, where waiting helps and the header is not there.
    pub(super) fn add_retry_after(&self, response: &mut Response<Bytes>) {
        if let Self::Exceeded(exceeded) = self
            && let Some(seconds) = exceeded.retry_after_seconds()
        {
            response.headers_mut().entry(RETRY_AFTER).or_insert(seconds.into());
        }
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Exceeded(exceeded) => Problem::new(StatusCode::TOO_MANY_REQUESTS, exceeded.to_string())
                .of_type(QUOTA_EXCEEDED, "Quota Exceeded")
                .member("violated-policies", vec![exceeded.policy]),
            Self::NoKey(reason) => Problem::new(StatusCode::BAD_REQUEST, reason.to_string()),
            // What has failed is not the client's to know.
            Self::BackendFailed(_) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "whether the request is within its limit cannot be told at the moment",
            ),
        }
    }

    const fn code(&self) -> Code {
        match self {
            Self::Exceeded(_) => Code::ResourceExhausted,
            Self::NoKey(_) => Code::InvalidArgument,
            Self::BackendFailed(_) => Code::Unavailable,
        }
    }
}

impl fmt::Display for Exceeded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy `{}` admits {}: ", self.policy, self.quota)?;
        match self.retry_after_seconds() {
            Some(seconds) => write!(f, "try again in {seconds} s"),
            None => write!(
                f,
                "a request that costs {} can never pass, since {} is the most at once",
                self.cost,
                self.decision.limit()
            ),
        }
    }
}

/// The answer as the user makes it.
#[derive(Clone)]
pub(super) struct Respond(Arc<Function>);

type Function = dyn Fn(&Refusal<'_>, &Parts) -> Response<Bytes> + Send + Sync;

impl Respond {
    pub(super) fn new<T: Into<Bytes>>(
        respond: impl Fn(&Refusal<'_>, &Parts) -> Response<T> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |refusal, parts| {
            let mut response = respond(refusal, parts).map(Into::into);
            refusal.add_retry_after(&mut response);
            response
        }))
    }

    pub(super) fn to(&self, refusal: &Refusal<'_>, parts: &Parts) -> Response<Bytes> {
        (self.0)(refusal, parts)
    }
}
