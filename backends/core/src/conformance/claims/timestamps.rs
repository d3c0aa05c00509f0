//! Rules 1 and 4 for claims: time is the argument `now`, from the first timestamp to the last.

use super::probe::{ClaimProbe, LEASE, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, just_before};
use crate::{Completion, FencingToken, InProgress, LeaseStatus, Record, Timestamp};

pub(crate) fn time_of_a_claim_is_the_argument_now<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: the time of a claim is `now` alone, in 1970, 2026 and 2500";
    for now in [Timestamp::from_secs(86_400), NOW, Timestamp::from_secs(16_725_225_600)] {
        let subject = subject.with_new_backend();
        let key = subject.key(format!("at {}", now.as_nanos()));
        let held = key.acquire(now);
        key.expect_held(&held, just_before(held.expires_at), rule);
        let next = key.expect_free(held.expires_at, rule);
        let expires = held.expires_at.saturating_add(10 * LEASE);
        let completion = Completion { expires: Some(expires), ..completion(next.owner, "\"done\"") };
        let record = key.expect_finished(&next, &completion, held.expires_at);
        key.expect_refused(&record, just_before(expired_at(expires)), rule);
        key.expect_acquired(&key.new_request(expires.saturating_add(LEASE)), expired_at(expires), rule);
    }
}

pub(crate) fn first_timestamp_claims_like_any_other<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: at `Timestamp::EPOCH` claims work as at any other time";
    let first = Timestamp::EPOCH;
    let key = subject.key("first");
    // A lease that ends when it begins, and a record that expires when it is finished.
    let lapsed = key.expect_acquired(&key.new_request(first), first, rule);
    let next = key.expect_acquired(&key.new_request(first), first, rule);
    key.expect_lost(lapsed.owner, Some(&Record::InProgress(next.clone())), first, rule);
    let expires = Completion { expires: Some(first), ..completion(next.owner, "1") };
    key.expect_finished(&next, &expires, first);
    let held = key.expect_acquired(&key.new_request(first.saturating_add(NANOSECOND)), first, rule);
    expect_rising(&key, &[lapsed.fencing_token, next.fencing_token, held.fencing_token]);
    key.expect_held(&held, first, rule);
    key.expect(&key.renew(held.owner, first.saturating_add(SECOND), first), &LeaseStatus::Owned, rule);
    let held = InProgress { expires_at: first.saturating_add(SECOND), ..held };
    key.expect_held(&held, first, rule);
    let record = key.expect_finished(&held, &completion(held.owner, "1"), first);
    key.expect_refused(&record, first.saturating_add(SECOND), rule);
}

pub(crate) fn last_timestamp_never_passes<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 4: a lease until `Timestamp::MAX` never ends, and a record with that expiry never expires";
    let last = Timestamp::MAX;
    let keys = ["claimed", "renewed", "lapsed", "finished"].map(|key| subject.key(key));
    let [claimed, renewed, lapsed, finished] = &keys;
    let endless = claimed.acquire_until(last, NOW);
    let mut longer = renewed.acquire(NOW);
    renewed.expect(&renewed.renew(longer.owner, last, NOW), &LeaseStatus::Owned, rule);
    longer.expires_at = last;
    // Its record would expire after the last timestamp.
    let late = lapsed.acquire_until(last.saturating_sub(SECOND), NOW);
    let owned = finished.acquire(NOW);
    let completion_of = |held: &InProgress| Completion { expires: Some(last), ..completion(held.owner, "1") };
    let record = finished.expect_finished(&owned, &completion_of(&owned), NOW);

    for now in [just_before(last), last] {
        claimed.expect_held(&endless, now, rule);
        renewed.expect_held(&longer, now, rule);
        lapsed.expect_record(Some(&Record::InProgress(late.clone())), now, rule);
        finished.expect_refused(&record, now, rule);
    }
    let next = lapsed.expect_acquired(&lapsed.new_request(last), last, rule);
    expect_rising(lapsed, &[late.fencing_token, next.fencing_token]);
    lapsed.expect_held(&next, last, rule);
    renewed.expect(&renewed.release(longer.owner, last), &LeaseStatus::Owned, rule);
    let again = renewed.expect_acquired(&renewed.new_request(last), last, rule);
    expect_rising(renewed, &[longer.fencing_token, again.fencing_token]);
    let record = claimed.expect_finished(&endless, &completion_of(&endless), last);
    claimed.expect_refused(&record, last, rule);
    claimed.forget(last);
    let again = claimed.acquire_until(last, last);
    expect_rising(claimed, &[endless.fencing_token, again.fencing_token]);
}

#[track_caller]
fn expect_rising<H: Harness>(key: &ClaimProbe<'_, H>, tokens: &[FencingToken]) {
    assert!(
        tokens.is_sorted_by(|one, next| one < next),
        "rule 9: fencing tokens rise\n  but saw  {tokens:?}\n  of {key}"
    );
}
