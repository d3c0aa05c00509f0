//! The queue of what expires: one ticket for each entry, in the order in which entries are looked at again.

use std::collections::BTreeMap;

use limited_core::{Timestamp, has_passed};

use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock};

/// When an entry is looked at again. No entry expires before its ticket is due; it may be later, since hits that move
/// the expiry on leave the ticket where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) due: Timestamp,
    /// Tells tickets apart that are due at once, and an entry from an earlier one for the same key.
    number: u64,
}

/// The tickets of all entries, each with the key `K` by which its entry is found. Its lock is the innermost: whoever
/// holds it takes no other.
pub(crate) struct Queue<K> {
    tickets: Mutex<Tickets<K>>,
    /// When the first ticket is due, to look at without the lock.
    next_due: AtomicU64,
    /// Tickets popped whose entry has not been looked at yet.
    settling: AtomicUsize,
}

struct Tickets<K> {
    waiting: BTreeMap<Ticket, K>,
    issued: u64,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            tickets: Mutex::new(Tickets { waiting: BTreeMap::new(), issued: 0 }),
            next_due: AtomicU64::new(u64::MAX),
            settling: AtomicUsize::new(0),
        }
    }
}

impl<K> Queue<K> {
    /// Issues a ticket.
    pub(crate) fn push(&self, key: K, due: Timestamp) -> Ticket {
        let mut tickets = lock(&self.tickets);
        let ticket = Ticket { due, number: tickets.issued };
        tickets.issued += 1;
        tickets.waiting.insert(ticket, key);
        self.changed(&tickets);
        ticket
    }

    /// Takes a ticket back. One that somebody has popped is gone already.
    pub(crate) fn remove(&self, ticket: Ticket) {
        let mut tickets = lock(&self.tickets);
        tickets.waiting.remove(&ticket);
        self.changed(&tickets);
    }

    /// How many tickets are out.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        lock(&self.tickets).waiting.len()
    }

    /// Whether a ticket is due; a guess, but one that the next call corrects.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        has_passed(Timestamp::from_nanos(self.next_due.load(Ordering::Relaxed)), now)
    }

    /// The first ticket, if `wanted`. Nothing where somebody else is at the queue right now.
    pub(crate) fn try_pop(&self, wanted: impl FnOnce(&Ticket) -> bool) -> Option<Popped<'_, K>> {
        let settling = self.settle_one();
        self.pop_from(self.tickets.try_lock().ok()?, settling, wanted)
    }

    /// The first ticket, if `wanted`.
    pub(crate) fn pop(&self, wanted: impl FnOnce(&Ticket) -> bool) -> Option<Popped<'_, K>> {
        let settling = self.settle_one();
        self.pop_from(lock(&self.tickets), settling, wanted)
    }

    /// Whether somebody has popped a ticket, and its entry may be about to leave.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling.load(Ordering::Acquire) > 0
    }

    fn settle_one(&self) -> Settling<'_> {
        self.settling.fetch_add(1, Ordering::Relaxed);
        Settling(&self.settling)
    }

    fn pop_from<'a>(
        &self,
        mut tickets: MutexGuard<'_, Tickets<K>>,
        settling: Settling<'a>,
        wanted: impl FnOnce(&Ticket) -> bool,
    ) -> Option<Popped<'a, K>> {
        let first = tickets.waiting.first_entry().filter(|first| wanted(first.key()))?;
        let (ticket, key) = first.remove_entry();
        self.changed(&tickets);
        Some(Popped { ticket, key, _settling: settling })
    }

    fn changed(&self, tickets: &Tickets<K>) {
        let next = tickets.waiting.first_key_value().map_or(Timestamp::MAX, |(ticket, _)| ticket.due);
        self.next_due.store(next.as_nanos(), Ordering::Relaxed);
    }
}

/// A ticket that is out of the queue, and counts as being looked at until this is dropped.
pub(crate) struct Popped<'a, K> {
    pub(crate) ticket: Ticket,
    pub(crate) key: K,
    _settling: Settling<'a>,
}

struct Settling<'a>(&'a AtomicUsize);

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        // Whoever sees that nothing is being settled also sees the places that were given back.
        self.0.fetch_sub(1, Ordering::Release);
    }
}
