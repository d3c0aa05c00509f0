//! Coalescing of writes: at most one write per key is in flight in a process.
//!
//! A backend behind a network pays a round trip for each write, and concurrent writes to one key
//! contend for the same item. This module is a group commit for hits, for authors of backends
//! (feature `coalesce`):
//!
//! - [`WriteCoalescer`] starts the first hit on a key at once. Hits that arrive during that write
//!   wait, and become one batch, which is written next.
//! - [`merge`], [`admissible`] and [`values_after`] are the arithmetic of a batch: the one hit that
//!   has the same effect as several, which hits of a batch fit, and the value after each of them.
//!
//! The hits of a sliding counter also depend on the previous window. A write can read it once for
//! all of them, by [`PendingHit::without_previous`] and [`PendingHit::lower_ceiling`].
//!
//! A key therefore costs a process one write per round trip, however many tasks hit it. A hit waits
//! for at most two writes: the one in flight, and its own.
//!
//! The method is the group commit of databases (DeWitt et al., "Implementation techniques for main
//! memory database systems", SIGMOD 1984).
//!
//! ```
//! use std::sync::Mutex;
//!
//! use limited_core::coalesce::{PendingHit, WriteCoalescer, admissible, merge, values_after};
//! use limited_core::{CounterState, Hit, Timestamp};
//!
//! /// The counter of one key, with a lock in place of a server.
//! static COUNTER: Mutex<u128> = Mutex::new(0);
//!
//! async fn write(hits: Vec<PendingHit>) -> limited_core::coalesce::Results {
//!     let mut value = COUNTER.lock().expect("no panic under the lock");
//!     let before = *value;
//!     let admitted = admissible(&hits, before);
//!     if let Some(merged) = merge(&hits, &admitted) {
//!         *value = (before + merged.cost).max(merged.min_after);
//!     }
//!     let mut results: Vec<_> = hits.iter().map(|_| Ok(CounterState::new(false, *value))).collect();
//!     for (index, after) in admitted.iter().zip(values_after(&hits, &admitted, before)) {
//!         results[*index] = Ok(CounterState::new(true, after));
//!     }
//!     results
//! }
//!
//! # pollster::block_on(async {
//! let coalescer = WriteCoalescer::default();
//! let hit = || PendingHit::new(&Hit::new(2, 3), Timestamp::EPOCH);
//! assert!(coalescer.submit(&"key", hit(), write).await?.counted);
//! assert!(!coalescer.submit(&"key", hit(), write).await?.counted);
//! # Ok::<(), limited_core::BackendError>(())
//! # }).unwrap();
//! ```

mod merge;
mod queue;

pub use self::merge::{MergedHit, PendingHit, admissible, merge, values_after};
pub use self::queue::{Results, WriteCoalescer};
