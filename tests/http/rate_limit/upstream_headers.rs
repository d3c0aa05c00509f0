//! Headers about limits that a response already has.

use std::convert::Infallible;

use http::{HeaderName, Method, Request, Response};
use limited::http::{KeyExtractor, MissingKey, RateLimitLayer, UpstreamHeaders};
use limited::{BackendError, Limiter, OnError, Quota};
use limited_memory::MemoryBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request, send};

/// A server that has limits of its own, of the same name and with a reset as a Unix time.
async fn upstream(_: Request<String>) -> Result<Response<String>, Infallible> {
    let response = Response::builder()
        .header("ratelimit-policy", "\"default\";q=5;w=1")
        .header("ratelimit", "\"default\";r=4;t=1")
        .header("ratelimit-limit", "5")
        .header("ratelimit-remaining", "0")
        .header("ratelimit-reset", "1")
        .header("x-ratelimit-limit", "5")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", "1795000000")
        .header("retry-after", "7");
    Ok(response.body("hello".to_owned()).unwrap())
}

#[test]
fn headers_of_the_service_can_be_replaced() {
    let (limiter, _) = limiter("2/s");
    let layer = RateLimitLayer::new(limiter, by_peer()).upstream_headers(UpstreamHeaders::Replace);
    let response = send(&mut layer.layer(service_fn(upstream)), request("/"));
    assert_eq!(response.header("ratelimit-policy"), Some("\"default\";q=2;w=1"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=1;t=1"));
    assert_eq!(response.header("retry-after"), Some("7"), "it is about the response, not about a limit");
    assert_eq!(response.headers.len(), 3, "{response:?}");

    let response = send(&mut layer.legacy_headers().layer(service_fn(upstream)), request("/"));
    assert_eq!(response.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(response.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(response.header("x-ratelimit-reset"), Some("1"));
}

#[test]
fn headers_of_the_service_are_removed_without_a_decision_too() {
    let (limiter, mock) = mocked(Quota::per_minute(2));
    mock.fail_every(1, BackendError::unavailable("down"));
    let layer = RateLimitLayer::new(limiter.on_error(OnError::Allow), by_peer());
    let layer = layer.upstream_headers(UpstreamHeaders::Replace);
    let by_secret = KeyExtractor::secret_header(HeaderName::from_static("x-api-key"));
    let (limiter, _) = mocked(Quota::per_minute(2));
    let without_key = RateLimitLayer::new(limiter, by_secret).on_missing_key(MissingKey::Pass);
    let without_key = without_key.upstream_headers(UpstreamHeaders::Replace);

    let mut preflight = request("/");
    *preflight.method_mut() = Method::OPTIONS;
    preflight.headers_mut().insert("origin", "https://shop.example".parse().unwrap());
    preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());

    for (path, layer, request) in [
        ("outage", layer.clone(), request("/")),
        ("cost 0", layer.clone().cost(|_| 0), request("/")),
        ("preflight", layer.clone().skip_preflights(), preflight),
        ("no key", without_key, request("/")),
    ] {
        let response = send(&mut layer.layer(service_fn(upstream)), request);
        assert_eq!(response.text(), "hello", "{path}");
        let names: Vec<_> = response.headers.keys().collect();
        assert_eq!(names, ["retry-after"], "{path}");
    }
    let response = send(&mut layer.enabled(false).layer(service_fn(upstream)), request("/"));
    assert_eq!(response.headers.len(), 9, "a disabled layer changes nothing: {response:?}");
}

#[test]
fn headers_of_a_custom_rejection_are_not_replaced() {
    let (limiter, _) = limiter("0/s");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .upstream_headers(UpstreamHeaders::Replace)
        .on_rejection(|_, _| Response::builder().header("x-ratelimit-limit", "none").body("").unwrap());
    let response = send(&mut layer.layer(service_fn(upstream)), request("/"));
    assert_eq!(response.header("x-ratelimit-limit"), Some("none"));
    assert_eq!(response.header("ratelimit-policy"), Some("\"default\";q=0;w=1"));
}

#[test]
fn headers_of_the_service_are_kept_by_default() {
    let (limiter, _) = limiter("2/s");
    let response =
        send(&mut RateLimitLayer::new(limiter, by_peer()).layer(service_fn(upstream)), request("/"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=4;t=1, \"default\";r=1;t=1"));
    assert_eq!(response.header("x-ratelimit-reset"), Some("1795000000"));
}

#[test]
fn policy_is_named_after_the_limiter_or_its_namespace() {
    let name = |limiter: Limiter<MemoryBackend>| {
        let layer = RateLimitLayer::new(limiter, by_peer());
        let response = send(&mut layer.layer(service_fn(hello)), request("/"));
        response.header("ratelimit").unwrap().split(';').next().unwrap().to_owned()
    };
    let (limiter, _) = limiter("9/min");
    assert_eq!(name(limiter.clone()), "\"default\"");
    assert_eq!(name(limiter.clone().namespace("hourly")), "\"hourly\"");
    assert_eq!(name(limiter.clone().namespace("hourly").policy_name("public")), "\"public\"");
    assert_eq!(name(limiter.namespace("größe")), "\"default\"", "no header can contain the namespace");
}
