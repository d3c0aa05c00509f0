//! Claims at any time, by the argument `now` alone.

use super::probe::{Claimable, LEASE, SECOND, TICK, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, Subject};
use crate::{Completion, FencingToken, InProgress, LeaseStatus, Record, Timestamp};

pub(in super::super) fn claims_have_no_clock_of_their_own<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 1: claims take the time from `now` alone, in 1970, 2026 and 2500 alike";
    for now in [Timestamp::from_secs(86_400), NOW, Timestamp::from_secs(16_725_225_600)] {
        let subject = subject.afresh();
        let key = subject.claimable(format!("at {}", now.as_nanos()));
        let held = key.held(now);
        key.refused(&Record::InProgress(held.clone()), held.expires_at.saturating_sub(TICK), rule);
        let next = key.granted(&key.asking(held.expires_at.saturating_add(LEASE)), held.expires_at, rule);
        let expires = held.expires_at.saturating_add(10 * LEASE);
        let completion = Completion { expires: Some(expires), ..completion(next.owner, "\"done\"") };
        let record = key.finished(&next, &completion, held.expires_at);
        key.refused(&record, expired_at(expires).saturating_sub(TICK), rule);
        key.granted(&key.asking(expires.saturating_add(LEASE)), expired_at(expires), rule);
    }
}

pub(in super::super) fn the_first_moment_claims_like_any_other<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 4: at `Timestamp::EPOCH` a key is claimed as ever";
    let first = Timestamp::EPOCH;
    let key = subject.claimable("first");
    // A lease that ends as it begins, and a record that expires as it is made.
    let lapsed = key.granted(&key.asking(first), first, rule);
    let next = key.granted(&key.asking(first), first, rule);
    key.lost_to(lapsed.owner, Some(&Record::InProgress(next.clone())), first, rule);
    let expires = Completion { expires: Some(first), ..completion(next.owner, "1") };
    key.finished(&next, &expires, first);
    let held = key.granted(&key.asking(first.saturating_add(TICK)), first, rule);
    risen(&key, &[lapsed.fencing_token, next.fencing_token, held.fencing_token]);
    key.refused(&Record::InProgress(held.clone()), first, rule);
    key.expect(&key.renew(held.owner, first.saturating_add(SECOND), first), &LeaseStatus::Owned, rule);
    let held = InProgress { expires_at: first.saturating_add(SECOND), ..held };
    key.refused(&Record::InProgress(held.clone()), first, rule);
    let record = key.finished(&held, &completion(held.owner, "1"), first);
    key.refused(&record, first.saturating_add(SECOND), rule);
}

pub(in super::super) fn the_last_moment_never_comes<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 4: a lease until `Timestamp::MAX` never ends, and a record that expires then never does";
    let last = Timestamp::MAX;
    let keys = ["claimed", "renewed", "lapsed", "finished"].map(|key| subject.claimable(key));
    let [claimed, renewed, lapsed, finished] = &keys;
    let for_ever = claimed.held_until(last, NOW);
    let mut longer = renewed.held(NOW);
    renewed.expect(&renewed.renew(longer.owner, last, NOW), &LeaseStatus::Owned, rule);
    longer.expires_at = last;
    // What expires later than there are times.
    let late = lapsed.held_until(last.saturating_sub(SECOND), NOW);
    let owned = finished.held(NOW);
    let completion_of = |held: &InProgress| Completion { expires: Some(last), ..completion(held.owner, "1") };
    let record = finished.finished(&owned, &completion_of(&owned), NOW);

    for now in [last.saturating_sub(TICK), last] {
        claimed.refused(&Record::InProgress(for_ever.clone()), now, rule);
        renewed.refused(&Record::InProgress(longer.clone()), now, rule);
        lapsed.expect_record(Some(&Record::InProgress(late.clone())), now, rule);
        finished.refused(&record, now, rule);
    }
    let next = lapsed.granted(&lapsed.asking(last), last, rule);
    risen(lapsed, &[late.fencing_token, next.fencing_token]);
    lapsed.refused(&Record::InProgress(next), last, rule);
    renewed.expect(&renewed.release(longer.owner, last), &LeaseStatus::Owned, rule);
    let again = renewed.granted(&renewed.asking(last), last, rule);
    risen(renewed, &[longer.fencing_token, again.fencing_token]);
    let record = claimed.finished(&for_ever, &completion_of(&for_ever), last);
    claimed.refused(&record, last, rule);
    claimed.forget(last);
    let again = claimed.held_until(last, last);
    risen(claimed, &[for_ever.fencing_token, again.fencing_token]);
}

#[track_caller]
fn risen<H: Harness>(key: &Claimable<'_, H>, fences: &[FencingToken]) {
    assert!(
        fences.is_sorted_by(|one, next| one < next),
        "rule 9: fences rise, and not {fences:?}\n  of {key}"
    );
}
