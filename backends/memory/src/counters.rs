//! The store of counters: entries that leave by themselves, and a cap on how many there are.

mod expiry;
mod fingerprint;
mod overflow;
mod shard;
mod slot;
mod spin_lock;
mod state;
mod table;
mod window_kind;
mod windows;

use std::time::Duration;

use limited_core::{BackendError, Counter, CounterState, Hit, Timestamp, Window, WindowId};

use crate::WhenFull;
use crate::counters::expiry::Due;
use crate::counters::fingerprint::{Fingerprint, SHARDS, Secret};
use crate::counters::shard::{Asked, Budget, Shard, first};
use crate::counters::spin_lock::{Brief, BriefGuard};
use crate::counters::state::When;
use crate::counters::window_kind::{Families, Family, Kind};
pub(crate) use crate::counters::windows::View;
use crate::counters::windows::Windows;
use crate::random;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// How many expired entries one operation removes, at most: more than it can add.
const REMOVED_PER_CALL: usize = 4;

/// How many entries one operation looks at, at most, to find those.
const LOOKED_AT_PER_CALL: usize = 128;

/// How many entries an operation looks at, at most, to make room for a new key in a full store.
const LOOKED_AT_WHEN_FULL: usize = 256;

/// Of how many entries the one that expires first gives way.
const LOOKED_AT_TO_EVICT: usize = 64;

pub(crate) struct Counters {
    /// As many as [`Fingerprint::shard`] tells apart, so that no index has to be checked.
    shards: Box<[Line; SHARDS]>,
    due: Due,
    families: Families,
    secret: Secret,
    /// Held by whoever sweeps, or looks for room in a full store. Its holder locks shards, one at a time, and nobody
    /// who holds a shard waits for it.
    sweeper: Mutex<Sweeper>,
    /// Places taken: one for each entry.
    keys: AtomicUsize,
    evicted: AtomicU64,
    max_keys: usize,
    when_full: WhenFull,
    skew: Duration,
}

/// A shard on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Line(Brief<Shard>);

/// How far sweeping has come.
#[derive(Default)]
struct Sweeper {
    shard: usize,
    /// Where to look for the next entry that gives way.
    evicts_from: Option<(usize, u64)>,
}

impl Counters {
    pub(crate) fn new(max_keys: usize, when_full: WhenFull, skew: Duration) -> Self {
        let shards: Box<[Line]> = (0..SHARDS).map(|_| Line::default()).collect();
        Self {
            shards: shards.try_into().unwrap_or_else(|_| unreachable!("there are as many")),
            due: Due::new(SHARDS),
            families: Families::new(),
            secret: Secret::new(random::numbers()),
            sweeper: Mutex::new(Sweeper::default()),
            keys: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            max_keys,
            when_full,
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// [`increment`](Self::increment) where that is simple, as it mostly is: of a counter that is there, in its newest
    /// window, without anything in between. Else `None`, and nothing is counted.
    #[inline(always)]
    pub(crate) fn increment_at_hand(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        view: View,
    ) -> Option<CounterState> {
        if self.due.has_any(now) {
            self.sweep(When { now, skew: self.skew });
        }
        let print = self.secret.short_fingerprint(counter)?;
        self.shard(print.shard()).increment_at_hand(print, counter.window(), hit, now, view)
    }

    pub(crate) fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        view: View,
    ) -> Result<CounterState, BackendError> {
        let asked = self.asked(counter, now);
        let mut shard = self.shard(asked.print.shard());
        if let Some(tally) = shard.increment(&asked, hit, view, &self.due) {
            return Ok(tally);
        }
        self.increment_absent(&asked, hit, view, shard)
    }

    #[inline(never)]
    fn increment_absent(
        &self,
        asked: &Asked,
        hit: &Hit<'_>,
        view: View,
        mut shard: BriefGuard<'_, Shard>,
    ) -> Result<CounterState, BackendError> {
        let (tally, after) = first(asked, hit, view);
        if let Some(after) = after {
            if !self.take_place() {
                drop(shard);
                return self.increment_when_full(asked, hit, view);
            }
            shard.add(asked, after, self.family(asked), &self.due);
        }
        Ok(tally)
    }

    /// One at a time: so no place is out of everybody's sight while it changes hands.
    #[cold]
    fn increment_when_full(
        &self,
        asked: &Asked,
        hit: &Hit<'_>,
        view: View,
    ) -> Result<CounterState, BackendError> {
        let mut sweeper = lock(&self.sweeper);
        let mut has_place = false;
        loop {
            let mut shard = self.shard(asked.print.shard());
            // Somebody else may have brought the key, or given a place back.
            let (tally, after) = match shard.increment(asked, hit, view, &self.due) {
                Some(tally) => (tally, None),
                None => first(asked, hit, view),
            };
            match after {
                Some(after) if has_place || self.take_place() => {
                    shard.add(asked, after, self.family(asked), &self.due);
                    return Ok(tally);
                }
                Some(_) => {}
                None => {
                    self.give_places_back(has_place.into());
                    return Ok(tally);
                }
            }
            drop(shard);
            has_place = self.make_room(&mut sweeper, asked.when);
            if !has_place {
                return Err(BackendError::Full { max_keys: self.max_keys });
            }
        }
    }

    pub(crate) fn get(&self, counter: &Counter<'_>, now: Timestamp, view: View) -> CounterState {
        let asked = self.asked(counter, now);
        let known = self.shard(asked.print.shard()).get(&asked, view);
        known.unwrap_or_else(|| match asked.window {
            Window::Aligned { start, length } => Windows::get(None, asked.when.at(start, length), view),
            Window::FromFirstHit { .. } | Window::Bucket { .. } => CounterState::default(),
        })
    }

    pub(crate) fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) {
        let asked = self.asked(counter, now);
        let mut shard = self.shard(asked.print.shard());
        if shard.reset(&asked, window_id) {
            // While the shard is locked: who does not find the entry any more finds its place.
            self.give_places_back(1);
        }
    }

    /// What an operation is about. Each sweeps first, if something is due.
    fn asked(&self, counter: &Counter<'_>, now: Timestamp) -> Asked {
        let when = When { now, skew: self.skew };
        if self.due.has_any(now) {
            self.sweep(when);
        }
        Asked { print: self.secret.fingerprint(counter), window: counter.window(), when }
    }

    fn family(&self, asked: &Asked) -> Family {
        self.families.number(Kind::from(asked.window))
    }

    #[inline(always)]
    fn shard(&self, shard: usize) -> BriefGuard<'_, Shard> {
        self.shards[shard].0.lock()
    }

    /// Removes a few of the entries that have expired, unless somebody else is at it.
    #[cold]
    fn sweep(&self, when: When) {
        if let Ok(mut sweeper) = self.sweeper.try_lock() {
            let mut budget = Budget { looks: LOOKED_AT_PER_CALL, removals: REMOVED_PER_CALL };
            self.sweep_on(&mut sweeper, when, &mut budget, 0);
        }
    }

    /// Goes on from where the last sweep stopped, until the budget is spent or nothing more is due. Of the places of
    /// what is removed it keeps as many as it is told.
    fn sweep_on(&self, sweeper: &mut Sweeper, when: When, budget: &mut Budget, mut kept: usize) {
        for _ in 0..SHARDS {
            if self.due.is(sweeper.shard, when.now) {
                let mut shard = self.shard(sweeper.shard);
                let before = budget.removals;
                let swept = shard.sweep(&self.families, when, budget);
                if let Some(next) = swept {
                    self.due.set(sweeper.shard, next);
                }
                let removed = before - budget.removals;
                let keeps = kept.min(removed);
                kept -= keeps;
                self.give_places_back(removed - keeps);
                if swept.is_none() {
                    return;
                }
            }
            sweeper.shard = (sweeper.shard + 1) % SHARDS;
        }
        self.due.read_before_claim();
    }

    /// Takes one of the places that there are for keys.
    fn take_place(&self) -> bool {
        let more = |keys: usize| (keys < self.max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_places_back(&self, places: usize) {
        if places > 0 {
            self.keys.fetch_sub(places, Ordering::Relaxed);
        }
    }

    /// Removes an entry, and keeps its place for the caller: one that has expired, or one that gives way.
    fn make_room(&self, sweeper: &mut Sweeper, when: When) -> bool {
        let mut budget = Budget { looks: LOOKED_AT_WHEN_FULL, removals: 1 };
        self.sweep_on(sweeper, when, &mut budget, 1);
        budget.removals == 0 || (self.when_full == WhenFull::EvictSoonest && self.evict(sweeper, when))
    }

    /// Removes the entry that expires first, of those that come next.
    fn evict(&self, sweeper: &mut Sweeper, when: When) -> bool {
        if self.max_keys == 0 {
            return false;
        }
        // Entries come and go meanwhile, also where it has looked and where it has yet to look. Each takes its place, and
        // gives it back, while its shard is locked: where neither an entry nor a place is found, others have come on.
        loop {
            if let Some(print) = self.soonest(sweeper, when)
                && self.shard(print.shard()).evict(print)
            {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            if self.take_place() {
                return true;
            }
        }
    }

    /// The entry that expires first, of those that come next.
    fn soonest(&self, sweeper: &mut Sweeper, when: When) -> Option<Fingerprint> {
        let (mut shard, mut from) = sweeper.evicts_from.unwrap_or((0, u64::MAX));
        let mut looks = LOOKED_AT_TO_EVICT;
        let mut soonest = None::<(Timestamp, Fingerprint)>;
        for _ in 0..=SHARDS {
            let (found, stopped_at) = self.shard(shard).soonest(from, &self.families, when, &mut looks);
            soonest = match (soonest, found) {
                (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
                (one, other) => one.or(other),
            };
            if let Some(place) = stopped_at {
                from = place;
                break;
            }
            (shard, from) = ((shard + 1) % SHARDS, u64::MAX);
        }
        sweeper.evicts_from = Some((shard, from));
        soonest.map(|(_, print)| print)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
