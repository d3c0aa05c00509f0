//! A service behind the layer, its bodies, and its clients.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use limited::http::{BufferedBody, IdempotencyLayer, IdempotencyService};
use limited::{Backend, Claim};
use tower::{Layer, Service};

use crate::common::block_on;
use crate::received::Received;

/// The error of a service or a body.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the connection is gone")]
pub(crate) struct Gone;

/// A body of scripted frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) chunks: VecDeque<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) is_cut_off: bool,
    /// Whether the size hint is exact.
    pub(crate) announces_size: bool,
}

impl From<&'static str> for Frames {
    fn from(text: &'static str) -> Self {
        Self { chunks: VecDeque::from([text.into()]), announces_size: true, ..Self::default() }
    }
}

impl From<Vec<Vec<u8>>> for Frames {
    fn from(chunks: Vec<Vec<u8>>) -> Self {
        Self { chunks: chunks.into_iter().map(Bytes::from).collect(), ..Self::default() }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if std::mem::take(&mut self.is_cut_off) {
            return Poll::Ready(Some(Err(Gone)));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if self.announces_size { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

/// Returns a response, from the number of the call and the request.
type Respond = dyn Fn(u32, &Request<BufferedBody<Frames>>) -> Response<Frames> + Send + Sync;

/// A service that records its calls and their claims. Like a service behind a concurrency limit, it
/// must be polled ready before each call.
pub(crate) struct Counting {
    is_ready: bool,
    respond: Arc<Respond>,
    pub(crate) seen: Arc<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    calls: AtomicU32,
    pub(crate) claims: Mutex<Vec<Option<Claim>>>,
}

impl Seen {
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Counting {
    pub(crate) fn new(
        respond: impl Fn(u32, &Request<BufferedBody<Frames>>) -> Response<Frames> + Send + Sync + 'static,
    ) -> Self {
        Self { is_ready: false, respond: Arc::new(respond), seen: Arc::default() }
    }

    /// Responds with 201 and the number of the call.
    pub(crate) fn numbered() -> Self {
        Self::new(|number, _| {
            let body = Frames::from(vec![b"payment ".to_vec(), number.to_string().into_bytes()]);
            Response::builder().status(201).header("content-type", "text/plain").body(body).unwrap()
        })
    }

    /// Responds with this status and the number of the call.
    pub(crate) fn with_status(status: u16) -> Self {
        Self::new(move |number, _| {
            let body = Frames::from(vec![number.to_string().into_bytes()]);
            Response::builder().status(status).body(body).unwrap()
        })
    }
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        // Readiness belongs to one instance, not to its clones.
        Self { is_ready: false, respond: Arc::clone(&self.respond), seen: Arc::clone(&self.seen) }
    }
}

impl Service<Request<BufferedBody<Frames>>> for Counting {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Frames>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<BufferedBody<Frames>>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being polled ready");
        let number = self.seen.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.seen.claims.lock().unwrap().push(request.extensions().get().cloned());
        ready(Ok((self.respond)(number, &request)))
    }
}

/// A service behind the layer, and what it has seen.
pub(crate) struct Server<B> {
    pub(crate) service: IdempotencyService<Counting, B>,
    pub(crate) seen: Arc<Seen>,
}

impl<B: Backend + 'static> Server<B> {
    pub(crate) fn new(layer: &IdempotencyLayer<B>, inner: Counting) -> Self {
        let seen = Arc::clone(&inner.seen);
        Self { service: layer.layer(inner), seen }
    }

    pub(crate) fn send(&self, request: Request<Frames>) -> Received {
        block_on(self.send_async(request))
    }

    pub(crate) async fn send_async(&self, request: Request<Frames>) -> Received {
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        call(&mut service, request).await
    }

    pub(crate) fn calls(&self) -> u32 {
        self.seen.calls()
    }
}

/// Calls a service, and reads the response to its end.
pub(crate) async fn call<S, Res>(service: &mut S, request: Request<Frames>) -> Received
where
    S: Service<Request<Frames>, Response = Response<Res>>,
    S::Error: std::fmt::Debug,
    Res: Body<Data = Bytes>,
{
    Received::from(service.call(request).await.unwrap()).await
}

/// Creates a request for a payment.
pub(crate) fn payment(caller: &str, key: &str) -> Request<Frames> {
    let request = Request::post("/payments?currency=eur").header("authorization", format!("Bearer {caller}"));
    request.header("idempotency-key", key).body("4200".into()).unwrap()
}
