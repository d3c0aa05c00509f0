//! In front of a service: [Tower](https://docs.rs/tower) layers, over plain `http` types and any framework.
//!
//! [`RateLimitLayer`] limits requests, [`IdempotencyLayer`] carries each out once. Both work over any
//! [`Backend`](crate::Backend), and in front of whatever takes a `Request` and answers with a `Response`: axum, tonic,
//! hyper, a `service_fn`. Both tell callers apart by a [`KeyBy`].
//!
//! ```
//! use http::{HeaderName, Request, Response, StatusCode};
//! use limited::http::{ClientAddress, KeyBy, PeerAddress, RateLimitLayer, TrustedProxies};
//! use limited::{Algorithm, Limiter, Quota, memory::MemoryBackend};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # type Error = Box<dyn std::error::Error>;
//! # pollster::block_on(async {
//! // The client's address, as the one proxy in front tells of it.
//! let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
//! let api_key = KeyBy::secret_header(HeaderName::from_static("x-api-key"));
//!
//! // Everybody by address, 20 at once and then 5 a second ...
//! let burst = Limiter::new(MemoryBackend::new())
//!     .algorithm(Algorithm::TokenBucket)
//!     .quota(Quota::per_second(5).burst(20));
//! let burst = RateLimitLayer::new(burst, KeyBy::address(address)).named("burst")?;
//! // ... and every API key on each path 1,000 times an hour, of which an export takes 50.
//! let hourly = Limiter::new(MemoryBackend::new()).quota(Quota::per_hour(1_000));
//! let hourly = RateLimitLayer::new(hourly, api_key.and(KeyBy::path()))
//!     .named("hourly")?
//!     .cost(|parts| if parts.uri.path() == "/export" { 50 } else { 1 });
//!
//! let service = ServiceBuilder::new().layer(burst).layer(hourly).service(service_fn(export));
//! # async fn export(_: Request<String>) -> Result<Response<String>, Error> { Ok(Response::default()) }
//!
//! let request = Request::get("/export")
//!     .extension(PeerAddress([10, 0, 0, 1].into())) // your server knows it
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
//! # Where addresses come from
//!
//! The layers know no server, so they are told where it leaves the address of the peer:
//!
//! | server | |
//! |---|---|
//! | axum | `ClientAddress::peer_from(\|parts\| Some(parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()))`, with `into_make_service_with_connect_info` |
//! | tonic | `ClientAddress::peer_from(\|parts\| Some(parts.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip()))` |
//! | any other | [`ClientAddress::peer`], and the extension [`PeerAddress`] in each request |
//!
//! Behind proxies, [`ClientAddress`] says whom to believe, and how much.
//!
//! # What is guaranteed
//!
//! - **Exactly the limit**: however many requests come at once, each is decided in one atomic step of the backend.
//! - **Waiting `Retry-After` is enough**, if nobody else takes what is free by then: seconds are rounded up, and are at least 1.
//! - **No header that a client sends gives it a fresh key**, unless the key is made of that header: of addresses only
//!   what trusted proxies have written is read, and what is sent twice is no key.
//! - **No secret leaves the process**: of API keys and tokens only a SHA-256 is in keys, and so in backends and logs.
//! - **A failing backend is neither a refusal nor silent**: the answer is 503, or the service's, as you choose; never 429.
//!
//! What the idempotency layer guarantees, line by line, is in [its own chapter](IdempotencyLayer). Of both, put the limit
//! outside: what is sent again counts against it, and a refusal is nobody's answer.
//!
//! # Standards
//!
//! Headers: draft-ietf-httpapi-ratelimit-headers-11 (of May 2026), over Structured Fields (RFC 9651); `Retry-After` (RFC
//! 9110). Addresses: `Forwarded` (RFC 7239), CIDR (RFC 4632, RFC 4291). Answers: problem details (RFC 9457). The draft may
//! still change before it is an RFC, and the headers would with it.

mod body;
mod client_address;
mod grpc;
mod headers;
mod idempotency;
mod key;
mod problem;
mod rate_limit;
mod refusal;

pub use body::ResponseBody;
pub use client_address::{ClientAddress, InvalidNetwork, PeerAddress, TrustedProxies};
pub use headers::InvalidPolicyName;
pub use idempotency::{BufferedBody, IdempotencyLayer, IdempotentFuture, IdempotentService, WithoutBackend};
pub use key::{KeyBy, NoKey};
pub use rate_limit::{RateLimit, RateLimitFuture, RateLimitLayer, WithoutKey};
pub use refusal::{Exceeded, Refusal};
