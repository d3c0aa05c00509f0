//! The layer that limits requests.

mod config;
mod future;
mod layer;
mod service;

pub use self::future::RateLimitFuture;
pub use self::layer::RateLimitLayer;
pub use self::service::RateLimitService;
