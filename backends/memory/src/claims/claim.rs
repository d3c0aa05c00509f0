//! What is known of one claimed key, and what operations do to it. No locks, no maps: a claim in, an answer out.

use std::time::Duration;

use limited_core::{
    Acquisition, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant, InProgress,
    LeaseStatus, Owner, Record, Timestamp, has_expired, has_passed, lapsed_claim_expires,
};

/// A key that was claimed and not given up. It may have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    record: Record,
    /// When the record expires; never, where there is no such time.
    expires: Option<Timestamp>,
}

impl Claim {
    /// The first claim on a key, or the one that follows an expired, lapsed or forgotten one.
    pub(crate) fn granted(request: &ClaimRequest<'_>, fencing_token: FencingToken) -> Self {
        let &ClaimRequest { owner, expires_at, request_hash, .. } = request;
        Self {
            record: Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash }),
            expires: Some(lapsed_claim_expires(expires_at)),
        }
    }

    /// Takes the key over, if it is free. Asks for the number of a grant only where there is one.
    pub(crate) fn claim(
        &mut self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        fencing_token: impl FnOnce() -> FencingToken,
    ) -> Acquisition {
        match self.find(now) {
            Some(Record::InProgress(held)) if held.owner == request.owner => {
                // The answer to the first of the two was lost. Its lease may have ended since, and is its own still.
                Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: held.expires_at,
                })
            }
            Some(Record::InProgress(held)) if !has_passed(held.expires_at, now) => {
                Acquisition::Held(Record::InProgress(held.clone()))
            }
            Some(Record::Finished(done)) => Acquisition::Held(Record::Finished(done.clone())),
            Some(Record::InProgress(_)) | None => {
                let fencing_token = fencing_token();
                *self = Self::granted(request, fencing_token);
                Acquisition::Acquired(Grant { fencing_token, expires_at: request.expires_at })
            }
        }
    }

    /// Records what its owner has done. The first of repeated completions stays.
    pub(crate) fn finish(&mut self, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
        match self.find(now) {
            Some(Record::InProgress(held)) if held.owner == completion.owner => {
                let record = Record::Finished(Finished {
                    owner: held.owner,
                    fencing_token: held.fencing_token,
                    at: now,
                    result: completion.result.clone(),
                    status_code: completion.status_code,
                    request_hash: held.request_hash,
                });
                *self = Self { record, expires: completion.expires };
                FinishResult::Stored
            }
            Some(Record::Finished(done)) if done.owner == completion.owner => FinishResult::Stored,
            record => FinishResult::Lost(record.cloned()),
        }
    }

    /// Moves the lease of its owner on.
    pub(crate) fn renew(&mut self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> LeaseStatus {
        if !self.is_held_by(owner, now) {
            return LeaseStatus::Lost(self.find(now).cloned());
        }
        if let Record::InProgress(held) = &mut self.record {
            held.expires_at = held.expires_at.max(expires_at);
            self.expires = Some(lapsed_claim_expires(held.expires_at));
        }
        LeaseStatus::Owned
    }

    /// What its owner is told who gives it up: where the answer is `Owned`, the claim has to go.
    pub(crate) fn release(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        if self.is_held_by(owner, now) {
            LeaseStatus::Owned
        } else {
            LeaseStatus::Lost(self.find(now).cloned())
        }
    }

    /// The record, unless it has expired.
    pub(crate) fn find(&self, now: Timestamp) -> Option<&Record> {
        let expired = self.expires.is_some_and(|expires| has_expired(expires, now));
        (!expired).then_some(&self.record)
    }

    /// From when on the record is of no use even to a clock that jumps back by `skew`; `None` for one that stays.
    pub(crate) fn removable_at(&self, skew: Duration) -> Option<Timestamp> {
        let expired_from = Timestamp::from_secs(self.expires?.as_nanos().div_ceil(1_000_000_000));
        let removable_at = expired_from.saturating_add(skew);
        (removable_at < Timestamp::MAX).then_some(removable_at)
    }

    /// Whether it is this owner's to finish, renew and release: in progress, be its lease over or not.
    fn is_held_by(&self, owner: Owner, now: Timestamp) -> bool {
        matches!(self.find(now), Some(Record::InProgress(held)) if held.owner == owner)
    }
}

#[cfg(test)]
mod tests {
    use limited_core::MAX_CLOCK_SKEW;
    use proptest::prelude::*;

    use super::*;

    const OWNER: Owner = Owner(1);

    fn any_time() -> impl Strategy<Value = Timestamp> {
        let near_the_end = (0..20_000_000_000_u64).prop_map(|before| u64::MAX - before);
        let near_the_start = 0..20_000_000_000_u64;
        prop_oneof![any::<u64>(), near_the_start, near_the_end].prop_map(Timestamp::from_nanos)
    }

    fn finished(expires: Option<Timestamp>) -> Claim {
        let mut claim = Claim::granted(&ClaimRequest::new(OWNER, Timestamp::MAX), FencingToken(1));
        let recorded = claim.finish(&Completion { expires, ..Completion::new(OWNER) }, Timestamp::EPOCH);
        assert_eq!(recorded, FinishResult::Stored);
        claim
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_record_that_may_be_removed_is_found_by_no_clock_within_the_skew(
            expires in any_time(), skew in 0..10_000_000_000_u64,
        ) {
            let claim = finished(Some(expires));
            let skew = Duration::from_nanos(skew);
            match claim.removable_at(skew) {
                Some(removable_at) => {
                    let furthest_back = removable_at.saturating_sub(skew);
                    prop_assert_eq!(claim.find(furthest_back), None);
                    // And not later than it has to be.
                    if furthest_back > Timestamp::EPOCH {
                        prop_assert!(claim.find(furthest_back.saturating_sub(Duration::from_nanos(1))).is_some());
                    }
                }
                None => prop_assert!(claim.find(Timestamp::MAX.saturating_sub(skew)).is_some()),
            }
        }

        #[test]
        fn no_time_panics(times in prop::collection::vec(any_time(), 1..20)) {
            let mut claim = Claim::granted(&ClaimRequest::new(OWNER, times[0]), FencingToken(1));
            for (index, time) in times.iter().copied().enumerate() {
                let later = times[times.len() - 1 - index];
                let _ = claim.claim(&ClaimRequest::new(OWNER, later), time, || FencingToken(u64::MAX));
                let _ = claim.renew(OWNER, later, time);
                let _ = claim.release(OWNER, time);
                let _ = claim.removable_at(MAX_CLOCK_SKEW);
                if index % 3 == 0 {
                    let _ = claim.finish(&Completion { expires: Some(later), ..Completion::new(OWNER) }, time);
                }
            }
        }
    }

    #[test]
    fn what_never_expires_is_never_removed() {
        assert_eq!(finished(None).removable_at(MAX_CLOCK_SKEW), None);
        assert_eq!(finished(Some(Timestamp::MAX)).removable_at(MAX_CLOCK_SKEW), None);
        let endless = Claim::granted(&ClaimRequest::new(OWNER, Timestamp::MAX), FencingToken(1));
        assert_eq!(endless.removable_at(Duration::ZERO), None);
    }

    #[test]
    fn the_number_of_a_grant_is_asked_for_only_where_there_is_one() {
        let lease_ends = Timestamp::from_secs(60);
        let mut claim = Claim::granted(&ClaimRequest::new(OWNER, lease_ends), FencingToken(1));
        let request = ClaimRequest::new(Owner(2), Timestamp::from_secs(120));
        let none = || unreachable!("nothing is granted");
        assert!(matches!(claim.claim(&request, Timestamp::EPOCH, none), Acquisition::Held(_)));
        let granted = claim.claim(&request, lease_ends, || FencingToken(7));
        assert_eq!(
            granted,
            Acquisition::Acquired(Grant { fencing_token: FencingToken(7), expires_at: request.expires_at })
        );
    }
}
