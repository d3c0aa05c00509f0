//! The earliest expiry per shard, readable without locking the shard.

use limited_core::{Timestamp, has_passed};

use crate::sync::{AtomicU64, Ordering};

/// When the first entry of each shard may expire, and when the first entry of all may.
///
/// The time of a shard is written under the shard's lock.
pub(crate) struct NextExpiry {
    shards: Box<[AtomicU64]>,
    earliest: AtomicU64,
}

impl NextExpiry {
    pub(crate) fn new(shards: usize) -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self { shards: (0..shards).map(|_| never()).collect(), earliest: never() }
    }

    /// Returns whether any shard may be due. At the last timestamp this is always true; only
    /// [`is_due`](Self::is_due) is exact then.
    #[inline(always)]
    pub(crate) fn any_due(&self, now: Timestamp) -> bool {
        self.earliest.load(Ordering::Relaxed) <= now.as_nanos()
    }

    pub(crate) fn is_due(&self, shard: usize, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.shards[shard].load(Ordering::Relaxed)), now)
    }

    /// Makes the shard due at `time`, unless it is due earlier. The shard is locked.
    #[inline]
    pub(crate) fn lower(&self, shard: usize, time: Timestamp) {
        let time = time.as_nanos();
        if time < self.shards[shard].load(Ordering::Relaxed) {
            self.shards[shard].store(time, Ordering::Relaxed);
            self.earliest.fetch_min(time, Ordering::AcqRel);
        }
    }

    /// Makes the shard due at `time`, after a sweep of it. The shard is locked.
    pub(crate) fn set(&self, shard: usize, time: Timestamp) {
        self.shards[shard].store(time.as_nanos(), Ordering::Relaxed);
    }

    /// Computes the earliest time of all shards. Only one thread at a time may call this.
    ///
    /// A concurrent [`lower`](Self::lower) is not lost. It lowers `earliest` either before the
    /// swap, and then the shard's new time is read here, or after it.
    pub(crate) fn refresh_earliest(&self) {
        self.earliest.swap(u64::MAX, Ordering::AcqRel);
        let earliest = self.shards.iter().map(|shard| shard.load(Ordering::Relaxed)).min();
        self.earliest.fetch_min(earliest.unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}
