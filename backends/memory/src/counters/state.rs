//! The state of one counter, and the operations on it. Pure arithmetic, without locks and tables.

use std::sync::Arc;

use limited_core::{
    CounterState, Hit, Timestamp, Window, WindowId, WindowLength, WindowMeta, bucket_full_at, has_ended,
    retained_until,
};

use super::windows::{Reading, WindowMode, Windows};

/// What is stored for one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum StoredState {
    Aligned(Box<Windows>),
    FromFirstHit(FirstHitWindow),
    Bucket { value: u128 },
}

/// A window that starts with its first hit.
#[derive(Clone, Debug)]
pub(crate) struct FirstHitWindow {
    start: Timestamp,
    value: u128,
    meta: Arc<WindowMeta>,
}

impl StoredState {
    /// Counts `hit`, or changes nothing if it is refused. `mode` matters to aligned windows only.
    pub(crate) fn increment(
        &mut self,
        window: Window,
        hit: &Hit<'_>,
        reading: Reading,
        mode: WindowMode,
    ) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                let at = reading.in_window(start, length, mode);
                let (state, after) = windows.increment(hit, at);
                **windows = after.unwrap_or(**windows);
                state
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                if has_ended(first_hit.start, length, reading.now) {
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
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => {
                increment_bucket(value, limit, hit, reading.now)
            }
            _ => Self::mismatch(),
        }
    }

    /// Reads the counter. `mode` matters to aligned windows only.
    pub(crate) fn get(&self, window: Window, reading: Reading, mode: WindowMode) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.get(reading.in_window(start, length, mode))
            }
            (Self::FromFirstHit(first_hit), Window::FromFirstHit { length }) => {
                if has_ended(first_hit.start, length, reading.now) {
                    CounterState::default()
                } else {
                    first_hit.state(false)
                }
            }
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => {
                CounterState::new(false, value_unless_full(*value, limit, reading.now))
            }
            _ => Self::mismatch(),
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
            (Self::Bucket { value }, Window::Bucket { limit, length }) => {
                bucket_retained_until(*value, limit, length, reading)
            }
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
    value: u128,
    limit: u64,
    length: WindowLength,
    reading: Reading,
) -> Timestamp {
    bucket_full_at(value, limit).saturating_add(length.as_duration()).saturating_add(reading.skew)
}

/// Counts `hit` in a bucket, or changes nothing if it is refused.
#[inline(always)]
pub(crate) fn increment_bucket(value: &mut u128, limit: u64, hit: &Hit<'_>, now: Timestamp) -> CounterState {
    match hit.apply(*value) {
        Some(after) => {
            *value = after;
            CounterState::new(true, after)
        }
        None => CounterState::new(false, value_unless_full(*value, limit, now)),
    }
}

/// Returns the value of a bucket, or 0 if it is full and so equals an absent one. A full bucket
/// stays stored for a while, since the clock may jump back to a time at which it was not full.
pub(crate) fn value_unless_full(value: u128, limit: u64, now: Timestamp) -> u128 {
    if value <= u128::from(now.as_nanos()) * u128::from(limit) { 0 } else { value }
}

impl FirstHitWindow {
    /// Returns the result of a first hit, and the window that it opens if it is counted.
    pub(crate) fn open(hit: &Hit<'_>, now: Timestamp) -> (CounterState, Option<Self>) {
        let Some(value) = hit.apply(0) else { return (CounterState::default(), None) };
        let meta = WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Arc::from) };
        let window = Self { start: now, value, meta: Arc::new(meta) };
        (window.state(true), Some(window))
    }

    fn state(&self, counted: bool) -> CounterState {
        CounterState::new(counted, self.value).with_start(self.start).with_meta(Arc::clone(&self.meta))
    }
}
