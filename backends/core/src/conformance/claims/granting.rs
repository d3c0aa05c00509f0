//! Rule 7: a key is free where there is no record, or one that was given up, has lapsed or has expired.

use std::time::Duration;

use super::probe::{Claimable, LEASE, SECOND, TICK, completion};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, START, Subject};
use crate::{
    Acquisition, ClaimMetadata, ClaimRequest, Completion, LeaseStatus, Owner, Record, RequestHash,
    StoredResult, Timestamp,
};

pub(in super::super) fn a_free_key_is_granted<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let later = NOW.saturating_add(LEASE);

    let absent = subject.claimable("absent");
    let rule = "rule 7: a key without a record is free";
    absent.expect_record(None, NOW, rule);
    absent.granted(&absent.asking(later), NOW, rule);

    let released = subject.claimable("released");
    let rule = "rule 7: a key that its owner gave up is free at once";
    let held = released.held(NOW);
    released.expect(&released.release(held.owner, NOW), &LeaseStatus::Owned, rule);
    released.granted(&released.asking(later), NOW, rule);

    let [lapsed, expired] = ["lapsed", "expired"].map(|key| subject.claimable(key));
    lapsed.held_until(later, NOW);
    let held = expired.held(NOW);
    let expires = Some(NOW.saturating_add(SECOND));
    expired.finished(&held, &Completion { expires, ..completion(held.owner, "1") }, NOW);
    let next = later.saturating_add(LEASE);
    lapsed.granted(&lapsed.asking(next), later, "rule 7: a key whose lease has ended is free");
    expired.granted(&expired.asking(next), later, "rule 7: a key whose finished record has expired is free");
}

pub(in super::super) fn a_lease_holds_to_the_nanosecond<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let leases = [
        TICK,
        Duration::from_nanos(1_001),
        Duration::from_millis(1),
        Duration::from_nanos(999_999_999),
        SECOND,
        LEASE,
        Duration::from_secs(3_600),
        Duration::from_secs(400 * 86_400),
    ];
    let keys = leases.map(|lease| {
        let key = subject.claimable(format!("{lease:?}"));
        let held = key.held_until(NOW.saturating_add(lease), NOW);
        (key, held)
    });
    for (key, held) in keys {
        let rule = "rule 7: 1 ns before the lease ends, the key is its owner's";
        key.refused(&Record::InProgress(held.clone()), held.expires_at.saturating_sub(TICK), rule);
        let rule = "rule 7: as soon as the lease has ended, the key is free";
        let next = key.granted(&key.asking(held.expires_at.saturating_add(LEASE)), held.expires_at, rule);
        key.refused(&Record::InProgress(next), held.expires_at, "rule 7: at most one owner is granted a key");
    }
}

pub(in super::super) fn a_held_key_tells_who_holds_it<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 7: who is refused is told the owner, the fence, the lease and the fingerprint in the same answer";
    let mut mixed = [0; 32];
    mixed.iter_mut().zip(0_u8..).for_each(|(byte, value)| *byte = value.wrapping_mul(151));
    let request_hashes =
        [None, Some([0; 32]), Some([0xff; 32]), Some(mixed)].map(|bytes| bytes.map(RequestHash));
    let owners = [0, 1, u128::from(u64::MAX) + 1, 10_u128.pow(38), u128::MAX].map(Owner);
    for (position, owner) in owners.into_iter().enumerate() {
        for request_hash in request_hashes {
            let key = subject.claimable(format!("{owner:?} {request_hash:?}"));
            let expires_at = NOW.saturating_add(LEASE).saturating_add(Duration::from_nanos(position as u64));
            let request = ClaimRequest { request_hash, ..ClaimRequest::new(owner, expires_at) };
            let held = key.granted(&request, NOW, rule);
            key.refused(&Record::InProgress(held), NOW, rule);
        }
    }
}

pub(in super::super) fn a_finished_key_tells_its_outcome<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 7: who claims what is done is given the outcome, the owner, the fence and the fingerprint";
    let expires = Some(NOW.saturating_add(100 * LEASE));
    for (position, request_hash) in [None, Some(RequestHash([7; 32]))].into_iter().enumerate() {
        for (expires, name) in [(None, "for ever"), (expires, "for a time")] {
            let key = subject.claimable(format!("{name} {position}"));
            let request = ClaimRequest { request_hash, ..key.asking(NOW.saturating_add(LEASE)) };
            let held = key.granted(&request, NOW, rule);
            let completion = Completion { expires, ..completion(held.owner, "{\"charged\": 12.50}") };
            let record = key.finished(&held, &completion, NOW.saturating_add(TICK));
            for later in [TICK, SECOND] {
                key.refused(&record, NOW.saturating_add(later), rule);
            }
        }
    }
    // Neither the end of its lease nor what an unfinished record expires by makes a finished one free.
    let key = subject.claimable("past its lease");
    let held = key.held(NOW);
    let record = key.finished(&held, &completion(held.owner, "null"), NOW);
    for later in [LEASE, 2 * LEASE, Duration::from_secs(3 * 86_400)] {
        key.refused(&record, NOW.saturating_add(later), rule);
    }
}

pub(in super::super) fn a_refused_claim_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 7: a refused claim leaves owner, lease, fingerprint and outcome as they were";
    let metadata = ClaimMetadata { function_name: Some("steal"), tenant: Some("other"), request: Some("{}") };
    let ask = |key: &Claimable<'_, H>, record: &Record| {
        for expires_at in [Timestamp::EPOCH, NOW, NOW.saturating_add(TICK), NOW.saturating_add(1_000 * LEASE)]
        {
            for request_hash in [None, Some(RequestHash([3; 32]))] {
                let request = ClaimRequest { request_hash, metadata, ..key.asking(expires_at) };
                key.expect(&key.claim(&request, NOW), &Acquisition::Held(record.clone()), rule);
                key.expect_record(Some(record), NOW, rule);
            }
        }
    };
    let [lapses, finishes, expires] = ["lapses", "finishes", "expires"].map(|key| subject.claimable(key));
    let held = lapses.held(NOW);
    ask(&lapses, &Record::InProgress(held.clone()));

    let owned = finishes.held(NOW);
    ask(&finishes, &Record::InProgress(owned.clone()));
    finishes.finished(&owned, &completion(owned.owner, "\"mine\""), NOW);

    let owned = expires.held(NOW);
    let end = START.saturating_add(LEASE);
    let completion = Completion { expires: Some(end), ..completion(owned.owner, "\"mine\"") };
    let record = expires.finished(&owned, &completion, NOW);
    ask(&expires, &record);
    expires.refused(&record, end.saturating_sub(TICK), rule);
    expires.granted(&expires.asking(end.saturating_add(LEASE)), end, rule);

    lapses.refused(&Record::InProgress(held.clone()), held.expires_at.saturating_sub(TICK), rule);
    lapses.granted(&lapses.asking(held.expires_at.saturating_add(LEASE)), held.expires_at, rule);
}

pub(in super::super) fn a_new_grant_has_nothing_of_the_old<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 7: a key that is granted again has nothing of what was there: no fingerprint, outcome or expiry";
    let far = Timestamp::from_secs(16_725_225_600);
    let [released, lapsed, expired, forgotten] =
        ["released", "lapsed", "expired", "forgotten"].map(|key| subject.claimable(key));
    let held = released.held(NOW);
    released.release(held.owner, NOW);
    lapsed.held(NOW);
    for key in [&expired, &forgotten] {
        let held = key.held(NOW);
        let expires = Some(NOW.saturating_add(SECOND));
        key.finished(&held, &Completion { expires, ..completion(held.owner, "\"old\"") }, NOW);
    }
    forgotten.forget(NOW);
    let later = NOW.saturating_add(LEASE);
    let keys = [released, lapsed, expired, forgotten].map(|key| {
        let bare = ClaimRequest::new(key.fresh_owner(), later.saturating_add(LEASE));
        let held = key.granted(&bare, later, rule);
        let record = key.finished(&held, &Completion::new(held.owner), later);
        (key, record)
    });
    for (key, record) in keys {
        key.refused(&record, far, rule);
    }
}

pub(in super::super) fn details_decide_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 7: what is kept for others to read decides nothing";
    let long = "caf\u{e9} ".repeat(200);
    for (position, text) in ["", "#", "a \"quoted\"\nline 💥 \0", "COMPLETED", &long].into_iter().enumerate()
    {
        let key = subject.claimable(format!("details {position}"));
        let text = Some(text);
        let metadata = ClaimMetadata { function_name: text, tenant: text, request: text };
        let request = ClaimRequest { metadata, ..key.asking(NOW.saturating_add(LEASE)) };
        let held = key.granted(&request, NOW, rule);
        key.refused(&Record::InProgress(held.clone()), NOW, rule);
        let result = StoredResult::Error("\"out of stock\"".into());
        let completion = Completion { metadata, result, ..Completion::new(held.owner) };
        let record = key.finished(&held, &completion, NOW);
        key.refused(&record, NOW, rule);
    }
}
