//! The backend under test, asked in words that fit every kind of window.
//!
//! Checks think in tokens: a cost of 2, a ceiling of 5. What that is in a hit depends on the window: a bucket counts
//! from a time, in fractions of a nanosecond. Translating it here lets one check hold for all three kinds.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Harness;
use crate::{
    Backend, BackendError, Counter, CounterState, Hit, Key, Operation, Timestamp, Window, WindowId,
    WindowLength, WindowMeta,
};

/// 2026-01-01T00:00:00Z, where a minute, an hour and a day start.
pub(super) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A moment within the minute that starts at [`START`], which no coarse clock or format can hold.
pub(super) const NOW: Timestamp = Timestamp::from_nanos(START.as_nanos() + 7_123_456_789);

/// The limit of the bucket that most checks use. No divisor of a minute, so that tokens are no whole nanoseconds.
pub(super) const BUCKET_LIMIT: u64 = 7;

/// A backend under test, and a namespace of its own for the check that runs.
pub(super) struct Subject<'h, H: Harness> {
    pub(super) harness: &'h H,
    pub(super) backend: H::Backend,
    pub(super) namespace: &'static str,
    /// Whether hits go through `try_increment` first, like those of a limiter.
    uses_fast_path: bool,
    window_ids: AtomicU64,
}

impl<'h, H: Harness> Subject<'h, H> {
    fn new(harness: &'h H, namespace: &'static str, uses_fast_path: bool) -> Self {
        let (backend, window_ids) = (harness.backend(), AtomicU64::new(1));
        Self { harness, backend, namespace, uses_fast_path, window_ids }
    }

    /// Returns the subject of a check through `increment` alone, and a second one through `try_increment` first if the
    /// backend has that fast path. A harness may return the same backend again, so each has its own namespace.
    pub(super) fn of_each_path(harness: &'h H, namespaces: [&'static str; 2]) -> impl Iterator<Item = Self> {
        let [plain, fast_path] = namespaces;
        let plain = Self::new(harness, plain, false);
        let fast_path = plain.has_fast_path().then(|| Self::new(harness, fast_path, true));
        [plain].into_iter().chain(fast_path)
    }

    /// Returns whether the backend counts a hit on a known key in `try_increment`.
    fn has_fast_path(&self) -> bool {
        // At the earliest time, so that nothing is forgotten because of a later one.
        let now = Timestamp::EPOCH;
        let probe = self.counter(Window::aligned(now, WindowLength::MINUTE), "has a fast path");
        let hit = Hit::new(1, u64::MAX.into());
        // A backend that fails here fails the checks too.
        let _ = probe.try_increment(&hit, now);
        probe.with_counter(|counter| self.backend.try_increment(counter, &hit, now)).is_some()
    }

    pub(super) fn counter(&self, window: Window, key: impl Into<String>) -> Probe<'_, H> {
        self.counter_of(self.namespace, window, key)
    }

    /// A counter in a namespace that is not the check's own, and yet no other check's.
    pub(super) fn counter_of(
        &self,
        namespace: impl Into<String>,
        window: Window,
        key: impl Into<String>,
    ) -> Probe<'_, H> {
        Probe { subject: self, namespace: namespace.into(), key: key.into(), window }
    }

    /// A counter of a minute in each kind of window, as it is at `now`. Their keys differ: that kinds are apart is
    /// for one check alone to find.
    pub(super) fn each_kind(&self, key: &str, now: Timestamp) -> [Probe<'_, H>; 3] {
        each_kind(now, WindowLength::MINUTE).map(|window| self.counter(window, format!("{key} {window:?}")))
    }

    /// The same check on another backend, which has not been told any time.
    ///
    /// A backend may forget by the latest time that it was told for any key. Where time is not what a check is about,
    /// it jumps back by no more than is allowed.
    pub(super) fn afresh(&self) -> Self {
        Self {
            backend: self.harness.backend(),
            window_ids: AtomicU64::new(self.window_ids.load(Ordering::Relaxed)),
            ..*self
        }
    }

    pub(super) fn new_window_id(&self) -> WindowId {
        WindowId(self.window_ids.fetch_add(1, Ordering::Relaxed).into())
    }

    /// Counts a hit; like a limiter by the fast path first, if that is asked for.
    fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        by_fast_path: bool,
    ) -> Result<CounterState, BackendError> {
        let fast = if by_fast_path { self.backend.try_increment(counter, hit, now) } else { None };
        fast.unwrap_or_else(|| self.block_on(self.backend.increment(counter, hit, now)))
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.harness.block_on(future)
    }
}

/// A window of each kind, of this length, as it is at `now`.
pub(super) const fn each_kind(now: Timestamp, length: WindowLength) -> [Window; 3] {
    [
        Window::aligned(now, length),
        Window::FromFirstHit { length },
        Window::Bucket { limit: BUCKET_LIMIT, length },
    ]
}

/// One counter of the backend under test.
pub(super) struct Probe<'s, H: Harness> {
    pub(super) subject: &'s Subject<'s, H>,
    namespace: String,
    key: String,
    pub(super) window: Window,
}

/// # Asking
impl<H: Harness> Probe<'_, H> {
    /// The same namespace and key in another window.
    pub(super) fn with_window(&self, window: Window) -> Self {
        Self { subject: self.subject, namespace: self.namespace.clone(), key: self.key.clone(), window }
    }

    /// A hit of this many tokens against a limit of `ceiling` tokens, with a generation of its own.
    pub(super) fn asking(&self, cost: u128, ceiling: u128, now: Timestamp) -> Hit<'static> {
        let hit = Hit::new(cost * self.unit(), self.floor(now) + ceiling * self.unit());
        hit.with_floor(self.floor(now)).with_window_meta(self.subject.new_window_id(), None)
    }

    #[track_caller]
    pub(super) fn hit(&self, cost: u128, ceiling: u128, now: Timestamp) -> CounterState {
        self.increment(&self.asking(cost, ceiling, now), now)
    }

    /// The first hit of this counter, known to fit: its answer has to be complete.
    #[track_caller]
    pub(super) fn first_hit(&self, cost: u128, ceiling: u128, now: Timestamp) -> CounterState {
        let hit = self.asking(cost, ceiling, now);
        let tally = self.increment(&hit, now);
        let why =
            "the first hit of a counter, which fits, is counted, and answered with the value and the window";
        self.expect(&tally, &self.after_first(&hit, now), why);
        tally
    }

    #[track_caller]
    pub(super) fn increment(&self, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        self.answered(Operation::Increment, self.try_increment(hit, now))
    }

    #[track_caller]
    pub(super) fn get(&self, now: Timestamp) -> CounterState {
        self.answered(Operation::Get, self.try_get(now))
    }

    #[track_caller]
    pub(super) fn reset(&self, window_id: Option<WindowId>, now: Timestamp) {
        self.answered(Operation::Reset, self.try_reset(window_id, now));
    }

    #[track_caller]
    pub(super) fn slide(&self, cost: u128, ceiling: u128, now: Timestamp) -> CounterState {
        self.answered(Operation::Increment, self.try_slide(cost, ceiling, now))
    }

    #[track_caller]
    pub(super) fn get_sliding(&self, now: Timestamp) -> CounterState {
        self.answered(Operation::Get, self.try_get_sliding(now))
    }

    /// Counts a hit by the path that is named, whatever this subject uses.
    #[track_caller]
    pub(super) fn increment_by(
        &self,
        hit: &Hit<'_>,
        now: Timestamp,
        is_sliding: bool,
        by_fast_path: bool,
    ) -> CounterState {
        let result = self.with_counter(|counter| {
            let counter = if is_sliding { counter.sliding() } else { *counter };
            self.subject.increment(&counter, hit, now, by_fast_path)
        });
        self.answered(Operation::Increment, result)
    }

    pub(super) fn try_increment(&self, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.with_counter(|counter| self.subject.increment(counter, hit, now, self.subject.uses_fast_path))
    }

    pub(super) fn try_get(&self, now: Timestamp) -> Result<CounterState, BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.get(counter, now)))
    }

    pub(super) fn try_reset(&self, window: Option<WindowId>, now: Timestamp) -> Result<(), BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.reset(counter, window, now)))
    }

    pub(super) fn try_slide(
        &self,
        cost: u128,
        ceiling: u128,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        let hit = self.asking(cost, ceiling, now);
        self.with_counter(|counter| {
            self.subject.increment(&counter.sliding(), &hit, now, self.subject.uses_fast_path)
        })
    }

    pub(super) fn try_get_sliding(&self, now: Timestamp) -> Result<CounterState, BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.get(&counter.sliding(), now)))
    }

    fn with_counter<R>(&self, ask: impl FnOnce(&Counter<'_>) -> R) -> R {
        let key = Key::from(&self.key);
        let counter = Counter::new(&self.namespace, &key, self.window);
        ask(&counter.expect("the suite makes up valid keys only"))
    }

    #[track_caller]
    fn answered<T>(&self, operation: Operation, answer: Result<T, BackendError>) -> T {
        match answer {
            Ok(answer) => answer,
            Err(error) => panic!("`{operation}` has to answer here, and failed: {error}\n  of {self}"),
        }
    }
}

/// # Expecting
impl<H: Harness> Probe<'_, H> {
    /// What one token is in a hit on this counter.
    pub(super) const fn unit(&self) -> u128 {
        match self.window {
            Window::Aligned { .. } | Window::FromFirstHit { .. } => 1,
            Window::Bucket { length, .. } => length.as_nanos() as u128,
        }
    }

    /// Where a hit on this counter counts from at least.
    pub(super) const fn floor(&self, now: Timestamp) -> u128 {
        match self.window {
            Window::Aligned { .. } | Window::FromFirstHit { .. } => 0,
            Window::Bucket { limit, .. } => now.as_nanos() as u128 * limit as u128,
        }
    }

    pub(super) fn absent(&self) -> CounterState {
        let tally = CounterState::new(false, 0);
        match self.window {
            Window::Aligned { start, .. } => tally.with_start(start),
            Window::FromFirstHit { .. } | Window::Bucket { .. } => tally,
        }
    }

    /// The answer to `hit` at `now`, where `state` is what the counter said before it.
    pub(super) fn after(&self, state: &CounterState, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        match hit.apply(state.value) {
            None => self.then(state, false, 0),
            Some(_) if state.value == 0 => self.after_first(hit, now),
            Some(value) => CounterState { counted: true, value, ..state.clone() },
        }
    }

    /// The answer to `hit`, counted on an absent counter.
    pub(super) fn after_first(&self, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        let value = hit.apply(0).expect("the suite expects only hits that fit");
        let absent = self.absent();
        let tally = CounterState { counted: true, value, ..absent };
        match self.window {
            Window::FromFirstHit { .. } => tally.with_start(now).with_meta(Arc::new(WindowMeta {
                id: hit.window_id,
                metadata: hit.metadata.map(Into::into),
            })),
            Window::Aligned { .. } | Window::Bucket { .. } => tally,
        }
    }

    /// The answer `before`, with this many tokens more, of a hit that was counted (`true`) or of a refusal or read.
    pub(super) fn then(&self, before: &CounterState, counted: bool, tokens: u128) -> CounterState {
        CounterState { counted, value: before.value + tokens * self.unit(), ..before.clone() }
    }

    /// Fails the check, telling `rule`, unless the answer is the expected one.
    #[track_caller]
    pub(super) fn expect(&self, seen: &CounterState, expected: &CounterState, rule: &str) {
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {self}");
    }
}

impl<H: Harness> fmt::Display for Probe<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {:?} in the namespace {:?}, window {:?}", self.key, self.namespace, self.window)
    }
}

/// A pseudo-random sequence (xorshift64*, Vigna 2016) that is the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound`.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
