//! One shard of the store: a table of slots, and the overflow entries that do not fit into slots.
//! The caller holds its lock.

use std::sync::Arc;

use limited_core::bucket::StoredBucket;
use limited_core::{
    BucketQuota, Counter, CounterState, Hit, HitLog, Refund, Timestamp, Window, WindowId, WindowLength,
    has_passed,
};

use super::expiry::NextExpiry;
use super::overflow::{Overflow, OverflowEntry};
use super::slot::{Outcome, Slot, SlotContent};
use super::state::{
    self, FirstHitWindow, StoredState, bucket_retained_until, get_bucket, increment_bucket, refund_bucket,
    value_unless_full,
};
use super::table::Table;
use super::window_kind::{Kind, KindId, KindTable, UNINTERNED};
use super::windows::{Reading, WindowMode, Windows};
use crate::fingerprint::{Fingerprint, Location};

/// What an operation acts on, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    /// The number of the shard.
    pub(crate) shard: usize,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) window: Window,
    /// The quota of a bucket; matters to buckets only.
    pub(crate) quota: BucketQuota,
    /// Matters to aligned windows only.
    pub(crate) mode: WindowMode,
    pub(crate) reading: Reading,
}

impl Lookup {
    #[inline(always)]
    pub(crate) fn new(location: Location, counter: &Counter<'_>, reading: Reading) -> Self {
        let Location { shard, fingerprint } = location;
        // Only a reset of a bucket, which ignores it, may have no quota.
        let quota = counter.bucket().unwrap_or(BucketQuota::new(0, 0));
        Self { shard, fingerprint, window: counter.window(), quota, mode: WindowMode::of(counter), reading }
    }
}

/// The rest of what one operation may sweep.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Number of entries to scan.
    pub(crate) scans: usize,
    /// Number of entries to remove.
    pub(crate) removals: usize,
}

impl Budget {
    pub(crate) const fn is_spent(&self) -> bool {
        self.scans == 0 || self.removals == 0
    }
}

/// A counter after its first hit.
pub(crate) enum NewCounter {
    Windows(Windows),
    FromFirstHit(FirstHitWindow),
    Bucket(StoredBucket),
    Log(Arc<HitLog>),
    Span(u128),
}

impl From<NewCounter> for StoredState {
    fn from(new: NewCounter) -> Self {
        match new {
            NewCounter::Windows(windows) => Self::Aligned(Box::new(windows)),
            NewCounter::FromFirstHit(window) => Self::FromFirstHit(window),
            NewCounter::Bucket(bucket) => Self::Bucket(bucket),
            NewCounter::Log(log) => Self::Log(log),
            NewCounter::Span(value) => Self::Span(value),
        }
    }
}

/// The entries of one range of hashes.
pub(crate) struct Shard {
    table: Table,
    overflow: Option<Box<Overflow>>,
    /// The hash from which the sweep continues.
    swept_to: u64,
    /// The earliest expiry among the entries that the sweep has passed or that were added since it
    /// began.
    earliest_expiry: Timestamp,
}

impl Default for Shard {
    fn default() -> Self {
        Self { table: Table::default(), overflow: None, swept_to: u64::MAX, earliest_expiry: Timestamp::MAX }
    }
}

/// Returns the result of a hit on an absent counter, and the new counter if the hit is counted.
pub(crate) fn new_counter(lookup: &Lookup, hit: &Hit<'_>) -> (CounterState, Option<NewCounter>) {
    match lookup.window {
        Window::Aligned { start, length } => {
            let at = lookup.reading.in_window(start, length, lookup.mode);
            let (state, after) = Windows::empty(start).increment(hit, at);
            (state, after.map(NewCounter::Windows))
        }
        Window::FromFirstHit { .. } => {
            let (state, after) = FirstHitWindow::open(hit, lookup.reading.now);
            (state, after.map(NewCounter::FromFirstHit))
        }
        Window::Bucket { length } => {
            let (state, after) = increment_bucket(None, lookup.quota, length, hit, lookup.reading);
            (state, after.map(NewCounter::Bucket))
        }
        Window::Log { length } => {
            let mut log = Arc::default();
            let state = state::increment_log(&mut log, length, hit, lookup.reading);
            (state, (!log.is_empty()).then_some(NewCounter::Log(log)))
        }
        Window::Span { start, end } => {
            let (state, after) = state::increment_span(0, start, end, hit, lookup.reading);
            (state, after.map(NewCounter::Span))
        }
    }
}

impl Shard {
    /// Counts a hit on a known counter if its slot alone decides. Returns `None` otherwise, and
    /// changes nothing.
    #[inline(always)]
    pub(crate) fn try_increment(
        &mut self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        kinds: &KindTable,
    ) -> Option<CounterState> {
        let slot = self.table.find_slot(lookup.fingerprint)?;
        try_increment_slot(slot, lookup, hit, kinds).map(CounterState::from)
    }

    /// Returns the slot of a known counter.
    #[inline(always)]
    pub(crate) fn slot_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut Slot> {
        self.table.find_slot(fingerprint)
    }

    /// Puts back a slot as it was before a hit.
    pub(crate) fn put_back(&mut self, before: Slot) {
        if let Some(slot) = self.table.find_slot(before.fingerprint()) {
            *slot = before;
        }
    }

    /// Counts a hit on a known counter. Returns `None` if it is absent. A refused hit changes
    /// nothing.
    pub(crate) fn increment(
        &mut self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        kinds: &KindTable,
        next_expiry: &NextExpiry,
    ) -> Option<CounterState> {
        let at = self.table.find(lookup.fingerprint)?;
        let slot = self.table.slot_mut(at);
        let &Lookup { window, quota, mode, reading, .. } = lookup;
        if let Some(outcome) = try_increment_slot(slot, lookup, hit, kinds) {
            return Some(outcome.into());
        }
        match (slot.content(), window) {
            // The quota changed, or the clock that wrote the value is or was ahead.
            (SlotContent::Packed(kind_id), Window::Bucket { length }) => {
                let bucket = kinds.bucket(kind_id).map(|quota| StoredBucket { value: slot.value(), quota });
                let (state, after) = increment_bucket(bucket, quota, length, hit, reading);
                if let Some(after) = after {
                    let kind_id = kinds.intern(Kind::Bucket { length, quota });
                    *self.table.slot_mut(at) = self.bucket_slot(lookup, kind_id, after);
                    self.schedule(bucket_retained_until(after, length, reading), lookup, next_expiry);
                }
                Some(state)
            }
            // The hit starts a new window, or its count does not fit into the slot.
            (SlotContent::Packed(kind_id), Window::Aligned { start, length }) => {
                let at_window = reading.in_window(start, length, mode);
                let (state, after) = slot.known(length).increment(hit, at_window);
                if let Some(after) = after {
                    *self.table.slot_mut(at) = Slot::windows(lookup.fingerprint, kind_id, &after)
                        .unwrap_or_else(|| self.spill(lookup, StoredState::Aligned(Box::new(after))));
                    self.schedule(after.retained_until(length, reading), lookup, next_expiry);
                }
                Some(state)
            }
            _ => {
                let Some(entry) = self.overflow_at(at) else { return Some(CounterState::default()) };
                let state = entry.state.increment(lookup, hit);
                let expiry = entry.state.retained_until(entry.kind, reading);
                self.schedule(expiry, lookup, next_expiry);
                Some(state)
            }
        }
    }

    /// Adds a counter that is absent.
    pub(crate) fn add(
        &mut self,
        lookup: &Lookup,
        new: NewCounter,
        kinds: &KindTable,
        next_expiry: &NextExpiry,
    ) {
        let slot = match (new, lookup.window) {
            (NewCounter::Bucket(bucket), Window::Bucket { length }) => {
                let kind_id = kinds.intern(Kind::Bucket { length, quota: bucket.quota });
                self.bucket_slot(lookup, kind_id, bucket)
            }
            (NewCounter::Windows(windows), Window::Aligned { length, .. }) => {
                let packed = match kinds.intern(Kind::Aligned { length }) {
                    UNINTERNED => None,
                    kind_id => Slot::windows(lookup.fingerprint, kind_id, &windows),
                };
                packed.unwrap_or_else(|| self.spill(lookup, StoredState::Aligned(Box::new(windows))))
            }
            (new, _) => self.spill(lookup, new.into()),
        };
        self.table.insert(slot);
        let (expiry, _) = self.expiry(&slot, kinds, lookup.reading);
        self.schedule(expiry, lookup, next_expiry);
    }

    /// Reads a counter. Returns `None` if it is absent.
    pub(crate) fn get(&self, lookup: &Lookup, kinds: &KindTable) -> Option<CounterState> {
        let slot = self.table.get(self.table.find(lookup.fingerprint)?)?;
        let &Lookup { quota, mode, reading, .. } = lookup;
        Some(match (slot.content(), lookup.window) {
            (SlotContent::Packed(_), Window::Aligned { start, length }) => {
                slot.known(length).get(reading.in_window(start, length, mode))
            }
            (SlotContent::Packed(kind_id), Window::Bucket { length }) => {
                let bucket = StoredBucket { value: slot.value(), quota: kinds.bucket(kind_id)? };
                get_bucket(bucket, quota, length, reading)
            }
            (SlotContent::Overflow(position), _) => self.overflow.as_ref()?.get(position)?.state.get(lookup),
            _ => CounterState::default(),
        })
    }

    /// Returns whether a hit on a known counter fits, and counts nothing. Returns `None` if the
    /// counter is absent.
    pub(crate) fn fits(&mut self, lookup: &Lookup, hit: &Hit<'_>, kinds: &KindTable) -> Option<bool> {
        let slot = self.table.get(self.table.find(lookup.fingerprint)?)?;
        let &Lookup { quota, mode, reading, .. } = lookup;
        Some(match (slot.content(), lookup.window) {
            (SlotContent::Packed(_), Window::Aligned { start, length }) => {
                slot.known(length).increment(hit, reading.in_window(start, length, mode)).1.is_some()
            }
            (SlotContent::Packed(kind_id), Window::Bucket { length }) => {
                let bucket = kinds.bucket(kind_id).map(|quota| StoredBucket { value: slot.value(), quota });
                increment_bucket(bucket, quota, length, hit, reading).1.is_some()
            }
            (SlotContent::Overflow(position), _) => {
                let entry = self.overflow.as_mut().and_then(|overflow| overflow.get_mut(position));
                entry.is_some_and(|entry| entry.state.fits(lookup, hit))
            }
            _ => false,
        })
    }

    /// Returns part of a charge to a known counter. Returns whether the window that was charged is
    /// live and accepts the refund. The entry stays, also if its value is now zero.
    pub(crate) fn refund(&mut self, lookup: &Lookup, refund: &Refund, kinds: &KindTable) -> bool {
        let Some(at) = self.table.find(lookup.fingerprint) else { return false };
        let slot = self.table.slot_mut(at);
        let &Lookup { quota, reading, .. } = lookup;
        match (slot.content(), lookup.window) {
            (SlotContent::Packed(kind_id), Window::Aligned { start, length }) => {
                let mut known = slot.known(length);
                let is_found = known.refund(refund, reading.in_window(start, length, WindowMode::Fixed));
                *slot = Slot::windows(lookup.fingerprint, kind_id, &known).unwrap_or(*slot);
                is_found
            }
            (SlotContent::Packed(kind_id), Window::Bucket { length }) => {
                let bucket = kinds.bucket(kind_id).map(|quota| StoredBucket { value: slot.value(), quota });
                let after = bucket.and_then(|bucket| refund_bucket(bucket, quota, length, refund, reading));
                slot.set_value(after.map_or(slot.value(), |after| after.value));
                after.is_some()
            }
            _ => self.overflow_at(at).is_some_and(|entry| entry.state.refund(lookup, refund)),
        }
    }

    /// Resets the window, or only the window with this id if one is given. Returns whether that
    /// removed the entry.
    pub(crate) fn reset(&mut self, lookup: &Lookup, window_id: Option<WindowId>) -> bool {
        let Some(at) = self.table.find(lookup.fingerprint) else { return false };
        let slot = self.table.slot_mut(at);
        let is_empty = match (slot.content(), lookup.window) {
            (SlotContent::Overflow(_), window) => {
                self.overflow_at(at).is_some_and(|entry| entry.state.reset(window, window_id))
            }
            (SlotContent::Packed(kind_id), Window::Aligned { start, length }) if window_id.is_none() => {
                let mut known = slot.known(length);
                known.remove(start, length);
                *slot = Slot::windows(lookup.fingerprint, kind_id, &known).unwrap_or(*slot);
                known.is_empty()
            }
            (_, _) => window_id.is_none(),
        };
        if is_empty {
            self.remove(at);
            self.table.shrink();
        }
        is_empty
    }

    /// Continues a sweep and removes expired entries. Returns the time of the next sweep once this
    /// one has reached the end of the table.
    pub(crate) fn sweep(
        &mut self,
        kinds: &KindTable,
        reading: Reading,
        budget: &mut Budget,
    ) -> Option<Timestamp> {
        if self.swept_to == u64::MAX {
            self.earliest_expiry = Timestamp::MAX;
        }
        let mut at = self.table.position(self.swept_to);
        while let Some(slot) = self.table.get(at) {
            if slot.is_empty() {
                at += 1;
                continue;
            }
            if budget.is_spent() {
                self.swept_to = slot.hash();
                return None;
            }
            budget.scans -= 1;
            let (expiry, rescan_at) = self.expiry(slot, kinds, reading);
            if has_passed(expiry, reading.now) {
                // The entries behind it move up, so the next one is at the same position.
                self.remove(at);
                budget.removals -= 1;
            } else {
                self.earliest_expiry = self.earliest_expiry.min(rescan_at);
                at += 1;
            }
        }
        self.swept_to = u64::MAX;
        self.table.shrink();
        Some(self.earliest_expiry)
    }

    /// Returns the entry that expires first among as many as may be scanned, except kept ones, and
    /// its expiry. Also returns the hash to continue from, if the scan stopped before the end of
    /// the table.
    pub(crate) fn earliest_expiring(
        &self,
        from: u64,
        kinds: &KindTable,
        reading: Reading,
        kept: &[Fingerprint],
        scans: &mut usize,
    ) -> (Option<(Timestamp, Fingerprint)>, Option<u64>) {
        let mut earliest = None::<(Timestamp, Fingerprint)>;
        for slot in self.table.slots(self.table.position(from)).filter(|slot| !slot.is_empty()) {
            if *scans == 0 {
                return (earliest, Some(slot.hash()));
            }
            *scans -= 1;
            let (expiry, _) = self.expiry(slot, kinds, reading);
            if earliest.is_none_or(|(first, _)| expiry < first) && !kept.contains(&slot.fingerprint()) {
                earliest = Some((expiry, slot.fingerprint()));
            }
        }
        (earliest, None)
    }

    /// Removes an entry. Returns whether it was present.
    pub(crate) fn evict(&mut self, fingerprint: Fingerprint) -> bool {
        let found = self.table.find(fingerprint);
        if let Some(at) = found {
            self.remove(at);
        }
        found.is_some()
    }

    /// Returns the number of slots and the number of entries.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.table.size(), self.table.len())
    }

    /// Returns the expiry of the entry in a slot, and when to scan it again if that is in the
    /// future.
    fn expiry(&self, slot: &Slot, kinds: &KindTable, reading: Reading) -> (Timestamp, Timestamp) {
        let found = match slot.content() {
            SlotContent::Packed(kind_id) => kinds.kind(kind_id).map(|kind| {
                let expiry = slot.retained_until(kind, reading);
                let rescan_at = match kind {
                    Kind::Aligned { .. } => expiry,
                    Kind::Bucket { length, .. } => round_up_expiry(expiry, length, reading),
                };
                (expiry, rescan_at)
            }),
            SlotContent::Overflow(position) => {
                let entry = self.overflow.as_ref().and_then(|overflow| overflow.get(position));
                entry.map(|entry| {
                    let expiry = entry.state.retained_until(entry.kind, reading);
                    let rescan_at = match entry.kind {
                        Window::Aligned { .. } | Window::Span { .. } => expiry,
                        kind => round_up_expiry(expiry, kind.length(), reading),
                    };
                    (expiry, rescan_at)
                })
            }
        };
        found.unwrap_or((Timestamp::EPOCH, Timestamp::EPOCH))
    }

    /// Makes sure that a sweep scans this shard when an entry with this expiry has expired.
    fn schedule(&mut self, expiry: Timestamp, lookup: &Lookup, next_expiry: &NextExpiry) {
        self.earliest_expiry = self.earliest_expiry.min(expiry);
        next_expiry.lower(lookup.shard, expiry);
    }

    fn remove(&mut self, at: usize) {
        let content = self.table.slot_mut(at).content();
        self.table.remove(at);
        let (SlotContent::Overflow(position), Some(overflow)) = (content, &mut self.overflow) else { return };
        if let Some(moved) = overflow.remove(position)
            && let Some(at) = self.table.find(moved)
        {
            *self.table.slot_mut(at) = Slot::overflow(moved, position);
        }
        if overflow.is_empty() {
            self.overflow = None;
        }
    }

    /// Returns the slot of a bucket. Stores it in the overflow, if its kind is not interned.
    fn bucket_slot(&mut self, lookup: &Lookup, kind_id: KindId, bucket: StoredBucket) -> Slot {
        match kind_id {
            UNINTERNED => self.spill(lookup, StoredState::Bucket(bucket)),
            kind_id => Slot::bucket(lookup.fingerprint, kind_id, bucket.value),
        }
    }

    /// Stores a state in the overflow, and returns the slot that points to it.
    fn spill(&mut self, lookup: &Lookup, state: StoredState) -> Slot {
        let entry = OverflowEntry { fingerprint: lookup.fingerprint, kind: lookup.window, state };
        Slot::overflow(lookup.fingerprint, self.overflow.get_or_insert_default().push(entry))
    }

    fn overflow_at(&mut self, at: usize) -> Option<&mut OverflowEntry> {
        match self.table.slot_mut(at).content() {
            SlotContent::Overflow(position) => self.overflow.as_mut()?.get_mut(position),
            _ => None,
        }
    }
}

/// Counts a hit in a slot that holds a bucket that a hit of the same quota wrote, or windows of
/// which the newest is hit. Returns `None` otherwise, and changes nothing.
#[inline(always)]
pub(crate) fn try_increment_slot(
    slot: &mut Slot,
    lookup: &Lookup,
    hit: &Hit<'_>,
    kinds: &KindTable,
) -> Option<Outcome> {
    let now = lookup.reading.now;
    match (lookup.window, lookup.mode) {
        _ if !slot.is_packed() => None,
        (Window::Aligned { start, length }, mode) => slot.try_increment(start, length, hit, now, mode),
        (Window::Bucket { length }, WindowMode::Fixed) => {
            if kinds.bucket(slot.kind_id()) != Some(lookup.quota) {
                return None;
            }
            let value = slot.value();
            match hit.apply(value) {
                Some(after) => {
                    slot.set_value(after);
                    Some(Outcome::of_bucket(true, after))
                }
                // The clock that wrote the value is or was ahead.
                None if value > lookup.quota.highest_value(length, now) => None,
                None => Some(Outcome::of_bucket(false, value_unless_full(value, lookup.quota.limit, now))),
            }
        }
        _ => None,
    }
}

/// Returns when to scan an entry again. Unlike aligned windows and spans, other counters can expire
/// at any time, so their expiry is rounded up to the next of a few moments. Many entries then
/// expire together.
fn round_up_expiry(expiry: Timestamp, length: WindowLength, reading: Reading) -> Timestamp {
    let retention = Timestamp::EPOCH.saturating_add(length.as_duration()).saturating_add(reading.skew);
    let step = 1 << (retention.as_nanos() / 16).ilog2();
    expiry.as_nanos().checked_next_multiple_of(step).map_or(Timestamp::MAX, Timestamp::from_nanos)
}
