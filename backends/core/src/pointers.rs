//! `&B`, `Box<B>` and `Arc<B>` are backends, and forward every operation, those with a default too.

use std::sync::Arc;

use crate::forward_claims::forward_claims;
use crate::{Backend, BackendError, Counter, Generation, Hit, ImmediateBackend, Tally, Timestamp};

// A method with a default that a wrapper left out would fall back to the default: the lint refuses it.
macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<B: Backend + ?Sized> Backend for $pointer {
            async fn increment(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Result<Tally, BackendError> {
                (**self).increment(counter, hit, now).await
            }

            async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
                (**self).get(counter, now).await
            }

            async fn reset(
                &self,
                counter: &Counter<'_>,
                generation: Option<Generation>,
                now: Timestamp,
            ) -> Result<(), BackendError> {
                (**self).reset(counter, generation, now).await
            }

            async fn increment_sliding(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Result<Tally, BackendError> {
                (**self).increment_sliding(counter, hit, now).await
            }

            async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
                (**self).get_sliding(counter, now).await
            }

            fn increment_at_once(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Option<Result<Tally, BackendError>> {
                (**self).increment_at_once(counter, hit, now)
            }

            fn increment_sliding_at_once(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Option<Result<Tally, BackendError>> {
                (**self).increment_sliding_at_once(counter, hit, now)
            }

            forward_claims!(self, (**self));
        }

        #[deny(clippy::missing_trait_methods)]
        impl<B: ImmediateBackend + ?Sized> ImmediateBackend for $pointer {
            fn increment_now(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Result<Tally, BackendError> {
                (**self).increment_now(counter, hit, now)
            }

            fn get_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
                (**self).get_now(counter, now)
            }

            fn reset_now(
                &self,
                counter: &Counter<'_>,
                generation: Option<Generation>,
                now: Timestamp,
            ) -> Result<(), BackendError> {
                (**self).reset_now(counter, generation, now)
            }

            fn increment_sliding_now(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Result<Tally, BackendError> {
                (**self).increment_sliding_now(counter, hit, now)
            }

            fn get_sliding_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
                (**self).get_sliding_now(counter, now)
            }
        }
    )+};
}

forward!(&B, Box<B>, Arc<B>);
