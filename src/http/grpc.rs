//! Responses to gRPC calls, which report errors in headers and not by HTTP status.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The gRPC status codes that a layer responds with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Internal = 13,
    Unavailable = 14,
}

/// Returns the content type of a gRPC call: `application/grpc`, `application/grpc+proto`,
/// `application/grpc-web` and the like. Returns `None` if the request is not a gRPC call.
pub(super) fn content_type(parts: &Parts) -> Option<&HeaderValue> {
    let content_type = parts.headers.get(CONTENT_TYPE).filter(|_| parts.method == Method::POST)?;
    let suffix = content_type.as_bytes().strip_prefix(b"application/grpc")?;
    let is_grpc = matches!(suffix.first(), None | Some(b'+' | b';')) || suffix.starts_with(b"-web");
    is_grpc.then_some(content_type)
}

/// Returns a response without messages ("trailers-only"): HTTP status 200, and the gRPC status in a
/// header.
pub(super) fn trailers_only(content_type: &HeaderValue, code: Code, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.clone());
    headers.insert(STATUS, HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// Adds the delay before a gRPC client retries (gRFC A6): milliseconds, rounded up, or -1 for
/// never.
pub(super) fn retry_pushback(response: &mut Response<Bytes>, wait: Option<Duration>) {
    response.headers_mut().insert(RETRY_PUSHBACK, pushback_millis(wait).into());
}

/// Returns the delay as the 32 bits that clients read. A longer delay is -1, because a number that
/// overflows makes grpc-js 1.14.7 retry immediately. It is never 0, which grpcio 1.85.3 reads as
/// never.
fn pushback_millis(wait: Option<Duration>) -> i32 {
    let millis = wait.map(|wait| wait.as_nanos().div_ceil(1_000_000).max(1));
    millis.and_then(|millis| millis.try_into().ok()).unwrap_or(-1)
}

/// Returns the value of `grpc-message`: printable ASCII, with everything else percent-encoded.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_grpc(method: Method, value: &str) -> bool {
        let request = http::Request::builder().method(method).header(CONTENT_TYPE, value).body(()).unwrap();
        content_type(&request.into_parts().0).is_some()
    }

    #[test]
    fn grpc_call_is_recognized_by_its_content_type() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "application/grpc-web+proto",
        ] {
            assert!(is_grpc(Method::POST, content_type), "{content_type}");
        }
        for content_type in ["application/json", "application/grpcx", "text/plain", "application/grpc-"] {
            assert!(!is_grpc(Method::POST, content_type), "{content_type}");
        }
        assert!(!is_grpc(Method::GET, "application/grpc"));
    }

    #[test]
    fn pushback_beyond_32_bits_is_never_and_it_is_at_least_1() {
        let nanosecond = Duration::from_nanos(1);
        let longest = Duration::from_millis(0x7FFF_FFFF);
        for (wait, expected) in [
            (None, -1),
            (Some(Duration::ZERO), 1),
            (Some(nanosecond), 1),
            (Some(Duration::from_millis(1) + nanosecond), 2),
            (Some(longest - nanosecond), i32::MAX),
            (Some(longest), i32::MAX),
            (Some(longest + nanosecond), -1),
            (Some(Duration::MAX), -1),
        ] {
            assert_eq!(pushback_millis(wait), expected, "{wait:?}");
        }
    }

    #[test]
    fn message_is_percent_encoded() {
        assert_eq!(percent_encoded("100% of \"é\"\n"), "100%25 of \"%C3%A9\"%0A");
    }
}
