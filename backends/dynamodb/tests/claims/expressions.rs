//! Each branch of the conditions, on items that exist, expired or not.

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    Acquisition, Backend, BackendError, ClaimRequest, FencingToken, FinishResult, Grant, InProgress,
    LeaseStatus, Record, Timestamp,
};

use crate::table::{
    ALICE, BOB, LEASE, NOON, Table, after, claim, done, granted, held, key, number, order, seconds, text,
    token,
};

const TICK: u64 = 1;

fn tick_after(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.as_nanos() + TICK)
}

/// The outcome of a claim by Alice at noon.
#[derive(Debug, PartialEq)]
enum Outcome {
    Acquired,
    Held,
    /// Acquired again: her own claim, as it is stored.
    Again,
    Invalid,
    Corrupt,
}

#[tokio::test]
async fn key_is_free_in_exactly_the_documented_cases() {
    use Outcome::{Acquired, Again, Corrupt, Held, Invalid};
    let status = |status: &str| ("Status", text(status));
    let of = |owner| ("LockToken", token(owner));
    let until = |text_of: &str| ("LockedUntil", text(text_of));
    let expires = |at: u64| ("ExpiresAt", number(at));
    let noon = NOON.as_secs();
    let cases: Vec<(Vec<(&str, AttributeValue)>, Outcome)> = vec![
        (vec![status("FAILED"), of(BOB)], Acquired),
        (vec![status("FAILED")], Acquired),
        (vec![status("PENDING")], Acquired),
        (vec![status("PENDING"), of(BOB), until("2027-01-01T00:00:00.000000000Z")], Acquired),
        (vec![status("PROCESSING"), of(BOB)], Acquired),
        (vec![status("PROCESSING")], Acquired),
        // The lease ends at the nanosecond.
        (vec![status("PROCESSING"), of(BOB), until("2026-11-21T11:59:59.999999999Z")], Acquired),
        (vec![status("PROCESSING"), of(BOB), until("2026-11-21T12:00:00.000000000Z")], Acquired),
        (vec![status("PROCESSING"), of(BOB), until("2026-11-21T12:00:00.000000001Z")], Held),
        (vec![status("PROCESSING"), until("2026-11-21T12:00:00.000000001Z")], Held),
        // Expired, in whole seconds, and not deleted yet.
        (
            vec![status("PROCESSING"), of(BOB), until("2027-01-01T00:00:00.000000000Z"), expires(noon)],
            Acquired,
        ),
        (
            vec![status("PROCESSING"), of(BOB), until("2027-01-01T00:00:00.000000000Z"), expires(noon + 1)],
            Held,
        ),
        (vec![status("COMPLETED"), of(BOB), expires(noon)], Acquired),
        (vec![status("COMPLETED"), of(BOB), expires(noon + 1)], Held),
        (vec![status("COMPLETED"), of(BOB)], Held),
        (vec![status("COMPLETED")], Held),
        (vec![status("COMPLETED"), expires(noon)], Acquired),
        // Her own claims.
        (vec![status("PROCESSING"), of(ALICE), until("2027-01-01T00:00:00.000000000Z")], Again),
        (vec![status("PROCESSING"), of(ALICE), until("2026-01-01T00:00:00.000000000Z")], Again),
        (vec![status("PROCESSING"), of(ALICE)], Again),
        (vec![status("COMPLETED"), of(ALICE)], Held),
        (vec![status("FAILED"), of(ALICE)], Invalid),
        (vec![status("PENDING"), of(ALICE)], Invalid),
        (vec![status("PROCESSING"), of(ALICE), expires(noon)], Invalid),
        (vec![status("COMPLETED"), of(ALICE), expires(noon)], Invalid),
        // An unknown status holds the key, unless the item has expired.
        (vec![status("RESERVED"), of(BOB)], Corrupt),
        (vec![of(BOB)], Corrupt),
        (vec![("Status", number(1))], Corrupt),
        (vec![status("RESERVED"), of(BOB), expires(noon)], Acquired),
        (vec![expires(noon)], Acquired),
        (vec![status("COMPLETED"), ("ExpiresAt", text("soon"))], Corrupt),
        (vec![status("PROCESSING"), ("LockedUntil", number(1)), of(BOB)], Corrupt),
    ];
    let (table, backend) = Table::new().await;
    for (item, expected) in cases {
        table.put(item.iter().map(|(name, value)| (*name, value.clone()))).await;
        let request = ClaimRequest::new(ALICE, after(LEASE));
        let outcome = match backend.claim(&order(&key()), &request, NOON).await {
            Ok(Acquisition::Acquired(grant)) if grant.fencing_token.0 > 0 => {
                assert_eq!(
                    grant,
                    Grant {
                        fencing_token: FencingToken(NOON.as_nanos() / 1_000 + 1),
                        expires_at: request.expires_at
                    }
                );
                Acquired
            }
            // The item has no fencing token.
            Ok(Acquisition::Acquired(_)) => Again,
            Ok(Acquisition::Held(_)) => Held,
            Err(BackendError::Invalid(_)) => Invalid,
            Err(BackendError::Corrupt(_)) => Corrupt,
            Err(error) => panic!("{item:?}: {error}"),
        };
        assert_eq!(outcome, expected, "{item:?}");
        assert_eq!(table.take_operations().len(), 1, "{item:?}");
    }
}

#[tokio::test]
async fn owner_changes_only_its_own_live_claim() {
    let status = |status: &str| ("Status", text(status));
    let of = |owner| ("LockToken", token(owner));
    let expires = |at: u64| ("ExpiresAt", number(at));
    let noon = NOON.as_secs();
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    for (item, owned, shows) in [
        (vec![status("PROCESSING"), of(ALICE), expires(noon + 1)], true, true),
        // The lease has ended, and no other owner has acquired the key.
        (vec![status("PROCESSING"), of(ALICE), ("LockedUntil", text("2020-01-01T00:00:00Z"))], true, true),
        (vec![status("PROCESSING"), of(ALICE), expires(noon)], false, false),
        (vec![status("PROCESSING"), of(BOB)], false, true),
        (vec![status("PROCESSING")], false, true),
        (vec![status("COMPLETED"), of(BOB)], false, true),
        (vec![status("COMPLETED"), of(BOB), expires(noon)], false, false),
        (vec![status("FAILED"), of(BOB)], false, false),
        (vec![status("PENDING"), of(ALICE)], false, false),
    ] {
        let put = async || table.put(item.iter().map(|(name, value)| (*name, value.clone()))).await;
        put().await;
        let before = table.item().await;
        match backend.finish(&on, &done(ALICE, "1"), NOON).await.unwrap() {
            FinishResult::Stored => assert!(owned, "{item:?}"),
            FinishResult::Lost(record) => {
                assert!(!owned && record.is_some() == shows, "{item:?}: {record:?}");
            }
            result => panic!("{result:?}"),
        }
        assert_eq!(table.item().await == before, !owned, "{item:?}");
        put().await;
        for status in [
            backend.renew(&on, ALICE, after(LEASE), NOON).await.unwrap(),
            backend.release(&on, ALICE, NOON).await.unwrap(),
        ] {
            match status {
                LeaseStatus::Owned => assert!(owned, "{item:?}"),
                LeaseStatus::Lost(record) => {
                    assert!(!owned && record.is_some() == shows, "{item:?}: {record:?}");
                }
            }
        }
        assert_eq!(table.item().await == before, !owned, "{item:?}");
    }
}

#[tokio::test]
async fn shorter_renewal_is_owned_and_does_not_shorten_the_lease() {
    let (table, backend) = Table::new().await;
    granted(claim(&backend, ALICE, NOON).await);
    let before = table.item().await;
    for expires_at in [NOON, seconds(29), seconds(30)] {
        assert_eq!(backend.renew(&order(&key()), ALICE, expires_at, NOON).await.unwrap(), LeaseStatus::Owned);
        assert_eq!(table.item().await, before);
    }
    let expires_at = tick_after(seconds(30));
    assert_eq!(backend.renew(&order(&key()), ALICE, expires_at, NOON).await.unwrap(), LeaseStatus::Owned);
    let Some(Record::InProgress(InProgress { expires_at: stored, .. })) =
        backend.find(&order(&key()), NOON).await.unwrap()
    else {
        panic!("the claim is in progress")
    };
    assert_eq!(stored, expires_at);
}

#[tokio::test]
async fn completion_that_expires_at_once_is_stored_and_then_absent() {
    let (_, backend) = Table::new().await;
    granted(claim(&backend, ALICE, NOON).await);
    let completion = done(ALICE, "1").with_expiry(NOON);
    // The second request is the SDK's repetition after a lost response.
    for _ in 0..2 {
        assert_eq!(backend.finish(&order(&key()), &completion, NOON).await.unwrap(), FinishResult::Stored);
    }
    assert_eq!(backend.find(&order(&key()), NOON).await.unwrap(), None);
    let later = tick_after(NOON);
    assert_eq!(backend.finish(&order(&key()), &completion, later).await.unwrap(), FinishResult::Lost(None));
    granted(claim(&backend, BOB, NOON).await);
}

#[tokio::test]
async fn fencing_tokens_rise_through_every_ending_and_a_clock_jump() {
    let (_, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    let mut last = FencingToken(0);
    for (round, ending) in
        ["release", "lapse", "finish", "forget", "forget twice"].iter().cycle().take(50).enumerate()
    {
        // The clock jumps back and forth within the maximum skew.
        let now = seconds(if round % 2 == 0 { 5 } else { 0 });
        let owner = limited_core::Owner(round as u128 + 1);
        let claimed = backend.claim(&on, &ClaimRequest::new(owner, NOON), now).await.unwrap();
        let fencing_token = granted(claimed).fencing_token;
        assert!(fencing_token > last, "after {ending}: {fencing_token:?}, then {last:?}");
        last = fencing_token;
        match *ending {
            "release" => assert_eq!(backend.release(&on, owner, now).await.unwrap(), LeaseStatus::Owned),
            "finish" => {
                let expired = done(owner, "1").with_expiry(NOON);
                assert_eq!(backend.finish(&on, &expired, now).await.unwrap(), FinishResult::Stored);
            }
            "forget" => backend.forget(&on, now).await.unwrap(),
            "forget twice" => {
                backend.forget(&on, now).await.unwrap();
                backend.forget(&on, now).await.unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn owner_loses_a_forgotten_claim() {
    let (_, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    granted(claim(&backend, ALICE, NOON).await);
    backend.forget(&on, NOON).await.unwrap();
    assert_eq!(backend.find(&on, NOON).await.unwrap(), None);
    assert_eq!(backend.finish(&on, &done(ALICE, "1"), NOON).await.unwrap(), FinishResult::Lost(None));
    assert_eq!(backend.renew(&on, ALICE, after(2 * LEASE), NOON).await.unwrap(), LeaseStatus::Lost(None));
    assert_eq!(backend.release(&on, ALICE, NOON).await.unwrap(), LeaseStatus::Lost(None));
    granted(claim(&backend, BOB, NOON).await);
    let Record::InProgress(current) = held(claim(&backend, limited_core::Owner(3), NOON).await) else {
        panic!("the claim is in progress")
    };
    assert_eq!(current.owner, BOB);
}
