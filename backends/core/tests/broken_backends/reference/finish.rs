//! `finish`, `renew`, `release`, `find` and `forget`, and the defects of each.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    BackendError, ClaimKey, Completion, FinishResult, Finished, InProgress, LeaseStatus, Owner, Record,
    Result, StoredResult, Timestamp, has_passed, lapsed_claim_expires,
};

use super::acquire::{Slots, Stored};
use super::{Reference, yield_to_others};
use crate::Defect::{self, *};

/// # Operations of the owner
impl Reference {
    pub(super) fn finish_claim(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
        repeated: bool,
    ) -> FinishResult {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let live = self.live_record(slots.get(&id), now);
        let Some((mut stored, held)) = self.owned(live.as_ref(), completion.owner, now, FinishesForAnyOwner)
        else {
            return self.finish_unheld(&mut slots, key, completion, live, now, repeated);
        };
        if self.has(ChecksThenEnds) {
            drop(slots);
            yield_to_others();
            slots = self.slots();
        }
        let result = self.stored_result(&completion.result);
        stored.expires = match self.defect {
            Some(KeepsTheExpiryOfTheClaim) => completion.expires.or(stored.expires),
            _ => completion.expires,
        };
        stored.record = Record::Finished(Finished {
            owner: completion.owner,
            fencing_token: held.fencing_token,
            at: match self.defect {
                Some(FinishesInWholeSeconds) => Timestamp::from_secs(now.as_secs()),
                _ => now,
            },
            result,
            status_code: completion
                .status_code
                .filter(|code| *code > 0 || !self.has(TreatsStatusCodeZeroAsNone)),
            request_hash: held.request_hash,
        });
        self.store(&mut slots, key, stored);
        FinishResult::Stored
    }

    pub(super) fn renew_lease(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> LeaseStatus {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let live = self.live_record(slots.get(&id), now);
        let Some((mut stored, mut held)) = self.owned(live.as_ref(), owner, now, RenewsForAnyOwner) else {
            return match live {
                Some(stored) if is_finished_by(owner, &stored) && self.has(RenewsFinishedRecords) => {
                    LeaseStatus::Owned
                }
                live => LeaseStatus::Lost(self.reported(live)),
            };
        };
        if expires_at <= held.expires_at && self.has(RenewsOnlyToALaterEnd) {
            return LeaseStatus::Lost(Some(stored.record));
        }
        if self.has(ChecksThenEnds) {
            drop(slots);
            yield_to_others();
            slots = self.slots();
        }
        held.expires_at = match self.defect {
            Some(NeverRenews) => held.expires_at,
            Some(ShortensLeases) => expires_at,
            _ => held.expires_at.max(expires_at),
        };
        if !self.has(RenewsWithoutTheExpiry) {
            stored.expires = Some(lapsed_claim_expires(held.expires_at));
        }
        stored.record = Record::InProgress(held);
        self.store(&mut slots, key, stored);
        LeaseStatus::Owned
    }

    pub(super) fn release_claim(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> LeaseStatus {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let live = self.live_record(slots.get(&id), now);
        let owns = self.owned(live.as_ref(), owner, now, ReleasesForAnyOwner).is_some();
        match live {
            _ if owns && self.has(NeverReleases) => return LeaseStatus::Owned,
            _ if owns => {}
            Some(stored) if is_finished_by(owner, &stored) && self.has(ReleasesFinishedRecords) => {}
            live => return LeaseStatus::Lost(self.reported(live)),
        }
        if self.has(ChecksThenEnds) {
            drop(slots);
            yield_to_others();
            slots = self.slots();
        }
        self.delete_record(&mut slots, key, Some(owner), now);
        LeaseStatus::Owned
    }

    /// Returns the result of `finish` by an owner that does not hold the key, but may have finished
    /// it.
    fn finish_unheld(
        &self,
        slots: &mut Slots,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        live: Option<Stored>,
        now: Timestamp,
        repeated: bool,
    ) -> FinishResult {
        let is_own = live.as_ref().is_some_and(|stored| is_finished_by(completion.owner, stored));
        match (self.defect, live) {
            (Some(ReportsARepeatedFinishAsLost), live) => FinishResult::Lost(self.reported(live)),
            (Some(FinishesTwice), Some(mut stored)) if is_own => {
                if let Record::Finished(finished) = &mut stored.record {
                    finished.at = now;
                }
                self.store(slots, key, stored);
                FinishResult::Stored
            }
            (Some(FinishesAbsentClaims), None) => {
                self.put(slots, key, completion, now);
                FinishResult::Stored
            }
            (Some(PresumesRepetitionsWereApplied), _) if repeated => FinishResult::Stored,
            _ if is_own => FinishResult::Stored,
            (_, live) => FinishResult::Lost(self.reported(live)),
        }
    }

    /// Returns the record, if this owner holds it.
    fn owned(
        &self,
        live: Option<&Stored>,
        owner: Owner,
        now: Timestamp,
        for_any_owner: Defect,
    ) -> Option<(Stored, InProgress)> {
        let stored = live?;
        let Record::InProgress(held) = &stored.record else { return None };
        let lost = self.has(LosesLapsedClaims) && has_passed(held.expires_at, now);
        let owns = self.is_same_owner(held.owner, owner) || self.has(for_any_owner);
        (owns && !lost).then(|| (stored.clone(), held.clone()))
    }

    fn is_same_owner(&self, held: Owner, owner: Owner) -> bool {
        match self.defect {
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(ComparesOwnersIn64Bits) => held.0 as u64 == owner.0 as u64,
            _ => held == owner,
        }
    }

    fn reported(&self, live: Option<Stored>) -> Option<Record> {
        live.map(|stored| stored.record).filter(|_| !self.has(ReportsALossWithoutTheRecord))
    }

    fn stored_result(&self, result: &StoredResult) -> StoredResult {
        match (self.defect, result) {
            (Some(ReformatsJson), StoredResult::Value(json)) => {
                StoredResult::Value(json.split_whitespace().collect::<Vec<_>>().join(" ").into())
            }
            (Some(TreatsEmptyResultsAsNothing), StoredResult::Value(json)) if **json == *"\"\"" => {
                StoredResult::Nothing
            }
            (Some(StoresErrorsAsValues), StoredResult::Error(json)) => StoredResult::Value(Arc::clone(json)),
            (Some(TruncatesResults), StoredResult::Value(json)) => {
                StoredResult::Value(json.chars().take(65_535).collect::<String>().into())
            }
            _ => result.clone(),
        }
    }
}

/// # Operations without an owner
impl Reference {
    pub(super) fn find_record(&self, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        self.forget_some_claims(&mut slots, now);
        let stored = slots.get(&id).and_then(|slot| slot.stored.clone());
        let live = self.live_record(slots.get(&id), now);
        if live.is_none() && self.has(DeletesExpiredRecordsOnRead) {
            slots.remove(&id);
        }
        let found = if self.has(FindsExpiredRecords) { stored } else { live };
        found.map(|stored| stored.record).filter(|record| match record {
            Record::InProgress(held) => !(self.has(HidesLapsedClaims) && has_passed(held.expires_at, now)),
            Record::Finished(_) => true,
        })
    }

    pub(super) fn forget_record(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let live = self.live_record(slots.get(&id), now);
        match (self.defect, live.map(|stored| stored.record)) {
            (Some(LacksForget), _) => return Err(BackendError::unsupported("forget")),
            (Some(NeverForgets), _) => {}
            (Some(ForgetsOnlyFinishedRecords), Some(Record::InProgress(_))) => {}
            (Some(CannotForgetAbsentRecords), None) => {
                return Err(BackendError::Other("the claim is absent".into()));
            }
            (Some(ForgetsTheFencingToken), _) => drop(slots.remove(&id)),
            (Some(ForgetsEveryClaimOfTheKey), _) => {
                slots.retain(|other, _| (&other.namespace, &other.key) != (&id.namespace, &id.key));
            }
            (Some(ForgetsCountersToo), _) => {
                let same = |namespace: &str, key: &str| namespace == id.namespace && key == id.key;
                self.states().retain(|counter, _| !same(&counter.namespace, &counter.key));
                self.delete_record(&mut slots, key, None, now);
            }
            _ => self.delete_record(&mut slots, key, None, now),
        }
        Ok(())
    }

    fn store(&self, slots: &mut Slots, key: &ClaimKey<'_>, stored: Stored) {
        if let Some(slot) = slots.get_mut(&self.claim_id(key)) {
            slot.stored = Some(stored);
        }
    }

    /// Deletes the record, and keeps the fencing token.
    fn delete_record(
        &self,
        slots: &mut Slots,
        key: &ClaimKey<'_>,
        released_by: Option<Owner>,
        now: Timestamp,
    ) {
        if let Some(slot) = slots.get_mut(&self.claim_id(key)) {
            slot.stored = None;
            slot.released_by = released_by;
            slot.emptied_at = now;
        }
    }

    /// Writes without a condition: creates the record if there is none.
    fn put(&self, slots: &mut Slots, key: &ClaimKey<'_>, completion: &Completion<'_>, now: Timestamp) {
        let request =
            limited_core::ClaimRequest::new(completion.owner, now.saturating_add(Duration::from_secs(30)));
        let id = self.claim_id(key);
        let before = slots.get(&id).cloned();
        self.acquire(slots, id, before.as_ref(), &request, now);
    }
}

fn is_finished_by(owner: Owner, stored: &Stored) -> bool {
    matches!(&stored.record, Record::Finished(finished) if finished.owner == owner)
}
