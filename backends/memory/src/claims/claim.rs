//! The state of one claimed key, and the operations on it. Pure logic, without locks and maps.

use std::time::Duration;

use limited_core::{
    Acquisition, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant, InProgress,
    LeaseStatus, Owner, Record, Timestamp, has_expired, has_passed, lapsed_claim_expires,
};

/// A claimed key that was not released. Its record may have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    record: Record,
    /// When the record expires. `None` if it never does.
    expires: Option<Timestamp>,
}

impl Claim {
    /// Creates the first claim on a key, or the one that replaces an expired, lapsed or forgotten
    /// claim.
    pub(crate) fn granted(request: &ClaimRequest<'_>, fencing_token: FencingToken) -> Self {
        let &ClaimRequest { owner, expires_at, request_hash, .. } = request;
        Self {
            record: Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash }),
            expires: Some(lapsed_claim_expires(expires_at)),
        }
    }

    /// Acquires the key if it is free. Draws a fencing token only for a new grant.
    pub(crate) fn claim(
        &mut self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        fencing_token: impl FnOnce() -> FencingToken,
    ) -> Acquisition {
        match self.find(now) {
            Some(Record::InProgress(held)) if held.owner == request.owner => {
                // The owner repeats its claim because the response was lost. It still owns the key,
                // even if its lease has ended since.
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

    /// Stores the result of the owner. If the owner repeats the call, the first result stays.
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

    /// Extends the lease of the owner.
    pub(crate) fn renew(&mut self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> LeaseStatus {
        let status = self.lease_status(owner, now);
        if let (LeaseStatus::Owned, Record::InProgress(held)) = (&status, &mut self.record) {
            held.expires_at = held.expires_at.max(expires_at);
            self.expires = Some(lapsed_claim_expires(held.expires_at));
        }
        status
    }

    /// Returns whether the owner holds the claim and so may finish, renew and release it. The claim
    /// is then in progress, and its lease may have ended.
    pub(crate) fn lease_status(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        match self.find(now) {
            Some(Record::InProgress(held)) if held.owner == owner => LeaseStatus::Owned,
            record => LeaseStatus::Lost(record.cloned()),
        }
    }

    /// Returns the record, unless it has expired.
    pub(crate) fn find(&self, now: Timestamp) -> Option<&Record> {
        let expired = self.expires.is_some_and(|expires| has_expired(expires, now));
        (!expired).then_some(&self.record)
    }

    /// Returns when the record may be removed: from then on it is expired, also for a clock that
    /// jumps back by `skew`. Returns `None` if it stays.
    pub(crate) fn removable_at(&self, skew: Duration) -> Option<Timestamp> {
        let expired_from = Timestamp::from_secs(self.expires?.as_nanos().div_ceil(1_000_000_000));
        let removable_at = expired_from.saturating_add(skew);
        (removable_at < Timestamp::MAX).then_some(removable_at)
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
        let recorded = claim.finish(&Completion::new(OWNER).with_expiry(expires), Timestamp::EPOCH);
        assert_eq!(recorded, FinishResult::Stored);
        claim
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn removable_record_is_expired_for_every_clock_within_the_skew(
            expires in any_time(), skew in 0..10_000_000_000_u64,
        ) {
            let claim = finished(Some(expires));
            let skew = Duration::from_nanos(skew);
            match claim.removable_at(skew) {
                Some(removable_at) => {
                    let furthest_back = removable_at.saturating_sub(skew);
                    prop_assert_eq!(claim.find(furthest_back), None);
                    // One nanosecond earlier it may still be found.
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
                let _ = claim.lease_status(OWNER, time);
                let _ = claim.removable_at(MAX_CLOCK_SKEW);
                if index % 3 == 0 {
                    let _ = claim.finish(&Completion::new(OWNER).with_expiry(later), time);
                }
            }
        }
    }

    #[test]
    fn record_that_never_expires_is_never_removed() {
        assert_eq!(finished(None).removable_at(MAX_CLOCK_SKEW), None);
        assert_eq!(finished(Some(Timestamp::MAX)).removable_at(MAX_CLOCK_SKEW), None);
        let endless = Claim::granted(&ClaimRequest::new(OWNER, Timestamp::MAX), FencingToken(1));
        assert_eq!(endless.removable_at(Duration::ZERO), None);
    }

    #[test]
    fn fencing_token_is_drawn_only_for_a_grant() {
        let lease_ends = Timestamp::from_secs(60);
        let mut claim = Claim::granted(&ClaimRequest::new(OWNER, lease_ends), FencingToken(1));
        let request = ClaimRequest::new(Owner(2), Timestamp::from_secs(120));
        let none = || unreachable!("the key is held");
        assert!(matches!(claim.claim(&request, Timestamp::EPOCH, none), Acquisition::Held(_)));
        let granted = claim.claim(&request, lease_ends, || FencingToken(7));
        assert_eq!(
            granted,
            Acquisition::Acquired(Grant { fencing_token: FencingToken(7), expires_at: request.expires_at })
        );
    }
}
