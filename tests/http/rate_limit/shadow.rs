//! Limiters in shadow, of which clients see nothing, and blocked clients.

use std::convert::Infallible;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use limited::http::{KeyExtractor, RateLimitLayer};
use limited::{BackendError, Decision, Key, Limiter, ManualClock, OnError, Quota, Quotas};
use limited_memory::MemoryBackend;
use pollster::block_on;
use tower::service_fn;
use tower_layer::Layer;

use super::{CLIENT, by_peer, hello, limiter, mocked, request, send};
use crate::received::Received;

fn quotas(text: &str) -> Quotas {
    text.parse().unwrap()
}

fn all() -> KeyExtractor {
    KeyExtractor::from_fn(|_| Some("all".into()))
}

/// Returns a layer by address, and by a limiter in shadow for all clients.
fn with_shadow(users: &str, shadow: &str) -> RateLimitLayer<MemoryBackend> {
    let (base, _) = limiter("1/min");
    let users = base.clone().namespace("user").quotas(quotas(users));
    let shadow = RateLimitLayer::new(base.namespace("all").quotas(quotas(shadow)).shadow(true), all());
    RateLimitLayer::new(users, by_peer()).and(shadow).unwrap().legacy_headers().dimension_headers()
}

#[test]
fn refusal_in_shadow_passes_and_appears_in_no_header() {
    let (limiter, _) = limiter("1/min");
    let shadowed = service_fn(async |request: Request<String>| {
        let decision = request.extensions().get::<Decision>().unwrap();
        Ok::<_, Infallible>(Response::new(decision.is_shadowed().to_string()))
    });
    let layer = RateLimitLayer::new(limiter.shadow(true), by_peer()).legacy_headers().dimension_headers();
    let mut service = layer.layer(shadowed);
    for expected in ["false", "true", "true"] {
        let response = send(&mut service, request("/"));
        assert_eq!((response.status, response.text()), (StatusCode::OK, expected));
        assert_eq!(response.headers.len(), 0, "also if it is admitted: {response:?}");
    }
    let exposed = layer.exposed_headers();
    assert!(!exposed.iter().any(|name| name.as_str().ends_with("default")), "{exposed:?}");
}

#[test]
fn several_quotas_in_shadow_appear_in_no_header() {
    let (limiter, _) = limiter("1/min");
    let layer = RateLimitLayer::new(limiter.quotas(quotas("1/min; 2/hour")).shadow(true), by_peer());
    let mut service = layer.layer(service_fn(hello));
    for _ in 0..4 {
        let response = send(&mut service, request("/"));
        assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 0));
    }
}

#[test]
fn headers_show_the_limiters_that_are_not_in_shadow() {
    let mut service = with_shadow("3/min", "1/hour").layer(service_fn(hello));
    for remaining in ["2", "1", "0"] {
        let response = send(&mut service, request("/"));
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.header("ratelimit-policy"), Some("\"user\";q=3;w=60"));
        assert_eq!(response.header("ratelimit"), Some(format!("\"user\";r={remaining};t=60").as_str()));
        assert_eq!(response.header("x-ratelimit-remaining"), Some(remaining));
        assert_eq!(response.header("x-ratelimit-remaining-all"), None);
    }
}

#[test]
fn rejection_shows_nothing_of_a_limiter_in_shadow_that_would_refuse_too() {
    let mut service = with_shadow("1/min", "1/hour").layer(service_fn(hello));
    send(&mut service, request("/"));
    let refused = send(&mut service, request("/"));
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("60"), "and not an hour");
    assert_eq!(refused.header("ratelimit"), Some("\"user\";r=0;t=60"));
    assert!(refused.text().ends_with(r#""violated-policies":["user"]}"#), "{refused:?}");
    let mut call = request("/");
    *call.method_mut() = Method::POST;
    call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(send(&mut service, call).header("grpc-retry-pushback-ms"), Some("60000"));
}

#[test]
fn shadow_of_an_inner_layer_leaves_the_decision_of_the_outer_one() {
    let remaining = service_fn(async |request: Request<String>| {
        let decision = request.extensions().get::<Decision>().unwrap();
        Ok::<_, Infallible>(Response::new(decision.remaining().to_string()))
    });
    let shadow = RateLimitLayer::new(limiter("0/min").0.shadow(true), by_peer());
    let real = RateLimitLayer::new(limiter("5/min").0, by_peer());
    let mut inner = real.layer(shadow.layer(remaining));
    assert_eq!(send(&mut inner, request("/")).text(), "4");
    let mut outer = shadow.layer(real.layer(remaining));
    assert_eq!(send(&mut outer, request("/")).text(), "3");
}

#[test]
fn denial_without_the_backend_passes_in_shadow_and_an_error_does_not() {
    for (on_error, is_shadow, status) in [
        (OnError::Deny, true, 200),
        (OnError::Deny, false, 503),
        (OnError::Return, true, 503),
        (OnError::Allow, true, 200),
    ] {
        let (limiter, mock) = mocked(Quota::per_minute(5));
        mock.fail_every(1, BackendError::unavailable("down"));
        let layer = RateLimitLayer::new(limiter.on_error(on_error).shadow(is_shadow), by_peer());
        let response = send(&mut layer.layer(service_fn(hello)), request("/"));
        assert_eq!(response.status.as_u16(), status, "{on_error} {is_shadow}");
        assert_eq!(layer.backend_errors(), 1);
    }
}

#[test]
fn request_in_shadow_is_not_refunded_twice() {
    let (limiter, _) = limiter("1/min");
    let limiter = limiter.shadow(true);
    let layer = RateLimitLayer::new(limiter.clone(), by_peer());
    let layer = layer.count_only(|response| response.headers.contains_key("x-counts"));
    let count = service_fn(async |request: Request<String>| {
        let response = Response::builder();
        let counts = request.uri().path() == "/counts";
        let response = if counts { response.header("x-counts", "1") } else { response };
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    });
    let mut service = layer.layer(count);
    send(&mut service, request("/counts"));
    for _ in 0..3 {
        assert_eq!(send(&mut service, request("/")).status, StatusCode::OK);
    }
    assert_eq!(
        limiter.peek_now(Key::new().ip(CLIENT)).unwrap().used(),
        1,
        "only what was charged is refunded"
    );
}

/// Sends a request of a blocked client.
fn send_blocked(limits: &str, duration: Duration) -> Received {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).blocking(true);
    let limiter = limiter.quotas(quotas(limits)).namespace("api");
    block_on(limiter.block(Key::new().ip(CLIENT), duration)).unwrap();
    send(&mut RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello)), request("/"))
}

#[test]
fn blocked_client_is_rejected_until_the_block_ends() {
    for (quotas, limits, violated) in [
        ("5/min", "\"api\";r=0;t=90", r#"["api"]"#),
        ("5/min; 9/hour", "\"api-minute\";r=0;t=90, \"api-hour\";r=0;t=90", r#"["api-minute","api-hour"]"#),
    ] {
        let response = send_blocked(quotas, Duration::from_secs(90));
        assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.header("retry-after"), Some("90"));
        assert_eq!(response.header("ratelimit"), Some(limits));
        assert!(response.text().contains("the client is blocked; retry in 90 s"), "{response:?}");
        assert!(response.text().ends_with(&format!("\"violated-policies\":{violated}}}")), "{response:?}");
    }
}

#[test]
fn block_of_one_client_leaves_the_policy_of_its_tenant_as_it_is() {
    let users = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).namespace("user").blocking(true);
    let tenants = users.clone().namespace("tenant").blocking(false);
    block_on(users.block(Key::new().ip(CLIENT), Duration::from_secs(90))).unwrap();
    let layer = RateLimitLayer::new(users, by_peer()).and(RateLimitLayer::new(tenants, by_peer())).unwrap();
    let response = send(&mut layer.layer(service_fn(hello)), request("/"));
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    let limits = response.header("ratelimit").unwrap_or_default();
    assert!(limits.starts_with("\"user\";r=0;t=90, \"tenant\";r=100"), "{limits}");
    assert!(response.text().contains(r#""violated-policies":["user"]"#), "{response:?}");
}
