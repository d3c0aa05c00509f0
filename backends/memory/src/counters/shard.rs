//! One shard of the store: a table of slots, and the states that do not fit into them. Whoever is here holds its lock.

use limited_core::{CounterState, Hit, Timestamp, Window, WindowId, has_passed};

use crate::counters::expiry::Due;
use crate::counters::fingerprint::Fingerprint;
use crate::counters::overflow::{Wide, WideStates};
use crate::counters::slot::{Held, Slot};
use crate::counters::state::{
    Opened, State, When, bucket_forgotten_from, fill, unless_full, windows_forgotten_from,
};
use crate::counters::table::Table;
use crate::counters::window_kind::{Families, Family, Kind, UNLISTED};
use crate::counters::windows::{View, Windows};

/// What an operation is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) print: Fingerprint,
    pub(crate) window: Window,
    pub(crate) when: When,
}

/// How much of a sweep there is left to do for one operation.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Entries to look at.
    pub(crate) looks: usize,
    /// Entries to remove.
    pub(crate) removals: usize,
}

impl Budget {
    pub(crate) const fn is_spent(&self) -> bool {
        self.looks == 0 || self.removals == 0
    }
}

/// What a first hit leaves behind.
pub(crate) enum First {
    Windows(Windows),
    Opened(Opened),
    Bucket(u128),
}

/// The entries of a part of all fingerprints.
pub(crate) struct Shard {
    table: Table,
    wide: Option<Box<WideStates>>,
    /// The place from which the sweep goes on.
    swept_to: u64,
    /// When the first of the entries expires that the sweep has passed or that came since it began.
    soonest: Timestamp,
}

impl Default for Shard {
    fn default() -> Self {
        Self { table: Table::default(), wide: None, swept_to: u64::MAX, soonest: Timestamp::MAX }
    }
}

/// What a hit is told of a counter that is not there, and what it leaves behind if it is counted.
pub(crate) fn first(asked: &Asked, hit: &Hit<'_>, view: View) -> (CounterState, Option<First>) {
    match asked.window {
        Window::Aligned { start, length } => {
            let (tally, after) = Windows::increment(None, hit, asked.when.at(start, length), view);
            (tally, after.map(First::Windows))
        }
        Window::FromFirstHit { .. } => {
            let (tally, after) = Opened::by(hit, asked.when.now);
            (tally, after.map(First::Opened))
        }
        Window::Bucket { limit, .. } => {
            let mut value = 0;
            let tally = fill(&mut value, limit, hit, asked.when.now);
            let after = tally.counted.then_some(First::Bucket(value));
            (tally, after)
        }
    }
}

impl Shard {
    /// Counts a hit on a counter that is there, where that is simple; else `None`, and nothing is changed.
    #[inline(always)]
    pub(crate) fn increment_at_hand(
        &mut self,
        print: Fingerprint,
        window: Window,
        hit: &Hit<'_>,
        now: Timestamp,
        view: View,
    ) -> Option<CounterState> {
        count_at_hand(self.table.slot_of(print)?, window, hit, now, view)
    }

    /// Counts a hit on a counter that is there; `None` where it is not. A refused hit changes nothing.
    pub(crate) fn increment(
        &mut self,
        asked: &Asked,
        hit: &Hit<'_>,
        view: View,
        due: &Due,
    ) -> Option<CounterState> {
        let at = self.table.find(asked.print).ok()?;
        let slot = self.table.slot(at);
        if let Some(tally) = count_at_hand(slot, asked.window, hit, asked.when.now, view) {
            return Some(tally);
        }
        Some(match slot.held() {
            Held::Packed(family) => self.increment_windows(at, family, asked, hit, view, due),
            _ => self.increment_wide(at, asked, hit, view, due),
        })
    }

    /// Of windows that roll over, or whose count outgrows its slot.
    fn increment_windows(
        &mut self,
        at: usize,
        family: Family,
        asked: &Asked,
        hit: &Hit<'_>,
        view: View,
        due: &Due,
    ) -> CounterState {
        let Window::Aligned { start, length } = asked.window else {
            return CounterState::default();
        };
        let known = self.table.slot(at).known(length);
        let (tally, after) = Windows::increment(Some(&known), hit, asked.when.at(start, length), view);
        if let Some(after) = after {
            match Slot::windows(asked.print, family, &after) {
                Some(slot) => *self.table.slot(at) = slot,
                None => *self.table.slot(at) = self.widen(asked, State::Aligned(Box::new(after))),
            }
            let newest = Timestamp::from_nanos(after.newest);
            self.expires(windows_forgotten_from(newest, length, asked.when), asked, due);
        }
        tally
    }

    fn increment_wide(
        &mut self,
        at: usize,
        asked: &Asked,
        hit: &Hit<'_>,
        view: View,
        due: &Due,
    ) -> CounterState {
        let Some(wide) = self.wide_at(at) else {
            return CounterState::default();
        };
        let tally = wide.state.increment(asked.window, hit, asked.when, view);
        let expiry = wide.state.retained_until(wide.kind, asked.when);
        self.expires(expiry, asked, due);
        tally
    }

    /// Adds a counter that is not there.
    pub(crate) fn add(&mut self, asked: &Asked, first: First, family: Family, due: &Due) {
        let kind = Kind::from(asked.window);
        let packed = match &first {
            _ if family == UNLISTED => None,
            First::Windows(windows) => Slot::windows(asked.print, family, windows),
            First::Bucket(value) => Some(Slot::bucket(asked.print, family, *value)),
            First::Opened(_) => None,
        };
        let state = match first {
            First::Windows(windows) => State::Aligned(Box::new(windows)),
            First::Opened(opened) => State::Opened(opened),
            First::Bucket(value) => State::Bucket { value },
        };
        let expiry = state.retained_until(kind, asked.when);
        let slot = packed.unwrap_or_else(|| self.widen(asked, state));
        self.table.insert(slot);
        self.expires(expiry, asked, due);
    }

    /// Reads. `None` where there is no such counter.
    pub(crate) fn get(&self, asked: &Asked, view: View) -> Option<CounterState> {
        let slot = self.table.get(self.table.find(asked.print).ok()?)?;
        let when = asked.when;
        Some(match (slot.held(), asked.window) {
            (Held::Packed(_), Window::Aligned { start, length }) => {
                Windows::get(Some(&slot.known(length)), when.at(start, length), view)
            }
            (Held::Packed(_), Window::Bucket { limit, .. }) => {
                CounterState::new(false, unless_full(slot.value(), limit, when.now))
            }
            (Held::Wide(position), window) => {
                self.wide.as_ref()?.get(position)?.state.get(window, when, view)
            }
            _ => CounterState::default(),
        })
    }

    /// Forgets the window, or where a generation is named, only that one. Tells whether that removed the entry.
    pub(crate) fn reset(&mut self, asked: &Asked, window_id: Option<WindowId>) -> bool {
        let Ok(at) = self.table.find(asked.print) else {
            return false;
        };
        let slot = self.table.slot(at);
        let is_gone = match (slot.held(), asked.window) {
            (Held::Wide(_), window) => {
                self.wide_at(at).is_some_and(|wide| wide.state.reset(window, window_id))
            }
            (Held::Packed(family), Window::Aligned { start, length }) if window_id.is_none() => {
                let mut known = slot.known(length);
                known.remove(start, length);
                *slot = Slot::windows(asked.print, family, &known).unwrap_or(*slot);
                known.is_empty()
            }
            (_, _) => window_id.is_none(),
        };
        if is_gone {
            self.remove(at);
            self.table.shrink();
        }
        is_gone
    }

    /// Goes on with a sweep: removes what has expired. When it has come to the end, it tells when to begin the next one.
    pub(crate) fn sweep(
        &mut self,
        families: &Families,
        when: When,
        budget: &mut Budget,
    ) -> Option<Timestamp> {
        if self.swept_to == u64::MAX {
            self.soonest = Timestamp::MAX;
        }
        let mut at = self.table.from(self.swept_to);
        while let Some(slot) = self.table.get(at) {
            if slot.is_empty() {
                at += 1;
                continue;
            }
            if budget.is_spent() {
                self.swept_to = slot.place();
                return None;
            }
            budget.looks -= 1;
            let (expiry, look_again) = self.expiry(slot, families, when);
            if has_passed(expiry, when.now) {
                // What comes after it moves up to where it was.
                self.remove(at);
                budget.removals -= 1;
            } else {
                self.soonest = self.soonest.min(look_again);
                at += 1;
            }
        }
        self.swept_to = u64::MAX;
        self.table.shrink();
        Some(self.soonest)
    }

    /// The entry that expires first, of as many as may be looked at, and its expiry. Where it stopped before the end,
    /// it says from which place to go on.
    pub(crate) fn soonest(
        &self,
        from: u64,
        families: &Families,
        when: When,
        looks: &mut usize,
    ) -> (Option<(Timestamp, Fingerprint)>, Option<u64>) {
        let mut soonest = None::<(Timestamp, Fingerprint)>;
        for slot in self.table.slots(self.table.from(from)).filter(|slot| !slot.is_empty()) {
            if *looks == 0 {
                return (soonest, Some(slot.place()));
            }
            *looks -= 1;
            let (expiry, _) = self.expiry(slot, families, when);
            if soonest.is_none_or(|(first, _)| expiry < first) {
                soonest = Some((expiry, slot.print()));
            }
        }
        (soonest, None)
    }

    /// Removes an entry, if it is there.
    pub(crate) fn evict(&mut self, print: Fingerprint) -> bool {
        let found = self.table.find(print);
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
    fn expiry(&self, slot: &Slot, families: &Families, when: When) -> (Timestamp, Timestamp) {
        match slot.held() {
            Held::Packed(family) => match families.kind(family) {
                Some(Kind::Aligned { length }) => {
                    let newest = Timestamp::from_nanos(slot.known(length).newest);
                    let expiry = windows_forgotten_from(newest, length, when);
                    (expiry, expiry)
                }
                Some(kind @ Kind::Bucket { limit, length }) => {
                    let expiry = bucket_forgotten_from(slot.value(), limit, length, when);
                    (expiry, together(expiry, kind, when))
                }
                _ => (Timestamp::EPOCH, Timestamp::EPOCH),
            },
            Held::Wide(position) => match self.wide.as_ref().and_then(|wide| wide.get(position)) {
                Some(Wide { kind, state, .. }) => {
                    let expiry = state.retained_until(*kind, when);
                    (expiry, together(expiry, *kind, when))
                }
                None => (Timestamp::EPOCH, Timestamp::EPOCH),
            },
            Held::Nothing => (Timestamp::MAX, Timestamp::MAX),
        }
    }

    /// An entry expires at this time: the sweep has to be here by then.
    fn expires(&mut self, expiry: Timestamp, asked: &Asked, due: &Due) {
        self.soonest = self.soonest.min(expiry);
        due.not_after(asked.print.shard(), expiry);
    }

    fn remove(&mut self, at: usize) {
        let held = self.table.slot(at).held();
        self.table.remove(at);
        let (Held::Wide(position), Some(wide)) = (held, &mut self.wide) else {
            return;
        };
        if let Some(moved) = wide.remove(position)
            && let Ok(at) = self.table.find(moved)
        {
            *self.table.slot(at) = Slot::wide(moved, position);
        }
        if self.wide.as_ref().is_some_and(|wide| wide.is_empty()) {
            self.wide = None;
        }
    }

    /// Keeps a state beside the table, and makes the slot for it.
    fn widen(&mut self, asked: &Asked, state: State) -> Slot {
        let wide = Wide { print: asked.print, kind: asked.window.into(), state };
        Slot::wide(asked.print, self.wide.get_or_insert_default().push(wide))
    }

    fn wide_at(&mut self, at: usize) -> Option<&mut Wide> {
        match self.table.slot(at).held() {
            Held::Wide(position) => self.wide.as_mut()?.get_mut(position),
            _ => None,
        }
    }
}

/// Counts a hit in a slot, where that holds counts, and where it is a bucket or the newest window; else `None`, and nothing
/// is changed.
#[inline(always)]
fn count_at_hand(
    slot: &mut Slot,
    window: Window,
    hit: &Hit<'_>,
    now: Timestamp,
    view: View,
) -> Option<CounterState> {
    match (window, view) {
        _ if !slot.is_packed() => None,
        (Window::Aligned { start, length }, _) => slot.count(start, length, hit, now, view),
        (Window::Bucket { limit, .. }, View::Fixed) => {
            let mut value = slot.value();
            let tally = fill(&mut value, limit, hit, now);
            slot.set_value(value);
            Some(tally)
        }
        _ => None,
    }
}

/// When to look again at an entry that expires at any time, unlike windows that are aligned: at the next of a few
/// moments within its time, at which many expire together.
fn together(expiry: Timestamp, kind: Kind, when: When) -> Timestamp {
    let (Kind::Opened { length } | Kind::Bucket { length, .. }) = kind else {
        return expiry;
    };
    let kept = Timestamp::EPOCH.saturating_add(length.as_duration()).saturating_add(when.skew).as_nanos();
    let step = 1 << (kept / 16).ilog2();
    expiry.as_nanos().checked_next_multiple_of(step).map_or(Timestamp::MAX, Timestamp::from_nanos)
}
