//! The store of claims: records that expire, within a maximum number and size.

mod budget;
mod callers;
mod claim;
mod index;
mod queue;
mod records;
mod schedule;
mod shard;

use std::time::Duration;

use limited_core::{
    Acquisition, ClaimKey, ClaimRequest, Completion, FencingToken, FinishResult, Grant, LeaseStatus, Owner,
    Record, Result, Timestamp, has_passed,
};

pub(crate) use self::budget::ClaimLimits;
use self::budget::{Budget, Shortage};
use self::claim::Claim;
use self::schedule::Schedule;
use self::shard::{Phase, Shard};
use crate::fingerprint::{Fingerprint, Secret};
use crate::random;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock};

/// Number of shards. Fewer than for counters, because a claim comes with work that takes far
/// longer. The scheduler explores one shard, where operations meet most often.
const SHARDS: usize = if cfg!(all(test, shuttle)) { 1 } else { 256 };

/// Maximum number of due steps that one operation takes. One operation adds fewer, so the queues
/// drain.
const STEPS_PER_CALL: usize = 4;

/// Maximum number of steps that one operation takes to make room in a full store.
const STEPS_WHEN_FULL: usize = 256;

pub(crate) struct Claims {
    secret: Secret,
    shards: Box<[Mutex<Shard>]>,
    schedule: Schedule,
    budget: Budget,
    /// The fencing token of the last grant of any key. One for all keys, so that it outlives each
    /// record.
    last_fencing_token: AtomicU64,
    /// Number of lapsed claims that were removed before their expiry.
    evicted: AtomicU64,
    /// Number of results that were not stored.
    omitted: AtomicU64,
    skew: Duration,
}

impl Claims {
    pub(crate) fn new(limits: ClaimLimits, skew: Duration) -> Self {
        Self {
            secret: Secret::new(random::numbers()),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            schedule: Schedule::new(SHARDS),
            budget: Budget::new(limits),
            last_fencing_token: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            omitted: AtomicU64::new(0),
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.budget.records()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.budget.bytes()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn omitted(&self) -> u64 {
        self.omitted.load(Ordering::Relaxed)
    }

    pub(crate) fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        self.sweep(now);
        let fingerprint = self.secret.claim_fingerprint(key);
        let caller = self.budget.callers().identify(&self.secret, key);
        let mut steps_left = STEPS_WHEN_FULL;
        loop {
            let mut shard = self.shard(fingerprint);
            let known = shard.find(fingerprint);
            if let Some(held) = known.and_then(|(_, entry)| entry.claim.held(request.owner, now)) {
                return Ok(held);
            }
            let room = match known.map(|(_, entry)| (entry.phase(), entry.claim.result_len())) {
                None => self.budget.reserve_record(caller),
                // A lapsed claim is not counted for its caller.
                Some((Phase::Lapsed, _)) if !self.budget.callers().try_add(caller) => Err(Shortage::Caller),
                Some((_, result_len)) => {
                    self.budget.release_result(result_len);
                    Ok(())
                }
            };
            if let Err(shortage) = room {
                drop(shard);
                if steps_left == 0 {
                    return Err(self.budget.error(shortage));
                }
                steps_left = self.make_room(shortage, now, steps_left);
                continue;
            }
            let fencing_token = self.next_fencing_token(now);
            let granted = Claim::granted(request, fencing_token);
            match known.map(|(position, _)| position) {
                None => shard.insert(fingerprint, granted, caller),
                Some(position) => {
                    shard.update(position, Phase::InProgress, |claim| *claim = granted);
                }
            }
            self.schedule(fingerprint, &shard);
            return Ok(Acquisition::Acquired(Grant { fencing_token, expires_at: request.expires_at }));
        }
    }

    pub(crate) fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> FinishResult {
        self.sweep(now);
        let fingerprint = self.secret.claim_fingerprint(key);
        let mut omitted = self.budget.never_fits(&completion.result);
        let mut steps_left = STEPS_WHEN_FULL;
        loop {
            let mut shard = self.shard(fingerprint);
            let Some((position, entry)) = shard.find(fingerprint) else { return FinishResult::Lost(None) };
            if let Some(result) = entry.claim.finished(completion.owner, now) {
                return result;
            }
            if omitted.is_none() && !self.budget.reserve_result(&completion.result) {
                // The action has run, so the record is finished in any case. A claim that has
                // lapsed is finished at once: making room could evict it.
                if steps_left == 0 || has_passed(entry.claim.lapses_at(self.skew), now) {
                    omitted = Some(self.budget.no_room());
                } else {
                    drop(shard);
                    steps_left = self.make_room(Shortage::Store, now, steps_left);
                }
                continue;
            }
            if entry.phase() == Phase::Lapsed {
                self.budget.callers().add(entry.caller);
            }
            if omitted.is_some() {
                self.omitted.fetch_add(1, Ordering::Relaxed);
            }
            let result =
                shard.update(position, Phase::Finished, |claim| claim.finish(completion, omitted, now));
            self.schedule(fingerprint, &shard);
            return result.unwrap_or(FinishResult::Lost(None));
        }
    }

    pub(crate) fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> LeaseStatus {
        self.sweep(now);
        let fingerprint = self.secret.claim_fingerprint(key);
        let mut shard = self.shard(fingerprint);
        let Some((position, entry)) = shard.find(fingerprint) else { return LeaseStatus::Lost(None) };
        let status = entry.claim.lease_status(owner, now);
        if status != LeaseStatus::Owned {
            return status;
        }
        if entry.phase() == Phase::Lapsed {
            self.budget.callers().add(entry.caller);
        }
        shard.update(position, Phase::InProgress, |claim| claim.renew(expires_at));
        self.schedule(fingerprint, &shard);
        status
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
        let fingerprint = self.secret.claim_fingerprint(key);
        let shard = self.shard(fingerprint);
        shard.find(fingerprint)?.1.claim.find(now)
    }

    pub(crate) fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) {
        self.remove_if(key, now, |_| true);
    }

    fn remove_if(&self, key: &ClaimKey<'_>, now: Timestamp, condition: impl FnOnce(&Claim) -> bool) {
        self.sweep(now);
        let fingerprint = self.secret.claim_fingerprint(key);
        let mut shard = self.shard(fingerprint);
        if let Some((position, entry)) = shard.find(fingerprint)
            && condition(&entry.claim)
        {
            self.remove(&mut shard, position);
            self.schedule(fingerprint, &shard);
        }
    }

    /// Returns a fencing token that is higher than all before it.
    fn next_fencing_token(&self, now: Timestamp) -> FencingToken {
        self.last_fencing_token.fetch_max(FencingToken::seed(now).0, Ordering::Relaxed);
        FencingToken(self.last_fencing_token.fetch_add(1, Ordering::Relaxed)).next()
    }
}

/// # Removal
///
/// Each record has at most two steps without its users: it lapses, and it is removed. The lock of
/// at most one shard is held at a time.
impl Claims {
    /// Takes a few steps that are due.
    fn sweep(&self, now: Timestamp) {
        let mut steps_left = STEPS_PER_CALL;
        while steps_left > 0 && self.schedule.is_due(now) {
            let Some(index) = self.schedule.next_due(now) else { return };
            // Another thread that holds the lock may be sweeping the shard.
            let Some(mut shard) = self.shards.get(index).and_then(|shard| shard.try_lock().ok()) else {
                return;
            };
            while steps_left > 0 && self.step(&mut shard, now) {
                steps_left -= 1;
            }
            self.schedule.update(index, &shard, self.skew);
        }
    }

    /// Takes a step that may make room. Returns how many steps are left: none if nothing makes
    /// room, so that only capacity released by another thread can help.
    fn make_room(&self, shortage: Shortage, now: Timestamp, steps_left: usize) -> usize {
        if let Some((index, mut shard)) = self.schedule.next_due(now).and_then(|index| self.locked(index)) {
            self.step(&mut shard, now);
            self.schedule.update(index, &shard, self.skew);
        } else if shortage == Shortage::Caller || !self.evict_lapsed(now) {
            return 0;
        }
        steps_left - 1
    }

    /// Takes the next step of a shard, if it is due. Returns whether it was.
    fn step(&self, shard: &mut Shard, now: Timestamp) -> bool {
        let Some((position, entry)) = shard.first_due(self.skew, now) else { return false };
        if has_passed(entry.claim.removable_at(self.skew), now) {
            self.remove(shard, position);
        } else {
            self.budget.callers().remove(entry.caller);
            shard.update(position, Phase::Lapsed, |_| ());
        }
        true
    }

    /// Removes the claim whose lease ended first. Returns whether there is a claim whose lease has
    /// ended, also for a clock that jumps back by the skew.
    fn evict_lapsed(&self, now: Timestamp) -> bool {
        let has_lapsed = |lease: Timestamp| has_passed(lease.saturating_add(self.skew), now);
        let first = self.schedule.first_lapsed().filter(|(lease, _)| has_lapsed(*lease));
        let Some((index, mut shard)) = first.and_then(|(_, index)| self.locked(index)) else { return false };
        // Another thread may have changed the shard meanwhile.
        let first = shard.first_lapsed().filter(|(_, entry)| has_lapsed(entry.claim.deadline()));
        if let Some((position, _)) = first {
            self.remove(&mut shard, position);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        self.schedule.update(index, &shard, self.skew);
        true
    }

    fn remove(&self, shard: &mut Shard, position: usize) {
        if let Some(removed) = shard.remove(position) {
            let caller = removed.caller.filter(|_| removed.phase() != Phase::Lapsed);
            self.budget.release_record(caller, removed.claim.result_len());
        }
    }

    /// Locks the shard of a record.
    fn shard(&self, fingerprint: Fingerprint) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_of(fingerprint)])
    }

    fn locked(&self, index: usize) -> Option<(usize, MutexGuard<'_, Shard>)> {
        self.shards.get(index).map(|shard| (index, lock(shard)))
    }

    /// Publishes when the locked shard has something to do.
    fn schedule(&self, fingerprint: Fingerprint, shard: &Shard) {
        self.schedule.update(shard_of(fingerprint), shard, self.skew);
    }
}

/// Returns the shard of a record. The index of a shard uses the upper bits of the hash, so that no
/// bit of it decides both.
#[expect(clippy::cast_possible_truncation, reason = "below the number of shards")]
const fn shard_of(fingerprint: Fingerprint) -> usize {
    fingerprint.hash as usize % SHARDS
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::{ClaimKind, Key, MAX_CLOCK_SKEW};

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn records_index_queues_and_schedule_agree() {
        let claims = Claims::new(ClaimLimits::NONE, MAX_CLOCK_SKEW);
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
            let records = claims.shards.iter().map(|shard| lock(shard).check()).sum::<usize>();
            assert_eq!(claims.len(), records, "round {round}");
            let first = claims.shards.iter().map(|shard| lock(shard).next_due(MAX_CLOCK_SKEW)).min();
            let scheduled = claims.schedule.next_due(Timestamp::EPOCH);
            assert_eq!(scheduled, None);
            assert_eq!(
                claims.schedule.is_due(first.unwrap()),
                first != Some(Timestamp::MAX),
                "round {round}"
            );
        }
    }

    #[test]
    fn fencing_tokens_follow_the_time_and_each_other() {
        let claims = Claims::new(ClaimLimits::NONE, MAX_CLOCK_SKEW);
        let seed = FencingToken::seed(START);
        assert_eq!(claims.next_fencing_token(START), seed.next());
        assert_eq!(claims.next_fencing_token(START), seed.next().next());
        assert_eq!(claims.next_fencing_token(Timestamp::EPOCH), seed.next().next().next());
        let later = START.saturating_add(Duration::from_secs(1));
        assert_eq!(claims.next_fencing_token(later), FencingToken::seed(later).next());
    }
}
