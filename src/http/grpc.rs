//! Answers to gRPC calls, which tell of errors in a way of their own.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The status codes that are answered with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unavailable = 14,
}

/// The content type of a gRPC call: `application/grpc`, with `+proto` and the like, or `application/grpc-web`.
pub(super) fn call(parts: &Parts) -> Option<&HeaderValue> {
    let content_type = parts.headers.get(CONTENT_TYPE).filter(|_| parts.method == Method::POST)?;
    let after = content_type.as_bytes().strip_prefix(b"application/grpc")?;
    let is_grpc = matches!(after.first(), None | Some(b'+' | b';')) || after.starts_with(b"-web");
    is_grpc.then_some(content_type)
}

/// An answer without messages ("trailers-only"): status 200, and the status of the call among the headers.
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

/// When to try again, for the retries of gRPC clients (gRFC A6): milliseconds, rounded up; -1 for never.
pub(super) fn push_back(response: &mut Response<Bytes>, wait: Option<Duration>) {
    let value = match wait.map(|wait| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    {
        Some(milliseconds) => HeaderValue::from(milliseconds),
        None => HeaderValue::from_static("-1"),
    };
    response.headers_mut().insert(RETRY_PUSHBACK, value);
}

/// A `grpc-message`: printable ASCII, and everything else in percent-encoding.
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

    fn is_call(method: Method, content_type: &str) -> bool {
        let request =
            http::Request::builder().method(method).header(CONTENT_TYPE, content_type).body(()).unwrap();
        call(&request.into_parts().0).is_some()
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "application/grpc-web+proto",
        ] {
            assert!(is_call(Method::POST, content_type), "{content_type}");
        }
        for content_type in ["application/json", "application/grpcx", "text/plain", "application/grpc-"] {
            assert!(!is_call(Method::POST, content_type), "{content_type}");
        }
        assert!(!is_call(Method::GET, "application/grpc"));
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(percent_encoded("100% of \"é\"\n"), "100%25 of \"%C3%A9\"%0A");
    }
}
