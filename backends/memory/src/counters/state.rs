//! The state of one counter, and what operations do to it. No locks, no tables: numbers in, numbers out.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    CounterState, Hit, Timestamp, Window, WindowId, WindowLength, WindowMeta, bucket_full_at, has_ended,
    retained_until,
};

use super::window_kind::WindowKind;
use super::windows::{WindowAt, WindowMode, Windows, is_implausible};

/// What is known of one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum StoredState {
    Aligned(Box<Windows>),
    FromFirstHit(FirstHitWindow),
    Bucket { value: u128 },
}

/// A window that a hit has opened.
#[derive(Clone, Debug)]
pub(crate) struct FirstHitWindow {
    start: Timestamp,
    value: u128,
    meta: Arc<WindowMeta>,
}

/// When an operation happens, and how far clocks may be apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl Reading {
    pub(crate) const fn at(self, start: Timestamp, length: WindowLength) -> WindowAt {
        WindowAt { start, length, now: self.now, skew: self.skew }
    }
}

impl StoredState {
    /// Counts `hit`, or leaves everything as it was. `mode` is about aligned windows only.
    pub(crate) fn increment(
        &mut self,
        window: Window,
        hit: &Hit<'_>,
        reading: Reading,
        mode: WindowMode,
    ) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                let (state, after) = Windows::increment(Some(windows), hit, reading.at(start, length), mode);
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

    /// Reads. `mode` is about aligned windows only.
    pub(crate) fn get(&self, window: Window, reading: Reading, mode: WindowMode) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                Windows::get(Some(windows), reading.at(start, length), mode)
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

    /// Forgets the window, or where a generation is named, only that one. Tells whether nothing is left.
    pub(crate) fn reset(&mut self, window: Window, window_id: Option<WindowId>) -> bool {
        match (self, window, window_id) {
            (Self::Aligned(windows), Window::Aligned { start, length }, None) => {
                windows.remove(start, length);
                windows.is_empty()
            }
            (Self::FromFirstHit(first_hit), _, Some(named)) => named == first_hit.meta.id,
            (_, _, named) => named.is_none(),
        }
    }

    /// From when on the entry is the same as none, and a clock that jumps back within the allowed skew does not find
    /// a difference either.
    pub(crate) fn retained_until(&self, kind: WindowKind, reading: Reading) -> Timestamp {
        match (self, kind) {
            (Self::Aligned(windows), WindowKind::Aligned { length }) => {
                windows_retained_until(Timestamp::from_nanos(windows.newest), length, reading)
            }
            (Self::FromFirstHit(first_hit), WindowKind::FromFirstHit { length }) => {
                retained_until(first_hit.start, length, reading.skew)
            }
            (Self::Bucket { value }, WindowKind::Bucket { limit, length }) => {
                bucket_retained_until(*value, limit, length, reading)
            }
            _ => Timestamp::EPOCH,
        }
    }

    /// The kind of a window is part of what an entry is found by, so that the two always agree. Refusing is the safe
    /// answer all the same.
    fn mismatch() -> CounterState {
        debug_assert!(false, "an entry has the kind of window that it is found by");
        CounterState::default()
    }
}

/// [`StoredState::retained_until`] of aligned windows.
pub(crate) fn windows_retained_until(newest: Timestamp, length: WindowLength, reading: Reading) -> Timestamp {
    if is_implausible(newest, length, reading.now, reading.skew) {
        // Counted by a clock that was wrong: it keeps nobody.
        Timestamp::EPOCH
    } else {
        retained_until(newest, length, reading.skew)
    }
}

/// [`StoredState::retained_until`] of a bucket.
pub(crate) fn bucket_retained_until(
    value: u128,
    limit: u64,
    length: WindowLength,
    reading: Reading,
) -> Timestamp {
    bucket_full_at(value, limit).saturating_add(length.as_duration()).saturating_add(reading.skew)
}

/// Counts `hit` in a bucket, or leaves it as it was.
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

/// The value of a bucket; 0 where it is full, and so the same as an absent one. It is kept all the same for a while,
/// since the clock may jump back to when it was not.
pub(crate) fn value_unless_full(value: u128, limit: u64, now: Timestamp) -> u128 {
    if value <= u128::from(now.as_nanos()) * u128::from(limit) { 0 } else { value }
}

impl FirstHitWindow {
    /// The window that a hit opens, if it is counted.
    pub(crate) fn open(hit: &Hit<'_>, now: Timestamp) -> (CounterState, Option<Self>) {
        let Some(value) = hit.apply(0) else {
            return (CounterState::default(), None);
        };
        let meta = WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Arc::from) };
        let first_hit = Self { start: now, value, meta: Arc::new(meta) };
        (first_hit.state(true), Some(first_hit))
    }

    fn state(&self, counted: bool) -> CounterState {
        CounterState::new(counted, self.value).with_start(self.start).with_meta(Arc::clone(&self.meta))
    }
}
