//! Several hits in one step: all are counted, or none is.
//!
//! The step locks the shards of all its counters before it decides, in ascending order. So two steps
//! never wait for each other.

use limited_core::{BackendError, Counter, CounterState, Hit, Result, Timestamp};

use super::shard::{Lookup, Shard, new_counter};
use super::spin_lock::SpinLockGuard;
use super::{Counters, Sweeper};
use crate::fingerprint::Fingerprint;
use crate::sync::lock;

/// The shards of one step, locked.
struct LockedShards<'a>(Vec<(usize, SpinLockGuard<'a, Shard>)>);

/// What the store decided about the hits of one step.
enum Decision {
    /// Not all hits fit: the states were appended.
    Refused,
    /// All hits fit, and this number of counters must be added.
    Fits { new_counters: usize },
}

impl LockedShards<'_> {
    /// Returns the shard of a counter of this step.
    fn shard(&mut self, shard: usize) -> &mut Shard {
        let at = self.0.binary_search_by_key(&shard, |(other, _)| *other);
        match at {
            Ok(at) => &mut self.0[at].1,
            Err(_) => unreachable!("every shard of the step was locked"),
        }
    }
}

/// Returns whether a hit changes nothing: its cost and its floor are 0. It is a condition for the
/// other hits of its step.
const fn is_condition(hit: &Hit<'_>) -> bool {
    hit.cost == 0 && hit.floor == 0
}

impl Counters {
    /// Counts several hits on different counters, all or none. Appends the state of each.
    pub(crate) fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Result<()> {
        let lookups: Vec<_> = hits.iter().map(|(counter, _)| self.lookup(counter, now)).collect();
        let step: Vec<_> = lookups.iter().zip(hits.iter().map(|(_, hit)| hit)).collect();
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
        LockedShards(shards.into_iter().map(|shard| (shard, self.shard(shard))).collect())
    }

    /// Decides about all hits, and counts none. Appends the states if one does not fit.
    fn decide(
        &self,
        step: &[(&Lookup, &Hit<'_>)],
        shards: &mut LockedShards<'_>,
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
        shards: &mut LockedShards<'_>,
        states: &mut Vec<CounterState>,
    ) {
        for (lookup, hit) in step {
            let shard = shards.shard(lookup.shard);
            if is_condition(hit) {
                states.push(self.get_in(shard, lookup, true));
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
