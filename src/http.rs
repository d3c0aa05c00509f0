//! Tower layers for HTTP and gRPC services: rate limits and idempotency keys.
//!
//! A public service has two problems. Some clients send more requests than it can take. And a
//! client that got no response sends the same request again, although the first one may have been
//! executed.
//!
//! [`RateLimitLayer`] rejects requests above a limit. [`IdempotencyLayer`] executes a request once,
//! however often it is sent. Both are [Tower](https://docs.rs/tower) layers over plain `http`
//! types. They work in front of every service that takes a `Request` and returns a `Response`:
//! axum, tonic, hyper or a `service_fn`. Both work over any [`Backend`](crate::Backend), and both
//! identify callers with a [`KeyExtractor`].
//!
//! ```
//! use http::{HeaderName, Request, Response, StatusCode};
//! use limited::http::{ClientAddress, KeyExtractor, PeerAddress, RateLimitLayer, TrustedProxies};
//! use limited::{Algorithm, Limiter, Quota, memory::MemoryBackend};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # type Error = Box<dyn std::error::Error>;
//! # pollster::block_on(async {
//! // The client address, as reported by the one proxy in front of the service.
//! let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
//! let api_key = KeyExtractor::secret_header(HeaderName::from_static("x-api-key"));
//!
//! // Each address: 20 requests at once, then 5 a second ...
//! let burst = Limiter::new(MemoryBackend::new())
//!     .algorithm(Algorithm::TokenBucket)
//!     .quota(Quota::per_second(5).burst(20));
//! let burst = RateLimitLayer::new(burst, KeyExtractor::address(address)).policy_name("burst")?;
//! // ... and each API key on each path: 1,000 requests an hour. An export counts as 50.
//! let hourly = Limiter::new(MemoryBackend::new()).quota(Quota::per_hour(1_000));
//! let hourly = RateLimitLayer::new(hourly, api_key.and(KeyExtractor::path()))
//!     .policy_name("hourly")?
//!     .cost(|parts| if parts.uri.path() == "/export" { 50 } else { 1 });
//!
//! let service = ServiceBuilder::new().layer(burst).layer(hourly).service(service_fn(export));
//! # async fn export(_: Request<String>) -> Result<Response<String>, Error> {
//! #     Ok(Response::default())
//! # }
//!
//! let request = Request::get("/export")
//!     .extension(PeerAddress([10, 0, 0, 1].into())) // set by your server
//!     .header("x-forwarded-for", "192.0.2.7")
//!     .header("x-api-key", "sk_4711")
//!     .body(String::new())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(
//!     response.headers()["ratelimit-policy"],
//!     r#""hourly";q=1000;w=3600, "burst";q=5;w=1;limited-burst=20"#
//! );
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
//!
//! # Where the peer address comes from
//!
//! The layers depend on no server. Each server stores the address of its peer in a place of its
//! own:
//!
//! | server | use |
//! |---|---|
//! | axum | `ClientAddress::peer_from(\|parts\| Some(parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()))`, with `axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())` |
//! | tonic | `ClientAddress::peer_from(\|parts\| Some(parts.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip()))` |
//! | hyper | [`ClientAddress::peer`], and around the layer `map_request` of a `ServiceBuilder` that inserts the extension `PeerAddress(address.ip())`, with the address that `accept` returned |
//! | any, behind a proxy on a Unix socket | `ClientAddress::peer_from(\|_\| None)`, with [`TrustedProxies::count`] or [`TrustedProxies::and_unix_socket`] |
//! | any other | [`ClientAddress::peer`], and the extension [`PeerAddress`] in each request |
//!
//! The repository compiles those of the servers: the first in `examples/axum`, the others in
//! `tests/e2e`.
//!
//! If the server does not store the address, no request has a key. That is no fault of the clients.
//! They get 500 and not 400, whatever [`MissingKey`] says. The layer logs a warning that names what
//! is missing, once. [`RateLimitLayer`] also counts each request as `no_key`. See
//! [`telemetry`](crate::telemetry).
//!
//! If there are proxies in front of the server, [`ClientAddress`] says which of their headers to
//! trust. [`proxies`] lists settings of proxies and clients that change what the layers promise.
//!
//! # The order of layers
//!
//! The outermost layer sees a request first, and its response last. **In a `ServiceBuilder` the
//! first layer is the outermost. In axum, the last call of `Router::layer` is the outermost.** From
//! the outside to the inside:
//!
//! | layer | why there |
//! |---|---|
//! | CORS | It responds to preflights, so that they spend no quota. It also adds its headers to rejections: without them a script sees a network error instead of a 429. |
//! | [`RateLimitLayer`] by address | It is cheaper than checking credentials, and protects that check. |
//! | authentication | The limits behind it know the user. |
//! | [`RateLimitLayer`] by user, or by API key | A client cannot invent users. |
//! | [`IdempotencyLayer`] | Retries count against the limits, and rejections are not stored as responses. |
//!
//! In axum, use `Router::route_layer` for the layers of this module. With `Router::layer`, requests
//! to paths without a route pass the layer too, and spend the quota.
//!
//! A browser hides most headers from scripts of other origins. [`EXPOSED_HEADERS`] lists those of
//! this module for the CORS layer, and
//! [`exposed_headers`](RateLimitLayer::exposed_headers) those of one layer, with its
//! [dimensions](RateLimitLayer::dimension_headers). If the service responds to preflights itself,
//! [`skip_preflights`](RateLimitLayer::skip_preflights) exempts them from the limit.
//!
//! ```
//! use http::{Method, Request, Response, StatusCode};
//! use limited::http::{EXPOSED_HEADERS, KeyExtractor, RateLimitLayer};
//! use limited::{Limiter, Quota, memory::MemoryBackend};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::cors::{Any, CorsLayer};
//!
//! # type Error = Box<dyn std::error::Error>;
//! # pollster::block_on(async {
//! let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(1));
//! let limit = RateLimitLayer::new(limiter, KeyExtractor::path());
//! let mut service = ServiceBuilder::new()
//!     .layer(CorsLayer::new().allow_origin(Any).expose_headers(EXPOSED_HEADERS))
//!     .layer(limit)
//!     .service(service_fn(hello));
//! # async fn hello(_: Request<String>) -> Result<Response<String>, Error> {
//! #     Ok(Response::default())
//! # }
//!
//! for (method, status) in [
//!     (Method::OPTIONS, StatusCode::OK), // a preflight, which counts nothing
//!     (Method::GET, StatusCode::OK),
//!     (Method::GET, StatusCode::TOO_MANY_REQUESTS),
//! ] {
//!     let mut request = Request::builder().method(method).header("origin", "https://shop.example");
//!     request = request.header("access-control-request-method", "GET");
//!     let response = service.ready().await?.call(request.body(String::new())?).await?;
//!     assert_eq!(response.status(), status);
//!     assert_eq!(response.headers()["access-control-allow-origin"], "*");
//! }
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
//!
//! # Switches of the rate limit layer
//!
//! | need | call |
//! |---|---|
//! | some requests are not limited | [`skip`](RateLimitLayer::skip), [`skip_preflights`](RateLimitLayer::skip_preflights), or a [`cost`](RateLimitLayer::cost) of 0 |
//! | the limit is off, by configuration | [`enabled`](RateLimitLayer::enabled) |
//! | only some responses count, such as failed logins | [`count_only`](RateLimitLayer::count_only), which has an example |
//! | a limit is tried out, and rejects nothing | [`Limiter::shadow`](crate::Limiter::shadow): the layer writes no header about such a limiter |
//! | several windows for one key | a limiter with several [`quotas`](crate::Limiter::quotas) |
//! | users and tenants, or requests and tokens, in one step | [`and`](RateLimitLayer::and) |
//! | other limits for some routes | [`rule`](RateLimitLayer::rule) |
//! | fewer headers, or none | [`headers`](RateLimitLayer::headers) |
//! | `X-RateLimit-*` without a name | [`legacy_headers`](RateLimitLayer::legacy_headers) |
//! | `x-ratelimit-remaining-tokens` and the like | [`dimension_headers`](RateLimitLayer::dimension_headers) |
//! | headers of another server behind the layer | [`upstream_headers`](RateLimitLayer::upstream_headers) |
//! | shorter waits | [`max_retry_after`](RateLimitLayer::max_retry_after) |
//! | other responses | [`on_rejection`](RateLimitLayer::on_rejection) |
//!
//! # Guarantees
//!
//! - **The limit is exact.** Each request is decided in one atomic step of the backend, however
//!   many arrive at once.
//! - **All policies of a layer count a request, or none does.** A refusal by one leaves the others
//!   as they were. Of stacked layers, an outer one stays counted if an inner one refuses.
//! - **Waiting for `Retry-After` is enough**, unless another request takes the free capacity first.
//!   Seconds are rounded up, and are at least 1.
//! - **A client cannot get a new key by sending a header**, unless the key is made of that header.
//!   Addresses come only from what trusted proxies wrote. A header that was sent twice is no key.
//! - **Secrets never leave the process.** Of API keys and tokens, only a SHA-256 hash reaches keys,
//!   backends and logs.
//! - **A backend failure is never a 429, and never silent.** The response is 503 or that of the
//!   service, as you choose.
//! - **A rejection is stored by no cache**, so that no client gets the 429 of another.
//!
//! [`IdempotencyLayer`] lists its own guarantees.
//!
//! # Standards
//!
//! | what | standard |
//! |---|---|
//! | `RateLimit`, `RateLimit-Policy` | draft-ietf-httpapi-ratelimit-headers-11 (May 2026), over Structured Fields (RFC 9651) |
//! | `x-ratelimit-limit-{dimension}` and the like | none; as in the references of the APIs of large language models |
//! | `Retry-After` | RFC 9110, [capped](RateLimitLayer::max_retry_after) at what clients can wait for |
//! | `Cache-Control: no-store` | RFC 9111 |
//! | `Idempotency-Key` | draft-ietf-httpapi-idempotency-key-header-07 |
//! | `Forwarded` | RFC 7239 |
//! | blocks of addresses (CIDR) | RFC 4632, RFC 4291 |
//! | problem details in bodies | RFC 9457 |
//!
//! The drafts may change before they become RFCs. The headers would change with them.

mod attempt_response;
mod client_address;
mod cors;
mod dimension_headers;
mod grpc;
mod header_list;
mod idempotency;
mod key_extractor;
mod limit_values;
mod problem_details;
pub mod proxies;
mod rate_limit;
mod ratelimit_headers;
mod rejection;
mod response_body;
mod retry_after;

pub use client_address::{ClientAddress, InvalidNetwork, PeerAddress, TrustedProxies};
pub use cors::EXPOSED_HEADERS;
pub use idempotency::{
    BodyComparison, BufferedBody, IdempotencyFuture, IdempotencyLayer, IdempotencyService, OnBackendFailure,
    is_final,
};
pub use key_extractor::{KeyError, KeyExtractor, MissingKey};
pub use rate_limit::{
    LayerConflict, LimitHeaders, RateLimitFuture, RateLimitLayer, RateLimitRule, RateLimitService,
    RuleConflict, UpstreamHeaders,
};
pub use ratelimit_headers::InvalidPolicyName;
pub use rejection::{Exceeded, Rejection};
pub use response_body::{NoBody, ResponseBody};
