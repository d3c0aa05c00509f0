//! Configuration of the layer, and the decisions that follow from it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};

use crate::http::ratelimit_headers::{self, PolicyName};
use crate::http::retry_after::DEFAULT_MAX_SECONDS;
use crate::http::{Exceeded, KeyExtractor, MissingKey, Rejection};
use crate::{Algorithm, Decision, Error, OnError, Quota};

type PerRequest<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;
type Respond = dyn Fn(&Rejection<'_>, &Parts) -> Response<Bytes> + Send + Sync;
type OnBackendError = dyn Fn(&Error, &Parts) + Send + Sync;

/// Everything about a layer except its limiter.
#[derive(Clone)]
pub(super) struct Config {
    name: PolicyName,
    /// The header value for `quota`, which most requests share.
    policy: HeaderValue,
    pub(super) key: KeyExtractor,
    pub(super) cost: Option<PerRequest<u64>>,
    pub(super) quota: Quota,
    pub(super) quota_of: Option<PerRequest<Option<Quota>>>,
    pub(super) algorithm: Algorithm,
    pub(super) missing_key: MissingKey,
    pub(super) on_error: OnError,
    pub(super) respond: Option<Arc<Respond>>,
    pub(super) on_backend_error: Option<Arc<OnBackendError>>,
    pub(super) legacy_headers: bool,
    /// The maximum of `Retry-After`, in seconds.
    pub(super) max_retry_after: u64,
    pub(super) backend_errors: Arc<AtomicU64>,
}

/// What a request costs, and the quota that it is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestCost {
    pub(super) quota: Quota,
    pub(super) cost: u64,
}

/// What happens to a request after the decision.
pub(super) enum Verdict {
    /// The service is called. Its response gets the headers for this decision.
    Call(Option<Decision>),
    /// The service is not called.
    Reject(Response<Bytes>),
}

impl Config {
    pub(super) fn new(key: KeyExtractor, quota: Quota, algorithm: Algorithm, on_error: OnError) -> Self {
        let name = PolicyName::default();
        Self {
            policy: ratelimit_headers::policy(&name, quota, algorithm),
            name,
            key,
            cost: None,
            quota,
            quota_of: None,
            algorithm,
            missing_key: MissingKey::default(),
            on_error,
            respond: None,
            on_backend_error: None,
            legacy_headers: false,
            max_retry_after: DEFAULT_MAX_SECONDS,
            backend_errors: Arc::default(),
        }
    }

    pub(super) fn set_name(&mut self, name: PolicyName) {
        self.policy = ratelimit_headers::policy(&name, self.quota, self.algorithm);
        self.name = name;
    }

    pub(super) fn request_cost(&self, parts: &Parts) -> RequestCost {
        let quota = self.quota_of.as_ref().and_then(|quota| quota(parts));
        let cost = self.cost.as_ref().map_or(1, |cost| cost(parts));
        RequestCost { quota: quota.unwrap_or(self.quota), cost }
    }

    /// Returns the response to a rejected request.
    pub(super) fn reject(&self, rejection: &Rejection<'_>, parts: &Parts) -> Response<Bytes> {
        let Some(respond) = &self.respond else { return rejection.response(parts) };
        let mut response = respond(rejection, parts);
        rejection.add_headers(&mut response);
        response
    }

    /// Applies the limiter's decision to a request.
    pub(super) fn apply(
        &self,
        decision: Result<Decision, Error>,
        cost: RequestCost,
        parts: &Parts,
    ) -> Verdict {
        match decision {
            Ok(decision) if decision.is_allowed() => Verdict::Call(Some(decision)),
            Ok(decision) => Verdict::Reject(self.exceeded(cost, &decision, parts)),
            Err(error) => self.backend_failed(&error, parts),
        }
    }

    fn exceeded(&self, cost: RequestCost, decision: &Decision, parts: &Parts) -> Response<Bytes> {
        let RequestCost { quota, cost } = cost;
        let exceeded = Exceeded {
            policy: self.name.as_str(),
            quota,
            cost,
            decision,
            max_retry_after: self.max_retry_after,
        };
        let mut response = self.reject(&Rejection::Exceeded(exceeded), parts);
        self.add_headers(response.headers_mut(), quota, decision);
        response
    }

    fn backend_failed(&self, error: &Error, parts: &Parts) -> Verdict {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(on_backend_error) = &self.on_backend_error {
            on_backend_error(error, parts);
        }
        match self.on_error {
            OnError::Allow => Verdict::Call(None),
            OnError::Return | OnError::Deny => {
                Verdict::Reject(self.reject(&Rejection::BackendFailed(error), parts))
            }
        }
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap, quota: Quota, decision: &Decision) {
        let policy = if quota == self.quota {
            self.policy.clone()
        } else {
            ratelimit_headers::policy(&self.name, quota, self.algorithm)
        };
        let limit = ratelimit_headers::limit(&self.name, decision, self.max_retry_after);
        ratelimit_headers::add(headers, policy, limit);
        if self.legacy_headers {
            ratelimit_headers::add_legacy(headers, decision, self.max_retry_after);
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name.as_str())
            .field("key", &self.key)
            .field("missing_key", &self.missing_key)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}
