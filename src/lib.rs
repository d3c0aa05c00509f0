#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(all(feature = "memory", feature = "idempotency"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "memory", feature = "idempotency")),
    doc = "Decides, for a key, whether something may happen now."
)]
//!
//! # Features and dependencies
//!
//! | feature | default | adds | crates |
//! |---|---|---|---|
//! | `memory` | yes | the module `memory`: the in-memory backend | 11 |
//! | `idempotency` | yes | `Idempotency`, which stores requests and results as JSON | 9, with `serde_json` |
//! | `http` | | the module `http`: Tower layers over the types of the crate `http`; includes `idempotency` | 23 |
//! | `dynamodb` | | the module `dynamodb`: the Amazon DynamoDB backend, its `from_env` and an HTTPS client | about 140, with the AWS SDK and a TLS stack |
//! | `dynamodb-client` | | the same backend over your own client | about 90, with the AWS SDK |
//! | `mock` | | the module `mock`: the backend for tests | 1 |
//! | `serde` | | `Serialize` and `Deserialize` for [`Quota`] and [`Algorithm`] | 3 |
//! | `metrics` | | metrics, listed in [`telemetry`] | 3 |
//! | `tracing` | | spans and events, listed in [`telemetry`] | 4 |
//!
//! The last column counts the crates that a feature adds to the 22 of a build without features, on
//! Linux. Some features share crates.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod algorithm;
mod attempts;
mod clock;
mod config;
mod decision;
mod do_once;
mod duration;
mod error;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "idempotency")]
mod idempotency;
mod lease;
mod limiter;
mod poll_once;
mod quota;
pub mod telemetry;

pub use algorithm::Algorithm;
pub use attempts::{Attempt, AttemptError, AttemptWindow, LimitedAttempt};
pub use config::{AttemptsConfig, InvalidConfig, LimiterConfig};
pub use decision::Decision;
pub use do_once::{DoOnce, Done};
pub use error::{Error, OnError};
#[cfg(feature = "idempotency")]
pub use idempotency::{Idempotency, IdempotentCall, Outcome};
pub use lease::{Claim, RunError};
pub use limiter::{Limiter, WithQuota};
pub use quota::{Quota, QuotaError};

/// The crate `limited-core`: the trait, the types and the arithmetic for authors of backends.
#[doc(no_inline)]
pub use limited_core as backend;
pub use limited_core::{
    Backend, BackendError, Clock, CoarseClock, Dimensions, Immediate, InvalidKey, InvalidWindowLength, Key,
    ManualClock, SystemClock, Timestamp, UnknownName,
};

#[cfg(feature = "dynamodb-client")]
pub use limited_dynamodb as dynamodb;
#[cfg(feature = "memory")]
pub use limited_memory as memory;
#[cfg(feature = "mock")]
pub use limited_mock as mock;
