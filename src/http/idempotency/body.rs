//! Bodies that are read up to a limit before they are used.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a request or a response that passed an
    /// [`IdempotencyLayer`](super::IdempotencyLayer): read completely, in part, or not at all. It
    /// yields the same bytes as the original body.
    pub struct BufferedBody<B> where B: Body {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> where B: Body {
        Passthrough { #[pin] body: B },
        Read { read: BufferedRead<B> },
    }
}

/// The part of a body that was read, and its remainder.
pub(super) struct BufferedRead<B: Body> {
    data: Bytes,
    /// The frame that exceeded the limit.
    overflow: Bytes,
    trailers: Option<HeaderMap>,
    remainder: Remainder<B>,
}

enum Remainder<B: Body> {
    None,
    /// The body is larger than the limit.
    Unread(Pin<Box<B>>),
    /// The body was cut off.
    Error(B::Error),
}

/// How far a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadStatus {
    Complete,
    OverLimit,
    CutOff,
}

impl<B: Body<Data = Bytes>> BufferedRead<B> {
    /// Reads to the end, or until there are more than `limit` bytes. Reads nothing if the size hint
    /// exceeds the limit.
    ///
    /// Joins the frames: a frame of one byte may keep a whole read buffer of the server alive.
    pub(super) async fn up_to(limit: usize, body: B) -> Self {
        let mut read = Self::complete(Bytes::new(), None);
        let mut data = Vec::new();
        let announced = body.size_hint().lower();
        let mut body = Box::pin(body);
        read.remainder = loop {
            if usize::try_from(announced).map_or(true, |announced| announced > limit) {
                break Remainder::Unread(body);
            }
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                None => break Remainder::None,
                Some(Err(error)) => break Remainder::Error(error),
                Some(Ok(frame)) => match frame.into_data().map_err(Frame::into_trailers) {
                    Ok(frame) if frame.len() > limit - data.len() => {
                        read.overflow = frame;
                        break Remainder::Unread(body);
                    }
                    Ok(frame) => data.extend_from_slice(&frame),
                    Err(Ok(trailers)) => read.trailers = Some(trailers),
                    // There are no other kinds of frames.
                    Err(Err(_)) => {}
                },
            }
        };
        data.shrink_to_fit();
        read.data = data.into();
        read
    }

    pub(super) const fn status(&self) -> ReadStatus {
        match self.remainder {
            Remainder::None => ReadStatus::Complete,
            Remainder::Unread(_) => ReadStatus::OverLimit,
            Remainder::Error(_) => ReadStatus::CutOff,
        }
    }

    /// Returns the bytes that were read, without the frame that exceeded the limit.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        for read in [&mut self.data, &mut self.overflow] {
            if !read.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(mem::take(read)))));
            }
        }
        match mem::replace(&mut self.remainder, Remainder::None) {
            Remainder::Unread(mut body) => {
                let frame = body.as_mut().poll_frame(cx);
                self.remainder = Remainder::Unread(body);
                frame
            }
            Remainder::Error(error) => Poll::Ready(Some(Err(error))),
            Remainder::None => {
                Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
            && self.overflow.is_empty()
            && self.trailers.is_none()
            && match &self.remainder {
                Remainder::None => true,
                Remainder::Unread(body) => body.is_end_stream(),
                Remainder::Error(_) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        // A `usize` fits into 64 bits on every platform that Rust supports.
        let read = self.data.len() as u64 + self.overflow.len() as u64;
        let mut hint = SizeHint::new();
        match &self.remainder {
            Remainder::None if self.trailers.is_none() => return SizeHint::with_exact(read),
            // If the size is exact, a server for HTTP/1.1 sends `Content-Length`, and no trailers.
            Remainder::None => hint.set_lower(read),
            Remainder::Error(_) => {}
            Remainder::Unread(body) => {
                let unread = body.size_hint();
                hint.set_lower(unread.lower().saturating_add(read));
                if let Some(upper) = unread.upper().and_then(|upper| upper.checked_add(read)) {
                    hint.set_upper(upper);
                }
            }
        }
        hint
    }
}

impl<B: Body> BufferedRead<B> {
    const fn complete(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { data, overflow: Bytes::new(), trailers, remainder: Remainder::None }
    }
}

impl<B: Body> BufferedBody<B> {
    /// Creates a body that forwards another one unread.
    pub(super) const fn passthrough(body: B) -> Self {
        Self { kind: Kind::Passthrough { body } }
    }

    /// Creates a body that is complete in memory.
    pub(super) const fn full(body: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self::read(BufferedRead::complete(body, trailers))
    }

    /// Creates a body that yields what was read, then the remainder.
    pub(super) const fn read(read: BufferedRead<B>) -> Self {
        Self { kind: Kind::Read { read } }
    }
}

impl<B: Body> Default for BufferedBody<B> {
    /// Creates an empty body.
    fn default() -> Self {
        Self::full(Bytes::new(), None)
    }
}

impl<B: Body<Data = Bytes>> Body for BufferedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passthrough { body } => body.poll_frame(cx),
            KindProjection::Read { read } => read.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passthrough { body } => body.is_end_stream(),
            Kind::Read { read } => read.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passthrough { body } => body.size_hint(),
            Kind::Read { read } => read.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for BufferedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content may be secret.
        f.debug_struct("BufferedBody").finish_non_exhaustive()
    }
}
