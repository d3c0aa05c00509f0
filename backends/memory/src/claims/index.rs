//! An index of records by hash: open addressing with linear probing, four bytes for each place.
//!
//! Not a map of the standard library: that would store the hash or the fingerprint again, and grow
//! to twice its size if as many records come as go.

/// A free place.
const FREE: u32 = u32::MAX;

/// The positions of records. The records themselves know their hashes: `hash_of` returns the hash
/// of the record at a position.
#[derive(Default)]
pub(crate) struct Index {
    /// At most five eighths are taken, so that a search ends after four places on average.
    places: Vec<u32>,
    len: usize,
}

impl Index {
    /// Returns the position with this hash for which `is_it` returns true.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.find_place(hash, is_it).map(|place| self.places[place] as usize)
    }

    /// Adds a position, which is not known yet.
    pub(crate) fn insert(&mut self, position: u32, hash_of: impl Fn(usize) -> u64) {
        if self.len >= capacity(self.places.len()) {
            self.rebuild(self.len + 1 + self.len / 4, &hash_of);
        }
        self.place(position, hash_of(position as usize));
        self.len += 1;
    }

    /// Removes a position. The record has this hash.
    pub(crate) fn remove(&mut self, position: usize, hash: u64, hash_of: impl Fn(usize) -> u64) {
        let Some(mut free) = self.find_place(hash, |candidate| candidate == position) else { return };
        let places = self.places.len();
        let distance = |from: usize, to: usize| if to >= from { to - from } else { to + places - from };
        // Moves each later position into the gap, unless a search for it would start behind the
        // gap.
        let mut place = free;
        loop {
            place = next(place, places);
            let moved = self.places[place];
            if moved == FREE {
                break;
            }
            let start = start(hash_of(moved as usize), places);
            if distance(start, place) >= distance(free, place) {
                self.places[free] = moved;
                free = place;
            }
        }
        self.places[free] = FREE;
        self.len -= 1;
    }

    /// Replaces a position, after the record with this hash has moved.
    pub(crate) fn replace(&mut self, hash: u64, from: usize, to: u32) {
        if let Some(place) = self.find_place(hash, |candidate| candidate == from) {
            self.places[place] = to;
        }
    }

    /// Frees memory if that for half as many records would be enough.
    pub(crate) fn shrink_to(&mut self, records: usize, hash_of: impl Fn(usize) -> u64) {
        if records < capacity(self.places.len()) / 2 {
            self.rebuild(records.max(self.len), &hash_of);
        }
    }

    fn find_place(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let places = self.places.len();
        if places == 0 {
            return None;
        }
        let mut place = start(hash, places);
        loop {
            match self.places[place] {
                FREE => return None,
                position if is_it(position as usize) => return Some(place),
                _ => place = next(place, places),
            }
        }
    }

    /// Takes the first free place.
    fn place(&mut self, position: u32, hash: u64) {
        let places = self.places.len();
        let mut place = start(hash, places);
        while self.places[place] != FREE {
            place = next(place, places);
        }
        self.places[place] = position;
    }

    /// Moves to a table with room for this number of records.
    fn rebuild(&mut self, records: usize, hash_of: &impl Fn(usize) -> u64) {
        // At least one place stays free, where a search ends.
        let places = vec![FREE; records * 8 / 5 + 2];
        for position in std::mem::replace(&mut self.places, places) {
            if position != FREE {
                self.place(position, hash_of(position as usize));
            }
        }
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.places.iter().filter(|position| **position != FREE).count(), self.len);
        self.len
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }
}

/// Returns how many places of a table may be taken.
const fn capacity(places: usize) -> usize {
    places / 8 * 5 + places % 8 * 5 / 8
}

/// Returns the place at which a search starts: the upper bits of the hash decide.
#[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
const fn start(hash: u64, places: usize) -> usize {
    ((hash as u128 * places as u128) >> u64::BITS) as usize
}

const fn next(place: usize, places: usize) -> usize {
    if place + 1 == places { 0 } else { place + 1 }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_known_position_is_found_and_no_other() {
        // Hashes that all differ, that meet in a few places, and that wrap around the end.
        let spread: fn(usize) -> u64 = |position| (position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hashes: [fn(usize) -> u64; 3] =
            [spread, |position| (position as u64 % 3) << 62, |position| u64::MAX - (position as u64 % 2)];
        for hash_of in hashes {
            let (mut index, mut known) = (Index::default(), BTreeSet::new());
            for round in 0..3_000_usize {
                let position = usize::try_from(spread(round) % 97).unwrap();
                // Grows for a while, then shrinks.
                if round % 300 < 150 && known.insert(position) {
                    index.insert(u32::try_from(position).unwrap(), hash_of);
                } else if round % 300 >= 150 && known.remove(&position) {
                    index.remove(position, hash_of(position), hash_of);
                }
                if round % 100 == 99 {
                    index.shrink_to(known.len(), hash_of);
                    assert!(capacity(index.places.len()) <= 2 * known.len() + 8);
                }
                assert_eq!(index.len(), known.len());
                for position in 0..97 {
                    let found = index.find(hash_of(position), |candidate| candidate == position);
                    assert_eq!(found, known.contains(&position).then_some(position));
                }
            }
        }
    }

    #[test]
    fn replaced_position_is_found_in_place_of_the_old_one() {
        let mut index = Index::default();
        index.insert(7, |_| 1 << 60);
        index.replace(1 << 60, 7, 3);
        assert_eq!(index.find(1 << 60, |position| position == 7), None);
        assert_eq!(index.find(1 << 60, |position| position == 3), Some(3));
    }

    #[test]
    fn index_stays_as_large_if_as_many_come_as_go() {
        let hash_of = |position: usize| (position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut index = Index::default();
        (0..100).for_each(|position| index.insert(position, hash_of));
        let places = index.places.len();
        for position in 100..10_000_u32 {
            let old = position as usize - 100;
            index.remove(old, hash_of(old), hash_of);
            index.insert(position, hash_of);
        }
        assert_eq!(index.places.len(), places);
    }
}
