//! What a backend answers at once, where it does, so that the suite runs on that too.

use crate::{
    Backend, BackendError, ClaimKey, ClaimRequest, Claimed, Completion, Counter, Generation, Hit, Owner,
    Ownership, Record, Recorded, Tally, Timestamp,
};

/// A backend that is asked [at once](Backend::increment_at_once) first, and waited for where that tells nothing: as a
/// limiter asks.
///
/// The suite asks by future. A backend that also answers at once runs it a second time in this wrapper:
///
/// ```
/// use limited_core::Backend;
/// use limited_core::conformance::{AtOnce, Failures, run};
///
/// fn both_ways<B: Backend>(new: fn() -> B) -> Result<(), Failures> {
///     run(&new)?;
///     run(&|| AtOnce(new()))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AtOnce<B>(pub B);

// A default would ask the backend within for something else.
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Backend for AtOnce<B> {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        match self.0.increment_at_once(counter, hit, now) {
            Some(answer) => answer,
            None => self.0.increment(counter, hit, now).await,
        }
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.0.get(counter, now).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.reset(counter, generation, now).await
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        match self.0.increment_sliding_at_once(counter, hit, now) {
            Some(answer) => answer,
            None => self.0.increment_sliding(counter, hit, now).await,
        }
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.0.get_sliding(counter, now).await
    }

    fn increment_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.0.increment_at_once(counter, hit, now)
    }

    fn increment_sliding_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.0.increment_sliding_at_once(counter, hit, now)
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
