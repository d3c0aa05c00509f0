//! Lost answers count once, and failures are told apart.

mod wire;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use limited::{Algorithm, BackendError, Error, Limiter, ManualClock, Quota};
use limited_dynamodb::DynamoDbBackend;
use proptest::prelude::*;
use wire::{Fault, Wire};

async fn limiter(wire: &Wire) -> Limiter<DynamoDbBackend> {
    Limiter::new(wire.backend().await).clock(ManualClock::new()).quota(Quota::per_minute(10))
}

fn backend_error(error: Error) -> BackendError {
    match error {
        Error::Backend(error) => error,
        other => panic!("{other} is not the backend's"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_of_its_own_kind_and_says_what_to_do() {
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
    for (fault, is_right, says) in cases {
        wire.push([fault; 4]);
        let error = backend_error(limiter.allow("key").await.unwrap_err());
        assert!(is_right(&error), "{fault:?}: {error:?}");
        assert!(error.to_string().contains(says), "{fault:?}: {error}");
        assert!(std::error::Error::source(&error).is_some(), "{fault:?}");
        wire.clear_faults();
        let _ = limiter.allow("key").await.expect("a failure leaves nothing behind");
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_missing_for_every_operation() {
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
async fn a_client_without_an_http_client_is_told_so() {
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
async fn a_client_without_credentials_or_region_is_told_so() {
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
async fn a_throttled_answer_is_repeated_soon_and_a_hanging_server_given_up_soon() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    for _ in 0..20 {
        wire.push([Fault::Error(
            400,
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        )]);
        let before = tokio::time::Instant::now();
        assert!(limiter.allow_n("key", 1).await.is_ok());
        assert!(before.elapsed() <= Duration::from_millis(20), "{:?}", before.elapsed());
        limiter.reset("key").await.unwrap();
    }
    wire.push([Fault::Hang]);
    let before = tokio::time::Instant::now();
    assert!(limiter.allow("key").await.is_err());
    assert!(before.elapsed() <= Duration::from_millis(300), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_counts_once_and_is_known_for_its_own() {
    for algorithm in Algorithm::ALL {
        let wire = Wire::new();
        let limiter = limiter(&wire).await.algorithm(algorithm);
        for used in 1..=10 {
            // The read of the window before comes first.
            let reads = usize::from(algorithm == Algorithm::SlidingWindow);
            wire.push(std::iter::repeat_n(Fault::None, reads).chain([Fault::CutAfter]));
            let decision = limiter.allow("key").await.unwrap();
            assert!(decision.is_allowed(), "{algorithm}: its own grant taken for a refusal");
            assert_eq!(decision.used(), used, "{algorithm}");
            assert_eq!(limiter.peek("key").await.unwrap().used(), used, "{algorithm}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_an_answer_is_an_open_outcome_that_counts_once_at_most() {
    for algorithm in Algorithm::ALL {
        let wire = Wire::new();
        let limiter = limiter(&wire).await.algorithm(algorithm);
        for _ in 0..10 {
            let before = limiter.peek("key").await.unwrap().used();
            wire.push([Fault::Truncate]);
            let error = backend_error(limiter.allow("key").await.unwrap_err());
            assert!(matches!(error, BackendError::Unavailable(_)), "{algorithm}: {error}");
            let after = limiter.peek("key").await.unwrap().used();
            assert!((before..=before + 1).contains(&after), "{algorithm}: {before}, then {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_arrives_after_a_later_one_is_not_applied() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    wire.push([Fault::DelayBefore(Duration::from_secs(2))]);
    assert!(matches!(backend_error(limiter.allow("key").await.unwrap_err()), BackendError::TimedOut(_)));
    assert_eq!(limiter.allow("key").await.unwrap().used(), 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(limiter.peek("key").await.unwrap().used(), 1, "the late write came after a later one");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_takes_nobody_with_it() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    wire.set_latency(Duration::from_millis(20));
    let driver = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.allow("key").await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let [leaves, stays] = [1, 2].map(|cost| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.allow_n("key", cost).await })
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    driver.abort();
    leaves.abort();
    let decision = stays.await.unwrap().unwrap();
    assert!(decision.is_allowed());
    // The first had its write on the way; the second left before its own began, and was not counted.
    assert!((2..=3).contains(&decision.used()), "{}", decision.used());
    assert_eq!(limiter.peek("key").await.unwrap().used(), decision.used());
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")),
        1 => Just(Fault::Error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError")),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayBefore(Duration::from_millis(millis))),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayAnswer(Duration::from_millis(millis))),
        1 => Just(Fault::CutBefore),
        2 => Just(Fault::CutAfter),
        1 => Just(Fault::Truncate),
        1 => Just(Fault::Hang),
        1 => Just(Fault::HangAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn under_random_faults_the_counter_holds_what_was_admitted_and_what_was_applied_unseen(
        faults in prop::collection::vec(fault(), 0..80),
        writers in 1..4_usize,
        costs in prop::collection::vec((1..4_u64, 0..30_u64), 20..60),
        bucket: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let wire = Wire::new();
            let algorithm = if bucket { Algorithm::TokenBucket } else { Algorithm::FixedWindow };
            let clock = ManualClock::new();
            wire.backend().await;
            let limiters: Vec<_> = (0..writers)
                .map(|_| {
                    let limiter = Limiter::new(wire.builder().build()).clock(clock.clone());
                    limiter.algorithm(algorithm).quota(Quota::per_hour(60))
                })
                .collect();
            wire.set_latency(Duration::from_millis(4));
            wire.push(faults);
            let mut calls = Vec::new();
            for (number, (cost, pause)) in costs.iter().copied().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let limiter = limiters[number % writers].clone();
                calls.push((cost, tokio::spawn(async move { limiter.allow_n("key", cost).await })));
            }
            let (mut admitted, mut unknown) = (0, 0);
            for (cost, call) in calls {
                match call.await.unwrap() {
                    Ok(decision) => admitted += if decision.is_allowed() { cost } else { 0 },
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        unknown += cost;
                    }
                }
            }
            // What is still on its way arrives.
            tokio::time::sleep(Duration::from_secs(5)).await;
            wire.clear_faults();
            let used = limiters[0].peek("key").await.unwrap().used();
            prop_assert!(admitted <= used, "{admitted} admitted, and {used} counted");
            prop_assert!(used <= admitted + unknown, "{used} counted of {admitted} admitted and {unknown} unknown");
            prop_assert!(used <= 60);

            // No write was applied twice, so that it ends exactly at what was applied.
            let mut applied = HashMap::<(String, String), u32>::new();
            for request in wire.requests().iter().filter(|request| request.operation == "UpdateItem" && request.is_applied()) {
                let slot = request.request["ExpressionAttributeNames"]["#slot"].as_str();
                let number = request.request["ExpressionAttributeValues"][":number"]["N"].as_str();
                if let (Some(slot), Some(number)) = (slot, number) {
                    *applied.entry((slot.to_owned(), number.to_owned())).or_default() += 1;
                }
            }
            prop_assert!(applied.values().all(|times| *times == 1), "{applied:?}");
            Ok(())
        })?;
    }
}
