//! A backend that is checked against a model and can be stopped between any two steps.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use limited::ManualClock;
use limited::backend::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, LeaseStatus, Owner, Record, Result, Timestamp, WindowId, async_trait,
};

use super::claim_model::Model;

/// A backend for tests of claims. Each claim operation is pending once before it runs, and once
/// after it. Each result is compared with the result of a simple model. Responses can be lost.
pub(crate) struct Stepping<B> {
    pub(crate) backend: B,
    model: Mutex<Model>,
    lost: Mutex<Vec<bool>>,
}

impl<B> Stepping<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self { backend, model: Mutex::default(), lost: Mutex::default() }
    }

    /// Sets which of the next operations lose their responses. The last entry is for the next
    /// operation.
    pub(crate) fn lose_responses(&self, lost: Vec<bool>) {
        *self.lost.lock().unwrap() = lost;
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    async fn respond<T>(&self, result: Result<T>) -> Result<T> {
        let is_lost = self.lost.lock().unwrap().pop().unwrap_or_default();
        step().await;
        if is_lost { Err(BackendError::timed_out("the test loses this response")) } else { result }
    }
}

/// Is pending once, and ready when it is polled again.
pub(crate) async fn step() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// A future that a test polls by hand, and can drop at any time.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls once, without a waker.
pub(crate) fn poll<T>(future: &mut Running<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future to its end, and advances the clock by `pace` after each poll.
pub(crate) fn drive<T>(clock: &ManualClock, pace: Duration, future: impl Future<Output = T>) -> T {
    let mut future: Running<'_, T> = Box::pin(future);
    for _ in 0..100_000 {
        if let Poll::Ready(output) = poll(&mut future) {
            return output;
        }
        clock.advance(pace);
    }
    panic!("the future is still pending after 100,000 polls");
}

#[async_trait]
impl<B: Backend> Backend for Stepping<B> {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.backend.increment(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.backend.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.backend.reset(counter, window_id, now).await
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        step().await;
        let result = self.backend.claim(key, request, now).await;
        let returned = result.as_ref().unwrap();
        self.model().note_time(key, now, matches!(returned, Acquisition::Acquired(_)));
        self.model().claim(key, request, now, returned);
        self.respond(result).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        step().await;
        let result = self.backend.finish(key, completion, now).await;
        let returned = result.as_ref().unwrap();
        self.model().note_time(key, now, *returned == FinishResult::Lost(None));
        assert_eq!(*returned, self.model().finish(key, completion, now));
        self.respond(result).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        step().await;
        let result = self.backend.renew(key, owner, expires_at, now).await;
        let returned = result.as_ref().unwrap();
        self.model().note_time(key, now, *returned == LeaseStatus::Lost(None));
        assert_eq!(*returned, self.model().renew(key, owner, expires_at, now));
        self.respond(result).await
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        step().await;
        let result = self.backend.release(key, owner, now).await;
        let returned = result.as_ref().unwrap();
        self.model().note_time(key, now, *returned == LeaseStatus::Lost(None));
        let (expected, is_repeated) = self.model().release(key, owner, now);
        // A repeated release may find no record.
        assert!(
            *returned == expected || is_repeated && *returned == LeaseStatus::Lost(None),
            "returned {returned:?}, expected {expected:?}"
        );
        self.respond(result).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        step().await;
        let result = self.backend.find(key, now).await;
        let returned = result.as_ref().unwrap();
        self.model().note_time(key, now, returned.is_none());
        assert_eq!(*returned, self.model().find(key, now));
        self.respond(result).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        step().await;
        let result = self.backend.forget(key, now).await;
        self.model().note_time(key, now, true);
        self.model().forget(key);
        self.respond(result).await
    }
}
