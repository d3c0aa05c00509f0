//! Configuration of the layer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK, LOCATION, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body;

use super::body::BufferedBody;
use super::comparison::Comparison;
use super::error::IdempotencyProblem;
use super::final_status::{GRPC_STATUS, is_final};
use super::key_header::{self, KeyHeaderError};
use crate::http::key_extractor::hash_if_longer;
use crate::http::{KeyError, KeyExtractor, MissingKey};
use crate::{BackendError, Key, telemetry};

const MAX_REQUEST_BODY: usize = 1 << 20;
/// Every backend has room for this.
const MAX_RESPONSE_BODY: usize = 1 << 16;

/// The room for headers and trailers. Servers limit headers to 8 or 16 KiB.
const STORED_HEADERS: usize = 1 << 14;

/// The longest caller in a key. With the longest idempotency key, each character of it escaped, a
/// key has no more bytes than backends store.
const MAX_CALLER: usize = 240;

type OnBackendError = dyn Fn(&BackendError) + Send + Sync;

/// Everything about a layer except its `Idempotency`.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) caller: Option<KeyExtractor>,
    pub(super) methods: Vec<Method>,
    pub(super) comparison: Comparison,
    pub(super) missing_key: MissingKey,
    pub(super) on_backend_failure: OnBackendFailure,
    pub(super) max_request_body: usize,
    pub(super) max_response_body: usize,
    /// `None` if it is not set.
    pub(super) max_stored_response: Option<usize>,
    pub(super) max_retry_after: Duration,
    pub(super) stored_headers: Vec<HeaderName>,
    pub(super) store_if: Arc<dyn Fn(StatusCode) -> bool + Send + Sync>,
    pub(super) problem_type_base: Option<Arc<str>>,
    pub(super) on_backend_error: Option<Arc<OnBackendError>>,
    pub(super) backend_errors: Arc<AtomicU64>,
    has_warned_of_misconfiguration: Arc<AtomicBool>,
}

/// What the layer does with a request if the backend fails, so that nothing is known about earlier
/// executions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnBackendFailure {
    /// Responds with 503 and does not execute the request. If a response of the backend was lost,
    /// the key may be in progress until its lease ends.
    #[default]
    Reject,
    /// Executes the request without idempotency: a retry executes it again. The extensions of the
    /// request contain no [`Claim`](crate::Claim).
    Run,
}

limited_core::named_setting!(OnBackendFailure, "behaviour on backend failures" {
    Reject => "reject",
    Run => "run",
});

impl Config {
    pub(super) fn new(caller: Option<KeyExtractor>) -> Self {
        Self {
            caller,
            methods: vec![Method::POST, Method::PATCH],
            comparison: Comparison::default(),
            missing_key: MissingKey::default(),
            on_backend_failure: OnBackendFailure::default(),
            max_request_body: MAX_REQUEST_BODY,
            max_response_body: MAX_RESPONSE_BODY,
            max_stored_response: None,
            max_retry_after: Duration::MAX,
            stored_headers: vec![
                CONTENT_TYPE,
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
                CONTENT_DISPOSITION,
                LOCATION,
                ETAG,
                LAST_MODIFIED,
                LINK,
                CACHE_CONTROL,
                VARY,
                // A gRPC call that fails has its status here, and no message.
                GRPC_STATUS,
                HeaderName::from_static("grpc-message"),
                HeaderName::from_static("grpc-status-details-bin"),
                HeaderName::from_static("grpc-encoding"),
            ],
            store_if: Arc::new(is_final),
            problem_type_base: None,
            on_backend_error: None,
            backend_errors: Arc::default(),
            has_warned_of_misconfiguration: Arc::default(),
        }
    }

    /// Returns the key of a request: that of its caller, and the one in the header. `None` if the
    /// request goes to the service without a key.
    pub(super) fn key(&self, parts: &Parts) -> Result<Option<Key<'static>>, IdempotencyProblem> {
        let header = match key_header::key(&parts.headers) {
            Ok(header) => header,
            Err(KeyHeaderError::Missing) if self.missing_key == MissingKey::Pass => return Ok(None),
            Err(error) => return Err(IdempotencyProblem::Key(error)),
        };
        let caller = self.caller.as_ref().map(|caller| caller.extract(parts)).transpose();
        if let Err(KeyError::Misconfigured(missing)) = &caller {
            let is_first = !self.has_warned_of_misconfiguration.swap(true, Ordering::Relaxed);
            telemetry::record_missing_caller(missing, is_first);
        }
        let caller = caller.map_err(IdempotencyProblem::UnknownCaller)?.unwrap_or_default();
        // Not the whole key: a backend that limits the claims of a caller finds it in the key.
        let caller = hash_if_longer(caller, MAX_CALLER);
        // `part` escapes the value, so no caller can write a key of another.
        Ok(Some(caller.part("idempotency-key", &header)))
    }

    /// Returns the maximum size of a stored response. By default there is room for a body in
    /// Base64, and for headers.
    pub(super) fn max_stored_response(&self) -> usize {
        let default = || self.max_response_body.saturating_mul(2).saturating_add(STORED_HEADERS);
        self.max_stored_response.unwrap_or_else(default)
    }

    /// Returns whether a header of a response is stored and replayed.
    pub(super) fn stores_header(&self, name: &HeaderName) -> bool {
        !is_of_transfer(name) && (*name == TRAILER || self.stored_headers.contains(name))
    }

    /// Returns whether a trailer of a response is stored and replayed.
    pub(super) fn stores_trailer(&self, name: &HeaderName) -> bool {
        !is_of_transfer(name) && (*name != SET_COOKIE || self.stored_headers.contains(name))
    }

    pub(super) fn respond_to<B: Body>(&self, problem: &IdempotencyProblem) -> Response<BufferedBody<B>> {
        problem.response(self.problem_type_base.as_deref()).map(|body| BufferedBody::full(body, None))
    }

    /// Counts and reports a failure of the backend.
    pub(super) fn backend_failed(&self, error: &BackendError) {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(on_backend_error) = &self.on_backend_error {
            on_backend_error(error);
        }
    }
}

/// Returns whether a header describes one transfer of a response. The server sets it for each.
fn is_of_transfer(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("caller", &self.caller)
            .field("methods", &self.methods)
            .field("comparison", &self.comparison)
            .field("missing_key", &self.missing_key)
            .field("on_backend_failure", &self.on_backend_failure)
            .field("max_request_body", &self.max_request_body)
            .field("max_response_body", &self.max_response_body)
            .field("max_stored_response", &self.max_stored_response())
            .field("max_retry_after", &self.max_retry_after)
            .field("stored_headers", &self.stored_headers)
            .field("problem_type_base", &self.problem_type_base)
            .finish_non_exhaustive()
    }
}
