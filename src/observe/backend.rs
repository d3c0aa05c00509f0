//! A backend whose every operation is timed, and whose errors, grants and losses are told.

use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::time::Instant;

use limited_core::{
    Backend, BackendError, ClaimKey, ClaimRequest, Claimed, Completion, Counter, Generation, Hit,
    ImmediateBackend, Owner, Ownership, Record, Recorded, Tally, Timestamp,
};

#[cfg(feature = "tracing")]
use super::events;
#[cfg(feature = "metrics")]
use super::numbers;

/// The backend as a limiter holds it, watched.
pub(crate) struct Observed<B>(Arc<B>);

impl<B> Observed<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self(Arc::new(backend))
    }
}

impl<B> Clone for Observed<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Deref for Observed<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

/// What a backend is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Increment,
    IncrementSliding,
    Get,
    GetSliding,
    Reset,
    Claim,
    Finish,
    Renew,
    Release,
    Find,
    Forget,
}

impl Operation {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 11] = [
        Self::Increment,
        Self::IncrementSliding,
        Self::Get,
        Self::GetSliding,
        Self::Reset,
        Self::Claim,
        Self::Finish,
        Self::Renew,
        Self::Release,
        Self::Find,
        Self::Forget,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Increment => "increment",
            Self::IncrementSliding => "increment_sliding",
            Self::Get => "get",
            Self::GetSliding => "get_sliding",
            Self::Reset => "reset",
            Self::Claim => "claim",
            Self::Finish => "finish",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Find => "find",
            Self::Forget => "forget",
        }
    }
}

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

    fn watch_now<T>(self, ask: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
        #[cfg(feature = "tracing")]
        let _inside = events::call_span(&self).entered();
        let answer = ask();
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
impl<B: Backend> Backend for Observed<B> {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        Call::on(Operation::Increment, counter).watch(self.0.increment(counter, hit, now)).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        Call::on(Operation::Get, counter).watch(self.0.get(counter, now)).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        Call::on(Operation::Reset, counter).watch(self.0.reset(counter, generation, now)).await
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        let asked = self.0.increment_sliding(counter, hit, now);
        Call::on(Operation::IncrementSliding, counter).watch(asked).await
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        Call::on(Operation::GetSliding, counter).watch(self.0.get_sliding(counter, now)).await
    }

    fn increment_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        Call::on(Operation::Increment, counter).watch_at_once(|| self.0.increment_at_once(counter, hit, now))
    }

    fn increment_sliding_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        let call = Call::on(Operation::IncrementSliding, counter);
        call.watch_at_once(|| self.0.increment_sliding_at_once(counter, hit, now))
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError> {
        let answer = Call::about(Operation::Claim, key).watch(self.0.claim(key, request, now)).await;
        #[cfg(feature = "tracing")]
        events::claimed(key, &answer);
        answer
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<Recorded, BackendError> {
        let answer = Call::about(Operation::Finish, key).watch(self.0.finish(key, completion, now)).await;
        #[cfg(feature = "tracing")]
        events::finished(key, &answer);
        answer
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        let answer = Call::about(Operation::Renew, key).watch(self.0.renew(key, owner, until, now)).await;
        #[cfg(feature = "tracing")]
        events::renewed(key, &answer);
        answer
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        let answer = Call::about(Operation::Release, key).watch(self.0.release(key, owner, now)).await;
        #[cfg(feature = "tracing")]
        events::released(key, &answer);
        answer
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        Call::about(Operation::Find, key).watch(self.0.find(key, now)).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        let answer = Call::about(Operation::Forget, key).watch(self.0.forget(key, now)).await;
        #[cfg(feature = "tracing")]
        events::forgotten(key, &answer);
        answer
    }
}

#[deny(clippy::missing_trait_methods)]
impl<B: ImmediateBackend> ImmediateBackend for Observed<B> {
    fn increment_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        Call::on(Operation::Increment, counter).watch_now(|| self.0.increment_now(counter, hit, now))
    }

    fn get_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        Call::on(Operation::Get, counter).watch_now(|| self.0.get_now(counter, now))
    }

    fn reset_now(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        Call::on(Operation::Reset, counter).watch_now(|| self.0.reset_now(counter, generation, now))
    }

    fn increment_sliding_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        Call::on(Operation::IncrementSliding, counter)
            .watch_now(|| self.0.increment_sliding_now(counter, hit, now))
    }

    fn get_sliding_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        Call::on(Operation::GetSliding, counter).watch_now(|| self.0.get_sliding_now(counter, now))
    }
}
