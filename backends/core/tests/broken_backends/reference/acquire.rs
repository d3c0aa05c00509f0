//! Storage and acquisition of claims, and the defects of both.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimKind, ClaimRequest, FencingToken, Finished, Grant, InProgress,
    MAX_CLOCK_SKEW, Owner, Record, RequestHash, Result, StoredResult, Timestamp, has_expired, has_passed,
    lapsed_claim_expires,
};

use super::{Reference, yield_to_others};
use crate::Defect::*;

const NANOSECOND: Duration = Duration::from_nanos(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClaimId {
    pub(super) namespace: String,
    pub(super) key: String,
    kind: Option<ClaimKind>,
    composed: bool,
}

/// The state of a key, also if it has no record.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The fencing token of the latest acquisition.
    fencing_token: FencingToken,
    pub(super) stored: Option<Stored>,
    /// The owner that released the key, if no other owner has acquired it since.
    pub(super) released_by: Option<Owner>,
    /// When the record was released or forgotten.
    pub(super) emptied_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) expires: Option<Timestamp>,
    pub(super) claimed_at: Timestamp,
}

pub(super) type Slots = HashMap<ClaimId, Slot>;

/// # Storage
impl Reference {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim_id(&self, key: &ClaimKey<'_>) -> ClaimId {
        let (namespace, key_string) = self.names(key.namespace(), key.key());
        let kind = Some(key.kind()).filter(|_| !self.has(MergesClaimKinds));
        let composed = self.has(SeparatesComposedKeys) && key.dimensions().is_some();
        ClaimId { namespace, key: key_string, kind, composed }
    }

    /// Returns the stored record, if it has not expired.
    pub(super) fn live_record(&self, slot: Option<&Slot>, now: Timestamp) -> Option<Stored> {
        let stored = slot?.stored.as_ref()?;
        (!self.record_has_expired(stored, now)).then(|| stored.clone())
    }

    fn record_has_expired(&self, stored: &Stored, now: Timestamp) -> bool {
        let Some(expires) = stored.expires else { return false };
        match (self.defect, &stored.record) {
            (Some(ExpiresToTheNanosecond), Record::Finished(_)) => has_passed(expires, now),
            (Some(ExpiresASecondLate), _) => has_expired(expires.saturating_add(NANOSECOND), now),
            (Some(KeepsLapsedClaims), Record::InProgress(_)) => false,
            (Some(ExpiresWithTheLease), Record::InProgress(held)) => has_passed(held.expires_at, now),
            (Some(TreatsTheEpochAsNone), _) if expires == Timestamp::EPOCH => false,
            _ => has_expired(expires, now),
        }
    }

    fn lease_has_ended(&self, held: &InProgress, claimed: Timestamp, now: Timestamp) -> bool {
        let expires_at = held.expires_at;
        match self.defect {
            Some(NeverTakesOver) => false,
            Some(TakesOverANanosecondEarly) => has_passed(expires_at.saturating_sub(NANOSECOND), now),
            Some(TakesOverANanosecondLate) => has_passed(expires_at.saturating_add(NANOSECOND), now),
            Some(LeasesWholeSeconds) => expires_at.as_secs() <= now.as_secs(),
            Some(SaturatesLeases) => expires_at <= now,
            Some(TreatsTheEpochAsNone) if expires_at == Timestamp::EPOCH => false,
            Some(FreesClaimsFromTheFuture) if now < claimed => true,
            _ => has_passed(expires_at, now),
        }
    }

    /// Forgets keys whose record has expired for every clock within the maximum skew of the latest
    /// time.
    pub(super) fn forget_some_claims(&self, slots: &mut Slots, now: Timestamp) {
        self.latest.fetch_max(now.as_nanos(), Ordering::Relaxed);
        let latest = Timestamp::from_nanos(self.latest.load(Ordering::Relaxed));
        let earliest = match self.defect {
            Some(DeletesExpiredRecords) => latest,
            _ => latest.saturating_sub(MAX_CLOCK_SKEW),
        };
        slots.retain(|_, slot| {
            let gone = match &slot.stored {
                Some(stored) => stored.expires.is_some_and(|expires| has_expired(expires, earliest)),
                None => slot.emptied_at <= earliest,
            };
            // The next acquisition then gets a higher token from its time alone.
            let behind = slot.fencing_token <= FencingToken::seed(earliest)
                || self.has(DeletesFencingTokensAheadOfTime);
            !(gone && behind && self.forgets) || self.has(KeepsExpiredClaims)
        });
    }
}

/// # Acquisition
impl Reference {
    pub(super) fn claim_key(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        repeated: bool,
    ) -> Result<Acquisition> {
        let texts = [request.metadata.function_name, request.metadata.tenant, request.metadata.request];
        if self.has(RefusesEmptyMetadata) && texts.contains(&Some("")) {
            return Err(BackendError::invalid("the text is empty"));
        }
        let (id, now) = (self.claim_id(key), self.time(now));
        let mut slots = self.slots();
        self.forget_some_claims(&mut slots, now);
        let slot = slots.get(&id).cloned();
        let live = match self.defect {
            Some(ClaimsIgnoreExpiry) => slot.as_ref().and_then(|slot| slot.stored.clone()),
            _ => self.live_record(slot.as_ref(), now),
        };
        if let Some(stored) = &live {
            if let Some(result) = self.result_if_held(stored, request, now) {
                let result = if repeated { self.presumed(result) } else { result };
                self.refuse_claim(&mut slots, &id, stored, request, &result);
                return Ok(self.without_omitted(result));
            }
        } else if slot.as_ref().is_some_and(|slot| slot.released_by == Some(request.owner))
            && !self.has(ReusesTheTokenAfterRelease)
        {
            return Err(BackendError::invalid("its owner has released it"));
        }
        if self.has(ChecksThenClaims) {
            drop(slots);
            yield_to_others();
            slots = self.slots();
        }
        Ok(self.acquire(&mut slots, id, slot.as_ref(), request, now))
    }

    /// Returns the result of a claim on a key that is not free, or that the owner already holds.
    fn result_if_held(
        &self,
        stored: &Stored,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Option<Acquisition> {
        let refused = Acquisition::Held(stored.record.clone());
        match &stored.record {
            Record::InProgress(held) if held.owner == request.owner => match self.defect {
                Some(RefusesRepeatedClaims) => Some(refused),
                Some(AcquiresRepeatedClaimsAgain) => None,
                Some(ReturnsTheRequestedLease) => Some(Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: request.expires_at,
                })),
                _ => Some(Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: held.expires_at,
                })),
            },
            Record::InProgress(held) if self.lease_has_ended(held, stored.claimed_at, now) => None,
            Record::Finished(finished)
                if finished.owner == request.owner && self.has(ReopensFinishedRecords) =>
            {
                None
            }
            // The defect compares the end of the first lease.
            Record::Finished(_) if self.has(TakesOverFinishedKeys) => {
                let lapsed = stored.claimed_at.saturating_add(Duration::from_secs(30));
                (!has_passed(lapsed, now)).then_some(refused)
            }
            _ => Some(refused),
        }
    }

    pub(super) fn acquire(
        &self,
        slots: &mut Slots,
        id: ClaimId,
        before: Option<&Slot>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Acquisition {
        let is_stored = before.is_some_and(|slot| slot.stored.is_some());
        let last = before.map(|slot| slot.fencing_token).filter(|_| match self.defect {
            Some(FencingTokensAreTheTime) => false,
            Some(RestartsFencingTokens) => is_stored,
            _ => true,
        });
        let seed = if self.has(RestartsFencingTokens) { FencingToken(0) } else { FencingToken::seed(now) };
        let repeated = before.is_some_and(|slot| slot.released_by == Some(request.owner));
        let fencing_token = match last {
            Some(last) if repeated && self.has(ReusesTheTokenAfterRelease) => last,
            _ => last.map_or(seed, |last| last.max(seed)).next(),
        };
        let old = before.and_then(|slot| slot.stored.as_ref());
        let request_hash = match self.defect {
            Some(KeepsTheOldRequestHash) => {
                old.and_then(|old| old.record.request_hash()).or(request.request_hash)
            }
            _ => request.request_hash,
        };
        let owner = match self.defect {
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(StoresOwnersIn64Bits) => Owner(u128::from(request.owner.0 as u64)),
            _ => request.owner,
        };
        let expires_at = request.expires_at;
        let record = Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash });
        let expires = Some(lapsed_claim_expires(expires_at));
        let stored = Some(Stored { record, expires, claimed_at: now });
        slots.insert(id, Slot { fencing_token, stored, released_by: None, emptied_at: now });
        Acquisition::Acquired(Grant { fencing_token, expires_at })
    }

    /// Returns the result of a backend that attributes every failed condition to the first attempt
    /// of the write.
    fn presumed(&self, result: Acquisition) -> Acquisition {
        match result {
            Acquisition::Held(record) if self.has(PresumesRepetitionsWereApplied) => {
                let (Record::InProgress(InProgress { fencing_token, .. })
                | Record::Finished(Finished { fencing_token, .. })) = record;
                Acquisition::Acquired(Grant { fencing_token, expires_at: Timestamp::MAX })
            }
            result => result,
        }
    }

    /// Changes what a refused claim changes: nothing without these defects.
    fn refuse_claim(
        &self,
        slots: &mut Slots,
        id: &ClaimId,
        stored: &Stored,
        request: &ClaimRequest<'_>,
        result: &Acquisition,
    ) {
        let (Acquisition::Held(_), Some(slot)) = (result, slots.get_mut(id)) else { return };
        let mut stored = stored.clone();
        match (self.defect, &mut stored.record) {
            (Some(RefusedClaimsExtendTheLease), Record::InProgress(held)) => {
                held.expires_at = held.expires_at.max(request.expires_at);
            }
            (Some(RefusedClaimsOverwriteTheRequestHash), Record::InProgress(held)) => {
                held.request_hash = request.request_hash;
            }
            (Some(RefusedClaimsPostponeTheExpiry), Record::Finished(_)) => {
                stored.expires = stored.expires.map(|expires| expires.max(request.expires_at));
            }
            _ => return,
        }
        slot.stored = Some(stored);
    }

    fn without_omitted(&self, result: Acquisition) -> Acquisition {
        let Acquisition::Held(mut record) = result else { return result };
        match (self.defect, &mut record) {
            (Some(RefusesWithoutTheRequestHash), Record::InProgress(held)) => held.request_hash = None,
            (Some(RefusesWithARequestHashOfZeros), Record::InProgress(held)) => {
                held.request_hash = held.request_hash.or(Some(RequestHash([0; 32])));
            }
            (Some(RefusesWithoutTheResult), Record::Finished(finished)) => {
                finished.result = StoredResult::Nothing;
            }
            _ => {}
        }
        Acquisition::Held(record)
    }
}
