//! The reference: claims as the contract has them, in the plainest way.

use std::collections::HashMap;

use limited_core::{
    BackendError, ClaimKey, ClaimKind, ClaimRequest, Claimed, Completion, Fence, Fingerprint, Finished,
    Grant, InProgress, Owner, Ownership, Record, Recorded, StoredResult, Timestamp, has_come, has_expired,
    lapsed_claim_expires,
};

use crate::answer::Answer;
use crate::operation::OfClaim;

/// Every key that was ever claimed, and not forgotten. Nothing is deleted by itself: what has expired is not seen.
#[derive(Debug)]
pub(crate) struct Claims {
    states: HashMap<Identity, State>,
    /// The number of the last grant of any key.
    last_fence: Fence,
}

/// What makes two claims the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    namespace: String,
    kind: ClaimKind,
    key: String,
}

/// A key that was granted, as the last operation of its owner left it.
#[derive(Debug)]
struct State {
    owner: Owner,
    fence: Fence,
    fingerprint: Option<Fingerprint>,
    stage: Stage,
    expires: Option<Timestamp>,
}

#[derive(Debug)]
enum Stage {
    InProgress {
        until: Timestamp,
    },
    Finished {
        at: Timestamp,
        result: StoredResult,
        status_code: Option<u16>,
    },
    /// There is no record. That there was one is kept, to recognise its owner.
    GivenUp,
}

impl Default for Claims {
    fn default() -> Self {
        Self { states: HashMap::new(), last_fence: Fence(0) }
    }
}

impl Claims {
    /// Carries out one operation.
    pub(crate) fn apply(
        &mut self,
        key: &ClaimKey<'_>,
        request: OfClaim<'_>,
        now: Timestamp,
    ) -> Result<Answer, BackendError> {
        let id = Identity::of(key);
        Ok(match request {
            OfClaim::Claim(request) => Answer::Claimed(self.claim(id, request, now)?),
            OfClaim::Finish(completion) => Answer::Recorded(self.finish(&id, completion, now)),
            OfClaim::Renew { owner, until } => Answer::Ownership(self.renew(&id, owner, until, now)),
            OfClaim::Release(owner) => Answer::Ownership(self.release(&id, owner, now)),
            OfClaim::Find => Answer::Found(self.find(&id, now)),
            OfClaim::Forget => {
                self.states.remove(&id);
                Answer::Done
            }
        })
    }

    /// How many keys are stored, those that have expired or were given up too.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn claim(
        &mut self,
        id: Identity,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError> {
        let &ClaimRequest { owner, until, fingerprint, .. } = request;
        match self.live(&id, now) {
            Some(State { stage: Stage::GivenUp, owner: last, .. }) if *last == owner => {
                return Err(BackendError::invalid(
                    "this owner has given the key up: who claims it again is a new owner, with a token of its own",
                ));
            }
            Some(&mut State { stage: Stage::InProgress { until }, owner: holder, fence, .. })
                if holder == owner =>
            {
                return Ok(Claimed::Granted(Grant { fence, until }));
            }
            _ => {}
        }
        match self.find(&id, now) {
            Some(Record::InProgress(held)) if has_come(held.until, now) => {}
            Some(record) => return Ok(Claimed::Taken(record)),
            None => {}
        }
        let fence = self.last_fence.max(Fence::seed(now)).next();
        self.last_fence = fence;
        let (stage, expires) = (Stage::InProgress { until }, Some(lapsed_claim_expires(until)));
        self.states.insert(id, State { owner, fence, fingerprint, stage, expires });
        Ok(Claimed::Granted(Grant { fence, until }))
    }

    fn finish(&mut self, id: &Identity, completion: &Completion<'_>, now: Timestamp) -> Recorded {
        match self.live_of(completion.owner, id, now) {
            Some(state @ State { stage: Stage::InProgress { .. }, .. }) => {
                let Completion { result, status_code, expires, .. } = completion.clone();
                state.stage = Stage::Finished { at: now, result, status_code };
                state.expires = expires;
                Recorded::Kept
            }
            Some(State { stage: Stage::Finished { .. }, .. }) => Recorded::Kept,
            _ => Recorded::Lost(self.find(id, now)),
        }
    }

    fn renew(&mut self, id: &Identity, owner: Owner, to: Timestamp, now: Timestamp) -> Ownership {
        match self.live_of(owner, id, now) {
            Some(State { stage: Stage::InProgress { until }, expires, .. }) => {
                *until = to.max(*until);
                *expires = Some(lapsed_claim_expires(*until));
                Ownership::Owned
            }
            _ => Ownership::Lost(self.find(id, now)),
        }
    }

    fn release(&mut self, id: &Identity, owner: Owner, now: Timestamp) -> Ownership {
        match self.live_of(owner, id, now) {
            Some(State { stage: stage @ (Stage::InProgress { .. } | Stage::GivenUp), .. }) => {
                *stage = Stage::GivenUp;
                Ownership::Owned
            }
            _ => Ownership::Lost(self.find(id, now)),
        }
    }

    fn find(&mut self, id: &Identity, now: Timestamp) -> Option<Record> {
        self.live(id, now)?.record()
    }

    /// What is stored and has not expired.
    fn live(&mut self, id: &Identity, now: Timestamp) -> Option<&mut State> {
        self.states
            .get_mut(id)
            .filter(|state| !state.expires.is_some_and(|expires| has_expired(expires, now)))
    }

    /// The same, if this owner was granted it last.
    fn live_of(&mut self, owner: Owner, id: &Identity, now: Timestamp) -> Option<&mut State> {
        self.live(id, now).filter(|state| state.owner == owner)
    }
}

impl Identity {
    fn of(key: &ClaimKey<'_>) -> Self {
        Self { namespace: key.namespace().to_owned(), kind: key.kind(), key: key.key().to_owned() }
    }
}

impl State {
    fn record(&self) -> Option<Record> {
        let &Self { owner, fence, fingerprint, .. } = self;
        match &self.stage {
            &Stage::InProgress { until } => {
                Some(Record::InProgress(InProgress { owner, fence, until, fingerprint }))
            }
            &Stage::Finished { at, ref result, status_code } => Some(Record::Finished(Finished {
                owner,
                fence,
                at,
                result: result.clone(),
                status_code,
                fingerprint,
            })),
            Stage::GivenUp => None,
        }
    }
}
