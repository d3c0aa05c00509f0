//! Rule 10: an operation that its owner repeats is recognised.

use super::probe::{LEASE, SECOND, completion, done};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, Subject};
use crate::{
    Acquisition, ClaimRequest, Completion, FinishResult, Grant, InProgress, LeaseStatus, Record, RequestHash,
    StoredResult,
};

pub(in super::super) fn a_repeated_claim_is_granted_again<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 10: a claim that its owner repeats while it holds the key is answered as it was at first";
    let key = subject.claimable("repeated");
    let request = key.asking(NOW.saturating_add(LEASE));
    let held = key.granted(&request, NOW, rule);
    let granted =
        Acquisition::Acquired(Grant { fencing_token: held.fencing_token, expires_at: held.expires_at });
    let record = Record::InProgress(held.clone());
    // Also where its lease has ended, and nobody has taken it.
    for now in [NOW, NOW.saturating_add(SECOND), held.expires_at, held.expires_at.saturating_add(LEASE)] {
        for _ in 0..2 {
            key.expect(&key.claim(&request, now), &granted, rule);
            key.expect_record(Some(&record), now, rule);
        }
    }
    let now = held.expires_at.saturating_add(LEASE);
    let newer = key.held(now);
    let taken = Acquisition::Held(Record::InProgress(newer.clone()));
    let late = "rule 7: a claim that comes late is refused by the newer owner that took the key over";
    key.expect(&key.claim(&request, now), &taken, late);
    key.expect_record(Some(&Record::InProgress(newer)), now, late);
}

pub(in super::super) fn a_repeated_claim_is_told_what_it_holds<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: an owner that claims again is told the fence and the lease that the record tells";
    let key = subject.claimable("another lease");
    let held = key.held(NOW);
    for expires_at in [NOW.saturating_add(SECOND), NOW.saturating_add(10 * LEASE)] {
        let request = ClaimRequest {
            request_hash: Some(RequestHash([9; 32])),
            ..ClaimRequest::new(held.owner, expires_at)
        };
        let answer = key.claim(&request, NOW);
        let found = key.find(NOW);
        let Some(Record::InProgress(InProgress { owner, fencing_token, expires_at, .. })) = found else {
            panic!("{rule}\n  but `find` says {found:?}\n  of {key}");
        };
        key.expect(&owner, &held.owner, rule);
        key.expect(&fencing_token, &held.fencing_token, rule);
        key.expect(&answer, &Acquisition::Acquired(Grant { fencing_token, expires_at }), rule);
    }
}

pub(in super::super) fn a_late_claim_reopens_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a claim that arrives again after its owner has finished is given the outcome";
    let key = subject.claimable("finished");
    let request = key.asking(NOW.saturating_add(LEASE));
    let held = key.granted(&request, NOW, rule);
    let record = key.finished(&held, &completion(held.owner, "\"done\""), NOW);
    for now in [NOW, held.expires_at, held.expires_at.saturating_add(LEASE)] {
        key.expect(&key.claim(&request, now), &Acquisition::Held(record.clone()), rule);
        key.expect_record(Some(&record), now, rule);
    }
}

pub(in super::super) fn a_repeated_finish_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a finish that its owner repeats is answered as it was at first, and changes nothing";
    for (name, result) in [
        ("nothing", StoredResult::Nothing),
        ("value", StoredResult::Value("\"done\"".into())),
        ("error", StoredResult::Error("\"refused\"".into())),
    ] {
        let key = subject.claimable(name);
        let held = key.held(NOW);
        let expires = NOW.saturating_add(10 * LEASE);
        let completion = Completion {
            result,
            status_code: Some(200),
            expires: Some(expires),
            ..Completion::new(held.owner)
        };
        let record = key.finished(&held, &completion, NOW);
        // Also where its lease would have ended meanwhile.
        for now in [NOW, NOW.saturating_add(SECOND), held.expires_at.saturating_add(SECOND)] {
            key.expect(&key.finish(&completion, now), &FinishResult::Stored, rule);
            key.refused(&record, now, rule);
        }
    }
    // Whatever it is told then: what is done once is not undone.
    let key = subject.claimable("another result");
    let held = key.held(NOW);
    let record = key.finished(&held, &completion(held.owner, "\"first\""), NOW);
    key.finish(&completion(held.owner, "\"second\""), NOW.saturating_add(SECOND));
    key.refused(&record, NOW.saturating_add(SECOND), rule);
}

pub(in super::super) fn a_repeated_renewal_or_release_is_recognised<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a renewal that its owner repeats is answered as it was at first";
    let key = subject.claimable("renewed");
    let held = key.held(NOW);
    let expires_at = held.expires_at.saturating_add(LEASE);
    for now in [NOW, NOW, NOW.saturating_add(SECOND), expires_at] {
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        key.expect_record(Some(&Record::InProgress(InProgress { expires_at, ..held.clone() })), now, rule);
    }

    let rule = "rule 10: a release that its owner repeats finds its own, or nothing any more";
    let key = subject.claimable("given up");
    let held = key.held(expires_at);
    key.expect(&key.release(held.owner, expires_at), &LeaseStatus::Owned, rule);
    for _ in 0..2 {
        let answer = key.release(held.owner, expires_at);
        assert!(
            matches!(answer, LeaseStatus::Owned | LeaseStatus::Lost(None)),
            "{rule}\n  but saw {answer:?}\n  of {key}"
        );
        key.expect_record(None, expires_at, rule);
    }
    let newer = key.held(expires_at);
    let late = LeaseStatus::Lost(Some(Record::InProgress(newer.clone())));
    let rule = "rule 8: a release that comes late takes nothing from the newer owner";
    key.expect(&key.release(held.owner, expires_at), &late, rule);
    let completion = completion(newer.owner, "\"newer\"");
    key.finished(&newer, &completion, expires_at);
    key.refused(&done(&newer, &completion, expires_at), expires_at, rule);
}
