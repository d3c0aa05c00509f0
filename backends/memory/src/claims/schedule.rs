//! When each shard has something to do, readable without its lock.

use std::time::Duration;

use limited_core::{Timestamp, has_passed};

use super::shard::Shard;
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// The next steps of all shards.
///
/// Each shard sets its own while it is locked. So a thread that reads that nothing is due also sees
/// the capacity that the last step has released.
pub(crate) struct Schedule {
    shards: Box<[Next]>,
    /// The first of all steps, or an earlier time. Never a later one for long: a shard first sets
    /// its own time, then lowers this one. A thread that raises it first raises it to the end of
    /// time, then lowers it to the first step that it reads.
    first: AtomicU64,
    /// Where the search for a due step starts. The shards take turns, so that they shrink together
    /// if many records expire at once.
    turn: AtomicUsize,
}

/// The next steps of one shard.
struct Next {
    /// When the first step is due.
    due: AtomicU64,
    /// When the lease of the first lapsed claim ended.
    lapsed: AtomicU64,
}

impl Schedule {
    pub(crate) fn new(shards: usize) -> Self {
        let next = || Next { due: AtomicU64::new(u64::MAX), lapsed: AtomicU64::new(u64::MAX) };
        Self {
            shards: (0..shards).map(|_| next()).collect(),
            first: AtomicU64::new(u64::MAX),
            turn: AtomicUsize::new(0),
        }
    }

    /// Sets the next steps of a locked shard.
    pub(crate) fn update(&self, index: usize, shard: &Shard, skew: Duration) {
        let Some(next) = self.shards.get(index) else { return };
        let due = shard.next_due(skew).as_nanos();
        next.due.store(due, Ordering::SeqCst);
        let lapsed = shard.first_lapsed().map_or(Timestamp::MAX, |(_, entry)| entry.claim.deadline());
        next.lapsed.store(lapsed.as_nanos(), Ordering::SeqCst);
        self.first.fetch_min(due, Ordering::SeqCst);
    }

    /// Returns whether a step is due. The result may be stale.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.first.load(Ordering::Relaxed)), now)
    }

    /// Returns a shard with a step that is due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<usize> {
        let (before, after) = self.shards.split_at(self.turn.load(Ordering::Relaxed).min(self.shards.len()));
        let is_due = |next: &Next| has_passed(Timestamp::from_nanos(next.due.load(Ordering::SeqCst)), now);
        if let Some(ahead) = after.iter().chain(before).position(is_due) {
            let index = (before.len() + ahead) % self.shards.len();
            self.turn.store(index + 1, Ordering::Relaxed);
            return Some(index);
        }
        self.first.store(u64::MAX, Ordering::SeqCst);
        let (due, index) = self.first_by(|next| &next.due)?;
        self.first.fetch_min(due.as_nanos(), Ordering::SeqCst);
        has_passed(due, now).then_some(index)
    }

    /// Returns the shard with the claim whose lease ended first, if there is a lapsed claim, and
    /// when its lease ended.
    pub(crate) fn first_lapsed(&self) -> Option<(Timestamp, usize)> {
        self.first_by(|next| &next.lapsed).filter(|(lapsed, _)| *lapsed < Timestamp::MAX)
    }

    fn first_by(&self, time: impl Fn(&Next) -> &AtomicU64) -> Option<(Timestamp, usize)> {
        let times = self.shards.iter().map(|next| Timestamp::from_nanos(time(next).load(Ordering::SeqCst)));
        times.zip(0..).min()
    }
}
