//! How the reference finishes, renews, releases, finds and forgets claims, and where that is broken.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    BackendError, ClaimKey, Completion, FinishResult, Finished, InProgress, LeaseStatus, Owner, Record,
    StoredResult, Timestamp, has_passed, lapsed_claim_expires,
};

use super::claiming::{Slots, Stored};
use super::{Reference, give_way};
use crate::Defect::{self, *};

/// # What its owner does
impl Reference {
    pub(super) fn complete(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
        repeated: bool,
    ) -> FinishResult {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let there = self.there(slots.get(&id), now);
        let Some((mut stored, held)) = self.owned(there.as_ref(), completion.owner, now, FinishesForAnybody)
        else {
            return self.not_finished(&mut slots, key, completion, there, now, repeated);
        };
        if self.has(ChecksThenEnds) {
            drop(slots);
            give_way();
            slots = self.slots();
        }
        let result = self.kept(&completion.result);
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
                .filter(|code| *code > 0 || !self.has(TakesZeroForNoStatusCode)),
            request_hash: held.request_hash,
        });
        self.store(&mut slots, key, stored);
        FinishResult::Stored
    }

    pub(super) fn prolong(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> LeaseStatus {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let there = self.there(slots.get(&id), now);
        let Some((mut stored, mut held)) = self.owned(there.as_ref(), owner, now, RenewsForAnybody) else {
            return match there {
                Some(stored) if is_finished_by(owner, &stored) && self.has(RenewsWhatIsFinished) => {
                    LeaseStatus::Owned
                }
                there => LeaseStatus::Lost(self.instead(there)),
            };
        };
        if expires_at <= held.expires_at && self.has(RenewsOnlyFurther) {
            return LeaseStatus::Lost(Some(stored.record));
        }
        if self.has(ChecksThenEnds) {
            drop(slots);
            give_way();
            slots = self.slots();
        }
        held.expires_at = match self.defect {
            Some(NeverRenews) => held.expires_at,
            Some(MovesLeasesBack) => expires_at,
            _ => held.expires_at.max(expires_at),
        };
        if !self.has(RenewsWithoutTheExpiry) {
            stored.expires = Some(lapsed_claim_expires(held.expires_at));
        }
        stored.record = Record::InProgress(held);
        self.store(&mut slots, key, stored);
        LeaseStatus::Owned
    }

    pub(super) fn give_up(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> LeaseStatus {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let there = self.there(slots.get(&id), now);
        let owns = self.owned(there.as_ref(), owner, now, ReleasesForAnybody).is_some();
        match there {
            _ if owns && self.has(NeverReleases) => return LeaseStatus::Owned,
            _ if owns => {}
            Some(stored) if is_finished_by(owner, &stored) && self.has(ReleasesWhatIsFinished) => {}
            there => return LeaseStatus::Lost(self.instead(there)),
        }
        if self.has(ChecksThenEnds) {
            drop(slots);
            give_way();
            slots = self.slots();
        }
        self.empty(&mut slots, key, Some(owner), now);
        LeaseStatus::Owned
    }

    /// The answer to who does not hold what is to be finished, but may have finished it.
    fn not_finished(
        &self,
        slots: &mut Slots,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        there: Option<Stored>,
        now: Timestamp,
        repeated: bool,
    ) -> FinishResult {
        let is_own = there.as_ref().is_some_and(|stored| is_finished_by(completion.owner, stored));
        match (self.defect, there) {
            (Some(TakesItsOwnFinishForALoss), there) => FinishResult::Lost(self.instead(there)),
            (Some(FinishesTwice), Some(mut stored)) if is_own => {
                if let Record::Finished(finished) = &mut stored.record {
                    finished.at = now;
                }
                self.store(slots, key, stored);
                FinishResult::Stored
            }
            (Some(FinishesWhatIsNotThere), None) => {
                self.put(slots, key, completion, now);
                FinishResult::Stored
            }
            (Some(PresumesThatRepetitionsWereApplied), _) if repeated => FinishResult::Stored,
            _ if is_own => FinishResult::Stored,
            (_, there) => FinishResult::Lost(self.instead(there)),
        }
    }

    /// What this owner holds.
    fn owned(
        &self,
        there: Option<&Stored>,
        owner: Owner,
        now: Timestamp,
        for_anybody: Defect,
    ) -> Option<(Stored, InProgress)> {
        let stored = there?;
        let Record::InProgress(held) = &stored.record else { return None };
        let lost = self.has(LosesWhatHasLapsed) && has_passed(held.expires_at, now);
        let owns = self.is(held.owner, owner) || self.has(for_anybody);
        (owns && !lost).then(|| (stored.clone(), held.clone()))
    }

    fn is(&self, held: Owner, asks: Owner) -> bool {
        match self.defect {
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(ComparesOwnersIn64Bits) => held.0 as u64 == asks.0 as u64,
            _ => held == asks,
        }
    }

    fn instead(&self, there: Option<Stored>) -> Option<Record> {
        there.map(|stored| stored.record).filter(|_| !self.has(LosesWithoutTheRecord))
    }

    fn kept(&self, result: &StoredResult) -> StoredResult {
        match (self.defect, result) {
            (Some(WritesJsonAnew), StoredResult::Value(json)) => {
                StoredResult::Value(json.split_whitespace().collect::<Vec<_>>().join(" ").into())
            }
            (Some(TakesEmptyTextsForNothing), StoredResult::Value(json)) if **json == *"\"\"" => {
                StoredResult::Nothing
            }
            (Some(TakesErrorsForValues), StoredResult::Error(json)) => StoredResult::Value(Arc::clone(json)),
            (Some(CutsResults), StoredResult::Value(json)) => {
                StoredResult::Value(json.chars().take(65_535).collect::<String>().into())
            }
            _ => result.clone(),
        }
    }
}

/// # What anybody does
impl Reference {
    pub(super) fn look(&self, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        self.forget_some_claims(&mut slots, now);
        let stored = slots.get(&id).and_then(|slot| slot.stored.clone());
        let there = self.there(slots.get(&id), now);
        if there.is_none() && self.has(DeletesClaimsThatItReadsAsExpired) {
            slots.remove(&id);
        }
        let found = if self.has(FindsWhatHasExpired) { stored } else { there };
        found.map(|stored| stored.record).filter(|record| match record {
            Record::InProgress(held) => {
                !(self.has(FindsNothingThatHasLapsed) && has_passed(held.expires_at, now))
            }
            Record::Finished(_) => true,
        })
    }

    pub(super) fn remove(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        let there = self.there(slots.get(&id), now);
        match (self.defect, there.map(|stored| stored.record)) {
            (Some(LacksForget), _) => return Err(BackendError::unsupported("forget")),
            (Some(NeverForgets), _) => {}
            (Some(ForgetsOnlyWhatIsFinished), Some(Record::InProgress(_))) => {}
            (Some(CannotForgetWhatIsAbsent), None) => {
                return Err(BackendError::Other("there is no such claim".into()));
            }
            (Some(ForgetsTheFenceToo), _) => drop(slots.remove(&id)),
            (Some(ForgetsEveryClaimOfTheKey), _) => {
                slots.retain(|other, _| (&other.namespace, &other.key) != (&id.namespace, &id.key));
            }
            (Some(ForgetsCountersToo), _) => {
                let same = |namespace: &str, key: &str| namespace == id.namespace && key == id.key;
                self.states().retain(|counter, _| !same(&counter.namespace, &counter.key));
                self.empty(&mut slots, key, None, now);
            }
            _ => self.empty(&mut slots, key, None, now),
        }
        Ok(())
    }

    fn store(&self, slots: &mut Slots, key: &ClaimKey<'_>, stored: Stored) {
        if let Some(slot) = slots.get_mut(&self.claim_id(key)) {
            slot.stored = Some(stored);
        }
    }

    /// Leaves nothing on the key but what it takes to grant it again.
    fn empty(&self, slots: &mut Slots, key: &ClaimKey<'_>, given_up: Option<Owner>, now: Timestamp) {
        if let Some(slot) = slots.get_mut(&self.claim_id(key)) {
            slot.stored = None;
            slot.given_up = given_up;
            slot.emptied = now;
        }
    }

    /// As a write does that has no condition: it makes what it does not find.
    fn put(&self, slots: &mut Slots, key: &ClaimKey<'_>, completion: &Completion<'_>, now: Timestamp) {
        let request =
            limited_core::ClaimRequest::new(completion.owner, now.saturating_add(Duration::from_secs(30)));
        let id = self.claim_id(key);
        let before = slots.get(&id).cloned();
        self.grant(slots, id, before.as_ref(), &request, now);
    }
}

fn is_finished_by(owner: Owner, stored: &Stored) -> bool {
    matches!(&stored.record, Record::Finished(finished) if finished.owner == owner)
}
