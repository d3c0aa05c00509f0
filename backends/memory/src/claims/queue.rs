//! A queue of records by deadline: a binary heap of their positions, four bytes for each.

use super::records::Records;
use super::shard::Entry;

/// The records of one phase, the one with the first deadline first. Each record contains its place
/// in the queue, so that it can be removed from anywhere.
#[derive(Default)]
pub(crate) struct Queue(Vec<u32>);

impl Queue {
    /// Returns the position of the record with the first deadline.
    pub(crate) fn first(&self) -> Option<usize> {
        self.0.first().map(|position| *position as usize)
    }

    pub(crate) fn push(&mut self, records: &mut Records<Entry>, position: usize) {
        let place = self.0.len();
        if place == self.0.capacity() {
            self.0.reserve_exact(2 + place / 8);
        }
        self.0.push(narrow(position));
        self.sift_up(records, place);
    }

    /// Removes the record at a place.
    pub(crate) fn remove(&mut self, records: &mut Records<Entry>, place: u32) {
        let place = place as usize;
        if place >= self.0.len() {
            return;
        }
        self.0.swap_remove(place);
        if place < self.0.len() {
            let place = self.sift_up(records, place);
            self.sift_down(records, place);
        }
    }

    /// Frees memory if that for half as many records would be enough.
    pub(crate) fn shrink_to(&mut self, records: usize) {
        if records < self.0.capacity() / 2 {
            self.0.shrink_to(records);
        }
    }

    /// Sets the position of the record at a place, after it has moved.
    pub(crate) fn set_position(&mut self, place: u32, position: usize) {
        if let Some(moved) = self.0.get_mut(place as usize) {
            *moved = narrow(position);
        }
    }

    /// Moves the record at a place towards the front, behind all with an earlier deadline. Returns
    /// its new place.
    fn sift_up(&mut self, records: &mut Records<Entry>, mut place: usize) -> usize {
        while place > 0 && self.is_before(records, place, (place - 1) / 2) {
            let parent = (place - 1) / 2;
            self.0.swap(place, parent);
            self.note_place(records, place);
            place = parent;
        }
        self.note_place(records, place);
        place
    }

    /// Moves the record at a place towards the end, before all with a later deadline.
    fn sift_down(&mut self, records: &mut Records<Entry>, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = if self.is_before(records, right, left) { right } else { left };
            if !self.is_before(records, child, place) {
                return self.note_place(records, place);
            }
            self.0.swap(place, child);
            self.note_place(records, place);
            place = child;
        }
    }

    /// Returns whether the record at one place exists and has an earlier deadline than another.
    fn is_before(&self, records: &Records<Entry>, place: usize, other: usize) -> bool {
        let deadline = |place: usize| {
            let position = *self.0.get(place)?;
            records.get(position as usize).map(|entry| entry.claim.deadline())
        };
        match (deadline(place), deadline(other)) {
            (Some(deadline), Some(other)) => deadline < other,
            (deadline, _) => deadline.is_some(),
        }
    }

    fn note_place(&self, records: &mut Records<Entry>, place: usize) {
        if let Some(entry) = self.0.get(place).and_then(|position| records.get_mut(*position as usize)) {
            entry.place = narrow(place);
        }
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn positions(&self) -> &[u32] {
        &self.0
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }
}

/// Returns a position as 32 bits. One shard never has more records: they would take 512 GiB.
#[expect(clippy::cast_possible_truncation, reason = "below 2^32, see above")]
pub(crate) const fn narrow(position: usize) -> u32 {
    position as u32
}
