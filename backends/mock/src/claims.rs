//! Claims as the contract defines them, in the simplest form.

use std::collections::HashMap;

use limited_core::{
    Acquisition, BackendError, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant,
    InProgress, LeaseStatus, Owner, Record, RequestHash, Result, StoredResult, Timestamp, has_expired,
    has_passed, lapsed_claim_expires,
};

use crate::request::{ClaimId, ClaimOp};
use crate::response::Response;

/// Every key that was ever claimed and not forgotten. Nothing is deleted: expired records are
/// ignored.
#[derive(Debug)]
pub(crate) struct Claims {
    states: HashMap<ClaimId, State>,
    /// The token of the last acquisition of any key.
    last_fencing_token: FencingToken,
}

/// A claimed key after the last operation of its owner.
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
    /// There is no record. The owner is remembered, to recognise it.
    Released,
}

impl Default for Claims {
    fn default() -> Self {
        Self { states: HashMap::new(), last_fencing_token: FencingToken(0) }
    }
}

impl Claims {
    /// Applies one operation.
    pub(crate) fn apply(&mut self, id: &ClaimId, operation: &ClaimOp, now: Timestamp) -> Result<Response> {
        Ok(match operation {
            ClaimOp::Claim { request, .. } => Response::Acquisition(self.claim(id, request, now)?),
            ClaimOp::Finish { completion, .. } => Response::FinishResult(self.finish(id, completion, now)),
            ClaimOp::Renew { owner, expires_at } => {
                Response::LeaseStatus(self.renew(id, *owner, *expires_at, now))
            }
            ClaimOp::Release { owner } => Response::LeaseStatus(self.release(id, *owner, now)),
            ClaimOp::Find => Response::Record(self.find(id, now)),
            ClaimOp::Forget => {
                self.states.remove(id);
                Response::Done
            }
        })
    }

    /// Returns the number of stored keys, expired and released ones included.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn claim(&mut self, id: &ClaimId, request: &ClaimRequest<'_>, now: Timestamp) -> Result<Acquisition> {
        let &ClaimRequest { owner, expires_at, request_hash, .. } = request;
        match self.live(id, now) {
            Some(State { stage: Stage::Released, owner: last, .. }) if *last == owner => {
                return Err(BackendError::invalid(
                    "this owner has released the key: claim it again with a new owner token",
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
        match self.find(id, now) {
            Some(Record::InProgress(held)) if has_passed(held.expires_at, now) => {}
            Some(record) => return Ok(Acquisition::Held(record)),
            None => {}
        }
        let fencing_token = self.last_fencing_token.max(FencingToken::seed(now)).next();
        self.last_fencing_token = fencing_token;
        let (stage, expires) = (Stage::InProgress { expires_at }, Some(lapsed_claim_expires(expires_at)));
        self.states.insert(id.clone(), State { owner, fencing_token, request_hash, stage, expires });
        Ok(Acquisition::Acquired(Grant { fencing_token, expires_at }))
    }

    fn finish(&mut self, id: &ClaimId, completion: &Completion<'_>, now: Timestamp) -> FinishResult {
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

    fn renew(&mut self, id: &ClaimId, owner: Owner, to: Timestamp, now: Timestamp) -> LeaseStatus {
        match self.live_of(owner, id, now) {
            Some(State { stage: Stage::InProgress { expires_at }, expires, .. }) => {
                *expires_at = to.max(*expires_at);
                *expires = Some(lapsed_claim_expires(*expires_at));
                LeaseStatus::Owned
            }
            _ => LeaseStatus::Lost(self.find(id, now)),
        }
    }

    fn release(&mut self, id: &ClaimId, owner: Owner, now: Timestamp) -> LeaseStatus {
        match self.live_of(owner, id, now) {
            Some(State { stage: stage @ (Stage::InProgress { .. } | Stage::Released), .. }) => {
                *stage = Stage::Released;
                LeaseStatus::Owned
            }
            _ => LeaseStatus::Lost(self.find(id, now)),
        }
    }

    fn find(&mut self, id: &ClaimId, now: Timestamp) -> Option<Record> {
        self.live(id, now)?.record()
    }

    /// Returns the stored state, unless it has expired.
    fn live(&mut self, id: &ClaimId, now: Timestamp) -> Option<&mut State> {
        self.states
            .get_mut(id)
            .filter(|state| !state.expires.is_some_and(|expires| has_expired(expires, now)))
    }

    /// Returns the stored state, if this owner was the last to acquire it.
    fn live_of(&mut self, owner: Owner, id: &ClaimId, now: Timestamp) -> Option<&mut State> {
        self.live(id, now).filter(|state| state.owner == owner)
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
            Stage::Released => None,
        }
    }
}
