//! Requests of browsers from other origins, with the CORS layer of tower-http.

use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode};
use limited::Quota;
use limited::http::{EXPOSED_HEADERS, RateLimitLayer};
use tower::{ServiceBuilder, service_fn};
use tower_http::cors::{Any, CorsLayer};
use tower_layer::Layer;

use super::{by_peer, hello, limiter, mocked, request, send};
use crate::received::Received;

fn cors() -> CorsLayer {
    CorsLayer::new().allow_origin(Any).expose_headers(EXPOSED_HEADERS)
}

fn from_browser(method: Method) -> Request<String> {
    let mut request = request("/");
    *request.method_mut() = method;
    request.headers_mut().insert("origin", "https://shop.example".parse().unwrap());
    request
}

fn preflight() -> Request<String> {
    let mut request = from_browser(Method::OPTIONS);
    request.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    request
}

fn assert_readable(response: &Received) {
    assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{response:?}");
    let exposed: Vec<_> =
        response.header("access-control-expose-headers").unwrap_or_default().split(',').collect();
    for name in ["ratelimit", "ratelimit-policy", "retry-after"] {
        assert!(response.headers.contains_key(name), "{response:?}");
        assert!(exposed.contains(&name), "{response:?}");
    }
}

#[test]
fn behind_a_cors_layer_preflights_are_not_limited_and_rejections_are_readable() {
    let (limiter, _) = limiter("1/min");
    let layer = RateLimitLayer::new(limiter, by_peer());
    // The first layer of a `ServiceBuilder` is the outermost.
    let mut service = ServiceBuilder::new().layer(cors()).layer(layer).service(service_fn(hello));
    for _ in 0..3 {
        let response = send(&mut service, preflight());
        assert_eq!((response.status, response.header("ratelimit")), (StatusCode::OK, None));
    }
    assert_eq!(send(&mut service, from_browser(Method::GET)).status, StatusCode::OK);
    let rejected = send(&mut service, from_browser(Method::GET));
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    assert_readable(&rejected);
}

#[test]
fn in_front_of_a_cors_layer_preflights_are_limited_unless_they_are_skipped() {
    let (limiter, _) = limiter("1/min");
    let limited = RateLimitLayer::new(limiter, by_peer());
    let mut service = limited.layer(cors().layer(service_fn(hello)));
    send(&mut service, preflight());
    let rejected = send(&mut service, preflight());
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.header("access-control-allow-origin"), None, "which a browser cannot read");

    let mut service = limited.skip_preflights().layer(cors().layer(service_fn(hello)));
    for _ in 0..3 {
        assert_eq!(send(&mut service, preflight()).status, StatusCode::OK);
    }
}

#[test]
fn only_preflights_are_skipped() {
    let (limiter, mock) = mocked(Quota::per_minute(1));
    let own = service_fn(async |request: Request<String>| {
        Ok::<_, Infallible>(Response::new(request.method().to_string()))
    });
    let mut service = RateLimitLayer::new(limiter, by_peer()).skip_preflights().layer(own);
    let mut without_address = preflight();
    without_address.extensions_mut().clear();
    let response = send(&mut service, without_address);
    assert_eq!((response.text(), response.headers.len(), mock.total()), ("OPTIONS", 0, 0));

    let mut plain_options = request("/");
    *plain_options.method_mut() = Method::OPTIONS;
    assert_eq!(send(&mut service, plain_options).header("ratelimit"), Some("\"default\";r=0;t=60"));
    assert_eq!(send(&mut service, from_browser(Method::GET)).status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn headers_of_dimensions_are_exposed_by_those_of_the_layer() {
    let (limiter, _) = limiter("1/min");
    let layer = RateLimitLayer::new(limiter, by_peer()).policy_name("tokens").unwrap().dimension_headers();
    let cors = CorsLayer::new().allow_origin(Any).expose_headers(layer.exposed_headers());
    let mut service = ServiceBuilder::new().layer(cors).layer(layer).service(service_fn(hello));
    send(&mut service, from_browser(Method::GET));
    let rejected = send(&mut service, from_browser(Method::GET));
    assert_readable(&rejected);
    let exposed = rejected.header("access-control-expose-headers").unwrap();
    for name in ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"] {
        assert!(
            rejected.headers.contains_key(name) && exposed.split(',').any(|other| other == name),
            "{exposed}"
        );
    }
}
