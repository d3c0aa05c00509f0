//! A table of slots: open addressing in the order of their places.
//!
//! A slot stands in the line that its place maps to, its home, or after it, where others come first: linear probing, in
//! which the slots of neighbours are sorted. A line is one of the cache's, and holds two slots. So what is not there is
//! known to be missing as soon as what is there would be found; a larger table is filled from front to back; and a walk
//! that stopped at a place goes on there, whatever has come, gone or moved meanwhile. (O. Amble and D. E. Knuth, Ordered
//! hash tables, 1974.)

use super::fingerprint::{Fingerprint, SHARD_BITS};
use super::slot::Slot;

/// Slots in the order of falling places, with gaps. The last one is always empty.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Box<[CacheLine]>,
    /// How many lines places map to. There are more than that, for slots that others have moved on.
    homes: u32,
    len: u32,
}

/// What the cache fetches at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct CacheLine([Slot; SLOTS_PER_LINE]);

const SLOTS_PER_LINE: usize = 2;

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// How many slots there are.
    pub(crate) const fn size(&self) -> usize {
        self.lines.len() * SLOTS_PER_LINE
    }

    /// The slots from a position on, empty ones among them.
    pub(crate) fn slots(&self, from: usize) -> impl Iterator<Item = &Slot> {
        self.lines.iter().skip(from / SLOTS_PER_LINE).flat_map(|line| &line.0).skip(from % SLOTS_PER_LINE)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Slot> {
        Some(&self.lines.get(at / SLOTS_PER_LINE)?.0[at % SLOTS_PER_LINE])
    }

    pub(crate) fn slot_mut(&mut self, at: usize) -> &mut Slot {
        &mut self.lines[at / SLOTS_PER_LINE].0[at % SLOTS_PER_LINE]
    }

    /// The slot of a fingerprint.
    #[inline(always)]
    pub(crate) fn find_slot(&mut self, fingerprint: Fingerprint) -> Option<&mut Slot> {
        let home = self.home(fingerprint.hash);
        let line = self.lines.get(home)?;
        let second = line.0[1].hash();
        // Computed, and not chosen by a branch, whose way nobody could foretell.
        let at = usize::from(second == fingerprint.hash);
        if line.0[at].fingerprint() == fingerprint {
            return Some(&mut self.lines[home].0[at]);
        }
        // Where the line is not full of those that come before it, it would be there.
        if second < fingerprint.hash { None } else { self.find_displaced_slot(fingerprint) }
    }

    /// The slot of a fingerprint that others may have moved on.
    #[inline(never)]
    fn find_displaced_slot(&mut self, fingerprint: Fingerprint) -> Option<&mut Slot> {
        self.find(fingerprint).ok().map(|at| self.slot_mut(at))
    }

    /// The first position of those whose places are not above this one.
    pub(crate) fn position(&self, hash: u64) -> usize {
        let home = self.home(hash) * SLOTS_PER_LINE;
        home + self.slots(home).take_while(|slot| slot.hash() > hash).count()
    }

    /// Where a fingerprint is, or where it would be put.
    pub(crate) fn find(&self, fingerprint: Fingerprint) -> Result<usize, usize> {
        let mut at = self.position(fingerprint.hash);
        while let Some(slot) = self.get(at)
            && slot.hash() == fingerprint.hash
        {
            if slot.fingerprint() == fingerprint {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    /// Adds a slot whose fingerprint is not there.
    pub(crate) fn insert(&mut self, slot: Slot) {
        if self.len() + 1 > max_load(self.homes) {
            self.rebuild(next_homes(self.homes));
        }
        while !self.try_insert(slot) {
            self.rebuild(next_homes(self.homes));
        }
        self.len += 1;
    }

    /// Removes the slot at a position.
    pub(crate) fn remove(&mut self, at: usize) {
        let mut gap = at;
        while let Some(next) = self.get(gap + 1).copied()
            && !next.is_empty()
            && self.home(next.hash()) * SLOTS_PER_LINE <= gap
        {
            *self.slot_mut(gap) = next;
            gap += 1;
        }
        *self.slot_mut(gap) = Slot::default();
        self.len -= 1;
    }

    /// Gives memory back, where most of it is unused.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        } else if self.len() < max_load(self.homes) / 2 && self.homes > MIN_HOMES {
            // With room for a few more.
            self.rebuild(next_homes(self.len * 2 / 3));
        }
    }

    /// The line where the slot of a place is looked for first.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        let spread = !hash << SHARD_BITS;
        #[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
        let home = ((u128::from(spread) * u128::from(self.homes)) >> u64::BITS) as usize;
        home
    }

    /// Puts a slot where it belongs, and moves those on that come after it; not if that needs the last one.
    fn try_insert(&mut self, slot: Slot) -> bool {
        let at = self.position(slot.hash());
        let Some(gap) = self.slots(at).position(Slot::is_empty).map(|gap| at + gap) else {
            return false;
        };
        if gap + 1 >= self.size() {
            return false;
        }
        let mut moved = slot;
        for at in at..=gap {
            std::mem::swap(self.slot_mut(at), &mut moved);
        }
        true
    }

    /// Moves all slots to a table of so many homes, or more if they do not fit.
    fn rebuild(&mut self, mut homes: u32) {
        *self = loop {
            if let Some(table) = self.rehashed(homes) {
                break table;
            }
            homes = next_homes(homes);
        };
    }

    /// A table of so many homes with the same slots, if they fit.
    fn rehashed(&self, homes: u32) -> Option<Self> {
        let lines = vec![CacheLine::default(); homes as usize + spare_lines(homes)].into();
        let mut table = Self { lines, homes, len: self.len };
        let mut next = 0;
        for slot in self.slots(0).filter(|slot| !slot.is_empty()) {
            let at = next.max(table.home(slot.hash()) * SLOTS_PER_LINE);
            next = at + 1;
            if next >= table.size() {
                return None;
            }
            *table.slot_mut(at) = *slot;
        }
        Some(table)
    }
}

/// The fewest homes of a table that is not empty.
const MIN_HOMES: u32 = 1;

/// How many slots a table of so many homes takes before it grows: three of four.
const fn max_load(homes: u32) -> usize {
    homes as usize * SLOTS_PER_LINE * 3 / 4
}

/// The homes of the next larger table. It grows by little, so that little of it is empty.
const fn next_homes(homes: u32) -> u32 {
    homes + homes / 8 + MIN_HOMES
}

/// How many lines there are past the last home: for slots that are moved on, and for the one that stays empty.
const fn spare_lines(homes: u32) -> usize {
    if homes > 1 { 2 + homes as usize / 64 } else { 1 }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn fingerprint(hash: u64, tag: u64) -> Fingerprint {
        // Small places crowd at the end of a table, and those that differ in their lowest bits in one position.
        Fingerprint { hash: hash.max(1), tag }
    }

    /// Every slot is found, in its order, and the last one is empty.
    fn is_whole(table: &Table) {
        let full: Vec<_> = table.slots(0).filter(|slot| !slot.is_empty()).collect();
        assert_eq!(full.len(), table.len());
        assert!(full.is_sorted_by(|one, other| one.hash() >= other.hash()));
        assert!(table.slots(0).last().is_none_or(Slot::is_empty));
        for slot in full {
            let at = table.find(slot.fingerprint()).unwrap();
            assert_eq!(table.get(at), Some(slot));
        }
    }

    fn any_hash() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>().prop_map(|hash| hash >> SHARD_BITS),
            (0..8_u64).prop_map(|hash| (hash << 50) >> SHARD_BITS),
            0..20_u64,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_table_finds_what_a_map_finds(
            operations in prop::collection::vec((any_hash(), 0..2_u64, 0..5_u8), 1..400),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (number, (hash, tag, what)) in operations.into_iter().enumerate() {
                let fingerprint = fingerprint(hash, tag);
                let key = (fingerprint.hash, fingerprint.tag);
                let found = table.find(fingerprint);
                prop_assert_eq!(found.ok().map(|at| table.get(at).unwrap().value()), map.get(&key).copied());
                prop_assert_eq!(table.find_slot(fingerprint).map(|slot| slot.value()), map.get(&key).copied());
                match (what, found) {
                    (0, Ok(at)) => {
                        table.remove(at);
                        map.remove(&key);
                        table.shrink();
                    }
                    (1.., Err(_)) => {
                        table.insert(Slot::bucket(fingerprint, 1, number as u128));
                        map.insert(key, number as u128);
                    }
                    _ => {}
                }
                if number % 8 == 0 {
                    is_whole(&table);
                }
            }
            is_whole(&table);
            for (number, (hash, tag)) in map.keys().copied().collect::<Vec<_>>().into_iter().enumerate() {
                let at = table.find(fingerprint(hash, tag)).unwrap();
                table.remove(at);
                table.shrink();
                prop_assert_eq!(table.len(), map.len() - number - 1);
            }
            is_whole(&table);
            prop_assert!(table.size() == 0);
        }

        #[test]
        fn a_walk_goes_on_from_a_place(hashes in prop::collection::btree_set(any_hash(), 1..200), from: u64) {
            let mut table = Table::default();
            for hash in &hashes {
                table.insert(Slot::bucket(fingerprint(*hash, 0), 1, 0));
            }
            let from = from >> SHARD_BITS;
            let expected: Vec<_> = hashes.iter().rev().map(|hash| *hash.max(&1)).filter(|hash| *hash <= from).collect();
            let walked: Vec<_> = table.slots(table.position(from)).map(Slot::hash).filter(|hash| *hash > 0).collect();
            prop_assert!(walked == expected || hashes.contains(&0));
        }
    }

    #[test]
    fn a_table_that_grows_is_mostly_full() {
        let mut table = Table::default();
        for number in 1..=20_000_u64 {
            table.insert(Slot::bucket(
                fingerprint(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> SHARD_BITS, 0),
                1,
                0,
            ));
            if number > 500 {
                assert!(table.size() * 10 < table.len() * 18, "{} of {}", table.len(), table.size());
            }
        }
        is_whole(&table);
        for number in 1..=19_900_u64 {
            let at =
                table.find(fingerprint(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> SHARD_BITS, 0)).unwrap();
            table.remove(at);
            table.shrink();
            assert!(table.size() <= table.len() * 3 + 16);
        }
        is_whole(&table);
    }
}
