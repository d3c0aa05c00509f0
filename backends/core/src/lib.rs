//! The contract between [`limited`](https://docs.rs/limited) and its backends.
//!
//! Users of rate limits want the crate `limited`, which re-exports what they need of this one. Who writes a backend
//! starts at [`Backend`], whose documentation shows a complete one, and ends at the conformance suite
//! (`limited_core::conformance`, behind the feature `conformance`).
//!
//! | what | where |
//! |---|---|
//! | the trait | [`Backend`], [`ImmediateBackend`], [`DynBackend`] |
//! | what it is asked | [`Counter`] ([`Key`], [`Window`]), [`Hit`], [`Timestamp`] |
//! | | [`ClaimKey`], [`ClaimRequest`], [`Completion`] |
//! | what it answers | [`Tally`], [`BackendError`] |
//! | | [`Claimed`], [`Recorded`], [`Ownership`], [`Record`] |
//! | where time comes from | [`Clock`], [`SystemClock`], [`CoarseClock`], [`ManualClock`] |
//! | the arithmetic that backends share | [`Hit::apply`], [`has_ended`], [`forgotten_from`], [`has_come`], [`bucket_full_at`], [`sliding`], [`has_expired`], [`Fence::seed`] |

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod claim;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counter;
mod dyn_backend;
mod error;
mod forward_claims;
mod key;
mod manual_clock;
mod pointers;
pub mod sliding;
mod time;
mod window;

pub use backend::{Backend, ImmediateBackend};
pub use claim::{
    ClaimKey, ClaimKind, ClaimRequest, Claimed, Completion, Details, Fence, Fingerprint, Finished, Grant,
    InProgress, LAPSED_CLAIM_KEPT, Owner, Ownership, Record, Recorded, StoredResult, has_expired,
    lapsed_claim_expires,
};
pub use clock::{Clock, CoarseClock, Sleep, SystemClock};
pub use counter::{Counter, Generation, Hit, Opening, Tally};
pub use dyn_backend::DynBackend;
pub use error::{BackendError, Cause};
pub use key::{Dimensions, InvalidKey, Key};
pub use manual_clock::ManualClock;
pub use time::Timestamp;
pub use window::{
    ALLOWED_SKEW, InvalidWindowLength, Window, WindowLength, bucket_full_at, forgotten_from, has_come,
    has_ended,
};
