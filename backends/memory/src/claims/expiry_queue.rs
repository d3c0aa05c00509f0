//! The queue of what expires: one ticket for each entry, in the order in which entries are looked at again.

use std::collections::BTreeMap;

use limited_core::{Timestamp, has_passed};

use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock};

/// When an entry is looked at again. No entry expires before its ticket is due; it may be later, since hits that move
/// the expiry on leave the ticket where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExpiryEntry {
    pub(crate) due: Timestamp,
    /// Tells tickets apart that are due at once, and an entry from an earlier one for the same key.
    number: u64,
}

/// The tickets of all entries, each with the key `K` by which its entry is found. Its lock is the innermost: whoever
/// holds it takes no other.
pub(crate) struct ExpiryQueue<K> {
    entries: Mutex<Entries<K>>,
    /// When the first ticket is due, to look at without the lock.
    next_due: AtomicU64,
    /// Tickets popped whose entry has not been looked at yet.
    in_flight: AtomicUsize,
}

struct Entries<K> {
    waiting: BTreeMap<ExpiryEntry, K>,
    issued: u64,
}

impl<K> Default for ExpiryQueue<K> {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Entries { waiting: BTreeMap::new(), issued: 0 }),
            next_due: AtomicU64::new(u64::MAX),
            in_flight: AtomicUsize::new(0),
        }
    }
}

impl<K> ExpiryQueue<K> {
    /// Issues a ticket.
    pub(crate) fn push(&self, key: K, due: Timestamp) -> ExpiryEntry {
        let mut entries = lock(&self.entries);
        let entry = ExpiryEntry { due, number: entries.issued };
        entries.issued += 1;
        entries.waiting.insert(entry, key);
        self.changed(&entries);
        entry
    }

    /// Takes a ticket back. One that somebody has popped is gone already.
    pub(crate) fn remove(&self, entry: ExpiryEntry) {
        let mut entries = lock(&self.entries);
        entries.waiting.remove(&entry);
        self.changed(&entries);
    }

    /// How many tickets are out.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        lock(&self.entries).waiting.len()
    }

    /// Whether a ticket is due; a guess, but one that the next call corrects.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.next_due.load(Ordering::Relaxed)), now)
    }

    /// The first ticket, if `wanted`. Nothing where somebody else is at the queue right now.
    pub(crate) fn try_pop(&self, wanted: impl FnOnce(&ExpiryEntry) -> bool) -> Option<Popped<'_, K>> {
        let in_flight = self.begin();
        self.pop_from(self.entries.try_lock().ok()?, in_flight, wanted)
    }

    /// The first ticket, if `wanted`.
    pub(crate) fn pop(&self, wanted: impl FnOnce(&ExpiryEntry) -> bool) -> Option<Popped<'_, K>> {
        let in_flight = self.begin();
        self.pop_from(lock(&self.entries), in_flight, wanted)
    }

    /// Whether somebody has popped a ticket, and its entry may be about to leave.
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
        wanted: impl FnOnce(&ExpiryEntry) -> bool,
    ) -> Option<Popped<'a, K>> {
        let first = entries.waiting.first_entry().filter(|first| wanted(first.key()))?;
        let (entry, key) = first.remove_entry();
        self.changed(&entries);
        Some(Popped { entry, key, _in_flight: in_flight })
    }

    fn changed(&self, entries: &Entries<K>) {
        let next = entries.waiting.first_key_value().map_or(Timestamp::MAX, |(entry, _)| entry.due);
        self.next_due.store(next.as_nanos(), Ordering::Relaxed);
    }
}

/// A ticket that is out of the queue, and counts as being looked at until this is dropped.
pub(crate) struct Popped<'a, K> {
    pub(crate) entry: ExpiryEntry,
    pub(crate) key: K,
    _in_flight: InFlight<'a>,
}

struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // Whoever sees that nothing is being settled also sees the places that were given back.
        self.0.fetch_sub(1, Ordering::Release);
    }
}
