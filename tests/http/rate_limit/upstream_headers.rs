//! Headers about limits that a response already has.

use std::convert::Infallible;

use http::{Request, Response};
use limited::Limiter;
use limited::http::{RateLimitLayer, UpstreamHeaders};
use limited_memory::MemoryBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, request, send};

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
