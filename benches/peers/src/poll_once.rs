//! The smallest executor.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Polls a future once and returns its output.
///
/// # Panics
///
/// Panics if the future is pending.
#[inline]
pub fn poll_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future of an in-memory limiter was pending"),
    }
}
