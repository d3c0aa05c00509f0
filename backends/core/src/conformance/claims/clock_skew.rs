//! Rule 11: if time goes backwards within the maximum skew, finished records stay found and held
//! keys stay held.

use std::time::Duration;

use super::probe::{LEASE, completion, expired_at};
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, just_before};
use crate::conformance::{Harness, Skip};
use crate::{Completion, InProgress, LeaseStatus, Record, lapsed_claim_expires};

pub(crate) fn clock_jump_back_keeps_held_keys_held<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 11: if the clock jumps back, also to before the claim, the key is still held";
    let skew = subject.harness.max_clock_skew();
    let key = subject.key("held");
    let held = key.acquire(NOW);
    let mut record = Record::InProgress(held.clone());
    for back in [NANOSECOND, SECOND, skew] {
        if back > skew {
            continue;
        }
        let earlier = NOW.saturating_sub(back);
        key.expect_refused(&record, earlier, rule);
        key.expect_lost(key.new_owner(), Some(&record), earlier, rule);
        let expires_at = held.expires_at.saturating_add(back);
        key.expect(&key.renew(held.owner, expires_at, earlier), &LeaseStatus::Owned, rule);
        record = Record::InProgress(InProgress { expires_at, ..held.clone() });
        key.expect_refused(&record, earlier, rule);
    }

    let rule = "rule 11: if the clock jumps back after a takeover, the new owner still holds the key";
    let key = subject.key("taken over");
    let stale = key.acquire(NOW);
    let newer = key.acquire(stale.expires_at);
    let record = Record::InProgress(newer.clone());
    for back in [NANOSECOND, SECOND, skew] {
        if back > skew {
            continue;
        }
        let earlier = stale.expires_at.saturating_sub(back);
        key.expect_refused(&record, earlier, rule);
        key.expect_lost(stale.owner, Some(&record), earlier, rule);
    }
    let completion = completion(newer.owner, "\"newer\"");
    let record = key.expect_finished(&newer, &completion, stale.expires_at);
    let earlier = stale.expires_at.saturating_sub(skew);
    let rule = "rule 11: if the clock jumps back, a finished record is still found";
    key.expect_refused(&record, earlier, rule);
    key.expect_lost(stale.owner, Some(&record), earlier, rule);
}

pub(crate) fn clock_jump_back_finds_finished_records<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 11: if the clock jumps back to before its expiry, a record is found again, \
                whatever operation ran in between";
    let skew = subject.harness.max_clock_skew();
    if skew.is_zero() {
        return subject.skip(Skip::ClockSkew);
    }
    let expires = NOW.saturating_add(LEASE);
    let last = just_before(expired_at(expires));
    let keys = ["untouched", "read", "ended by another owner"].map(|way| {
        let key = subject.key(way);
        let held = key.acquire(NOW);
        let done = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
        let record = key.expect_finished(&held, &done, NOW);
        (key, record)
    });
    for ahead in [NANOSECOND, skew / 2, skew] {
        let later = last.saturating_add(ahead);
        let absent = "rule 2: a record that has expired is absent";
        keys[1].0.expect_record(None, later, absent);
        keys[2].0.expect_lost(keys[2].0.new_owner(), None, later, absent);
        subject.claim_other_keys(later);
        for (key, record) in &keys {
            key.expect_refused(record, later.saturating_sub(ahead), rule);
        }
    }
}

pub(crate) fn clock_jump_back_finds_lapsed_claims<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 11: if the clock jumps back to before its expiry, a lapsed claim belongs to its owner again";
    let skew = subject.harness.max_clock_skew();
    if skew.is_zero() {
        return subject.skip(Skip::ClockSkew);
    }
    let [untouched, read] = ["untouched", "read"].map(|key| subject.key(key));
    let held = [&untouched, &read].map(|key| key.acquire(NOW));
    let last = just_before(expired_at(lapsed_claim_expires(held[0].expires_at)));
    let later = last.saturating_add(skew);
    read.expect_record(None, later, "rule 8: a claim that has expired is absent");
    subject.claim_other_keys(later);
    for (key, held) in [&untouched, &read].into_iter().zip(held) {
        key.expect_record(Some(&Record::InProgress(held.clone())), last, rule);
        let expires_at = last.saturating_add(Duration::from_secs(60));
        key.expect(&key.renew(held.owner, expires_at, last), &LeaseStatus::Owned, rule);
        let held = InProgress { expires_at, ..held };
        key.expect_held(&held, last, rule);
        key.expect_finished(&held, &completion(held.owner, "\"late\""), last);
    }
}
