//! A client of a service behind the layers, and the bodies of both.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use limited::http::{BufferedBody, IdempotencyLayer};
use limited::memory::MemoryBackend;
use limited::{Idempotency, ManualClock};
use pollster::block_on;
use tower::{Layer, Service, ServiceExt, service_fn};

/// The error of a body that was cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body was cut off")
    }
}

impl std::error::Error for CutOff {}

/// A body of scripted frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) chunks: VecDeque<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) is_cut_off: bool,
}

impl Frames {
    /// Returns the bytes of all chunks.
    pub(crate) fn data(&self) -> Vec<u8> {
        self.chunks.iter().flatten().copied().collect()
    }
}

impl From<Vec<u8>> for Frames {
    fn from(body: Vec<u8>) -> Self {
        Self { chunks: VecDeque::from([body.into()]), ..Self::default() }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if std::mem::take(&mut self.is_cut_off) {
            return Poll::Ready(Some(Err(CutOff)));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if self.is_cut_off { SizeHint::default() } else { SizeHint::with_exact(length) }
    }
}

/// A response that was read to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) is_cut_off: bool,
}

impl Received {
    /// Reads a response to its end, and checks the size that its body announced.
    pub(crate) async fn from<B: Body<Data = Bytes>>(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut body = Box::pin(body);
        let announced = body.size_hint();
        let (mut data, mut trailers, mut is_cut_off) = (Vec::new(), None, false);
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(chunk)) => data.extend(chunk),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => is_cut_off = true,
            }
        }
        let length = data.len() as u64;
        assert!(announced.lower() <= length && announced.upper().is_none_or(|upper| length <= upper));
        Self { status: parts.status, headers: parts.headers, body: data, trailers, is_cut_off }
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    /// Returns the `reason` of a problem. `None` if the response is not one.
    pub(crate) fn reason(&self) -> Option<String> {
        let is_problem = self.headers.get("content-type")? == "application/problem+json";
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok().filter(|_| is_problem)?;
        problem["reason"].as_str().map(str::to_owned)
    }
}

/// Sends a request, and reads the response to its end.
pub(crate) fn send<S, Req, Res>(service: &mut S, request: Request<Req>) -> Received
where
    S: Service<Request<Req>, Response = Response<Res>>,
    S::Error: Debug,
    Res: Body<Data = Bytes>,
{
    block_on(async { Received::from(service.ready().await.unwrap().call(request).await.unwrap()).await })
}

/// A service behind an [`IdempotencyLayer`] without callers. It responds with 201 and the number of
/// the call.
pub(crate) struct Payments {
    layer: IdempotencyLayer<Arc<MemoryBackend>>,
    calls: Arc<AtomicU32>,
}

impl Payments {
    /// Creates the service, with these settings of the layer.
    pub(crate) fn new(
        change: impl FnOnce(IdempotencyLayer<Arc<MemoryBackend>>) -> IdempotencyLayer<Arc<MemoryBackend>>,
    ) -> Self {
        let idempotency = Idempotency::new(Arc::new(MemoryBackend::new())).clock(ManualClock::new());
        Self { layer: change(IdempotencyLayer::unscoped(idempotency)), calls: Arc::default() }
    }

    /// Returns the records of the layer.
    pub(crate) fn records(&self) -> &Idempotency<Arc<MemoryBackend>> {
        self.layer.records()
    }

    /// Returns how many requests reached the service.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Sends a request.
    pub(crate) fn send(&self, request: Request<Frames>) -> Received {
        let calls = Arc::clone(&self.calls);
        let pay = service_fn(move |_: Request<BufferedBody<Frames>>| {
            let number = calls.fetch_add(1, Ordering::Relaxed).to_string();
            let response = Response::builder().status(StatusCode::CREATED);
            ready(Ok::<_, Infallible>(response.body(Frames::from(number.into_bytes())).unwrap()))
        });
        send(&mut self.layer.layer(pay), request)
    }

    /// Sends a body, with the key `k`.
    pub(crate) fn post(&self, content_type: &HeaderValue, body: Vec<u8>) -> Received {
        let request = Request::post("/").header("idempotency-key", "k").header("content-type", content_type);
        self.send(request.body(body.into()).unwrap())
    }
}
