//! What a layer goes by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};

use super::WithoutKey;
use crate::http::headers::{self, PolicyName};
use crate::http::refusal::Respond;
use crate::http::{Exceeded, KeyBy, Refusal};
use crate::{Algorithm, Decision, Error, OnError, Quota};

/// What a request says about itself.
type Of<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;
type OnBackendError = dyn Fn(&Error, &Parts) + Send + Sync;

/// Everything about a layer but its limiter.
#[derive(Clone)]
pub(super) struct Rules {
    name: PolicyName,
    /// The policy of the limiter's own quota, as it is in the header.
    policy: HeaderValue,
    pub(super) key: KeyBy,
    pub(super) cost: Option<Of<u64>>,
    pub(super) quota: Quota,
    pub(super) quota_of: Option<Of<Option<Quota>>>,
    pub(super) algorithm: Algorithm,
    pub(super) without_key: WithoutKey,
    pub(super) on_error: OnError,
    pub(super) respond: Option<Respond>,
    pub(super) on_backend_error: Option<Arc<OnBackendError>>,
    pub(super) old_headers: bool,
    pub(super) backend_errors: Arc<AtomicU64>,
}

/// What was asked about one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) quota: Quota,
    pub(super) cost: u64,
}

/// How a request goes on.
#[derive(Debug)]
pub(super) enum Next {
    /// The service is called; its answer is given the headers for this decision.
    Call(Option<Decision>),
    /// It ends here.
    Answer(Response<Bytes>),
}

impl Rules {
    pub(super) fn new(key: KeyBy, quota: Quota, algorithm: Algorithm, on_error: OnError) -> Self {
        let name = PolicyName::default();
        Self {
            policy: headers::policy(&name, quota, algorithm),
            name,
            key,
            cost: None,
            quota,
            quota_of: None,
            algorithm,
            without_key: WithoutKey::default(),
            on_error,
            respond: None,
            on_backend_error: None,
            old_headers: false,
            backend_errors: Arc::default(),
        }
    }

    pub(super) fn set_name(&mut self, name: PolicyName) {
        self.policy = headers::policy(&name, self.quota, self.algorithm);
        self.name = name;
    }

    /// What to ask about a request.
    pub(super) fn ask(&self, parts: &Parts) -> Asked {
        let own = self.quota_of.as_ref().and_then(|quota| quota(parts));
        let cost = self.cost.as_ref().map_or(1, |cost| cost(parts));
        Asked { quota: own.unwrap_or(self.quota), cost }
    }

    /// The answer to a request that does not get through.
    pub(super) fn refuse(&self, refusal: &Refusal<'_>, parts: &Parts) -> Response<Bytes> {
        match &self.respond {
            Some(respond) => respond.to(refusal, parts),
            None => refusal.response(parts),
        }
    }

    /// What follows from a decision.
    pub(super) fn follow(&self, decided: Result<Decision, Error>, asked: Asked, parts: &Parts) -> Next {
        match decided {
            Ok(decision) if decision.is_allowed() => Next::Call(Some(decision)),
            Ok(decision) => Next::Answer(self.exceeded(asked, &decision, parts)),
            Err(error) => self.backend_failed(&error, parts).map_or(Next::Call(None), Next::Answer),
        }
    }

    /// The answer to a request that is above the limit.
    fn exceeded(&self, asked: Asked, decision: &Decision, parts: &Parts) -> Response<Bytes> {
        let Asked { quota, cost } = asked;
        let exceeded = Exceeded { policy: self.name.as_str(), quota, cost, decision };
        let mut response = self.refuse(&Refusal::Exceeded(exceeded), parts);
        self.add_headers(response.headers_mut(), quota, decision);
        response
    }

    /// Tells of a failure. The answer where requests do not get through then; `None` where they do.
    fn backend_failed(&self, error: &Error, parts: &Parts) -> Option<Response<Bytes>> {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(told) = &self.on_backend_error {
            told(error, parts);
        }
        match self.on_error {
            OnError::Allow => None,
            OnError::Return | OnError::Deny => Some(self.refuse(&Refusal::BackendFailed(error), parts)),
        }
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap, quota: Quota, decision: &Decision) {
        let policy = match quota == self.quota {
            true => self.policy.clone(),
            false => headers::policy(&self.name, quota, self.algorithm),
        };
        headers::add(headers, policy, headers::limit(&self.name, decision));
        if self.old_headers {
            headers::add_old(headers, decision);
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("name", &self.name.as_str())
            .field("key", &self.key)
            .field("without_key", &self.without_key)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}
