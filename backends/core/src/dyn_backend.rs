//! The object-safe twin of [`Backend`], for programs that pick their backend at run time.

use async_trait::async_trait;

use crate::{
    Backend, BackendError, ClaimKey, ClaimRequest, Claimed, Completion, Counter, Generation, Hit, Owner,
    Ownership, Record, Recorded, Tally, Timestamp,
};

/// [`Backend`] as a trait object: each operation boxes its future, and nothing else differs. What a backend answers at
/// once has no future, and so no box.
///
/// Every backend is one. `Arc<dyn DynBackend>` and `Box<dyn DynBackend>` are backends again:
///
/// ```
/// # use std::sync::Arc;
/// # use limited_core::{Backend, DynBackend};
/// fn takes_a_backend<B: Backend>(_: B) {}
///
/// fn pick(backend: impl Backend + 'static) -> Arc<dyn DynBackend> {
///     Arc::new(backend)
/// }
/// # fn check(backend: impl Backend + 'static) {
/// takes_a_backend(pick(backend));
/// # }
/// ```
#[async_trait]
pub trait DynBackend: Send + Sync {
    /// [`Backend::increment`], boxed.
    async fn increment_boxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError>;

    /// [`Backend::get`], boxed.
    async fn get_boxed(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError>;

    /// [`Backend::reset`], boxed.
    async fn reset_boxed(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError>;

    /// [`Backend::increment_sliding`], boxed.
    async fn increment_sliding_boxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError>;

    /// [`Backend::get_sliding`], boxed.
    async fn get_sliding_boxed(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError>;

    /// [`Backend::increment_at_once`], which has nothing to box.
    fn increment_unboxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>>;

    /// [`Backend::increment_sliding_at_once`], which has nothing to box.
    fn increment_sliding_unboxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>>;

    /// [`Backend::claim`], boxed.
    async fn claim_boxed(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError>;

    /// [`Backend::finish`], boxed.
    async fn finish_boxed(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<Recorded, BackendError>;

    /// [`Backend::renew`], boxed.
    async fn renew_boxed(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Ownership, BackendError>;

    /// [`Backend::release`], boxed.
    async fn release_boxed(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Ownership, BackendError>;

    /// [`Backend::find`], boxed.
    async fn find_boxed(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError>;

    /// [`Backend::forget`], boxed.
    async fn forget_boxed(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError>;
}

#[async_trait]
impl<B: Backend> DynBackend for B {
    async fn increment_boxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.increment(counter, hit, now).await
    }

    async fn get_boxed(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.get(counter, now).await
    }

    async fn reset_boxed(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.reset(counter, generation, now).await
    }

    async fn increment_sliding_boxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.increment_sliding(counter, hit, now).await
    }

    async fn get_sliding_boxed(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.get_sliding(counter, now).await
    }

    fn increment_unboxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.increment_at_once(counter, hit, now)
    }

    fn increment_sliding_unboxed(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.increment_sliding_at_once(counter, hit, now)
    }

    async fn claim_boxed(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError> {
        self.claim(key, request, now).await
    }

    async fn finish_boxed(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<Recorded, BackendError> {
        self.finish(key, completion, now).await
    }

    async fn renew_boxed(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.renew(key, owner, until, now).await
    }

    async fn release_boxed(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.release(key, owner, now).await
    }

    async fn find_boxed(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        self.find(key, now).await
    }

    async fn forget_boxed(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.forget(key, now).await
    }
}

// A method with a default that is left out here would fall back to the default: the lint refuses it.
#[deny(clippy::missing_trait_methods)]
impl Backend for dyn DynBackend + '_ {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.increment_boxed(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.get_boxed(counter, now).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.reset_boxed(counter, generation, now).await
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        self.increment_sliding_boxed(counter, hit, now).await
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.get_sliding_boxed(counter, now).await
    }

    fn increment_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.increment_unboxed(counter, hit, now)
    }

    fn increment_sliding_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        self.increment_sliding_unboxed(counter, hit, now)
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Claimed, BackendError> {
        self.claim_boxed(key, request, now).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<Recorded, BackendError> {
        self.finish_boxed(key, completion, now).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.renew_boxed(key, owner, until, now).await
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Ownership, BackendError> {
        self.release_boxed(key, owner, now).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        self.find_boxed(key, now).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.forget_boxed(key, now).await
    }
}

impl std::fmt::Debug for dyn DynBackend + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn DynBackend")
    }
}
