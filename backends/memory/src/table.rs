//! A table of slots: open addressing in the order of their places.
//!
//! A slot stands at the position that its place maps to, or after it, where others come first: linear probing, in which
//! the slots of neighbours are sorted. So what is not there is known to be missing as soon as what is there would be
//! found; a larger table is filled from front to back; and a walk that stopped at a place goes on there, whatever
//! has come, gone or moved meanwhile. (O. Amble and D. E. Knuth, Ordered hash tables, 1974.)

use crate::fingerprint::Fingerprint;
use crate::slot::Slot;

/// Slots in the order of falling places, with gaps. The last one is always empty.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Box<[Slot]>,
    /// How many positions places map to. There are more slots than that, for those that others have moved on.
    positions: u32,
    len: u32,
}

/// How many upper bits of all places in a table are alike: they chose the table.
const ALIKE: u32 = crate::store::SHARDS.ilog2();

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The slots, empty ones among them.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slot(&mut self, at: usize) -> &mut Slot {
        &mut self.slots[at]
    }

    /// The first position of those whose places are not above this one.
    #[inline(always)]
    pub(crate) fn from(&self, place: u64) -> usize {
        let mut at = self.position(place);
        while let Some(slot) = self.slots.get(at)
            && slot.place() > place
        {
            at += 1;
        }
        at
    }

    /// Where a fingerprint is, or where it would be put.
    #[inline(always)]
    pub(crate) fn find(&self, print: Fingerprint) -> Result<usize, usize> {
        let mut at = self.from(print.place);
        while let Some(slot) = self.slots.get(at)
            && slot.place() == print.place
        {
            if slot.print() == print {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    /// Adds a slot whose fingerprint is not there.
    pub(crate) fn insert(&mut self, slot: Slot) {
        if self.len() + 1 > most(self.positions) {
            self.rebuild(grown(self.positions));
        }
        while !self.put(slot) {
            self.rebuild(grown(self.positions));
        }
        self.len += 1;
    }

    /// Removes the slot at a position.
    pub(crate) fn remove(&mut self, at: usize) {
        let mut gap = at;
        while let Some(next) = self.slots.get(gap + 1)
            && !next.is_empty()
            && self.position(next.place()) <= gap
        {
            self.slots[gap] = self.slots[gap + 1];
            gap += 1;
        }
        self.slots[gap] = Slot::default();
        self.len -= 1;
    }

    /// Gives memory back, where most of it is unused.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        } else if self.len() < most(self.positions) / 2 && self.positions > SMALLEST {
            let positions = self.len + self.len / 4;
            self.rebuild(positions.max(SMALLEST));
        }
    }

    #[inline(always)]
    fn position(&self, place: u64) -> usize {
        let along = !place << ALIKE;
        #[expect(clippy::cast_possible_truncation, reason = "below `positions`")]
        let position = ((u128::from(along) * u128::from(self.positions)) >> 64) as usize;
        position
    }

    /// Puts a slot where it belongs, and moves those on that come after it; not if that needs the last one.
    fn put(&mut self, slot: Slot) -> bool {
        let at = self.from(slot.place());
        let Some(gap) = self.slots.iter().skip(at).position(Slot::is_empty).map(|gap| at + gap) else {
            return false;
        };
        if gap + 1 >= self.slots.len() {
            return false;
        }
        self.slots.copy_within(at..gap, at + 1);
        self.slots[at] = slot;
        true
    }

    /// Moves all slots to a table of so many positions, or more if they do not fit.
    fn rebuild(&mut self, positions: u32) {
        let old = std::mem::take(self);
        self.positions = positions;
        self.slots = vec![Slot::default(); positions as usize + spare(positions)].into();
        self.len = old.len;
        let mut next = 0;
        for slot in old.slots.iter().filter(|slot| !slot.is_empty()) {
            let at = self.position(slot.place()).max(next);
            next = at + 1;
            if next >= self.slots.len() {
                *self = old;
                return self.rebuild(grown(positions));
            }
            self.slots[at] = *slot;
        }
    }
}

/// The fewest positions of a table that is not empty.
const SMALLEST: u32 = 2;

/// How many slots a table of so many positions takes before it grows: seven of eight.
const fn most(positions: u32) -> usize {
    (positions - positions / 8) as usize
}

/// The positions of the next larger table. It grows by little, so that little of it is empty.
const fn grown(positions: u32) -> u32 {
    positions + positions / 8 + SMALLEST
}

/// How many slots there are past the last position: more than others have ever been seen to move one on, and one to
/// stay empty.
const fn spare(positions: u32) -> usize {
    3 + (positions / 32) as usize
}
