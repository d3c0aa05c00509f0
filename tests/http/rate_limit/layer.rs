//! One layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body;
use limited::http::{KeyExtractor, MissingKey, RateLimitLayer, Rejection};
use limited::{Algorithm, Backend, BackendError, Limiter, ManualClock, OnError, Quota};
use limited_memory::MemoryBackend;
use limited_mock::Operation;
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request, send};

#[test]
fn response_headers_report_the_remaining_quota() {
    let (limiter, _) = limiter("3/min");
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    for remaining in [2, 1, 0] {
        let response = send(&mut service, request("/"));
        assert_eq!((response.status, response.text()), (StatusCode::OK, "hello"));
        assert_eq!(response.header("ratelimit-policy"), Some("\"default\";q=3;w=60"));
        assert_eq!(response.header("ratelimit"), Some(format!("\"default\";r={remaining};t=60").as_str()));
        assert_eq!(response.headers.len(), 2, "{:?}", response.headers);
    }
}

#[test]
fn rejection_reports_the_policy_and_when_to_retry() {
    let (limiter, clock) = limiter("1/min");
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    send(&mut service, request("/"));
    clock.advance(Duration::from_millis(12_300));

    let response = send(&mut service, request("/"));
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.header("retry-after"), Some("48"));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("ratelimit-policy"), Some("\"default\";q=1;w=60"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=0;t=48"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.headers.len(), 5, "{:?}", response.headers);
    assert_eq!(
        response.text(),
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota Exceeded","#,
            r#""status":429,"detail":"the policy `default` allows 1/min; retry in 48 s","#,
            r#""violated-policies":["default"]}"#
        )
    );
}

#[test]
fn waiting_for_retry_after_is_enough_and_one_second_less_is_not() {
    for algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone()).algorithm(algorithm);
        let layer = RateLimitLayer::new(limiter.quota(Quota::per_minute(7)), by_peer());
        let mut service = layer.layer(service_fn(hello));
        for _ in 0..20 {
            clock.advance(Duration::from_millis(3_210));
            let response = send(&mut service, request("/"));
            let Some(seconds) = response.header("retry-after") else { continue };
            let seconds: u64 = seconds.parse().unwrap();
            clock.advance(Duration::from_secs(seconds - 1));
            let early = send(&mut service, request("/"));
            assert_eq!(early.status, StatusCode::TOO_MANY_REQUESTS, "{algorithm}");
            assert_eq!(early.header("retry-after"), Some("1"), "{algorithm}");
            clock.advance(Duration::from_secs(1));
            assert_eq!(send(&mut service, request("/")).status, StatusCode::OK, "{algorithm}");
        }
    }
}

#[test]
fn retry_after_is_at_least_1() {
    let (limiter, clock) = limiter("1/100ms");
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    send(&mut service, request("/"));
    clock.advance(Duration::from_nanos(99_999_999));
    let response = send(&mut service, request("/"));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("ratelimit-policy"), Some("\"default\";q=1;w=1"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=0;t=1"));
}

#[test]
fn cost_above_the_limit_is_rejected_without_retry_after() {
    let (limiter, _) = limiter("3/min");
    let layer = RateLimitLayer::new(limiter, by_peer()).cost(|parts| parts.uri.path().len() as u64);
    let mut service = layer.layer(service_fn(hello));
    let response = send(&mut service, request("/abc"));
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.header("retry-after"), None);
    assert!(
        response.text().contains("a request of cost 4 exceeds the maximum of 3 and is never admitted"),
        "{response:?}"
    );
    assert_eq!(
        response.header("ratelimit"),
        Some("\"default\";r=3;t=60"),
        "a request that is never admitted is not counted"
    );
}

#[test]
fn closure_sets_the_cost_and_cost_0_is_not_limited() {
    let (limiter, mock) = mocked(Quota::per_minute(10));
    let layer = RateLimitLayer::new(limiter, by_peer()).cost(|parts| match parts.uri.path() {
        "/health" => 0,
        "/export" => 7,
        _ => 1,
    });
    let mut service = layer.layer(service_fn(hello));
    assert_eq!(send(&mut service, request("/export")).header("ratelimit"), Some("\"default\";r=3;t=60"));
    assert_eq!(send(&mut service, request("/export")).status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&mut service, request("/")).header("ratelimit"), Some("\"default\";r=2;t=60"));
    assert_eq!(mock.total(), 3);

    let without_address = Request::get("/health").body(String::new()).unwrap();
    let response = send(&mut service, without_address);
    assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 0));
    assert_eq!(mock.total(), 3, "the backend was called");
}

#[test]
fn closure_sets_the_quota_of_each_request() {
    let (limiter, _) = limiter("1/min");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .quota(|parts| parts.headers.contains_key("x-premium").then(|| Quota::per_minute(3)));
    let mut service = layer.layer(service_fn(hello));
    let premium = || {
        let mut request = request("/");
        request.headers_mut().insert("x-premium", "yes".parse().unwrap());
        request
    };
    assert_eq!(send(&mut service, request("/")).header("ratelimit-policy"), Some("\"default\";q=1;w=60"));
    assert_eq!(send(&mut service, premium()).header("ratelimit-policy"), Some("\"default\";q=3;w=60"));
    assert_eq!(send(&mut service, premium()).header("ratelimit"), Some("\"default\";r=0;t=60"));
    assert_eq!(send(&mut service, premium()).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn ambiguous_key_is_rejected_even_if_missing_keys_pass() {
    let (limiter, _) = limiter("1/min");
    let key = KeyExtractor::secret_header(http::HeaderName::from_static("x-api-key"));
    let layer = RateLimitLayer::new(limiter, key).on_missing_key(MissingKey::Pass);
    let mut service = layer.layer(service_fn(hello));
    let mut request = request("/");
    request.headers_mut().append("x-api-key", "mine".parse().unwrap());
    request.headers_mut().append("x-api-key", "forged-1".parse().unwrap());
    let response = send(&mut service, request);
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert!(response.text().contains("the header `x-api-key` was sent more than once"), "{response:?}");
    assert!(!response.text().contains("mine") && !response.text().contains("forged"), "{response:?}");
}

#[test]
fn backend_failure_is_503_or_admission_and_never_silent() {
    for (on_error, status) in [
        (OnError::Return, StatusCode::SERVICE_UNAVAILABLE),
        (OnError::Deny, StatusCode::SERVICE_UNAVAILABLE),
        (OnError::Allow, StatusCode::OK),
    ] {
        let (limiter, mock) = mocked(Quota::per_minute(10));
        mock.fail_every(1, BackendError::unavailable("table 7 is on fire"));
        let reported = Arc::new(AtomicUsize::new(0));
        let layer = RateLimitLayer::new(limiter.on_error(on_error), by_peer()).on_backend_error({
            let reported = Arc::clone(&reported);
            move |error, parts| {
                assert!(error.to_string().contains("table 7 is on fire"));
                assert_eq!(parts.uri.path(), "/");
                reported.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut service = layer.layer(service_fn(hello));
        for failures in 1..=3 {
            let response = send(&mut service, request("/"));
            assert_eq!(response.status, status, "{on_error:?}");
            assert!(
                !response.headers.contains_key("ratelimit")
                    && !response.headers.contains_key("ratelimit-policy")
            );
            assert!(!response.headers.contains_key("retry-after"));
            assert!(!response.text().contains("table 7"), "the client must not see the error of the backend");
            assert_eq!(reported.load(Ordering::Relaxed), failures);
            assert_eq!(layer.backend_errors(), failures as u64);
        }
    }
}

#[test]
fn custom_rejection_gets_the_headers() {
    let (limiter, _) = limiter("1/min");
    let layer = RateLimitLayer::new(limiter, by_peer()).on_rejection(|rejection, parts| match rejection {
        Rejection::Exceeded(exceeded) => {
            let (policy, cost) = (exceeded.policy(), exceeded.cost());
            let mut response = Response::new(format!("{policy} {cost} {:?}", exceeded.retry_after_seconds()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
        other => Response::new(format!("{} {other:?}", parts.uri.path())),
    });
    let mut service = layer.layer(service_fn(hello));
    send(&mut service, request("/"));
    let response = send(&mut service, request("/"));
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.text(), "default 1 Some(60)");
    assert_eq!(response.header("retry-after"), Some("60"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=0;t=60"));
    let response = send(&mut service, Request::get("/x").body(String::new()).unwrap());
    assert!(
        response.text().starts_with("/x Key(Misconfigured(\"the request has no extension"),
        "{response:?}"
    );
}

#[test]
fn legacy_headers_are_written_on_request() {
    let (limiter, clock) = limiter("2/min");
    let mut service = RateLimitLayer::new(limiter, by_peer()).legacy_headers().layer(service_fn(hello));
    clock.advance(Duration::from_millis(500));
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let response = send(&mut service, request("/"));
        assert_eq!(response.status, status);
        assert_eq!(response.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(response.header("x-ratelimit-remaining"), Some(remaining));
        assert_eq!(response.header("x-ratelimit-reset"), Some("60"));
    }
}

#[test]
fn backend_can_be_chosen_at_run_time() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let limiter = Limiter::new(backend).quota(Quota::per_hour(1));
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    assert_eq!(send(&mut service, request("/")).status, StatusCode::OK);
    assert_eq!(send(&mut service, request("/")).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn request_response_and_error_pass_unchanged() {
    let (limiter, _) = limiter("9/min");
    let echo = service_fn(async |request: Request<String>| {
        let (parts, body) = request.into_parts();
        if body.is_empty() {
            return Err("empty");
        }
        Ok(Response::builder().status(201).header("x-method", parts.method.as_str()).body(body).unwrap())
    });
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(echo);
    let mut request = request("/");
    *request.method_mut() = http::Method::PUT;
    *request.body_mut() = "payload".to_owned();
    let response = send(&mut service, request);
    assert_eq!((response.status, response.text()), (StatusCode::CREATED, "payload"));
    assert_eq!(response.header("x-method"), Some("PUT"));

    let error = pollster::block_on(service.oneshot(super::request("/")));
    assert_eq!(error.map(|_| ()), Err("empty"));
}

#[test]
fn size_hint_of_the_body_is_exact() {
    for quota in ["9/min", "0/min"] {
        let (limiter, _) = limiter(quota);
        let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
        let length = send(&mut service, request("/")).body.len();
        let body = pollster::block_on(service.oneshot(request("/"))).unwrap().into_body();
        assert_eq!(body.size_hint().exact(), Some(length as u64));
        assert!(!body.is_end_stream());
    }
}

#[test]
fn request_dropped_while_waiting_is_not_counted() {
    let (limiter, mock) = mocked(Quota::per_minute(10));
    let gate = mock.hold(Operation::Increment);
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    {
        let mut response = Box::pin(service.call(request("/")));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(response.as_mut().poll(&mut cx).is_pending());
    }
    gate.release();
    assert_eq!(mock.total(), 0);
    assert_eq!(send(&mut service, request("/")).header("ratelimit"), Some("\"default\";r=9;t=60"));
}
