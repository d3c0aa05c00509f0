//! When a request is repeated, and how long that takes.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_types::retry::RetrySpec;
use limited::{BackendError, Limiter, ManualClock, Quota};
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};
use tokio::time::Instant;

use crate::backend_error;
use crate::support::{Fault, Wire, config};

const THROTTLED: &str = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
const INTERNAL: &str = "com.amazonaws.dynamodb.v20120810#InternalServerError";

/// Returns a backend by each of the SDK's retry behaviours: that of today, and that which
/// `AWS_NEW_RETRIES_2026=true` sets. The second is the configuration that `aws-config` and the
/// client make of that variable.
fn builders(wire: &Wire) -> [(&'static str, DynamoDbBackendBuilder); 2] {
    let of_2026 = RetrySpec::v2_1().with_non_throttling_initial_backoff(Duration::from_millis(25));
    let of_2026 = RetryConfig::standard().with_retry_spec(of_2026);
    [("today", config(wire)), ("2026", config(wire).retry_config(of_2026))].map(|(name, config)| {
        let client = Client::from_conf(config.build());
        (name, DynamoDbBackend::builder(client).table_name("limits"))
    })
}

fn limiter(builder: DynamoDbBackendBuilder) -> Limiter<DynamoDbBackend> {
    Limiter::new(builder.build()).clock(ManualClock::new()).quota(Quota::per_minute(1_000))
}

#[tokio::test(start_paused = true)]
async fn long_wait_that_the_server_requests_is_its_error_at_once_and_not_a_timeout() {
    let wire = Wire::new();
    wire.backend().await;
    for (behaviour, builder) in builders(&wire) {
        let limiter = limiter(builder);
        for millis in [126, 400, 1_000, 60_000, u64::MAX] {
            for (fault, is_throttled) in [
                (Fault::RetryAfter(400, THROTTLED, millis), true),
                (Fault::RetryAfter(500, INTERNAL, millis), false),
            ] {
                wire.push_faults([fault]);
                let before = Instant::now();
                let error = backend_error(limiter.allow(behaviour).await.unwrap_err());
                let is_expected = match error {
                    BackendError::Throttled(_) => is_throttled,
                    BackendError::Unavailable(_) => !is_throttled,
                    _ => false,
                };
                assert!(is_expected, "{behaviour}, {fault:?}: {error:?}");
                assert_eq!(before.elapsed(), Duration::ZERO, "{behaviour}, {fault:?}");
                assert_eq!(wire.take_operations().len(), 1, "{behaviour}, {fault:?}");
            }
        }
        assert_eq!(limiter.peek(behaviour).await.unwrap().used(), 0, "{behaviour}");
        wire.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn short_wait_that_the_server_requests_is_kept_and_the_request_is_repeated() {
    let wire = Wire::new();
    wire.backend().await;
    for (behaviour, builder) in builders(&wire) {
        let limiter = limiter(builder);
        for millis in [50, 125] {
            wire.push_faults([Fault::RetryAfter(400, THROTTLED, millis)]);
            let before = Instant::now();
            assert!(limiter.allow(behaviour).await.unwrap().is_allowed());
            let waited = before.elapsed();
            let least = Duration::from_millis(millis);
            assert!(waited >= least && waited <= least + Duration::from_millis(2), "{behaviour}: {waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_is_short_after_throttling_and_after_internal_errors() {
    let wire = Wire::new();
    wire.backend().await;
    let mut longest = Vec::new();
    for (behaviour, builder) in builders(&wire) {
        let limiter = limiter(builder);
        for fault in [Fault::Error(400, THROTTLED), Fault::Error(500, INTERNAL)] {
            let mut longest_wait = Duration::ZERO;
            for _ in 0..60 {
                wire.push_faults([fault]);
                let before = Instant::now();
                assert!(limiter.allow(behaviour).await.unwrap().is_allowed());
                longest_wait = longest_wait.max(before.elapsed());
            }
            longest.push((behaviour, fault, longest_wait));
        }
    }
    for (behaviour, fault, wait) in longest {
        // As the documentation of `first_backoff` says, with a millisecond of rounding.
        let overruled = behaviour == "2026" && matches!(fault, Fault::Error(500, _));
        let bound = Duration::from_millis(if overruled { 26 } else { 11 });
        assert!(wait <= bound, "{behaviour}, {fault:?}: {wait:?}");
        assert!(!overruled || wait > Duration::from_millis(11), "the exception is needed no more: {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_longer_than_the_timeout_does_not_hide_what_the_server_responded() {
    let wire = Wire::new();
    wire.backend().await;
    for (behaviour, builder) in builders(&wire) {
        let limiter = limiter(builder.first_backoff(Duration::from_secs(60)).max_attempts(4));
        for _ in 0..10 {
            wire.push_faults([Fault::Error(400, THROTTLED); 4]);
            let error = backend_error(limiter.allow(behaviour).await.unwrap_err());
            assert!(matches!(error, BackendError::Throttled(_)), "{behaviour}: {error:?}");
        }
    }
}
