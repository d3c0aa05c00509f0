//! In front of a service: Tower layers, over plain `http` types and any framework.

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
