//! Lost responses, and requests that arrive late.

use std::time::Duration;

use limited_core::{Acquisition, Backend, BackendError, ClaimRequest, FinishResult, LeaseStatus, Record};

use crate::support::Fault;
use crate::table::{ALICE, BOB, LEASE, NOON, Table, after, claim, done, granted, held, key, order, seconds};

#[tokio::test(start_paused = true)]
async fn every_operation_recognises_itself_after_a_lost_response() {
    for fault in [Fault::CutAfter, Fault::DelayBefore(Duration::from_millis(1))] {
        let (table, backend) = Table::new().await;
        let key = key();
        let on = order(&key);
        let lose = || table.wire.push_fault(fault);
        let expires_at = after(2 * LEASE);

        lose();
        let grant = granted(claim(&backend, ALICE, NOON).await);
        let Some(Record::InProgress(in_progress)) = backend.find(&on, NOON).await.unwrap() else {
            panic!("the claim is in progress")
        };
        assert_eq!(
            (in_progress.fencing_token, in_progress.expires_at),
            (grant.fencing_token, grant.expires_at),
            "the key was granted once"
        );
        lose();
        held(claim(&backend, BOB, NOON).await);
        lose();
        assert_eq!(backend.renew(&on, ALICE, expires_at, NOON).await.unwrap(), LeaseStatus::Owned);
        lose();
        assert_eq!(backend.release(&on, ALICE, NOON).await.unwrap(), LeaseStatus::Owned);
        lose();
        let next = granted(claim(&backend, BOB, NOON).await);
        assert_eq!(next.fencing_token, grant.fencing_token.next(), "the key was granted once more");
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
async fn late_claim_after_finish_changes_nothing() {
    for expires in [None, Some(seconds(1))] {
        let (table, backend) = Table::new().await;
        // The request times out before it arrives, and the same owner claims again.
        table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
        let request = ClaimRequest::new(ALICE, after(LEASE));
        let error = backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
        assert!(matches!(error, BackendError::TimedOut(_)), "{error:?}");
        granted(claim(&backend, ALICE, NOON).await);
        let completion = done(ALICE, "1").with_expiry(expires);
        assert_eq!(backend.finish(&order(&key()), &completion, NOON).await.unwrap(), FinishResult::Stored);
        let before = table.item().await;
        table.wire.drained().await;
        assert_eq!(table.item().await, before);
    }
}

#[tokio::test(start_paused = true)]
async fn late_claim_after_release_changes_nothing() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    let request = ClaimRequest::new(ALICE, after(LEASE));
    backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    granted(claim(&backend, ALICE, NOON).await);
    backend.release(&order(&key()), ALICE, NOON).await.unwrap();
    let before = table.item().await;
    table.wire.drained().await;
    assert_eq!(table.item().await, before);
}

/// As the README says, the only effect of a late first attempt is that it may hold the key for its
/// lease.
#[tokio::test(start_paused = true)]
async fn late_claim_after_another_owner_holds_the_key_for_one_lease() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    let request = ClaimRequest::new(ALICE, after(LEASE));
    backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    let first = granted(claim(&backend, ALICE, NOON).await);
    backend.release(&order(&key()), ALICE, NOON).await.unwrap();
    let second = granted(claim(&backend, BOB, NOON).await);
    backend.release(&order(&key()), BOB, NOON).await.unwrap();
    table.wire.drained().await;
    let Record::InProgress(late) = held(claim(&backend, BOB, seconds(1)).await) else {
        panic!("the claim is in progress")
    };
    assert_eq!((late.owner, late.expires_at), (ALICE, after(LEASE)));
    assert!(first.fencing_token < second.fencing_token && second.fencing_token < late.fencing_token);
    let owner = limited_core::Owner(3);
    assert!(granted(claim(&backend, owner, after(LEASE)).await).fencing_token > late.fencing_token);
}

#[tokio::test(start_paused = true)]
async fn late_requests_of_an_owner_do_not_change_the_next_claim() {
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
    table.wire.drained().await;
    assert_eq!(table.item().await, before);
    assert_eq!(backend.finish(&on, &done(BOB, "\"his\""), after(LEASE)).await.unwrap(), FinishResult::Stored);
    let Acquisition::Held(Record::Finished(finished)) = claim(&backend, ALICE, after(LEASE)).await else {
        panic!("the claim is finished")
    };
    assert_eq!(finished.owner, BOB);
}

#[tokio::test(start_paused = true)]
async fn late_renewal_does_not_shorten_the_lease() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    granted(claim(&backend, ALICE, NOON).await);
    table.wire.push_fault(Fault::DelayBefore(Duration::from_secs(2)));
    backend.renew(&on, ALICE, seconds(40), NOON).await.unwrap_err();
    backend.renew(&on, ALICE, seconds(50), NOON).await.unwrap();
    let before = table.item().await;
    table.wire.drained().await;
    assert_eq!(table.item().await, before);
}

#[tokio::test(start_paused = true)]
async fn truncated_response_is_unavailable_and_the_claim_can_be_repeated() {
    let (table, backend) = Table::new().await;
    table.wire.push_fault(Fault::Truncate);
    let request = ClaimRequest::new(ALICE, after(LEASE));
    let error = backend.claim(&order(&key()), &request, NOON).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error:?}");
    granted(backend.claim(&order(&key()), &request, NOON).await.unwrap());
}
