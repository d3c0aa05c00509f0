//! The maximum number of entries, counted without a lock, and what to do at it.

use crate::sync::{AtomicUsize, Ordering};

/// What to do with a counter's new key if the store is full. It has no effect on
/// [claims](crate::MemoryBackendBuilder::max_claims).
///
/// As text, also with serde: `refuse` or `evict-soonest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Fails with [`Full`](limited_core::BackendError::Full). Known keys are not affected.
    ///
    /// An expired key makes room, unless it comes after more than 256 keys whose expiry later hits
    /// have extended. That bound keeps every call short. The next calls continue the search.
    #[default]
    Refuse,
    /// Evicts an expired key, or else the key that expires first among the next 64 keys. The search
    /// continues from call to call, and covers all keys if there are at most 64.
    ///
    /// **An evicted key starts over with its whole limit when it returns**, so more hits than the
    /// limit may be admitted to it. A client that can invent keys can evict the keys of all others.
    /// [`MemoryBackend::evicted`](crate::MemoryBackend::evicted) counts the evictions.
    EvictSoonest,
}

limited_core::named_setting!(WhenFull, "behaviour at the maximum number of keys" {
    Refuse => "refuse",
    EvictSoonest => "evict-soonest",
});

/// Counts the entries of a store, or their bytes: each entry reserves its units before it is added,
/// and releases them when it is removed.
///
/// Both happen while the entry's shard is locked. So a thread that finds an entry gone also finds
/// its unit free. A thread that makes room in a full store keeps the unit for its own entry.
pub(crate) struct Capacity {
    reserved: AtomicUsize,
    max: usize,
}

impl Capacity {
    pub(crate) fn new(max: usize) -> Self {
        Self { reserved: AtomicUsize::new(0), max }
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// Reserves one unit. Returns whether one was free.
    pub(crate) fn reserve(&self) -> bool {
        self.reserve_units(1)
    }

    /// Reserves several units, all or none. Returns whether they were free.
    pub(crate) fn reserve_units(&self, units: usize) -> bool {
        let more = |reserved: usize| reserved.checked_add(units).filter(|reserved| *reserved <= self.max);
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn release(&self, units: usize) {
        if units > 0 {
            self.reserved.fetch_sub(units, Ordering::Relaxed);
        }
    }
}
