//! Rejections of the rate limit layer, and the responses to them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::request::Parts;
use http::{Response, StatusCode};

use super::KeyError;
use super::grpc::{self, Code};
use super::problem_details::{NO_STORE, ProblemDetails};
use super::retry_after::retry_after_seconds_up_to;
use crate::{Decision, Error, Quota};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Why a request is rejected.
///
/// | | status | gRPC |
/// |---|---|---|
/// | [`Exceeded`](Self::Exceeded) | 429, with `Retry-After` if waiting helps | `RESOURCE_EXHAUSTED` |
/// | [`Key`](Self::Key) | 400 | `INVALID_ARGUMENT` |
/// | [`Key`](Self::Key) that is [`Misconfigured`](KeyError::Misconfigured) | 500 | `INTERNAL` |
/// | [`BackendFailed`](Self::BackendFailed) | 503 | `UNAVAILABLE` |
///
/// The body is `application/problem+json` (RFC 9457). A 429 has the type `quota-exceeded` of
/// draft-ietf-httpapi-ratelimit-headers-11, and the names of the policies that refuse in
/// `violated-policies`.
///
/// Every rejection has `Cache-Control: no-store`. A proxy that is configured to cache every status
/// would otherwise send the rejection of one client to all clients.
///
/// # gRPC
///
/// A gRPC call is a POST with the content type `application/grpc` or one derived from it. It gets
/// the HTTP status 200, no message, and the headers `grpc-status` and `grpc-message`. Two more
/// headers contain the time to wait: `retry-after` in seconds, and `grpc-retry-pushback-ms`, which
/// gRPC clients obey when they retry (-1: never). A wait above 2^31 - 1 ms is -1 too, because such
/// a number overflows in clients, and they retry immediately.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Rejection<'a> {
    /// The limit is reached.
    Exceeded(Exceeded<'a>),
    /// The request has no key.
    Key(&'a KeyError),
    /// The backend failed, and the limiter's [`OnError`](crate::OnError) does not admit requests
    /// then.
    BackendFailed(&'a Error),
}

/// A request above the limit.
#[derive(Clone, Copy, Debug)]
pub struct Exceeded<'a> {
    pub(super) policy: &'a str,
    pub(super) violated: &'a [&'a str],
    pub(super) quota: Quota,
    pub(super) cost: u64,
    /// The largest cost that the policy ever admits.
    pub(super) limit: u64,
    pub(super) decision: &'a Decision,
    /// The time to wait for all policies that refuse.
    pub(super) retry_after: Option<Duration>,
    pub(super) max_retry_after: u64,
    pub(super) writes_retry_after: bool,
}

impl<'a> Exceeded<'a> {
    /// Returns the name of the policy. Of several that refuse, the one that takes longest to admit
    /// the request.
    pub const fn policy(&self) -> &'a str {
        self.policy
    }

    /// Returns the names of all policies that refuse the request.
    pub const fn violated_policies(&self) -> &'a [&'a str] {
        self.violated
    }

    /// Returns the quota of the [policy](Self::policy).
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns the cost of the request by the [policy](Self::policy).
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    /// Returns the decision. Of several limits it is [their summary](Decision#several-limits).
    pub const fn decision(&self) -> &'a Decision {
        self.decision
    }

    /// Returns the value of `Retry-After`: whole seconds, rounded up, at least 1, and at most the
    /// [maximum](super::RateLimitLayer::max_retry_after) of the layer. `None` if waiting never
    /// helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.wait_up_to(self.max_retry_after)
    }

    fn wait_up_to(&self, max: u64) -> Option<u64> {
        self.retry_after.map(|wait| retry_after_seconds_up_to(wait, max))
    }
}

impl Rejection<'_> {
    /// Returns the default response of a layer.
    /// [`on_rejection`](super::RateLimitLayer::on_rejection) replaces it.
    pub fn response(&self, parts: &Parts) -> Response<Bytes> {
        let problem = self.problem();
        let mut response = match grpc::content_type(parts) {
            None => problem.into_response(),
            Some(content_type) => {
                let mut response = grpc::trailers_only(content_type, self.code(), problem.detail());
                if let Self::Exceeded(exceeded) = self
                    && exceeded.writes_retry_after
                {
                    grpc::retry_pushback(&mut response, exceeded.retry_after);
                }
                response
            }
        };
        self.add_headers(&mut response);
        response
    }

    /// Adds `Cache-Control`, and `Retry-After` if waiting helps. Headers that are there stay.
    pub(super) fn add_headers(&self, response: &mut Response<Bytes>) {
        response.headers_mut().entry(CACHE_CONTROL).or_insert(NO_STORE);
        if let Self::Exceeded(exceeded) = self
            && exceeded.writes_retry_after
            && let Some(seconds) = exceeded.retry_after_seconds()
        {
            response.headers_mut().entry(RETRY_AFTER).or_insert(seconds.into());
        }
    }

    fn problem(&self) -> ProblemDetails {
        match self {
            Self::Exceeded(exceeded) => {
                ProblemDetails::new(StatusCode::TOO_MANY_REQUESTS, exceeded.to_string())
                    .with_type(QUOTA_EXCEEDED, "Quota Exceeded")
                    .with_member("violated-policies", exceeded.violated)
            }
            Self::Key(error @ KeyError::Misconfigured(_)) => {
                ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            Self::Key(error) => ProblemDetails::new(StatusCode::BAD_REQUEST, error.to_string()),
            // The backend's error may contain internals, so the client does not get it.
            Self::BackendFailed(_) => {
                ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "rate limit temporarily unavailable")
            }
        }
    }

    const fn code(&self) -> Code {
        match self {
            Self::Exceeded(_) => Code::ResourceExhausted,
            Self::Key(KeyError::Misconfigured(_)) => Code::Internal,
            Self::Key(_) => Code::InvalidArgument,
            Self::BackendFailed(_) => Code::Unavailable,
        }
    }
}

impl fmt::Display for Exceeded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.decision.is_blocked() {
            f.write_str("the client is blocked; ")?;
        } else {
            write!(f, "the policy `{}` allows {}; ", self.policy, self.quota)?;
        }
        // The whole wait, also if `Retry-After` is shorter: this text is for people.
        match self.wait_up_to(u64::MAX) {
            Some(seconds) => write!(f, "retry in {seconds} s"),
            None => write!(
                f,
                "a request of cost {} exceeds the maximum of {} and is never admitted",
                self.cost, self.limit
            ),
        }
    }
}
