//! Requests that count or not by their response.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use limited::backend::{Counter, CounterState, Hit, Refund, Result, Timestamp, WindowId, async_trait};
use limited::http::{KeyExtractor, RateLimitLayer};
use limited::{Algorithm, Backend, BackendError, Limiter, ManualClock, OnError, Quota};
use limited_memory::MemoryBackend;
use tower::{Service, service_fn};
use tower_layer::Layer;

use super::{by_peer, limiter, mocked, request, send};
use crate::received::Received;

/// A service that responds with the status that is its path, or with an error if it is none.
async fn status_of_path(request: Request<String>) -> std::result::Result<Response<String>, &'static str> {
    let status = StatusCode::from_bytes(&request.uri().path().as_bytes()[1..]).map_err(|_| "no status")?;
    Ok(Response::builder().status(status).header("x-by", "service").body("body".to_owned()).unwrap())
}

fn is_unauthorized(response: &http::response::Parts) -> bool {
    response.status == StatusCode::UNAUTHORIZED
}

/// Returns a layer that counts failed logins only, and the clock of its limiter.
fn failed_logins(quota: &str) -> (RateLimitLayer<MemoryBackend>, ManualClock) {
    let (limiter, clock) = limiter(quota);
    (RateLimitLayer::new(limiter, by_peer()).count_only(is_unauthorized), clock)
}

fn remaining(response: &Received) -> &str {
    let (_, rest) = response.header("ratelimit").unwrap().split_once(";r=").unwrap();
    rest.split(';').next().unwrap()
}

#[test]
fn only_failed_logins_count() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).algorithm(algorithm);
        let layer =
            RateLimitLayer::new(limiter.quota(Quota::per_hour(2)), by_peer()).count_only(is_unauthorized);
        let mut service = layer.layer(service_fn(status_of_path));
        for (path, left) in [("/200", "2"), ("/401", "1"), ("/200", "1"), ("/500", "1"), ("/401", "0")] {
            let response = send(&mut service, request(path));
            assert_eq!(format!("/{}", response.status.as_u16()), path, "{algorithm}");
            assert_eq!(remaining(&response), left, "{algorithm}: {path}");
            assert_eq!((response.text(), response.header("x-by")), ("body", Some("service")));
        }
        for _ in 0..2 {
            assert_eq!(send(&mut service, request("/200")).status, StatusCode::TOO_MANY_REQUESTS);
        }
        assert_eq!(layer.backend_errors(), 0);
    }
}

#[test]
fn headers_before_and_after_a_refund_agree() {
    let (layer, _) = failed_logins("5/min");
    let mut service = layer.legacy_headers().dimension_headers().layer(service_fn(status_of_path));
    send(&mut service, request("/401"));
    let free = send(&mut service, request("/200"));
    assert_eq!(free.header("ratelimit"), Some("\"default\";r=4;t=60"));
    assert_eq!(free.header("x-ratelimit-remaining"), Some("4"));
    assert_eq!(free.header("x-ratelimit-remaining-default"), Some("4"));
    assert_eq!(remaining(&send(&mut service, request("/401"))), "3", "one less than after the refund");
}

#[test]
fn closure_sees_headers_and_extensions() {
    #[derive(Clone)]
    struct CacheHit;
    let (limiter, _) = limiter("5/min");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .count_only(|response| response.extensions.get::<CacheHit>().is_none())
        .count_only(|response| !response.headers.contains_key("x-free"));
    let mut service = layer.layer(service_fn(async |request: Request<String>| {
        let response = match request.uri().path() {
            "/cached" => Response::builder().extension(CacheHit),
            "/free" => Response::builder().header("x-free", "1"),
            _ => Response::builder(),
        };
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    }));
    for (path, left) in [("/cached", "5"), ("/free", "5"), ("/", "4"), ("/free", "4")] {
        assert_eq!(remaining(&send(&mut service, request(path))), left, "{path}");
    }
}

#[test]
fn refund_goes_to_the_window_that_was_charged() {
    let (layer, clock) = failed_logins("2/min");
    let late = clock.clone();
    // The response comes in the next window, in which the service has counted a failed login.
    let mut service = layer.layer(service_fn(async |request: Request<String>| {
        if request.uri().path() == "/200" {
            late.advance(Duration::from_secs(60));
        }
        status_of_path(request).await
    }));
    send(&mut service, request("/401"));
    send(&mut service, request("/200"));
    assert_eq!(remaining(&send(&mut service, request("/401"))), "1", "the new window got no refund");
    assert_eq!(remaining(&send(&mut service, request("/401"))), "0");
    assert_eq!(send(&mut service, request("/401")).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn request_in_progress_takes_a_place() {
    let (layer, _) = failed_logins("1/min");
    let mut waiting = layer.layer(service_fn(async |_: Request<String>| {
        pending::<std::result::Result<Response<String>, Infallible>>().await
    }));
    let mut first = Box::pin(waiting.call(request("/")));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut service = layer.layer(service_fn(status_of_path));
    assert_eq!(send(&mut service, request("/200")).status, StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    let refused = send(&mut service, request("/200")).status;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS, "a cancelled request stays counted");
}

#[test]
fn request_that_ends_with_an_error_counts() {
    let (layer, _) = failed_logins("2/min");
    let mut service = layer.layer(service_fn(status_of_path));
    let failed = pollster::block_on(service.call(request("/none")));
    assert_eq!(failed.map(|_| ()), Err("no status"));
    assert_eq!(remaining(&send(&mut service, request("/401"))), "0");
}

#[test]
fn rejected_skipped_and_undecided_requests_are_not_refunded() {
    let (limiter, mock) = mocked(Quota::per_minute(1));
    let calls = Arc::new(AtomicUsize::new(0));
    let layer = RateLimitLayer::new(limiter.on_error(OnError::Allow), by_peer())
        .skip(|parts| parts.uri.path() == "/204")
        .count_only({
            let calls = Arc::clone(&calls);
            move |response| {
                calls.fetch_add(1, Ordering::Relaxed);
                is_unauthorized(response)
            }
        });
    let mut service = layer.layer(service_fn(status_of_path));
    assert_eq!(send(&mut service, request("/204")).status, StatusCode::NO_CONTENT);
    mock.fail_next(BackendError::unavailable("down"));
    assert_eq!(send(&mut service, request("/200")).status, StatusCode::OK);
    assert_eq!((calls.load(Ordering::Relaxed), layer.backend_errors()), (0, 1));
    send(&mut service, request("/401"));
    assert_eq!(send(&mut service, request("/401")).status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((calls.load(Ordering::Relaxed), layer.backend_errors()), (1, 1));
    assert_eq!(mock.total(), 3, "two hits, and one that failed");
}

#[test]
fn refund_goes_to_every_limit_of_the_layer() {
    let (base, _) = limiter("1/min");
    let accounts =
        base.clone().namespace("account").quotas("3/min; 5/hour".parse::<limited::Quotas>().unwrap());
    let all = KeyExtractor::from_fn(|_| Some("all".into()));
    let layer = RateLimitLayer::new(accounts, by_peer())
        .and(RateLimitLayer::new(base.quota(Quota::per_day(9)).namespace("all"), all).cost(|_| 2))
        .unwrap()
        .count_only(is_unauthorized);
    let mut service = layer.layer(service_fn(status_of_path));
    for (path, limits) in [
        ("/200", r#""account-minute";r=3;t=60, "account-hour";r=5;t=3600, "all";r=9;t=86400"#),
        ("/401", r#""account-minute";r=2;t=60, "account-hour";r=4;t=3600, "all";r=7;t=86400"#),
        ("/200", r#""account-minute";r=2;t=60, "account-hour";r=4;t=3600, "all";r=7;t=86400"#),
    ] {
        assert_eq!(send(&mut service, request(path)).header("ratelimit"), Some(limits), "{path}");
    }
}

#[test]
fn limiter_of_the_other_layer_refunds_alone() {
    let (base, _) = limiter("9/min");
    let failures =
        RateLimitLayer::new(base.clone().namespace("failures"), by_peer()).count_only(is_unauthorized);
    let layer = RateLimitLayer::new(base.namespace("all"), by_peer()).and(failures).unwrap();
    let mut service = layer.layer(service_fn(status_of_path));
    for (path, limits) in [
        ("/200", r#""all";r=8;t=60, "failures";r=9;t=60"#),
        ("/401", r#""all";r=7;t=60, "failures";r=8;t=60"#),
        ("/200", r#""all";r=6;t=60, "failures";r=8;t=60"#),
    ] {
        assert_eq!(send(&mut service, request(path)).header("ratelimit"), Some(limits), "{path}");
    }
}

#[test]
fn quota_of_the_request_and_its_cost_are_refunded() {
    let (limiter, _) = limiter("9/min");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .quota(|_| Some(Quota::per_hour(7)))
        .cost(|_| 3)
        .count_only(is_unauthorized);
    let mut service = layer.layer(service_fn(status_of_path));
    for (path, left) in [("/200", "7"), ("/401", "4"), ("/200", "4"), ("/401", "1")] {
        assert_eq!(remaining(&send(&mut service, request(path))), left, "{path}");
    }
}

/// A backend whose refunds fail, or never finish.
#[derive(Clone, Default)]
struct Refunds {
    memory: Arc<MemoryBackend>,
    hang: Arc<AtomicBool>,
}

#[async_trait]
impl Backend for Refunds {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.memory.increment(counter, hit, now).await
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        if self.hang.load(Ordering::Relaxed) {
            self.memory.refund(counter, refund, now).await?;
            return pending().await;
        }
        ready(Err(BackendError::unavailable("table 7 is on fire"))).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.memory.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.memory.reset(counter, window, now).await
    }
}

#[test]
fn failed_refund_is_counted_and_changes_no_response() {
    let limiter = Limiter::new(Refunds::default()).clock(ManualClock::new()).quota(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter, by_peer()).count_only(is_unauthorized);
    let mut service = layer.layer(service_fn(status_of_path));
    for failures in 1..=3 {
        let response = send(&mut service, request("/200"));
        assert_eq!((response.status, response.text()), (StatusCode::OK, "body"));
        assert_eq!(remaining(&response), (3 - failures).to_string(), "the request stays counted");
        assert_eq!(layer.backend_errors(), failures);
    }
    assert_eq!(send(&mut service, request("/200")).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn request_dropped_during_its_refund_leaves_the_service_usable() {
    let backend = Refunds::default();
    backend.hang.store(true, Ordering::Relaxed);
    let limiter = Limiter::new(backend).clock(ManualClock::new()).quota(Quota::per_minute(3));
    let mut service =
        RateLimitLayer::new(limiter, by_peer()).count_only(is_unauthorized).layer(service_fn(status_of_path));
    let mut dropped = Box::pin(service.call(request("/200")));
    assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(format!("{dropped:?}"), "RateLimitFuture(Refunding)");
    drop(dropped);
    assert_eq!(remaining(&send(&mut service, request("/401"))), "2", "it had been refunded");
}

#[test]
fn service_works_on_after_a_panic_in_the_closure() {
    let (limiter, _) = limiter("3/min");
    let layer = RateLimitLayer::new(limiter, by_peer()).count_only(|response| {
        assert_ne!(response.status, StatusCode::IM_A_TEAPOT);
        is_unauthorized(response)
    });
    let mut service = layer.layer(service_fn(status_of_path));
    let mut future = Box::pin(service.call(request("/418")));
    let mut poll = || {
        catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }))
    };
    assert!(poll().is_err());
    let again = *poll().unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(again, "`RateLimitFuture` polled after completion", "the service is not polled again");
    assert_eq!(remaining(&send(&mut service, request("/200"))), "2", "the request stays counted");
    assert_eq!(remaining(&send(&mut service, request("/401"))), "1");
}
