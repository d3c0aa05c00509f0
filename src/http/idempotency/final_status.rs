//! Which statuses a retry would get again.

use http::StatusCode;

/// Returns whether a status is final: a retry of the same request would get it again.
///
/// These are not: 1xx, 307, 401, 404 to 408, 411, 412, 415, 417, 421, 423, 425, 426, 428, 429, 431
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
/// The statuses are those of RFC 9110, RFC 4918 (423), RFC 6585 (428, 429, 431) and RFC 8470 (425).
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
            | 406 | 411 | 412 | 415 | 417 | 426 | 428 | 431
            // The time.
            | 408 | 423 | 425 | 429
        )
}
