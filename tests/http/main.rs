//! In front of a service: what the layers of `limited::http` do, over plain Tower services.

mod grpc;
mod keys;
mod rate_limit;
mod readiness;
mod several;
mod spoofing;

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use limited::http::{ClientAddress, KeyExtractor, PeerAddress};
use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use pollster::block_on;
use tower::{Service, ServiceExt};

const CLIENT: [u8; 4] = [192, 0, 2, 7];

/// A limiter over memory by a fixed window, and its clock.
fn limiter(quota: &str) -> (Limiter<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    (limiter.quota(quota.parse().unwrap()).algorithm(Algorithm::FixedWindow), clock)
}

/// A limiter over a mock, which counts what it is asked.
fn mocked(quota: Quota) -> (Limiter<MockBackend>, MockBackend) {
    let mock = MockBackend::new();
    (Limiter::new(mock.clone()).quota(quota).clock(ManualClock::new()), mock)
}

fn by_peer() -> KeyExtractor {
    KeyExtractor::address(ClientAddress::peer())
}

/// A request by the client.
fn request(path: &str) -> Request<String> {
    from(CLIENT.into(), path)
}

fn from(peer: IpAddr, path: &str) -> Request<String> {
    Request::get(path).extension(PeerAddress(peer)).body(String::new()).unwrap()
}

/// A service that answers with its name.
async fn hello(_: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

/// An answer, as it is sent.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// The one value of a header; `None` where there is none.
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} was sent more than once");
        value
    }
}

/// Sends a request, once the service is ready.
fn send<S, Res>(service: &mut S, request: Request<String>) -> Answer
where
    S: Service<Request<String>, Response = Response<Res>>,
    S::Error: Debug,
    Res: Body<Data = Bytes> + Unpin,
    Res::Error: Debug,
{
    block_on(async {
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes.extend(frame.unwrap().into_data().unwrap());
        }
        assert!(body.is_end_stream());
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes).unwrap() }
    })
}
