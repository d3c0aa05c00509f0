//! A maximum number of entries, counted without a lock.

use crate::sync::{AtomicUsize, Ordering};

/// Counts the entries of a store: each reserves one unit before it is added, and releases it when
/// it is removed.
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
        let more = |reserved: usize| (reserved < self.max).then_some(reserved + 1);
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn release(&self, units: usize) {
        if units > 0 {
            self.reserved.fetch_sub(units, Ordering::Relaxed);
        }
    }
}
