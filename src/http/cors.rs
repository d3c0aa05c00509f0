//! Cross-origin requests of browsers (CORS).

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, Method};

/// The headers that the layers write and that a script in a browser may want to read.
///
/// A browser hides them from scripts of other origins, unless the response lists them in
/// `Access-Control-Expose-Headers`. Pass this list to the CORS layer, such as
/// `CorsLayer::expose_headers` of tower-http. Headers that a response lacks do no harm there.
///
/// The headers of [dimensions](super::RateLimitLayer::dimension_headers), such as
/// `x-ratelimit-remaining-tokens`, have names of your own and are not listed.
/// [`exposed_headers`](super::RateLimitLayer::exposed_headers) of the layer lists them.
///
/// ```
/// use limited::http::EXPOSED_HEADERS;
///
/// let value = EXPOSED_HEADERS.each_ref().map(|name| name.as_str()).join(", ");
/// assert!(value.starts_with("ratelimit, ratelimit-policy, retry-after, "));
/// ```
pub const EXPOSED_HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    RETRY_AFTER,
    HeaderName::from_static("idempotency-replayed"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Returns whether a browser asks for permission to send a request of another origin.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preflight_is_an_options_request_with_both_headers() {
        let is = |method: Method, names: &[HeaderName]| {
            let mut request = http::Request::builder().method(method);
            for name in names {
                request = request.header(name, "x");
            }
            is_preflight(&request.body(()).unwrap().into_parts().0)
        };
        assert!(is(Method::OPTIONS, &[ORIGIN, ACCESS_CONTROL_REQUEST_METHOD]));
        assert!(!is(Method::OPTIONS, &[ORIGIN]));
        assert!(!is(Method::OPTIONS, &[ACCESS_CONTROL_REQUEST_METHOD]));
        assert!(!is(Method::POST, &[ORIGIN, ACCESS_CONTROL_REQUEST_METHOD]));
    }
}
