//! A backend whose every operation is timed, and whose errors, grants and losses are told.

#[cfg(feature = "metrics")]
use std::time::Instant;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, LeaseStatus, Operation, Owner, Record, Timestamp, WindowId, async_trait,
};

use super::Instrumented;
#[cfg(feature = "tracing")]
use super::events;
#[cfg(feature = "metrics")]
use super::numbers;

/// One call of the backend.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "what is counted has no key"))]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) namespace: &'a str,
    pub(crate) key: &'a str,
    #[cfg(feature = "metrics")]
    pub(crate) started: Instant,
}

impl<'a> Call<'a> {
    fn new(operation: Operation, namespace: &'a str, key: &'a str) -> Self {
        Self {
            operation,
            namespace,
            key,
            #[cfg(feature = "metrics")]
            started: Instant::now(),
        }
    }

    fn on(operation: Operation, counter: &'a Counter<'_>) -> Self {
        Self::new(operation, counter.namespace(), counter.key())
    }

    fn about(operation: Operation, key: &'a ClaimKey<'_>) -> Self {
        Self::new(operation, key.namespace(), key.key())
    }

    async fn watch<T>(
        self,
        asked: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        #[cfg(feature = "tracing")]
        let asked = tracing::Instrument::instrument(asked, events::call_span(&self));
        let answer = asked.await;
        self.answered(&answer);
        answer
    }

    /// Of what has to be asked in full there is nothing to tell yet.
    fn watch_at_once<T>(
        self,
        ask: impl FnOnce() -> Option<Result<T, BackendError>>,
    ) -> Option<Result<T, BackendError>> {
        let answer = ask()?;
        #[cfg(feature = "tracing")]
        let _inside = events::call_span(&self).entered();
        self.answered(&answer);
        Some(answer)
    }

    fn answered<T>(&self, answer: &Result<T, BackendError>) {
        let error = answer.as_ref().err();
        #[cfg(feature = "metrics")]
        numbers::answered(self, error);
        #[cfg(feature = "tracing")]
        events::answered(self, error);
    }
}

// An operation that was left out would be neither counted nor, where it has a default, the backend's own.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend> Backend for Instrumented<B> {
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState, BackendError>> {
        Call::on(Operation::Increment, counter).watch_at_once(|| B::try_increment(self, counter, hit, now))
    }

    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        Call::on(Operation::Increment, counter).watch(B::increment(self, counter, hit, now)).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        Call::on(Operation::Get, counter).watch(B::get(self, counter, now)).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        Call::on(Operation::Reset, counter).watch(B::reset(self, counter, window_id, now)).await
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        let answer = Call::about(Operation::Claim, key).watch(B::claim(self, key, request, now)).await;
        #[cfg(feature = "tracing")]
        events::claimed(key, &answer);
        answer
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        let answer = Call::about(Operation::Finish, key).watch(B::finish(self, key, completion, now)).await;
        #[cfg(feature = "tracing")]
        events::finished(key, &answer);
        answer
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let answer =
            Call::about(Operation::Renew, key).watch(B::renew(self, key, owner, expires_at, now)).await;
        #[cfg(feature = "tracing")]
        events::renewed(key, &answer);
        answer
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let answer = Call::about(Operation::Release, key).watch(B::release(self, key, owner, now)).await;
        #[cfg(feature = "tracing")]
        events::released(key, &answer);
        answer
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        Call::about(Operation::Find, key).watch(B::find(self, key, now)).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        let answer = Call::about(Operation::Forget, key).watch(B::forget(self, key, now)).await;
        #[cfg(feature = "tracing")]
        events::forgotten(key, &answer);
        answer
    }
}

impl<B: Immediate> Immediate for Instrumented<B> {}
