//! One key of the backend under test, to be claimed.

use std::fmt;
use std::time::Duration;

use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, FencingToken,
    FinishResult, Finished, InProgress, Key, LeaseStatus, Operation, Owner, Record, RequestHash,
    StoredResult, Timestamp, has_expired,
};

pub(super) const TICK: Duration = Duration::from_nanos(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// How long most claims are held.
pub(super) const LEASE: Duration = Duration::from_secs(30);

impl<H: Harness> Subject<'_, H> {
    /// Whether claims are supported: a backend has all operations of claims, or none.
    pub(in super::super) fn has_claims(&self) -> bool {
        // At the earliest time, so that nothing is forgotten by a later one.
        !matches!(self.claimable("any").try_find(Timestamp::EPOCH), Err(BackendError::Unsupported(_)))
    }

    pub(super) fn claimable(&self, key: impl Into<String>) -> Claimable<'_, H> {
        self.claimable_of(self.namespace, ClaimKind::Idempotency, key)
    }

    /// A key in a namespace that is not the check's own, and yet no other check's.
    pub(super) fn claimable_of(
        &self,
        namespace: impl Into<String>,
        kind: ClaimKind,
        key: impl Into<String>,
    ) -> Claimable<'_, H> {
        Claimable { subject: self, namespace: namespace.into(), kind, key: key.into() }
    }

    /// Claims many other keys at `now`, as a chance for a backend to forget what it may not forget yet.
    pub(super) fn claim_elsewhere(&self, now: Timestamp) {
        for other in 0..20 {
            let key = self.claimable(format!("elsewhere {other} at {}", now.as_nanos()));
            key.claim(&key.asking(now.saturating_add(LEASE)), now);
        }
    }
}

/// One key of the backend under test, to be claimed.
pub(super) struct Claimable<'s, H: Harness> {
    pub(super) subject: &'s Subject<'s, H>,
    namespace: String,
    kind: ClaimKind,
    key: String,
}

/// # Asking
impl<H: Harness> Claimable<'_, H> {
    /// A claim by a fresh owner, with a fingerprint of its own.
    pub(super) fn asking(&self, expires_at: Timestamp) -> ClaimRequest<'static> {
        let owner = self.fresh_owner();
        let mut request_hash = [0xf1; 32];
        request_hash[..16].copy_from_slice(&owner.0.to_be_bytes());
        ClaimRequest { request_hash: Some(RequestHash(request_hash)), ..ClaimRequest::new(owner, expires_at) }
    }

    pub(super) fn fresh_owner(&self) -> Owner {
        // Any odd number of 128 bits: so owners differ, and in more than their last digits.
        Owner(self.subject.new_window_id().0.wrapping_mul(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15))
    }

    #[track_caller]
    pub(super) fn claim(&self, request: &ClaimRequest<'_>, now: Timestamp) -> Acquisition {
        self.answered(Operation::Claim, self.try_claim(request, now))
    }

    #[track_caller]
    pub(super) fn finish(&self, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
        self.answered(Operation::Finish, self.try_finish(completion, now))
    }

    #[track_caller]
    pub(super) fn renew(&self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> LeaseStatus {
        self.answered(Operation::Renew, self.try_renew(owner, expires_at, now))
    }

    #[track_caller]
    pub(super) fn release(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        self.answered(Operation::Release, self.try_release(owner, now))
    }

    #[track_caller]
    pub(super) fn find(&self, now: Timestamp) -> Option<Record> {
        self.answered(Operation::Find, self.try_find(now))
    }

    #[track_caller]
    pub(super) fn forget(&self, now: Timestamp) {
        self.answered(Operation::Forget, self.try_forget(now));
    }

    pub(super) fn try_claim(
        &self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.claim(key, request, now)))
    }

    pub(super) fn try_finish(
        &self,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.finish(key, completion, now)))
    }

    pub(super) fn try_renew(
        &self,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.renew(key, owner, expires_at, now)))
    }

    pub(super) fn try_release(&self, owner: Owner, now: Timestamp) -> Result<LeaseStatus, BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.release(key, owner, now)))
    }

    pub(super) fn try_find(&self, now: Timestamp) -> Result<Option<Record>, BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.find(key, now)))
    }

    pub(super) fn try_forget(&self, now: Timestamp) -> Result<(), BackendError> {
        self.with_key(|key| self.subject.block_on(self.subject.backend.forget(key, now)))
    }

    fn with_key<R>(&self, ask: impl FnOnce(&ClaimKey<'_>) -> R) -> R {
        let key = Key::from(&self.key);
        let key = ClaimKey::new(&self.namespace, self.kind, &key);
        ask(&key.expect("the suite makes up valid keys only"))
    }

    #[track_caller]
    fn answered<T>(&self, operation: Operation, answer: Result<T, BackendError>) -> T {
        match answer {
            Ok(answer) => answer,
            Err(error) => panic!("`{operation}` has to answer here, and failed: {error}\n  of {self}"),
        }
    }
}

/// # Expecting
impl<H: Harness> Claimable<'_, H> {
    /// Claims the key for a fresh owner, until [`LEASE`] later. It has to be free.
    #[track_caller]
    pub(super) fn held(&self, now: Timestamp) -> InProgress {
        self.held_until(now.saturating_add(LEASE), now)
    }

    #[track_caller]
    pub(super) fn held_until(&self, expires_at: Timestamp, now: Timestamp) -> InProgress {
        self.granted(&self.asking(expires_at), now, "rule 7: a key that is free is granted to who claims it")
    }

    /// Fails the check, telling `rule`, unless this claim is granted, and told by the record from then on.
    #[track_caller]
    pub(super) fn granted(&self, request: &ClaimRequest<'_>, now: Timestamp, rule: &str) -> InProgress {
        let held = self.granted_unread(request, now, rule);
        self.expect_record(Some(&Record::InProgress(held.clone())), now, rule);
        held
    }

    /// The same, without looking at the record.
    #[track_caller]
    pub(super) fn granted_unread(
        &self,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        rule: &str,
    ) -> InProgress {
        match self.claim(request, now) {
            Acquisition::Acquired(grant) if grant.expires_at == request.expires_at => {
                in_progress(request, grant.fencing_token)
            }
            answer => panic!(
                "{rule}\n  expected it to be granted until {:?}\n  but saw  {answer:?}\n  of {self}",
                request.expires_at
            ),
        }
    }

    /// Fails the check, telling `rule`, unless a claim by somebody else is refused with this record, which stays.
    #[track_caller]
    pub(super) fn refused(&self, record: &Record, now: Timestamp, rule: &str) {
        let answer = self.claim(&self.asking(now.saturating_add(LEASE)), now);
        self.expect(&answer, &Acquisition::Held(record.clone()), rule);
        self.expect_record(Some(record), now, rule);
    }

    /// Finishes what is held. Fails the check unless that is kept, and found from then on, if it has not expired.
    #[track_caller]
    pub(super) fn finished(&self, held: &InProgress, completion: &Completion<'_>, at: Timestamp) -> Record {
        let rule = "rule 8: the owner of a claim finishes it, and the record says so";
        let record = done(held, completion, at);
        self.expect(&self.finish(completion, at), &FinishResult::Stored, rule);
        let there = !completion.expires.is_some_and(|expires| has_expired(expires, at));
        self.expect_record(there.then_some(&record), at, rule);
        record
    }

    /// Fails the check, telling `rule`, unless this owner can neither finish, nor renew, nor release, is told this
    /// record instead, and changes nothing.
    #[track_caller]
    pub(super) fn lost_to(&self, owner: Owner, record: Option<&Record>, now: Timestamp, rule: &str) {
        let stolen = completion(owner, "\"stolen\"");
        let finished = self.finish(&stolen, now);
        self.expect(&finished, &FinishResult::Lost(record.cloned()), &format!("{rule}; here `finish`"));
        let renewed = self.renew(owner, now.saturating_add(1_000 * LEASE), now);
        self.expect(&renewed, &LeaseStatus::Lost(record.cloned()), &format!("{rule}; here `renew`"));
        let released = self.release(owner, now);
        self.expect(&released, &LeaseStatus::Lost(record.cloned()), &format!("{rule}; here `release`"));
        self.expect_record(record, now, &format!("{rule}; here after all three"));
    }

    #[track_caller]
    pub(super) fn expect_record(&self, record: Option<&Record>, now: Timestamp, rule: &str) {
        self.expect(&self.find(now).as_ref(), &record, &format!("{rule}; here `find`"));
    }

    /// Fails the check, telling `rule`, unless the answer is the expected one.
    #[track_caller]
    pub(super) fn expect<T: PartialEq + fmt::Debug>(&self, seen: &T, expected: &T, rule: &str) {
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {self}");
    }
}

impl<H: Harness> fmt::Display for Claimable<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {:?} in the namespace {:?}, {}", self.key, self.namespace, self.kind.as_str())
    }
}

pub(super) const fn in_progress(request: &ClaimRequest<'_>, fencing_token: FencingToken) -> InProgress {
    InProgress {
        owner: request.owner,
        fencing_token,
        expires_at: request.expires_at,
        request_hash: request.request_hash,
    }
}

/// A completion with this JSON and a status code, that never expires.
pub(super) fn completion(owner: Owner, json: &str) -> Completion<'static> {
    Completion { result: StoredResult::Value(json.into()), status_code: Some(201), ..Completion::new(owner) }
}

/// The record of what was held, after it was finished like this.
pub(super) fn done(held: &InProgress, completion: &Completion<'_>, at: Timestamp) -> Record {
    Record::Finished(Finished {
        owner: completion.owner,
        fencing_token: held.fencing_token,
        at,
        result: completion.result.clone(),
        status_code: completion.status_code,
        request_hash: held.request_hash,
    })
}

/// The first moment at which a record that expires then has expired.
pub(super) const fn expired_at(expires: Timestamp) -> Timestamp {
    Timestamp::from_secs(expires.as_nanos().div_ceil(1_000_000_000))
}
