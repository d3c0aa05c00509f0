//! Several hits in one step: all are counted, or none is.
//!
//! A step locks the shards of all its counters before it decides, in ascending order. So two steps
//! never wait for each other. The counters of one key share a shard, and need one lock.
//!
//! A step of a few hits on known counters takes a fast path. It counts them in turn, and puts their
//! slots back if one does not fit. It holds the locks meanwhile, so no other thread sees that.

use std::iter::zip;

use limited_core::{BackendError, Counter, CounterState, Hit, Result, Timestamp, Window, several};

use super::shard::{Lookup, Shard, new_counter, try_increment_slot};
use super::slot::{Outcome, Slot};
use super::spin_lock::SpinLockGuard;
use super::windows::{Reading, WindowMode};
use super::{Counters, Sweeper};
use crate::fingerprint::{Fingerprint, Location};
use crate::sync::lock;

/// The shards of one step, locked.
trait Shards {
    /// Returns the shard with this number.
    fn shard(&mut self, number: usize) -> &mut Shard;
}

impl Shards for SpinLockGuard<'_, Shard> {
    #[inline(always)]
    fn shard(&mut self, _number: usize) -> &mut Shard {
        self
    }
}

impl Shards for [Option<(usize, SpinLockGuard<'_, Shard>)>] {
    #[inline]
    fn shard(&mut self, number: usize) -> &mut Shard {
        match self.iter_mut().flatten().find(|(locked, _)| *locked == number) {
            Some((_, shard)) => shard,
            None => unreachable!("the shards of all counters of the step were locked"),
        }
    }
}

/// The shards of a step of any size.
type LockedShards<'a> = Vec<Option<(usize, SpinLockGuard<'a, Shard>)>>;

/// What the store decided about the hits of one step.
enum Decision {
    /// Not all hits fit: the states were appended.
    Refused,
    /// All hits fit, and this number of counters must be added.
    Fits { new_counters: usize },
}

/// Returns whether a hit changes nothing: its cost and its floor are 0. It is a condition for the
/// other hits of its step.
const fn is_condition(hit: &Hit<'_>) -> bool {
    hit.cost == 0 && hit.floor == 0
}

impl Counters {
    /// Counts several hits on different counters, all or none. Appends the state of each.
    ///
    /// # Errors
    ///
    /// [`Full`](BackendError::Full), and the errors of [`several::check`].
    #[inline]
    pub(crate) fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Result<()> {
        let counted = match hits.len() {
            2 => self.try_increment_few::<2>(hits, now, states),
            3 => self.try_increment_few::<3>(hits, now, states),
            4 => self.try_increment_few::<4>(hits, now, states),
            _ => None,
        };
        match counted {
            Some(()) => Ok(()),
            None => self.increment_many(hits, now, states),
        }
    }

    /// Counts a few hits if their slots alone decide. Returns `None` in all other cases, and counts
    /// nothing then.
    #[inline]
    fn try_increment_few<const N: usize>(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<()> {
        let hits: &[_; N] = hits.try_into().ok()?;
        if self.next_expiry.any_due(now) {
            self.sweep(Reading { now, skew: self.skew });
        }
        let first = &hits[0].0;
        if hits[1..].iter().all(|(counter, _)| has_same_key(first, counter)) {
            let key = self.secret.short_key(first)?;
            let locate = |index: usize| self.secret.window_location(&key, hits[index].0.window());
            return self.count_in_turn(&mut self.shard(key.shard()), locate, hits, now, states);
        }
        let mut locations = [Location::default(); N];
        for (location, (counter, _)) in zip(&mut locations, hits) {
            *location = self.secret.short_location(counter)?;
        }
        let mut shards = self.lock_few(&locations);
        self.count_in_turn(&mut shards[..], |index| Some(locations[index]), hits, now, states)
    }

    /// Locks the shards of a few counters, in ascending order and each once.
    fn lock_few<const N: usize>(
        &self,
        locations: &[Location; N],
    ) -> [Option<(usize, SpinLockGuard<'_, Shard>)>; N] {
        let mut numbers = locations.map(|location| location.shard);
        numbers.sort_unstable();
        let mut shards = [const { None }; N];
        for index in 0..N {
            if index == 0 || numbers[index] != numbers[index - 1] {
                shards[index] = Some((numbers[index], self.shard(numbers[index])));
            }
        }
        shards
    }

    /// Counts hits in turn. If one does not fit, puts back the slots of the others.
    ///
    /// Returns `None` if the slots alone do not decide, and counts nothing then.
    #[inline]
    fn count_in_turn<const N: usize>(
        &self,
        shards: &mut (impl Shards + ?Sized),
        locate: impl Fn(usize) -> Option<Location>,
        hits: &[(Counter<'_>, Hit<'_>); N],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<()> {
        let reading = Reading { now, skew: self.skew };
        let (mut locations, mut before) = ([Location::default(); N], [Slot::default(); N]);
        let (first, mut fit) = (states.len(), true);
        states.reserve(N);
        for index in 0..N {
            let (counter, hit) = &hits[index];
            // Two hits on one counter are an error, and so is a bucket without a quota.
            let location = locate(index).filter(|location| {
                let hash = location.fingerprint.hash;
                !locations[..index].iter().any(|other| other.fingerprint.hash == hash) && has_quota(counter)
            });
            let outcome = location.and_then(|location| {
                locations[index] = location;
                let lookup = Lookup::new(location, counter, reading);
                match shards.shard(location.shard).slot_mut(location.fingerprint) {
                    Some(slot) => {
                        before[index] = *slot;
                        try_increment_slot(slot, &lookup, hit, &self.kinds)
                    }
                    None => condition_on_absent(&lookup, hit),
                }
            });
            let Some(outcome) = outcome else {
                put_back(shards, &locations, &before);
                states.truncate(first);
                return None;
            };
            fit &= outcome.counted;
            states.push(outcome.into());
        }
        if !fit {
            put_back(shards, &locations, &before);
            self.read_those_that_fit(shards, &locations, hits, reading, &mut states[first..]);
        }
        Some(())
    }

    /// Replaces the states of hits that fit, and were not counted.
    fn read_those_that_fit(
        &self,
        shards: &mut (impl Shards + ?Sized),
        locations: &[Location],
        hits: &[(Counter<'_>, Hit<'_>)],
        reading: Reading,
        states: &mut [CounterState],
    ) {
        for (state, (location, (counter, _))) in zip(states, zip(locations, hits)) {
            if state.counted {
                let lookup = Lookup::new(*location, counter, reading);
                *state = self.get_in(shards.shard(location.shard), &lookup, true);
            }
        }
    }

    /// Counts several hits of any kind, all or none.
    #[cold]
    #[inline(never)]
    fn increment_many(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Result<()> {
        several::check(hits)?;
        let lookups: Vec<_> = hits.iter().map(|(counter, _)| self.lookup(counter, now)).collect();
        let step: Vec<_> = zip(&lookups, hits.iter().map(|(_, hit)| hit)).collect();
        let mut shards = self.lock_all(&step);
        match self.decide(&step, &mut shards, states) {
            Decision::Refused => {}
            Decision::Fits { new_counters } if self.capacity.reserve_units(new_counters) => {
                self.count(&step, &mut shards, states);
            }
            Decision::Fits { .. } => {
                drop(shards);
                return self.increment_all_when_full(&step, states);
            }
        }
        Ok(())
    }

    /// Counts several hits in a store that has no capacity for all new counters.
    ///
    /// Serialized, like [`increment_when_full`](Self::increment_when_full). Evicts no counter of
    /// this step.
    #[cold]
    fn increment_all_when_full(
        &self,
        step: &[(&Lookup, &Hit<'_>)],
        states: &mut Vec<CounterState>,
    ) -> Result<()> {
        let full = BackendError::Full { max_keys: self.capacity.max() };
        let counters = step.iter().filter(|(_, hit)| !is_condition(hit));
        let kept: Vec<_> = counters.map(|(lookup, _)| lookup.fingerprint).collect();
        let mut sweeper = lock(&self.sweeper);
        let mut reserved = 0;
        loop {
            let mut shards = self.lock_all(step);
            match self.decide(step, &mut shards, states) {
                Decision::Refused => {
                    self.capacity.release(reserved);
                    return Ok(());
                }
                Decision::Fits { new_counters }
                    if new_counters <= reserved || self.capacity.reserve_units(new_counters - reserved) =>
                {
                    // Another thread may have added a counter of this step.
                    self.capacity.release(reserved.saturating_sub(new_counters));
                    self.count(step, &mut shards, states);
                    return Ok(());
                }
                Decision::Fits { .. } => {}
            }
            drop(shards);
            if kept.len() > self.capacity.max() || !self.make_room_for(&mut sweeper, step, &kept) {
                self.capacity.release(reserved);
                return Err(full);
            }
            reserved += 1;
        }
    }

    fn make_room_for(
        &self,
        sweeper: &mut Sweeper,
        step: &[(&Lookup, &Hit<'_>)],
        kept: &[Fingerprint],
    ) -> bool {
        step.first().is_some_and(|(lookup, _)| self.make_room(sweeper, lookup.reading, kept))
    }

    /// Locks the shards of all counters, in ascending order and each once.
    fn lock_all(&self, step: &[(&Lookup, &Hit<'_>)]) -> LockedShards<'_> {
        let mut shards: Vec<_> = step.iter().map(|(lookup, _)| lookup.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards.into_iter().map(|shard| Some((shard, self.shard(shard)))).collect()
    }

    /// Decides about all hits, and counts none. Appends the states if one does not fit.
    fn decide(
        &self,
        step: &[(&Lookup, &Hit<'_>)],
        shards: &mut [Option<(usize, SpinLockGuard<'_, Shard>)>],
        states: &mut Vec<CounterState>,
    ) -> Decision {
        let (mut fit, mut new_counters) = (true, 0);
        for (lookup, hit) in step {
            match shards.shard(lookup.shard).fits(lookup, hit, &self.kinds) {
                Some(fits) => fit &= fits,
                None => {
                    let (state, after) = new_counter(lookup, hit);
                    fit &= state.counted;
                    new_counters += usize::from(after.is_some() && !is_condition(hit));
                }
            }
        }
        if fit {
            return Decision::Fits { new_counters };
        }
        for (lookup, hit) in step {
            let shard = shards.shard(lookup.shard);
            let fits = shard.fits(lookup, hit, &self.kinds);
            let state = match fits.unwrap_or_else(|| new_counter(lookup, hit).0.counted) {
                true => self.get_in(shard, lookup, true),
                // A refused hit changes nothing.
                false => shard
                    .increment(lookup, hit, &self.kinds, &self.next_expiry)
                    .unwrap_or_else(|| new_counter(lookup, hit).0),
            };
            states.push(state);
        }
        Decision::Refused
    }

    /// Counts hits that all fit. The caller has reserved capacity for the new counters.
    fn count(
        &self,
        step: &[(&Lookup, &Hit<'_>)],
        shards: &mut [Option<(usize, SpinLockGuard<'_, Shard>)>],
        states: &mut Vec<CounterState>,
    ) {
        for (lookup, hit) in step {
            let shard = shards.shard(lookup.shard);
            if is_condition(hit) {
                let mut state = self.get_in(shard, lookup, true);
                // A counted hit reports no log.
                state.log = None;
                states.push(state);
                continue;
            }
            let known = shard.increment(lookup, hit, &self.kinds, &self.next_expiry);
            states.push(known.unwrap_or_else(|| {
                let (state, after) = new_counter(lookup, hit);
                if let Some(after) = after {
                    shard.add(lookup, after, &self.kinds, &self.next_expiry);
                }
                state
            }));
        }
    }
}

/// Returns whether two counters have the same key and namespace.
#[inline]
fn has_same_key(one: &Counter<'_>, other: &Counter<'_>) -> bool {
    let is_same = |one: &str, other: &str| std::ptr::eq(one, other) || one == other;
    is_same(one.key(), other.key()) && is_same(one.namespace(), other.namespace())
}

/// Returns whether a counter has the quota that a bucket needs.
#[inline]
fn has_quota(counter: &Counter<'_>) -> bool {
    !matches!(counter.window(), Window::Bucket { .. }) || counter.bucket().is_some()
}

/// Returns the outcome of a hit that is a condition on an absent bucket, such as that of a key that
/// is not blocked. Returns `None` for all other hits.
#[inline]
fn condition_on_absent(lookup: &Lookup, hit: &Hit<'_>) -> Option<Outcome> {
    let is_bucket = matches!((lookup.window, lookup.mode), (Window::Bucket { .. }, WindowMode::Fixed));
    (is_bucket && is_condition(hit)).then_some(Outcome::of_bucket(true, 0))
}

/// Puts back the slots that were not empty.
#[cold]
fn put_back(shards: &mut (impl Shards + ?Sized), locations: &[Location], before: &[Slot]) {
    for (location, slot) in zip(locations, before) {
        if !slot.is_empty() {
            shards.shard(location.shard).put_back(*slot);
        }
    }
}
