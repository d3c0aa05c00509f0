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

use self::expiry::NextExpiry;
use self::fingerprint::{Fingerprint, SHARDS, Secret};
use self::shard::{Budget, Lookup, Shard, new_counter};
use self::spin_lock::{SpinLock, SpinLockGuard};
use self::state::Reading;
use self::window_kind::{KindId, KindTable, WindowKind};
pub(crate) use self::windows::WindowMode;
use self::windows::Windows;
use crate::WhenFull;
use crate::random;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// How many expired entries one operation removes, at most: more than it can add.
const REMOVALS_PER_CALL: usize = 4;

/// How many entries one operation looks at, at most, to find those.
const SCANS_PER_CALL: usize = 128;

/// How many entries an operation looks at, at most, to make room for a new key in a full store.
const SCANS_WHEN_FULL: usize = 256;

/// Of how many entries the one that expires first gives way.
const SCANS_TO_EVICT: usize = 64;

pub(crate) struct Counters {
    /// As many as [`Fingerprint::shard`] tells apart, so that no index has to be checked.
    shards: Box<[PaddedShard; SHARDS]>,
    next_expiry: NextExpiry,
    kinds: KindTable,
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
struct PaddedShard(SpinLock<Shard>);

/// How far sweeping has come.
#[derive(Default)]
struct Sweeper {
    shard: usize,
    /// Where to look for the next entry that gives way.
    evict_from: Option<(usize, u64)>,
}

impl Counters {
    pub(crate) fn new(max_keys: usize, when_full: WhenFull, skew: Duration) -> Self {
        let shards: Box<[PaddedShard]> = (0..SHARDS).map(|_| PaddedShard::default()).collect();
        Self {
            shards: shards.try_into().unwrap_or_else(|_| unreachable!("there are as many")),
            next_expiry: NextExpiry::new(SHARDS),
            kinds: KindTable::new(),
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
    pub(crate) fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        mode: WindowMode,
    ) -> Option<CounterState> {
        if self.next_expiry.any_due(now) {
            self.sweep(Reading { now, skew: self.skew });
        }
        let fingerprint = self.secret.short_fingerprint(counter)?;
        self.shard(fingerprint.shard()).try_increment(fingerprint, counter.window(), hit, now, mode)
    }

    pub(crate) fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        mode: WindowMode,
    ) -> Result<CounterState, BackendError> {
        let lookup = self.lookup(counter, now);
        let mut shard = self.shard(lookup.fingerprint.shard());
        if let Some(state) = shard.increment(&lookup, hit, mode, &self.next_expiry) {
            return Ok(state);
        }
        self.increment_new(&lookup, hit, mode, shard)
    }

    #[inline(never)]
    fn increment_new(
        &self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mode: WindowMode,
        mut shard: SpinLockGuard<'_, Shard>,
    ) -> Result<CounterState, BackendError> {
        let (state, after) = new_counter(lookup, hit, mode);
        if let Some(after) = after {
            if !self.reserve() {
                drop(shard);
                return self.increment_when_full(lookup, hit, mode);
            }
            shard.add(lookup, after, self.kind_id(lookup), &self.next_expiry);
        }
        Ok(state)
    }

    /// One at a time: so no place is out of everybody's sight while it changes hands.
    #[cold]
    fn increment_when_full(
        &self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mode: WindowMode,
    ) -> Result<CounterState, BackendError> {
        let mut sweeper = lock(&self.sweeper);
        let mut has_reserved = false;
        loop {
            let mut shard = self.shard(lookup.fingerprint.shard());
            // Somebody else may have brought the key, or given a place back.
            let (state, after) = match shard.increment(lookup, hit, mode, &self.next_expiry) {
                Some(state) => (state, None),
                None => new_counter(lookup, hit, mode),
            };
            match after {
                Some(after) if has_reserved || self.reserve() => {
                    shard.add(lookup, after, self.kind_id(lookup), &self.next_expiry);
                    return Ok(state);
                }
                Some(_) => {}
                None => {
                    self.release(has_reserved.into());
                    return Ok(state);
                }
            }
            drop(shard);
            has_reserved = self.make_room(&mut sweeper, lookup.reading);
            if !has_reserved {
                return Err(BackendError::Full { max_keys: self.max_keys });
            }
        }
    }

    pub(crate) fn get(&self, counter: &Counter<'_>, now: Timestamp, mode: WindowMode) -> CounterState {
        let lookup = self.lookup(counter, now);
        let known = self.shard(lookup.fingerprint.shard()).get(&lookup, mode);
        known.unwrap_or_else(|| match lookup.window {
            Window::Aligned { start, length } => Windows::get(None, lookup.reading.at(start, length), mode),
            Window::FromFirstHit { .. } | Window::Bucket { .. } => CounterState::default(),
        })
    }

    pub(crate) fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) {
        let lookup = self.lookup(counter, now);
        let mut shard = self.shard(lookup.fingerprint.shard());
        if shard.reset(&lookup, window_id) {
            // While the shard is locked: who does not find the entry any more finds its place.
            self.release(1);
        }
    }

    /// What an operation is about. Each sweeps first, if something is due.
    fn lookup(&self, counter: &Counter<'_>, now: Timestamp) -> Lookup {
        let reading = Reading { now, skew: self.skew };
        if self.next_expiry.any_due(now) {
            self.sweep(reading);
        }
        Lookup { fingerprint: self.secret.fingerprint(counter), window: counter.window(), reading }
    }

    fn kind_id(&self, lookup: &Lookup) -> KindId {
        self.kinds.intern(WindowKind::from(lookup.window))
    }

    #[inline(always)]
    fn shard(&self, shard: usize) -> SpinLockGuard<'_, Shard> {
        self.shards[shard].0.lock()
    }

    /// Removes a few of the entries that have expired, unless somebody else is at it.
    #[cold]
    fn sweep(&self, reading: Reading) {
        if let Ok(mut sweeper) = self.sweeper.try_lock() {
            let mut budget = Budget { scans: SCANS_PER_CALL, removals: REMOVALS_PER_CALL };
            self.continue_sweep(&mut sweeper, reading, &mut budget, 0);
        }
    }

    /// Goes on from where the last sweep stopped, until the budget is spent or nothing more is due. Of the places of
    /// what is removed it keeps as many as it is told.
    fn continue_sweep(
        &self,
        sweeper: &mut Sweeper,
        reading: Reading,
        budget: &mut Budget,
        mut to_keep: usize,
    ) {
        for _ in 0..SHARDS {
            if self.next_expiry.is_due(sweeper.shard, reading.now) {
                let mut shard = self.shard(sweeper.shard);
                let before = budget.removals;
                let swept = shard.sweep(&self.kinds, reading, budget);
                if let Some(next) = swept {
                    self.next_expiry.set(sweeper.shard, next);
                }
                let removed = before - budget.removals;
                let keeps = to_keep.min(removed);
                to_keep -= keeps;
                self.release(removed - keeps);
                if swept.is_none() {
                    return;
                }
            }
            sweeper.shard = (sweeper.shard + 1) % SHARDS;
        }
        self.next_expiry.refresh_earliest();
    }

    /// Takes one of the places that there are for keys.
    fn reserve(&self) -> bool {
        let more = |keys: usize| (keys < self.max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn release(&self, places: usize) {
        if places > 0 {
            self.keys.fetch_sub(places, Ordering::Relaxed);
        }
    }

    /// Removes an entry, and keeps its place for the caller: one that has expired, or one that gives way.
    fn make_room(&self, sweeper: &mut Sweeper, reading: Reading) -> bool {
        let mut budget = Budget { scans: SCANS_WHEN_FULL, removals: 1 };
        self.continue_sweep(sweeper, reading, &mut budget, 1);
        budget.removals == 0 || (self.when_full == WhenFull::EvictSoonest && self.evict(sweeper, reading))
    }

    /// Removes the entry that expires first, of those that come next.
    fn evict(&self, sweeper: &mut Sweeper, reading: Reading) -> bool {
        if self.max_keys == 0 {
            return false;
        }
        // Entries come and go meanwhile, also where it has looked and where it has yet to look. Each takes its place, and
        // gives it back, while its shard is locked: where neither an entry nor a place is found, others have come on.
        loop {
            if let Some(fingerprint) = self.earliest_expiring(sweeper, reading)
                && self.shard(fingerprint.shard()).evict(fingerprint)
            {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            if self.reserve() {
                return true;
            }
        }
    }

    /// The entry that expires first, of those that come next.
    fn earliest_expiring(&self, sweeper: &mut Sweeper, reading: Reading) -> Option<Fingerprint> {
        let (mut shard, mut from) = sweeper.evict_from.unwrap_or((0, u64::MAX));
        let mut scans = SCANS_TO_EVICT;
        let mut earliest_expiring = None::<(Timestamp, Fingerprint)>;
        for _ in 0..=SHARDS {
            let (found, stopped_at) =
                self.shard(shard).earliest_expiring(from, &self.kinds, reading, &mut scans);
            earliest_expiring = match (earliest_expiring, found) {
                (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
                (one, other) => one.or(other),
            };
            if let Some(place) = stopped_at {
                from = place;
                break;
            }
            (shard, from) = ((shard + 1) % SHARDS, u64::MAX);
        }
        sweeper.evict_from = Some((shard, from));
        earliest_expiring.map(|(_, fingerprint)| fingerprint)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
