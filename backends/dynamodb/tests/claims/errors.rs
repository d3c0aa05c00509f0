//! Each failure has its own error, which names the table of claims.

use limited_core::{Backend, BackendError, ClaimRequest};
use limited_dynamodb::DynamoDbBackend;

use crate::support::Fault;
use crate::table::{ALICE, LEASE, NOON, Table, after, claim, done, granted, key, order};

/// Returns the error of every operation under a fault, by the name of the operation.
async fn errors_of_all(
    table: &Table,
    backend: &DynamoDbBackend,
    fault: Fault,
) -> Vec<(&'static str, BackendError)> {
    let key = key();
    let on = order(&key);
    let request = ClaimRequest::new(ALICE, after(LEASE));
    let mut errors = Vec::new();
    let fail = || {
        table.wire.clear_faults();
        [fault; 2].into_iter().for_each(|fault| table.wire.push_fault(fault));
    };
    fail();
    errors.push(("claim", backend.claim(&on, &request, NOON).await.map(drop).unwrap_err()));
    fail();
    errors.push(("finish", backend.finish(&on, &done(ALICE, "1"), NOON).await.map(drop).unwrap_err()));
    fail();
    errors.push(("renew", backend.renew(&on, ALICE, after(LEASE), NOON).await.map(drop).unwrap_err()));
    fail();
    errors.push(("release", backend.release(&on, ALICE, NOON).await.map(drop).unwrap_err()));
    fail();
    errors.push(("find", backend.find(&on, NOON).await.map(drop).unwrap_err()));
    fail();
    errors.push(("forget", backend.forget(&on, NOON).await.unwrap_err()));
    table.wire.clear_faults();
    errors
}

#[tokio::test(start_paused = true)]
async fn each_failure_of_each_operation_has_its_own_error() {
    type Is = fn(&BackendError) -> bool;
    let cases: [(Fault, Is, &str); 7] = [
        (Fault::Throttle, |error| matches!(error, BackendError::Throttled(_)), "`claims`"),
        (Fault::AccessDenied, |error| matches!(error, BackendError::AccessDenied(_)), "`claims`"),
        (Fault::InternalError, |error| matches!(error, BackendError::Unavailable(_)), "internal error"),
        (Fault::CutBefore, |error| matches!(error, BackendError::Unavailable(_)), "cannot be reached"),
        (Fault::Truncate, |error| matches!(error, BackendError::Unavailable(_)), "could not be read"),
        (Fault::Hang, |error| matches!(error, BackendError::TimedOut(_)), "`claims`"),
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ValidationException"),
            |error| matches!(error, BackendError::Invalid(_)),
            "DynamoDB rejected the request",
        ),
    ];
    for (fault, is_expected, text) in cases {
        let (table, backend) = Table::new().await;
        for (operation, error) in errors_of_all(&table, &backend, fault).await {
            assert!(is_expected(&error), "{fault:?}, {operation}: {error:?}");
            assert!(error.to_string().contains(text), "{fault:?}, {operation}: {error}");
            assert!(std::error::Error::source(&error).is_some(), "{fault:?}, {operation}");
        }
        let later = limited_core::Owner(7);
        granted(claim(&backend, later, after(2 * LEASE)).await);
    }
}

#[tokio::test]
async fn every_operation_reports_a_missing_table() {
    let (table, _) = Table::new().await;
    let backend = table.builder().idempotency_table_name("elsewhere").build();
    for (operation, error) in errors_of_all(&table, &backend, Fault::None).await {
        assert!(matches!(error, BackendError::MissingTable(_)), "{operation}: {error:?}");
        assert!(error.to_string().contains("`elsewhere`"), "{operation}: {error}");
    }
}

#[tokio::test]
async fn claims_need_no_table_of_rate_limits() {
    let (table, backend) = Table::new().await;
    granted(claim(&backend, ALICE, NOON).await);
    assert_eq!(table.take_operations(), ["UpdateItem"]);
}
