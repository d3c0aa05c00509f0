//! The in-memory backend of [`limited`](https://docs.rs/limited): exact counters, and claims, in
//! the memory of one process.
//!
//! Users of `limited` reach this crate as `limited::memory`.
//!
//! ```
//! use limited_memory::MemoryBackend;
//!
//! let backend = MemoryBackend::builder().max_keys(100_000).max_claims(100_000).build();
//! assert_eq!((backend.len(), backend.claims()), (0, 0));
//! ```
//!
//! | | counters | claims |
//! |---|---|---|
//! | current number | [`MemoryBackend::len`] | [`MemoryBackend::claims`] |
//! | maximum number | [`MemoryBackendBuilder::max_keys`] | [`MemoryBackendBuilder::max_claims`] |
//! | maximum size | a counter takes 32 bytes | [`MemoryBackendBuilder::max_claim_bytes`] |
//! | maximum for one caller | | [`MemoryBackendBuilder::max_claims_per_caller`] |
//! | new key at the maximum | an error, or [`WhenFull::EvictSoonest`] | eviction of a lapsed claim, or an error |
//! | removal | one length and the clock skew after their end | the clock skew after their expiry |
//! | restart of the process | every limit starts over | every action may run once more |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod builder;
mod capacity;
mod claims;
mod counters;
mod fingerprint;
mod random;
mod sync;

pub use backend::MemoryBackend;
pub use builder::MemoryBackendBuilder;
pub use capacity::WhenFull;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(test, shuttle))]
extern crate self as limited_memory;
#[cfg(all(test, shuttle))]
#[path = "../tests/shuttle/interleavings.rs"]
mod interleavings;
