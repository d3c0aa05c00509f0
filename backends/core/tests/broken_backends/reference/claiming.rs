//! How the reference stores and grants claims, and where that is broken.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use limited_core::{
    ALLOWED_SKEW, BackendError, ClaimKey, ClaimKind, ClaimRequest, Claimed, Fence, Fingerprint, Finished,
    Grant, InProgress, Owner, Record, StoredResult, Timestamp, has_come, has_expired, lapsed_claim_expires,
};

use super::{Reference, give_way};
use crate::Defect::*;

const TICK: Duration = Duration::from_nanos(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClaimId {
    pub(super) namespace: String,
    pub(super) key: String,
    kind: Option<ClaimKind>,
    composed: bool,
}

/// What is kept of a key, also where there is nothing on it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The number of its last grant.
    fence: Fence,
    pub(super) stored: Option<Stored>,
    /// Who gave it up, where nobody has been granted it since.
    pub(super) given_up: Option<Owner>,
    /// When it was given up or forgotten.
    pub(super) emptied: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) expires: Option<Timestamp>,
    pub(super) claimed: Timestamp,
}

pub(super) type Slots = HashMap<ClaimId, Slot>;

/// # What is stored, and what of it is there
impl Reference {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim_id(&self, key: &ClaimKey<'_>) -> ClaimId {
        let (namespace, key_string) = self.names(key.namespace(), key.key());
        let kind = Some(key.kind()).filter(|_| !self.has(TakesKindsOfClaimForOne));
        let composed = self.has(TakesComposedKeysForOthers) && key.dimensions().is_some();
        ClaimId { namespace, key: key_string, kind, composed }
    }

    /// What is stored, where it has not expired.
    pub(super) fn there(&self, slot: Option<&Slot>, now: Timestamp) -> Option<Stored> {
        let stored = slot?.stored.as_ref()?;
        (!self.record_has_expired(stored, now)).then(|| stored.clone())
    }

    fn record_has_expired(&self, stored: &Stored, now: Timestamp) -> bool {
        let Some(expires) = stored.expires else { return false };
        match (self.defect, &stored.record) {
            (Some(ExpiresToTheNanosecond), Record::Finished(_)) => has_come(expires, now),
            (Some(ExpiresASecondLate), _) => has_expired(expires.saturating_add(TICK), now),
            (Some(KeepsLapsedClaimsForEver), Record::InProgress(_)) => false,
            (Some(ExpiresWithTheLease), Record::InProgress(held)) => has_come(held.until, now),
            (Some(TakesTheEpochForNoTime), _) if expires == Timestamp::EPOCH => false,
            _ => has_expired(expires, now),
        }
    }

    fn lease_has_ended(&self, held: &InProgress, claimed: Timestamp, now: Timestamp) -> bool {
        let until = held.until;
        match self.defect {
            Some(NeverTakesOver) => false,
            Some(TakesOverATickEarly) => has_come(until.saturating_sub(TICK), now),
            Some(TakesOverATickLate) => has_come(until.saturating_add(TICK), now),
            Some(LeasesWholeSeconds) => until.as_secs() <= now.as_secs(),
            Some(SaturatesLeases) => until <= now,
            Some(TakesTheEpochForNoTime) if until == Timestamp::EPOCH => false,
            Some(FreesClaimsOfTheFuture) if now < claimed => true,
            _ => has_come(until, now),
        }
    }

    /// Forgets keys that say nothing any more to any clock within the allowed skew of the latest.
    pub(super) fn forget_some_claims(&self, slots: &mut Slots, now: Timestamp) {
        self.latest.fetch_max(now.as_nanos(), Ordering::Relaxed);
        let latest = Timestamp::from_nanos(self.latest.load(Ordering::Relaxed));
        let earliest = match self.defect {
            Some(SweepsWhatHasExpired) => latest,
            _ => latest.saturating_sub(ALLOWED_SKEW),
        };
        slots.retain(|_, slot| {
            let gone = match &slot.stored {
                Some(stored) => stored.expires.is_some_and(|expires| has_expired(expires, earliest)),
                None => slot.emptied <= earliest,
            };
            // What is granted next follows the time.
            let behind = slot.fence <= Fence::seed(earliest) || self.has(SweepsFencesThatAreAhead);
            !(gone && behind && self.forgets)
        });
    }
}

/// # Granting
impl Reference {
    pub(super) fn take(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        repeated: bool,
    ) -> Result<Claimed, BackendError> {
        let texts = [request.details.function_name, request.details.tenant, request.details.request];
        if self.has(RefusesEmptyDetails) && texts.contains(&Some("")) {
            return Err(BackendError::invalid("an empty text"));
        }
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        self.forget_some_claims(&mut slots, now);
        let slot = slots.get(&id).cloned();
        let there = match self.defect {
            Some(ClaimsAsIfNothingExpired) => slot.as_ref().and_then(|slot| slot.stored.clone()),
            _ => self.there(slot.as_ref(), now),
        };
        if let Some(stored) = &there {
            if let Some(answer) = self.held(stored, request, now) {
                let answer = if repeated { self.presumed(answer) } else { answer };
                self.refuse_claim(&mut slots, &id, stored, request, &answer);
                return Ok(self.told(answer));
            }
        } else if slot.as_ref().is_some_and(|slot| slot.given_up == Some(request.owner))
            && !self.has(GrantsAgainWhatWasGivenUp)
        {
            return Err(BackendError::invalid("its owner gave it up"));
        }
        if self.has(ChecksThenClaims) {
            drop(slots);
            give_way();
            slots = self.slots();
        }
        Ok(self.grant(&mut slots, id, slot.as_ref(), request, now))
    }

    /// The answer to who asks for a key that is not free, or its own already.
    fn held(&self, stored: &Stored, request: &ClaimRequest<'_>, now: Timestamp) -> Option<Claimed> {
        let taken = Claimed::Taken(stored.record.clone());
        match &stored.record {
            Record::InProgress(held) if held.owner == request.owner => match self.defect {
                Some(RefusesItsOwnClaim) => Some(taken),
                Some(GrantsRepeatedClaimsAnew) => None,
                Some(AnswersTheLeaseAskedFor) => {
                    Some(Claimed::Granted(Grant { fence: held.fence, until: request.until }))
                }
                _ => Some(Claimed::Granted(Grant { fence: held.fence, until: held.until })),
            },
            Record::InProgress(held) if self.lease_has_ended(held, stored.claimed, now) => None,
            Record::Finished(finished)
                if finished.owner == request.owner && self.has(ReopensFinishedRecords) =>
            {
                None
            }
            // The end of the lease as it was claimed.
            Record::Finished(_) if self.has(TakesOverWhatIsFinished) => {
                let lapsed = stored.claimed.saturating_add(Duration::from_secs(30));
                (!has_come(lapsed, now)).then_some(taken)
            }
            _ => Some(taken),
        }
    }

    pub(super) fn grant(
        &self,
        slots: &mut Slots,
        id: ClaimId,
        before: Option<&Slot>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Claimed {
        let is_there = before.is_some_and(|slot| slot.stored.is_some());
        let last = before.map(|slot| slot.fence).filter(|_| match self.defect {
            Some(FencesFromTheTimeAlone) => false,
            Some(StartsFencesOver) => is_there,
            _ => true,
        });
        let seed = if self.has(StartsFencesOver) { Fence(0) } else { Fence::seed(now) };
        let repeated = before.is_some_and(|slot| slot.given_up == Some(request.owner));
        let fence = match last {
            Some(last) if repeated && self.has(GrantsAgainWhatWasGivenUp) => last,
            _ => last.map_or(seed, |last| last.max(seed)).next(),
        };
        let old = before.and_then(|slot| slot.stored.as_ref());
        let fingerprint = match self.defect {
            Some(KeepsTheOldFingerprint) => {
                old.and_then(|old| old.record.fingerprint()).or(request.fingerprint)
            }
            _ => request.fingerprint,
        };
        let owner = match self.defect {
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(KeepsOwnersIn64Bits) => Owner(u128::from(request.owner.0 as u64)),
            _ => request.owner,
        };
        let until = request.until;
        let record = Record::InProgress(InProgress { owner, fence, until, fingerprint });
        let expires = Some(lapsed_claim_expires(until));
        let stored = Some(Stored { record, expires, claimed: now });
        slots.insert(id, Slot { fence, stored, given_up: None, emptied: now });
        Claimed::Granted(Grant { fence, until })
    }

    /// What a backend answers that takes each repetition of a write for its own that was applied.
    fn presumed(&self, answer: Claimed) -> Claimed {
        match answer {
            Claimed::Taken(record) if self.has(PresumesThatRepetitionsWereApplied) => {
                let (Record::InProgress(InProgress { fence, .. }) | Record::Finished(Finished { fence, .. })) =
                    record;
                Claimed::Granted(Grant { fence, until: Timestamp::MAX })
            }
            answer => answer,
        }
    }

    /// A refused claim changes nothing, in a backend without these defects.
    fn refuse_claim(
        &self,
        slots: &mut Slots,
        id: &ClaimId,
        stored: &Stored,
        request: &ClaimRequest<'_>,
        answer: &Claimed,
    ) {
        let (Claimed::Taken(_), Some(slot)) = (answer, slots.get_mut(id)) else { return };
        let mut stored = stored.clone();
        match (self.defect, &mut stored.record) {
            (Some(RefusedClaimsMoveTheLease), Record::InProgress(held)) => {
                held.until = held.until.max(request.until);
            }
            (Some(RefusedClaimsLeaveTheirFingerprint), Record::InProgress(held)) => {
                held.fingerprint = request.fingerprint;
            }
            (Some(RefusedClaimsPutOffTheExpiry), Record::Finished(_)) => {
                stored.expires = stored.expires.map(|expires| expires.max(request.until));
            }
            _ => return,
        }
        slot.stored = Some(stored);
    }

    fn told(&self, answer: Claimed) -> Claimed {
        let Claimed::Taken(mut record) = answer else { return answer };
        match (self.defect, &mut record) {
            (Some(RefusesWithoutTheFingerprint), Record::InProgress(held)) => held.fingerprint = None,
            (Some(RefusesWithAFingerprintOfZeros), Record::InProgress(held)) => {
                held.fingerprint = held.fingerprint.or(Some(Fingerprint([0; 32])));
            }
            (Some(RefusesWithoutTheOutcome), Record::Finished(done)) => done.result = StoredResult::Nothing,
            _ => {}
        }
        Claimed::Taken(record)
    }
}
