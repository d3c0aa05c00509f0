//! A model of claims: a map of records, and the rules of the contract in their simplest form.

use std::collections::HashMap;

use limited::Timestamp;
use limited::backend::{
    Acquisition, ClaimKey, ClaimRequest, Completion, FencingToken, FinishResult, Finished, Grant, InProgress,
    LeaseStatus, MAX_CLOCK_SKEW, Owner, Record, RequestHash, StoredResult, has_expired, has_passed,
    lapsed_claim_expires,
};

/// All records since the start of the test.
#[derive(Default)]
pub(crate) struct Model {
    entries: HashMap<(String, &'static str, String), Entry>,
    /// The latest time of any call so far.
    latest: Timestamp,
}

struct Entry {
    owner: Owner,
    fencing_token: FencingToken,
    request_hash: Option<RequestHash>,
    state: State,
}

#[derive(Clone)]
enum State {
    Held { expires_at: Timestamp },
    Released,
    Done { at: Timestamp, expires: Option<Timestamp>, result: StoredResult, status_code: Option<u16> },
    Forgotten,
}

impl Entry {
    fn record(&self) -> Option<Record> {
        let Self { owner, fencing_token, request_hash, .. } = *self;
        match self.state.clone() {
            State::Held { expires_at } => {
                Some(Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash }))
            }
            State::Done { at, result, status_code, .. } => Some(Record::Finished(Finished {
                owner,
                fencing_token,
                at,
                result,
                status_code,
                request_hash,
            })),
            State::Released | State::Forgotten => None,
        }
    }

    fn is_absent(&self, now: Timestamp) -> bool {
        match self.state {
            State::Held { expires_at } => has_expired(lapsed_claim_expires(expires_at), now),
            State::Done { expires, .. } => expires.is_some_and(|expires| has_expired(expires, now)),
            State::Released | State::Forgotten => true,
        }
    }
}

impl Model {
    fn id(key: &ClaimKey<'_>) -> (String, &'static str, String) {
        (key.namespace().to_owned(), key.kind().as_str(), key.key().to_owned())
    }

    /// Notes the time of a call, and whether the backend found no record. A caller may be delayed
    /// for longer than the maximum clock skew after it has read the clock. It may then find no
    /// record, because the record has expired at the time of later calls.
    pub(crate) fn note_time(&mut self, key: &ClaimKey<'_>, now: Timestamp, found_nothing: bool) {
        self.latest = self.latest.max(now);
        let known_from = self.latest.saturating_sub(MAX_CLOCK_SKEW);
        let entry = self.entries.get_mut(&Self::id(key));
        let may_be_gone =
            |entry: &&mut Entry| now < known_from && !entry.is_absent(now) && entry.is_absent(known_from);
        if let Some(entry) = entry.filter(may_be_gone)
            && found_nothing
        {
            entry.state = State::Forgotten;
        }
    }

    fn live(&mut self, key: &ClaimKey<'_>, now: Timestamp) -> Option<&mut Entry> {
        self.entries.get_mut(&Self::id(key)).filter(|entry| !entry.is_absent(now))
    }

    fn held_by(&mut self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Option<&mut Entry> {
        let is_held = |entry: &&mut Entry| entry.owner == owner && matches!(entry.state, State::Held { .. });
        self.live(key, now).filter(is_held)
    }

    /// Checks the result of a claim. The backend may choose any fencing token that is higher than
    /// the last.
    pub(crate) fn claim(
        &mut self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        result: &Acquisition,
    ) {
        if let Some(entry) = self.live(key, now) {
            let is_free = matches!(entry.state, State::Held { expires_at } if has_passed(expires_at, now));
            match entry.state {
                State::Held { expires_at } if entry.owner == request.owner => {
                    let again =
                        Acquisition::Acquired(Grant { fencing_token: entry.fencing_token, expires_at });
                    return assert_eq!(*result, again, "a repeated claim returns its first result");
                }
                _ if !is_free => {
                    return assert_eq!(Some(result.clone()), entry.record().map(Acquisition::Held));
                }
                _ => {}
            }
        }
        let Acquisition::Acquired(grant) = result else {
            panic!("{key:?} is free at {now:?}, but the result is {result:?}")
        };
        assert_eq!(grant.expires_at, request.expires_at);
        let id = Self::id(key);
        let last = self.entries.get(&id).map(|entry| entry.fencing_token);
        assert!(
            last.is_none_or(|last| last < grant.fencing_token),
            "the fencing token {:?} follows {last:?}",
            grant.fencing_token
        );
        let ClaimRequest { owner, request_hash, .. } = *request;
        let state = State::Held { expires_at: request.expires_at };
        self.entries.insert(id, Entry { owner, fencing_token: grant.fencing_token, request_hash, state });
    }

    pub(crate) fn finish(
        &mut self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> FinishResult {
        if let Some(entry) = self.held_by(key, completion.owner, now) {
            let (result, expires) = (completion.result.clone(), completion.expires);
            entry.state = State::Done { at: now, expires, result, status_code: completion.status_code };
            return FinishResult::Stored;
        }
        match self.find(key, now) {
            Some(Record::Finished(finished)) if finished.owner == completion.owner => FinishResult::Stored,
            other => FinishResult::Lost(other),
        }
    }

    pub(crate) fn renew(
        &mut self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> LeaseStatus {
        match self.held_by(key, owner, now).map(|entry| &mut entry.state) {
            Some(State::Held { expires_at: held }) => {
                *held = expires_at.max(*held);
                LeaseStatus::Owned
            }
            _ => LeaseStatus::Lost(self.find(key, now)),
        }
    }

    /// Returns the expected result, and whether the call repeats an earlier release.
    pub(crate) fn release(
        &mut self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> (LeaseStatus, bool) {
        if let Some(entry) = self.held_by(key, owner, now) {
            entry.state = State::Released;
            return (LeaseStatus::Owned, false);
        }
        let entry = self.entries.get(&Self::id(key));
        if entry.is_some_and(|entry| entry.owner == owner && matches!(entry.state, State::Released)) {
            return (LeaseStatus::Owned, true);
        }
        (LeaseStatus::Lost(self.find(key, now)), false)
    }

    pub(crate) fn find(&mut self, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
        self.live(key, now).and_then(|entry| entry.record())
    }

    pub(crate) fn forget(&mut self, key: &ClaimKey<'_>) {
        if let Some(entry) = self.entries.get_mut(&Self::id(key)) {
            entry.state = State::Forgotten;
        }
    }
}
