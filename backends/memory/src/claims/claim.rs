//! The state of one claimed key, and the operations on it. Pure logic, without locks and maps.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Acquisition, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant, InProgress,
    LeaseStatus, Owner, Record, RequestHash, StoredResult, Timestamp, has_expired, has_passed,
    lapsed_claim_expires,
};

/// A claimed key that was not released. Its record may have expired.
///
/// Flat, with one field for each use of the same bytes: a [`Record`] takes 32 bytes more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    owner: Owner,
    fencing_token: FencingToken,
    /// When the lease ends, or when the owner finished.
    time: Timestamp,
    /// When the record expires. The last timestamp if it never does.
    expires: Timestamp,
    /// The text of the result, if it has one.
    text: Option<Arc<str>>,
    request_hash: Option<RequestHash>,
    status_code: Option<u16>,
    status: Status,
}

/// How far a claim is, and what its text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    InProgress,
    Nothing,
    Value,
    Error,
    /// The owner omitted the result.
    Omitted,
    /// The store omitted the result.
    NotStored,
}

impl Claim {
    /// Creates the first claim on a key, or the one that replaces an expired, lapsed or forgotten
    /// claim.
    pub(crate) fn granted(request: &ClaimRequest<'_>, fencing_token: FencingToken) -> Self {
        Self {
            owner: request.owner,
            fencing_token,
            time: request.expires_at,
            expires: lapsed_claim_expires(request.expires_at),
            text: None,
            request_hash: request.request_hash,
            status_code: None,
            status: Status::InProgress,
        }
    }

    /// Returns the result of a claim by this owner, unless the key is free.
    pub(crate) fn held(&self, owner: Owner, now: Timestamp) -> Option<Acquisition> {
        if self.has_expired(now) {
            None
        } else if self.is_in_progress() && self.owner == owner {
            // The owner repeats its claim because the response was lost. It still owns the key,
            // even if its lease has ended since.
            let grant = Grant { fencing_token: self.fencing_token, expires_at: self.time };
            Some(Acquisition::Acquired(grant))
        } else if self.is_in_progress() && has_passed(self.time, now) {
            None
        } else {
            Some(Acquisition::Held(self.record()))
        }
    }

    /// Returns the result of finishing, unless this owner holds the claim. A repeated call of the
    /// owner that has finished returns its first result.
    pub(crate) fn finished(&self, owner: Owner, now: Timestamp) -> Option<FinishResult> {
        if self.has_expired(now) {
            Some(FinishResult::Lost(None))
        } else if self.owner != owner {
            Some(FinishResult::Lost(Some(self.record())))
        } else if self.is_in_progress() {
            None
        } else {
            Some(self.finish_result())
        }
    }

    /// Stores the result of the owner. If `omitted` is a reason, stores that instead.
    pub(crate) fn finish(
        &mut self,
        completion: &Completion<'_>,
        omitted: Option<&Arc<str>>,
        now: Timestamp,
    ) -> FinishResult {
        let (status, text) = match (omitted, &completion.result) {
            (Some(reason), _) => (Status::NotStored, Some(reason)),
            (None, StoredResult::Nothing) => (Status::Nothing, None),
            (None, StoredResult::Value(json)) => (Status::Value, Some(json)),
            (None, StoredResult::Error(json)) => (Status::Error, Some(json)),
            (None, StoredResult::Omitted { reason }) => (Status::Omitted, Some(reason)),
        };
        self.status = status;
        self.text = text.cloned();
        self.status_code = completion.status_code;
        self.time = now;
        self.expires = completion.expires.unwrap_or(Timestamp::MAX);
        self.finish_result()
    }

    fn finish_result(&self) -> FinishResult {
        match self.status {
            Status::NotStored => FinishResult::Omitted { reason: self.text() },
            _ => FinishResult::Stored,
        }
    }

    /// Extends the lease. The claim is in progress.
    pub(crate) fn renew(&mut self, expires_at: Timestamp) {
        self.time = self.time.max(expires_at);
        self.expires = lapsed_claim_expires(self.time);
    }

    /// Returns whether the owner holds the claim and so may finish, renew and release it. The claim
    /// is then in progress, and its lease may have ended.
    pub(crate) fn lease_status(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        if self.is_in_progress() && self.owner == owner && !self.has_expired(now) {
            LeaseStatus::Owned
        } else {
            LeaseStatus::Lost(self.find(now))
        }
    }

    /// Returns the record, unless it has expired.
    pub(crate) fn find(&self, now: Timestamp) -> Option<Record> {
        (!self.has_expired(now)).then(|| self.record())
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        has_expired(self.expires, now)
    }

    fn record(&self) -> Record {
        let &Self { owner, fencing_token, time, request_hash, status_code, .. } = self;
        let result = match self.status {
            Status::InProgress => {
                let expires_at = time;
                return Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash });
            }
            Status::Nothing => StoredResult::Nothing,
            Status::Value => StoredResult::Value(self.text()),
            Status::Error => StoredResult::Error(self.text()),
            Status::Omitted | Status::NotStored => StoredResult::Omitted { reason: self.text() },
        };
        Record::Finished(Finished { owner, fencing_token, at: time, result, status_code, request_hash })
    }

    fn text(&self) -> Arc<str> {
        self.text.clone().unwrap_or_default()
    }

    pub(crate) fn is_in_progress(&self) -> bool {
        self.status == Status::InProgress
    }

    /// Returns the length of the result that this claim stores, in bytes; `None` if it stores none.
    pub(crate) fn result_len(&self) -> Option<usize> {
        // The reason of the store is shared by all claims.
        self.text.as_ref().filter(|_| self.status != Status::NotStored).map(|text| text.len())
    }

    /// Returns the time by which records are ordered: the end of the lease, or the expiry.
    pub(crate) fn deadline(&self) -> Timestamp {
        if self.is_in_progress() { self.time } else { self.expires }
    }

    /// Returns when the lease has ended, also for a clock that jumps back by `skew`. Returns the
    /// last timestamp if it never ends, or if the claim is finished.
    pub(crate) fn lapses_at(&self, skew: Duration) -> Timestamp {
        if self.is_in_progress() { self.time.saturating_add(skew) } else { Timestamp::MAX }
    }

    /// Returns when the record may be removed: from then on it is expired, also for a clock that
    /// jumps back by `skew`. Returns the last timestamp if it stays.
    pub(crate) fn removable_at(&self, skew: Duration) -> Timestamp {
        let expired_from = self.expires.as_nanos().div_ceil(1_000_000_000);
        Timestamp::from_secs(expired_from).saturating_add(skew)
    }
}

/// Returns the length of a result, in bytes; `None` if it has no text.
pub(crate) fn result_len(result: &StoredResult) -> Option<usize> {
    match result {
        StoredResult::Nothing => None,
        StoredResult::Value(text) | StoredResult::Error(text) | StoredResult::Omitted { reason: text } => {
            Some(text.len())
        }
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
        let recorded = claim.finish(&Completion::new(OWNER).with_expiry(expires), None, Timestamp::EPOCH);
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
                removable_at if removable_at < Timestamp::MAX => {
                    let furthest_back = removable_at.saturating_sub(skew);
                    prop_assert_eq!(claim.find(furthest_back), None);
                    // One nanosecond earlier it may still be found.
                    if furthest_back > Timestamp::EPOCH {
                        prop_assert!(claim.find(furthest_back.saturating_sub(Duration::from_nanos(1))).is_some());
                    }
                }
                _ => prop_assert!(claim.find(Timestamp::MAX.saturating_sub(skew)).is_some()),
            }
        }

        #[test]
        fn no_time_panics(times in prop::collection::vec(any_time(), 1..20)) {
            let mut claim = Claim::granted(&ClaimRequest::new(OWNER, times[0]), FencingToken(1));
            for (index, time) in times.iter().copied().enumerate() {
                let later = times[times.len() - 1 - index];
                let _ = claim.held(Owner(2), time);
                let _ = claim.lapses_at(MAX_CLOCK_SKEW);
                if claim.lease_status(OWNER, time) == LeaseStatus::Owned {
                    claim.renew(later);
                }
                let _ = claim.removable_at(MAX_CLOCK_SKEW);
                if index % 3 == 0 {
                    let _ = claim.finish(&Completion::new(OWNER).with_expiry(later), None, time);
                }
            }
        }
    }

    #[test]
    fn record_that_never_expires_is_never_removed() {
        assert_eq!(finished(None).removable_at(MAX_CLOCK_SKEW), Timestamp::MAX);
        assert_eq!(finished(Some(Timestamp::MAX)).removable_at(MAX_CLOCK_SKEW), Timestamp::MAX);
        let endless = Claim::granted(&ClaimRequest::new(OWNER, Timestamp::MAX), FencingToken(1));
        assert_eq!(endless.removable_at(Duration::ZERO), Timestamp::MAX);
        assert_eq!(endless.lapses_at(Duration::ZERO), Timestamp::MAX);
    }

    #[test]
    fn key_is_free_once_the_lease_has_ended_except_for_its_owner() {
        let lease_ends = Timestamp::from_secs(60);
        let claim = Claim::granted(&ClaimRequest::new(OWNER, lease_ends), FencingToken(1));
        assert!(matches!(claim.held(Owner(2), Timestamp::EPOCH), Some(Acquisition::Held(_))));
        assert_eq!(claim.held(Owner(2), lease_ends), None);
        let grant = Grant { fencing_token: FencingToken(1), expires_at: lease_ends };
        assert_eq!(claim.held(OWNER, lease_ends), Some(Acquisition::Acquired(grant)));
    }

    #[test]
    fn reason_of_the_store_is_reported_each_time_and_takes_no_memory() {
        let mut claim = Claim::granted(&ClaimRequest::new(OWNER, Timestamp::MAX), FencingToken(1));
        let reason: Arc<str> = "no room".into();
        let completion = Completion::new(OWNER).with_result(StoredResult::Value("7".into()));
        let omitted = FinishResult::Omitted { reason: Arc::clone(&reason) };
        assert_eq!(claim.finish(&completion, Some(&reason), Timestamp::EPOCH), omitted);
        assert_eq!(claim.finished(OWNER, Timestamp::EPOCH), Some(omitted));
        assert_eq!(claim.result_len(), None);
        let Some(Record::Finished(finished)) = claim.find(Timestamp::EPOCH) else { unreachable!() };
        assert_eq!(finished.result, StoredResult::Omitted { reason });
    }
}
