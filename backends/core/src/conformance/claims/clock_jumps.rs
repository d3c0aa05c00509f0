//! Rule 11: time that goes backwards within the allowed skew finds no finished record gone, and no held key free.

use std::time::Duration;

use super::probe::{LEASE, SECOND, TICK, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, Subject};
use crate::{Completion, InProgress, LeaseStatus, Record, lapsed_claim_expires};

pub(in super::super) fn a_clock_that_jumps_back_finds_a_held_key_held<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 11: a clock that jumps back, also to before the claim, finds the key held";
    let skew = subject.harness.max_clock_skew();
    let key = subject.claimable("held");
    let held = key.held(NOW);
    let mut record = Record::InProgress(held.clone());
    for back in [TICK, SECOND, skew] {
        if back > skew {
            continue;
        }
        let earlier = NOW.saturating_sub(back);
        key.refused(&record, earlier, rule);
        key.lost_to(key.fresh_owner(), Some(&record), earlier, rule);
        let expires_at = held.expires_at.saturating_add(back);
        key.expect(&key.renew(held.owner, expires_at, earlier), &LeaseStatus::Owned, rule);
        record = Record::InProgress(InProgress { expires_at, ..held.clone() });
        key.refused(&record, earlier, rule);
    }

    let rule = "rule 11: a clock that jumps back finds the key held by who has taken it over";
    let key = subject.claimable("taken over");
    let stale = key.held(NOW);
    let newer = key.held(stale.expires_at);
    let record = Record::InProgress(newer.clone());
    for back in [TICK, SECOND, skew] {
        if back > skew {
            continue;
        }
        let earlier = stale.expires_at.saturating_sub(back);
        key.refused(&record, earlier, rule);
        key.lost_to(stale.owner, Some(&record), earlier, rule);
    }
    let completion = completion(newer.owner, "\"newer\"");
    let record = key.finished(&newer, &completion, stale.expires_at);
    let earlier = stale.expires_at.saturating_sub(skew);
    key.refused(&record, earlier, "rule 11: a clock that jumps back finds what is done");
    key.lost_to(stale.owner, Some(&record), earlier, "rule 11: a clock that jumps back finds what is done");
}

pub(in super::super) fn a_clock_that_jumps_back_finds_a_finished_record<H: Harness>(
    subject: &Subject<'_, H>,
) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 11: a record that had expired is there for a clock that jumps back to before, \
                whoever looked meanwhile";
    let skew = subject.harness.max_clock_skew();
    if skew.is_zero() {
        return;
    }
    let expires = NOW.saturating_add(LEASE);
    let last = expired_at(expires).saturating_sub(TICK);
    let ways = ["nobody looked", "it was read", "somebody tried to end it"];
    let keys = ways.map(|way| {
        let key = subject.claimable(way);
        let held = key.held(NOW);
        let done = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
        let record = key.finished(&held, &done, NOW);
        (key, record)
    });
    for ahead in [TICK, skew / 2, skew] {
        let later = last.saturating_add(ahead);
        keys[1].0.expect_record(None, later, "rule 2: a record that has expired is absent");
        let stranger = keys[2].0.fresh_owner();
        keys[2].0.lost_to(stranger, None, later, "rule 2: a record that has expired is absent");
        subject.claim_elsewhere(later);
        for (key, record) in &keys {
            key.refused(record, later.saturating_sub(ahead), rule);
        }
    }
}

pub(in super::super) fn a_clock_that_jumps_back_finds_a_lapsed_claim<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 11: a claim that had expired is its owner's for a clock that jumps back to before";
    let skew = subject.harness.max_clock_skew();
    if skew.is_zero() {
        return;
    }
    let [unseen, read] = ["nobody looked", "it was read"].map(|key| subject.claimable(key));
    let held = [&unseen, &read].map(|key| key.held(NOW));
    let last = expired_at(lapsed_claim_expires(held[0].expires_at)).saturating_sub(TICK);
    let later = last.saturating_add(skew);
    read.expect_record(None, later, "rule 8: a claim that has expired is absent");
    subject.claim_elsewhere(later);
    for (key, held) in [&unseen, &read].into_iter().zip(held) {
        key.expect_record(Some(&Record::InProgress(held.clone())), last, rule);
        let expires_at = last.saturating_add(Duration::from_secs(60));
        key.expect(&key.renew(held.owner, expires_at, last), &LeaseStatus::Owned, rule);
        let held = InProgress { expires_at, ..held };
        key.refused(&Record::InProgress(held.clone()), last, rule);
        key.finished(&held, &completion(held.owner, "\"late\""), last);
    }
}
