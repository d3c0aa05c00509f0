//! States that do not fit into a slot: hit-opened windows, counts above 2^32, and kinds that are not listed.

use super::fingerprint::Fingerprint;
use super::state::StoredState;
use super::window_kind::WindowKind;

/// A state, and what a slot would say about it.
#[derive(Debug)]
pub(crate) struct OverflowEntry {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) kind: WindowKind,
    pub(crate) state: StoredState,
}

/// The wide states of one table, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Overflow(Vec<OverflowEntry>);

impl Overflow {
    /// Adds a state, and tells its position.
    pub(crate) fn push(&mut self, entry: OverflowEntry) -> usize {
        if self.0.len() == self.0.capacity() {
            // By little, like a table.
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

    /// Removes a state. The one that takes its position, if one does, is told.
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
