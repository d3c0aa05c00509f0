//! Calls of gRPC, answered in their own way.

use http::{Request, StatusCode};
use limited::http::{PeerAddress, RateLimitLayer};
use limited::{BackendError, Quota};
use tower::service_fn;
use tower_layer::Layer;

use crate::{Answer, CLIENT, by_peer, hello, limiter, mocked, send};

fn call() -> Request<String> {
    Request::post("/pets.Pets/Feed")
        .header("content-type", "application/grpc+proto")
        .extension(PeerAddress(CLIENT.into()))
        .body(String::new())
        .unwrap()
}

fn is_trailers_only(answer: &Answer, status: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(answer.header("content-type"), Some("application/grpc+proto"));
    assert_eq!(answer.header("grpc-status"), Some(status));
    assert!(answer.header("grpc-message").is_some());
}

#[test]
fn a_refusal_is_resource_exhausted_with_the_time_to_wait() {
    let (limiter, clock) = limiter("1/min");
    let mut service =
        RateLimitLayer::new(limiter, by_peer()).policy_name("calls 100%").unwrap().layer(service_fn(hello));
    send(&mut service, call());
    clock.advance(std::time::Duration::from_nanos(58_200_000_001));
    let answer = send(&mut service, call());
    is_trailers_only(&answer, "8");
    assert_eq!(answer.header("grpc-message"), Some("the policy `calls 100%25` allows 1/min; retry in 2 s"));
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.header("grpc-retry-pushback-ms"), Some("1800"));
    assert_eq!(answer.header("ratelimit"), Some("\"calls 100%\";r=0;t=2"));
}

#[test]
fn what_can_never_pass_is_not_to_be_tried_again() {
    let (limiter, _) = limiter("0/min");
    let answer = send(&mut RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello)), call());
    is_trailers_only(&answer, "8");
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("grpc-retry-pushback-ms"), Some("-1"));
}

#[test]
fn a_call_without_a_key_is_an_invalid_argument_and_a_failing_backend_unavailable() {
    let (limiter, mock) = mocked(Quota::per_minute(1));
    mock.fail_next(BackendError::timed_out("no answer"));
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    let mut without_address = call();
    without_address.extensions_mut().clear();
    is_trailers_only(&send(&mut service, without_address), "3");
    is_trailers_only(&send(&mut service, call()), "14");
}
