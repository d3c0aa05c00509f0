//! The future panics if it is polled after completion.

use std::task::{Context, Waker};

use http::{Method, Request};
use tower::{Layer, Service, service_fn};

use super::service::{Frames, payment};
use super::{layer, over_mock, slowly};

/// Polls the response to a request until it is ready, and once more.
fn poll_again(request: Request<Frames>) {
    let mut service = layer(over_mock().0).layer(service_fn(slowly));
    let mut response = Box::pin(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    while response.as_mut().poll(&mut cx).is_pending() {}
    let _ = response.as_mut().poll(&mut cx);
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_of_an_execution_panics_if_polled_after_completion() {
    poll_again(payment("alice", "key"));
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_of_a_problem_panics_if_polled_after_completion() {
    poll_again(payment("alice", ""));
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_of_another_method_panics_if_polled_after_completion() {
    let mut request = payment("alice", "key");
    *request.method_mut() = Method::PUT;
    poll_again(request);
}
