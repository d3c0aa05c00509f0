//! A layer that a setting turns off.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use limited::Quota;
use limited::http::{KeyExtractor, RateLimitLayer, ResponseBody};
use tower::util::MapResponseLayer;
use tower::{ServiceBuilder, service_fn};
use tower_layer::Layer;

use super::{by_peer, hello, mocked, request, send};

#[test]
fn disabled_layer_passes_every_request_unchanged() {
    let (limiter, mock) = mocked(Quota::per_minute(0));
    let layer = RateLimitLayer::new(limiter, by_peer());
    let mut service = layer.clone().enabled(false).layer(service_fn(hello));
    for request in [request("/"), Request::default()] {
        let response = send(&mut service, request);
        assert_eq!((response.status, response.text(), response.headers.len()), (StatusCode::OK, "hello", 0));
    }
    assert_eq!((mock.total(), layer.missing_keys()), (0, 0));
    let mut service = layer.enabled(false).enabled(true).layer(service_fn(hello));
    assert_eq!(send(&mut service, request("/")).status, StatusCode::TOO_MANY_REQUESTS);
}

/// Whether the limit is on is known at run time only. The type of the service is the same.
#[test]
fn limit_can_be_turned_on_by_configuration() {
    for (is_limited, status) in [(true, StatusCode::TOO_MANY_REQUESTS), (false, StatusCode::OK)] {
        let (limiter, _) = mocked(Quota::per_minute(0));
        let limit = RateLimitLayer::new(limiter, KeyExtractor::path()).enabled(is_limited);
        let mut service = ServiceBuilder::new().layer(limit).service(service_fn(hello));
        assert_eq!(send(&mut service, request("/")).status, status);
    }
}

fn boxed<B>(response: Response<B>) -> Response<UnsyncBoxBody<Bytes, Infallible>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    response.map(BodyExt::boxed_unsync)
}

/// `option_layer` requires a layer that keeps the type of the response. With the bodies boxed on
/// both sides, this layer does.
#[test]
fn option_layer_works_with_boxed_bodies() {
    let (limiter, _) = mocked(Quota::per_minute(0));
    let layer = RateLimitLayer::new(limiter, by_peer());
    for (layer, status) in [(Some(layer), StatusCode::TOO_MANY_REQUESTS), (None, StatusCode::OK)] {
        let layer = layer.map(|layer| (MapResponseLayer::new(boxed::<ResponseBody<_>>), layer));
        let mut service = ServiceBuilder::new()
            .option_layer(layer)
            .layer(MapResponseLayer::new(boxed::<String>))
            .service(service_fn(hello));
        assert_eq!(send(&mut service, request("/")).status, status);
    }
}
