//! Entries that do not fit into a slot: windows from the first hit, logs, spans, counts above 2^32,
//! and window kinds that are not interned.

use limited_core::Window;

use super::state::StoredState;
use crate::fingerprint::Fingerprint;

#[derive(Debug)]
pub(crate) struct OverflowEntry {
    pub(crate) fingerprint: Fingerprint,
    /// A window of the counter. The start of an aligned window does not matter.
    pub(crate) kind: Window,
    pub(crate) state: StoredState,
}

/// The overflow entries of one table, without gaps. Slots refer to them by position.
#[derive(Debug, Default)]
pub(crate) struct Overflow(Vec<OverflowEntry>);

impl Overflow {
    /// Adds an entry, and returns its position.
    pub(crate) fn push(&mut self, entry: OverflowEntry) -> usize {
        if self.0.len() == self.0.capacity() {
            // Grow by an eighth, like a table.
            self.0.reserve_exact(2 + self.0.len() / 8);
        }
        self.0.push(entry);
        self.0.len() - 1
    }

    pub(crate) fn get(&self, position: usize) -> Option<&OverflowEntry> {
        self.0.get(position)
    }

    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut OverflowEntry> {
        self.0.get_mut(position)
    }

    /// Removes an entry. Returns the fingerprint of the entry that moves to its position, if one
    /// does.
    pub(crate) fn remove(&mut self, position: usize) -> Option<Fingerprint> {
        if position < self.0.len() {
            self.0.swap_remove(position);
        }
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to(self.0.len() + self.0.len() / 4);
        }
        self.0.get(position).map(|moved| moved.fingerprint)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
