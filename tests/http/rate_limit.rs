//! The rate limit layer.

mod caching;
mod cors;
mod count_only;
mod decision;
mod dimension_headers;
mod enabled;
mod grpc;
mod key_extractor;
mod layer;
mod missing_key;
mod readiness;
mod rules;
mod several_policies;
mod shadow;
mod spoofing;
mod stacked_layers;
mod switches;
mod upstream_headers;
mod waits;

use std::convert::Infallible;
use std::fmt::Debug;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use limited::http::{ClientAddress, KeyExtractor, PeerAddress};
use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use pollster::block_on;
use tower::{Service, ServiceExt};

use crate::received::Received;

const CLIENT: [u8; 4] = [192, 0, 2, 7];

/// Creates a limiter over memory with a fixed window, and its clock.
fn limiter(quota: &str) -> (Limiter<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    (limiter.quota(quota.parse().unwrap()).algorithm(Algorithm::FixedWindow), clock)
}

/// Creates a limiter over a mock, which records its calls.
fn mocked(quota: Quota) -> (Limiter<MockBackend>, MockBackend) {
    let mock = MockBackend::new();
    (Limiter::new(mock.clone()).quota(quota).clock(ManualClock::new()), mock)
}

fn by_peer() -> KeyExtractor {
    KeyExtractor::address(ClientAddress::peer())
}

/// Creates a request from [`CLIENT`].
fn request(path: &str) -> Request<String> {
    Request::get(path).extension(PeerAddress(CLIENT.into())).body(String::new()).unwrap()
}

/// A service that responds with `hello`.
async fn hello(_: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

/// Waits until the service is ready, and sends a request.
fn send<S, Res>(service: &mut S, request: Request<String>) -> Received
where
    S: Service<Request<String>, Response = Response<Res>>,
    S::Error: Debug,
    Res: Body<Data = Bytes>,
{
    block_on(async {
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        let received = Received::from(response).await;
        assert!(received.is_end_stream && !received.is_cut_off && received.trailers.is_none());
        received
    })
}
