//! The embedded backend of [`limited`](https://docs.rs/limited): exact counters, and claims, in the memory of
//! one process.
//!
//! Users of `limited` reach it as `limited::memory`.
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
//! | how many are known | [`MemoryBackend::len`] | [`MemoryBackend::claims`] |
//! | how many there may be | [`MemoryBackendBuilder::max_keys`] | [`MemoryBackendBuilder::max_claims`] |
//! | when there are that many | an error, or [`WhenFull::EvictSoonest`] | an error |
//! | when they leave | one length and the allowed skew after their end | the allowed skew after their expiry |
//! | after a restart | all start over | everything may run once more |

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod builder;
mod claims;
mod counters;
mod random;
mod sync;

pub use backend::MemoryBackend;
pub use builder::{MemoryBackendBuilder, WhenFull};
