//! When the shards have to be looked at again, to be seen without their locks.

use limited_core::{Timestamp, has_passed};

use crate::sync::{AtomicU64, Ordering};

/// For each shard, when the first of its entries may expire; written under its lock. And when the first of all may.
pub(crate) struct NextExpiry {
    shards: Box<[AtomicU64]>,
    earliest: AtomicU64,
}

impl NextExpiry {
    pub(crate) fn new(shards: usize) -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self { shards: (0..shards).map(|_| never()).collect(), earliest: never() }
    }

    /// Whether any shard may be due. (At the last timestamp it says so of none too, which [`is`](Self::is) tells apart.)
    #[inline(always)]
    pub(crate) fn any_due(&self, now: Timestamp) -> bool {
        self.earliest.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// Whether this shard is due.
    pub(crate) fn is_due(&self, shard: usize, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.shards[shard].load(Ordering::Relaxed)), now)
    }

    /// An entry of the shard expires at this time: look again by then. The shard is locked.
    #[inline]
    pub(crate) fn lower(&self, shard: usize, time: Timestamp) {
        let time = time.as_nanos();
        if time < self.shards[shard].load(Ordering::Relaxed) {
            self.shards[shard].store(time, Ordering::Relaxed);
            self.earliest.fetch_min(time, Ordering::AcqRel);
        }
    }

    /// No entry of the shard, which was due, expires before this time. The shard is locked.
    pub(crate) fn set(&self, shard: usize, time: Timestamp) {
        self.shards[shard].store(time.as_nanos(), Ordering::Relaxed);
    }

    /// Finds out when the first shard is due. Only one may be at it.
    ///
    /// None that becomes due earlier meanwhile is missed: whoever lowers the time of a shard lowers the first of all
    /// either before this sets it to the end of time, and then the time of the shard is seen here, or after that.
    pub(crate) fn refresh_earliest(&self) {
        self.earliest.swap(u64::MAX, Ordering::AcqRel);
        let earliest = self.shards.iter().map(|shard| shard.load(Ordering::Relaxed)).min();
        self.earliest.fetch_min(earliest.unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}
