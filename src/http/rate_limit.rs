//! The layer that limits requests.

mod config;
mod future;
mod layer;
mod rule;
mod service;

pub use self::config::UpstreamHeaders;
pub use self::future::RateLimitFuture;
pub use self::layer::RateLimitLayer;
pub use self::rule::{RateLimitRule, RuleConflict};
pub use self::service::RateLimitService;
