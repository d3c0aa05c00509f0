//! The queue of what expires: one ticket for each entry, in the order in which entries are looked at again.

use std::collections::BTreeMap;

use limited_core::{Timestamp, has_come};

use crate::series::StoredSeries;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock};

/// When an entry is looked at again. No entry expires before its ticket is due; it may be later, since hits that move
/// the expiry on leave the ticket where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) due: Timestamp,
    /// Tells tickets apart that are due at once, and an entry from an earlier one for the same key.
    number: u64,
}

/// The tickets of all entries. Its lock is the innermost: whoever holds it takes no other.
pub(crate) struct Queue {
    tickets: Mutex<Tickets>,
    /// When the first ticket is due, to look at without the lock.
    next_due: AtomicU64,
}

#[derive(Default)]
struct Tickets {
    waiting: BTreeMap<Ticket, StoredSeries>,
    issued: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { tickets: Mutex::default(), next_due: AtomicU64::new(u64::MAX) }
    }
}

impl Queue {
    /// Issues a ticket.
    pub(crate) fn push(&self, series: StoredSeries, due: Timestamp) -> Ticket {
        let mut tickets = lock(&self.tickets);
        let ticket = Ticket { due, number: tickets.issued };
        tickets.issued += 1;
        tickets.waiting.insert(ticket, series);
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
        has_come(Timestamp::from_nanos(self.next_due.load(Ordering::Relaxed)), now)
    }

    /// The first ticket, if `wanted`. Nothing where somebody else is at the queue right now.
    pub(crate) fn try_pop(&self, wanted: impl FnOnce(&Ticket) -> bool) -> Option<(Ticket, StoredSeries)> {
        self.pop_from(self.tickets.try_lock().ok()?, wanted)
    }

    /// The first ticket, if `wanted`.
    pub(crate) fn pop(&self, wanted: impl FnOnce(&Ticket) -> bool) -> Option<(Ticket, StoredSeries)> {
        self.pop_from(lock(&self.tickets), wanted)
    }

    fn pop_from(
        &self,
        mut tickets: MutexGuard<'_, Tickets>,
        wanted: impl FnOnce(&Ticket) -> bool,
    ) -> Option<(Ticket, StoredSeries)> {
        let first = tickets.waiting.first_entry().filter(|first| wanted(first.key()))?.remove_entry();
        self.changed(&tickets);
        Some(first)
    }

    fn changed(&self, tickets: &Tickets) {
        let next = tickets.waiting.first_key_value().map_or(Timestamp::MAX, |(ticket, _)| ticket.due);
        self.next_due.store(next.as_nanos(), Ordering::Relaxed);
    }
}
