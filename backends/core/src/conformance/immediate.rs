//! The operations of [`ImmediateBackend`] as a [`Backend`], so that the suite runs on them too.

use crate::{
    Backend, BackendError, ClaimKey, ClaimRequest, Claimed, Completion, Counter, Generation, Hit,
    ImmediateBackend, Owner, Ownership, Record, Recorded, Tally, Timestamp,
};

/// A backend whose every operation is the immediate one of the backend within, where there is one.
///
/// The suite asks by future. A backend that also answers at once runs it a second time in this wrapper:
///
/// ```
/// use limited_core::ImmediateBackend;
/// use limited_core::conformance::{Failures, Immediate, run};
///
/// fn both_ways<B: ImmediateBackend>(new: fn() -> B) -> Result<(), Failures> {
///     run(&new)?;
///     run(&|| Immediate(new()))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Immediate<B>(pub B);

// A default would ask the backend within for something else.
#[deny(clippy::missing_trait_methods)]
impl<B: ImmediateBackend> Backend for Immediate<B> {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.0.increment_now(counter, hit, now)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.0.get_now(counter, now)
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.reset_now(counter, generation, now)
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.0.increment_sliding_now(counter, hit, now)
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.0.get_sliding_now(counter, now)
    }

    fn increment_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        Some(self.0.increment_now(counter, hit, now))
    }

    fn increment_sliding_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        Some(self.0.increment_sliding_now(counter, hit, now))
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError> {
        self.0.claim(key, request, now).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<Recorded, BackendError> {
        self.0.finish(key, completion, now).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.0.renew(key, owner, until, now).await
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.0.release(key, owner, now).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        self.0.find(key, now).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.0.forget(key, now).await
    }
}
