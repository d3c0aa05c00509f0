//! `&B`, `Box<B>` and `Arc<B>` of a backend are backends.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Acquisition, Backend, ClaimKey, ClaimRequest, Completion, Counter, CounterState, FinishResult, Hit,
    Immediate, LeaseStatus, Owner, Record, Refund, Result, Timestamp, WindowId,
};

// A method that is missing here would run the default of the trait instead of the method of the
// backend.
macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<B: Backend + ?Sized> Backend for $pointer {
            #[inline]
            fn try_increment(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Option<Result<CounterState>> {
                (**self).try_increment(counter, hit, now)
            }

            async fn increment(
                &self,
                counter: &Counter<'_>,
                hit: &Hit<'_>,
                now: Timestamp,
            ) -> Result<CounterState> {
                (**self).increment(counter, hit, now).await
            }

            fn try_increment_all(
                &self,
                hits: &[(Counter<'_>, Hit<'_>)],
                now: Timestamp,
                states: &mut Vec<CounterState>,
            ) -> Option<Result<()>> {
                (**self).try_increment_all(hits, now, states)
            }

            async fn increment_all(
                &self,
                hits: &[(Counter<'_>, Hit<'_>)],
                now: Timestamp,
            ) -> Result<Vec<CounterState>> {
                (**self).increment_all(hits, now).await
            }

            async fn refund(
                &self,
                counter: &Counter<'_>,
                refund: &Refund,
                now: Timestamp,
            ) -> Result<CounterState> {
                (**self).refund(counter, refund, now).await
            }

            async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
                (**self).get(counter, now).await
            }

            async fn reset(
                &self,
                counter: &Counter<'_>,
                window: Option<WindowId>,
                now: Timestamp,
            ) -> Result<()> {
                (**self).reset(counter, window, now).await
            }

            async fn claim(
                &self,
                key: &ClaimKey<'_>,
                request: &ClaimRequest<'_>,
                now: Timestamp,
            ) -> Result<Acquisition> {
                (**self).claim(key, request, now).await
            }

            async fn finish(
                &self,
                key: &ClaimKey<'_>,
                completion: &Completion<'_>,
                now: Timestamp,
            ) -> Result<FinishResult> {
                (**self).finish(key, completion, now).await
            }

            async fn renew(
                &self,
                key: &ClaimKey<'_>,
                owner: Owner,
                expires_at: Timestamp,
                now: Timestamp,
            ) -> Result<LeaseStatus> {
                (**self).renew(key, owner, expires_at, now).await
            }

            async fn release(
                &self,
                key: &ClaimKey<'_>,
                owner: Owner,
                now: Timestamp,
            ) -> Result<LeaseStatus> {
                (**self).release(key, owner, now).await
            }

            async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
                (**self).find(key, now).await
            }

            async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
                (**self).forget(key, now).await
            }
        }

        impl<B: Immediate + ?Sized> Immediate for $pointer {}
    )+};
}

forward!(&B, Box<B>, Arc<B>);
