//! Switches: requests that are not limited, and headers that are not written.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Method, Request, Response, StatusCode};
use limited::Quota;
use limited::http::{LimitHeaders, RateLimitLayer, UpstreamHeaders};
use limited_memory::MemoryBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request, send};
use crate::received::Received;

/// Returns the sorted names of the headers of a response.
fn names(response: &Received) -> Vec<&str> {
    let mut names: Vec<_> = response.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// Returns a layer whose second request is rejected, with all headers that can be switched on.
fn layer() -> RateLimitLayer<MemoryBackend> {
    RateLimitLayer::new(limiter("1/min").0, by_peer()).legacy_headers().dimension_headers()
}

#[test]
fn skipped_request_is_not_counted_and_gets_no_headers() {
    let (limiter, mock) = mocked(Quota::per_minute(1));
    let layer = RateLimitLayer::new(limiter, by_peer()).skip(|parts| parts.uri.path() == "/health");
    let mut service = layer.layer(service_fn(hello));
    for request in [request("/health"), Request::get("/health").body(String::new()).unwrap()] {
        let response = send(&mut service, request);
        assert_eq!((response.status, response.text(), response.headers.len()), (StatusCode::OK, "hello", 0));
    }
    assert_eq!((mock.total(), layer.missing_keys()), (0, 0));
    assert_eq!(send(&mut service, request("/")).header("ratelimit"), Some("\"default\";r=0;t=60"));
    assert_eq!(send(&mut service, request("/")).status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&mut service, request("/health")).status, StatusCode::OK);
}

#[test]
fn request_is_skipped_if_one_of_several_closures_says_so() {
    let (limiter, mock) = mocked(Quota::per_minute(0));
    let layer = RateLimitLayer::new(limiter, by_peer())
        .skip(|parts| parts.uri.path() == "/health")
        .skip(|parts| parts.method == Method::HEAD);
    let mut service = layer.layer(service_fn(hello));
    let mut head = request("/");
    *head.method_mut() = Method::HEAD;
    assert_eq!(send(&mut service, head).status, StatusCode::OK);
    assert_eq!(send(&mut service, request("/health")).status, StatusCode::OK);
    assert_eq!(mock.total(), 0);
    assert_eq!(send(&mut service, request("/")).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn headers_of_the_service_are_replaced_also_if_the_request_is_skipped() {
    let upstream = service_fn(async |_: Request<String>| {
        let response = Response::builder().header("x-ratelimit-limit-tokens", "5");
        Ok::<_, Infallible>(response.header("ratelimit", "\"a\";r=1").body(String::new()).unwrap())
    });
    let layer = layer().skip(|_| true).upstream_headers(UpstreamHeaders::Replace);
    assert_eq!(names(&send(&mut layer.layer(upstream), request("/"))), [""; 0]);
}

#[test]
fn service_works_on_after_a_panic_in_a_closure() {
    let (limiter, mock) = mocked(Quota::per_minute(2));
    let layer = RateLimitLayer::new(limiter, by_peer()).skip(|parts| {
        assert_ne!(parts.uri.path(), "/panic");
        false
    });
    let mut service = layer.layer(service_fn(hello));
    let panicked = catch_unwind(AssertUnwindSafe(|| send(&mut service, request("/panic"))));
    assert!(panicked.is_err());
    assert_eq!(mock.total(), 0);
    assert_eq!(send(&mut service, request("/")).header("ratelimit"), Some("\"default\";r=1;t=60"));
}

const LEGACY_AND_DIMENSION: [&str; 6] = [
    "x-ratelimit-limit",
    "x-ratelimit-limit-default",
    "x-ratelimit-remaining",
    "x-ratelimit-remaining-default",
    "x-ratelimit-reset",
    "x-ratelimit-reset-default",
];

#[test]
fn setting_selects_the_headers_of_responses_and_rejections() {
    let draft = ["ratelimit", "ratelimit-policy"];
    for (headers, in_response, in_rejection) in [
        (
            LimitHeaders::All,
            [&draft[..], &LEGACY_AND_DIMENSION].concat(),
            [&draft[..], &["retry-after"], &LEGACY_AND_DIMENSION].concat(),
        ),
        (
            LimitHeaders::RejectionsOnly,
            vec![],
            [&draft[..], &["retry-after"], &LEGACY_AND_DIMENSION].concat(),
        ),
        (
            LimitHeaders::RetryAfterOnly,
            LEGACY_AND_DIMENSION.to_vec(),
            [&["retry-after"][..], &LEGACY_AND_DIMENSION].concat(),
        ),
        (LimitHeaders::None, vec![], vec![]),
    ] {
        let mut service = layer().headers(headers).layer(service_fn(hello));
        let response = send(&mut service, request("/"));
        assert_eq!((response.status, names(&response)), (StatusCode::OK, in_response), "{headers}");
        let rejection = send(&mut service, request("/"));
        assert_eq!(rejection.status, StatusCode::TOO_MANY_REQUESTS);
        let mut expected = [&["cache-control", "content-type"][..], &in_rejection].concat();
        expected.sort_unstable();
        assert_eq!(names(&rejection), expected, "{headers}");
        assert!(rejection.text().contains("retry in 60 s"), "the body says it all the same");
    }
}

#[test]
fn default_is_the_headers_of_the_draft_only() {
    let mut service = RateLimitLayer::new(limiter("1/min").0, by_peer()).layer(service_fn(hello));
    assert_eq!(names(&send(&mut service, request("/"))), ["ratelimit", "ratelimit-policy"]);
    assert_eq!(LimitHeaders::default(), LimitHeaders::All);
}

#[test]
fn grpc_rejection_without_headers_asks_for_no_wait() {
    for (headers, pushback, retry_after) in
        [(LimitHeaders::RetryAfterOnly, Some("60000"), Some("60")), (LimitHeaders::None, None, None)]
    {
        let layer = RateLimitLayer::new(limiter("1/min").0, by_peer()).headers(headers);
        let mut service = layer.layer(service_fn(hello));
        let call = || {
            let mut call = request("/");
            *call.method_mut() = Method::POST;
            call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            call
        };
        send(&mut service, call());
        let rejected = send(&mut service, call());
        assert_eq!(rejected.header("grpc-status"), Some("8"), "RESOURCE_EXHAUSTED");
        assert_eq!(rejected.header("grpc-retry-pushback-ms"), pushback, "{headers}");
        assert_eq!(rejected.header("retry-after"), retry_after, "{headers}");
    }
}

#[test]
fn headers_of_a_custom_rejection_stay() {
    let layer = RateLimitLayer::new(limiter("0/min").0, by_peer())
        .headers(LimitHeaders::None)
        .on_rejection(|_, _| Response::builder().header("retry-after", "7").body("").unwrap());
    let response = send(&mut layer.layer(service_fn(hello)), request("/"));
    assert_eq!(names(&response), ["cache-control", "retry-after"]);
    assert_eq!(response.header("retry-after"), Some("7"));
}

#[test]
fn exposed_headers_are_those_that_the_layer_writes() {
    let plain = || RateLimitLayer::new(limiter("1/min").0, by_peer()).policy_name("Tokens").unwrap();
    let dimension = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
    let legacy = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    let draft = ["ratelimit", "ratelimit-policy", "retry-after"];
    for (layer, expected) in [
        (plain(), draft.to_vec()),
        (plain().dimension_headers(), [draft, dimension].concat()),
        (plain().legacy_headers().headers(LimitHeaders::RejectionsOnly), [draft, legacy].concat()),
        (
            plain().dimension_headers().headers(LimitHeaders::RetryAfterOnly),
            [&draft[2..], &dimension].concat(),
        ),
        (plain().legacy_headers().dimension_headers().headers(LimitHeaders::None), vec![]),
    ] {
        assert_eq!(layer.exposed_headers(), expected);
        let mut service = layer.layer(service_fn(hello));
        send(&mut service, request("/"));
        let rejection = send(&mut service, request("/"));
        let mut written = names(&rejection);
        written.retain(|name| !["cache-control", "content-type"].contains(name));
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(written, expected, "a rejection has all of them");
    }
}
