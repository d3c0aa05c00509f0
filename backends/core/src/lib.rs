//! The contract between [`limited`](https://docs.rs/limited) and its backends.
//!
//! Users of rate limits want the crate `limited`, which re-exports what they need of this one. Who writes a backend
//! starts at [`Backend`], whose documentation shows a complete one, and ends at the conformance suite
//! (`limited_core::conformance`, behind the feature `conformance`).
//!
//! | what | where |
//! |---|---|
//! | the trait | [`Backend`], [`Immediate`], [`Operation`] |
//! | what it is asked | [`Counter`] ([`Key`], [`Window`]), [`Hit`], [`Timestamp`] |
//! | | [`ClaimKey`], [`ClaimRequest`], [`Completion`] |
//! | what it answers | [`CounterState`], [`BackendError`] |
//! | | [`Acquisition`], [`FinishResult`], [`LeaseStatus`], [`Record`] |
//! | where time comes from | [`Clock`], [`SystemClock`], [`CoarseClock`], [`ManualClock`] |
//! | the arithmetic that backends share | [`Hit::apply`], [`has_ended`], [`retained_until`], [`has_passed`], [`bucket_full_at`], [`sliding`], [`has_expired`], [`FencingToken::seed`] |

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod claim;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counter;
mod error;
mod forward;
mod key;
mod operation;
pub mod sliding;
mod timestamp;
mod window;

pub use async_trait::async_trait;
pub use backend::{Backend, Immediate};
pub use claim::{
    Acquisition, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, FencingToken, FinishResult,
    Finished, Grant, InProgress, LAPSED_CLAIM_TTL, LeaseStatus, Owner, Record, RequestHash, StoredResult,
    has_expired, lapsed_claim_expires,
};
pub use clock::{Clock, CoarseClock, ManualClock, Sleep, SystemClock};
pub use counter::{Counter, CounterState, Hit, WindowId, WindowMeta};
pub use error::{BackendError, Cause};
pub use key::{Dimensions, InvalidKey, Key};
pub use operation::Operation;
pub use timestamp::Timestamp;
pub use window::{
    InvalidWindowLength, MAX_CLOCK_SKEW, Window, WindowLength, bucket_full_at, has_ended, has_passed,
    retained_until,
};
