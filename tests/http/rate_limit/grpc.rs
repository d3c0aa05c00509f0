//! Responses to gRPC calls.

use std::time::Duration;

use http::{Request, StatusCode};
use limited::http::{KeyExtractor, PeerAddress, RateLimitLayer};
use limited::{BackendError, Quota};
use tower::service_fn;
use tower_layer::Layer;

use super::{CLIENT, by_peer, hello, limiter, mocked, send};
use crate::received::Received;

fn call() -> Request<String> {
    Request::post("/pets.Pets/Feed")
        .header("content-type", "application/grpc+proto")
        .extension(PeerAddress(CLIENT.into()))
        .body(String::new())
        .unwrap()
}

fn assert_trailers_only(response: &Received, status: &str) {
    assert_eq!((response.status, response.text()), (StatusCode::OK, ""));
    assert_eq!(response.header("content-type"), Some("application/grpc+proto"));
    assert_eq!(response.header("grpc-status"), Some(status));
    assert!(response.header("grpc-message").is_some());
}

#[test]
fn rejection_is_resource_exhausted_with_the_retry_delay() {
    let (limiter, clock) = limiter("1/min");
    let mut service =
        RateLimitLayer::new(limiter, by_peer()).policy_name("calls 100%").unwrap().layer(service_fn(hello));
    send(&mut service, call());
    clock.advance(Duration::from_nanos(58_200_000_001));
    let response = send(&mut service, call());
    assert_trailers_only(&response, "8");
    assert_eq!(response.header("grpc-message"), Some("the policy `calls 100%25` allows 1/min; retry in 2 s"));
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(response.header("grpc-retry-pushback-ms"), Some("1800"));
    assert_eq!(response.header("ratelimit"), Some("\"calls 100%\";r=0;t=2"));
}

#[test]
fn call_that_is_never_admitted_must_not_be_retried() {
    let (limiter, _) = limiter("0/min");
    let response = send(&mut RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello)), call());
    assert_trailers_only(&response, "8");
    assert_eq!(response.header("retry-after"), None);
    assert_eq!(response.header("grpc-retry-pushback-ms"), Some("-1"));
}

#[test]
fn missing_key_is_invalid_argument_and_backend_failure_is_unavailable() {
    let (limiter, mock) = mocked(Quota::per_minute(1));
    mock.fail_next(BackendError::timed_out("no response"));
    let by_token = RateLimitLayer::new(limiter.clone(), KeyExtractor::bearer_token());
    assert_trailers_only(&send(&mut by_token.layer(service_fn(hello)), call()), "3");
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    assert_trailers_only(&send(&mut service, call()), "14");
}
