//! The store of claims: records that leave by themselves, and a cap on how many there are.

mod claim;
mod expiry_queue;
mod key;
mod map;

use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimRequest, Completion, FencingToken, FinishResult, Grant,
    LeaseStatus, Owner, Record, Timestamp, has_passed,
};

use self::claim::Claim;
use self::expiry_queue::{ExpiryEntry, ExpiryQueue, Popped};
use self::key::StoredKey;
use self::map::Map;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, yield_now};

/// How many due tickets one operation looks at, at most: more than one operation can add, so that the queue drains.
const SCANS_PER_CALL: usize = 4;

/// How many tickets an operation looks at, at most, to make room for a new claim in a full store.
const SCANS_WHEN_FULL: usize = 256;

/// Fewer than the counters have: a claim comes with work that is worth doing only once.
const SHARDS: usize = 256;

/// One claimed key.
struct ClaimEntry {
    claim: Claim,
    /// `None` where the record never expires.
    expiry: Option<ExpiryEntry>,
}

/// The claims, apart from the counters: neither waits for the other, nor takes its places.
pub(crate) struct Claims {
    map: Map<StoredKey, ClaimEntry>,
    queue: ExpiryQueue<StoredKey>,
    /// Places taken: one for each entry.
    reserved: AtomicUsize,
    /// The number of the last grant of any key. One for all, so that it outlives every record.
    last_fencing_token: AtomicU64,
    max_claims: usize,
    skew: Duration,
}

impl Claims {
    pub(crate) fn new(max_claims: usize, skew: Duration) -> Self {
        Self {
            map: Map::with_shards(SHARDS),
            queue: ExpiryQueue::default(),
            reserved: AtomicUsize::new(0),
            last_fencing_token: AtomicU64::new(0),
            max_claims,
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    pub(crate) fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        self.sweep(now);
        let key = StoredKey::from(key);
        let mut scans_left = SCANS_WHEN_FULL;
        loop {
            let take_over = |entry: &mut ClaimEntry| {
                let claimed = entry.claim.claim(request, now, || self.next_fencing_token(now));
                self.reschedule(&key, entry);
                Some(claimed)
            };
            let insert = |key: &StoredKey| {
                if !self.reserve() {
                    return (None, None);
                }
                let fencing_token = self.next_fencing_token(now);
                let mut entry = ClaimEntry { claim: Claim::granted(request, fencing_token), expiry: None };
                self.reschedule(key, &mut entry);
                (
                    Some(entry),
                    Some(Acquisition::Acquired(Grant { fencing_token, expires_at: request.expires_at })),
                )
            };
            if let Some(claimed) = self.map.update_or_insert(key.clone(), take_over, insert) {
                return Ok(claimed);
            }
            if scans_left == 0 {
                return Err(BackendError::Full { max_keys: self.max_claims });
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
            status = claim.release(owner, now);
            status == LeaseStatus::Owned
        });
        status
    }

    pub(crate) fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
        self.sweep(now);
        self.map.read(&StoredKey::from(key), |entry| entry.claim.find(now).cloned()).flatten()
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
        self.map.update(&key, |entry| {
            let status = update(&mut entry.claim);
            self.reschedule(&key, entry);
            status
        })
    }

    fn remove_if(&self, key: &ClaimKey<'_>, now: Timestamp, condition: impl FnOnce(&Claim) -> bool) {
        self.sweep(now);
        self.map.remove_if(&StoredKey::from(key), |entry| {
            let expired = condition(&entry.claim);
            if expired {
                if let Some(expiry) = entry.expiry {
                    self.queue.remove(expiry);
                }
                self.release_one();
            }
            expired
        });
    }

    /// The number of a grant, higher than all before it.
    fn next_fencing_token(&self, now: Timestamp) -> FencingToken {
        self.last_fencing_token.fetch_max(FencingToken::seed(now).0, Ordering::Relaxed);
        FencingToken(self.last_fencing_token.fetch_add(1, Ordering::Relaxed)).next()
    }

    /// Sees to it that the entry is looked at by the time at which it is to be removed. A ticket that is due earlier
    /// stays where it is: who looks at it then issues another one.
    fn reschedule(&self, key: &StoredKey, entry: &mut ClaimEntry) {
        let due = entry.claim.removable_at(self.skew);
        let in_time = match (entry.expiry, due) {
            (Some(expiry), Some(due)) => expiry.due <= due,
            (expiry, due) => expiry.is_none() && due.is_none(),
        };
        if !in_time {
            if let Some(expiry) = entry.expiry {
                self.queue.remove(expiry);
            }
            entry.expiry = due.map(|due| self.queue.push(key.clone(), due));
        }
    }

    /// Removes a few of the records whose time has come.
    fn sweep(&self, now: Timestamp) {
        if !self.queue.is_due(now) {
            return;
        }
        for _ in 0..SCANS_PER_CALL {
            let Some(popped) = self.queue.try_pop(|expiry| has_passed(expiry.due, now)) else {
                return;
            };
            self.process(&popped, now);
        }
    }

    /// Takes one of the places that there are for claims.
    fn reserve(&self) -> bool {
        let more = |reserved: usize| (reserved < self.max_claims).then_some(reserved + 1);
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives the place of an entry back that is about to be removed: while it is still locked, so that who claims the same
    /// key right after finds a place.
    fn release_one(&self) {
        self.reserved.fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks at the next record whose time may have come. Tells how many looks are left: none where there is nothing
    /// more to look at, and only a place that somebody else gave back can help.
    fn make_room(&self, now: Timestamp, scans_left: usize) -> usize {
        match self.queue.pop(|expiry| has_passed(expiry.due, now)) {
            Some(popped) => self.process(&popped, now),
            // A record that somebody else is looking at may be about to leave.
            None if self.queue.has_in_flight() => yield_now(),
            None => return 0,
        }
        scans_left - 1
    }

    /// Removes the record of a popped ticket, if its time has come; else issues it a new ticket.
    fn process(&self, popped: &Popped<'_, StoredKey>, now: Timestamp) {
        self.map.remove_if(&popped.key, |entry| {
            if entry.expiry != Some(popped.entry) {
                // The record of this ticket is gone, or has another one by now.
                return false;
            }
            let due = entry.claim.removable_at(self.skew);
            let expired = due.is_some_and(|due| has_passed(due, now));
            if expired {
                self.release_one();
            } else {
                entry.expiry = due.map(|due| self.queue.push(popped.key.clone(), due));
            }
            expired
        });
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::{ClaimKind, Key, MAX_CLOCK_SKEW};

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn every_record_that_expires_has_one_ticket_whatever_happens_to_it() {
        let claims = Claims::new(usize::MAX, MAX_CLOCK_SKEW);
        let keys: Vec<_> = (0..31_u64).map(|key| Key::from(key.to_string())).collect();
        let keys: Vec<_> =
            keys.iter().map(|key| ClaimKey::new("", ClaimKind::DoOnce, key).unwrap()).collect();
        let mut now = START;
        for round in 0..20_000_u64 {
            // Up and down, now and then by days.
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
                // Sooner than the ticket is due, and for ever.
                4 => {
                    let completion = Completion { expires: Some(expires_at), ..Completion::new(owner) };
                    claims.finish(key, &completion, now);
                }
                5 => drop(claims.finish(key, &Completion::new(owner), now)),
                _ => drop(claims.claim(key, &ClaimRequest::new(owner, expires_at), now).unwrap()),
            }
            let entries = keys
                .iter()
                .filter_map(|key| claims.map.read(&StoredKey::from(key), |entry| entry.expiry.is_some()));
            let entries: Vec<_> = entries.collect();
            assert_eq!(claims.len(), entries.len(), "round {round}");
            let expire = entries.into_iter().filter(|has_ticket| *has_ticket).count();
            assert_eq!(claims.queue.len(), expire, "round {round}");
        }
    }

    #[test]
    fn numbers_of_grants_follow_the_time_and_each_other() {
        let claims = Claims::new(usize::MAX, MAX_CLOCK_SKEW);
        let seed = FencingToken::seed(START);
        assert_eq!(claims.next_fencing_token(START), seed.next());
        assert_eq!(claims.next_fencing_token(START), seed.next().next());
        assert_eq!(claims.next_fencing_token(Timestamp::EPOCH), seed.next().next().next());
        let later = START.saturating_add(Duration::from_secs(1));
        assert_eq!(claims.next_fencing_token(later), FencingToken::seed(later).next());
    }
}
