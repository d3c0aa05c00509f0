//! The decision in the extensions of the request.

use std::convert::Infallible;

use http::{Request, Response};
use limited::http::{MissingKey, RateLimitLayer};
use limited::{BackendError, Decision, OnError, Quota};
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, limiter, mocked, request, send};

/// A service that responds with what remains, by the decision in the request.
async fn remaining(request: Request<String>) -> Result<Response<String>, Infallible> {
    let decision = request.extensions().get::<Decision>();
    Ok(Response::new(format!("{:?}", decision.map(Decision::remaining))))
}

#[test]
fn service_can_read_the_decision() {
    let (limiter, _) = limiter("3/min");
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(remaining));
    assert_eq!(send(&mut service, request("/")).text(), "Some(2)");
    assert_eq!(send(&mut service, request("/")).text(), "Some(1)");
}

#[test]
fn decision_of_several_layers_is_the_one_with_the_least_remaining() {
    for (outer, inner, expected) in [("3/min", "9/hour", "Some(2)"), ("9/min", "3/hour", "Some(2)")] {
        let layer = |quota| RateLimitLayer::new(limiter(quota).0, by_peer());
        let mut service = layer(outer).layer(layer(inner).layer(service_fn(remaining)));
        assert_eq!(send(&mut service, request("/")).text(), expected, "{outer} outside of {inner}");
    }
}

#[test]
fn there_is_no_decision_if_nothing_was_decided() {
    let (limiter, mock) = mocked(Quota::per_minute(10));
    let layer = RateLimitLayer::new(limiter.on_error(OnError::Allow), by_peer());
    mock.fail_next(BackendError::timed_out("no response"));
    assert_eq!(send(&mut layer.layer(service_fn(remaining)), request("/")).text(), "None");
    let free = layer.clone().cost(|_| 0);
    assert_eq!(send(&mut free.layer(service_fn(remaining)), request("/")).text(), "None");
    let key = limited::http::KeyExtractor::bearer_token();
    let passing = RateLimitLayer::new(limited::Limiter::new(mock), key).on_missing_key(MissingKey::Pass);
    assert_eq!(send(&mut passing.layer(service_fn(remaining)), request("/")).text(), "None");
}
