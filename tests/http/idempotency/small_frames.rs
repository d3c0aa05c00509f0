//! Bodies in many small frames take no more memory than in one.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use limited::http::BufferedBody;
use tower::{Layer, Service, service_fn};

use super::{layer, over_mock};
use crate::common::block_on;

const FRAMES: usize = 50_000;

/// A body of frames of one byte. Each one keeps a read buffer alive, as those of a server do.
struct Bytewise {
    left: usize,
    buffer: Bytes,
}

impl Bytewise {
    fn new() -> Self {
        Self { left: FRAMES, buffer: Bytes::new() }
    }
}

impl Body for Bytewise {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        if self.buffer.is_empty() {
            self.buffer = vec![b'x'; 64].into();
        }
        Poll::Ready(Some(Ok(Frame::data(self.buffer.split_to(1)))))
    }
}

#[test]
fn small_frames_take_no_more_memory_than_their_bytes() {
    let service = service_fn(async |request: Request<BufferedBody<Bytewise>>| {
        let size = request.body().size_hint().exact();
        assert_eq!(size, Some(FRAMES as u64));
        Ok::<_, Infallible>(Response::new(Bytewise::new()))
    });
    let layer = layer(over_mock().0).max_response_body(FRAMES);
    let mut service = layer.layer(service);
    let request = Request::post("/").header("authorization", "Bearer alice").header("idempotency-key", "key");
    let request = request.body(Bytewise::new()).unwrap();
    let info = allocation_counter::measure(|| {
        let response = block_on(service.call(request)).unwrap();
        assert_eq!(response.body().size_hint().exact(), Some(FRAMES as u64));
    });
    // The request, the response, its copies as text and as JSON, and room to grow.
    let bytes = u64::try_from(FRAMES).unwrap();
    assert!(info.bytes_max < 8 * bytes, "{} bytes for bodies of {bytes}", info.bytes_max);
}
