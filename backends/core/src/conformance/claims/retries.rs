//! Rule 10: a backend recognizes an operation that its owner repeats.

use super::probe::{LEASE, completion, finished_record, granted};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NOW, SECOND};
use crate::{
    Acquisition, ClaimRequest, Completion, FinishResult, Grant, InProgress, LeaseStatus, Record, RequestHash,
    StoredResult,
};

pub(crate) fn repeated_claim_returns_its_first_result<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a claim that its owner repeats while it holds the key returns its first result";
    let key = subject.key("repeated");
    let request = key.new_request(NOW.saturating_add(LEASE));
    let held = key.expect_acquired(&request, NOW, rule);
    let acquired = granted(&held);
    let record = Record::InProgress(held.clone());
    // Also if its lease has ended, and no other owner has taken the key over.
    for now in [NOW, NOW.saturating_add(SECOND), held.expires_at, held.expires_at.saturating_add(LEASE)] {
        for _ in 0..2 {
            key.expect(&key.claim(&request, now), &acquired, rule);
            key.expect_record(Some(&record), now, rule);
        }
    }
    let now = held.expires_at.saturating_add(LEASE);
    let newer = key.acquire(now);
    let refused = Acquisition::Held(Record::InProgress(newer.clone()));
    let late = "rule 7: a late claim is refused if a newer owner has taken the key over";
    key.expect(&key.claim(&request, now), &refused, late);
    key.expect_record(Some(&Record::InProgress(newer)), now, late);
}

pub(crate) fn repeated_claim_returns_the_stored_lease<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a repeated claim returns the fencing token and the lease of the record";
    let key = subject.key("another lease");
    let held = key.acquire(NOW);
    for expires_at in [NOW.saturating_add(SECOND), NOW.saturating_add(10 * LEASE)] {
        let request = ClaimRequest {
            request_hash: Some(RequestHash([9; 32])),
            ..ClaimRequest::new(held.owner, expires_at)
        };
        let result = key.claim(&request, NOW);
        let found = key.find(NOW);
        let Some(Record::InProgress(InProgress { owner, fencing_token, expires_at, .. })) = found else {
            panic!("{rule}\n  but `find` returned {found:?}\n  of {key}");
        };
        key.expect(&owner, &held.owner, rule);
        key.expect(&fencing_token, &held.fencing_token, rule);
        key.expect(&result, &Acquisition::Acquired(Grant { fencing_token, expires_at }), rule);
    }
}

pub(crate) fn claim_repeated_after_finish_returns_the_result<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a claim that arrives again after `finish` returns the result";
    let key = subject.key("finished");
    let request = key.new_request(NOW.saturating_add(LEASE));
    let held = key.expect_acquired(&request, NOW, rule);
    let record = key.expect_finished(&held, &completion(held.owner, "\"done\""), NOW);
    for now in [NOW, held.expires_at, held.expires_at.saturating_add(LEASE)] {
        key.expect(&key.claim(&request, now), &Acquisition::Held(record.clone()), rule);
        key.expect_record(Some(&record), now, rule);
    }
}

pub(crate) fn repeated_finish_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a repeated `finish` returns its first result, and changes nothing";
    for (name, result) in [
        ("nothing", StoredResult::Nothing),
        ("value", StoredResult::Value("\"done\"".into())),
        ("error", StoredResult::Error("\"refused\"".into())),
    ] {
        let key = subject.key(name);
        let held = key.acquire(NOW);
        let expires = NOW.saturating_add(10 * LEASE);
        let completion = Completion {
            result,
            status_code: Some(200),
            expires: Some(expires),
            ..Completion::new(held.owner)
        };
        let record = key.expect_finished(&held, &completion, NOW);
        // Also after the time at which its lease would have ended.
        for now in [NOW, NOW.saturating_add(SECOND), held.expires_at.saturating_add(SECOND)] {
            key.expect(&key.finish(&completion, now), &FinishResult::Stored, rule);
            key.expect_refused(&record, now, rule);
        }
    }
    // A second result does not replace the first, whatever the call returns.
    let key = subject.key("another result");
    let held = key.acquire(NOW);
    let record = key.expect_finished(&held, &completion(held.owner, "\"first\""), NOW);
    key.finish(&completion(held.owner, "\"second\""), NOW.saturating_add(SECOND));
    key.expect_refused(&record, NOW.saturating_add(SECOND), rule);
}

pub(crate) fn repeated_renewal_and_release_are_recognized<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a repeated `renew` returns its first result";
    let key = subject.key("renewed");
    let held = key.acquire(NOW);
    let expires_at = held.expires_at.saturating_add(LEASE);
    for now in [NOW, NOW, NOW.saturating_add(SECOND), expires_at] {
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        key.expect_record(Some(&Record::InProgress(InProgress { expires_at, ..held.clone() })), now, rule);
    }

    let rule = "rule 10: a repeated `release` returns its first result, or finds no record";
    let key = subject.key("released");
    let held = key.acquire(expires_at);
    key.expect(&key.release(held.owner, expires_at), &LeaseStatus::Owned, rule);
    for _ in 0..2 {
        let result = key.release(held.owner, expires_at);
        assert!(
            matches!(result, LeaseStatus::Owned | LeaseStatus::Lost(None)),
            "{rule}\n  but saw {result:?}\n  of {key}"
        );
        key.expect_record(None, expires_at, rule);
    }
    let newer = key.acquire(expires_at);
    let late = LeaseStatus::Lost(Some(Record::InProgress(newer.clone())));
    let rule = "rule 8: a late `release` changes nothing of the newer owner";
    key.expect(&key.release(held.owner, expires_at), &late, rule);
    let completion = completion(newer.owner, "\"newer\"");
    key.expect_finished(&newer, &completion, expires_at);
    key.expect_refused(&finished_record(&newer, &completion, expires_at), expires_at, rule);
}
