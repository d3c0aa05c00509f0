//! The backend under test.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Harness;
use super::skip::Skip;
use crate::WindowId;

/// A backend under test, with a namespace for the check that runs.
pub(super) struct Subject<'h, H: Harness> {
    pub(super) harness: &'h H,
    pub(super) backend: H::Backend,
    pub(super) namespace: &'static str,
    /// Whether a hit goes through `try_increment` first, as it does in a limiter.
    pub(super) uses_fast_path: bool,
    last_id: AtomicU64,
    skipped: OnceLock<Skip>,
}

impl<'h, H: Harness> Subject<'h, H> {
    /// Creates a subject that counts through `increment` alone.
    pub(super) fn new(harness: &'h H, namespace: &'static str) -> Self {
        let backend = harness.backend();
        let (last_id, skipped) = (AtomicU64::new(0), OnceLock::new());
        Self { harness, backend, namespace, uses_fast_path: false, last_id, skipped }
    }

    /// Creates a subject of the same check on another backend, which has not seen any time yet.
    ///
    /// A backend may forget by the latest time that it has seen for any key. A check that jumps
    /// back further than the maximum skew, and is not about that, continues on a new backend.
    pub(super) fn with_new_backend(&self) -> Self {
        let last_id = AtomicU64::new(self.last_id.load(Ordering::Relaxed));
        Self { backend: self.harness.backend(), last_id, skipped: OnceLock::new(), ..*self }
    }

    /// Records that the check tests less than it could.
    pub(super) fn skip(&self, skip: Skip) {
        self.skipped.get_or_init(|| skip);
    }

    /// Returns what the check skipped so far.
    pub(super) fn skipped(&self) -> Option<Skip> {
        self.skipped.get().copied()
    }

    /// Returns a number that this subject has not returned before.
    pub(super) fn new_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn new_window_id(&self) -> WindowId {
        WindowId(self.new_id().into())
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.harness.block_on(future)
    }
}
