//! A table of slots: open addressing in the order of their places.
//!
//! A slot stands in the line that its place maps to, its home, or after it, where others come first: linear probing, in
//! which the slots of neighbours are sorted. A line is one of the cache's, and holds two slots. So what is not there is
//! known to be missing as soon as what is there would be found; a larger table is filled from front to back; and a walk
//! that stopped at a place goes on there, whatever has come, gone or moved meanwhile. (O. Amble and D. E. Knuth, Ordered
//! hash tables, 1974.)

use crate::counters::fingerprint::{Fingerprint, SHARD_BITS};
use crate::counters::slot::Slot;

/// Slots in the order of falling places, with gaps. The last one is always empty.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Box<[Line]>,
    /// How many lines places map to. There are more than that, for slots that others have moved on.
    homes: u32,
    len: u32,
}

/// What the cache fetches at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([Slot; LINE]);

const LINE: usize = 2;

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// How many slots there are.
    pub(crate) const fn size(&self) -> usize {
        self.lines.len() * LINE
    }

    /// The slots from a position on, empty ones among them.
    pub(crate) fn slots(&self, from: usize) -> impl Iterator<Item = &Slot> {
        self.lines.iter().skip(from / LINE).flat_map(|line| &line.0).skip(from % LINE)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Slot> {
        Some(&self.lines.get(at / LINE)?.0[at % LINE])
    }

    pub(crate) fn slot(&mut self, at: usize) -> &mut Slot {
        &mut self.lines[at / LINE].0[at % LINE]
    }

    /// The slot of a fingerprint.
    #[inline(always)]
    pub(crate) fn slot_of(&mut self, print: Fingerprint) -> Option<&mut Slot> {
        let home = self.home(print.place);
        let line = self.lines.get(home)?;
        let second = line.0[1].place();
        // Computed, and not chosen by a branch, whose way nobody could foretell.
        let at = usize::from(second == print.place);
        if line.0[at].print() == print {
            return Some(&mut self.lines[home].0[at]);
        }
        // Where the line is not full of those that come before it, it would be there.
        if second < print.place { None } else { self.moved_slot_of(print) }
    }

    /// The slot of a fingerprint that others may have moved on.
    #[inline(never)]
    fn moved_slot_of(&mut self, print: Fingerprint) -> Option<&mut Slot> {
        self.find(print).ok().map(|at| self.slot(at))
    }

    /// The first position of those whose places are not above this one.
    pub(crate) fn from(&self, place: u64) -> usize {
        let home = self.home(place) * LINE;
        home + self.slots(home).take_while(|slot| slot.place() > place).count()
    }

    /// Where a fingerprint is, or where it would be put.
    pub(crate) fn find(&self, print: Fingerprint) -> Result<usize, usize> {
        let mut at = self.from(print.place);
        while let Some(slot) = self.get(at)
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
        if self.len() + 1 > most(self.homes) {
            self.rebuild(grown(self.homes));
        }
        while !self.put(slot) {
            self.rebuild(grown(self.homes));
        }
        self.len += 1;
    }

    /// Removes the slot at a position.
    pub(crate) fn remove(&mut self, at: usize) {
        let mut gap = at;
        while let Some(next) = self.get(gap + 1).copied()
            && !next.is_empty()
            && self.home(next.place()) * LINE <= gap
        {
            *self.slot(gap) = next;
            gap += 1;
        }
        *self.slot(gap) = Slot::default();
        self.len -= 1;
    }

    /// Gives memory back, where most of it is unused.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        } else if self.len() < most(self.homes) / 2 && self.homes > SMALLEST {
            // With room for a few more.
            self.rebuild(grown(self.len * 2 / 3));
        }
    }

    /// The line where the slot of a place is looked for first.
    #[inline(always)]
    fn home(&self, place: u64) -> usize {
        let along = !place << SHARD_BITS;
        #[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
        let home = ((u128::from(along) * u128::from(self.homes)) >> u64::BITS) as usize;
        home
    }

    /// Puts a slot where it belongs, and moves those on that come after it; not if that needs the last one.
    fn put(&mut self, slot: Slot) -> bool {
        let at = self.from(slot.place());
        let Some(gap) = self.slots(at).position(Slot::is_empty).map(|gap| at + gap) else {
            return false;
        };
        if gap + 1 >= self.size() {
            return false;
        }
        let mut moved = slot;
        for at in at..=gap {
            std::mem::swap(self.slot(at), &mut moved);
        }
        true
    }

    /// Moves all slots to a table of so many homes, or more if they do not fit.
    fn rebuild(&mut self, mut homes: u32) {
        *self = loop {
            if let Some(table) = self.with_homes(homes) {
                break table;
            }
            homes = grown(homes);
        };
    }

    /// A table of so many homes with the same slots, if they fit.
    fn with_homes(&self, homes: u32) -> Option<Self> {
        let lines = vec![Line::default(); homes as usize + spare(homes)].into();
        let mut table = Self { lines, homes, len: self.len };
        let mut next = 0;
        for slot in self.slots(0).filter(|slot| !slot.is_empty()) {
            let at = next.max(table.home(slot.place()) * LINE);
            next = at + 1;
            if next >= table.size() {
                return None;
            }
            *table.slot(at) = *slot;
        }
        Some(table)
    }
}

/// The fewest homes of a table that is not empty.
const SMALLEST: u32 = 1;

/// How many slots a table of so many homes takes before it grows: three of four.
const fn most(homes: u32) -> usize {
    homes as usize * LINE * 3 / 4
}

/// The homes of the next larger table. It grows by little, so that little of it is empty.
const fn grown(homes: u32) -> u32 {
    homes + homes / 8 + SMALLEST
}

/// How many lines there are past the last home: for slots that are moved on, and for the one that stays empty.
const fn spare(homes: u32) -> usize {
    if homes > 1 { 2 + homes as usize / 64 } else { 1 }
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
        let full: Vec<_> = table.slots(0).filter(|slot| !slot.is_empty()).collect();
        assert_eq!(full.len(), table.len());
        assert!(full.is_sorted_by(|one, other| one.place() >= other.place()));
        assert!(table.slots(0).last().is_none_or(Slot::is_empty));
        for slot in full {
            let at = table.find(slot.print()).unwrap();
            assert_eq!(table.get(at), Some(slot));
        }
    }

    fn any_place() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>().prop_map(|place| place >> SHARD_BITS),
            (0..8_u64).prop_map(|place| (place << 50) >> SHARD_BITS),
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
                prop_assert_eq!(found.ok().map(|at| table.get(at).unwrap().value()), map.get(&key).copied());
                prop_assert_eq!(table.slot_of(print).map(|slot| slot.value()), map.get(&key).copied());
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
            prop_assert!(table.size() == 0);
        }

        #[test]
        fn a_walk_goes_on_from_a_place(places in prop::collection::btree_set(any_place(), 1..200), from: u64) {
            let mut table = Table::default();
            for place in &places {
                table.insert(Slot::bucket(print(*place, 0), 1, 0));
            }
            let from = from >> SHARD_BITS;
            let expected: Vec<_> = places.iter().rev().map(|place| *place.max(&1)).filter(|place| *place <= from).collect();
            let walked: Vec<_> = table.slots(table.from(from)).map(Slot::place).filter(|place| *place > 0).collect();
            prop_assert!(walked == expected || places.contains(&0));
        }
    }

    #[test]
    fn a_table_that_grows_is_mostly_full() {
        let mut table = Table::default();
        for number in 1..=20_000_u64 {
            table.insert(Slot::bucket(
                print(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> SHARD_BITS, 0),
                1,
                0,
            ));
            if number > 500 {
                assert!(table.size() * 10 < table.len() * 18, "{} of {}", table.len(), table.size());
            }
        }
        is_whole(&table);
        for number in 1..=19_900_u64 {
            let at = table.find(print(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> SHARD_BITS, 0)).unwrap();
            table.remove(at);
            table.shrink();
            assert!(table.size() <= table.len() * 3 + 16);
        }
        is_whole(&table);
    }
}
