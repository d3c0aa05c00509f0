//! The response body of the rate limit layer, and of responses without a service.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response body: that of the service behind the layer, or one that the layer wrote itself.
    ///
    /// Without a parameter it is the body of a response that no service is asked for.
    #[derive(Debug)]
    pub struct ResponseBody<B = NoBody> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<B> {
        Passthrough { #[pin] body: B },
        Full { bytes: Bytes },
    }
}

/// The body of a service that does not exist. There is no value of this type.
#[derive(Clone, Copy, Debug)]
pub enum NoBody {}

impl Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }
}

impl<B> ResponseBody<B> {
    /// Creates a body that forwards the service's body unchanged.
    pub(super) const fn passthrough(body: B) -> Self {
        Self { kind: Kind::Passthrough { body } }
    }

    /// Creates a body of the layer's own, complete in memory.
    pub(super) const fn full(bytes: Bytes) -> Self {
        Self { kind: Kind::Full { bytes } }
    }
}

impl<B> From<Bytes> for ResponseBody<B> {
    /// Creates a body that is complete in memory.
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl<B> Default for ResponseBody<B> {
    /// Creates an empty body.
    fn default() -> Self {
        Self::full(Bytes::new())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passthrough { body } => body.poll_frame(cx),
            KindProjection::Full { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProjection::Full { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passthrough { body } => body.is_end_stream(),
            Kind::Full { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passthrough { body } => body.size_hint(),
            // A `usize` fits into 64 bits on every platform that Rust supports.
            Kind::Full { bytes } => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        }
    }
}
