//! One key of the backend under test to claim: operations, and the results that are expected of
//! them.

use std::fmt;
use std::time::Duration;

use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, FencingToken,
    FinishResult, Finished, Grant, InProgress, Key, LeaseStatus, Operation, Owner, Record, RequestHash,
    Result, StoredResult, Timestamp, has_expired,
};

/// The lease of most claims.
pub(super) const LEASE: Duration = Duration::from_secs(30);

impl<H: Harness> Subject<'_, H> {
    /// Returns whether the backend has claims: it has all operations of claims, or none.
    pub(crate) fn has_claims(&self) -> bool {
        // The earliest time, so that the backend forgets nothing because of it.
        !matches!(self.key("any").try_find(Timestamp::EPOCH), Err(BackendError::Unsupported(_)))
    }

    pub(super) fn key(&self, key: impl Into<String>) -> ClaimProbe<'_, H> {
        self.key_in(self.namespace, ClaimKind::Idempotency, key)
    }

    /// Returns a key in another namespace, which no other check may use.
    pub(super) fn key_in(
        &self,
        namespace: impl Into<String>,
        kind: ClaimKind,
        key: impl Into<String>,
    ) -> ClaimProbe<'_, H> {
        ClaimProbe { subject: self, namespace: namespace.into(), kind, key: key.into() }
    }

    /// Claims many other keys at `now`, so that the backend has a reason to forget records too
    /// early.
    pub(super) fn claim_other_keys(&self, now: Timestamp) {
        for number in 0..20 {
            let key = self.key(format!("other key {number} at {}", now.as_nanos()));
            key.claim(&key.new_request(now.saturating_add(LEASE)), now);
        }
    }
}

/// One key of the backend under test.
pub(super) struct ClaimProbe<'s, H: Harness> {
    subject: &'s Subject<'s, H>,
    namespace: String,
    kind: ClaimKind,
    key: String,
}

/// # Operations
impl<H: Harness> ClaimProbe<'_, H> {
    /// Creates a request of a new owner, with its own request hash.
    pub(super) fn new_request(&self, expires_at: Timestamp) -> ClaimRequest<'static> {
        let owner = self.new_owner();
        let mut request_hash = [0xf1; 32];
        request_hash[..16].copy_from_slice(&owner.0.to_be_bytes());
        ClaimRequest { request_hash: Some(RequestHash(request_hash)), ..ClaimRequest::new(owner, expires_at) }
    }

    pub(super) fn new_owner(&self) -> Owner {
        // The product with an odd number is different for each id, and uses all 128 bits.
        let id = u128::from(self.subject.new_id());
        Owner(id.wrapping_mul(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15))
    }

    #[track_caller]
    pub(super) fn claim(&self, request: &ClaimRequest<'_>, now: Timestamp) -> Acquisition {
        self.expect_ok(Operation::Claim, self.try_claim(request, now))
    }

    #[track_caller]
    pub(super) fn finish(&self, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
        self.expect_ok(Operation::Finish, self.try_finish(completion, now))
    }

    #[track_caller]
    pub(super) fn renew(&self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> LeaseStatus {
        self.expect_ok(Operation::Renew, self.try_renew(owner, expires_at, now))
    }

    #[track_caller]
    pub(super) fn release(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        self.expect_ok(Operation::Release, self.try_release(owner, now))
    }

    #[track_caller]
    pub(super) fn find(&self, now: Timestamp) -> Option<Record> {
        self.expect_ok(Operation::Find, self.try_find(now))
    }

    #[track_caller]
    pub(super) fn forget(&self, now: Timestamp) {
        self.expect_ok(Operation::Forget, self.try_forget(now));
    }

    pub(super) fn try_claim(&self, request: &ClaimRequest<'_>, now: Timestamp) -> Result<Acquisition> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.claim(key, request, now)))
    }

    pub(super) fn try_finish(&self, completion: &Completion<'_>, now: Timestamp) -> Result<FinishResult> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.finish(key, completion, now)))
    }

    pub(super) fn try_renew(
        &self,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.renew(key, owner, expires_at, now)))
    }

    pub(super) fn try_release(&self, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.release(key, owner, now)))
    }

    pub(super) fn try_find(&self, now: Timestamp) -> Result<Option<Record>> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.find(key, now)))
    }

    pub(super) fn try_forget(&self, now: Timestamp) -> Result<()> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.forget(key, now)))
    }

    fn with_key<R>(&self, operation: impl FnOnce(&ClaimKey<'_>) -> R) -> R {
        let key = Key::from(&self.key);
        let key = ClaimKey::new(&self.namespace, self.kind, &key);
        operation(&key.expect("the suite uses valid keys only"))
    }

    #[track_caller]
    fn expect_ok<T>(&self, operation: Operation, result: Result<T>) -> T {
        match result {
            Ok(result) => result,
            Err(error) => panic!("`{operation}` has to succeed here, but failed: {error}\n  of {self}"),
        }
    }
}

/// # Expected results
impl<H: Harness> ClaimProbe<'_, H> {
    /// Claims the key for a new owner, with a lease of [`LEASE`]. Fails the check unless the key is
    /// free.
    #[track_caller]
    pub(super) fn acquire(&self, now: Timestamp) -> InProgress {
        self.expect_free(now, "rule 7: a claim acquires a free key")
    }

    /// Claims the key for a new owner, until `expires_at`. Fails the check unless the key is free.
    #[track_caller]
    pub(super) fn acquire_until(&self, expires_at: Timestamp, now: Timestamp) -> InProgress {
        self.expect_acquired(&self.new_request(expires_at), now, "rule 7: a claim acquires a free key")
    }

    /// Fails the check with `rule` unless a new owner acquires the key, with a lease of [`LEASE`].
    #[track_caller]
    pub(super) fn expect_free(&self, now: Timestamp, rule: &str) -> InProgress {
        self.expect_acquired(&self.new_request(now.saturating_add(LEASE)), now, rule)
    }

    /// Fails the check with `rule` unless this claim acquires the key, and the record says so from
    /// then on.
    #[track_caller]
    pub(super) fn expect_acquired(
        &self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        rule: &str,
    ) -> InProgress {
        let held = self.expect_acquired_unread(request, now, rule);
        self.expect_record(Some(&Record::InProgress(held.clone())), now, rule);
        held
    }

    /// Fails the check with `rule` unless this claim acquires the key. Does not read the record.
    #[track_caller]
    pub(super) fn expect_acquired_unread(
        &self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        rule: &str,
    ) -> InProgress {
        match self.claim(request, now) {
            Acquisition::Acquired(grant) if grant.expires_at == request.expires_at => {
                in_progress(request, grant.fencing_token)
            }
            result => panic!(
                "{rule}\n  expected the key to be acquired until {:?}\n  but saw  {result:?}\n  of {self}",
                request.expires_at
            ),
        }
    }

    /// Fails the check with `rule` unless the claim of another owner is refused with this record,
    /// which stays.
    #[track_caller]
    pub(super) fn expect_refused(&self, record: &Record, now: Timestamp, rule: &str) {
        let result = self.claim(&self.new_request(now.saturating_add(LEASE)), now);
        self.expect(&result, &Acquisition::Held(record.clone()), rule);
        self.expect_record(Some(record), now, rule);
    }

    /// Fails the check with `rule` unless the key is still held with this record.
    #[track_caller]
    pub(super) fn expect_held(&self, held: &InProgress, now: Timestamp, rule: &str) {
        self.expect_refused(&Record::InProgress(held.clone()), now, rule);
    }

    /// Finishes a held claim. Fails the check unless the result is stored, and found until it
    /// expires.
    #[track_caller]
    pub(super) fn expect_finished(
        &self,
        held: &InProgress,
        completion: &Completion<'_>,
        at: Timestamp,
    ) -> Record {
        let rule = "rule 8: the owner finishes its claim, and the record contains the result";
        let record = finished_record(held, completion, at);
        self.expect(&self.finish(completion, at), &FinishResult::Stored, rule);
        let has_expired = completion.expires.is_some_and(|expires| has_expired(expires, at));
        self.expect_record((!has_expired).then_some(&record), at, rule);
        record
    }

    /// Fails the check with `rule` unless this owner can neither finish, renew nor release, gets
    /// this record instead, and changes nothing.
    #[track_caller]
    pub(super) fn expect_lost(&self, owner: Owner, record: Option<&Record>, now: Timestamp, rule: &str) {
        let finished = self.finish(&completion(owner, "\"stolen\""), now);
        self.expect(&finished, &FinishResult::Lost(record.cloned()), &format!("{rule}; here `finish`"));
        let renewed = self.renew(owner, now.saturating_add(1_000 * LEASE), now);
        self.expect(&renewed, &LeaseStatus::Lost(record.cloned()), &format!("{rule}; here `renew`"));
        let released = self.release(owner, now);
        self.expect(&released, &LeaseStatus::Lost(record.cloned()), &format!("{rule}; here `release`"));
        self.expect_record(record, now, &format!("{rule}; here after all three"));
    }

    /// Fails the check with `rule` unless `find` returns this record.
    #[track_caller]
    pub(super) fn expect_record(&self, record: Option<&Record>, now: Timestamp, rule: &str) {
        self.expect(&self.find(now).as_ref(), &record, &format!("{rule}; here `find`"));
    }

    /// Fails the check with `rule` unless the result is the expected one.
    #[track_caller]
    pub(super) fn expect<T: PartialEq + fmt::Debug>(&self, seen: &T, expected: &T, rule: &str) {
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {self}");
    }
}

impl<H: Harness> fmt::Display for ClaimProbe<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {:?} in the namespace {:?}, {}", self.key, self.namespace, self.kind.as_str())
    }
}

/// Returns the record of an acquired claim.
pub(super) const fn in_progress(request: &ClaimRequest<'_>, fencing_token: FencingToken) -> InProgress {
    InProgress {
        owner: request.owner,
        fencing_token,
        expires_at: request.expires_at,
        request_hash: request.request_hash,
    }
}

/// Returns the result of the claim that acquired the key.
pub(super) const fn granted(held: &InProgress) -> Acquisition {
    Acquisition::Acquired(Grant { fencing_token: held.fencing_token, expires_at: held.expires_at })
}

/// Creates a completion with this JSON and a status code, which never expires.
pub(super) fn completion(owner: Owner, json: &str) -> Completion<'static> {
    Completion { result: StoredResult::Value(json.into()), status_code: Some(201), ..Completion::new(owner) }
}

/// Returns the record of a held claim after it was finished.
pub(super) fn finished_record(held: &InProgress, completion: &Completion<'_>, at: Timestamp) -> Record {
    Record::Finished(Finished {
        owner: completion.owner,
        fencing_token: held.fencing_token,
        at,
        result: completion.result.clone(),
        status_code: completion.status_code,
        request_hash: held.request_hash,
    })
}

/// Returns the first time at which a record with this expiry has expired.
pub(super) const fn expired_at(expires: Timestamp) -> Timestamp {
    Timestamp::from_secs(expires.as_nanos().div_ceil(1_000_000_000))
}
