//! What a layer goes by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK, LOCATION, TRANSFER_ENCODING, VARY,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body;

use super::buffer::BufferedBody;
use super::problems::Trouble;
use super::{WithoutBackend, header};
use crate::http::{KeyBy, WithoutKey};
use crate::{BackendError, Key};

/// How large the body of a request may be, unless set.
const LARGEST_REQUEST: usize = 1 << 20;
/// How large the body of an answer may be to be kept, unless set: what every backend has room for.
const LARGEST_ANSWER: usize = 1 << 16;

/// Who is told of failures.
type Told = dyn Fn(&BackendError) + Send + Sync;

/// Everything about a layer but its idempotency.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) scope: Option<KeyBy>,
    pub(super) methods: Vec<Method>,
    pub(super) without_key: WithoutKey,
    pub(super) without_backend: WithoutBackend,
    pub(super) largest_request: usize,
    pub(super) largest_answer: usize,
    pub(super) kept_headers: Vec<HeaderName>,
    pub(super) keep_if: Arc<dyn Fn(StatusCode) -> bool + Send + Sync>,
    pub(super) documentation: Option<Arc<str>>,
    pub(super) on_backend_error: Option<Arc<Told>>,
    pub(super) backend_errors: Arc<AtomicU64>,
}

impl Rules {
    pub(super) fn new(scope: Option<KeyBy>) -> Self {
        Self {
            scope,
            methods: vec![Method::POST, Method::PATCH],
            without_key: WithoutKey::default(),
            without_backend: WithoutBackend::default(),
            largest_request: LARGEST_REQUEST,
            largest_answer: LARGEST_ANSWER,
            kept_headers: vec![
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
            ],
            keep_if: Arc::new(is_final),
            documentation: None,
            on_backend_error: None,
            backend_errors: Arc::default(),
        }
    }

    /// The key of a request: that of its caller, and the one that the caller has made up. `None` where the request is
    /// the service's own business.
    pub(super) fn key(&self, parts: &Parts) -> Result<Option<Key<'static>>, Trouble> {
        let own = match header::key(&parts.headers) {
            Ok(own) => own,
            Err(header::Unusable::Missing) if self.without_key == WithoutKey::Pass => return Ok(None),
            Err(why) => return Err(Trouble::Unusable(why)),
        };
        let scope =
            self.scope.as_ref().map(|scope| scope.key(parts)).transpose().map_err(Trouble::NoScope)?;
        // Its value is escaped, so that no caller's key can pass for that of another.
        let key = scope.unwrap_or_default().part("idempotency-key", &own);
        Ok(Some(if key.validate().is_ok() { key } else { Key::new().secret("long", key.as_str()) }))
    }

    pub(super) fn keeps_header(&self, name: &HeaderName) -> bool {
        // How a body is sent is between server and client, each time anew.
        *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING && self.kept_headers.contains(name)
    }

    pub(super) fn answer_to<B: Body>(&self, trouble: &Trouble) -> Response<BufferedBody<B>> {
        trouble.response(self.documentation.as_deref()).map(|body| BufferedBody::own(body, None))
    }

    /// Tells of a failure.
    pub(super) fn backend_failed(&self, error: &BackendError) {
        self.backend_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(told) = &self.on_backend_error {
            told(error);
        }
    }
}

/// Whether the same request is answered the same way however often it is sent: not where the service failed, nor where it
/// asks for credentials, for another attempt, or for patience.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("scope", &self.scope)
            .field("methods", &self.methods)
            .field("without_key", &self.without_key)
            .field("without_backend", &self.without_backend)
            .field("largest_request", &self.largest_request)
            .field("largest_answer", &self.largest_answer)
            .field("kept_headers", &self.kept_headers)
            .field("documentation", &self.documentation)
            .finish_non_exhaustive()
    }
}
