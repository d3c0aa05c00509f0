//! How the suite gets at a backend, and how it runs the backend's futures.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::{Backend, Immediate, MAX_CLOCK_SKEW};

/// How the suite gets at a backend.
///
/// A function or closure that returns a backend is one. A type of its own is for a backend that needs a runtime, whose
/// answers can be lost on purpose, or whose allowed skew is another one:
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
/// #     async fn increment(&self, _: &Counter<'_>, _: &Hit<'_>, _: Timestamp) -> Result<CounterState, BackendError> {
/// #         Err(BackendError::unsupported("an example"))
/// #     }
/// #     async fn get(&self, _: &Counter<'_>, _: Timestamp) -> Result<CounterState, BackendError> {
/// #         Err(BackendError::unsupported("an example"))
/// #     }
/// #     async fn reset(&self, _: &Counter<'_>, _: Option<WindowId>, _: Timestamp) -> Result<(), BackendError> {
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
    /// What is tested.
    type Backend: Backend;

    /// A backend whose state nobody else uses: an empty one, or one on a shared server with a table or prefix of its
    /// own. Asked for by every check, by some more than once.
    ///
    /// It may be the same each time, since no two checks share a counter or a claim, unless it forgets by the latest time that it
    /// was told for any key: in 2554, what another check does in 1970 is long past.
    fn backend(&self) -> Self::Backend;

    /// Runs a future to its end on the calling thread. Called from many threads at once.
    ///
    /// The default parks the thread until the future is woken. A backend that needs a runtime overrides it, on tokio
    /// with `Handle::block_on` of a multi-threaded runtime.
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(future)
    }

    /// Makes `backend` lose the answer of its next write, *below the level at which it repeats writes*: the write is
    /// applied, but its answer never comes.
    ///
    /// `false`, the default, says that this backend has no answer to lose; the checks of lost answers then pass.
    fn lose_next_response(&self, backend: &Self::Backend) -> bool {
        let _ = backend;
        false
    }

    /// How far a clock may jump back before the backend may have forgotten what it would need to know.
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

/// The harness of an [`Immediate`] backend: polls each future once, and fails the check if it is pending.
///
/// ```
/// use limited_core::Immediate;
/// use limited_core::conformance::{Failures, PollOnce, run};
///
/// fn check<B: Immediate>(new: fn() -> B) -> Result<(), Failures> {
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
        // The future may park this thread itself, so that being unparked alone says nothing.
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
    fn a_future_that_is_woken_from_another_thread_runs_to_its_end() {
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
