//! One shard of the store: a table of slots, and the states that do not fit into them. Whoever is here holds its lock.

use limited_core::{CounterState, Hit, Timestamp, Window, WindowId, has_passed};

use super::expiry::NextExpiry;
use super::fingerprint::Fingerprint;
use super::overflow::{Overflow, OverflowEntry};
use super::slot::{Slot, SlotContent};
use super::state::{
    FirstHitWindow, Reading, StoredState, bucket_retained_until, increment_bucket, value_unless_full,
    windows_retained_until,
};
use super::table::Table;
use super::window_kind::{KindId, KindTable, UNINTERNED, WindowKind};
use super::windows::{WindowMode, Windows};

/// What an operation is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) window: Window,
    pub(crate) reading: Reading,
}

/// How much of a sweep there is left to do for one operation.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Entries to look at.
    pub(crate) scans: usize,
    /// Entries to remove.
    pub(crate) removals: usize,
}

impl Budget {
    pub(crate) const fn is_spent(&self) -> bool {
        self.scans == 0 || self.removals == 0
    }
}

/// What a first hit leaves behind.
pub(crate) enum NewCounter {
    Windows(Windows),
    FromFirstHit(FirstHitWindow),
    Bucket(u128),
}

/// The entries of a part of all fingerprints.
pub(crate) struct Shard {
    table: Table,
    overflow: Option<Box<Overflow>>,
    /// The place from which the sweep goes on.
    swept_to: u64,
    /// When the first of the entries expires that the sweep has passed or that came since it began.
    earliest_expiry: Timestamp,
}

impl Default for Shard {
    fn default() -> Self {
        Self { table: Table::default(), overflow: None, swept_to: u64::MAX, earliest_expiry: Timestamp::MAX }
    }
}

/// What a hit is told of a counter that is not there, and what it leaves behind if it is counted.
pub(crate) fn new_counter(
    lookup: &Lookup,
    hit: &Hit<'_>,
    mode: WindowMode,
) -> (CounterState, Option<NewCounter>) {
    match lookup.window {
        Window::Aligned { start, length } => {
            let (state, after) = Windows::increment(None, hit, lookup.reading.at(start, length), mode);
            (state, after.map(NewCounter::Windows))
        }
        Window::FromFirstHit { .. } => {
            let (state, after) = FirstHitWindow::open(hit, lookup.reading.now);
            (state, after.map(NewCounter::FromFirstHit))
        }
        Window::Bucket { limit, .. } => {
            let mut value = 0;
            let state = increment_bucket(&mut value, limit, hit, lookup.reading.now);
            let after = state.counted.then_some(NewCounter::Bucket(value));
            (state, after)
        }
    }
}

impl Shard {
    /// Counts a hit on a counter that is there, where that is simple; else `None`, and nothing is changed.
    #[inline(always)]
    pub(crate) fn try_increment(
        &mut self,
        fingerprint: Fingerprint,
        window: Window,
        hit: &Hit<'_>,
        now: Timestamp,
        mode: WindowMode,
    ) -> Option<CounterState> {
        try_increment_slot(self.table.find_slot(fingerprint)?, window, hit, now, mode)
    }

    /// Counts a hit on a counter that is there; `None` where it is not. A refused hit changes nothing.
    pub(crate) fn increment(
        &mut self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mode: WindowMode,
        next_expiry: &NextExpiry,
    ) -> Option<CounterState> {
        let at = self.table.find(lookup.fingerprint).ok()?;
        let slot = self.table.slot_mut(at);
        if let Some(state) = try_increment_slot(slot, lookup.window, hit, lookup.reading.now, mode) {
            return Some(state);
        }
        Some(match slot.content() {
            SlotContent::Packed(kind_id) => {
                self.increment_windows(at, kind_id, lookup, hit, mode, next_expiry)
            }
            _ => self.increment_overflow(at, lookup, hit, mode, next_expiry),
        })
    }

    /// Of windows that roll over, or whose count outgrows its slot.
    fn increment_windows(
        &mut self,
        at: usize,
        kind_id: KindId,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mode: WindowMode,
        next_expiry: &NextExpiry,
    ) -> CounterState {
        let Window::Aligned { start, length } = lookup.window else {
            return CounterState::default();
        };
        let known = self.table.slot_mut(at).known(length);
        let (state, after) = Windows::increment(Some(&known), hit, lookup.reading.at(start, length), mode);
        if let Some(after) = after {
            match Slot::windows(lookup.fingerprint, kind_id, &after) {
                Some(slot) => *self.table.slot_mut(at) = slot,
                None => *self.table.slot_mut(at) = self.spill(lookup, StoredState::Aligned(Box::new(after))),
            }
            let newest = Timestamp::from_nanos(after.newest);
            self.schedule(windows_retained_until(newest, length, lookup.reading), lookup, next_expiry);
        }
        state
    }

    fn increment_overflow(
        &mut self,
        at: usize,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mode: WindowMode,
        next_expiry: &NextExpiry,
    ) -> CounterState {
        let Some(wide) = self.overflow_at(at) else {
            return CounterState::default();
        };
        let state = wide.state.increment(lookup.window, hit, lookup.reading, mode);
        let expiry = wide.state.retained_until(wide.kind, lookup.reading);
        self.schedule(expiry, lookup, next_expiry);
        state
    }

    /// Adds a counter that is not there.
    pub(crate) fn add(
        &mut self,
        lookup: &Lookup,
        new: NewCounter,
        kind_id: KindId,
        next_expiry: &NextExpiry,
    ) {
        let kind = WindowKind::from(lookup.window);
        let packed = match &new {
            _ if kind_id == UNINTERNED => None,
            NewCounter::Windows(windows) => Slot::windows(lookup.fingerprint, kind_id, windows),
            NewCounter::Bucket(value) => Some(Slot::bucket(lookup.fingerprint, kind_id, *value)),
            NewCounter::FromFirstHit(_) => None,
        };
        let state = match new {
            NewCounter::Windows(windows) => StoredState::Aligned(Box::new(windows)),
            NewCounter::FromFirstHit(opened) => StoredState::FromFirstHit(opened),
            NewCounter::Bucket(value) => StoredState::Bucket { value },
        };
        let expiry = state.retained_until(kind, lookup.reading);
        let slot = packed.unwrap_or_else(|| self.spill(lookup, state));
        self.table.insert(slot);
        self.schedule(expiry, lookup, next_expiry);
    }

    /// Reads. `None` where there is no such counter.
    pub(crate) fn get(&self, lookup: &Lookup, mode: WindowMode) -> Option<CounterState> {
        let slot = self.table.get(self.table.find(lookup.fingerprint).ok()?)?;
        let reading = lookup.reading;
        Some(match (slot.content(), lookup.window) {
            (SlotContent::Packed(_), Window::Aligned { start, length }) => {
                Windows::get(Some(&slot.known(length)), reading.at(start, length), mode)
            }
            (SlotContent::Packed(_), Window::Bucket { limit, .. }) => {
                CounterState::new(false, value_unless_full(slot.value(), limit, reading.now))
            }
            (SlotContent::Overflow(position), window) => {
                self.overflow.as_ref()?.get(position)?.state.get(window, reading, mode)
            }
            _ => CounterState::default(),
        })
    }

    /// Forgets the window, or where a generation is named, only that one. Tells whether that removed the entry.
    pub(crate) fn reset(&mut self, lookup: &Lookup, window_id: Option<WindowId>) -> bool {
        let Ok(at) = self.table.find(lookup.fingerprint) else {
            return false;
        };
        let slot = self.table.slot_mut(at);
        let is_absent = match (slot.content(), lookup.window) {
            (SlotContent::Overflow(_), window) => {
                self.overflow_at(at).is_some_and(|wide| wide.state.reset(window, window_id))
            }
            (SlotContent::Packed(kind_id), Window::Aligned { start, length }) if window_id.is_none() => {
                let mut known = slot.known(length);
                known.remove(start, length);
                *slot = Slot::windows(lookup.fingerprint, kind_id, &known).unwrap_or(*slot);
                known.is_empty()
            }
            (_, _) => window_id.is_none(),
        };
        if is_absent {
            self.remove(at);
            self.table.shrink();
        }
        is_absent
    }

    /// Goes on with a sweep: removes what has expired. When it has come to the end, it tells when to begin the next one.
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
                // What comes after it moves up to where it was.
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

    /// The entry that expires first, of as many as may be looked at, and its expiry. Where it stopped before the end,
    /// it says from which place to go on.
    pub(crate) fn earliest_expiring(
        &self,
        from: u64,
        kinds: &KindTable,
        reading: Reading,
        scans: &mut usize,
    ) -> (Option<(Timestamp, Fingerprint)>, Option<u64>) {
        let mut soonest = None::<(Timestamp, Fingerprint)>;
        for slot in self.table.slots(self.table.position(from)).filter(|slot| !slot.is_empty()) {
            if *scans == 0 {
                return (soonest, Some(slot.hash()));
            }
            *scans -= 1;
            let (expiry, _) = self.expiry(slot, kinds, reading);
            if soonest.is_none_or(|(first, _)| expiry < first) {
                soonest = Some((expiry, slot.fingerprint()));
            }
        }
        (soonest, None)
    }

    /// Removes an entry, if it is there.
    pub(crate) fn evict(&mut self, fingerprint: Fingerprint) -> bool {
        let found = self.table.find(fingerprint);
        if let Ok(at) = found {
            self.remove(at);
        }
        found.is_ok()
    }

    /// How many slots the table has, and how many entries.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.table.size(), self.table.len())
    }

    /// When the entry in a slot expires, and when to look at it again if that is not yet.
    fn expiry(&self, slot: &Slot, kinds: &KindTable, reading: Reading) -> (Timestamp, Timestamp) {
        match slot.content() {
            SlotContent::Packed(kind_id) => match kinds.kind(kind_id) {
                Some(WindowKind::Aligned { length }) => {
                    let newest = Timestamp::from_nanos(slot.known(length).newest);
                    let expiry = windows_retained_until(newest, length, reading);
                    (expiry, expiry)
                }
                Some(kind @ WindowKind::Bucket { limit, length }) => {
                    let expiry = bucket_retained_until(slot.value(), limit, length, reading);
                    (expiry, round_up_expiry(expiry, kind, reading))
                }
                _ => (Timestamp::EPOCH, Timestamp::EPOCH),
            },
            SlotContent::Overflow(position) => {
                match self.overflow.as_ref().and_then(|wide| wide.get(position)) {
                    Some(OverflowEntry { kind, state, .. }) => {
                        let expiry = state.retained_until(*kind, reading);
                        (expiry, round_up_expiry(expiry, *kind, reading))
                    }
                    None => (Timestamp::EPOCH, Timestamp::EPOCH),
                }
            }
            SlotContent::Empty => (Timestamp::MAX, Timestamp::MAX),
        }
    }

    /// An entry expires at this time: the sweep has to be here by then.
    fn schedule(&mut self, expiry: Timestamp, lookup: &Lookup, next_expiry: &NextExpiry) {
        self.earliest_expiry = self.earliest_expiry.min(expiry);
        next_expiry.lower(lookup.fingerprint.shard(), expiry);
    }

    fn remove(&mut self, at: usize) {
        let content = self.table.slot_mut(at).content();
        self.table.remove(at);
        let (SlotContent::Overflow(position), Some(wide)) = (content, &mut self.overflow) else {
            return;
        };
        if let Some(moved) = wide.remove(position)
            && let Ok(at) = self.table.find(moved)
        {
            *self.table.slot_mut(at) = Slot::overflow(moved, position);
        }
        if self.overflow.as_ref().is_some_and(|wide| wide.is_empty()) {
            self.overflow = None;
        }
    }

    /// Keeps a state beside the table, and makes the slot for it.
    fn spill(&mut self, lookup: &Lookup, state: StoredState) -> Slot {
        let wide = OverflowEntry { fingerprint: lookup.fingerprint, kind: lookup.window.into(), state };
        Slot::overflow(lookup.fingerprint, self.overflow.get_or_insert_default().push(wide))
    }

    fn overflow_at(&mut self, at: usize) -> Option<&mut OverflowEntry> {
        match self.table.slot_mut(at).content() {
            SlotContent::Overflow(position) => self.overflow.as_mut()?.get_mut(position),
            _ => None,
        }
    }
}

/// Counts a hit in a slot, where that holds counts, and where it is a bucket or the newest window; else `None`, and nothing
/// is changed.
#[inline(always)]
fn try_increment_slot(
    slot: &mut Slot,
    window: Window,
    hit: &Hit<'_>,
    now: Timestamp,
    mode: WindowMode,
) -> Option<CounterState> {
    match (window, mode) {
        _ if !slot.is_packed() => None,
        (Window::Aligned { start, length }, _) => slot.try_increment(start, length, hit, now, mode),
        (Window::Bucket { limit, .. }, WindowMode::Fixed) => {
            let mut value = slot.value();
            let state = increment_bucket(&mut value, limit, hit, now);
            slot.set_value(value);
            Some(state)
        }
        _ => None,
    }
}

/// When to look again at an entry that expires at any time, unlike windows that are aligned: at the next of a few
/// moments within its time, at which many expire together.
fn round_up_expiry(expiry: Timestamp, kind: WindowKind, reading: Reading) -> Timestamp {
    let (WindowKind::FromFirstHit { length } | WindowKind::Bucket { length, .. }) = kind else {
        return expiry;
    };
    let kept = Timestamp::EPOCH.saturating_add(length.as_duration()).saturating_add(reading.skew).as_nanos();
    let step = 1 << (kept / 16).ilog2();
    expiry.as_nanos().checked_next_multiple_of(step).map_or(Timestamp::MAX, Timestamp::from_nanos)
}
