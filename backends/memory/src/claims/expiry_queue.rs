//! A queue of records by their expiry: one entry for each record that expires.

use std::collections::BTreeMap;

use limited_core::{Timestamp, has_passed};

use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock};

/// When a record is processed. The record expires then or later, since a renewal leaves its entry
/// in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExpiryEntry {
    pub(crate) due: Timestamp,
    /// Distinguishes entries with the same `due`, and an entry from an earlier one of the same key.
    number: u64,
}

/// The expiry entries of all records, each with the key `K` of its record.
///
/// The lock of the queue is the innermost: a thread that holds it takes no other lock.
pub(crate) struct ExpiryQueue<K> {
    entries: Mutex<Entries<K>>,
    /// When the first entry is due, readable without the lock.
    next_due: AtomicU64,
    /// Number of popped entries whose record is not processed yet.
    in_flight: AtomicUsize,
}

struct Entries<K> {
    waiting: BTreeMap<ExpiryEntry, K>,
    next_number: u64,
}

impl<K> Default for ExpiryQueue<K> {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Entries { waiting: BTreeMap::new(), next_number: 0 }),
            next_due: AtomicU64::new(u64::MAX),
            in_flight: AtomicUsize::new(0),
        }
    }
}

impl<K> ExpiryQueue<K> {
    pub(crate) fn push(&self, key: K, due: Timestamp) -> ExpiryEntry {
        let mut entries = lock(&self.entries);
        let entry = ExpiryEntry { due, number: entries.next_number };
        entries.next_number += 1;
        entries.waiting.insert(entry, key);
        self.update_next_due(&entries);
        entry
    }

    /// Removes an entry, unless another thread has popped it.
    pub(crate) fn remove(&self, entry: ExpiryEntry) {
        let mut entries = lock(&self.entries);
        entries.waiting.remove(&entry);
        self.update_next_due(&entries);
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        lock(&self.entries).waiting.len()
    }

    /// Returns whether an entry is due. Without the lock the result may be stale.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.next_due.load(Ordering::Relaxed)), now)
    }

    /// Removes the first entry if it is due. Returns `None` also if another thread holds the lock.
    pub(crate) fn try_pop(&self, now: Timestamp) -> Option<Popped<'_, K>> {
        let in_flight = self.begin();
        self.pop_from(self.entries.try_lock().ok()?, in_flight, now)
    }

    /// Removes the first entry if it is due.
    pub(crate) fn pop(&self, now: Timestamp) -> Option<Popped<'_, K>> {
        let in_flight = self.begin();
        self.pop_from(lock(&self.entries), in_flight, now)
    }

    /// Returns whether a thread has popped an entry, and may be about to remove its record.
    pub(crate) fn has_in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    fn pop_from<'a>(
        &self,
        mut entries: MutexGuard<'_, Entries<K>>,
        in_flight: InFlight<'a>,
        now: Timestamp,
    ) -> Option<Popped<'a, K>> {
        let first = entries.waiting.first_entry().filter(|first| has_passed(first.key().due, now))?;
        let (entry, key) = first.remove_entry();
        self.update_next_due(&entries);
        Some(Popped { entry, key, _in_flight: in_flight })
    }

    fn update_next_due(&self, entries: &Entries<K>) {
        let next = entries.waiting.first_key_value().map_or(Timestamp::MAX, |(entry, _)| entry.due);
        self.next_due.store(next.as_nanos(), Ordering::Relaxed);
    }
}

/// An entry that was removed from the queue. It counts as in flight until it is dropped.
pub(crate) struct Popped<'a, K> {
    pub(crate) entry: ExpiryEntry,
    pub(crate) key: K,
    _in_flight: InFlight<'a>,
}

struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // A thread that sees no entry in flight must also see the released capacity.
        self.0.fetch_sub(1, Ordering::Release);
    }
}
