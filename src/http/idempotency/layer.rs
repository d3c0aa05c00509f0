//! The layer: its settings, and the services that it makes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use tower_layer::Layer;

use super::config::{Config, OnBackendFailure};
use super::service::IdempotencyService;
use crate::http::{KeyExtractor, MissingKey};
use crate::{BackendError, Idempotency};

/// How long a duplicate waits, unless [`Idempotency::wait_timeout`] is set. Longer than most
/// requests take, and shorter than the timeouts of most clients.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many duplicates wait at the same time, unless [`Idempotency::max_waiting`] is set. Each one
/// holds its body.
const MAX_WAITING: usize = 128;

/// Executes each request once, however often it is sent with the same `Idempotency-Key`.
///
/// A client that gets no response cannot know whether its request was executed. With this layer it
/// can send the request again: the first response is stored, and returned to every retry.
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderName, Request, Response, StatusCode};
/// use http_body_util::{BodyExt, Full};
/// use limited::http::{BufferedBody, IdempotencyLayer, KeyExtractor};
/// use limited::memory::MemoryBackend;
/// use limited::{Claim, Idempotency, Key};
/// use tower::{Service, ServiceExt, service_fn};
/// use tower_layer::Layer;
///
/// # type Error = Box<dyn std::error::Error + Send + Sync>;
/// # pollster::block_on(async {
/// /// Set by the layer outside that verifies credentials.
/// #[derive(Clone)]
/// struct Account(&'static str);
///
/// let idempotency = Idempotency::new(MemoryBackend::new()).namespace("payments");
/// // The account, not the token: the client may get a new token before it retries.
/// let caller = KeyExtractor::from_fn(|parts| Some(Key::new().user(parts.extensions.get::<Account>()?.0)));
/// let layer = IdempotencyLayer::new(idempotency, caller);
///
/// let charge = service_fn(async |request: Request<BufferedBody<Full<Bytes>>>| {
///     // Send it along with the charge, so that the bank can refuse an older one.
///     let token = request.extensions().get::<Claim>().map(Claim::fencing_token);
///     let receipt = format!("charged with fencing token {}", token.unwrap_or_default());
///     let response = Response::builder().status(StatusCode::CREATED);
///     response.body(Full::<Bytes>::from(receipt)).map_err(Error::from)
/// });
/// let mut service = layer.layer(charge);
///
/// let mut responses = Vec::new();
/// for _ in 0..2 {
///     let request = Request::post("/charges")
///         .extension(Account("alice"))
///         .header("idempotency-key", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"")
///         .body(Full::<Bytes>::from("4200"))?;
///     let response = service.ready().await?.call(request).await?;
///     assert_eq!(response.status(), StatusCode::CREATED);
///     let is_replayed = response.headers().contains_key("idempotency-replayed");
///     responses.push((is_replayed, response.into_body().collect().await?.to_bytes()));
/// }
/// assert!(!responses[0].0 && responses[1].0);
/// assert_eq!(responses[0].1, responses[1].1);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
///
/// The header is that of draft-ietf-httpapi-idempotency-key-header-07: a Structured Fields String
/// (`"8e03978e…"`) of at most 255 characters. The layer also accepts the key without quotes,
/// because many clients send it so.
///
/// # What happens to a request
///
/// | the request | the response |
/// |---|---|
/// | has another method than [these](Self::methods), by default POST and PATCH | the service's, unchanged |
/// | has no key | 400 `idempotency-key-missing`, or the service's: [`on_missing_key`](Self::on_missing_key) |
/// | has a key that is malformed, empty, too long or sent more than once | 400 `idempotency-key-malformed` |
/// | has no [caller](#callers) | 400 `caller-unknown` |
/// | cannot have a caller, because the server is [misconfigured](crate::http::KeyError::Misconfigured) | 500 `server-misconfigured` |
/// | has a [body that is too large](Self::max_request_body) | 413 `request-too-large`; the service is not called |
/// | has a body that is cut off | 400 `request-cut-off`; the service is not called |
/// | is the first with its key | the service's, which is stored |
/// | is a retry of a finished request | the same response, with `Idempotency-Replayed: true` |
/// | is a retry of a request in progress | that of the first, if it comes [while the retry waits](#double-clicks); otherwise 409 `request-in-progress` with `Retry-After` |
/// | differs from the first request with its key | 422 `idempotency-key-reused` |
/// | is a retry of a finished request whose response [was not stored](#which-responses-are-stored) | 409 `response-not-stored`, without `Retry-After` |
/// | lost its lease to a retry, because it ran longer and renewals failed | 409 `response-superseded`, with `Retry-After` |
/// | lost its lease and was [stopped](Idempotency::stop_when_lost) | 503 `request-stopped`, with `Retry-After` |
/// | arrives, and the backend has no room for a new key | 503 `idempotency-full` with `Retry-After`, or the service's: [`on_backend_failure`](Self::on_backend_failure) |
/// | arrives, and the backend fails before the service is called | 503 `idempotency-unavailable`, with `Retry-After` if a retry may help; or the service's |
///
/// If the layer responds itself, the body is `application/problem+json` (RFC 9457). The draft
/// defines titles, but no types. So the member `reason` contains the word from the table. If you
/// document the problems on a page, [`problem_type_base`](Self::problem_type_base) adds a `type`
/// too. `Cache-Control: no-store` keeps caches from returning it to others. `Retry-After` is at
/// most 2,147,483 seconds (24.8 days), because clients with 32-bit timers do not wait longer.
///
/// Most HTTP clients repeat neither a POST nor a 409, unless they are configured to.
/// [`proxies`](crate::http::proxies#in-front-of-clients) lists the settings.
///
/// # Double clicks
///
/// A duplicate that arrives while the first request is in progress waits for its response, up to
/// 5 seconds. Most clients do not repeat a 409 by themselves, so waiting is what hides a double
/// click. [`Idempotency::wait_timeout`] sets another time; zero responds with 409 at once.
///
/// Up to 128 duplicates wait at the same time, over all services of the layer and its clones. Each
/// holds its body in memory. Any other gets 409 at once. [`Idempotency::max_waiting`] sets another
/// number.
///
/// `Retry-After` of the 409 is the time until the lease of the first request ends. The response is
/// often there sooner: [`max_retry_after`](Self::max_retry_after) sets a shorter hint.
///
/// # Which requests are the same
///
/// | part | compared | setting |
/// |---|---|---|
/// | method, path, query | always, byte by byte | [`compare_uri`](Self::compare_uri), if a framework cuts the path |
/// | name of the host | by default | [`compare_host`](Self::compare_host) |
/// | headers | `Content-Type` and `Content-Encoding` | [`compared_headers`](Self::compared_headers), [`compare_header`](Self::compare_header) |
/// | body | byte by byte | [`compare_body`](Self::compare_body): JSON by value, forms without their boundary; [`compare_body_by`](Self::compare_body_by) |
/// | route, tenant, … | no | [`compare_value`](Self::compare_value) |
///
/// A request that differs in a compared part gets 422, and is not executed. A client that corrects
/// a request sends it with a new key.
///
/// Tenants that share a caller have to be part of the [caller](#callers), so that each has keys of
/// its own. That the host is compared only keeps one from getting the response of the other.
///
/// # In axum
///
/// Use `route_layer`, not `layer`:
/// `Router::new().route("/payments", post(pay)).route_layer(layer)`.
///
/// `Router::layer` also wraps the fallback. If such a router is merged into another, its fallback
/// responds to every unknown path of the application (axum 0.8.9). Then a POST to any path that
/// does not exist gets 400 `idempotency-key-missing` instead of 404. `route_layer` wraps only the
/// routes that the router has so far.
///
/// The layer still sees a request with a method that its route does not have. `PATCH /payments`
/// without a key gets 400 instead of 405. To avoid that, set [`methods`](Self::methods) to those
/// of the routes.
///
/// `Router::nest` cuts the path. Two layers behind it see one path for two operations, so compare
/// the URI that the client sent, with the feature `original-uri` of axum:
/// `layer.compare_uri(|parts| Some(&parts.extensions.get::<OriginalUri>()?.0))`.
///
/// # Guarantees
///
/// These are the guarantees of [`Idempotency`], for one caller and key, over any number of
/// processes with one backend:
///
/// - **One call of the service at a time**, while its lease holds. Once a response is stored, every
///   retry gets that one, byte by byte, for as long as results [are stored](Idempotency::ttl).
/// - **At least one execution, and exactly one unless a process stops in between.** A process may
///   die, or its future be dropped, between the effect and the record. Then the request may be
///   executed again after the lease. To prevent a second effect, send the fencing token along with
///   it, and let the receiver refuse older tokens. The token is in the [`Claim`](crate::Claim)
///   among the extensions of the request.
/// - **A response with a status that is not final promises nothing.** A retry executes the request
///   again. So a service that had an effect has to respond with a
///   [status that is final](#which-responses-are-stored).
/// - **A request is recorded as done only after the service responded.** The response is sent after
///   it is recorded.
///
/// # When the client disconnects
///
/// A server drops the future of a request if its client disconnects. That drops the service's
/// future too, at any await point. The layer cannot know how far the service came. So the key stays
/// in progress until the [lease](Idempotency::lease) ends (default: 30 seconds). Until then, a
/// retry gets 409 with the time to wait. After that, a retry executes the request again.
///
/// A service that hangs is renewed for as long as its future lives. Limit that with
/// [`max_run_time`](Idempotency::max_run_time), and drop its future then with
/// [`stop_when_lost`](Idempotency::stop_when_lost). A service that goes on can wait for the loss of
/// its claim: [`Claim::lost`](crate::Claim::lost).
///
/// If an operation must not be interrupted, run it in a task of its own. There are two places for
/// `tokio::spawn`:
///
/// - inside the service, around the effect, together with the claim's fencing token;
/// - in a layer *outside* of this one, around the whole call. Then the response is stored even if
///   the client is gone, and a retry gets it.
///
/// # Which responses are stored
///
/// By default the layer stores every response that a retry would get too: those with a
/// [final](crate::http::is_final) status. [`store_if`](Self::store_if) changes that.
///
/// | not final | because |
/// |---|---|
/// | 307, 404, 405, 421 | the route may be deployed later |
/// | 401, 407 | the retry may have other credentials |
/// | 406, 411, 412, 415 to 417, 426, 428, 431 | the retry may have other headers, most of which are not compared |
/// | 408, 423, 425, 429 | the time was wrong, not the request |
/// | 424 | another request failed |
/// | 4xx with `Retry-After` | the service asks for a retry, whatever [`store_if`](Self::store_if) says |
/// | 1xx | it is not the last response |
/// | 5xx | the service failed |
///
/// A gRPC response stands for the HTTP status of its code in `google/rpc/code.proto`, such as 503
/// for `UNAVAILABLE`. `ABORTED` stands for 503 too.
///
/// A response that is not final, or an error of the service, frees the key, also for another
/// request. The client gets the response all the same. A retry is **executed again**. So a service
/// may respond with such a status only if the request had no effect.
///
/// That includes a 404 of a handler, such as "no such order". If a handler has an effect and then
/// responds 404, choose another status, or store 404 too:
///
/// ```
/// # use limited::{Idempotency, memory::MemoryBackend};
/// # use limited::http::{IdempotencyLayer, is_final};
/// # let idempotency = Idempotency::new(MemoryBackend::new());
/// # let layer = IdempotencyLayer::unscoped(idempotency);
/// let layer = layer.store_if(|status| is_final(status) || status == http::StatusCode::NOT_FOUND);
/// ```
///
/// Do that only for routes that exist. Otherwise a stored 404 is replayed after its route is
/// deployed.
///
/// | part | stored |
/// |---|---|
/// | headers | `Content-Type`, `-Encoding`, `-Language`, `-Location` and `-Disposition`, `Location`, `ETag`, `Last-Modified`, `Link`, `Cache-Control`, `Vary`, `Grpc-Status`, `-Message`, `-Status-Details-Bin` and `-Encoding`, or [those you name](Self::stored_headers); always `Trailer` |
/// | body | if it is not [too large](Self::max_response_body) |
/// | trailers | all but `Set-Cookie` |
///
/// `Set-Cookie` is not stored by default: a retry could otherwise hand a cookie to another client.
/// Headers of one transfer, such as `Content-Length`, `Transfer-Encoding` and `Connection`, never
/// are. The same rules decide which headers of a record are replayed, whatever wrote the record.
///
/// The client gets a body that is too large all the same, and a body that is cut off up to that
/// point. The record then says that the request is done, but has no response, and the request is
/// not executed again. The same holds for a response that the backend has no room for.
///
/// # Callers
///
/// A key belongs to the caller that sent it, and the [`KeyExtractor`] identifies callers as it does
/// for limits. A caller never gets the response to the request of another caller, and cannot find
/// out that there was one. The caller is an escaped part of the stored key, so no two callers
/// collide. Of credentials the key contains only a hash.
///
/// Identify callers by their account, not by a token that expires. A client that gets a new token
/// and then retries is a new caller with
/// [`bearer_token`](KeyExtractor::bearer_token), and its request is executed a second time.
///
/// The layer does not verify credentials, so put it inside the layer that does. Otherwise a client
/// that knows a key and the name of its caller gets the response.
///
/// # Bodies are buffered
///
/// The layer reads the whole request before it calls the service, and the whole response before it
/// sends it, each up to a limit. So it does not fit bidirectional streams or endless responses:
/// exclude their methods or routes. The layer sets no time limit for bodies: a client that sends
/// one byte a minute keeps its buffer. Set one in the server, or in a layer outside of this one.
/// Put layers that vary a response between clients, such as compression, outside of this one.
///
/// # What it costs
///
/// Two backend calls for an execution, and one for a replay. In addition a SHA-256 hash of the
/// request, and a few allocations for the future and the body. Both bodies are copied: their frames
/// are joined, so that many small frames take no more memory than one. The response is stored as
/// JSON.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct IdempotencyLayer<B> {
    idempotency: Idempotency<B>,
    config: Arc<Config>,
}

/// # Creating a layer
impl<B> IdempotencyLayer<B> {
    /// Creates a layer in which each caller has its own keys. The extractor identifies the callers.
    pub fn new(idempotency: Idempotency<B>, caller: KeyExtractor) -> Self {
        Self::with_config(idempotency, Config::new(Some(caller)))
    }

    /// Creates a layer in which all callers share their keys: a client that sends the request of
    /// another with its key gets the response.
    ///
    /// For services with one caller, and for keys that cannot be guessed if responses are not
    /// secret.
    pub fn unscoped(idempotency: Idempotency<B>) -> Self {
        Self::with_config(idempotency, Config::new(None))
    }

    fn with_config(idempotency: Idempotency<B>, config: Config) -> Self {
        let idempotency = idempotency.for_http_requests(WAIT_TIMEOUT, MAX_WAITING);
        Self { idempotency, config: Arc::new(config) }
    }

    /// Returns the records of this layer, for operators: to [find](Idempotency::find) or to
    /// [forget](Idempotency::forget) one.
    ///
    /// The keys are those of the caller, with the part `idempotency-key`. A caller of more than 240
    /// bytes is replaced by its hash: `Key::new().secret("long", caller.as_str())`.
    ///
    /// ```
    /// # use limited::{Idempotency, Key, memory::MemoryBackend};
    /// # use limited::http::{IdempotencyLayer, KeyExtractor};
    /// # pollster::block_on(async {
    /// # let caller = KeyExtractor::from_fn(|_| Some(Key::new().user("7")));
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryBackend::new()), caller);
    /// let key = Key::new().user("7").part("idempotency-key", "8e03978e");
    /// layer.records().forget(&key).await?;
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    pub const fn records(&self) -> &Idempotency<B> {
        &self.idempotency
    }

    /// Sets the methods that need a key. Default: POST and PATCH. Requests with other methods go to
    /// the service unchanged.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.with(|config| config.methods = methods.into_iter().collect())
    }

    /// Sets what happens to a request that has no key. Default: [`MissingKey::Reject`].
    ///
    /// With [`MissingKey::Pass`] the client chooses: a request without a key is executed each time.
    pub fn on_missing_key(self, missing_key: MissingKey) -> Self {
        self.with(|config| config.missing_key = missing_key)
    }

    /// Sets what happens to a request if the backend fails. Default: [`OnBackendFailure::Reject`].
    ///
    /// A failure is never silent: [`backend_errors`](Self::backend_errors) counts it, and
    /// [`on_backend_error`](Self::on_backend_error) is called. With the features `tracing` and
    /// `metrics` it is reported too: see [`telemetry`](crate::telemetry).
    pub fn on_backend_failure(self, on_backend_failure: OnBackendFailure) -> Self {
        self.with(|config| config.on_backend_failure = on_backend_failure)
    }

    /// Sets the maximum size of a request body in bytes. Default: 1 MiB. The body is held in memory
    /// during the execution.
    pub fn max_request_body(self, bytes: usize) -> Self {
        self.with(|config| config.max_request_body = bytes)
    }

    /// Sets the maximum size of a stored response body in bytes. Default: 64 KiB.
    ///
    /// Every backend has room for the default. Text is stored in Base64 if its quotes and control
    /// characters would take more space in JSON, so a body takes at most a third more than its
    /// size. [`max_stored_response`](Self::max_stored_response) limits the whole response.
    pub fn max_response_body(self, bytes: usize) -> Self {
        self.with(|config| config.max_response_body = bytes)
    }

    /// Replaces the [default list](#which-responses-are-stored) of response headers that are
    /// stored.
    ///
    /// Headers of one transfer, such as `Content-Length` and `Transfer-Encoding`, are never stored:
    /// the server sets them anew.
    pub fn stored_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|config| config.stored_headers = names.into_iter().collect())
    }

    /// Adds a response header to the list of those that are stored.
    pub fn store_header(self, name: HeaderName) -> Self {
        self.with(|config| config.stored_headers.push(name))
    }

    /// Sets which responses are stored, by status. Default:
    /// [`is_final`](crate::http::is_final). See
    /// [which responses are stored](#which-responses-are-stored) for what happens to the others.
    ///
    /// ```
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # use limited::http::IdempotencyLayer;
    /// # let layer = IdempotencyLayer::unscoped(Idempotency::new(MemoryBackend::new()));
    /// // Store every response, also server errors.
    /// let layer = layer.store_if(|_| true);
    /// ```
    pub fn store_if(self, store: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.with(|config| config.store_if = Arc::new(store))
    }

    /// Sets the longest `Retry-After` of a 409 `request-in-progress`. Default: none; it is the time
    /// until the lease of the first request ends. Rounded up to a second, and at least 1.
    ///
    /// A retry that comes too early gets 409 again. So this may be as short as most requests take.
    pub fn max_retry_after(self, max: Duration) -> Self {
        self.with(|config| config.max_retry_after = max)
    }

    /// Sets the maximum size of a stored response in bytes: status, headers, body and trailers, as
    /// they are encoded in JSON. Default: twice [`max_response_body`](Self::max_response_body), and
    /// 16 KiB.
    ///
    /// A response that is larger is sent, but not stored, as one whose body is too large.
    pub fn max_stored_response(self, bytes: usize) -> Self {
        self.with(|config| config.max_stored_response = Some(bytes))
    }

    /// Sets the URI of a page that documents the use of keys. Default: none, and problems have no
    /// type.
    ///
    /// The `type` of each problem is its `reason` as a fragment of this URI, such as
    /// `https://developer.example.com/idempotency#request-in-progress`.
    pub fn problem_type_base(self, uri: impl Into<Arc<str>>) -> Self {
        self.with(|config| config.problem_type_base = Some(uri.into()))
    }

    /// Sets a function that is called whenever the backend fails, whatever the response: to log it
    /// or to raise an alarm.
    ///
    /// That includes a failure after the service responded. The client gets the response then.
    pub fn on_backend_error(self, callback: impl Fn(&BackendError) + Send + Sync + 'static) -> Self {
        self.with(|config| config.on_backend_error = Some(Arc::new(callback)))
    }

    /// Returns how often the backend has failed, over all services of this layer and its clones.
    pub fn backend_errors(&self) -> u64 {
        self.config.backend_errors.load(Ordering::Relaxed)
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<B, S> Layer<S> for IdempotencyLayer<B> {
    type Service = IdempotencyService<S, B>;

    fn layer(&self, inner: S) -> IdempotencyService<S, B> {
        IdempotencyService::new(inner, self.idempotency.clone(), Arc::clone(&self.config))
    }
}

impl<B> Clone for IdempotencyLayer<B> {
    fn clone(&self) -> Self {
        Self { idempotency: self.idempotency.clone(), config: Arc::clone(&self.config) }
    }
}

impl<B> fmt::Debug for IdempotencyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("idempotency", &self.idempotency)
            .field("config", &self.config)
            .finish()
    }
}
