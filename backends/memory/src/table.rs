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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn print(place: u64, check: u64) -> Fingerprint {
        // Small places crowd at the end of a table, and those that differ in their lowest bits in one position.
        Fingerprint { place: place.max(1), check }
    }

    /// Every slot is found, in its order, and the last one is empty.
    fn is_whole(table: &Table) {
        let full: Vec<_> = table.slots().iter().filter(|slot| !slot.is_empty()).collect();
        assert_eq!(full.len(), table.len());
        assert!(full.is_sorted_by(|one, other| one.place() >= other.place()));
        assert!(table.slots().last().is_none_or(Slot::is_empty));
        for slot in full {
            let at = table.find(slot.print()).unwrap();
            assert_eq!(table.slots()[at], *slot);
        }
    }

    fn any_place() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>().prop_map(|place| place >> ALIKE),
            (0..8_u64).prop_map(|place| (place << 50) >> ALIKE),
            0..20_u64,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_table_finds_what_a_map_finds(
            operations in prop::collection::vec((any_place(), 0..2_u64, 0..5_u8), 1..400),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (number, (place, check, what)) in operations.into_iter().enumerate() {
                let print = print(place, check);
                let key = (print.place, print.check);
                let found = table.find(print);
                prop_assert_eq!(found.ok().map(|at| table.slots()[at].value()), map.get(&key).copied());
                match (what, found) {
                    (0, Ok(at)) => {
                        table.remove(at);
                        map.remove(&key);
                        table.shrink();
                    }
                    (1.., Err(_)) => {
                        table.insert(Slot::bucket(print, 1, number as u128));
                        map.insert(key, number as u128);
                    }
                    _ => {}
                }
                if number % 8 == 0 {
                    is_whole(&table);
                }
            }
            is_whole(&table);
            for (number, (place, check)) in map.keys().copied().collect::<Vec<_>>().into_iter().enumerate() {
                let at = table.find(print(place, check)).unwrap();
                table.remove(at);
                table.shrink();
                prop_assert_eq!(table.len(), map.len() - number - 1);
            }
            is_whole(&table);
            prop_assert!(table.slots().is_empty());
        }

        #[test]
        fn a_walk_goes_on_from_a_place(places in prop::collection::btree_set(any_place(), 1..200), from: u64) {
            let mut table = Table::default();
            for place in &places {
                table.insert(Slot::bucket(print(*place, 0), 1, 0));
            }
            let from = from >> ALIKE;
            let expected: Vec<_> = places.iter().rev().map(|place| *place.max(&1)).filter(|place| *place <= from).collect();
            let walked: Vec<_> = table.slots()[table.from(from)..].iter().map(Slot::place).filter(|place| *place > 0).collect();
            prop_assert!(walked == expected || places.contains(&0));
        }
    }

    #[test]
    fn a_table_that_grows_is_mostly_full() {
        let mut table = Table::default();
        for number in 1..=20_000_u64 {
            table.insert(Slot::bucket(print(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> ALIKE, 0), 1, 0));
            if number > 500 {
                assert!(
                    table.slots().len() * 10 < table.len() * 14,
                    "{} of {}",
                    table.len(),
                    table.slots().len()
                );
            }
        }
        is_whole(&table);
        for number in 1..=19_900_u64 {
            let at = table.find(print(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> ALIKE, 0)).unwrap();
            table.remove(at);
            table.shrink();
            assert!(table.slots().len() <= table.len() * 5 / 2 + 8);
        }
        is_whole(&table);
    }
}
