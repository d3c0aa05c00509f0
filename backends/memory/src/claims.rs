//! The store of claims: records that expire, with a maximum number of records.

mod claim;
mod expiry_queue;
mod key;
mod map;

use std::collections::hash_map::Entry;
use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimRequest, Completion, FencingToken, FinishResult, Grant,
    LeaseStatus, Owner, Record, Result, Timestamp, has_passed,
};

use self::claim::Claim;
use self::expiry_queue::{ExpiryEntry, ExpiryQueue, Popped};
use self::key::StoredKey;
use self::map::Map;
use crate::capacity::Capacity;
use crate::sync::{AtomicU64, Ordering, yield_now};

/// Maximum number of due records that one operation processes. One operation adds fewer, so the
/// queue drains.
const SCANS_PER_CALL: usize = 4;

/// Maximum number of due records that one operation processes to make room for a new claim in a
/// full store.
const SCANS_WHEN_FULL: usize = 256;

/// One claimed key.
struct ClaimEntry {
    claim: Claim,
    /// `None` if the record never expires.
    expiry: Option<ExpiryEntry>,
}

pub(crate) struct Claims {
    map: Map<StoredKey, ClaimEntry>,
    queue: ExpiryQueue<StoredKey>,
    capacity: Capacity,
    /// The fencing token of the last grant of any key. One for all keys, so that it outlives each
    /// record.
    last_fencing_token: AtomicU64,
    skew: Duration,
}

impl Claims {
    pub(crate) fn new(max_claims: usize, skew: Duration) -> Self {
        Self {
            map: Map::new(),
            queue: ExpiryQueue::default(),
            capacity: Capacity::new(max_claims),
            last_fencing_token: AtomicU64::new(0),
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.capacity.reserved()
    }

    pub(crate) fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        self.sweep(now);
        let key = StoredKey::from(key);
        let mut scans_left = SCANS_WHEN_FULL;
        loop {
            match self.map.shard(&key).entry(key.clone()) {
                Entry::Occupied(mut entry) => {
                    let entry = entry.get_mut();
                    let acquisition = entry.claim.claim(request, now, || self.next_fencing_token(now));
                    self.reschedule(&key, entry);
                    return Ok(acquisition);
                }
                Entry::Vacant(vacant) if self.capacity.reserve() => {
                    let fencing_token = self.next_fencing_token(now);
                    let claim = Claim::granted(request, fencing_token);
                    self.reschedule(&key, vacant.insert(ClaimEntry { claim, expiry: None }));
                    let grant = Grant { fencing_token, expires_at: request.expires_at };
                    return Ok(Acquisition::Acquired(grant));
                }
                Entry::Vacant(_) => {}
            }
            if scans_left == 0 {
                return Err(BackendError::Full { max_keys: self.capacity.max() });
            }
            scans_left = self.make_room(now, scans_left);
        }
    }

    pub(crate) fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> FinishResult {
        self.update(key, now, |claim| claim.finish(completion, now)).unwrap_or(FinishResult::Lost(None))
    }

    pub(crate) fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> LeaseStatus {
        self.update(key, now, |claim| claim.renew(owner, expires_at, now)).unwrap_or(LeaseStatus::Lost(None))
    }

    pub(crate) fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> LeaseStatus {
        let mut status = LeaseStatus::Lost(None);
        self.remove_if(key, now, |claim| {
            status = claim.lease_status(owner, now);
            status == LeaseStatus::Owned
        });
        status
    }

    pub(crate) fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
        self.sweep(now);
        let key = StoredKey::from(key);
        self.map.shard(&key).get(&key).and_then(|entry| entry.claim.find(now).cloned())
    }

    pub(crate) fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) {
        self.remove_if(key, now, |_| true);
    }

    fn update<R>(
        &self,
        key: &ClaimKey<'_>,
        now: Timestamp,
        update: impl FnOnce(&mut Claim) -> R,
    ) -> Option<R> {
        self.sweep(now);
        let key = StoredKey::from(key);
        self.map.shard(&key).get_mut(&key).map(|entry| {
            let result = update(&mut entry.claim);
            self.reschedule(&key, entry);
            result
        })
    }

    fn remove_if(&self, key: &ClaimKey<'_>, now: Timestamp, condition: impl FnOnce(&Claim) -> bool) {
        self.sweep(now);
        let key = StoredKey::from(key);
        if let Entry::Occupied(entry) = self.map.shard(&key).entry(key)
            && condition(&entry.get().claim)
        {
            if let Some(expiry) = entry.remove().expiry {
                self.queue.remove(expiry);
            }
            self.capacity.release(1);
        }
    }

    /// Returns a fencing token that is higher than all before it.
    fn next_fencing_token(&self, now: Timestamp) -> FencingToken {
        self.last_fencing_token.fetch_max(FencingToken::seed(now).0, Ordering::Relaxed);
        FencingToken(self.last_fencing_token.fetch_add(1, Ordering::Relaxed)).next()
    }

    /// Makes sure that the record is processed by the time at which it is removable. An expiry
    /// entry that is due earlier stays in place; processing it pushes the next one.
    fn reschedule(&self, key: &StoredKey, entry: &mut ClaimEntry) {
        let removable_at = entry.claim.removable_at(self.skew);
        let in_time = match (entry.expiry, removable_at) {
            (Some(expiry), Some(removable_at)) => expiry.due <= removable_at,
            (expiry, removable_at) => expiry.is_none() && removable_at.is_none(),
        };
        if !in_time {
            if let Some(expiry) = entry.expiry {
                self.queue.remove(expiry);
            }
            entry.expiry = removable_at.map(|due| self.queue.push(key.clone(), due));
        }
    }

    /// Removes a few records that may be removed.
    fn sweep(&self, now: Timestamp) {
        if !self.queue.is_due(now) {
            return;
        }
        for _ in 0..SCANS_PER_CALL {
            let Some(popped) = self.queue.try_pop(now) else { return };
            self.process(popped, now);
        }
    }

    /// Processes the next due record. Returns how many scans are left: none if no record is due, so
    /// that only capacity released by another thread can help.
    fn make_room(&self, now: Timestamp, scans_left: usize) -> usize {
        match self.queue.pop(now) {
            Some(popped) => self.process(popped, now),
            // Another thread may be about to remove a record.
            None if self.queue.has_in_flight() => yield_now(),
            None => return 0,
        }
        scans_left - 1
    }

    /// Removes the record of a popped expiry entry if it is removable. Otherwise pushes a new entry
    /// for it.
    fn process(&self, popped: Popped<'_, StoredKey>, now: Timestamp) {
        let mut shard = self.map.shard(&popped.key);
        // A newer record of this key has a newer expiry entry.
        let Some(entry) = shard.get_mut(&popped.key).filter(|entry| entry.expiry == Some(popped.entry))
        else {
            return;
        };
        let removable_at = entry.claim.removable_at(self.skew);
        if removable_at.is_some_and(|due| has_passed(due, now)) {
            shard.remove(&popped.key);
            self.capacity.release(1);
        } else {
            entry.expiry = removable_at.map(|due| self.queue.push(popped.key.clone(), due));
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::{ClaimKind, Key, MAX_CLOCK_SKEW};

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn every_record_that_expires_has_one_expiry_entry() {
        let claims = Claims::new(usize::MAX, MAX_CLOCK_SKEW);
        let keys: Vec<_> = (0..31_u64).map(|key| Key::from(key.to_string())).collect();
        let keys: Vec<_> =
            keys.iter().map(|key| ClaimKey::new("", ClaimKind::DoOnce, key).unwrap()).collect();
        let mut now = START;
        for round in 0..20_000_u64 {
            // The clock runs forward, and sometimes jumps by days in either direction.
            now = match round % 97 {
                0 => now.saturating_add(Duration::from_secs(2 * 86_400)),
                50 => now.saturating_sub(Duration::from_secs(86_400)),
                more => now.saturating_add(Duration::from_millis(more)),
            };
            let key = &keys[usize::try_from(round * 7 % 31).unwrap()];
            let owner = Owner((round % 3).into());
            let expires_at = now.saturating_add(Duration::from_secs(round % 5));
            match round % 11 {
                0 => claims.forget(key, now),
                1 | 2 => drop(claims.release(key, owner, now)),
                3 => drop(claims.renew(key, owner, expires_at, now)),
                // Earlier than the expiry entry is due.
                4 => {
                    let completion = Completion::new(owner).with_expiry(expires_at);
                    claims.finish(key, &completion, now);
                }
                // Without expiry.
                5 => drop(claims.finish(key, &Completion::new(owner), now)),
                _ => drop(claims.claim(key, &ClaimRequest::new(owner, expires_at), now).unwrap()),
            }
            let expires = |key| {
                let key = StoredKey::from(key);
                claims.map.shard(&key).get(&key).map(|entry| entry.expiry.is_some())
            };
            let entries: Vec<_> = keys.iter().filter_map(expires).collect();
            assert_eq!(claims.len(), entries.len(), "round {round}");
            let expire = entries.into_iter().filter(|expires| *expires).count();
            assert_eq!(claims.queue.len(), expire, "round {round}");
        }
    }

    #[test]
    fn fencing_tokens_follow_the_time_and_each_other() {
        let claims = Claims::new(usize::MAX, MAX_CLOCK_SKEW);
        let seed = FencingToken::seed(START);
        assert_eq!(claims.next_fencing_token(START), seed.next());
        assert_eq!(claims.next_fencing_token(START), seed.next().next());
        assert_eq!(claims.next_fencing_token(Timestamp::EPOCH), seed.next().next().next());
        let later = START.saturating_add(Duration::from_secs(1));
        assert_eq!(claims.next_fencing_token(later), FencingToken::seed(later).next());
    }
}
