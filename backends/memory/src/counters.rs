//! The store of counters: sharded tables of entries that expire, with a maximum number of keys.

mod expiry;
mod overflow;
mod several;
mod shard;
mod slot;
mod spin_lock;
mod state;
mod table;
mod window_kind;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use limited_core::{BackendError, Counter, CounterState, Hit, Refund, Result, Timestamp, Window, WindowId};

use self::expiry::NextExpiry;
use self::shard::{Budget, Lookup, Shard, new_counter};
use self::spin_lock::{SpinLock, SpinLockGuard};
use self::window_kind::KindTable;
use self::windows::{Reading, Windows};
use crate::capacity::{Capacity, WhenFull};
use crate::fingerprint::{Fingerprint, Location, SHARDS, Secret};
use crate::random;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// Maximum number of expired entries that one operation removes: more than it can add.
const REMOVALS_PER_CALL: usize = 4;

/// Maximum number of entries that one operation scans to find those.
const SCANS_PER_CALL: usize = 128;

/// Maximum number of entries that one operation scans to make room for a new key in a full store.
const SCANS_WHEN_FULL: usize = 256;

/// Number of entries of which the one that expires first is evicted.
const SCANS_TO_EVICT: usize = 64;

pub(crate) struct Counters {
    /// As many as [`Location::shard`] distinguishes, so that indexing needs no bounds check.
    shards: Box<[PaddedShard; SHARDS]>,
    next_expiry: NextExpiry,
    kinds: KindTable,
    secret: Secret,
    /// Held by the thread that sweeps or makes room in a full store. That thread locks shards, one
    /// at a time. No thread waits for this lock while it holds a shard.
    sweeper: Mutex<Sweeper>,
    capacity: Capacity,
    evicted: AtomicU64,
    when_full: WhenFull,
    skew: Duration,
}

/// A shard on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct PaddedShard(SpinLock<Shard>);

/// Where the next sweep and the next search for an entry to evict continue.
#[derive(Default)]
struct Sweeper {
    shard: usize,
    /// The shard to continue in, and the hash in it.
    evict_from: Option<(usize, u64)>,
}

impl Counters {
    pub(crate) fn new(max_keys: usize, when_full: WhenFull, skew: Duration) -> Self {
        let shards: Box<[PaddedShard]> = (0..SHARDS).map(|_| PaddedShard::default()).collect();
        Self {
            shards: shards.try_into().unwrap_or_else(|_| unreachable!("exactly `SHARDS` were collected")),
            next_expiry: NextExpiry::new(SHARDS),
            kinds: KindTable::new(),
            secret: Secret::new(random::numbers()),
            sweeper: Mutex::new(Sweeper::default()),
            capacity: Capacity::new(max_keys),
            evicted: AtomicU64::new(0),
            when_full,
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.capacity.reserved()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Counts a hit on a known counter, in its newest window or in a bucket. Returns `None` in all
    /// other cases, which [`increment`](Self::increment) handles, and counts nothing then.
    #[inline(always)]
    pub(crate) fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<CounterState> {
        if self.next_expiry.any_due(now) {
            self.sweep(Reading { now, skew: self.skew });
        }
        if matches!(counter.window(), Window::Bucket { .. }) && counter.bucket().is_none() {
            return None;
        }
        let location = self.secret.short_location(counter)?;
        let lookup = Lookup::new(location, counter, Reading { now, skew: self.skew });
        self.shard(location.shard).try_increment(&lookup, hit, &self.kinds)
    }

    pub(crate) fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState> {
        let lookup = self.lookup(counter, now);
        let mut shard = self.shard(lookup.shard);
        if let Some(state) = shard.increment(&lookup, hit, &self.kinds, &self.next_expiry) {
            return Ok(state);
        }
        self.increment_new(&lookup, hit, shard)
    }

    #[inline(never)]
    fn increment_new(
        &self,
        lookup: &Lookup,
        hit: &Hit<'_>,
        mut shard: SpinLockGuard<'_, Shard>,
    ) -> Result<CounterState> {
        let (state, after) = new_counter(lookup, hit);
        if let Some(after) = after {
            if !self.capacity.reserve() {
                drop(shard);
                return self.increment_when_full(lookup, hit);
            }
            shard.add(lookup, after, &self.kinds, &self.next_expiry);
        }
        Ok(state)
    }

    /// Counts a hit on a new key in a full store.
    ///
    /// Serialized, so that freed capacity is never invisible to all threads at once.
    #[cold]
    fn increment_when_full(&self, lookup: &Lookup, hit: &Hit<'_>) -> Result<CounterState> {
        let mut sweeper = lock(&self.sweeper);
        let mut has_reserved = false;
        loop {
            let mut shard = self.shard(lookup.shard);
            // Another thread may have added the key or released capacity.
            let (state, after) = match shard.increment(lookup, hit, &self.kinds, &self.next_expiry) {
                Some(state) => (state, None),
                None => new_counter(lookup, hit),
            };
            match after {
                Some(after) if has_reserved || self.capacity.reserve() => {
                    shard.add(lookup, after, &self.kinds, &self.next_expiry);
                    return Ok(state);
                }
                Some(_) => {}
                None => {
                    self.capacity.release(has_reserved.into());
                    return Ok(state);
                }
            }
            drop(shard);
            has_reserved = self.make_room(&mut sweeper, lookup.reading, &[]);
            if !has_reserved {
                return Err(BackendError::Full { max_keys: self.capacity.max() });
            }
        }
    }

    pub(crate) fn get(&self, counter: &Counter<'_>, now: Timestamp) -> CounterState {
        let lookup = self.lookup(counter, now);
        self.get_in(&self.shard(lookup.shard), &lookup, false)
    }

    /// Returns the state of a counter in its shard, after an operation that was counted or not.
    fn get_in(&self, shard: &Shard, lookup: &Lookup, counted: bool) -> CounterState {
        let mut state = shard.get(lookup, &self.kinds).unwrap_or_else(|| match lookup.window {
            Window::Aligned { start, length } => {
                Windows::empty(start).get(lookup.reading.in_window(start, length, lookup.mode))
            }
            Window::Log { .. } => CounterState::default().with_log(Arc::default()),
            Window::Span { start, .. } => CounterState::default().with_start(start),
            Window::FromFirstHit { .. } | Window::Bucket { .. } => CounterState::default(),
        });
        state.counted = counted;
        state
    }

    /// Returns part of a charge to the counter that was charged.
    pub(crate) fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> CounterState {
        let lookup = self.lookup(&counter.fixed(), now);
        let mut shard = self.shard(lookup.shard);
        let counted = shard.refund(&lookup, refund, &self.kinds);
        self.get_in(&shard, &lookup, counted)
    }

    pub(crate) fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) {
        let lookup = self.lookup(counter, now);
        let mut shard = self.shard(lookup.shard);
        if shard.reset(&lookup, window_id) {
            self.capacity.release(1);
        }
    }

    /// Returns what an operation acts on. Sweeps first, if an entry may have expired.
    fn lookup(&self, counter: &Counter<'_>, now: Timestamp) -> Lookup {
        let reading = Reading { now, skew: self.skew };
        if self.next_expiry.any_due(now) {
            self.sweep(reading);
        }
        Lookup::new(self.secret.location(counter), counter, reading)
    }

    #[inline(always)]
    fn shard(&self, shard: usize) -> SpinLockGuard<'_, Shard> {
        self.shards[shard].0.lock()
    }

    /// Removes a few expired entries, unless another thread is sweeping.
    #[cold]
    fn sweep(&self, reading: Reading) {
        if let Ok(mut sweeper) = self.sweeper.try_lock() {
            let mut budget = Budget { scans: SCANS_PER_CALL, removals: REMOVALS_PER_CALL };
            self.continue_sweep(&mut sweeper, reading, &mut budget, false);
        }
    }

    /// Sweeps from where the last sweep stopped, until the budget is spent or nothing more is due.
    /// Releases the capacity of the removed entries, unless the caller keeps it.
    fn continue_sweep(
        &self,
        sweeper: &mut Sweeper,
        reading: Reading,
        budget: &mut Budget,
        keeps_capacity: bool,
    ) {
        for _ in 0..SHARDS {
            if self.next_expiry.is_due(sweeper.shard, reading.now) {
                let mut shard = self.shard(sweeper.shard);
                let before = budget.removals;
                let swept = shard.sweep(&self.kinds, reading, budget);
                if let Some(next) = swept {
                    self.next_expiry.set(sweeper.shard, next);
                }
                if !keeps_capacity {
                    self.capacity.release(before - budget.removals);
                }
                if swept.is_none() {
                    return;
                }
            }
            sweeper.shard = (sweeper.shard + 1) % SHARDS;
        }
        self.next_expiry.refresh_earliest();
    }

    /// Frees the capacity of one entry for the caller: removes an expired entry or evicts one.
    /// Evicts none of the kept entries.
    fn make_room(&self, sweeper: &mut Sweeper, reading: Reading, kept: &[Fingerprint]) -> bool {
        let mut budget = Budget { scans: SCANS_WHEN_FULL, removals: 1 };
        self.continue_sweep(sweeper, reading, &mut budget, true);
        budget.removals == 0
            || (self.when_full == WhenFull::EvictSoonest && self.evict(sweeper, reading, kept))
    }

    /// Evicts the entry that expires first among the next ones. The caller gets its capacity.
    fn evict(&self, sweeper: &mut Sweeper, reading: Reading, kept: &[Fingerprint]) -> bool {
        if self.capacity.max() == 0 {
            return false;
        }
        // Other threads add and remove entries meanwhile, in shards already searched and in those
        // still to search. If neither an entry nor free capacity is found, another thread made
        // progress; try again.
        loop {
            if let Some(Location { shard, fingerprint }) = self.earliest_expiring(sweeper, reading, kept)
                && self.shard(shard).evict(fingerprint)
            {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            if self.capacity.reserve() {
                return true;
            }
        }
    }

    /// Returns the entry that expires first among the next [`SCANS_TO_EVICT`], except kept ones.
    fn earliest_expiring(
        &self,
        sweeper: &mut Sweeper,
        reading: Reading,
        kept: &[Fingerprint],
    ) -> Option<Location> {
        let (mut shard, mut from) = sweeper.evict_from.unwrap_or((0, u64::MAX));
        let mut scans = SCANS_TO_EVICT;
        let mut earliest = None;
        for _ in 0..=SHARDS {
            let (found, stopped_at) =
                self.shard(shard).earliest_expiring(from, &self.kinds, reading, kept, &mut scans);
            let found = found.map(|(expiry, fingerprint)| (expiry, Location { shard, fingerprint }));
            earliest = [earliest, found].into_iter().flatten().min_by_key(|(expiry, _)| *expiry);
            if let Some(hash) = stopped_at {
                from = hash;
                break;
            }
            (shard, from) = ((shard + 1) % SHARDS, u64::MAX);
        }
        sweeper.evict_from = Some((shard, from));
        earliest.map(|(_, location)| location)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
