//! The smallest executor: for futures that are ready when they are first polled.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The output of a future that never waits.
///
/// # Panics
///
/// If it waits.
#[inline]
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a limiter in memory waited"),
    }
}
