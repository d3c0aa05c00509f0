//! What the counters of one quota have in common, kept once: so that an entry names it with a byte.

use std::sync::OnceLock;

use limited_core::{Window, WindowLength};

/// The window of a counter without its start: what its windows, one after the other, have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WindowKind {
    Aligned { length: WindowLength },
    FromFirstHit { length: WindowLength },
    Bucket { limit: u64, length: WindowLength },
}

impl From<Window> for WindowKind {
    fn from(window: Window) -> Self {
        match window {
            Window::Aligned { length, .. } => Self::Aligned { length },
            Window::FromFirstHit { length } => Self::FromFirstHit { length },
            Window::Bucket { limit, length } => Self::Bucket { limit, length },
        }
    }
}

impl WindowKind {
    /// Three numbers that no other kind has.
    const fn numbers(self) -> (u64, u64, u64) {
        match self {
            Self::Aligned { length } => (0, length.as_nanos(), 0),
            Self::FromFirstHit { length } => (1, length.as_nanos(), 0),
            Self::Bucket { limit, length } => (2, length.as_nanos(), limit),
        }
    }
}

/// The number of a kind in one store: from 1 to [`CAPACITY`], or [`UNINTERNED`].
pub(crate) type KindId = u8;

/// Stands for every kind that is not in the list.
pub(crate) const UNINTERNED: KindId = u8::MAX;

/// How many places there are for the first choice of a kind.
const FIRST_CHOICES: usize = 128;

/// How many places of the list a kind may have, and how far they are apart.
const PROBES: usize = 16;
const STEP: usize = 8;

/// How many kinds a store lists at most.
const CAPACITY: usize = FIRST_CHOICES + (PROBES - 1) * STEP;

/// A list of kinds that only grows. A kind for which there is no room stays unlisted, and its entries carry it
/// themselves.
pub(crate) struct KindTable(Box<[OnceLock<WindowKind>]>);

impl KindTable {
    pub(crate) fn new() -> Self {
        Self((0..CAPACITY).map(|_| OnceLock::new()).collect())
    }

    /// The number of a kind: always the same.
    pub(crate) fn intern(&self, kind: WindowKind) -> KindId {
        let first = Self::first_choice(kind);
        let mut positions = (0..PROBES).map(|probe| first + probe * STEP);
        positions.find(|at| *self.0[*at].get_or_init(|| kind) == kind).map_or(UNINTERNED, Self::id)
    }

    /// The place of its first choice.
    fn first_choice(kind: WindowKind) -> usize {
        let (tag, length, limit) = kind.numbers();
        let mixed = (length ^ limit.rotate_left(32) ^ tag).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::from(mixed.to_be_bytes()[0]) % FIRST_CHOICES
    }

    fn id(position: usize) -> KindId {
        KindId::try_from(position + 1).unwrap_or(UNINTERNED)
    }

    /// The kind of a number.
    pub(crate) fn kind(&self, kind_id: KindId) -> Option<WindowKind> {
        self.0.get(usize::from(kind_id).wrapping_sub(1))?.get().copied()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_kind_keeps_its_number_and_shares_it_with_no_other() {
        let table = KindTable::new();
        let kinds: Vec<_> = (1..=100)
            .flat_map(|millis| {
                let length = WindowLength::try_from(Duration::from_millis(millis)).unwrap();
                [
                    WindowKind::Aligned { length },
                    WindowKind::FromFirstHit { length },
                    WindowKind::Bucket { limit: 1, length },
                    WindowKind::Bucket { limit: 2, length },
                ]
            })
            .collect();
        let numbers: Vec<_> = kinds.iter().map(|kind| table.intern(*kind)).collect();
        assert!(numbers.contains(&UNINTERNED), "400 kinds are more than a list takes");
        for (kind, number) in kinds.iter().zip(&numbers) {
            assert_eq!(table.intern(*kind), *number);
            if *number != UNINTERNED {
                assert_eq!(table.kind(*number), Some(*kind));
            }
        }
        let listed = numbers.iter().filter(|number| **number != UNINTERNED).count();
        assert!(listed > 150, "{listed}");
        assert_eq!(table.kind(UNINTERNED), None);
        assert_eq!(table.kind(0), None);
    }
}
