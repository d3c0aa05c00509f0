//! The state of one counter, and the operations on it. Pure arithmetic, without locks and tables.

use std::sync::Arc;

use limited_core::bucket::{LiveBucket, StoredBucket};
use limited_core::{
    BucketQuota, CounterState, Hit, HitLog, Refund, Timestamp, Window, WindowId, WindowLength, WindowMeta,
    bucket_full_at, has_ended, has_passed, is_ahead, retained_until,
};

use super::shard::Lookup;
use super::windows::{Reading, WindowMode, Windows};

/// What is stored for one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum StoredState {
    Aligned(Box<Windows>),
    FromFirstHit(FirstHitWindow),
    Bucket(StoredBucket),
    /// Shared with the states that report it. Never empty after an operation that was counted.
    Log(Arc<HitLog>),
    /// The value of a span. The span itself is the kind of the entry.
    Span(u128),
}

/// A window that starts with its first hit.
#[derive(Clone, Debug)]
pub(crate) struct FirstHitWindow {
    start: Timestamp,
    value: u128,
    meta: Arc<WindowMeta>,
}

impl StoredState {
    /// Counts `hit`, or changes nothing if it is refused.
    pub(crate) fn increment(&mut self, lookup: &Lookup, hit: &Hit<'_>) -> CounterState {
        let &Lookup { window, quota, mode, reading, .. } = lookup;
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                let at = reading.in_window(start, length, mode);
                let (state, after) = windows.increment(hit, at);
                **windows = after.unwrap_or(**windows);
                state
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                if first_hit.is_absent(length, reading) {
                    let (state, after) = FirstHitWindow::open(hit, reading.now);
                    if let Some(after) = after {
                        *first_hit = after;
                    }
                    return state;
                }
                let after = hit.apply(first_hit.value);
                first_hit.value = after.unwrap_or(first_hit.value);
                first_hit.state(after.is_some())
            }
            (Self::Bucket(bucket), Window::Bucket { length }) => {
                let (state, after) = increment_bucket(Some(*bucket), quota, length, hit, reading);
                *bucket = after.unwrap_or(*bucket);
                state
            }
            (Self::Log(log), Window::Log { length }) => increment_log(log, length, hit, reading),
            (Self::Span(value), Window::Span { start, end }) => {
                let (state, after) = increment_span(*value, start, end, hit, reading);
                *value = after.unwrap_or(*value);
                state
            }
            _ => Self::mismatch(),
        }
    }

    /// Reads the counter.
    pub(crate) fn get(&self, lookup: &Lookup) -> CounterState {
        let &Lookup { window, quota, mode, reading, .. } = lookup;
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.get(reading.in_window(start, length, mode))
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                if first_hit.is_absent(length, reading) {
                    CounterState::default()
                } else {
                    first_hit.state(false)
                }
            }
            (Self::Bucket(bucket), Window::Bucket { length }) => get_bucket(*bucket, quota, length, reading),
            (Self::Log(log), Window::Log { length }) => {
                let mut log = Arc::clone(log);
                expire_log(&mut log, length, reading);
                log_state(&log, length, reading.now)
            }
            (Self::Span(value), Window::Span { start, end }) => {
                let value = if has_span_passed(end, reading) { 0 } else { *value };
                CounterState::new(false, value).with_start(start)
            }
            _ => Self::mismatch(),
        }
    }

    /// Returns whether `hit` fits, and counts nothing.
    pub(crate) fn fits(&mut self, lookup: &Lookup, hit: &Hit<'_>) -> bool {
        let &Lookup { window, quota, mode, reading, .. } = lookup;
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.increment(hit, reading.in_window(start, length, mode)).1.is_some()
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                let is_absent = first_hit.is_absent(length, reading);
                hit.apply(if is_absent { 0 } else { first_hit.value }).is_some()
            }
            (Self::Bucket(bucket), Window::Bucket { length }) => {
                increment_bucket(Some(*bucket), quota, length, hit, reading).1.is_some()
            }
            (Self::Log(log), Window::Log { length }) => {
                expire_log(log, length, reading);
                Hit::new(hit.cost, hit.ceiling).apply(log.value(length, reading.now)).is_some()
            }
            (Self::Span(value), Window::Span { start, end }) => {
                increment_span(*value, start, end, hit, reading).1.is_some()
            }
            _ => Self::mismatch().counted,
        }
    }

    /// Returns part of a charge. Returns whether the window that was charged is live and accepts
    /// the refund.
    pub(crate) fn refund(&mut self, lookup: &Lookup, refund: &Refund) -> bool {
        let &Lookup { window, quota, reading, .. } = lookup;
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.refund(refund, reading.in_window(start, length, WindowMode::Fixed))
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                let is_charged = !first_hit.is_absent(length, reading)
                    && first_hit.meta.id == refund.window_id
                    && refund.accepts(first_hit.value);
                if is_charged {
                    first_hit.value = refund.apply(first_hit.value);
                }
                is_charged
            }
            (Self::Bucket(bucket), Window::Bucket { length }) => {
                let after = refund_bucket(*bucket, quota, length, refund, reading);
                *bucket = after.unwrap_or(*bucket);
                after.is_some()
            }
            (Self::Log(log), Window::Log { length }) => {
                expire_log(log, length, reading);
                Arc::make_mut(log).refund(refund, length, reading.now)
            }
            (Self::Span(value), Window::Span { end, .. }) => {
                let is_found = !has_span_passed(end, reading) && *value > 0 && refund.accepts(*value);
                if is_found {
                    *value = refund.apply(*value);
                }
                is_found
            }
            _ => Self::mismatch().counted,
        }
    }

    /// Resets the window, or only the window with this id if one is given. Returns whether the
    /// entry is now to be removed.
    pub(crate) fn reset(&mut self, window: Window, window_id: Option<WindowId>) -> bool {
        match (self, window, window_id) {
            (Self::Aligned(windows), Window::Aligned { start, length }, None) => {
                windows.remove(start, length);
                windows.is_empty()
            }
            (Self::FromFirstHit(first_hit), _, Some(id)) => id == first_hit.meta.id,
            (_, _, id) => id.is_none(),
        }
    }

    /// Returns when the entry may be removed: from then on it equals an absent one, also for a
    /// clock that jumps back within the maximum clock skew.
    pub(crate) fn retained_until(&self, kind: Window, reading: Reading) -> Timestamp {
        match (self, kind) {
            (Self::Aligned(windows), Window::Aligned { length, .. }) => {
                windows.retained_until(length, reading)
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                retained_until(first_hit.start, length, reading.skew)
            }
            (Self::Bucket(bucket), Window::Bucket { length }) => {
                bucket_retained_until(*bucket, length, reading)
            }
            (Self::Log(log), Window::Log { length }) => {
                let newest = log.newest().unwrap_or(Timestamp::EPOCH);
                newest.saturating_add(length.as_duration()).saturating_add(reading.skew)
            }
            (Self::Span(_), Window::Span { start, end }) => span_retained_until(start, end, reading),
            _ => Timestamp::EPOCH,
        }
    }

    /// Refuses. Never called, since the fingerprint of an entry includes the kind of its window.
    fn mismatch() -> CounterState {
        debug_assert!(false, "the window of this entry has another kind than the window of the counter");
        CounterState::default()
    }
}

/// Returns [`StoredState::retained_until`] of a bucket.
pub(crate) fn bucket_retained_until(
    bucket: StoredBucket,
    length: WindowLength,
    reading: Reading,
) -> Timestamp {
    bucket_full_at(bucket.value, bucket.quota.limit)
        .saturating_add(length.as_duration())
        .saturating_add(reading.skew)
}

/// Returns the result of a hit on a bucket, which is `None` if it is absent. Also returns the
/// bucket after the hit, if the hit is counted.
pub(crate) fn increment_bucket(
    bucket: Option<StoredBucket>,
    quota: BucketQuota,
    length: WindowLength,
    hit: &Hit<'_>,
    reading: Reading,
) -> (CounterState, Option<StoredBucket>) {
    let live = bucket
        .map_or_else(LiveBucket::default, |bucket| bucket.live(quota, length, reading.now, reading.skew));
    match hit.apply(live.value) {
        Some(value) => (CounterState::new(true, value), Some(StoredBucket { value, quota })),
        None => (bucket_state(live, quota, reading.now), None),
    }
}

/// Returns a bucket after a refund. `None` if only a wrong clock can have written it, or if it does
/// not accept the refund.
pub(crate) fn refund_bucket(
    bucket: StoredBucket,
    quota: BucketQuota,
    length: WindowLength,
    refund: &Refund,
    reading: Reading,
) -> Option<StoredBucket> {
    let live = bucket.live(quota, length, reading.now, reading.skew);
    let is_charged = live.value > 0 && refund.accepts(live.value);
    is_charged.then(|| refund.apply_to_bucket(bucket, quota, reading.now))
}

/// Reads a bucket.
pub(crate) fn get_bucket(
    bucket: StoredBucket,
    quota: BucketQuota,
    length: WindowLength,
    reading: Reading,
) -> CounterState {
    bucket_state(bucket.live(quota, length, reading.now, reading.skew), quota, reading.now)
}

fn bucket_state(live: LiveBucket, quota: BucketQuota, now: Timestamp) -> CounterState {
    let value = value_unless_full(live.value, quota.limit, now);
    CounterState::new(false, value).with_clock_lead(live.clock_lead)
}

/// Returns the value of a bucket, or 0 if it is full and so equals an absent one. A full bucket
/// stays stored for a while, since the clock may jump back to a time at which it was not full.
pub(crate) fn value_unless_full(value: u128, limit: u64, now: Timestamp) -> u128 {
    if value <= u128::from(now.as_nanos()) * u128::from(limit) { 0 } else { value }
}

/// Counts a hit in a log, or adds nothing if it is refused.
pub(crate) fn increment_log(
    log: &mut Arc<HitLog>,
    length: WindowLength,
    hit: &Hit<'_>,
    reading: Reading,
) -> CounterState {
    let now = reading.now;
    expire_log(log, length, reading);
    // A refused hit copies no log that a state refers to.
    if Hit::new(hit.cost, hit.ceiling).apply(log.value(length, now)).is_none() {
        return log_state(log, length, now);
    }
    if hit.cost > 0 {
        Arc::make_mut(log).hit(hit, length, now);
    }
    let mut state = CounterState::new(true, log.value(length, now));
    state.start = log.newest();
    state
}

/// Removes the hits of a log that no clock needs. Changes and copies nothing if there are none.
fn expire_log(log: &mut Arc<HitLog>, length: WindowLength, Reading { now, skew }: Reading) {
    let has_expired =
        log.entries().first().is_some_and(|(oldest, _)| has_ended(*oldest, length, now.saturating_sub(skew)));
    if has_expired || log.newest().is_some_and(|newest| is_ahead(newest, now, skew)) {
        Arc::make_mut(log).expire(length, now, skew);
    }
}

/// Returns the state of a log after a read or a refused hit.
pub(crate) fn log_state(log: &Arc<HitLog>, length: WindowLength, now: Timestamp) -> CounterState {
    let mut state = CounterState::new(false, log.value(length, now)).with_log(Arc::clone(log));
    state.start = log.newest();
    state
}

/// Returns the result of a hit on a span of this value, and the value after it if it is counted.
pub(crate) fn increment_span(
    value: u128,
    start: Timestamp,
    end: Timestamp,
    hit: &Hit<'_>,
    reading: Reading,
) -> (CounterState, Option<u128>) {
    if has_span_passed(end, reading) {
        return (CounterState::new(false, 0).with_start(start), None);
    }
    let after = hit.apply(value);
    (CounterState::new(after.is_some(), after.unwrap_or(value)).with_start(start), after)
}

/// Returns whether a span may have been removed, so that it is absent and counts nothing more.
fn has_span_passed(end: Timestamp, reading: Reading) -> bool {
    has_passed(end.saturating_add(reading.skew), reading.now)
}

/// Returns [`StoredState::retained_until`] of a span. Like aligned windows, a span that begins
/// implausibly far ahead was counted by a wrong clock.
fn span_retained_until(start: Timestamp, end: Timestamp, Reading { now, skew }: Reading) -> Timestamp {
    let length = Window::Span { start, end }.length();
    if start > retained_until(now, length, skew) { Timestamp::EPOCH } else { end.saturating_add(skew) }
}

impl FirstHitWindow {
    /// Returns the result of a first hit, and the window that it opens if it is counted.
    pub(crate) fn open(hit: &Hit<'_>, now: Timestamp) -> (CounterState, Option<Self>) {
        let Some(value) = hit.apply(0) else { return (CounterState::default(), None) };
        let meta = WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Arc::from) };
        let window = Self { start: now, value, meta: Arc::new(meta) };
        (window.state(true), Some(window))
    }

    /// Returns whether the window has ended, or was started by a wrong clock.
    fn is_absent(&self, length: WindowLength, reading: Reading) -> bool {
        has_ended(self.start, length, reading.now) || is_ahead(self.start, reading.now, reading.skew)
    }

    fn state(&self, counted: bool) -> CounterState {
        CounterState::new(counted, self.value).with_start(self.start).with_meta(Arc::clone(&self.meta))
    }
}
