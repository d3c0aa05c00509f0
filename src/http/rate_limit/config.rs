//! Configuration of the layer, and the decisions that follow from it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};

use super::rule::{Applies, RateLimitRule};
use crate::http::cors::is_preflight;
use crate::http::ratelimit_headers::{self, PolicyName};
use crate::http::retry_after::DEFAULT_MAX_SECONDS;
use crate::http::{Exceeded, KeyError, KeyExtractor, MissingKey, Rejection};
use crate::{Algorithm, Decision, Error, OnError, Quota, telemetry};

type PerRequest<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;
type Respond = dyn Fn(&Rejection<'_>, &Parts) -> Response<Bytes> + Send + Sync;
type OnBackendError = dyn Fn(&Error, &Parts) + Send + Sync;

/// Everything about a layer except its limiter.
#[derive(Clone)]
pub(super) struct Config {
    /// The layer's own policy, and those of its rules.
    policies: Vec<Policy>,
    pub(super) is_enabled: bool,
    pub(super) skips_preflights: bool,
    pub(super) key: KeyExtractor,
    pub(super) cost: Option<PerRequest<u64>>,
    pub(super) quota_of: Option<PerRequest<Option<Quota>>>,
    algorithm: Algorithm,
    pub(super) missing_key: MissingKey,
    on_error: OnError,
    pub(super) respond: Option<Arc<Respond>>,
    pub(super) on_backend_error: Option<Arc<OnBackendError>>,
    pub(super) legacy_headers: bool,
    pub(super) upstream_headers: UpstreamHeaders,
    /// The maximum of `Retry-After`, in seconds.
    pub(super) max_retry_after: u64,
    pub(super) backend_errors: Arc<AtomicU64>,
    pub(super) missing_keys: Arc<AtomicU64>,
    has_warned_of_misconfiguration: Arc<AtomicBool>,
    has_warned_of_duplicate: Arc<AtomicBool>,
}

/// What the layer does with headers about limits that a response already has: those of the service,
/// and those of inner layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamHeaders {
    /// Keeps them. `RateLimit` and `RateLimit-Policy` are lists, and get one more member.
    #[default]
    Append,
    /// Removes them, so that clients see the policy of this layer only: `RateLimit`,
    /// `RateLimit-Policy`, `RateLimit-Limit`, `-Remaining` and `-Reset` of earlier drafts, and
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    ///
    /// That is the case for every response of the service. Responses to requests that are not
    /// limited, such as those of cost 0, then have no headers about limits. A layer that is
    /// [disabled](super::RateLimitLayer::enabled) removes nothing.
    Replace,
}

/// A named quota, of the layer or of one of its rules.
#[derive(Clone)]
struct Policy {
    name: PolicyName,
    quota: Quota,
    /// The header value for `quota`, which most requests share.
    header: HeaderValue,
    /// Which requests the policy is for. `None` for the policy of the layer, which all others
    /// have.
    applies: Option<Arc<Applies>>,
}

impl Policy {
    fn new(name: PolicyName, quota: Quota, algorithm: Algorithm, applies: Option<Arc<Applies>>) -> Self {
        let header = ratelimit_headers::policy(&name, quota, algorithm);
        Self { name, quota, header, applies }
    }
}

/// What a request costs, and the quota that it is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestCost {
    /// The index of the policy, and of its limiter.
    pub(super) policy: usize,
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
    pub(super) fn new(
        name: PolicyName,
        key: KeyExtractor,
        quota: Quota,
        algorithm: Algorithm,
        on_error: OnError,
    ) -> Self {
        Self {
            policies: vec![Policy::new(name, quota, algorithm, None)],
            is_enabled: true,
            skips_preflights: false,
            key,
            cost: None,
            quota_of: None,
            algorithm,
            missing_key: MissingKey::default(),
            on_error,
            respond: None,
            on_backend_error: None,
            legacy_headers: false,
            upstream_headers: UpstreamHeaders::default(),
            max_retry_after: DEFAULT_MAX_SECONDS,
            backend_errors: Arc::default(),
            missing_keys: Arc::default(),
            has_warned_of_misconfiguration: Arc::default(),
            has_warned_of_duplicate: Arc::default(),
        }
    }

    pub(super) fn set_name(&mut self, name: PolicyName) {
        self.policies[0] = Policy::new(name, self.policies[0].quota, self.algorithm, None);
    }

    /// Returns whether the layer or one of its rules has this name.
    pub(super) fn has_policy(&self, name: &PolicyName) -> bool {
        self.policies.iter().any(|policy| policy.name == *name)
    }

    pub(super) fn rule_names(&self) -> impl Iterator<Item = &PolicyName> {
        self.policies[1..].iter().map(|policy| &policy.name)
    }

    pub(super) fn add_rule(&mut self, rule: RateLimitRule) {
        self.policies.push(Policy::new(rule.name, rule.quota, self.algorithm, Some(rule.applies)));
    }

    /// Returns whether a request goes to the service without being limited.
    pub(super) fn skips(&self, parts: &Parts) -> bool {
        !self.is_enabled || (self.skips_preflights && is_preflight(parts))
    }

    pub(super) fn request_cost(&self, parts: &Parts) -> RequestCost {
        let cost = self.cost.as_ref().map_or(1, |cost| cost(parts));
        let applies = |policy: &Policy| policy.applies.as_ref().is_some_and(|applies| applies(parts));
        if let Some(policy) = self.policies.iter().position(applies) {
            return RequestCost { policy, quota: self.policies[policy].quota, cost };
        }
        let quota = self.quota_of.as_ref().and_then(|quota| quota(parts));
        RequestCost { policy: 0, quota: quota.unwrap_or(self.policies[0].quota), cost }
    }

    /// Counts and reports a request without a key. Returns its response. `None` if it goes to the
    /// service.
    pub(super) fn no_key(
        &self,
        error: &KeyError,
        policy: &telemetry::Policy,
        parts: &Parts,
    ) -> Option<Response<Bytes>> {
        self.missing_keys.fetch_add(1, Ordering::Relaxed);
        let record = |reason: &dyn fmt::Display, warn| {
            telemetry::record_missing_key(policy, self.algorithm, reason, warn);
        };
        match error {
            KeyError::Misconfigured(missing) => {
                record(missing, is_first(&self.has_warned_of_misconfiguration));
            }
            error => record(error, false),
        }
        let passes = matches!(error, KeyError::Missing(_)) && self.missing_key == MissingKey::Pass;
        (!passes).then(|| self.reject(&Rejection::Key(error), parts))
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
        let exceeded = Exceeded {
            policy: self.policies[cost.policy].name.as_str(),
            quota: cost.quota,
            cost: cost.cost,
            decision,
            max_retry_after: self.max_retry_after,
        };
        let mut response = self.reject(&Rejection::Exceeded(exceeded), parts);
        self.add_headers(response.headers_mut(), cost, decision);
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

    /// Changes the headers of the service's response: those that it has about limits, and those for
    /// the decision, if there is one.
    pub(super) fn finish(&self, headers: &mut HeaderMap, limit: Option<&(RequestCost, Decision)>) {
        if self.is_enabled && self.upstream_headers == UpstreamHeaders::Replace {
            ratelimit_headers::remove(headers);
        }
        if let Some((cost, decision)) = limit {
            self.add_headers(headers, *cost, decision);
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap, cost: RequestCost, decision: &Decision) {
        let Policy { name, quota, header, .. } = &self.policies[cost.policy];
        let policy = if cost.quota == *quota {
            header.clone()
        } else {
            ratelimit_headers::policy(name, cost.quota, self.algorithm)
        };
        let limit = ratelimit_headers::limit(name, decision, self.max_retry_after);
        let is_duplicate = ratelimit_headers::add(headers, name, policy, limit);
        if is_duplicate && is_first(&self.has_warned_of_duplicate) {
            telemetry::warn_of_duplicate_policy(name.as_str());
        }
        if self.legacy_headers {
            ratelimit_headers::add_legacy(headers, decision, self.max_retry_after);
        }
    }
}

/// Returns `true` once.
fn is_first(has_happened: &AtomicBool) -> bool {
    !has_happened.swap(true, Ordering::Relaxed)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("policies", &self.policies)
            .field("is_enabled", &self.is_enabled)
            .field("key", &self.key)
            .field("missing_key", &self.missing_key)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.as_str(), self.quota)
    }
}
