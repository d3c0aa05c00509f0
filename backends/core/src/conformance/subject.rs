//! The backend under test, and the times and windows that the checks use.

use std::array;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Harness;
use super::probe::CounterProbe;
use crate::{Hit, Timestamp, Window, WindowId, WindowLength};

/// 2026-01-01T00:00:00Z: the start of a minute, an hour and a day.
pub(super) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A time within the minute that starts at [`START`]. No clock or format coarser than 1 ns can
/// represent it.
pub(super) const NOW: Timestamp = Timestamp::from_nanos(START.as_nanos() + 7_123_456_789);

pub(super) const NANOSECOND: Duration = Duration::from_nanos(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = WindowLength::MINUTE.as_duration();

/// The limit of the bucket that most checks use. It does not divide a minute, so a token is no
/// whole number of nanoseconds.
pub(super) const BUCKET_LIMIT: u64 = 7;

/// A backend under test, with a namespace for the check that runs.
pub(super) struct Subject<'h, H: Harness> {
    pub(super) harness: &'h H,
    pub(super) backend: H::Backend,
    pub(super) namespace: &'static str,
    /// Whether a hit goes through `try_increment` first, as it does in a limiter.
    pub(super) uses_fast_path: bool,
    last_id: AtomicU64,
}

impl<'h, H: Harness> Subject<'h, H> {
    /// Creates a subject that counts through `increment` alone.
    pub(super) fn new(harness: &'h H, namespace: &'static str) -> Self {
        let backend = harness.backend();
        Self { harness, backend, namespace, uses_fast_path: false, last_id: AtomicU64::new(0) }
    }

    /// Creates a subject that counts through `try_increment` first; `None` if the backend has no
    /// such fast path.
    ///
    /// The harness may return the same backend again, so the namespace has to differ from that of
    /// the first subject.
    pub(super) fn with_fast_path(&self, namespace: &'static str) -> Option<Self> {
        self.has_fast_path().then(|| Self { uses_fast_path: true, ..Self::new(self.harness, namespace) })
    }

    /// Returns whether `try_increment` handles a hit on a stored counter.
    fn has_fast_path(&self) -> bool {
        // The earliest time, so that the backend forgets nothing because of it.
        let now = Timestamp::EPOCH;
        let probe = self.counter(Window::aligned(now, WindowLength::MINUTE), "has a fast path");
        let hit = Hit::new(1, u64::MAX.into());
        // An error here shows in the checks too.
        let _ = probe.increment_by_future(&hit, now);
        probe.increment_by_fast_path(&hit, now).is_some()
    }

    /// Creates a subject of the same check on another backend, which has not seen any time yet.
    ///
    /// A backend may forget by the latest time that it has seen for any key. A check that jumps
    /// back further than the maximum skew, and is not about that, continues on a new backend.
    pub(super) fn with_new_backend(&self) -> Self {
        let last_id = AtomicU64::new(self.last_id.load(Ordering::Relaxed));
        Self { backend: self.harness.backend(), last_id, ..*self }
    }

    pub(super) fn counter(&self, window: Window, key: impl Into<String>) -> CounterProbe<'_, H> {
        self.counter_in(self.namespace, window, key)
    }

    /// Returns a counter in another namespace, which no other check may use.
    pub(super) fn counter_in(
        &self,
        namespace: impl Into<String>,
        window: Window,
        key: impl Into<String>,
    ) -> CounterProbe<'_, H> {
        CounterProbe::new(self, namespace.into(), key.into(), window)
    }

    /// Returns a counter for each kind of window, with a length of one minute. Their keys differ,
    /// because only one check tests that the kinds are distinct.
    pub(super) fn each_kind(&self, key: &str, now: Timestamp) -> [CounterProbe<'_, H>; 3] {
        let windows = each_kind(now, WindowLength::MINUTE);
        array::from_fn(|kind| self.counter(windows[kind], format!("{key}, {}", KINDS[kind])))
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

/// The names of the kinds of window, in the order of [`each_kind`].
pub(super) const KINDS: [&str; 3] = ["aligned", "from first hit", "bucket"];

/// Returns a window of each kind that contains `now`.
pub(super) const fn each_kind(now: Timestamp, length: WindowLength) -> [Window; 3] {
    [
        Window::aligned(now, length),
        Window::FromFirstHit { length },
        Window::Bucket { limit: BUCKET_LIMIT, length },
    ]
}

/// Returns the time one nanosecond earlier.
pub(super) const fn just_before(time: Timestamp) -> Timestamp {
    time.saturating_sub(NANOSECOND)
}

/// A pseudo-random sequence (xorshift64*, Vigna 2016) that is the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Returns a number below `bound`.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
