//! Responses to attempts that may not be made.

use std::time::Duration;

use http::StatusCode;
use limited::{AttemptError, BackendError, LimitedAttempt, ManualClock};
use limited_mock::MockBackend;
use pollster::block_on;

use crate::received::Received;

fn received(error: &AttemptError) -> Received {
    block_on(Received::from(error.to_response()))
}

#[test]
fn attempt_above_the_maximum_is_429_with_the_time_to_wait() {
    let clock = ManualClock::new();
    let attempts = LimitedAttempt::new(MockBackend::new(), 1, Duration::from_secs(60)).clock(clock.clone());
    attempts.attempt_now("alice").unwrap();
    clock.advance(Duration::from_millis(12_300));
    let response = received(&attempts.attempt_now("alice").unwrap_err());
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.header("retry-after"), Some("48"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        response.text(),
        r#"{"title":"Too Many Requests","status":429,"detail":"too many attempts; retry in 48 s"}"#
    );
}

#[test]
fn wait_of_an_attempt_fits_into_a_timer_of_32_bits() {
    let month = Duration::from_secs(30 * 86_400);
    for (wait, seconds) in [(month, "2147483"), (Duration::ZERO, "1"), (Duration::from_nanos(1), "1")] {
        let response = received(&AttemptError::TooManyAttempts { retry_after: wait });
        assert_eq!(response.header("retry-after"), Some(seconds));
    }
}

#[test]
fn other_errors_of_attempts_are_no_refusals_and_leak_nothing() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 1, Duration::from_secs(60));
    mock.fail_next(BackendError::unavailable("table 7 is on fire"));
    let failed = attempts.attempt_now("alice").unwrap_err();
    let invalid_key = attempts.attempt_now("").unwrap_err();
    let invalid_length = LimitedAttempt::new(mock, 1, Duration::ZERO).attempt_now("alice").unwrap_err();
    for (error, status, detail) in [
        (failed, StatusCode::SERVICE_UNAVAILABLE, "attempts temporarily unavailable"),
        (
            invalid_key,
            StatusCode::BAD_REQUEST,
            "the value that identifies these attempts is empty or too long",
        ),
        (
            invalid_length,
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server is misconfigured; the request is not at fault",
        ),
    ] {
        let response = received(&error);
        assert_eq!(response.status, status);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("retry-after"), None);
        assert!(response.text().contains(&format!("\"detail\":\"{detail}\"")), "{response:?}");
    }
}
