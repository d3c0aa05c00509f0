//! The object-safe twin of [`Backend`], for programs that pick their backend at run time.

use async_trait::async_trait;

use crate::{Backend, BackendError, Counter, Generation, Hit, Tally, Timestamp};

/// [`Backend`] as a trait object: each operation boxes its future, and nothing else differs.
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
}

impl std::fmt::Debug for dyn DynBackend + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn DynBackend")
    }
}
