#![cfg_attr(docsrs, feature(doc_cfg))]
// `tests/e2e` compiles the blocks of the README, because it has axum.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]
#![cfg_attr(doctest, doc = "Decides, for a key, whether something may happen now.")]
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
mod quotas;
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
pub use limiter::{
    Limiter, LimiterHit, Reservation, WithQuota, allow_all, allow_all_now, refund_all, refund_all_now,
    reserve_all, reserve_all_now,
};
pub use quota::{Quota, QuotaError};
pub use quotas::{Quotas, QuotasError};

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
