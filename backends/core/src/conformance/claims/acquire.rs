//! Rule 7: which keys are free, and what a refused claim returns.

use std::time::Duration;

use super::probe::{ClaimProbe, LEASE, completion};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, START, just_before};
use crate::{
    Acquisition, ClaimMetadata, ClaimRequest, Completion, LeaseStatus, Owner, Record, RequestHash,
    StoredResult, Timestamp,
};

pub(crate) fn free_key_is_acquired<H: Harness>(subject: &Subject<'_, H>) {
    let absent = subject.key("absent");
    let rule = "rule 7: a key without a record is free";
    absent.expect_record(None, NOW, rule);
    absent.expect_free(NOW, rule);

    let released = subject.key("released");
    let rule = "rule 7: a released key is free immediately";
    let held = released.acquire(NOW);
    released.expect(&released.release(held.owner, NOW), &LeaseStatus::Owned, rule);
    released.expect_free(NOW, rule);

    let [lapsed, expired] = ["lapsed", "expired"].map(|key| subject.key(key));
    let later = lapsed.acquire(NOW).expires_at;
    let held = expired.acquire(NOW);
    let expires = Some(NOW.saturating_add(SECOND));
    expired.expect_finished(&held, &Completion { expires, ..completion(held.owner, "1") }, NOW);
    lapsed.expect_free(later, "rule 7: a key whose lease has ended is free");
    expired.expect_free(later, "rule 7: a key whose finished record has expired is free");
}

pub(crate) fn lease_ends_to_the_nanosecond<H: Harness>(subject: &Subject<'_, H>) {
    let leases = [
        NANOSECOND,
        Duration::from_nanos(1_001),
        Duration::from_millis(1),
        Duration::from_nanos(999_999_999),
        SECOND,
        LEASE,
        Duration::from_secs(3_600),
        Duration::from_secs(400 * 86_400),
    ];
    let keys = leases.map(|lease| {
        let key = subject.key(format!("{lease:?}"));
        let held = key.acquire_until(NOW.saturating_add(lease), NOW);
        (key, held)
    });
    for (key, held) in keys {
        let rule = "rule 7: 1 ns before its lease ends, the key is held";
        key.expect_held(&held, just_before(held.expires_at), rule);
        let rule = "rule 7: from the end of its lease on, the key is free";
        let next = key.expect_free(held.expires_at, rule);
        key.expect_held(&next, held.expires_at, "rule 7: at most one owner acquires a key");
    }
}

pub(crate) fn refused_claim_returns_the_holder<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 7: a refused claim returns the owner, fencing token, lease and request hash of the holder";
    let mut mixed = [0; 32];
    mixed.iter_mut().zip(0_u8..).for_each(|(byte, value)| *byte = value.wrapping_mul(151));
    let request_hashes =
        [None, Some([0; 32]), Some([0xff; 32]), Some(mixed)].map(|bytes| bytes.map(RequestHash));
    let owners = [0, 1, u128::from(u64::MAX) + 1, 10_u128.pow(38), u128::MAX].map(Owner);
    for (position, owner) in owners.into_iter().enumerate() {
        for request_hash in request_hashes {
            let key = subject.key(format!("{owner:?} {request_hash:?}"));
            let expires_at = NOW.saturating_add(LEASE).saturating_add(Duration::from_nanos(position as u64));
            let request = ClaimRequest { request_hash, ..ClaimRequest::new(owner, expires_at) };
            let held = key.expect_acquired(&request, NOW, rule);
            key.expect_held(&held, NOW, rule);
        }
    }
}

pub(crate) fn claim_of_a_finished_key_returns_its_result<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: a claim of a finished key returns the result, owner, fencing token and request hash";
    let expires = Some(NOW.saturating_add(100 * LEASE));
    for (position, request_hash) in [None, Some(RequestHash([7; 32]))].into_iter().enumerate() {
        for (expires, name) in [(None, "permanent"), (expires, "expires")] {
            let key = subject.key(format!("{name} {position}"));
            let request = ClaimRequest { request_hash, ..key.new_request(NOW.saturating_add(LEASE)) };
            let held = key.expect_acquired(&request, NOW, rule);
            let completion = Completion { expires, ..completion(held.owner, "{\"charged\": 12.50}") };
            let record = key.expect_finished(&held, &completion, NOW.saturating_add(NANOSECOND));
            for later in [NANOSECOND, SECOND] {
                key.expect_refused(&record, NOW.saturating_add(later), rule);
            }
        }
    }
    // The end of its lease frees no finished key, nor does the expiry that it had when it was in
    // progress.
    let key = subject.key("past its lease");
    let held = key.acquire(NOW);
    let record = key.expect_finished(&held, &completion(held.owner, "null"), NOW);
    for later in [LEASE, 2 * LEASE, Duration::from_secs(3 * 86_400)] {
        key.expect_refused(&record, NOW.saturating_add(later), rule);
    }
}

pub(crate) fn refused_claim_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: a refused claim changes neither owner, lease, request hash nor result";
    let metadata = ClaimMetadata { function_name: Some("steal"), tenant: Some("other"), request: Some("{}") };
    let claim_in_vain = |key: &ClaimProbe<'_, H>, record: &Record| {
        for expires_at in
            [Timestamp::EPOCH, NOW, NOW.saturating_add(NANOSECOND), NOW.saturating_add(1_000 * LEASE)]
        {
            for request_hash in [None, Some(RequestHash([3; 32]))] {
                let request = ClaimRequest { request_hash, metadata, ..key.new_request(expires_at) };
                key.expect(&key.claim(&request, NOW), &Acquisition::Held(record.clone()), rule);
                key.expect_record(Some(record), NOW, rule);
            }
        }
    };
    let [lapses, finishes, expires] = ["lapses", "finishes", "expires"].map(|key| subject.key(key));
    let held = lapses.acquire(NOW);
    claim_in_vain(&lapses, &Record::InProgress(held.clone()));

    let owned = finishes.acquire(NOW);
    claim_in_vain(&finishes, &Record::InProgress(owned.clone()));
    finishes.expect_finished(&owned, &completion(owned.owner, "\"mine\""), NOW);

    let owned = expires.acquire(NOW);
    let end = START.saturating_add(LEASE);
    let completion = Completion { expires: Some(end), ..completion(owned.owner, "\"mine\"") };
    let record = expires.expect_finished(&owned, &completion, NOW);
    claim_in_vain(&expires, &record);
    expires.expect_refused(&record, just_before(end), rule);
    expires.expect_free(end, rule);

    lapses.expect_held(&held, just_before(held.expires_at), rule);
    lapses.expect_free(held.expires_at, rule);
}

pub(crate) fn new_claim_inherits_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: a new claim has no request hash, result or expiry of the previous record";
    // 2500-01-01.
    let far = Timestamp::from_secs(16_725_225_600);
    let [released, lapsed, expired, forgotten] =
        ["released", "lapsed", "expired", "forgotten"].map(|key| subject.key(key));
    let held = released.acquire(NOW);
    released.release(held.owner, NOW);
    lapsed.acquire(NOW);
    for key in [&expired, &forgotten] {
        let held = key.acquire(NOW);
        let expires = Some(NOW.saturating_add(SECOND));
        key.expect_finished(&held, &Completion { expires, ..completion(held.owner, "\"old\"") }, NOW);
    }
    forgotten.forget(NOW);
    let later = NOW.saturating_add(LEASE);
    let keys = [released, lapsed, expired, forgotten].map(|key| {
        let bare = ClaimRequest::new(key.new_owner(), later.saturating_add(LEASE));
        let held = key.expect_acquired(&bare, later, rule);
        let record = key.expect_finished(&held, &Completion::new(held.owner), later);
        (key, record)
    });
    for (key, record) in keys {
        key.expect_refused(&record, far, rule);
    }
}

pub(crate) fn metadata_affects_no_decision<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: metadata affects no decision";
    let long = "caf\u{e9} ".repeat(200);
    for (position, text) in ["", "#", "a \"quoted\"\nline 💥 \0", "COMPLETED", &long].into_iter().enumerate()
    {
        let key = subject.key(format!("metadata {position}"));
        let text = Some(text);
        let metadata = ClaimMetadata { function_name: text, tenant: text, request: text };
        let request = ClaimRequest { metadata, ..key.new_request(NOW.saturating_add(LEASE)) };
        let held = key.expect_acquired(&request, NOW, rule);
        key.expect_held(&held, NOW, rule);
        let result = StoredResult::Error("\"out of stock\"".into());
        let completion = Completion { metadata, result, ..Completion::new(held.owner) };
        let record = key.expect_finished(&held, &completion, NOW);
        key.expect_refused(&record, NOW, rule);
    }
}
