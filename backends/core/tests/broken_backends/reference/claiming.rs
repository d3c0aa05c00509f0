//! How the reference stores and grants claims, and where that is broken.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimKind, ClaimRequest, FencingToken, Finished, Grant, InProgress,
    MAX_CLOCK_SKEW, Owner, Record, RequestHash, StoredResult, Timestamp, has_expired, has_passed,
    lapsed_claim_expires,
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
    fencing_token: FencingToken,
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
            (Some(ExpiresToTheNanosecond), Record::Finished(_)) => has_passed(expires, now),
            (Some(ExpiresASecondLate), _) => has_expired(expires.saturating_add(TICK), now),
            (Some(KeepsLapsedClaimsForEver), Record::InProgress(_)) => false,
            (Some(ExpiresWithTheLease), Record::InProgress(held)) => has_passed(held.expires_at, now),
            (Some(TakesTheEpochForNoTime), _) if expires == Timestamp::EPOCH => false,
            _ => has_expired(expires, now),
        }
    }

    fn lease_has_ended(&self, held: &InProgress, claimed: Timestamp, now: Timestamp) -> bool {
        let expires_at = held.expires_at;
        match self.defect {
            Some(NeverTakesOver) => false,
            Some(TakesOverATickEarly) => has_passed(expires_at.saturating_sub(TICK), now),
            Some(TakesOverATickLate) => has_passed(expires_at.saturating_add(TICK), now),
            Some(LeasesWholeSeconds) => expires_at.as_secs() <= now.as_secs(),
            Some(SaturatesLeases) => expires_at <= now,
            Some(TakesTheEpochForNoTime) if expires_at == Timestamp::EPOCH => false,
            Some(FreesClaimsOfTheFuture) if now < claimed => true,
            _ => has_passed(expires_at, now),
        }
    }

    /// Forgets keys that say nothing any more to any clock within the allowed skew of the latest.
    pub(super) fn forget_some_claims(&self, slots: &mut Slots, now: Timestamp) {
        self.latest.fetch_max(now.as_nanos(), Ordering::Relaxed);
        let latest = Timestamp::from_nanos(self.latest.load(Ordering::Relaxed));
        let earliest = match self.defect {
            Some(SweepsWhatHasExpired) => latest,
            _ => latest.saturating_sub(MAX_CLOCK_SKEW),
        };
        slots.retain(|_, slot| {
            let gone = match &slot.stored {
                Some(stored) => stored.expires.is_some_and(|expires| has_expired(expires, earliest)),
                None => slot.emptied <= earliest,
            };
            // What is granted next follows the time.
            let behind =
                slot.fencing_token <= FencingToken::seed(earliest) || self.has(SweepsFencesThatAreAhead);
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
    ) -> Result<Acquisition, BackendError> {
        let texts = [request.metadata.function_name, request.metadata.tenant, request.metadata.request];
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
    fn held(&self, stored: &Stored, request: &ClaimRequest<'_>, now: Timestamp) -> Option<Acquisition> {
        let taken = Acquisition::Held(stored.record.clone());
        match &stored.record {
            Record::InProgress(held) if held.owner == request.owner => match self.defect {
                Some(RefusesItsOwnClaim) => Some(taken),
                Some(GrantsRepeatedClaimsAnew) => None,
                Some(AnswersTheLeaseAskedFor) => Some(Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: request.expires_at,
                })),
                _ => Some(Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: held.expires_at,
                })),
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
                (!has_passed(lapsed, now)).then_some(taken)
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
    ) -> Acquisition {
        let is_there = before.is_some_and(|slot| slot.stored.is_some());
        let last = before.map(|slot| slot.fencing_token).filter(|_| match self.defect {
            Some(FencesFromTheTimeAlone) => false,
            Some(StartsFencesOver) => is_there,
            _ => true,
        });
        let seed = if self.has(StartsFencesOver) { FencingToken(0) } else { FencingToken::seed(now) };
        let repeated = before.is_some_and(|slot| slot.given_up == Some(request.owner));
        let fencing_token = match last {
            Some(last) if repeated && self.has(GrantsAgainWhatWasGivenUp) => last,
            _ => last.map_or(seed, |last| last.max(seed)).next(),
        };
        let old = before.and_then(|slot| slot.stored.as_ref());
        let request_hash = match self.defect {
            Some(KeepsTheOldFingerprint) => {
                old.and_then(|old| old.record.request_hash()).or(request.request_hash)
            }
            _ => request.request_hash,
        };
        let owner = match self.defect {
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(KeepsOwnersIn64Bits) => Owner(u128::from(request.owner.0 as u64)),
            _ => request.owner,
        };
        let expires_at = request.expires_at;
        let record = Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash });
        let expires = Some(lapsed_claim_expires(expires_at));
        let stored = Some(Stored { record, expires, claimed: now });
        slots.insert(id, Slot { fencing_token, stored, given_up: None, emptied: now });
        Acquisition::Acquired(Grant { fencing_token, expires_at })
    }

    /// What a backend answers that takes each repetition of a write for its own that was applied.
    fn presumed(&self, answer: Acquisition) -> Acquisition {
        match answer {
            Acquisition::Held(record) if self.has(PresumesThatRepetitionsWereApplied) => {
                let (Record::InProgress(InProgress { fencing_token, .. })
                | Record::Finished(Finished { fencing_token, .. })) = record;
                Acquisition::Acquired(Grant { fencing_token, expires_at: Timestamp::MAX })
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
        answer: &Acquisition,
    ) {
        let (Acquisition::Held(_), Some(slot)) = (answer, slots.get_mut(id)) else { return };
        let mut stored = stored.clone();
        match (self.defect, &mut stored.record) {
            (Some(RefusedClaimsMoveTheLease), Record::InProgress(held)) => {
                held.expires_at = held.expires_at.max(request.expires_at);
            }
            (Some(RefusedClaimsLeaveTheirFingerprint), Record::InProgress(held)) => {
                held.request_hash = request.request_hash;
            }
            (Some(RefusedClaimsPutOffTheExpiry), Record::Finished(_)) => {
                stored.expires = stored.expires.map(|expires| expires.max(request.expires_at));
            }
            _ => return,
        }
        slot.stored = Some(stored);
    }

    fn told(&self, answer: Acquisition) -> Acquisition {
        let Acquisition::Held(mut record) = answer else { return answer };
        match (self.defect, &mut record) {
            (Some(RefusesWithoutTheFingerprint), Record::InProgress(held)) => held.request_hash = None,
            (Some(RefusesWithAFingerprintOfZeros), Record::InProgress(held)) => {
                held.request_hash = held.request_hash.or(Some(RequestHash([0; 32])));
            }
            (Some(RefusesWithoutTheOutcome), Record::Finished(done)) => done.result = StoredResult::Nothing,
            _ => {}
        }
        Acquisition::Held(record)
    }
}
