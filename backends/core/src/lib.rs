//! The contract between [`limited`](https://docs.rs/limited) and its backends.
//!
//! To limit rates, use the crate `limited`, which re-exports what it needs from this one. To write
//! a backend, start at [`Backend`]: its documentation contains the rules and a complete example.
//! Then run the conformance suite, `limited_core::conformance`, behind the feature `conformance`.
//!
//! | topic | items |
//! |---|---|
//! | the contract | [`Backend`], [`Immediate`], [`Operation`], [`async_trait`](macro@async_trait) |
//! | identity of a counter | [`Counter`]: a namespace, a [`Key`] and a [`Window`] |
//! | quota of a bucket | [`BucketQuota`] |
//! | arguments and results of counters | [`Hit`], [`Refund`], [`CounterState`], [`WindowMeta`], [`HitLog`] |
//! | identity of a claim | [`ClaimKey`]: a namespace, a [`Key`] and a [`ClaimKind`] |
//! | identity of a client | [`client_network`], [`embedded_ipv4`] |
//! | arguments of claims | [`ClaimRequest`], [`Completion`], [`Owner`] |
//! | results of claims | [`Acquisition`], [`FinishResult`], [`LeaseStatus`], [`Record`], [`FencingToken`] |
//! | errors | [`BackendError`], [`Cause`], [`InvalidKey`], [`InvalidWindowLength`], [`InvalidHitLog`], [`UnknownName`], [`debug_error`], [`Escaped`] |
//! | keys in logs | [`KeyHash`], [`Redacted`], [`set_key_salt`], [`InvalidSalt`] |
//! | time | [`Timestamp`], [`Clock`]: [`SystemClock`], [`CoarseClock`], [`ManualClock`] for tests |
//! | arithmetic of counters | [`Hit::apply`], [`has_ended`], [`is_ahead`], [`retained_until`], [`has_passed`], [`bucket_full_at`], [`bucket`], [`sliding`], [`several`] |
//! | arithmetic of claims | [`has_expired`], [`lapsed_claim_expires`], [`FencingToken::seed`] |
//!
//! # Features
//!
//! All are off by default.
//!
//! - `conformance`: the conformance suite, for tests of a backend.
//! - `coalesce`: one write in flight per key, for backends behind a network. Adds `futures-util`.
//! - `serde`: `Serialize` and `Deserialize` for settings, as text. Adds `serde`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod address;
mod backend;
pub mod bucket;
mod claim;
mod clock;
#[cfg(feature = "coalesce")]
pub mod coalesce;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counter;
mod error;
mod forward;
mod key;
mod key_hash;
mod log;
mod operation;
mod refund;
mod setting;
pub mod several;
pub mod sliding;
mod timestamp;
mod window;

pub use address::{client_network, embedded_ipv4};
pub use async_trait::async_trait;
pub use backend::{Backend, Immediate};
pub use bucket::BucketQuota;
pub use claim::{
    Acquisition, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, FencingToken, FinishResult,
    Finished, Grant, InProgress, LAPSED_CLAIM_TTL, LeaseStatus, Owner, Record, RequestHash, StoredResult,
    has_expired, lapsed_claim_expires,
};
pub use clock::{Clock, CoarseClock, ManualClock, Sleep, SystemClock};
pub use counter::{Counter, CounterState, Hit, WindowId, WindowMeta};
pub use error::{BackendError, Cause, Escaped, Result, debug_error, debug_sources};
pub use key::{Dimensions, InvalidKey, Key};
pub use key_hash::{InvalidSalt, KeyHash, Redacted, set_key_salt};
pub use log::{HitLog, InvalidHitLog};
pub use operation::Operation;
pub use refund::Refund;
#[cfg(feature = "serde")]
#[doc(hidden)]
pub use serde as __serde;
pub use setting::UnknownName;
pub use timestamp::Timestamp;
pub use window::{
    InvalidWindowLength, MAX_CLOCK_SKEW, Window, WindowLength, bucket_full_at, has_ended, has_passed,
    is_ahead, retained_until,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
