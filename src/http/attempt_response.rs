//! Responses to attempts that may not be made.

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::ResponseBody;
use super::problem_details::ProblemDetails;
use super::retry_after::{retry_after_seconds, retry_after_seconds_up_to};
use crate::AttemptError;

impl AttemptError {
    /// Returns the response for a client that may not attempt.
    ///
    /// | error | status | |
    /// |---|---|---|
    /// | [`TooManyAttempts`](Self::TooManyAttempts) | 429 | with `Retry-After`: seconds, rounded up, at least 1 and at most 2,147,483 |
    /// | [`InvalidKey`](Self::InvalidKey) | 400 | |
    /// | [`InvalidWindowLength`](Self::InvalidWindowLength) | 500 | |
    /// | [`Backend`](Self::Backend) | 503 | |
    ///
    /// The body is `application/problem+json` (RFC 9457). It contains neither the key nor the error
    /// of the backend. Every response has `Cache-Control: no-store`. An axum handler can return the
    /// response as it is: its body implements [`Body`](http_body::Body).
    ///
    /// ```
    /// use std::time::Duration;
    /// use limited::http::ResponseBody;
    /// use limited::{AttemptError, LimitedAttempt, memory::MemoryBackend};
    ///
    /// async fn send_code(
    ///     attempts: &LimitedAttempt<MemoryBackend>,
    ///     phone: &str,
    /// ) -> Result<&'static str, http::Response<ResponseBody>> {
    ///     attempts.attempt(("code", phone)).await.map_err(|error| error.to_response())?;
    ///     Ok("sent")
    /// }
    ///
    /// # pollster::block_on(async {
    /// let attempts = LimitedAttempt::new(MemoryBackend::new(), 1, Duration::from_secs(60));
    /// assert_eq!(send_code(&attempts, "+1 555 0100").await.unwrap(), "sent");
    /// let refused = send_code(&attempts, "+1 555 0100").await.unwrap_err();
    /// assert_eq!(refused.status(), 429);
    /// assert_eq!(refused.headers()["retry-after"], "60");
    /// # });
    /// ```
    ///
    /// The example `login` in the repository limits logins by account and by address.
    pub fn to_response(&self) -> Response<ResponseBody> {
        let mut response = self.problem().into_response();
        if let Some(wait) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, retry_after_seconds(wait).into());
        }
        response.map(ResponseBody::full)
    }

    fn problem(&self) -> ProblemDetails {
        match self {
            Self::TooManyAttempts { retry_after } => {
                // The whole wait, also if `Retry-After` is shorter: this text is for people.
                let seconds = retry_after_seconds_up_to(*retry_after, u64::MAX);
                let detail = format!("too many attempts; retry in {seconds} s");
                ProblemDetails::new(StatusCode::TOO_MANY_REQUESTS, detail)
            }
            Self::InvalidKey(_) => ProblemDetails::new(
                StatusCode::BAD_REQUEST,
                "the value that identifies these attempts is empty or too long",
            ),
            Self::InvalidWindowLength(_) => ProblemDetails::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server is misconfigured; the request is not at fault",
            ),
            // The backend's error may contain internals, so the client does not get it.
            Self::Backend(_) => {
                ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "attempts temporarily unavailable")
            }
        }
    }
}
