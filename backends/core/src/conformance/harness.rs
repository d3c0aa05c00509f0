//! How the suite creates a backend, and how it runs the futures of the backend.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::{Backend, Immediate, MAX_CLOCK_SKEW};

/// Creates backends for the suite, and runs their futures.
///
/// A function or closure that returns a backend is a harness. Implement the trait for a backend
/// that needs a runtime, that can lose a response on purpose, or that has another maximum clock
/// skew:
///
/// ```
/// use std::future::Future;
/// use limited_core::conformance::Harness;
/// # use limited_core::{Backend, BackendError, Counter, WindowId, Hit, CounterState, Timestamp};
/// # struct Runtime;
/// # impl Runtime {
/// #     fn block_on<F: Future>(&self, future: F) -> F::Output { pollster::block_on(future) }
/// # }
/// # struct Remote;
/// # impl Remote {
/// #     async fn connect() -> Self { Self }
/// #     fn lose_next_response(&self) {}
/// # }
/// # #[limited_core::async_trait]
/// # impl Backend for Remote {
/// #     async fn increment(
/// #         &self, _: &Counter<'_>, _: &Hit<'_>, _: Timestamp,
/// #     ) -> Result<CounterState, BackendError> {
/// #         Err(BackendError::unsupported("an example"))
/// #     }
/// #     async fn get(
/// #         &self, _: &Counter<'_>, _: Timestamp,
/// #     ) -> Result<CounterState, BackendError> {
/// #         Err(BackendError::unsupported("an example"))
/// #     }
/// #     async fn reset(
/// #         &self, _: &Counter<'_>, _: Option<WindowId>, _: Timestamp,
/// #     ) -> Result<(), BackendError> {
/// #         Err(BackendError::unsupported("an example"))
/// #     }
/// # }
///
/// struct OnRuntime(Runtime);
///
/// impl Harness for OnRuntime {
///     type Backend = Remote;
///
///     fn backend(&self) -> Remote {
///         self.block_on(Remote::connect())
///     }
///
///     fn block_on<F: Future>(&self, future: F) -> F::Output {
///         self.0.block_on(future)
///     }
///
///     fn lose_next_response(&self, backend: &Remote) -> bool {
///         backend.lose_next_response();
///         true
///     }
/// }
/// # assert!(limited_core::conformance::run(&OnRuntime(Runtime)).is_err());
/// ```
pub trait Harness: Sync {
    /// The backend under test.
    type Backend: Backend;

    /// Returns a backend whose state no other program uses: an empty one, or one with its own table
    /// or prefix on a shared server. Every check calls this, some of them several times.
    ///
    /// It may return the same backend each time, because no two checks share a counter or a claim.
    /// The exception is a backend that forgets by the latest time that it has seen for any key. If
    /// one check has used the year 2554, the counters that another check creates in 1970 have
    /// expired.
    fn backend(&self) -> Self::Backend;

    /// Runs a future to completion on the calling thread. Many threads call this in parallel.
    ///
    /// Default: parks the thread until the future is woken. A backend that needs a runtime
    /// overrides this; on tokio, with `Handle::block_on` of a multi-threaded runtime.
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(future)
    }

    /// Makes `backend` lose the response of its next write, *below the level at which it repeats
    /// writes*: the write is applied, but its response never arrives.
    ///
    /// Returns `false` (the default) if the backend cannot lose a response. The checks of lost
    /// responses then pass, and the suite reports that they were [skipped](super::Skip).
    fn lose_next_response(&self, backend: &Self::Backend) -> bool {
        let _ = backend;
        false
    }

    /// Returns how many counters and claims `backend` stores now, also expired ones.
    ///
    /// Returns `None` (the default) if the harness cannot count them, or if the store removes
    /// expired state by its own clock, such as a database with a time to live. The checks of
    /// removal then pass. A harness that counts returns a new backend each time, because other
    /// checks would add to the number.
    fn stored_entries(&self, backend: &Self::Backend) -> Option<usize> {
        let _ = backend;
        None
    }

    /// Returns whether [`increment_all`](Backend::increment_all) is one atomic step for every other
    /// caller.
    ///
    /// Returns `false` (the default) for a backend that counts one hit after the other and refunds,
    /// as the default of the trait does. The suite then does not test what other callers see in
    /// between.
    fn increments_all_at_once(&self) -> bool {
        false
    }

    /// Returns how far a clock may jump back before the backend may have forgotten state. Default:
    /// [`MAX_CLOCK_SKEW`].
    fn max_clock_skew(&self) -> Duration {
        MAX_CLOCK_SKEW
    }
}

impl<B, F> Harness for F
where
    B: Backend,
    F: Fn() -> B + Sync,
{
    type Backend = B;

    fn backend(&self) -> B {
        self()
    }
}

/// The harness of an [`Immediate`] backend: polls each future once, and fails the check if it is
/// pending.
///
/// ```
/// use limited_core::Immediate;
/// use limited_core::conformance::{Failures, PollOnce, Report, run};
///
/// fn check<B: Immediate>(new: fn() -> B) -> Result<Report, Failures> {
///     run(&PollOnce(new))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PollOnce<H>(pub H);

impl<H: Harness<Backend: Immediate>> Harness for PollOnce<H> {
    type Backend = H::Backend;

    fn backend(&self) -> H::Backend {
        self.0.backend()
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => {
                panic!("an `Immediate` backend returned a future that is pending at its first poll")
            }
        }
    }

    fn lose_next_response(&self, backend: &H::Backend) -> bool {
        self.0.lose_next_response(backend)
    }

    fn stored_entries(&self, backend: &H::Backend) -> Option<usize> {
        self.0.stored_entries(backend)
    }

    fn increments_all_at_once(&self) -> bool {
        self.0.increments_all_at_once()
    }

    fn max_clock_skew(&self) -> Duration {
        self.0.max_clock_skew()
    }
}

struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // The future may park this thread too, so an unpark alone does not mean that it was woken.
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn future_woken_by_another_thread_runs_to_completion() {
        let woken = Arc::new(AtomicBool::new(false));
        let seen = poll_fn(|context| {
            if woken.load(Ordering::Acquire) {
                return Poll::Ready("woken");
            }
            let (woken, waker) = (Arc::clone(&woken), context.waker().clone());
            thread::spawn(move || {
                woken.store(true, Ordering::Release);
                waker.wake();
            });
            Poll::Pending
        });
        assert_eq!(block_on(seen), "woken");
    }
}
