//! The operations of [`ImmediateBackend`] as a [`Backend`], so that the suite runs on them too.

use crate::forward_claims::forward_claims;
use crate::{Backend, BackendError, Counter, Generation, Hit, ImmediateBackend, Tally, Timestamp};

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

    forward_claims!(self, self.0);
}
