//! The reference: claims as the contract has them, in the plainest way.

use std::collections::HashMap;

use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, FencingToken, FinishResult,
    Finished, Grant, InProgress, LeaseStatus, Owner, Record, RequestHash, StoredResult, Timestamp,
    has_expired, has_passed, lapsed_claim_expires,
};

use crate::answer::Answer;
use crate::operation::OfClaim;

/// Every key that was ever claimed, and not forgotten. Nothing is deleted by itself: what has expired is not seen.
#[derive(Debug)]
pub(crate) struct Claims {
    states: HashMap<Identity, State>,
    /// The number of the last grant of any key.
    last_fencing_token: FencingToken,
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
    fencing_token: FencingToken,
    request_hash: Option<RequestHash>,
    stage: Stage,
    expires: Option<Timestamp>,
}

#[derive(Debug)]
enum Stage {
    InProgress {
        expires_at: Timestamp,
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
        Self { states: HashMap::new(), last_fencing_token: FencingToken(0) }
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
            OfClaim::Claim(request) => Answer::Acquisition(self.claim(id, request, now)?),
            OfClaim::Finish(completion) => Answer::FinishResult(self.finish(&id, completion, now)),
            OfClaim::Renew { owner, expires_at } => {
                Answer::LeaseStatus(self.renew(&id, owner, expires_at, now))
            }
            OfClaim::Release(owner) => Answer::LeaseStatus(self.release(&id, owner, now)),
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
    ) -> Result<Acquisition, BackendError> {
        let &ClaimRequest { owner, expires_at, request_hash, .. } = request;
        match self.live(&id, now) {
            Some(State { stage: Stage::GivenUp, owner: last, .. }) if *last == owner => {
                return Err(BackendError::invalid(
                    "this owner has given the key up: who claims it again is a new owner, with a token of its own",
                ));
            }
            Some(&mut State {
                stage: Stage::InProgress { expires_at },
                owner: holder,
                fencing_token,
                ..
            }) if holder == owner => {
                return Ok(Acquisition::Acquired(Grant { fencing_token, expires_at }));
            }
            _ => {}
        }
        match self.find(&id, now) {
            Some(Record::InProgress(held)) if has_passed(held.expires_at, now) => {}
            Some(record) => return Ok(Acquisition::Held(record)),
            None => {}
        }
        let fencing_token = self.last_fencing_token.max(FencingToken::seed(now)).next();
        self.last_fencing_token = fencing_token;
        let (stage, expires) = (Stage::InProgress { expires_at }, Some(lapsed_claim_expires(expires_at)));
        self.states.insert(id, State { owner, fencing_token, request_hash, stage, expires });
        Ok(Acquisition::Acquired(Grant { fencing_token, expires_at }))
    }

    fn finish(&mut self, id: &Identity, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
        match self.live_of(completion.owner, id, now) {
            Some(state @ State { stage: Stage::InProgress { .. }, .. }) => {
                let Completion { result, status_code, expires, .. } = completion.clone();
                state.stage = Stage::Finished { at: now, result, status_code };
                state.expires = expires;
                FinishResult::Stored
            }
            Some(State { stage: Stage::Finished { .. }, .. }) => FinishResult::Stored,
            _ => FinishResult::Lost(self.find(id, now)),
        }
    }

    fn renew(&mut self, id: &Identity, owner: Owner, to: Timestamp, now: Timestamp) -> LeaseStatus {
        match self.live_of(owner, id, now) {
            Some(State { stage: Stage::InProgress { expires_at }, expires, .. }) => {
                *expires_at = to.max(*expires_at);
                *expires = Some(lapsed_claim_expires(*expires_at));
                LeaseStatus::Owned
            }
            _ => LeaseStatus::Lost(self.find(id, now)),
        }
    }

    fn release(&mut self, id: &Identity, owner: Owner, now: Timestamp) -> LeaseStatus {
        match self.live_of(owner, id, now) {
            Some(State { stage: stage @ (Stage::InProgress { .. } | Stage::GivenUp), .. }) => {
                *stage = Stage::GivenUp;
                LeaseStatus::Owned
            }
            _ => LeaseStatus::Lost(self.find(id, now)),
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
        let &Self { owner, fencing_token, request_hash, .. } = self;
        match &self.stage {
            &Stage::InProgress { expires_at } => {
                Some(Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash }))
            }
            &Stage::Finished { at, ref result, status_code } => Some(Record::Finished(Finished {
                owner,
                fencing_token,
                at,
                result: result.clone(),
                status_code,
                request_hash,
            })),
            Stage::GivenUp => None,
        }
    }
}
