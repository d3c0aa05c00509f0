//! Each failure has its own error.

use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use limited::{BackendError, Limiter};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Fault, Wire};
use crate::{backend_error, limiter};

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_own_error_that_says_what_to_do() {
    type Is = fn(&BackendError) -> bool;
    let cases: [(Fault, Is, &str); 9] = [
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
            |error| matches!(error, BackendError::Throttled(_)),
            "no more requests",
        ),
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ThrottlingException"),
            |error| matches!(error, BackendError::Throttled(_)),
            "no more requests",
        ),
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#AccessDeniedException"),
            |error| matches!(error, BackendError::AccessDenied(_)),
            "limits",
        ),
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"),
            |error| matches!(error, BackendError::MissingTable(_)),
            "create_tables",
        ),
        (
            Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ValidationException"),
            |error| matches!(error, BackendError::Invalid(_)),
            "DynamoDB rejected the request",
        ),
        (
            Fault::Error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
            |error| matches!(error, BackendError::Unavailable(_)),
            "internal error",
        ),
        (Fault::CutBefore, |error| matches!(error, BackendError::Unavailable(_)), "cannot be reached"),
        (Fault::Truncate, |error| matches!(error, BackendError::Unavailable(_)), "could not be read"),
        (Fault::Hang, |error| matches!(error, BackendError::TimedOut(_)), "operation timeout"),
    ];
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    for (fault, is_expected, text) in cases {
        wire.push_faults([fault; 4]);
        let error = backend_error(limiter.allow("key").await.unwrap_err());
        assert!(is_expected(&error), "{fault:?}: {error:?}");
        assert!(error.to_string().contains(text), "{fault:?}: {error}");
        assert!(std::error::Error::source(&error).is_some(), "{fault:?}");
        wire.clear_faults();
        let _ = limiter.allow("key").await.expect("a failure has no effect on the next request");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_error_says_which_limit_was_reached_and_what_to_do() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    for (reason, advice) in [
        ("TableWriteKeyRangeThroughputExceeded", "spread them over more keys"),
        ("IndexWriteKeyRangeThroughputExceeded", "spread them over more keys"),
        ("TableWriteProvisionedThroughputExceeded", "raise the provisioned capacity"),
        ("TableWriteMaxOnDemandThroughputExceeded", "raise the maximum throughput"),
        ("TableWriteAccountLimitExceeded", "raise the account's quota"),
        ("TableWriteUnheardOfExceeded", "accepts no more requests"),
    ] {
        for operation in ["UpdateItem", "GetItem"] {
            wire.push_faults([Fault::ThrottledBy(reason); 2]);
            let error = match operation {
                "UpdateItem" => limiter.allow("key").await.unwrap_err(),
                _ => limiter.peek("key").await.unwrap_err(),
            };
            let error = backend_error(error);
            assert!(matches!(error, BackendError::Throttled(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(advice) && text.contains(&format!("`{reason}` of `arn:aws:")), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn conflict_with_a_region_or_a_transaction_is_distinguished_from_throttling() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    for (kind, text) in [
        ("com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException", "another region"),
        ("com.amazonaws.dynamodb.v20120810#TransactionConflictException", "a transaction"),
        ("com.amazonaws.dynamodb.v20120810#RequestLimitExceeded", "accepts no more requests"),
    ] {
        wire.push_faults([Fault::Error(400, kind); 2]);
        let error = backend_error(limiter.allow("key").await.unwrap_err());
        wire.clear_faults();
        assert!(matches!(error, BackendError::Throttled(_)), "{error:?}");
        let others = ["another region", "a transaction", "accepts no more requests"];
        let found: Vec<_> = others.into_iter().filter(|other| error.to_string().contains(other)).collect();
        assert_eq!(found, [text], "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn write_that_meets_a_transaction_is_tried_again() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    wire.push_faults([Fault::Error(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException")]);
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    assert_eq!(wire.take_operations(), ["UpdateItem", "UpdateItem"]);
}

#[tokio::test]
async fn every_operation_reports_a_missing_table() {
    let wire = Wire::new();
    let limiter = Limiter::new(wire.builder().build());
    for error in [
        limiter.allow("key").await.unwrap_err(),
        limiter.peek("key").await.unwrap_err(),
        limiter.reset("key").await.unwrap_err(),
    ] {
        assert!(matches!(backend_error(error), BackendError::MissingTable(_)));
    }
}

#[tokio::test]
async fn missing_http_client_is_misconfigured() {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url("http://127.0.0.1:1")
        .credentials_provider(Credentials::new("local", "local", None, None, "test"));
    let backend = DynamoDbBackend::new(aws_sdk_dynamodb::Client::from_conf(config.build()));
    let error = backend_error(Limiter::new(backend).allow("key").await.unwrap_err());
    assert!(matches!(error, BackendError::Misconfigured(_)), "{error:?}");
    assert!(error.to_string().contains("HTTP client"), "{error}");
}

#[tokio::test]
async fn missing_credentials_or_region_are_misconfigured() {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = || Config::builder().behavior_version(BehaviorVersion::latest()).http_client(http.clone());
    let credentials = Credentials::new("local", "local", None, None, "test");
    for config in [config().region(Region::new("eu-west-1")), config().credentials_provider(credentials)] {
        let backend = DynamoDbBackend::new(aws_sdk_dynamodb::Client::from_conf(config.build()));
        let error = backend_error(Limiter::new(backend).allow("key").await.unwrap_err());
        assert!(matches!(error, BackendError::Misconfigured(_)), "{error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_request_is_retried_soon_and_hanging_request_times_out_soon() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    for _ in 0..20 {
        wire.push_faults([Fault::Error(
            400,
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        )]);
        let before = tokio::time::Instant::now();
        assert!(limiter.allow_n("key", 1).await.is_ok());
        assert!(before.elapsed() <= Duration::from_millis(20), "{:?}", before.elapsed());
        limiter.reset("key").await.unwrap();
    }
    wire.push_faults([Fault::Hang]);
    let before = tokio::time::Instant::now();
    assert!(limiter.allow("key").await.is_err());
    assert!(before.elapsed() <= Duration::from_millis(300), "{:?}", before.elapsed());
}
