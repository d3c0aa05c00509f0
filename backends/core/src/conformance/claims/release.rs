//! Rule 8: only the latest owner of a key finishes, renews or releases it.

use super::probe::{LEASE, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NOW, SECOND, just_before};
use crate::{Acquisition, BackendError, ClaimRequest, Completion, FinishResult, LeaseStatus, Owner, Record};

pub(crate) fn only_the_owner_ends_a_claim<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 8: an owner that did not acquire the key changes nothing, and gets the record of the key";
    let key = subject.key("held");
    let held = key.acquire(NOW);
    let others = [
        key.new_owner(),
        Owner(0),
        Owner(u128::MAX),
        Owner(held.owner.0 ^ 1),
        Owner(held.owner.0 ^ 1 << 64),
        Owner(held.owner.0 ^ 1 << 127),
    ];
    for other in others {
        key.expect_lost(other, Some(&Record::InProgress(held.clone())), NOW, rule);
    }
    let record = key.expect_finished(&held, &completion(held.owner, "\"mine\""), NOW);
    for other in others {
        key.expect_lost(other, Some(&record), NOW, rule);
    }
}

pub(crate) fn stale_owner_ends_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: an owner that lost the key changes nothing of a newer owner";
    let key = subject.key("taken over");
    let stale = key.acquire(NOW);
    let mut now = stale.expires_at;
    let newer = key.acquire(now);
    key.expect_lost(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    now = now.saturating_add(SECOND);
    key.expect_lost(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    // Also if the lease of the newer owner has ended too.
    now = newer.expires_at.saturating_add(SECOND);
    key.expect_lost(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
    let newest = key.acquire(now);
    for old in [&stale, &newer] {
        key.expect_lost(old.owner, Some(&Record::InProgress(newest.clone())), now, rule);
    }
    let record = key.expect_finished(&newest, &completion(newest.owner, "\"done\""), now);
    for old in [&stale, &newer] {
        key.expect_lost(old.owner, Some(&record), now, rule);
    }

    for (way, forget) in [("released", false), ("forgotten", true)] {
        let key = subject.key(way);
        let stale = key.acquire(now);
        if forget {
            key.forget(now);
        } else {
            key.release(stale.owner, now);
        }
        let newer = key.acquire(now);
        key.expect_lost(stale.owner, Some(&Record::InProgress(newer.clone())), now, rule);
        key.release(newer.owner, now);
        key.expect_lost(stale.owner, None, now, rule);
    }
}

pub(crate) fn absent_claim_has_no_owner<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: no owner ends an absent claim, and the attempt changes nothing";
    let key = subject.key("absent");
    for owner in [key.new_owner(), Owner(0)] {
        key.expect_lost(owner, None, NOW, rule);
    }
    key.expect_free(NOW, rule);

    let key = subject.key("released");
    let held = key.acquire(NOW);
    key.release(held.owner, NOW);
    key.expect_lost(key.new_owner(), None, NOW, rule);
    let stale = key.finish(&completion(held.owner, "1"), NOW);
    key.expect(&stale, &FinishResult::Lost(None), rule);
    let stale = key.renew(held.owner, NOW.saturating_add(2 * LEASE), NOW);
    key.expect(&stale, &LeaseStatus::Lost(None), rule);
    key.expect_record(None, NOW, rule);
    key.expect_free(NOW, rule);

    let key = subject.key("expired");
    let held = key.acquire(NOW);
    let expires = NOW.saturating_add(SECOND);
    key.expect_finished(&held, &Completion { expires: Some(expires), ..completion(held.owner, "1") }, NOW);
    key.expect_lost(key.new_owner(), None, expired_at(expires), rule);
}

pub(crate) fn finished_record_is_neither_renewed_nor_released<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: a finished record is neither renewed nor released, not even by its owner";
    let key = subject.key("finished");
    let held = key.acquire(NOW);
    let expires = NOW.saturating_add(LEASE);
    let completion = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
    let record = key.expect_finished(&held, &completion, NOW);
    let lost = LeaseStatus::Lost(Some(record.clone()));
    let renewed = key.renew(held.owner, NOW.saturating_add(1_000 * LEASE), NOW);
    key.expect(&renewed, &lost, rule);
    key.expect(&key.release(held.owner, NOW), &lost, rule);
    key.expect_refused(&record, NOW, rule);
    key.expect_refused(&record, just_before(expired_at(expires)), rule);
    key.expect_record(None, expired_at(expires), rule);
}

pub(crate) fn released_key_is_free<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: a released key is as if it had never been claimed";
    let key = subject.key("released");
    for round in 0..3 {
        let now = NOW.saturating_add(round * SECOND);
        let held = key.acquire(now);
        key.expect_held(&held, now, "rule 7: a held key is refused");
        key.expect(&key.release(held.owner, now), &LeaseStatus::Owned, rule);
        key.expect_record(None, now, rule);
    }
    // The next claim may have no request hash, or another one.
    let bare = ClaimRequest::new(key.new_owner(), NOW.saturating_add(LEASE));
    let held = key.expect_acquired(&bare, NOW.saturating_add(2 * SECOND), rule);
    key.expect_finished(&held, &completion(held.owner, "\"another\""), NOW.saturating_add(3 * SECOND));
}

pub(crate) fn claim_repeated_after_release_is_invalid_or_new<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 9: a claim that is repeated after its `release` is `Invalid`, or is a new claim";
    let key = subject.key("released");
    let request = key.new_request(NOW.saturating_add(LEASE));
    let mut last = key.expect_acquired(&request, NOW, rule).fencing_token;
    key.release(request.owner, NOW);
    for _ in 0..2 {
        match key.try_claim(&request, NOW) {
            Err(BackendError::Invalid(_)) => key.expect_record(None, NOW, rule),
            Ok(Acquisition::Acquired(grant)) if grant.fencing_token > last => {
                last = grant.fencing_token;
                key.release(request.owner, NOW);
            }
            result => panic!("{rule}\n  but saw {result:?}\n  of {key}"),
        }
    }
    let next = key.expect_free(NOW, rule);
    assert!(
        next.fencing_token > last,
        "{rule}\n  but saw {:?} after {last:?}\n  of {key}",
        next.fencing_token
    );
    match key.try_claim(&request, NOW) {
        Ok(Acquisition::Held(Record::InProgress(record))) if record == next => {}
        result => panic!("{rule}\n  but saw {result:?}\n  of {key}"),
    }
}

pub(crate) fn forgotten_key_is_free<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`forget` deletes any record, also for its owner, and an absent record is no error";
    let [absent, held, lapsed, finished] =
        ["absent", "held", "lapsed", "finished"].map(|key| subject.key(key));
    let later = NOW.saturating_add(SECOND);
    let mut owners = vec![(&absent, absent.new_owner())];
    owners.push((&held, held.acquire(NOW).owner));
    owners.push((&lapsed, lapsed.acquire_until(later, NOW).owner));
    let owned = finished.acquire(NOW);
    finished.expect_finished(&owned, &completion(owned.owner, "\"done\""), NOW);
    owners.push((&finished, owned.owner));
    for (key, former) in owners {
        for _ in 0..2 {
            key.forget(later);
            key.expect_record(None, later, rule);
        }
        key.expect_lost(former, None, later, rule);
        let next = key.expect_free(later, rule);
        key.expect_lost(former, Some(&Record::InProgress(next)), later, rule);
    }
}
