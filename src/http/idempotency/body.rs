//! Bodies that are read up to a limit before they are used.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
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
    chunks: VecDeque<Bytes>,
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
    pub(super) async fn up_to(limit: usize, body: B) -> Self {
        let mut read = Self { chunks: VecDeque::new(), trailers: None, remainder: Remainder::None };
        let announced = body.size_hint().lower();
        let mut body = Box::pin(body);
        if usize::try_from(announced).is_ok_and(|announced| announced <= limit) {
            let mut left = limit;
            loop {
                match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                    None => return read,
                    Some(Ok(frame)) => match left.checked_sub(read.push(frame)) {
                        Some(less) => left = less,
                        None => break,
                    },
                    Some(Err(error)) => {
                        read.remainder = Remainder::Error(error);
                        return read;
                    }
                }
            }
        }
        read.remainder = Remainder::Unread(body);
        read
    }

    /// Adds a frame, and returns how many bytes of data it contains.
    fn push(&mut self, frame: Frame<Bytes>) -> usize {
        match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => {
                let length = data.len();
                if length > 0 {
                    self.chunks.push_back(data);
                }
                length
            }
            Err(Ok(trailers)) => {
                self.trailers = Some(trailers);
                0
            }
            // There are no other kinds of frames.
            Err(Err(_)) => 0,
        }
    }

    pub(super) const fn status(&self) -> ReadStatus {
        match self.remainder {
            Remainder::None => ReadStatus::Complete,
            Remainder::Unread(_) => ReadStatus::OverLimit,
            Remainder::Error(_) => ReadStatus::CutOff,
        }
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter()
    }

    pub(super) const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match std::mem::replace(&mut self.remainder, Remainder::None) {
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
        self.chunks.is_empty()
            && self.trailers.is_none()
            && match &self.remainder {
                Remainder::None => true,
                Remainder::Unread(body) => body.is_end_stream(),
                Remainder::Error(_) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        // A `usize` fits into 64 bits on every platform that Rust supports.
        let read = self.chunks.iter().fold(0_u64, |sum, chunk| sum.saturating_add(chunk.len() as u64));
        match &self.remainder {
            Remainder::None => SizeHint::with_exact(read),
            Remainder::Error(_) => SizeHint::new(),
            Remainder::Unread(body) => {
                let unread = body.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(unread.lower().saturating_add(read));
                if let Some(upper) = unread.upper().and_then(|upper| upper.checked_add(read)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<B: Body> BufferedBody<B> {
    /// Creates a body that forwards another one unread.
    pub(super) const fn passthrough(body: B) -> Self {
        Self { kind: Kind::Passthrough { body } }
    }

    /// Creates a body that is complete in memory.
    pub(super) fn full(body: Bytes, trailers: Option<HeaderMap>) -> Self {
        let chunks = if body.is_empty() { VecDeque::new() } else { VecDeque::from([body]) };
        Self::read(BufferedRead { chunks, trailers, remainder: Remainder::None })
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
