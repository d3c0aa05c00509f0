//! A service to put behind a layer, and clients of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use limited::http::{BufferedBody, IdempotencyLayer, IdempotencyService};
use limited::{Backend, Claim};
use tower::{Layer, Service};

use crate::common::block_on;

/// A connection that is gone.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the connection is gone")]
pub(crate) struct Gone;

/// A body that gives what a test has put into it, one frame at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) chunks: VecDeque<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) breaks_off: bool,
    /// Whether it says beforehand how long it is.
    pub(crate) announces: bool,
}

impl From<&'static str> for Frames {
    fn from(text: &'static str) -> Self {
        Self { chunks: VecDeque::from([text.into()]), announces: true, ..Self::default() }
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
        if std::mem::take(&mut self.breaks_off) {
            return Poll::Ready(Some(Err(Gone)));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if self.announces { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) broke_off: bool,
}

impl Read {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `reason` of a problem.
    pub(crate) fn reason(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["reason"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn read<B: Body<Data = Bytes>>(response: Response<B>) -> Read {
    let (parts, body) = response.into_parts();
    let mut body = Box::pin(body);
    let announced = body.size_hint().exact();
    let mut read = Read {
        status: parts.status,
        headers: parts.headers,
        body: Vec::new(),
        trailers: None,
        broke_off: false,
    };
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => read.body.extend(data),
            Ok(Err(frame)) => read.trailers = frame.into_trailers().ok(),
            Err(_) => read.broke_off = true,
        }
    }
    assert!(announced.is_none_or(|announced| announced == read.body.len() as u64));
    read
}

/// What a service answers, from the number of the call and the request.
type Answer = dyn Fn(u32, &Request<BufferedBody<Frames>>) -> Response<Frames> + Send + Sync;

/// A service that counts its calls and the claims under which they came; and that insists on being asked whether it is
/// ready before each call, as services behind a limit do.
pub(crate) struct Counting {
    is_ready: bool,
    answer: Arc<Answer>,
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
        answer: impl Fn(u32, &Request<BufferedBody<Frames>>) -> Response<Frames> + Send + Sync + 'static,
    ) -> Self {
        Self { is_ready: false, answer: Arc::new(answer), seen: Arc::default() }
    }

    /// Answers 201 and the number of the call.
    pub(crate) fn numbered() -> Self {
        Self::new(|number, _| {
            let body = Frames::from(vec![b"payment ".to_vec(), number.to_string().into_bytes()]);
            Response::builder().status(201).header("content-type", "text/plain").body(body).unwrap()
        })
    }

    /// Answers with this status.
    pub(crate) fn with_status(status: u16) -> Self {
        Self::new(move |number, _| {
            let body = Frames::from(vec![number.to_string().into_bytes()]);
            Response::builder().status(status).body(body).unwrap()
        })
    }
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        // What one clone was promised, another has to ask for.
        Self { is_ready: false, answer: Arc::clone(&self.answer), seen: Arc::clone(&self.seen) }
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
        assert!(std::mem::take(&mut self.is_ready), "it is called before it was asked whether it is ready");
        let number = self.seen.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.seen.claims.lock().unwrap().push(request.extensions().get().cloned());
        ready(Ok((self.answer)(number, &request)))
    }
}

/// A layer in front of a service, and what the service has seen.
pub(crate) struct Server<B> {
    pub(crate) service: IdempotencyService<Counting, B>,
    pub(crate) seen: Arc<Seen>,
}

impl<B: Backend + 'static> Server<B> {
    pub(crate) fn new(layer: &IdempotencyLayer<B>, inner: Counting) -> Self {
        let seen = Arc::clone(&inner.seen);
        Self { service: layer.layer(inner), seen }
    }

    /// Sends a request, and reads the answer to its end.
    pub(crate) fn send(&self, request: Request<Frames>) -> Read {
        block_on(self.sending(request))
    }

    pub(crate) async fn sending(&self, request: Request<Frames>) -> Read {
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        read(service.call(request).await.unwrap()).await
    }

    pub(crate) fn calls(&self) -> u32 {
        self.seen.calls()
    }
}

/// A payment by somebody, under a key.
pub(crate) fn payment(caller: &str, key: &str) -> Request<Frames> {
    let request = Request::post("/payments?currency=eur").header("authorization", format!("Bearer {caller}"));
    request.header("idempotency-key", key).body("4200".into()).unwrap()
}
