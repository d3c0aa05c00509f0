//! Rule 8: only the owner that was granted a key last finishes, renews or releases it.

use std::time::Duration;

use super::probe::{LEASE, SECOND, TICK, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, Subject};
use crate::{Acquisition, BackendError, ClaimRequest, Completion, FinishResult, LeaseStatus, Owner, Record};

pub(in super::super) fn only_its_owner_ends_a_claim<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 8: who was not granted the key changes nothing, and is told who holds it or what was done";
    let key = subject.claimable("held");
    let held = key.held(NOW);
    let strangers = [
        key.fresh_owner(),
        Owner(0),
        Owner(u128::MAX),
        Owner(held.owner.0 ^ 1),
        Owner(held.owner.0 ^ 1 << 64),
        Owner(held.owner.0 ^ 1 << 127),
    ];
    for stranger in strangers {
        key.lost_to(stranger, Some(&Record::InProgress(held.clone())), NOW, rule);
    }
    let record = key.finished(&held, &completion(held.owner, "\"mine\""), NOW);
    for stranger in strangers {
        key.lost_to(stranger, Some(&record), NOW, rule);
    }
}

pub(in super::super) fn a_stale_owner_ends_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 8: who has lost the key changes nothing that a newer owner holds or has done";
    let key = subject.claimable("taken over");
    let stale = key.held(NOW);
    let mut now = stale.expires_at;
    let newer = key.held(now);
    key.lost_to(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    now = now.saturating_add(SECOND);
    key.lost_to(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    // Also where the newer owner's lease has ended too.
    now = newer.expires_at.saturating_add(SECOND);
    key.lost_to(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    let newest = key.held(now);
    for old in [&stale, &newer] {
        key.lost_to(old.owner, Some(&Record::InProgress(newest.clone())), now, rule);
    }
    let record = key.finished(&newest, &completion(newest.owner, "\"done\""), now);
    for old in [&stale, &newer] {
        key.lost_to(old.owner, Some(&record), now, rule);
    }

    for (way, forget) in [("given up", false), ("forgotten", true)] {
        let key = subject.claimable(way);
        let stale = key.held(now);
        if forget {
            key.forget(now);
        } else {
            key.release(stale.owner, now);
        }
        let newer = key.held(now);
        key.lost_to(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
        key.release(newer.owner, now);
        key.lost_to(stale.owner, None, now, rule);
    }
}

pub(in super::super) fn what_is_not_there_has_no_owner<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 8: nobody ends what is not there, and nothing comes of trying";
    let key = subject.claimable("absent");
    for owner in [key.fresh_owner(), Owner(0)] {
        key.lost_to(owner, None, NOW, rule);
    }
    key.granted(&key.asking(NOW.saturating_add(LEASE)), NOW, rule);

    let key = subject.claimable("given up");
    let held = key.held(NOW);
    key.release(held.owner, NOW);
    key.lost_to(key.fresh_owner(), None, NOW, rule);
    let stale = key.finish(&completion(held.owner, "1"), NOW);
    key.expect(&stale, &FinishResult::Lost(None), rule);
    let stale = key.renew(held.owner, NOW.saturating_add(2 * LEASE), NOW);
    key.expect(&stale, &LeaseStatus::Lost(None), rule);
    key.expect_record(None, NOW, rule);
    key.granted(&key.asking(NOW.saturating_add(LEASE)), NOW, rule);

    let key = subject.claimable("expired");
    let held = key.held(NOW);
    let expires = NOW.saturating_add(SECOND);
    key.finished(&held, &Completion { expires: Some(expires), ..completion(held.owner, "1") }, NOW);
    key.lost_to(key.fresh_owner(), None, expired_at(expires), rule);
}

pub(in super::super) fn what_is_finished_stays_finished<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 8: what is finished is neither renewed nor given up, also not by who finished it";
    let key = subject.claimable("finished");
    let held = key.held(NOW);
    let expires = NOW.saturating_add(LEASE);
    let completion = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
    let record = key.finished(&held, &completion, NOW);
    let lost = LeaseStatus::Lost(Some(record.clone()));
    let renewed = key.renew(held.owner, NOW.saturating_add(1_000 * LEASE), NOW);
    key.expect(&renewed, &lost, rule);
    key.expect(&key.release(held.owner, NOW), &lost, rule);
    key.refused(&record, NOW, rule);
    key.refused(&record, expired_at(expires).saturating_sub(TICK), rule);
    key.expect_record(None, expired_at(expires), rule);
}

pub(in super::super) fn a_released_key_is_free<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 8: a key that its owner gave up is as if it had never been claimed";
    let key = subject.claimable("given up");
    for round in 0..3 {
        let now = NOW.saturating_add(round * SECOND);
        let held = key.held(now);
        key.refused(&Record::InProgress(held.clone()), now, "rule 7: a held key is refused");
        key.expect(&key.release(held.owner, now), &LeaseStatus::Owned, rule);
        key.expect_record(None, now, rule);
    }
    // Without a fingerprint, or with another one: it is another request's then.
    let bare = ClaimRequest::new(key.fresh_owner(), NOW.saturating_add(LEASE));
    let held = key.granted(&bare, NOW.saturating_add(2 * SECOND), rule);
    key.finished(&held, &completion(held.owner, "\"another\""), NOW.saturating_add(3 * SECOND));
}

pub(in super::super) fn who_gave_a_key_up_has_no_older_right_to_it<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "a claim that is repeated after its owner has given the key up is `Invalid`, or one like any other";
    let key = subject.claimable("given up");
    let request = key.asking(NOW.saturating_add(LEASE));
    let mut last = key.granted(&request, NOW, rule).fencing_token;
    key.release(request.owner, NOW);
    for _ in 0..2 {
        match key.try_claim(&request, NOW) {
            Err(BackendError::Invalid(_)) => key.expect_record(None, NOW, rule),
            Ok(Acquisition::Acquired(grant)) if grant.fencing_token > last => {
                last = grant.fencing_token;
                key.release(request.owner, NOW);
            }
            answer => panic!("{rule}\n  but saw {answer:?}\n  of {key}"),
        }
    }
    let next = key.granted(&key.asking(NOW.saturating_add(LEASE)), NOW, rule);
    assert!(
        next.fencing_token > last,
        "{rule}\n  but saw {:?} after {last:?}\n  of {key}",
        next.fencing_token
    );
    match key.try_claim(&request, NOW) {
        Ok(Acquisition::Held(Record::InProgress(record))) if record == next => {}
        answer => panic!("{rule}\n  but saw {answer:?}\n  of {key}"),
    }
}

pub(in super::super) fn a_forgotten_key_is_free<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "`forget` removes whatever is there, takes it from its owner, and is no error where nothing is";
    let [absent, held, lapsed, finished] =
        ["absent", "held", "lapsed", "finished"].map(|key| subject.claimable(key));
    let later = NOW.saturating_add(Duration::from_secs(1));
    let mut owners = vec![(&absent, absent.fresh_owner())];
    owners.push((&held, held.held(NOW).owner));
    owners.push((&lapsed, lapsed.held_until(later, NOW).owner));
    let owned = finished.held(NOW);
    finished.finished(&owned, &completion(owned.owner, "\"done\""), NOW);
    owners.push((&finished, owned.owner));
    for (key, former) in owners {
        for _ in 0..2 {
            key.forget(later);
            key.expect_record(None, later, rule);
        }
        key.lost_to(former, None, later, rule);
        let next = key.granted(&key.asking(later.saturating_add(LEASE)), later, rule);
        key.lost_to(former, Some(&Record::InProgress(next)), later, rule);
    }
}
