//! What a backend answers at once, where it does, so that the suite runs on that too.

use crate::forward_claims::forward_claims;
use crate::{Backend, BackendError, Counter, Generation, Hit, Tally, Timestamp};

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

    forward_claims!(self, self.0);
}
