//! The waits that responses ask for, also if they are long.

use std::time::Duration;

use http::{Request, StatusCode};
use limited::backend::Sleep;
use limited::http::{PeerAddress, RateLimitLayer, Rejection};
use limited::{Algorithm, Clock, Limiter, ManualClock, Quota, Timestamp};
use limited_memory::MemoryBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{CLIENT, by_peer, hello, request, send};
use crate::received::Received;

const DAY: Duration = Duration::from_secs(86_400);

/// Creates a layer that admits one request, and then one in this many days.
fn once_in(days: u32) -> RateLimitLayer<MemoryBackend> {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new());
    let quota = Quota::new(1, DAY * days).unwrap();
    RateLimitLayer::new(limiter.quota(quota).algorithm(Algorithm::TokenBucket), by_peer())
}

/// Sends requests until one is rejected.
fn rejection(layer: &RateLimitLayer<MemoryBackend>, request: impl Fn() -> Request<String>) -> Received {
    let mut service = layer.layer(service_fn(hello));
    assert_eq!(send(&mut service, request()).status, StatusCode::OK);
    send(&mut service, request())
}

fn call() -> Request<String> {
    let call = Request::post("/pets.Pets/Feed").header("content-type", "application/grpc");
    call.extension(PeerAddress(CLIENT.into())).body(String::new()).unwrap()
}

#[test]
fn retry_after_fits_into_a_timer_of_32_bits_by_default() {
    for (days, seconds) in [(20, "1728000"), (30, "2147483"), (365, "2147483")] {
        let layer = once_in(days).legacy_headers();
        let response = rejection(&layer, || request("/"));
        assert_eq!(response.header("retry-after"), Some(seconds));
        assert_eq!(response.header("ratelimit"), Some(format!("\"default\";r=0;t={seconds}").as_str()));
        assert_eq!(response.header("x-ratelimit-reset"), Some(seconds));
        let wait = format!("retry in {} s", (DAY * days).as_secs());
        assert!(response.text().contains(&wait), "the text for people has the whole wait: {response:?}");
    }
}

/// A clock that lags by up to a tick, as the coarse clock of a system does.
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn resolution(&self) -> Duration {
        Duration::from_millis(4)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }
}

#[test]
fn all_headers_of_a_rejection_report_the_same_wait() {
    let limiter = Limiter::new(MemoryBackend::new()).clock(Ticking(ManualClock::at(Timestamp::EPOCH)));
    let layer = RateLimitLayer::new(limiter.quota(Quota::per_minute(1)), by_peer()).legacy_headers();
    let response = rejection(&layer, || request("/"));
    // The window ends after 60 s. A clock that lags by a tick may need 61 whole seconds.
    assert_eq!(response.header("retry-after"), Some("61"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=0;t=61"));
    assert_eq!(response.header("x-ratelimit-reset"), Some("61"));
}

#[test]
fn admission_reports_the_whole_time_until_the_reset() {
    let mut service = once_in(30).legacy_headers().layer(service_fn(hello));
    let response = send(&mut service, request("/"));
    assert_eq!(response.header("ratelimit"), Some("\"default\";r=0;t=2592000"));
    assert_eq!(response.header("x-ratelimit-reset"), Some("2592000"));
}

#[test]
fn maximum_of_retry_after_can_be_set_and_lifted_and_is_never_0() {
    for (max, seconds) in [
        (Duration::MAX, "2592000"),
        (Duration::from_secs(3_600), "3600"),
        (Duration::from_millis(1_999), "1"),
        (Duration::ZERO, "1"),
    ] {
        let layer = once_in(30).max_retry_after(max);
        let rejection = rejection(&layer, || request("/"));
        assert_eq!(rejection.header("retry-after"), Some(seconds));
        assert_eq!(rejection.header("ratelimit"), Some(format!("\"default\";r=0;t={seconds}").as_str()));
        let of_exceeded = layer.on_rejection(|rejection, _| match rejection {
            Rejection::Exceeded(exceeded) => {
                http::Response::new(exceeded.retry_after_seconds().unwrap().to_string())
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(send(&mut of_exceeded.layer(service_fn(hello)), request("/")).text(), seconds);
    }
}

#[test]
fn grpc_pushback_beyond_32_bits_is_never() {
    for (days, pushback, seconds) in [(20, "1728000000", "1728000"), (30, "-1", "2147483")] {
        let response = rejection(&once_in(days), call);
        assert_eq!(response.header("grpc-retry-pushback-ms"), Some(pushback));
        assert_eq!(response.header("retry-after"), Some(seconds));
    }
    let lifted = once_in(30).max_retry_after(Duration::MAX);
    assert_eq!(rejection(&lifted, call).header("grpc-retry-pushback-ms"), Some("-1"));
}
