//! Configuration of the layer, and the decisions that follow from it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response, response};

use super::few::Few;
use super::headers::{LimitHeaders, UpstreamHeaders};
use super::keyed_limiter::{KeyedLimiter, RequestHit};
use super::policy::{AppliedPolicy, PolicyGroup};
use crate::http::limit_values::LimitValues;
use crate::http::retry_after::DEFAULT_MAX_SECONDS;
use crate::http::{Exceeded, KeyError, MissingKey, Rejection, dimension_headers, ratelimit_headers};
use crate::{Decision, Error, OnError, telemetry};

type Respond = dyn Fn(&Rejection<'_>, &Parts) -> Response<Bytes> + Send + Sync;
type OnBackendError = dyn Fn(&Error, &Parts) + Send + Sync;

/// Everything about a layer except its limiters.
#[derive(Clone)]
pub(super) struct Config {
    /// The limiter that the layer was created with, and those that were added to it.
    pub(super) keyed: Vec<KeyedLimiter>,
    on_error: OnError,
    pub(super) respond: Option<Arc<Respond>>,
    pub(super) on_backend_error: Option<Arc<OnBackendError>>,
    pub(super) headers: LimitHeaders,
    pub(super) legacy_headers: bool,
    pub(super) dimension_headers: bool,
    pub(super) upstream_headers: UpstreamHeaders,
    /// The maximum of `Retry-After`, in seconds.
    pub(super) max_retry_after: u64,
    pub(super) backend_errors: Arc<AtomicU64>,
    pub(super) missing_keys: Arc<AtomicU64>,
    has_warned_of_misconfiguration: Arc<AtomicBool>,
    has_warned_of_duplicate: Arc<AtomicBool>,
}

/// What happens to a request after the decision.
pub(super) enum Verdict {
    /// The service is called. Its response gets the headers for this decision.
    Call(Option<Decision>),
    /// The service is not called.
    Reject(Response<Bytes>),
}

/// What was decided about a request, for the headers of its response.
pub(super) struct Decided {
    pub(super) hits: Few<RequestHit>,
    pub(super) decision: Decision,
    /// The indexes of the hits that were refunded.
    pub(super) refunded: Vec<usize>,
}

/// The decision of one limit, and what it is about.
struct Limit<'a> {
    policy: AppliedPolicy<'a>,
    decision: &'a Decision,
    values: LimitValues,
}

impl Config {
    pub(super) fn new(keyed: KeyedLimiter, on_error: OnError) -> Self {
        Self {
            keyed: vec![keyed],
            on_error,
            respond: None,
            on_backend_error: None,
            headers: LimitHeaders::default(),
            legacy_headers: false,
            dimension_headers: false,
            upstream_headers: UpstreamHeaders::default(),
            max_retry_after: DEFAULT_MAX_SECONDS,
            backend_errors: Arc::default(),
            missing_keys: Arc::default(),
            has_warned_of_misconfiguration: Arc::default(),
            has_warned_of_duplicate: Arc::default(),
        }
    }

    /// Returns the policies of all limiters: those of the first, of its rules, and so on.
    pub(super) fn groups(&self) -> impl Iterator<Item = &PolicyGroup> {
        self.keyed.iter().flat_map(|keyed| &keyed.groups)
    }

    /// Returns whether the layer limits anything.
    fn is_enabled(&self) -> bool {
        self.keyed.iter().any(|keyed| keyed.is_enabled)
    }

    /// Returns whether a response may show that its request does not count.
    pub(super) fn may_refund(&self) -> bool {
        self.keyed.iter().any(|keyed| !keyed.count_only.is_empty())
    }

    /// Returns the indexes of the hits that do not count, by the response.
    pub(super) fn uncounted(&self, hits: &[RequestHit], response: &response::Parts) -> Vec<usize> {
        let counts = |hit: &RequestHit| self.keyed[hit.keyed].counts(response);
        hits.iter().enumerate().filter(|(_, hit)| !counts(hit)).map(|(index, _)| index).collect()
    }

    /// Returns how many limits decide about a hit.
    pub(super) fn number_of_limits(&self, hit: &RequestHit) -> usize {
        self.keyed[hit.keyed].groups[hit.group].applied(hit.quota, hit.cost).count()
    }

    /// Returns the headers about limits that responses may have.
    pub(super) fn exposed_headers(&self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        if self.headers.writes_ratelimit(true) {
            names.extend(ratelimit_headers::NAMES);
        }
        if self.headers.writes_retry_after() {
            names.push(http::header::RETRY_AFTER);
        }
        if self.headers.writes_others(true) {
            if self.legacy_headers {
                names.extend(ratelimit_headers::LEGACY_NAMES);
            }
            if self.dimension_headers {
                let shown = self.groups().filter(|group| !group.is_shadow);
                let policies = shown.flat_map(|group| &group.policies);
                names
                    .extend(policies.filter_map(|policy| Some(policy.dimension.as_ref()?.names())).flatten());
            }
        }
        names
    }

    /// Counts and reports a request without a key. Returns its response. `None` if the limiter does
    /// not limit the request.
    pub(super) fn no_key(
        &self,
        hit: RequestHit,
        error: &KeyError,
        policy: &telemetry::Policy,
        parts: &Parts,
    ) -> Option<Response<Bytes>> {
        self.missing_keys.fetch_add(1, Ordering::Relaxed);
        let keyed = &self.keyed[hit.keyed];
        let algorithm = keyed.groups[hit.group].algorithm;
        let record = |reason: &dyn fmt::Display, warn| {
            telemetry::record_missing_key(policy, algorithm, reason, warn);
        };
        match error {
            KeyError::Misconfigured(missing) => {
                record(missing, is_first(&self.has_warned_of_misconfiguration));
            }
            error => record(error, false),
        }
        let passes = matches!(error, KeyError::Missing(_)) && keyed.missing_key == MissingKey::Pass;
        (!passes).then(|| self.reject(&Rejection::Key(error), parts))
    }

    /// Returns the response to a rejected request.
    fn reject(&self, rejection: &Rejection<'_>, parts: &Parts) -> Response<Bytes> {
        let Some(respond) = &self.respond else { return rejection.response(parts) };
        let mut response = respond(rejection, parts);
        rejection.add_headers(&mut response);
        response
    }

    /// Applies the decision to a request.
    pub(super) fn apply(
        &self,
        decision: Result<Decision, Error>,
        hits: &[RequestHit],
        parts: &Parts,
    ) -> Verdict {
        match decision {
            Ok(decision) if decision.is_allowed() => Verdict::Call(Some(decision)),
            Ok(decision) => Verdict::Reject(self.exceeded(hits, &decision, parts)),
            Err(error) => self.backend_failed(&error, hits, parts),
        }
    }

    fn exceeded(&self, hits: &[RequestHit], decision: &Decision, parts: &Parts) -> Response<Bytes> {
        let limits: Vec<_> = self.limits(hits, decision, &[]).collect();
        let refuses = |limit: &&Limit<'_>| !limit.decision.is_allowed() || limit.decision.is_blocked();
        let mut violated: Vec<_> = limits.iter().filter(refuses).collect();
        if violated.is_empty() {
            // The key is blocked, although its limits would admit the request.
            violated.extend(&limits);
        }
        let names: Vec<_> = violated.iter().map(|limit| limit.policy.name.as_str()).collect();
        // The request has to wait for the limit that takes longest. To wait in vain is longest.
        let wait = |limit: &&&Limit<'_>| limit.decision.retry_after().unwrap_or(Duration::MAX);
        let Some(longest) = violated.iter().max_by_key(wait) else {
            return self.reject(&Rejection::BackendFailed(&Error::NoHits), parts);
        };
        // Not the wait of the whole decision, because that includes limiters in shadow.
        let shown = if decision.is_blocked() { decision } else { longest.decision };
        let exceeded = Exceeded {
            policy: longest.policy.name.as_str(),
            violated: &names,
            quota: longest.policy.quota,
            cost: longest.policy.cost,
            limit: longest.decision.limit(),
            decision,
            retry_after: shown.retry_after(),
            max_retry_after: self.max_retry_after,
            writes_retry_after: self.headers.writes_retry_after(),
        };
        let mut response = self.reject(&Rejection::Exceeded(exceeded), parts);
        self.add_headers(response.headers_mut(), hits, decision, &[]);
        response
    }

    fn backend_failed(&self, error: &Error, hits: &[RequestHit], parts: &Parts) -> Verdict {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(on_backend_error) = &self.on_backend_error {
            on_backend_error(error, parts);
        }
        let is_shadow = |hit: &RequestHit| self.keyed[hit.keyed].groups[hit.group].is_shadow;
        let passes = match self.on_error {
            OnError::Allow => true,
            OnError::Deny => hits.iter().all(is_shadow),
            OnError::Return => false,
        };
        if passes {
            return Verdict::Call(None);
        }
        Verdict::Reject(self.reject(&Rejection::BackendFailed(error), parts))
    }

    /// Counts and reports a refund that failed. The hit stays counted.
    pub(super) fn refund_failed(&self, hit: RequestHit, error: &Error) {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        let name = &self.keyed[hit.keyed].groups[hit.group].name;
        telemetry::record_failed_refund(name.as_str(), error);
    }

    /// Changes the headers of the service's response: those that it has about limits, and those for
    /// the decision, if there is one.
    pub(super) fn finish(&self, headers: &mut HeaderMap, decided: Option<&Decided>) {
        if self.upstream_headers == UpstreamHeaders::Replace && self.is_enabled() {
            ratelimit_headers::remove(headers);
            dimension_headers::remove(headers);
        }
        if let Some(Decided { hits, decision, refunded }) = decided {
            self.add_headers(headers, hits.as_slice(), decision, refunded);
        }
    }

    fn add_headers(
        &self,
        headers: &mut HeaderMap,
        hits: &[RequestHit],
        decision: &Decision,
        refunded: &[usize],
    ) {
        let is_rejection = !decision.is_allowed();
        let writes_ratelimit = self.headers.writes_ratelimit(is_rejection);
        let writes_others = self.headers.writes_others(is_rejection);
        if !writes_ratelimit && !writes_others {
            return;
        }
        for limit in self.limits(hits, decision, refunded) {
            if writes_ratelimit {
                self.add_ratelimit(headers, &limit);
            }
            if writes_others && self.legacy_headers {
                ratelimit_headers::add_legacy(headers, limit.values);
            }
            if writes_others
                && self.dimension_headers
                && let Some(names) = limit.policy.dimension
            {
                names.add(headers, limit.values);
            }
        }
    }

    fn add_ratelimit(&self, headers: &mut HeaderMap, limit: &Limit<'_>) {
        let AppliedPolicy { name, header, quota, algorithm, .. } = limit.policy;
        let policy = match header {
            Some(header) => header.clone(),
            None => ratelimit_headers::policy(name, quota, algorithm),
        };
        let value = ratelimit_headers::limit(name, limit.values);
        let is_duplicate = ratelimit_headers::add(headers, name, policy, value);
        if is_duplicate && is_first(&self.has_warned_of_duplicate) {
            telemetry::warn_of_duplicate_policy(name.as_str());
        }
    }

    /// Returns the decisions of all limits with their names, in the order of the limiters. Nothing
    /// of a limiter in shadow is shown to clients.
    fn limits<'a>(
        &'a self,
        hits: &'a [RequestHit],
        decision: &'a Decision,
        refunded: &'a [usize],
    ) -> impl Iterator<Item = Limit<'a>> {
        let policies = hits.iter().enumerate().flat_map(move |(index, hit)| {
            let group = &self.keyed[hit.keyed].groups[hit.group];
            let refund = if refunded.contains(&index) { hit.cost } else { 0 };
            group.applied(hit.quota, hit.cost).map(move |policy| (policy, refund, group.is_shadow))
        });
        // After a decision over several keys, the limits of the blocked one are marked.
        let names_blocked = decision.limits().iter().any(Decision::is_blocked);
        let limits = policies.zip(decision.limits()).filter(|((.., is_shadow), _)| !is_shadow);
        limits.map(move |((policy, refund, _), limit)| {
            let values = LimitValues::new(limit, self.max_retry_after).without(refund);
            let is_blocked = limit.is_blocked() || (decision.is_blocked() && !names_blocked);
            let values = if is_blocked { values.blocked(decision.retry_after()) } else { values };
            Limit { policy, decision: limit, values }
        })
    }
}

/// Returns `true` once.
fn is_first(has_happened: &AtomicBool) -> bool {
    !has_happened.swap(true, Ordering::Relaxed)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("limiters", &self.keyed)
            .field("headers", &self.headers)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}
