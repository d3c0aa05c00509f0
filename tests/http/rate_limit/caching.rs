//! Responses of the layer's own must not be stored by caches.

use http::{Request, Response, StatusCode};
use limited::http::{KeyExtractor, RateLimitLayer};
use limited::{BackendError, Quota};
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request, send};
use crate::received::Received;

fn assert_no_store(response: &Received, status: StatusCode) {
    assert_eq!(response.status, status);
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
}

#[test]
fn every_rejection_is_no_store() {
    let (limiter, mock) = mocked(Quota::per_minute(0));
    let layer = RateLimitLayer::new(limiter.clone(), by_peer());
    let mut service = layer.layer(service_fn(hello));
    assert_no_store(&send(&mut service, request("/")), StatusCode::TOO_MANY_REQUESTS);
    assert_no_store(&send(&mut service, Request::default()), StatusCode::INTERNAL_SERVER_ERROR);
    mock.fail_next(BackendError::timed_out("no response"));
    assert_no_store(&send(&mut service, request("/")), StatusCode::SERVICE_UNAVAILABLE);

    let mut call = request("/pets.Pets/Feed");
    *call.method_mut() = http::Method::POST;
    call.headers_mut().insert("content-type", "application/grpc-web".parse().unwrap());
    assert_no_store(&send(&mut service, call), StatusCode::OK);

    let mut by_token = RateLimitLayer::new(limiter, KeyExtractor::bearer_token()).layer(service_fn(hello));
    assert_no_store(&send(&mut by_token, request("/")), StatusCode::BAD_REQUEST);
}

#[test]
fn custom_rejection_is_no_store_unless_it_says_otherwise() {
    let (limiter, _) = limiter("0/min");
    let layer = RateLimitLayer::new(limiter, by_peer());
    let plain = layer.clone().on_rejection(|_, _| Response::new("slow down"));
    assert_no_store(&send(&mut plain.layer(service_fn(hello)), request("/")), StatusCode::OK);
    let own = layer.on_rejection(|_, _| {
        Response::builder().header("cache-control", "private, max-age=1").body("slow down").unwrap()
    });
    let response = send(&mut own.layer(service_fn(hello)), request("/"));
    assert_eq!(response.header("cache-control"), Some("private, max-age=1"));
}

#[test]
fn response_of_the_service_may_be_cached_as_it_says() {
    let (limiter, _) = limiter("9/min");
    let layer = RateLimitLayer::new(limiter, by_peer());
    assert_eq!(send(&mut layer.layer(service_fn(hello)), request("/")).header("cache-control"), None);
    let cached = service_fn(async |_: Request<String>| {
        let response = Response::builder().status(429).header("cache-control", "max-age=60");
        Ok::<_, std::convert::Infallible>(response.body(String::new()).unwrap())
    });
    assert_eq!(send(&mut layer.layer(cached), request("/")).header("cache-control"), Some("max-age=60"));
}
