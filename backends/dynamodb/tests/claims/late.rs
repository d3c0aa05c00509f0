//! Answers that are lost, and requests that arrive late.

use std::time::Duration;

use limited_core::{Acquisition, Backend, BackendError, ClaimRequest, FinishResult, LeaseStatus, Record};

use crate::support::Fault;
use crate::table::{ALICE, BOB, LEASE, NOON, Table, after, claim, done, granted, key, order, seconds, taken};

#[tokio::test(start_paused = true)]
async fn every_operation_whose_answer_is_lost_finds_its_own() {
    for fault in [Fault::CutAfter, Fault::DelayBefore(Duration::from_millis(1))] {
        let (table, backend) = Table::new().await;
        let key = key();
        let on = order(&key);
        let lose = || table.wire.push_fault(fault);
        let expires_at = after(2 * LEASE);

        lose();
        let grant = granted(claim(&backend, ALICE, NOON).await);
        let Some(Record::InProgress(held)) = backend.find(&on, NOON).await.unwrap() else {
            panic!("she is at it")
        };
        assert_eq!(
            (held.fencing_token, held.expires_at),
            (grant.fencing_token, grant.expires_at),
            "one grant, and not two"
        );
        lose();
        taken(claim(&backend, BOB, NOON).await);
        lose();
        assert_eq!(backend.renew(&on, ALICE, expires_at, NOON).await.unwrap(), LeaseStatus::Owned);
        lose();
        assert_eq!(backend.release(&on, ALICE, NOON).await.unwrap(), LeaseStatus::Owned);
        lose();
        let next = granted(claim(&backend, BOB, NOON).await);
        assert_eq!(next.fencing_token, grant.fencing_token.next(), "one grant more, and not two");
        lose();
        assert_eq!(backend.finish(&on, &done(BOB, "1"), NOON).await.unwrap(), FinishResult::Stored);
        lose();
        assert!(backend.find(&on, NOON).await.unwrap().is_some());
        lose();
        backend.forget(&on, NOON).await.unwrap();
        assert_eq!(backend.find(&on, NOON).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_its_owner_has_finished_opens_nothing() {
    for expires in [None, Some(seconds(1))] {
        let (table, backend) = Table::new().await;
        // Given up before the first attempt arrives, and claimed again by the same owner.
        table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
        let request = ClaimRequest::new(ALICE, after(LEASE));
        let error = backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
        assert!(matches!(error, BackendError::TimedOut(_)), "{error:?}");
        granted(claim(&backend, ALICE, NOON).await);
        let completion = limited_core::Completion { expires, ..done(ALICE, "1") };
        assert_eq!(backend.finish(&order(&key()), &completion, NOON).await.unwrap(), FinishResult::Stored);
        let before = table.item().await;
        table.wire.settled().await;
        assert_eq!(table.item().await, before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_its_owner_has_given_up_or_expired_opens_nothing() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    let request = ClaimRequest::new(ALICE, after(LEASE));
    backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    granted(claim(&backend, ALICE, NOON).await);
    backend.release(&order(&key()), ALICE, NOON).await.unwrap();
    let before = table.item().await;
    table.wire.settled().await;
    assert_eq!(table.item().await, before);
}

/// What is documented: the one thing that a late first attempt can do is to hold the key for its lease.
#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_another_was_given_up_holds_the_key_for_one_lease_and_no_longer() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    let request = ClaimRequest::new(ALICE, after(LEASE));
    backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    let first = granted(claim(&backend, ALICE, NOON).await);
    backend.release(&order(&key()), ALICE, NOON).await.unwrap();
    let second = granted(claim(&backend, BOB, NOON).await);
    backend.release(&order(&key()), BOB, NOON).await.unwrap();
    table.wire.settled().await;
    let Record::InProgress(ghost) = taken(claim(&backend, BOB, seconds(1)).await) else {
        panic!("nobody is done")
    };
    assert_eq!((ghost.owner, ghost.expires_at), (ALICE, after(LEASE)));
    assert!(first.fencing_token < second.fencing_token && second.fencing_token < ghost.fencing_token);
    let owner = limited_core::Owner(3);
    assert!(granted(claim(&backend, owner, after(LEASE)).await).fencing_token > ghost.fencing_token);
}

#[tokio::test(start_paused = true)]
async fn what_an_owner_sent_late_changes_nothing_of_the_next_owners() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    let expires_at = after(4 * LEASE);
    granted(claim(&backend, ALICE, NOON).await);
    let late = |table: &Table| table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    late(&table);
    backend.renew(&on, ALICE, expires_at, NOON).await.unwrap_err();
    late(&table);
    backend.finish(&on, &done(ALICE, "\"hers\""), NOON).await.unwrap_err();
    late(&table);
    backend.release(&on, ALICE, NOON).await.unwrap_err();
    granted(claim(&backend, BOB, after(LEASE)).await);
    let before = table.item().await;
    table.wire.settled().await;
    assert_eq!(table.item().await, before);
    assert_eq!(backend.finish(&on, &done(BOB, "\"his\""), after(LEASE)).await.unwrap(), FinishResult::Stored);
    let Acquisition::Held(Record::Finished(finished)) = claim(&backend, ALICE, after(LEASE)).await else {
        panic!("it is done")
    };
    assert_eq!(finished.owner, BOB);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrives_after_a_later_one_does_not_move_the_lease_back() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    granted(claim(&backend, ALICE, NOON).await);
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    backend.renew(&on, ALICE, seconds(40), NOON).await.unwrap_err();
    backend.renew(&on, ALICE, seconds(50), NOON).await.unwrap();
    let before = table.item().await;
    table.wire.settled().await;
    assert_eq!(table.item().await, before);
}

#[tokio::test(start_paused = true)]
async fn half_an_answer_leaves_open_what_was_done_and_the_owner_asks_again() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::Truncate);
    let request = ClaimRequest::new(ALICE, after(LEASE));
    let error = backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error:?}");
    granted(backend.claim(&order(&key()), &request, NOON).await.unwrap());
}
