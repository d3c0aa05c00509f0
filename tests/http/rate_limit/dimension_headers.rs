//! Headers with a name for each policy, as the APIs of large language models have them.

use std::time::Duration;

use http::{Response, StatusCode};
use limited::http::RateLimitLayer;
use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, request, send};
use crate::received::Received;

/// Returns the limit, what remains, and the reset of a dimension.
fn dimension<'a>(response: &'a Received, name: &str) -> [&'a str; 3] {
    ["limit", "remaining", "reset"]
        .map(|kind| response.header(&format!("x-ratelimit-{kind}-{name}")).unwrap())
}

#[test]
fn requests_and_tokens_have_headers_of_their_own() {
    let clock = ManualClock::new();
    let requests = Limiter::new(MemoryBackend::new()).clock(clock.clone()).quota(Quota::per_minute(3));
    let tokens = requests.clone().quota(Quota::per_minute(6_000)).algorithm(Algorithm::TokenBucket);
    let tokens = RateLimitLayer::new(tokens.namespace("tokens"), by_peer()).cost(|_| 2_500);
    let layer = RateLimitLayer::new(requests.namespace("requests"), by_peer()).and(tokens).unwrap();
    let mut service = layer.dimension_headers().layer(service_fn(hello));
    clock.advance(Duration::from_millis(8_766));

    let response = send(&mut service, request("/"));
    assert_eq!(dimension(&response, "requests"), ["3", "2", "51.234s"]);
    assert_eq!(dimension(&response, "tokens"), ["6000", "3500", "25s"]);
    send(&mut service, request("/"));
    let refused = send(&mut service, request("/"));
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(dimension(&refused, "requests"), ["3", "1", "51.234s"], "a refusal counts nothing");
    assert_eq!(dimension(&refused, "tokens"), ["6000", "1000", "50s"]);
    assert_eq!(refused.header("retry-after"), Some("15"));
    assert_eq!(refused.header("x-ratelimit-limit"), None, "the legacy headers are another switch");
}

#[test]
fn each_quota_of_a_limiter_is_named_after_its_window() {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).namespace("requests");
    let layer =
        RateLimitLayer::new(limiter.quotas("5/min; 9/day".parse::<limited::Quotas>().unwrap()), by_peer());
    let response = send(&mut layer.dimension_headers().layer(service_fn(hello)), request("/"));
    assert_eq!(dimension(&response, "requests-minute"), ["5", "4", "1m0s"]);
    assert_eq!(dimension(&response, "requests-day"), ["9", "8", "24h0m0s"]);
}

#[test]
fn quota_of_the_request_has_the_name_of_the_limiter() {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).namespace("requests");
    let limiter = limiter.quotas("5/min; 9/day".parse::<limited::Quotas>().unwrap());
    let layer = RateLimitLayer::new(limiter, by_peer()).quota(|_| Some(Quota::per_minute(70)));
    let response = send(&mut layer.dimension_headers().layer(service_fn(hello)), request("/"));
    assert_eq!(dimension(&response, "requests"), ["70", "69", "1m0s"]);
    assert_eq!(response.header("x-ratelimit-limit-requests-day"), None);
}

#[test]
fn policy_with_the_least_remaining_writes_the_headers_of_its_name() {
    for (outer, inner) in [("3/min", "9/hour"), ("9/hour", "3/min")] {
        let layer = |quota| RateLimitLayer::new(limiter(quota).0, by_peer()).dimension_headers();
        let mut service = layer(outer).layer(layer(inner).layer(service_fn(hello)));
        let response = send(&mut service, request("/"));
        assert_eq!(dimension(&response, "default"), ["3", "2", "1m0s"], "{outer} outside of {inner}");
    }
}

#[test]
fn headers_of_the_service_stay_unless_they_have_the_same_name() {
    let upstream = service_fn(async |_| {
        let response = Response::builder().header("x-ratelimit-remaining-tokens", "5");
        Ok::<_, std::convert::Infallible>(response.body(String::new()).unwrap())
    });
    let layer = RateLimitLayer::new(limiter("3/min").0, by_peer()).dimension_headers();
    let response = send(&mut layer.layer(upstream), request("/"));
    assert_eq!(response.header("x-ratelimit-remaining-tokens"), Some("5"));
    assert_eq!(dimension(&response, "default")[1], "2");
}
