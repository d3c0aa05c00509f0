//! Backends that are held against a model, and that can be stopped between any two steps.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use limited::ManualClock;
use limited::backend::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, LeaseStatus, Owner, Record, Timestamp, WindowId, async_trait,
};

use super::claim_model::Model;

/// A backend whose every claim operation waits once before it is carried out, and once after; whose answers are held
/// against a plain model; and whose answers get lost when told so.
pub(crate) struct Stepping<B> {
    pub(crate) backend: B,
    model: Mutex<Model>,
    lose: Mutex<Vec<bool>>,
}

impl<B> Stepping<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self { backend, model: Mutex::default(), lose: Mutex::default() }
    }

    /// Whether each of the operations to come loses its answer, the last one first.
    pub(crate) fn lose_answers(&self, lose: Vec<bool>) {
        *self.lose.lock().unwrap() = lose;
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    async fn answered<T>(&self, answer: Result<T, BackendError>) -> Result<T, BackendError> {
        let is_lost = self.lose.lock().unwrap().pop().unwrap_or_default();
        step().await;
        if is_lost { Err(BackendError::timed_out("the answer is lost, as the test wants")) } else { answer }
    }
}

/// Waits until it is polled once more.
pub(crate) async fn step() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Something under way, to be polled by hand, and dropped at will.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls once; whoever polls by hand needs no waker.
pub(crate) fn poll<T>(future: &mut Running<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs something to its end, while the clock moves on by `pace` from one poll to the next.
pub(crate) fn drive<T>(clock: &ManualClock, pace: Duration, future: impl Future<Output = T>) -> T {
    let mut future: Running<'_, T> = Box::pin(future);
    for _ in 0..100_000 {
        if let Poll::Ready(output) = poll(&mut future) {
            return output;
        }
        clock.advance(pace);
    }
    panic!("it does not come to an end");
}

#[async_trait]
impl<B: Backend> Backend for Stepping<B> {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.backend.increment(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.backend.get(counter, now).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.backend.reset(counter, window_id, now).await
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        step().await;
        let answer = self.backend.claim(key, request, now).await;
        let told = answer.as_ref().unwrap();
        self.model().hear(key, now, matches!(told, Acquisition::Acquired(_)));
        self.model().claim(key, request, now, told);
        self.answered(answer).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        step().await;
        let answer = self.backend.finish(key, completion, now).await;
        let told = answer.as_ref().unwrap();
        self.model().hear(key, now, *told == FinishResult::Lost(None));
        assert_eq!(*told, self.model().finish(key, completion, now));
        self.answered(answer).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        step().await;
        let answer = self.backend.renew(key, owner, expires_at, now).await;
        let told = answer.as_ref().unwrap();
        self.model().hear(key, now, *told == LeaseStatus::Lost(None));
        assert_eq!(*told, self.model().renew(key, owner, expires_at, now));
        self.answered(answer).await
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        step().await;
        let answer = self.backend.release(key, owner, now).await;
        let told = answer.as_ref().unwrap();
        self.model().hear(key, now, *told == LeaseStatus::Lost(None));
        let (expected, is_repeated) = self.model().release(key, owner, now);
        // A repeated release may find nothing any more.
        assert!(
            *told == expected || is_repeated && *told == LeaseStatus::Lost(None),
            "{told:?}, {expected:?}"
        );
        self.answered(answer).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        step().await;
        let answer = self.backend.find(key, now).await;
        let told = answer.as_ref().unwrap();
        self.model().hear(key, now, told.is_none());
        assert_eq!(*told, self.model().find(key, now));
        self.answered(answer).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        step().await;
        let answer = self.backend.forget(key, now).await;
        self.model().hear(key, now, true);
        self.model().forget(key);
        self.answered(answer).await
    }
}
