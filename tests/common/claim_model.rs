//! What claims are, as plainly as it can be said: a map of records, and the rules of the contract.

use std::collections::HashMap;

use limited::Timestamp;
use limited::contract::{
    ALLOWED_SKEW, ClaimKey, ClaimRequest, Claimed, Completion, Fence, Fingerprint, Finished, Grant,
    InProgress, Owner, Ownership, Record, Recorded, StoredResult, has_come, has_expired,
    lapsed_claim_expires,
};

/// Every record there has ever been.
#[derive(Default)]
pub(crate) struct Model {
    entries: HashMap<(String, &'static str, String), Entry>,
    /// The latest time that anybody told.
    latest: Timestamp,
}

struct Entry {
    owner: Owner,
    fence: Fence,
    fingerprint: Option<Fingerprint>,
    state: State,
}

#[derive(Clone)]
enum State {
    Held { until: Timestamp },
    Released,
    Done { at: Timestamp, expires: Option<Timestamp>, result: StoredResult, status_code: Option<u16> },
    Forgotten,
}

impl Entry {
    fn record(&self) -> Option<Record> {
        let Self { owner, fence, fingerprint, .. } = *self;
        match self.state.clone() {
            State::Held { until } => {
                Some(Record::InProgress(InProgress { owner, fence, until, fingerprint }))
            }
            State::Done { at, result, status_code, .. } => {
                Some(Record::Finished(Finished { owner, fence, at, result, status_code, fingerprint }))
            }
            State::Released | State::Forgotten => None,
        }
    }

    fn is_absent(&self, now: Timestamp) -> bool {
        match self.state {
            State::Held { until } => has_expired(lapsed_claim_expires(until), now),
            State::Done { expires, .. } => expires.is_some_and(|expires| has_expired(expires, now)),
            State::Released | State::Forgotten => true,
        }
    }
}

impl Model {
    fn id(key: &ClaimKey<'_>) -> (String, &'static str, String) {
        (key.namespace().to_owned(), key.kind().as_str(), key.key().to_owned())
    }

    /// Hears of a time, and of what the backend found there. A caller who was held up between reading the clock and
    /// asking, for longer than clocks may be apart, may find a record gone that had expired by the time of the others.
    pub(crate) fn hear(&mut self, key: &ClaimKey<'_>, now: Timestamp, found_nothing: bool) {
        self.latest = self.latest.max(now);
        let known_from = self.latest.saturating_sub(ALLOWED_SKEW);
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
        let is_its = |entry: &&mut Entry| entry.owner == owner && matches!(entry.state, State::Held { .. });
        self.live(key, now).filter(is_its)
    }

    /// Holds an answer against the rules. The number of a grant is the backend's to choose, as long as it rises.
    pub(crate) fn claim(
        &mut self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
        answer: &Claimed,
    ) {
        if let Some(entry) = self.live(key, now) {
            let free = matches!(entry.state, State::Held { until } if has_come(until, now));
            match entry.state {
                State::Held { until } if entry.owner == request.owner => {
                    let again = Claimed::Granted(Grant { fence: entry.fence, until });
                    return assert_eq!(*answer, again, "a repeated claim is answered as it was");
                }
                _ if !free => return assert_eq!(Some(answer.clone()), entry.record().map(Claimed::Taken)),
                _ => {}
            }
        }
        let Claimed::Granted(grant) = answer else {
            panic!("{key:?} is free at {now:?}, and not {answer:?}")
        };
        assert_eq!(grant.until, request.until);
        let id = Self::id(key);
        let last = self.entries.get(&id).map(|entry| entry.fence);
        assert!(last.is_none_or(|last| last < grant.fence), "{last:?} is followed by {:?}", grant.fence);
        let ClaimRequest { owner, fingerprint, .. } = *request;
        let state = State::Held { until: request.until };
        self.entries.insert(id, Entry { owner, fence: grant.fence, fingerprint, state });
    }

    pub(crate) fn finish(
        &mut self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Recorded {
        if let Some(entry) = self.held_by(key, completion.owner, now) {
            let (result, expires) = (completion.result.clone(), completion.expires);
            entry.state = State::Done { at: now, expires, result, status_code: completion.status_code };
            return Recorded::Kept;
        }
        match self.find(key, now) {
            Some(Record::Finished(finished)) if finished.owner == completion.owner => Recorded::Kept,
            other => Recorded::Lost(other),
        }
    }

    pub(crate) fn renew(
        &mut self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Ownership {
        match self.held_by(key, owner, now).map(|entry| &mut entry.state) {
            Some(State::Held { until: held }) => {
                *held = until.max(*held);
                Ownership::Owned
            }
            _ => Ownership::Lost(self.find(key, now)),
        }
    }

    /// What is answered, and whether it is to a repetition.
    pub(crate) fn release(&mut self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> (Ownership, bool) {
        if let Some(entry) = self.held_by(key, owner, now) {
            entry.state = State::Released;
            return (Ownership::Owned, false);
        }
        let entry = self.entries.get(&Self::id(key));
        if entry.is_some_and(|entry| entry.owner == owner && matches!(entry.state, State::Released)) {
            return (Ownership::Owned, true);
        }
        (Ownership::Lost(self.find(key, now)), false)
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
