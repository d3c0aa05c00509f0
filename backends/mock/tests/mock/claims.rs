//! Without faults, claims keep the contract, and a repeating owner is recognised.

use std::time::Duration;

use crate::common::{NOW, OTHER, OWNER, UNTIL, claim_of, once, seven, user};
use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, Completion, FencingToken, FinishResult, Grant,
    InProgress, LAPSED_CLAIM_TTL, LeaseStatus, Owner, Record, Timestamp,
};
use limited_mock::MockBackend;
use pollster::block_on;

const NANOSECOND: Duration = Duration::from_nanos(1);

fn claim(mock: &MockBackend, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Acquisition {
    block_on(mock.claim(key, &claim_of(owner), now)).unwrap()
}

fn fencing_token(mock: &MockBackend, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> FencingToken {
    match claim(mock, key, owner, now) {
        Acquisition::Acquired(grant) => grant.fencing_token,
        held @ Acquisition::Held(_) => panic!("{held:?}"),
    }
}

fn find(mock: &MockBackend, key: &ClaimKey<'_>, now: Timestamp) -> Option<Record> {
    block_on(mock.find(key, now)).unwrap()
}

#[test]
fn one_owner_holds_a_key_until_its_lease_ends() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    let first = fencing_token(&mock, &key, OWNER, NOW);
    let held = InProgress { owner: OWNER, fencing_token: first, expires_at: UNTIL, request_hash: None };
    let last = UNTIL.saturating_sub(NANOSECOND);
    assert_eq!(claim(&mock, &key, OTHER, last), Acquisition::Held(Record::InProgress(held)));
    assert!(fencing_token(&mock, &key, OTHER, UNTIL) > first);
    let LeaseStatus::Lost(Some(Record::InProgress(held))) =
        block_on(mock.renew(&key, OWNER, Timestamp::MAX, UNTIL)).unwrap()
    else {
        panic!("the key was taken over")
    };
    assert_eq!(held.owner, OTHER);
}

#[test]
fn finished_record_is_found_until_it_expires_and_stays_stored() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    let first = fencing_token(&mock, &key, OWNER, NOW);
    let expires = Timestamp::from_secs(NOW.as_secs() + 10);
    let completion = seven(OWNER).with_expiry(expires);
    assert_eq!(block_on(mock.finish(&key, &completion, NOW)).unwrap(), FinishResult::Stored);
    assert!(matches!(claim(&mock, &key, OTHER, NOW), Acquisition::Held(Record::Finished(_))));
    assert_eq!(find(&mock, &key, expires), None);
    assert_eq!(mock.claims(), 1, "expired, and not deleted");
    assert!(find(&mock, &key, expires.saturating_sub(NANOSECOND)).is_some(), "the clock jumped back");
    assert!(fencing_token(&mock, &key, OTHER, expires) > first);
}

#[test]
fn lapsed_claim_belongs_to_its_owner_until_it_expires() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    fencing_token(&mock, &key, OWNER, NOW);
    let expires = UNTIL.saturating_add(LAPSED_CLAIM_TTL);
    let last = expires.saturating_sub(NANOSECOND);
    assert_eq!(block_on(mock.renew(&key, OWNER, UNTIL, last)).unwrap(), LeaseStatus::Owned);
    assert_eq!(block_on(mock.finish(&key, &seven(OWNER), expires)).unwrap(), FinishResult::Lost(None));
    assert_eq!(block_on(mock.finish(&key, &seven(OWNER), last)).unwrap(), FinishResult::Stored);
}

#[test]
fn owner_that_released_a_key_is_recognised_and_cannot_claim_again() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    let first = fencing_token(&mock, &key, OWNER, NOW);
    for _ in 0..2 {
        assert_eq!(block_on(mock.release(&key, OWNER, NOW)).unwrap(), LeaseStatus::Owned);
        assert_eq!(find(&mock, &key, NOW), None);
        let again = block_on(mock.claim(&key, &claim_of(OWNER), NOW)).unwrap_err();
        assert!(matches!(again, BackendError::Invalid(_)), "{again}");
    }
    assert_eq!(block_on(mock.release(&key, OTHER, NOW)).unwrap(), LeaseStatus::Lost(None));
    assert_eq!(block_on(mock.renew(&key, OWNER, UNTIL, NOW)).unwrap(), LeaseStatus::Lost(None));
    assert_eq!(block_on(mock.finish(&key, &seven(OWNER), NOW)).unwrap(), FinishResult::Lost(None));
    assert!(fencing_token(&mock, &key, OTHER, NOW) > first);
    assert!(matches!(block_on(mock.release(&key, OWNER, NOW)).unwrap(), LeaseStatus::Lost(Some(_))));
}

#[test]
fn owner_that_repeats_a_call_gets_the_same_result() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    let granted = claim(&mock, &key, OWNER, NOW);
    assert_eq!(claim(&mock, &key, OWNER, UNTIL), granted, "although its lease has ended");
    assert_eq!(block_on(mock.renew(&key, OWNER, NOW, NOW)).unwrap(), LeaseStatus::Owned);
    assert_eq!(claim(&mock, &key, OWNER, NOW), granted, "a lease never moves back");
    for completion in [seven(OWNER), Completion::new(OWNER)] {
        assert_eq!(block_on(mock.finish(&key, &completion, NOW)).unwrap(), FinishResult::Stored);
    }
    let Some(Record::Finished(done)) = find(&mock, &key, NOW) else { panic!("finished") };
    assert_eq!(done.result, seven(OWNER).result, "the first result stays");
}

#[test]
fn forget_takes_a_key_from_its_owner_and_lowers_no_fencing_token() {
    let (mock, key) = (MockBackend::new(), user());
    let key = once(&key);
    let first = fencing_token(&mock, &key, OWNER, NOW);
    block_on(mock.forget(&key, NOW)).unwrap();
    assert_eq!((mock.claims(), find(&mock, &key, NOW)), (0, None));
    assert_eq!(block_on(mock.finish(&key, &seven(OWNER), NOW)).unwrap(), FinishResult::Lost(None));
    assert!(fencing_token(&mock, &key, OTHER, Timestamp::EPOCH) > first);
}

#[test]
fn namespace_kind_and_key_are_kept_apart() {
    let (mock, key, longer) = (MockBackend::new(), user(), limited_core::Key::from("est"));
    let keys = [
        ClaimKey::new("test", ClaimKind::DoOnce, &key),
        ClaimKey::new("test", ClaimKind::Idempotency, &key),
        ClaimKey::new("", ClaimKind::DoOnce, &key),
        ClaimKey::new("t", ClaimKind::DoOnce, &longer),
    ];
    for key in keys {
        let granted = claim(&mock, &key.unwrap(), OWNER, NOW);
        assert!(matches!(granted, Acquisition::Acquired(Grant { expires_at: UNTIL, .. })));
    }
    assert_eq!((mock.claims(), mock.counters()), (4, 0));
}
