//! Bodies that are read up to a limit before anything is done with them.

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
    /// A body behind or in front of an [`IdempotencyLayer`](super::IdempotencyLayer): read already, in part, or not at
    /// all, as it is. It gives what the body gave, to the byte.
    pub struct BufferedBody<B> where B: Body {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> where B: Body {
        Passed { #[pin] body: B },
        Read { read: Read<B> },
    }
}

/// What was read of a body, and what is left of it.
pub(super) struct Read<B: Body> {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Rest<B>,
}

/// Why a body was not read to its end, if it was not.
enum Rest<B: Body> {
    Nothing,
    /// There is more than was to be read.
    More(Pin<Box<B>>),
    /// It broke off.
    Error(B::Error),
}

/// How far a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    OverLimit,
    BrokenOff,
}

impl<B: Body<Data = Bytes>> Read<B> {
    /// Reads until the end, or until there are more than `limit` bytes. Where the body says at once that it is
    /// larger, nothing is read.
    pub(super) async fn up_to(limit: usize, body: B) -> Self {
        let mut read = Self { chunks: VecDeque::new(), trailers: None, rest: Rest::Nothing };
        let announced = body.size_hint().lower();
        let mut body = Box::pin(body);
        if usize::try_from(announced).is_ok_and(|announced| announced <= limit) {
            let mut left = limit;
            loop {
                match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                    None => return read,
                    Some(Ok(frame)) => match left.checked_sub(read.keep(frame)) {
                        Some(less) => left = less,
                        None => break,
                    },
                    Some(Err(error)) => {
                        read.rest = Rest::Error(error);
                        return read;
                    }
                }
            }
        }
        read.rest = Rest::More(body);
        read
    }

    /// Keeps a frame, and tells how many bytes of data it has.
    fn keep(&mut self, frame: Frame<Bytes>) -> usize {
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
            // There are no other frames.
            Err(Err(_)) => 0,
        }
    }

    pub(super) const fn extent(&self) -> Extent {
        match self.rest {
            Rest::Nothing => Extent::Whole,
            Rest::More(_) => Extent::OverLimit,
            Rest::Error(_) => Extent::BrokenOff,
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
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::More(mut body) => {
                let frame = body.as_mut().poll_frame(cx);
                self.rest = Rest::More(body);
                frame
            }
            Rest::Error(error) => Poll::Ready(Some(Err(error))),
            Rest::Nothing => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
            && self.trailers.is_none()
            && match &self.rest {
                Rest::Nothing => true,
                Rest::More(body) => body.is_end_stream(),
                Rest::Error(_) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        // A `usize` fits into 64 bits wherever Rust runs.
        let read = self.chunks.iter().fold(0_u64, |sum, chunk| sum.saturating_add(chunk.len() as u64));
        match &self.rest {
            Rest::Nothing => SizeHint::with_exact(read),
            Rest::Error(_) => SizeHint::new(),
            Rest::More(body) => {
                let rest = body.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<B: Body> BufferedBody<B> {
    /// A body that nobody has looked at.
    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    /// A body of our own.
    pub(super) fn own(body: Bytes, trailers: Option<HeaderMap>) -> Self {
        let chunks = if body.is_empty() { VecDeque::new() } else { VecDeque::from([body]) };
        Self::read(Read { chunks, trailers, rest: Rest::Nothing })
    }

    pub(super) const fn read(read: Read<B>) -> Self {
        Self { kind: Kind::Read { read } }
    }
}

impl<B: Body> Default for BufferedBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self::own(Bytes::new(), None)
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
            KindProjection::Passed { body } => body.poll_frame(cx),
            KindProjection::Read { read } => read.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Read { read } => read.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Read { read } => read.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for BufferedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is the client's business.
        f.debug_struct("BufferedBody").finish_non_exhaustive()
    }
}
