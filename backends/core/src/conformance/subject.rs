//! The backend under test.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Harness;
use super::kinds::{LOG, span_of};
use super::skip::Skip;
use crate::{BackendError, Result, Timestamp, Window, WindowId, WindowLength};

/// A backend under test, with a namespace for the check that runs.
pub(super) struct Subject<'h, H: Harness> {
    pub(super) harness: &'h H,
    pub(super) backend: H::Backend,
    pub(super) namespace: &'static str,
    /// Whether a hit goes through `try_increment` first, as it does in a limiter.
    pub(super) uses_fast_path: bool,
    last_id: AtomicU64,
    offers_logs: OnceLock<bool>,
    offers_spans: OnceLock<bool>,
    skipped: OnceLock<Skip>,
}

impl<'h, H: Harness> Subject<'h, H> {
    /// Creates a subject that counts through `increment` alone.
    pub(super) fn new(harness: &'h H, namespace: &'static str) -> Self {
        let backend = harness.backend();
        Self {
            harness,
            backend,
            namespace,
            uses_fast_path: false,
            last_id: AtomicU64::new(0),
            offers_logs: OnceLock::new(),
            offers_spans: OnceLock::new(),
            skipped: OnceLock::new(),
        }
    }

    /// Creates a subject of the same check on another backend, which has not seen any time yet.
    ///
    /// A backend may forget by the latest time that it has seen for any key. A check that jumps
    /// back further than the maximum skew, and is not about that, continues on a new backend.
    pub(super) fn with_new_backend(&self) -> Self {
        let last_id = AtomicU64::new(self.last_id.load(Ordering::Relaxed));
        Self { last_id, uses_fast_path: self.uses_fast_path, ..Self::new(self.harness, self.namespace) }
    }

    /// Returns whether the backend offers what the checks of `skip` need: refunds, several hits at
    /// once, logs or spans.
    pub(super) fn offers(&self, skip: Skip) -> bool {
        // The earliest time, so that the backend forgets nothing because of it.
        let now = Timestamp::EPOCH;
        let is_supported = |window: Window| {
            let counter = self.counter(window, format!("offers {skip:?}"));
            !is_unsupported(&counter.increment_by_future(&counter.new_hit(1, u128::MAX >> 1, now), now))
        };
        let aligned = |name: &str| {
            self.counter(Window::aligned(now, WindowLength::MINUTE), format!("offers {skip:?}, {name}"))
        };
        match skip {
            Skip::Logs => *self.offers_logs.get_or_init(|| is_supported(LOG)),
            Skip::Spans => *self.offers_spans.get_or_init(|| is_supported(span_of(now))),
            Skip::Refunds => {
                let counter = aligned("absent");
                !is_unsupported(&counter.try_refund(&counter.new_refund(1, now), now))
            }
            Skip::SeveralHits => {
                let (fits, full) = (aligned("fits"), aligned("full"));
                let hits = [(&fits, fits.new_hit(1, u128::MAX >> 1, now)), (&full, full.new_hit(1, 0, now))];
                !is_unsupported(&self.increment_all_by_future(&hits, now))
            }
            _ => true,
        }
    }

    /// Returns whether the backend does not offer what the check needs, and records that.
    pub(super) fn lacks(&self, skip: Skip) -> bool {
        let lacks = !self.offers(skip);
        if lacks {
            self.skip(skip);
        }
        lacks
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

const fn is_unsupported<T>(result: &Result<T>) -> bool {
    matches!(result, Err(BackendError::Unsupported(_)))
}
