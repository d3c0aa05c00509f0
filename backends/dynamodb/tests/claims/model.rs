//! What claims are, in plain code: one record, and what each operation makes of it. Nothing is ever deleted.

use limited_core::{
    ClaimRequest, Claimed, Completion, Fence, Finished, Grant, InProgress, Owner, Ownership, Record,
    Recorded, StoredResult, Timestamp, has_come, has_expired, lapsed_claim_expires,
};

/// An operation, with all that it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Claim(Owner, Timestamp),
    /// A value of its own for each completion.
    Finish(Owner, u32, Option<Timestamp>),
    Renew(Owner, Timestamp),
    Release(Owner),
    Find,
    Forget,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answered {
    /// `None` where the owner may not claim again.
    Claimed(Option<Claimed>),
    Recorded(Recorded),
    Owned(Ownership),
    Found(Option<Record>),
    Forgotten,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    record: Option<Record>,
    expires: Option<Timestamp>,
    /// Who has given the key up, where nobody has claimed it since.
    released: Option<Owner>,
    fence: Option<Fence>,
}

impl Asked {
    pub(crate) fn request(owner: Owner, until: Timestamp) -> ClaimRequest<'static> {
        ClaimRequest::new(owner, until)
    }

    pub(crate) fn completion(owner: Owner, value: u32, expires: Option<Timestamp>) -> Completion<'static> {
        let result = StoredResult::Value(value.to_string().into());
        Completion { result, expires, ..Completion::new(owner) }
    }
}

impl Model {
    /// What it answers, and what it is then.
    pub(crate) fn after(&self, asked: &Asked, now: Timestamp) -> (Self, Answered) {
        let mut next = self.clone();
        let answer = match *asked {
            Asked::Claim(owner, until) => Answered::Claimed(next.claim(owner, until, now)),
            Asked::Finish(owner, value, expires) => {
                Answered::Recorded(next.finish(&Asked::completion(owner, value, expires), now))
            }
            Asked::Renew(owner, until) => Answered::Owned(next.renew(owner, until, now)),
            Asked::Release(owner) => Answered::Owned(next.release(owner, now)),
            Asked::Find => Answered::Found(next.live(now)),
            Asked::Forget => {
                next = Self { fence: self.fence, ..Self::default() };
                Answered::Forgotten
            }
        };
        (next, answer)
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

    fn claim(&mut self, owner: Owner, until: Timestamp, now: Timestamp) -> Option<Claimed> {
        match self.live(now) {
            Some(Record::InProgress(held)) if held.owner == owner => {
                return Some(Claimed::Granted(Grant { fence: held.fence, until: held.until }));
            }
            Some(Record::InProgress(held)) if has_come(held.until, now) => {}
            Some(record) => return Some(Claimed::Taken(record)),
            None => {}
        }
        if self.owner() == Some(owner) || self.released == Some(owner) {
            return None;
        }
        let fence = self.fence.unwrap_or(Fence::seed(now)).next();
        self.fence = Some(fence);
        self.released = None;
        self.record = Some(Record::InProgress(InProgress { owner, fence, until, fingerprint: None }));
        self.expires = Some(lapsed_claim_expires(until));
        Some(Claimed::Granted(Grant { fence, until }))
    }

    fn finish(&mut self, completion: &Completion<'_>, now: Timestamp) -> Recorded {
        if let Some(held) = self.held_by(completion.owner, now) {
            self.record = Some(Record::Finished(Finished {
                owner: held.owner,
                fence: held.fence,
                at: now,
                result: completion.result.clone(),
                status_code: completion.status_code,
                fingerprint: held.fingerprint,
            }));
            self.expires = completion.expires;
            return Recorded::Kept;
        }
        match &self.record {
            Some(Record::Finished(done))
                if done.owner == completion.owner && (self.live(now).is_some() || done.at == now) =>
            {
                Recorded::Kept
            }
            _ => Recorded::Lost(self.live(now)),
        }
    }

    fn renew(&mut self, owner: Owner, until: Timestamp, now: Timestamp) -> Ownership {
        let Some(held) = self.held_by(owner, now) else { return Ownership::Lost(self.live(now)) };
        if held.until < until {
            self.record = Some(Record::InProgress(InProgress { until, ..held }));
            self.expires = Some(lapsed_claim_expires(until));
        }
        Ownership::Owned
    }

    fn release(&mut self, owner: Owner, now: Timestamp) -> Ownership {
        if self.held_by(owner, now).is_some() {
            *self = Self { released: Some(owner), fence: self.fence, ..Self::default() };
        }
        if self.released == Some(owner) { Ownership::Owned } else { Ownership::Lost(self.live(now)) }
    }
}
