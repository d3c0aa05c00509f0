//! One shard of the store: its records, an index of them, and queues by deadline.

use std::time::Duration;

use limited_core::{Timestamp, has_passed};

use super::callers::Caller;
use super::claim::Claim;
use super::index::Index;
use super::queue::{Queue, narrow};
use super::records::Records;
use crate::fingerprint::Fingerprint;

/// What happens next to a record that no caller uses. Each phase has a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The claim lapses, the clock skew after its lease.
    InProgress,
    /// The claim has lapsed. It is removed at its expiry, or earlier if the store is full.
    Lapsed,
    /// The record is removed at its expiry.
    Finished,
}

impl Phase {
    pub(crate) const ALL: [Self; 3] = [Self::InProgress, Self::Lapsed, Self::Finished];
}

/// A record in a shard.
pub(crate) struct Entry {
    pub(crate) claim: Claim,
    fingerprint: Fingerprint,
    /// `None` if the number of claims of the caller has no maximum.
    pub(crate) caller: Option<Caller>,
    /// The place in the queue of the phase.
    pub(super) place: u32,
    phase: Phase,
}

impl Entry {
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns when the next step of the phase is due.
    fn due(&self, skew: Duration) -> Timestamp {
        match self.phase {
            Phase::InProgress => self.claim.lapses_at(skew),
            Phase::Lapsed | Phase::Finished => self.claim.removable_at(skew),
        }
    }
}

/// Returns the hash of the record at a position.
fn hash_at(records: &Records<Entry>, position: usize) -> u64 {
    records.get(position).map_or(0, |entry| entry.fingerprint.hash)
}

/// The records of a part of all fingerprints. Removing a record moves the last one to its position.
#[derive(Default)]
pub(crate) struct Shard {
    records: Records<Entry>,
    /// The positions of the records, by fingerprint.
    index: Index,
    /// The queue of each phase.
    queues: [Queue; Phase::ALL.len()],
    /// The number of records that were added or removed since memory was last freed.
    changes: usize,
    /// The highest number of records since then.
    peak: usize,
}

impl Shard {
    /// Returns a record and its position, which is valid until a record is removed.
    pub(crate) fn find(&self, fingerprint: Fingerprint) -> Option<(usize, &Entry)> {
        let is_same =
            |position| self.records.get(position).is_some_and(|entry| entry.fingerprint == fingerprint);
        self.at(self.index.find(fingerprint.hash, is_same)?)
    }

    /// Adds the record of an acquired claim. The shard has no record with this fingerprint.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, claim: Claim, caller: Option<Caller>) {
        let entry = Entry { claim, fingerprint, caller, place: 0, phase: Phase::InProgress };
        let position = self.records.push(entry);
        let Self { records, index, queues, .. } = self;
        index.insert(narrow(position), |position| hash_at(records, position));
        queues[Phase::InProgress as usize].push(records, position);
        self.free_memory();
    }

    /// Changes a claim, and moves its record to another phase. Returns what `update` returns;
    /// `None` if there is no record.
    pub(crate) fn update<R>(
        &mut self,
        position: usize,
        phase: Phase,
        update: impl FnOnce(&mut Claim) -> R,
    ) -> Option<R> {
        let entry = self.records.get(position)?;
        let (place, before) = (entry.place, entry.phase);
        // Leaves the queue first, because it is ordered by deadlines.
        self.queues[before as usize].remove(&mut self.records, place);
        let entry = self.records.get_mut(position)?;
        entry.phase = phase;
        let result = update(&mut entry.claim);
        self.queues[phase as usize].push(&mut self.records, position);
        Some(result)
    }

    /// Removes a record.
    pub(crate) fn remove(&mut self, position: usize) -> Option<Entry> {
        let entry = self.records.get(position)?;
        let (fingerprint, place, phase) = (entry.fingerprint, entry.place, entry.phase);
        self.queues[phase as usize].remove(&mut self.records, place);
        let Self { records, index, .. } = self;
        index.remove(position, fingerprint.hash, |position| hash_at(records, position));
        let last = self.records.len() - 1;
        let removed = self.records.swap_remove(position)?;
        if let Some(moved) = self.records.get(position).filter(|_| position < last) {
            self.queues[moved.phase as usize].set_position(moved.place, position);
            self.index.replace(moved.fingerprint.hash, last, narrow(position));
        }
        self.free_memory();
        Some(removed)
    }

    /// Counts an added or removed record. Frees memory that was not needed for twice as many
    /// changes as there is memory for records.
    ///
    /// Later than at once: if many records expire together and as many new ones follow, results
    /// would take the freed memory in pieces, and the process would grow.
    fn free_memory(&mut self) {
        self.changes += 1;
        self.peak = self.peak.max(self.records.len());
        if self.changes <= 2 * self.records.capacity() {
            return;
        }
        let Self { records, index, queues, peak, .. } = self;
        records.shrink_to(*peak);
        index.shrink_to(*peak, |position| hash_at(records, position));
        queues.iter_mut().for_each(|queue| queue.shrink_to(*peak));
        (self.changes, self.peak) = (0, self.records.len());
    }

    /// Returns when the first step of any record is due. The last timestamp if none ever is.
    pub(crate) fn next_due(&self, skew: Duration) -> Timestamp {
        let first = |phase: Phase| self.first(phase).map(|(_, entry)| entry.due(skew));
        Phase::ALL.into_iter().filter_map(first).min().unwrap_or(Timestamp::MAX)
    }

    /// Returns a record whose next step is due.
    pub(crate) fn first_due(&self, skew: Duration, now: Timestamp) -> Option<(usize, &Entry)> {
        let due =
            |phase: &Phase| self.first(*phase).is_some_and(|(_, entry)| has_passed(entry.due(skew), now));
        self.first(Phase::ALL.into_iter().find(due)?)
    }

    /// Returns the lapsed claim whose lease ended first.
    pub(crate) fn first_lapsed(&self) -> Option<(usize, &Entry)> {
        self.first(Phase::Lapsed)
    }

    fn first(&self, phase: Phase) -> Option<(usize, &Entry)> {
        self.at(self.queues[phase as usize].first()?)
    }

    fn at(&self, position: usize) -> Option<(usize, &Entry)> {
        self.records.get(position).map(|entry| (position, entry))
    }

    /// Panics unless records, index and queues agree. Returns the number of records.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn check(&self) -> usize {
        let len = self.records.len();
        let entries = (0..len).map(|position| (position, self.records.get(position).unwrap()));
        for (position, entry) in entries {
            assert_eq!(self.find(entry.fingerprint).map(|(found, _)| found), Some(position));
            let queue = self.queues[entry.phase as usize].positions();
            assert_eq!(queue[entry.place as usize] as usize, position);
            assert_eq!(entry.claim.is_in_progress(), entry.phase != Phase::Finished);
            let deadline = |place: usize| self.records.get(queue[place] as usize).unwrap().claim.deadline();
            let place = entry.place as usize;
            assert!(place == 0 || deadline((place - 1) / 2) <= deadline(place));
        }
        assert_eq!(self.index.len(), len);
        assert_eq!(self.queues.iter().map(|queue| queue.positions().len()).sum::<usize>(), len);
        len
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::{ClaimRequest, FencingToken, Owner};

    use super::*;

    fn fingerprint(number: u64) -> Fingerprint {
        Fingerprint { hash: number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, tag: number }
    }

    fn insert(shard: &mut Shard, number: u64) {
        let request = ClaimRequest::new(Owner(1), Timestamp::from_secs(number % 10));
        shard.insert(fingerprint(number), Claim::granted(&request, FencingToken(1)), None);
    }

    fn remove(shard: &mut Shard, number: u64) {
        let (position, _) = shard.find(fingerprint(number)).unwrap();
        assert_eq!(shard.remove(position).unwrap().fingerprint, fingerprint(number));
    }

    /// Returns the bytes that records, index and queues take, without results.
    fn bytes(shard: &Shard) -> usize {
        let queues: usize = shard.queues.iter().map(Queue::bytes).sum();
        shard.records.bytes() + shard.index.bytes() + queues
    }

    #[test]
    fn record_takes_at_most_150_bytes() {
        assert!(size_of::<Entry>() <= 128, "{}", size_of::<Entry>());
        let mut shard = Shard::default();
        for number in 0..10_000 {
            insert(&mut shard, number);
            let records = shard.records.len();
            assert!(records < 100 || bytes(&shard) <= 150 * records + 2_048, "{records}: {}", bytes(&shard));
        }
        shard.check();
    }

    #[test]
    fn memory_is_kept_for_a_second_wave_and_freed_without_one() {
        let mut shard = Shard::default();
        (0..1_000).for_each(|number| insert(&mut shard, number));
        let first_wave = bytes(&shard);
        // Eight records go for each new one, until all old ones are gone.
        let mut old = 0..1_000;
        for number in 1_000..2_000 {
            old.by_ref().take(8).for_each(|number| remove(&mut shard, number));
            insert(&mut shard, number);
            assert_eq!(bytes(&shard), first_wave);
        }
        shard.check();
        (1_000..1_990).for_each(|number| remove(&mut shard, number));
        for number in 2_000..6_000 {
            insert(&mut shard, number);
            remove(&mut shard, number);
        }
        assert!(bytes(&shard) < first_wave / 20, "{} of {first_wave}", bytes(&shard));
        assert_eq!(shard.check(), 10);
    }
}
