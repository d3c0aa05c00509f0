//! Rules 7 to 11 together: random operations at random times have the results of a simple model.

use std::time::Duration;

use super::probe::{ClaimProbe, LEASE, completion, finished_record, granted, in_progress};
use crate::conformance::Harness;
use crate::conformance::clock::visit_jumping_times;
use crate::conformance::random::Random;
use crate::conformance::subject::Subject;
use crate::{
    Acquisition, ClaimRequest, Completion, FencingToken, FinishResult, Grant, InProgress, LeaseStatus, Owner,
    Record, Timestamp, has_expired, has_passed, lapsed_claim_expires,
};

pub(crate) fn claims_under_a_jumping_clock_match_a_model<H: Harness>(subject: &Subject<'_, H>) {
    for forward in [2 * LEASE, Duration::from_secs(30 * 3_600)] {
        let subject = subject.with_new_backend();
        let key = subject.key(format!("{forward:?}"));
        let mut model = Model { key: &key, stored: None, last: None, owners: Vec::new(), released: None };
        visit_jumping_times(subject.harness.max_clock_skew(), forward, |now, _, random| {
            for _ in 0..2 {
                model.step(now, random);
            }
        });
    }
}

/// The state that the key has in a backend that forgets nothing.
struct Model<'k, 's, H: Harness> {
    key: &'k ClaimProbe<'s, H>,
    stored: Option<Stored>,
    last: Option<FencingToken>,
    owners: Vec<Owner>,
    /// The owner that released the key, if no other owner has acquired it since.
    released: Option<Owner>,
}

#[derive(Clone)]
struct Stored {
    record: Record,
    expires: Option<Timestamp>,
}

const RULE: &str = "rules 7 to 11: in any order, and if the clock jumps within the maximum skew, \
                    a key has one owner, and only that owner ends the claim";

impl<H: Harness> Model<'_, '_, H> {
    fn step(&mut self, now: Timestamp, random: &mut Random) {
        let up_to_two_leases = |random: &mut Random| Duration::from_secs(random.below(2 * LEASE.as_secs()));
        let expires_at = now.saturating_add(up_to_two_leases(random));
        // Mostly the latest owners, so that some of them hold the key.
        let recent = self.owners.len().saturating_sub(1 + usize::from(random.below(3) == 0));
        let owner = self.owners.get(recent).copied().unwrap_or(Owner(0));
        match random.below(10) {
            0..=2 => self.claim(&self.key.new_request(expires_at), now),
            3 => self.claim_again(now),
            4 | 5 => self.renew(owner, expires_at, now),
            6 | 7 => {
                let expires = (random.below(4) > 0).then(|| now.saturating_add(up_to_two_leases(random)));
                self.finish(&Completion { expires, ..completion(owner, "\"done\"") }, now);
            }
            8 => self.release(owner, now),
            _ if random.below(3) == 0 => {
                self.key.forget(now);
                self.stored = None;
            }
            _ => {}
        }
        self.key.expect_record(self.live(now).as_ref(), now, RULE);
    }

    fn live(&self, now: Timestamp) -> Option<Record> {
        let stored = self.stored.as_ref();
        let live = stored.filter(|stored| !stored.expires.is_some_and(|expires| has_expired(expires, now)));
        live.map(|stored| stored.record.clone())
    }

    fn held_by(&self, owner: Owner, now: Timestamp) -> Option<InProgress> {
        match self.live(now)? {
            Record::InProgress(held) if held.owner == owner => Some(held),
            _ => None,
        }
    }

    fn hold(&mut self, held: InProgress) {
        let expires = Some(lapsed_claim_expires(held.expires_at));
        self.stored = Some(Stored { record: Record::InProgress(held), expires });
    }

    fn claim(&mut self, request: &ClaimRequest<'_>, now: Timestamp) {
        let result = self.key.claim(request, now);
        let held = self.live(now).filter(|record| match record {
            Record::InProgress(held) => !has_passed(held.expires_at, now),
            Record::Finished(_) => true,
        });
        match (held, &result) {
            (Some(record), _) => self.key.expect(&result, &Acquisition::Held(record), RULE),
            (None, Acquisition::Acquired(Grant { fencing_token, expires_at }))
                if self.last < Some(*fencing_token) && *expires_at == request.expires_at =>
            {
                self.last = Some(*fencing_token);
                self.released = None;
                self.owners.push(request.owner);
                self.hold(in_progress(request, *fencing_token));
            }
            (None, _) => panic!(
                "{RULE}\n  expected the key to be acquired until {:?}, with a fencing token above {:?}\n  but saw  {result:?}\n  of {}",
                request.expires_at, self.last, self.key
            ),
        }
    }

    fn claim_again(&self, now: Timestamp) {
        let Some(Record::InProgress(held)) = self.live(now) else { return };
        let again = ClaimRequest {
            request_hash: held.request_hash,
            ..ClaimRequest::new(held.owner, held.expires_at)
        };
        let expected = granted(&held);
        self.key.expect(&self.key.claim(&again, now), &expected, RULE);
    }

    fn finish(&mut self, completion: &Completion<'_>, now: Timestamp) {
        let owner = completion.owner;
        let stored = self.stored.as_ref().map(|stored| &stored.record);
        let is_own = matches!(stored, Some(Record::Finished(finished)) if finished.owner == owner);
        let live = self.live(now);
        if is_own && live.is_none() {
            // After the record has expired, the backend may recognize the owner or not.
            return;
        }
        let held = self.held_by(owner, now);
        let expected = if is_own || held.is_some() { FinishResult::Stored } else { FinishResult::Lost(live) };
        self.key.expect(&self.key.finish(completion, now), &expected, RULE);
        if let Some(held) = held {
            self.stored =
                Some(Stored { record: finished_record(&held, completion, now), expires: completion.expires });
        }
    }

    fn renew(&mut self, owner: Owner, expires_at: Timestamp, now: Timestamp) {
        let held = self.held_by(owner, now);
        let expected = if held.is_some() { LeaseStatus::Owned } else { LeaseStatus::Lost(self.live(now)) };
        self.key.expect(&self.key.renew(owner, expires_at, now), &expected, RULE);
        if let Some(held) = held {
            self.hold(InProgress { expires_at: held.expires_at.max(expires_at), ..held });
        }
    }

    fn release(&mut self, owner: Owner, now: Timestamp) {
        let held = self.held_by(owner, now);
        let expected = if held.is_some() { LeaseStatus::Owned } else { LeaseStatus::Lost(self.live(now)) };
        let result = self.key.release(owner, now);
        if held.is_some() {
            self.stored = None;
            self.released = Some(owner);
        } else if self.released == Some(owner) && result == LeaseStatus::Owned {
            // The backend recognized the repeated release.
            return;
        }
        self.key.expect(&result, &expected, RULE);
    }
}
