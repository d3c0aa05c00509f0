//! The contract of Tower: a layer calls only the service that it polled ready. Futures are not
//! polled after completion.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use limited::http::RateLimitLayer;
use limited::{Limiter, Quota};
use limited_memory::MemoryBackend;
use limited_mock::Operation;
use pollster::block_on;
use tower::{Service, service_fn};
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request};

/// A service that must be polled ready before each call. A clone of a ready service is not ready.
#[derive(Debug)]
struct Strict {
    is_ready: bool,
    reserved: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { is_ready: false, reserved: Arc::clone(&self.reserved) }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if self.is_ready {
            self.reserved.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Service<Request<String>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.reserved.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being polled ready");
        self.reserved.fetch_sub(1, Ordering::Relaxed);
        ready(Ok(Response::new(String::new())))
    }
}

fn strict() -> (Strict, Arc<AtomicUsize>) {
    let reserved = Arc::default();
    (Strict { is_ready: false, reserved: Arc::clone(&reserved) }, reserved)
}

#[test]
fn service_that_was_polled_ready_is_the_one_called() {
    let (limiter, _) = limiter("9/min");
    let (inner, reserved) = strict();
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(inner);
    for _ in 0..3 {
        block_on(async {
            poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            assert_eq!(reserved.load(Ordering::Relaxed), 1);
            assert_eq!(service.call(request("/")).await.unwrap().status(), 200);
        });
        assert_eq!(reserved.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn several_requests_can_be_in_flight() {
    let (limiter, mock) = mocked(Quota::per_minute(9));
    let gate = mock.hold(Operation::Increment);
    let (inner, reserved) = strict();
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let mut responses: Vec<_> = (0..3)
        .map(|_| {
            assert!(service.poll_ready(&mut cx).is_ready());
            let mut response = Box::pin(service.call(request("/")));
            assert!(response.as_mut().poll(&mut cx).is_pending());
            response
        })
        .collect();
    assert_eq!(reserved.load(Ordering::Relaxed), 3);
    drop(responses.pop());
    gate.release();
    for response in responses {
        assert_eq!(block_on(response).unwrap().status(), 200);
    }
    assert_eq!(reserved.load(Ordering::Relaxed), 0);
}

#[test]
#[should_panic(expected = "`RateLimitFuture` polled after completion")]
fn future_panics_if_polled_after_completion() {
    poll_again(limiter("9/min").0, request("/"));
}

#[test]
#[should_panic(expected = "`RateLimitFuture` polled after completion")]
fn future_of_a_rejection_panics_if_polled_after_completion() {
    poll_again(limiter("0/min").0, request("/"));
}

#[test]
#[should_panic(expected = "`RateLimitFuture` polled after completion")]
fn future_of_a_request_without_a_key_panics_if_polled_after_completion() {
    poll_again(limiter("9/min").0, Request::get("/").body(String::new()).unwrap());
}

fn poll_again(limiter: Limiter<MemoryBackend>, request: Request<String>) {
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    let mut response = Box::pin(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut cx).is_ready());
    let _ = response.as_mut().poll(&mut cx);
}

#[test]
fn rejected_request_releases_the_reserved_service() {
    let (limiter, _) = limiter("0/min");
    let (inner, reserved) = strict();
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(inner);
    block_on(async {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        assert_eq!(service.call(request("/")).await.unwrap().status(), 429);
    });
    assert_eq!(reserved.load(Ordering::Relaxed), 0);
}
