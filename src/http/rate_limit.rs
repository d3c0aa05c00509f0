//! The layer that limits requests.

mod and;
mod config;
mod decide;
mod few;
mod future;
mod headers;
mod keyed_limiter;
mod layer;
mod policy;
mod rule;
mod service;
mod switches;

pub use self::and::LayerConflict;
pub use self::future::RateLimitFuture;
pub use self::headers::{LimitHeaders, UpstreamHeaders};
pub use self::layer::RateLimitLayer;
pub use self::rule::{RateLimitRule, RuleConflict};
pub use self::service::RateLimitService;
