//! One counter of the backend under test: operations in tokens, and the results that are expected
//! of them.
//!
//! Checks count in tokens: a cost of 2, a limit of 5. What a token is in a [`Hit`] depends on the
//! window: a bucket counts from a time, in fractions of a nanosecond. The probe converts, so that
//! one check covers all kinds of window.

use std::array;
use std::fmt;
use std::sync::Arc;

use super::Harness;
use super::kinds::{BUCKET, KINDS, LOG, each_kind, span_of};
use super::skip::Skip;
use super::subject::Subject;
use crate::{
    Backend, BucketQuota, Counter, CounterState, Hit, Key, Operation, Refund, Result, Timestamp, Window,
    WindowId, WindowLength, WindowMeta,
};

impl<H: Harness> Subject<'_, H> {
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
        CounterProbe {
            subject: self,
            namespace: namespace.into(),
            key: key.into(),
            window,
            bucket: BUCKET,
            is_sliding: false,
        }
    }

    /// Returns a counter for each kind of window, with a length of one minute. Their keys differ,
    /// because only one check tests that the kinds are distinct.
    pub(super) fn each_kind(&self, key: &str, now: Timestamp) -> [CounterProbe<'_, H>; 3] {
        let windows = each_kind(now, WindowLength::MINUTE);
        array::from_fn(|kind| self.counter(windows[kind], format!("{key}, {}", KINDS[kind])))
    }
}

impl<H: Harness> Subject<'_, H> {
    /// Returns a counter for each kind of window that the backend offers, also a span and a log.
    pub(super) fn each_window(&self, key: &str, now: Timestamp) -> Vec<CounterProbe<'_, H>> {
        let mut counters = Vec::from(self.each_kind(key, now));
        if self.offers(Skip::Spans) {
            counters.push(self.counter(span_of(now), format!("{key}, span")));
        }
        if self.offers(Skip::Logs) {
            counters.push(self.counter(LOG, format!("{key}, log")));
        }
        counters
    }
}

/// One counter of the backend under test.
pub(super) struct CounterProbe<'s, H: Harness> {
    pub(super) subject: &'s Subject<'s, H>,
    namespace: String,
    key: String,
    pub(super) window: Window,
    /// The quota of the next operations, if the window is a bucket.
    pub(super) bucket: BucketQuota,
    pub(super) is_sliding: bool,
}

impl<'s, H: Harness> CounterProbe<'s, H> {
    /// Returns the counter of the same namespace and key in another window.
    pub(super) fn with_window(&self, window: Window) -> Self {
        let (namespace, key) = (self.namespace.clone(), self.key.clone());
        Self { namespace, key, window, ..*self }
    }

    /// Returns the same counter for operations of another quota, if it is a bucket.
    pub(super) fn with_bucket(&self, limit: u64, capacity: u64) -> Self {
        Self { bucket: BucketQuota::new(limit, capacity), ..self.with_window(self.window) }
    }

    /// Returns the counter of the same key at another time: an aligned window is that of the time.
    pub(super) fn at(&self, now: Timestamp) -> Self {
        self.with_window(match self.window {
            Window::Aligned { length, .. } => Window::aligned(now, length),
            window => window,
        })
    }

    /// Returns the same counter as a sliding one.
    pub(super) fn sliding(&self) -> Self {
        Self { is_sliding: true, ..self.with_window(self.window) }
    }

    /// Returns the counter of the previous window, not sliding.
    pub(super) fn previous(&self) -> Self {
        let window = self.window.previous().expect("no check uses the first window since the epoch for this");
        Self { is_sliding: false, ..self.with_window(window) }
    }
}

/// # Operations
impl<H: Harness> CounterProbe<'_, H> {
    /// Creates a hit of `cost` tokens against a limit of `limit` tokens, with a new window id.
    pub(super) fn new_hit(&self, cost: u128, limit: u128, now: Timestamp) -> Hit<'static> {
        let hit = Hit::new(cost * self.unit(), self.floor(now) + limit * self.unit());
        hit.with_floor(self.floor(now)).with_window_meta(self.subject.new_window_id(), None)
    }

    #[track_caller]
    pub(super) fn hit(&self, cost: u128, limit: u128, now: Timestamp) -> CounterState {
        self.increment(&self.new_hit(cost, limit, now), now)
    }

    /// Counts the first hit of this counter, which has to fit. Fails the check unless the result is
    /// complete.
    #[track_caller]
    pub(super) fn first_hit(&self, cost: u128, limit: u128, now: Timestamp) -> CounterState {
        let hit = self.new_hit(cost, limit, now);
        let state = self.increment(&hit, now);
        let rule =
            "the first hit of a counter, which fits, is counted; its result has the value and the window";
        self.expect(&state, &self.after_first(&hit, now), rule);
        state
    }

    #[track_caller]
    pub(super) fn increment(&self, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        self.expect_ok(Operation::Increment, self.try_increment(hit, now))
    }

    #[track_caller]
    pub(super) fn get(&self, now: Timestamp) -> CounterState {
        self.expect_ok(Operation::Get, self.try_get(now))
    }

    #[track_caller]
    pub(super) fn reset(&self, window_id: Option<WindowId>, now: Timestamp) {
        self.expect_ok(Operation::Reset, self.try_reset(window_id, now));
    }

    #[track_caller]
    pub(super) fn refund(&self, refund: &Refund, now: Timestamp) -> CounterState {
        self.expect_ok(Operation::Refund, self.try_refund(refund, now))
    }

    /// Creates a refund of `cost` tokens that were charged at `charged_at`.
    pub(super) const fn new_refund(&self, cost: u128, charged_at: Timestamp) -> Refund {
        Refund::new(cost.saturating_mul(self.unit()), charged_at)
    }

    pub(super) fn try_refund(&self, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.refund(counter, refund, now)))
    }

    /// Counts a hit. Uses the fast path first if the subject does.
    pub(super) fn try_increment(&self, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        let fast = self.subject.uses_fast_path.then(|| self.increment_by_fast_path(hit, now)).flatten();
        fast.unwrap_or_else(|| self.increment_by_future(hit, now))
    }

    /// Calls `try_increment` of the backend, and once more if it returns `None`, like a limiter.
    pub(super) fn increment_by_fast_path(
        &self,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        let backend = &self.subject.backend;
        self.with_counter(|counter| {
            backend
                .try_increment(counter, hit, now)
                .or_else(|| backend.try_increment(&counter.retry(), hit, now))
        })
    }

    /// Calls `increment` of the backend.
    pub(super) fn increment_by_future(&self, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.increment(counter, hit, now)))
    }

    pub(super) fn try_get(&self, now: Timestamp) -> Result<CounterState> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.get(counter, now)))
    }

    pub(super) fn try_reset(&self, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.with_counter(|counter| self.subject.block_on(self.subject.backend.reset(counter, window, now)))
    }

    fn with_counter<R>(&self, operation: impl FnOnce(&Counter<'_>) -> R) -> R {
        let key = self.new_key();
        operation(&self.counter(&key))
    }

    /// Returns the key, which the [counter](Self::counter) borrows.
    pub(super) fn new_key(&self) -> Key<'_> {
        Key::from(&self.key)
    }

    /// Returns the counter that the operations of this probe are on.
    pub(super) fn counter<'a>(&'a self, key: &'a Key<'a>) -> Counter<'a> {
        let counter =
            Counter::new(&self.namespace, key, self.window).expect("the suite uses valid keys only");
        let counter = match self.window {
            Window::Bucket { .. } => counter.with_bucket(self.bucket),
            _ => counter,
        };
        if self.is_sliding { counter.sliding() } else { counter }
    }

    #[track_caller]
    pub(super) fn expect_ok<T>(&self, operation: Operation, result: Result<T>) -> T {
        match result {
            Ok(result) => result,
            Err(error) => panic!("`{operation}` has to succeed here, but failed: {error}\n  of {self}"),
        }
    }
}

/// # Expected results
impl<H: Harness> CounterProbe<'_, H> {
    /// Returns how much a token is in a hit on this counter.
    pub(super) const fn unit(&self) -> u128 {
        match self.window {
            Window::Bucket { length } => length.as_nanos() as u128,
            _ => 1,
        }
    }

    /// Returns the floor of a hit on this counter.
    pub(super) const fn floor(&self, now: Timestamp) -> u128 {
        match self.window {
            Window::Bucket { .. } => now.as_nanos() as u128 * self.bucket.limit as u128,
            _ => 0,
        }
    }

    pub(super) fn absent(&self) -> CounterState {
        let state = CounterState::new(false, 0);
        match self.window {
            Window::Aligned { start, .. } | Window::Span { start, .. } => state.with_start(start),
            Window::FromFirstHit { .. } | Window::Bucket { .. } | Window::Log { .. } => state,
        }
    }

    /// Returns the result of `hit` at `now` on a counter in this state.
    pub(super) fn after(&self, state: &CounterState, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        match hit.apply(state.value) {
            None => self.uncounted(state, 0),
            Some(_) if state.value == 0 => self.after_first(hit, now),
            Some(value) if matches!(self.window, Window::Log { .. }) => {
                CounterState { counted: true, value, start: state.start.max(Some(now)), ..self.absent() }
            }
            Some(value) => CounterState { counted: true, value, ..state.clone() },
        }
    }

    /// Returns the result of `hit`, counted on an absent counter.
    pub(super) fn after_first(&self, hit: &Hit<'_>, now: Timestamp) -> CounterState {
        let value = hit.apply(0).expect("the suite expects only hits that fit");
        let state = CounterState { counted: true, value, ..self.absent() };
        match self.window {
            Window::FromFirstHit { .. } => state.with_start(now).with_meta(Arc::new(WindowMeta {
                id: hit.window_id,
                metadata: hit.metadata.map(Into::into),
            })),
            Window::Log { .. } if hit.cost > 0 => state.with_start(now),
            _ => state,
        }
    }

    /// Returns the result of a counted hit that added this many tokens to `state`.
    pub(super) fn counted(&self, state: &CounterState, tokens: u128) -> CounterState {
        CounterState { counted: true, value: state.value + tokens * self.unit(), ..state.clone() }
    }

    /// Returns the result of a read or a refused hit, after this many tokens were added to `state`.
    pub(super) fn uncounted(&self, state: &CounterState, tokens: u128) -> CounterState {
        CounterState { counted: false, ..self.counted(state, tokens) }
    }

    /// Fails the check with `rule` unless the result is the expected one. The hits of a log are
    /// compared only if they are expected.
    #[track_caller]
    pub(super) fn expect(&self, seen: &CounterState, expected: &CounterState, rule: &str) {
        let is_log = matches!(self.window, Window::Log { .. });
        let log = if is_log && expected.log.is_none() { None } else { seen.log.clone() };
        let seen = &CounterState { log, ..seen.clone() };
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {self}");
    }
}

impl<H: Harness> fmt::Display for CounterProbe<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sliding = if self.is_sliding { "sliding " } else { "" };
        write!(
            f,
            "the key {:?} in the namespace {:?}, {sliding}window {:?}",
            self.key, self.namespace, self.window
        )
    }
}
