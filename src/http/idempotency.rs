//! The layer that executes requests once.

mod body;
mod compared_body;
mod comparison;
mod comparison_settings;
mod config;
mod error;
mod final_status;
mod future;
mod key_header;
mod layer;
mod run;
mod service;
mod stored_response;

pub use self::body::BufferedBody;
pub use self::compared_body::BodyComparison;
pub use self::config::OnBackendFailure;
pub use self::final_status::is_final;
pub use self::future::IdempotencyFuture;
pub use self::layer::IdempotencyLayer;
pub use self::service::IdempotencyService;
