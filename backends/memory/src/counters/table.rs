//! A table of slots: open addressing with linear probing, sorted by hash.
//!
//! The hash of a slot determines its home, a cache line of two slots. The slot is in its home, or
//! behind it if other slots come first. All slots are sorted by falling hash. Therefore:
//!
//! - A search for an absent slot ends where a present one would be found.
//! - A larger table is filled from front to back.
//! - A walk that stopped at a hash continues there, whatever was added, removed or moved meanwhile.
//!
//! Source: O. Amble and D. E. Knuth, Ordered hash tables, 1974.

use super::slot::Slot;
use crate::fingerprint::Fingerprint;

/// Slots sorted by falling hash, with gaps. The last slot is always empty.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Box<[CacheLine]>,
    /// Number of lines that are homes. More lines follow, for slots that are displaced from their
    /// home.
    homes: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct CacheLine([Slot; SLOTS_PER_LINE]);

const SLOTS_PER_LINE: usize = 2;

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns the number of slots.
    pub(crate) const fn size(&self) -> usize {
        self.lines.len() * SLOTS_PER_LINE
    }

    /// Returns the slots from a position on, including empty ones.
    pub(crate) fn slots(&self, from: usize) -> impl Iterator<Item = &Slot> {
        self.lines.iter().skip(from / SLOTS_PER_LINE).flat_map(|line| &line.0).skip(from % SLOTS_PER_LINE)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Slot> {
        Some(&self.lines.get(at / SLOTS_PER_LINE)?.0[at % SLOTS_PER_LINE])
    }

    pub(crate) fn slot_mut(&mut self, at: usize) -> &mut Slot {
        &mut self.lines[at / SLOTS_PER_LINE].0[at % SLOTS_PER_LINE]
    }

    /// Returns the slot of a fingerprint.
    #[inline(always)]
    pub(crate) fn find_slot(&mut self, fingerprint: Fingerprint) -> Option<&mut Slot> {
        let home = self.home(fingerprint.hash);
        let line = self.lines.get(home)?;
        let second = line.0[1].hash();
        // Computed without a branch, because the branch would be unpredictable.
        let at = usize::from(second == fingerprint.hash);
        if line.0[at].fingerprint() == fingerprint {
            return Some(&mut self.lines[home].0[at]);
        }
        // If the line has room, the slot would be here, so it is absent.
        if second < fingerprint.hash { None } else { self.find_displaced_slot(fingerprint) }
    }

    /// Returns the slot of a fingerprint that may be displaced from its home.
    #[inline(never)]
    fn find_displaced_slot(&mut self, fingerprint: Fingerprint) -> Option<&mut Slot> {
        self.find(fingerprint).map(|at| self.slot_mut(at))
    }

    /// Returns the position of the first slot whose hash is not above this one.
    pub(crate) fn position(&self, hash: u64) -> usize {
        let home = self.home(hash) * SLOTS_PER_LINE;
        home + self.slots(home).take_while(|slot| slot.hash() > hash).count()
    }

    /// Returns the position of a fingerprint.
    pub(crate) fn find(&self, fingerprint: Fingerprint) -> Option<usize> {
        let mut at = self.position(fingerprint.hash);
        while let Some(slot) = self.get(at)
            && slot.hash() == fingerprint.hash
        {
            if slot.fingerprint() == fingerprint {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Adds a slot whose fingerprint is absent.
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

    /// Frees memory if most of it is unused.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        } else if self.len() < max_load(self.homes) / 2 && self.homes > MIN_HOMES {
            // `len * 2 / 3` homes would be full, and `next_homes` leaves room for a few more slots.
            self.rebuild(next_homes(self.len * 2 / 3));
        }
    }

    /// Returns the line where a slot with this hash is looked up first.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
        let home = ((u128::from(!hash) * u128::from(self.homes)) >> u64::BITS) as usize;
        home
    }

    /// Inserts a slot at its position and displaces the slots behind it. Returns `false` if that
    /// needs the last slot, and changes nothing.
    fn try_insert(&mut self, slot: Slot) -> bool {
        let at = self.position(slot.hash());
        let Some(gap) = self.slots(at).position(Slot::is_empty).map(|gap| at + gap) else { return false };
        if gap + 1 >= self.size() {
            return false;
        }
        let mut moved = slot;
        for at in at..=gap {
            std::mem::swap(self.slot_mut(at), &mut moved);
        }
        true
    }

    /// Moves all slots to a table of this many homes, or of more if they do not fit.
    fn rebuild(&mut self, mut homes: u32) {
        *self = loop {
            if let Some(table) = self.rehashed(homes) {
                break table;
            }
            homes = next_homes(homes);
        };
    }

    /// Returns a table of this many homes with the same slots, if they fit.
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

/// Number of homes of the smallest table that is not empty.
const MIN_HOMES: u32 = 1;

/// Returns how many slots a table may hold before it grows: three quarters.
const fn max_load(homes: u32) -> usize {
    homes as usize * SLOTS_PER_LINE * 3 / 4
}

/// Returns the number of homes of the next larger table. Growing by an eighth leaves few slots
/// empty.
const fn next_homes(homes: u32) -> u32 {
    homes + homes / 8 + MIN_HOMES
}

/// Returns the number of lines behind the last home: for displaced slots, and for the slot that
/// stays empty.
const fn spare_lines(homes: u32) -> usize {
    if homes > 1 { 2 + homes as usize / 64 } else { 1 }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn fingerprint(hash: u64, tag: u64) -> Fingerprint {
        // Hash 0 marks an empty slot.
        Fingerprint { hash: hash.max(1), tag }
    }

    /// Asserts that every slot is found, that the slots are sorted, and that the last one is empty.
    fn assert_consistent(table: &Table) {
        let full: Vec<_> = table.slots(0).filter(|slot| !slot.is_empty()).collect();
        assert_eq!(full.len(), table.len());
        assert!(full.is_sorted_by(|one, other| one.hash() >= other.hash()));
        assert!(table.slots(0).last().is_none_or(Slot::is_empty));
        for slot in full {
            let at = table.find(slot.fingerprint()).unwrap();
            assert_eq!(table.get(at), Some(slot));
        }
    }

    /// Hashes. Small ones crowd at the end of a table; those that differ only in their
    /// lowest bits crowd at one position.
    fn any_hash() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), (0..8_u64).prop_map(|hash| hash << 50), 0..20_u64,]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn table_agrees_with_a_map(
            operations in prop::collection::vec((any_hash(), 0..2_u64, 0..5_u8), 1..400),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (number, (hash, tag, what)) in operations.into_iter().enumerate() {
                let fingerprint = fingerprint(hash, tag);
                let key = (fingerprint.hash, fingerprint.tag);
                let found = table.find(fingerprint);
                prop_assert_eq!(found.map(|at| table.get(at).unwrap().value()), map.get(&key).copied());
                prop_assert_eq!(table.find_slot(fingerprint).map(|slot| slot.value()), map.get(&key).copied());
                match (what, found) {
                    (0, Some(at)) => {
                        table.remove(at);
                        map.remove(&key);
                        table.shrink();
                    }
                    (1.., None) => {
                        table.insert(Slot::bucket(fingerprint, 1, number as u128));
                        map.insert(key, number as u128);
                    }
                    _ => {}
                }
                if number % 8 == 0 {
                    assert_consistent(&table);
                }
            }
            assert_consistent(&table);
            for (number, (hash, tag)) in map.keys().copied().collect::<Vec<_>>().into_iter().enumerate() {
                let at = table.find(fingerprint(hash, tag)).unwrap();
                table.remove(at);
                table.shrink();
                prop_assert_eq!(table.len(), map.len() - number - 1);
            }
            assert_consistent(&table);
            prop_assert!(table.size() == 0);
        }

        #[test]
        fn walk_continues_from_any_hash(hashes in prop::collection::btree_set(any_hash(), 1..200), from: u64) {
            let mut table = Table::default();
            for hash in &hashes {
                table.insert(Slot::bucket(fingerprint(*hash, 0), 1, 0));
            }
            let expected: Vec<_> = hashes.iter().rev().map(|hash| *hash.max(&1)).filter(|hash| *hash <= from).collect();
            let walked: Vec<_> = table.slots(table.position(from)).map(Slot::hash).filter(|hash| *hash > 0).collect();
            prop_assert!(walked == expected || hashes.contains(&0));
        }
    }

    fn spread(number: u64) -> Fingerprint {
        fingerprint(number.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0)
    }

    #[test]
    fn table_stays_mostly_full_while_it_grows_and_shrinks() {
        let mut table = Table::default();
        for number in 1..=20_000_u64 {
            table.insert(Slot::bucket(spread(number), 1, 0));
            if number > 500 {
                assert!(table.size() * 10 < table.len() * 18, "{} of {}", table.len(), table.size());
            }
        }
        assert_consistent(&table);
        for number in 1..=19_900_u64 {
            table.remove(table.find(spread(number)).unwrap());
            table.shrink();
            assert!(table.size() <= table.len() * 3 + 16);
        }
        assert_consistent(&table);
    }
}
