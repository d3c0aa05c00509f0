//! The embedded backend of [`limited`](https://docs.rs/limited): exact counters in the memory of one process.
//!
//! Users of rate limits reach it as `limited::memory`.
//!
//! ```
//! use limited_memory::MemoryBackend;
//!
//! let backend = MemoryBackend::builder().max_keys(100_000).build();
//! assert_eq!(backend.len(), 0);
//! ```

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod builder;
mod map;
mod queue;
mod series;
mod state;
mod store;
mod sync;
mod windows;

pub use backend::MemoryBackend;
pub use builder::{MemoryBackendBuilder, WhenFull};
