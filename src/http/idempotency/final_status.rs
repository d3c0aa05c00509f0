//! Which statuses a retry would get again.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Returns whether a status is final: a retry of the same request would get it again.
///
/// These are not: 1xx, 307, 401, 404 to 408, 411, 412, 415 to 417, 421, 423 to 426, 428, 429, 431
/// and 5xx. They depend on routes, credentials, headers, the time or a failure. All of these may
/// change before the retry. By default,
/// [`IdempotencyLayer`](super::IdempotencyLayer#which-responses-are-stored) stores the responses
/// whose status is final.
///
/// Use it to extend the default of [`store_if`](super::IdempotencyLayer::store_if).
///
/// ```
/// use http::StatusCode;
/// use limited::http::is_final;
///
/// assert!(is_final(StatusCode::CREATED) && is_final(StatusCode::UNPROCESSABLE_ENTITY));
/// assert!(!is_final(StatusCode::NOT_FOUND) && !is_final(StatusCode::BAD_GATEWAY));
/// ```
///
/// The statuses are those of RFC 9110, RFC 4918 (423, 424), RFC 6585 (428, 429, 431) and RFC 8470
/// (425).
pub fn is_final(status: StatusCode) -> bool {
    !status.is_informational()
        && !status.is_server_error()
        && !matches!(
            status.as_u16(),
            // Credentials.
            401 | 407
            // Routes.
            | 307 | 404 | 405 | 421
            // Headers.
            | 406 | 411 | 412 | 415 | 416 | 417 | 426 | 428 | 431
            // The time.
            | 408 | 423 | 425 | 429
            // The failure of another request.
            | 424
        )
}

/// Returns whether the service asks the client to send the request again: 4xx with `Retry-After`.
///
/// Such a response is never stored, as the 409 of a service that has a layer like this one. A
/// client that follows it would get the stored response for ever.
pub(super) fn asks_for_retry(parts: &Parts) -> bool {
    parts.status.is_client_error() && parts.headers.contains_key(RETRY_AFTER)
}

/// Returns the status that decides whether a response is stored. `None` if it is a gRPC response
/// whose status follows in the trailers.
///
/// The HTTP status of a gRPC response is 200 even if the call failed. It stands for the HTTP status
/// of its code then.
pub(super) fn decisive_status(parts: &Parts, trailers: Option<&HeaderMap>) -> Option<StatusCode> {
    let content_type = parts.headers.get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        return Some(parts.status);
    }
    let code = parts.headers.get(GRPC_STATUS).or_else(|| trailers?.get(GRPC_STATUS))?;
    Some(code.to_str().map_or(StatusCode::INTERNAL_SERVER_ERROR, http_status))
}

/// Returns the HTTP status of a gRPC status code, according to `google/rpc/code.proto`, apart from
/// two codes. A cancelled call has no registered one, and stands for 408. An aborted call stands
/// for 503 and not for 409, because it may succeed if it is repeated.
fn http_status(grpc_code: &str) -> StatusCode {
    match grpc_code {
        "0" => StatusCode::OK,
        "1" => StatusCode::REQUEST_TIMEOUT,
        "3" | "9" | "11" => StatusCode::BAD_REQUEST,
        "4" => StatusCode::GATEWAY_TIMEOUT,
        "5" => StatusCode::NOT_FOUND,
        "6" => StatusCode::CONFLICT,
        "7" => StatusCode::FORBIDDEN,
        "8" => StatusCode::TOO_MANY_REQUESTS,
        "12" => StatusCode::NOT_IMPLEMENTED,
        "10" | "14" => StatusCode::SERVICE_UNAVAILABLE,
        "16" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
