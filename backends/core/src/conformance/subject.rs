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
    Backend, BackendError, Counter, Generation, Hit, Key, Opening, Tally, Timestamp, Window, WindowLength,
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
    generations: AtomicU64,
}

impl<'h, H: Harness> Subject<'h, H> {
    pub(super) fn new(harness: &'h H, check: &'static str) -> Self {
        Self { harness, backend: harness.backend(), namespace: check, generations: AtomicU64::new(1) }
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
            generations: AtomicU64::new(self.generations.load(Ordering::Relaxed)),
            ..*self
        }
    }

    pub(super) fn fresh_generation(&self) -> Generation {
        Generation(self.generations.fetch_add(1, Ordering::Relaxed).into())
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.harness.block_on(future)
    }
}

/// A window of each kind, of this length, as it is at `now`.
pub(super) const fn each_kind(now: Timestamp, length: WindowLength) -> [Window; 3] {
    [Window::aligned(now, length), Window::Opened { length }, Window::Bucket { limit: BUCKET_LIMIT, length }]
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
        hit.with_floor(self.floor(now)).opening(self.subject.fresh_generation(), None)
    }

    #[track_caller]
    pub(super) fn hit(&self, cost: u128, ceiling: u128, now: Timestamp) -> Tally {
        self.increment(&self.asking(cost, ceiling, now), now)
    }

    /// The first hit of this counter, known to fit: its answer has to be complete.
    #[track_caller]
    pub(super) fn first_hit(&self, cost: u128, ceiling: u128, now: Timestamp) -> Tally {
        let hit = self.asking(cost, ceiling, now);
        let tally = self.increment(&hit, now);
        let why =
            "the first hit of a counter, which fits, is counted, and answered with the value and the window";
        self.expect(&tally, &self.after_first(&hit, now), why);
        tally
    }

    #[track_caller]
    pub(super) fn increment(&self, hit: &Hit<'_>, now: Timestamp) -> Tally {
        self.answered("increment", self.try_increment(hit, now))
    }

    #[track_caller]
    pub(super) fn get(&self, now: Timestamp) -> Tally {
        self.answered("get", self.try_get(now))
    }

    #[track_caller]
    pub(super) fn reset(&self, generation: Option<Generation>, now: Timestamp) {
        self.answered("reset", self.try_reset(generation, now));
    }

    #[track_caller]
    pub(super) fn slide(&self, cost: u128, ceiling: u128, now: Timestamp) -> Tally {
        self.answered("increment_sliding", self.try_slide(cost, ceiling, now))
    }

    #[track_caller]
    pub(super) fn get_sliding(&self, now: Timestamp) -> Tally {
        self.answered("get_sliding", self.try_get_sliding(now))
    }

    pub(super) fn try_increment(&self, hit: &Hit<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.increment(counter, hit, now)))
    }

    pub(super) fn try_get(&self, now: Timestamp) -> Result<Tally, BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.get(counter, now)))
    }

    pub(super) fn try_reset(
        &self,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.with_counter(|counter| {
            self.subject.block_on(self.subject.backend.reset(counter, generation, now))
        })
    }

    pub(super) fn try_slide(&self, cost: u128, ceiling: u128, now: Timestamp) -> Result<Tally, BackendError> {
        let hit = self.asking(cost, ceiling, now);
        self.with_counter(|counter| {
            self.subject.block_on(self.subject.backend.increment_sliding(counter, &hit, now))
        })
    }

    pub(super) fn try_get_sliding(&self, now: Timestamp) -> Result<Tally, BackendError> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.get_sliding(counter, now)))
    }

    fn with_counter<R>(&self, ask: impl FnOnce(&Counter<'_>) -> R) -> R {
        let key = Key::from(&self.key);
        let counter = Counter::new(&self.namespace, &key, self.window);
        ask(&counter.expect("the suite makes up valid keys only"))
    }

    #[track_caller]
    fn answered<T>(&self, operation: &str, answer: Result<T, BackendError>) -> T {
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
            Window::Aligned { .. } | Window::Opened { .. } => 1,
            Window::Bucket { length, .. } => length.as_nanos() as u128,
        }
    }

    /// Where a hit on this counter counts from at least.
    pub(super) const fn floor(&self, now: Timestamp) -> u128 {
        match self.window {
            Window::Aligned { .. } | Window::Opened { .. } => 0,
            Window::Bucket { limit, .. } => now.as_nanos() as u128 * limit as u128,
        }
    }

    pub(super) fn absent(&self) -> Tally {
        let tally = Tally::new(false, 0);
        match self.window {
            Window::Aligned { start, .. } => tally.with_start(start),
            Window::Opened { .. } | Window::Bucket { .. } => tally,
        }
    }

    /// The answer to `hit` at `now`, where `state` is what the counter said before it.
    pub(super) fn after(&self, state: &Tally, hit: &Hit<'_>, now: Timestamp) -> Tally {
        match hit.apply(state.value) {
            None => self.then(state, false, 0),
            Some(_) if state.value == 0 => self.after_first(hit, now),
            Some(value) => Tally { counted: true, value, ..state.clone() },
        }
    }

    /// The answer to `hit`, counted on an absent counter.
    pub(super) fn after_first(&self, hit: &Hit<'_>, now: Timestamp) -> Tally {
        let value = hit.apply(0).expect("the suite expects only hits that fit");
        let absent = self.absent();
        let tally = Tally { counted: true, value, ..absent };
        match self.window {
            Window::Opened { .. } => tally.with_start(now).with_opening(Arc::new(Opening {
                generation: hit.generation,
                note: hit.note.map(Into::into),
            })),
            Window::Aligned { .. } | Window::Bucket { .. } => tally,
        }
    }

    /// The answer `before`, with this many tokens more, of a hit that was counted (`true`) or of a refusal or read.
    pub(super) fn then(&self, before: &Tally, counted: bool, tokens: u128) -> Tally {
        Tally { counted, value: before.value + tokens * self.unit(), ..before.clone() }
    }

    /// Fails the check, telling `rule`, unless the answer is the expected one.
    #[track_caller]
    pub(super) fn expect(&self, seen: &Tally, expected: &Tally, rule: &str) {
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
