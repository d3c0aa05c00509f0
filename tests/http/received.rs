//! Responses as a client receives them.

use std::future::poll_fn;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};

/// A response that was read to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) is_cut_off: bool,
    /// Whether the body reports its end after the last frame.
    pub(crate) is_end_stream: bool,
}

impl Received {
    /// Reads a response to its end, and checks the size that its body announced.
    pub(crate) async fn from<B: Body<Data = Bytes>>(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut body = Box::pin(body);
        let announced = body.size_hint().exact();
        let mut received = Self {
            status: parts.status,
            headers: parts.headers,
            body: Vec::new(),
            trailers: None,
            is_cut_off: false,
            is_end_stream: false,
        };
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => received.body.extend(data),
                Ok(Err(frame)) => received.trailers = frame.into_trailers().ok(),
                Err(_) => received.is_cut_off = true,
            }
        }
        received.is_end_stream = body.is_end_stream();
        assert!(announced.is_none_or(|announced| announced == received.body.len() as u64));
        received
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// Returns the only value of a header, if there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} was sent more than once");
        value
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// Returns the `reason` of a problem, which no cache may store.
    pub(crate) fn reason(&self) -> String {
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["reason"].as_str().unwrap().to_owned()
    }
}
