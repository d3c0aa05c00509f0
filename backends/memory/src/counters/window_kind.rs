//! Interns window kinds, so that a slot stores one byte instead of the kind.
//!
//! The kind of a window is what the successive windows of a counter have in common: its variant,
//! its length, and the limit of a bucket. It is written as a [`Window`] whose start does not
//! matter.

use std::sync::OnceLock;

use limited_core::{Timestamp, Window};

/// The id of a kind in one store: from 1 to [`CAPACITY`], or [`UNINTERNED`].
pub(crate) type KindId = u8;

/// The id of every kind that is not in the table.
pub(crate) const UNINTERNED: KindId = u8::MAX;

/// Number of positions at which a kind may be looked up first.
const FIRST_CHOICES: usize = 128;

/// Number of positions that a kind may have, and the distance between them.
const PROBES: usize = 16;
const STEP: usize = 8;

/// Maximum number of interned kinds.
const CAPACITY: usize = FIRST_CHOICES + (PROBES - 1) * STEP;

/// A table of kinds that only grows. A kind that finds no room stays uninterned, and its entries
/// store the kind themselves.
pub(crate) struct KindTable(Box<[OnceLock<Window>]>);

impl KindTable {
    pub(crate) fn new() -> Self {
        Self((0..CAPACITY).map(|_| OnceLock::new()).collect())
    }

    /// Returns the id of the kind of a window, the same one each time. Adds the kind if there is
    /// room.
    pub(crate) fn intern(&self, window: Window) -> KindId {
        let kind = match window {
            Window::Aligned { length, .. } => Window::Aligned { start: Timestamp::EPOCH, length },
            Window::FromFirstHit { .. } | Window::Bucket { .. } => window,
        };
        let first = Self::first_choice(kind);
        let mut positions = (0..PROBES).map(|probe| first + probe * STEP);
        let found = positions.find(|at| *self.0[*at].get_or_init(|| kind) == kind);
        found.and_then(|position| KindId::try_from(position + 1).ok()).unwrap_or(UNINTERNED)
    }

    fn first_choice(kind: Window) -> usize {
        let (tag, limit) = match kind {
            Window::Aligned { .. } => (0, 0),
            Window::FromFirstHit { .. } => (1, 0),
            Window::Bucket { limit, .. } => (2, limit),
        };
        let mixed = kind.length().as_nanos() ^ limit.rotate_left(32) ^ tag;
        usize::from(mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]) % FIRST_CHOICES
    }

    /// Returns the kind with this id, if it is interned.
    pub(crate) fn kind(&self, kind_id: KindId) -> Option<Window> {
        self.0.get(usize::from(kind_id).wrapping_sub(1))?.get().copied()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use limited_core::WindowLength;

    use super::*;

    #[test]
    fn each_interned_kind_has_one_id_of_its_own() {
        let table = KindTable::new();
        let kinds: Vec<_> = (1..=100)
            .flat_map(|millis| {
                let length = WindowLength::try_from(Duration::from_millis(millis)).unwrap();
                [
                    Window::Aligned { start: Timestamp::EPOCH, length },
                    Window::FromFirstHit { length },
                    Window::Bucket { limit: 1, length },
                    Window::Bucket { limit: 2, length },
                ]
            })
            .collect();
        let ids: Vec<_> = kinds.iter().map(|kind| table.intern(*kind)).collect();
        assert!(ids.contains(&UNINTERNED), "400 kinds do not fit into the table");
        for (kind, id) in kinds.iter().zip(&ids) {
            assert_eq!(table.intern(*kind), *id);
            if *id != UNINTERNED {
                assert_eq!(table.kind(*id), Some(*kind));
            }
        }
        let interned = ids.iter().filter(|id| **id != UNINTERNED).count();
        assert!(interned > 150, "{interned}");
        assert_eq!(table.kind(UNINTERNED), None);
        assert_eq!(table.kind(0), None);
    }
}
