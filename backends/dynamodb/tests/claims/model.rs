//! A model of claims in plain code: one record, and the effect of each operation on it. Nothing is
//! ever deleted.

use limited_core::{
    Acquisition, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant, InProgress,
    LeaseStatus, Owner, Record, StoredResult, Timestamp, has_expired, has_passed, lapsed_claim_expires,
};

/// An operation with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum ClaimOp {
    Claim(Owner, Timestamp),
    /// Each completion has a different value.
    Finish(Owner, u32, Option<Timestamp>),
    Renew(Owner, Timestamp),
    Release(Owner),
    Find,
    Forget,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OpResult {
    /// `None` if the owner may not claim again.
    Acquisition(Option<Acquisition>),
    FinishResult(FinishResult),
    Lease(LeaseStatus),
    Found(Option<Record>),
    Forgotten,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    record: Option<Record>,
    expires: Option<Timestamp>,
    /// The owner that released the key, if it has not been claimed since.
    released: Option<Owner>,
    fencing_token: Option<FencingToken>,
}

impl ClaimOp {
    pub(crate) fn request(owner: Owner, expires_at: Timestamp) -> ClaimRequest<'static> {
        ClaimRequest::new(owner, expires_at)
    }

    pub(crate) fn completion(owner: Owner, value: u32, expires: Option<Timestamp>) -> Completion<'static> {
        let result = StoredResult::Value(value.to_string().into());
        Completion::new(owner).with_result(result).with_expiry(expires)
    }
}

impl Model {
    /// Returns the model after the operation, and the result.
    pub(crate) fn after(&self, operation: &ClaimOp, now: Timestamp) -> (Self, OpResult) {
        let mut next = self.clone();
        let result = match *operation {
            ClaimOp::Claim(owner, expires_at) => OpResult::Acquisition(next.claim(owner, expires_at, now)),
            ClaimOp::Finish(owner, value, expires) => {
                OpResult::FinishResult(next.finish(&ClaimOp::completion(owner, value, expires), now))
            }
            ClaimOp::Renew(owner, expires_at) => OpResult::Lease(next.renew(owner, expires_at, now)),
            ClaimOp::Release(owner) => OpResult::Lease(next.release(owner, now)),
            ClaimOp::Find => OpResult::Found(next.live(now)),
            ClaimOp::Forget => {
                next = Self { fencing_token: self.fencing_token, ..Self::default() };
                OpResult::Forgotten
            }
        };
        (next, result)
    }

    fn live(&self, now: Timestamp) -> Option<Record> {
        let expired = self.expires.is_some_and(|expires| has_expired(expires, now));
        self.record.clone().filter(|_| !expired)
    }

    fn owner(&self) -> Option<Owner> {
        self.record.as_ref().map(|record| match record {
            Record::InProgress(held) => held.owner,
            Record::Finished(finished) => finished.owner,
        })
    }

    fn held_by(&self, owner: Owner, now: Timestamp) -> Option<InProgress> {
        match self.live(now)? {
            Record::InProgress(held) if held.owner == owner => Some(held),
            _ => None,
        }
    }

    fn claim(&mut self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> Option<Acquisition> {
        match self.live(now) {
            Some(Record::InProgress(held)) if held.owner == owner => {
                return Some(Acquisition::Acquired(Grant {
                    fencing_token: held.fencing_token,
                    expires_at: held.expires_at,
                }));
            }
            Some(Record::InProgress(held)) if has_passed(held.expires_at, now) => {}
            Some(record) => return Some(Acquisition::Held(record)),
            None => {}
        }
        if self.owner() == Some(owner) || self.released == Some(owner) {
            return None;
        }
        let fencing_token = self.fencing_token.unwrap_or(FencingToken::seed(now)).next();
        self.fencing_token = Some(fencing_token);
        self.released = None;
        self.record =
            Some(Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash: None }));
        self.expires = Some(lapsed_claim_expires(expires_at));
        Some(Acquisition::Acquired(Grant { fencing_token, expires_at }))
    }

    fn finish(&mut self, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
        if let Some(held) = self.held_by(completion.owner, now) {
            self.record = Some(Record::Finished(Finished {
                owner: held.owner,
                fencing_token: held.fencing_token,
                at: now,
                result: completion.result.clone(),
                status_code: completion.status_code,
                request_hash: held.request_hash,
            }));
            self.expires = completion.expires;
            return FinishResult::Stored;
        }
        match &self.record {
            Some(Record::Finished(done))
                if done.owner == completion.owner && (self.live(now).is_some() || done.at == now) =>
            {
                FinishResult::Stored
            }
            _ => FinishResult::Lost(self.live(now)),
        }
    }

    fn renew(&mut self, owner: Owner, expires_at: Timestamp, now: Timestamp) -> LeaseStatus {
        let Some(held) = self.held_by(owner, now) else { return LeaseStatus::Lost(self.live(now)) };
        if held.expires_at < expires_at {
            self.record = Some(Record::InProgress(InProgress { expires_at, ..held }));
            self.expires = Some(lapsed_claim_expires(expires_at));
        }
        LeaseStatus::Owned
    }

    fn release(&mut self, owner: Owner, now: Timestamp) -> LeaseStatus {
        if self.held_by(owner, now).is_some() {
            *self = Self { released: Some(owner), fencing_token: self.fencing_token, ..Self::default() };
        }
        if self.released == Some(owner) { LeaseStatus::Owned } else { LeaseStatus::Lost(self.live(now)) }
    }
}
