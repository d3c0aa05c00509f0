//! Calls without a runtime, over backends whose futures are ready at their first poll.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use limited_core::BackendError;

/// Polls a future over an [`Immediate`](crate::Immediate) backend once, and returns its output.
///
/// # Errors
///
/// [`BackendError::TimedOut`] if the future is pending, because the backend broke its promise. The
/// hit may have been counted.
pub(crate) fn poll_once<T, E: From<BackendError>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => Err(BackendError::timed_out(
            "the backend is marked `Immediate`, but had to wait; call the async method instead",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn ready_future_returns_its_output() {
        assert!(matches!(poll_once(ready(Ok::<_, BackendError>(7))), Ok(7)));
    }

    #[test]
    fn pending_future_is_an_error() {
        let result = poll_once(pending::<Result<(), BackendError>>());
        assert!(matches!(result, Err(BackendError::TimedOut(_))), "{result:?}");
    }
}
