//! The state of one counter, and what operations do to it. No locks, no tables: numbers in, numbers out.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    CounterState, Hit, Timestamp, Window, WindowId, WindowLength, WindowMeta, bucket_full_at, has_ended,
    retained_until,
};

use crate::counters::window_kind::Kind;
use crate::counters::windows::{At, View, Windows, is_implausible};

/// What is known of one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Aligned(Box<Windows>),
    Opened(Opened),
    Bucket { value: u128 },
}

/// A window that a hit has opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    start: Timestamp,
    value: u128,
    meta: Arc<WindowMeta>,
}

/// When an operation happens, and how far clocks may be apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl When {
    pub(crate) const fn at(self, start: Timestamp, length: WindowLength) -> At {
        At { start, length, now: self.now, skew: self.skew }
    }
}

impl State {
    /// Counts `hit`, or leaves everything as it was. `view` is about aligned windows only.
    pub(crate) fn increment(
        &mut self,
        window: Window,
        hit: &Hit<'_>,
        when: When,
        view: View,
    ) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                let (tally, after) = Windows::increment(Some(windows), hit, when.at(start, length), view);
                **windows = after.unwrap_or(**windows);
                tally
            }
            (Self::Opened(opened), Window::FromFirstHit { length }) => {
                if has_ended(opened.start, length, when.now) {
                    let (tally, after) = Opened::by(hit, when.now);
                    if let Some(after) = after {
                        *opened = after;
                    }
                    return tally;
                }
                let after = hit.apply(opened.value);
                opened.value = after.unwrap_or(opened.value);
                opened.tally(after.is_some())
            }
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => fill(value, limit, hit, when.now),
            _ => Self::mismatch(),
        }
    }

    /// Reads. `view` is about aligned windows only.
    pub(crate) fn get(&self, window: Window, when: When, view: View) -> CounterState {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                Windows::get(Some(windows), when.at(start, length), view)
            }
            (Self::Opened(opened), Window::FromFirstHit { length }) => {
                if has_ended(opened.start, length, when.now) {
                    CounterState::default()
                } else {
                    opened.tally(false)
                }
            }
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => {
                CounterState::new(false, unless_full(*value, limit, when.now))
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
            (Self::Opened(opened), _, Some(named)) => named == opened.meta.id,
            (_, _, named) => named.is_none(),
        }
    }

    /// From when on the entry is the same as none, and a clock that jumps back within the allowed skew does not find
    /// a difference either.
    pub(crate) fn retained_until(&self, kind: Kind, when: When) -> Timestamp {
        match (self, kind) {
            (Self::Aligned(windows), Kind::Aligned { length }) => {
                windows_forgotten_from(Timestamp::from_nanos(windows.newest), length, when)
            }
            (Self::Opened(opened), Kind::Opened { length }) => {
                retained_until(opened.start, length, when.skew)
            }
            (Self::Bucket { value }, Kind::Bucket { limit, length }) => {
                bucket_forgotten_from(*value, limit, length, when)
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

/// [`State::retained_until`] of aligned windows.
pub(crate) fn windows_forgotten_from(newest: Timestamp, length: WindowLength, when: When) -> Timestamp {
    if is_implausible(newest, length, when.now, when.skew) {
        // Counted by a clock that was wrong: it keeps nobody.
        Timestamp::EPOCH
    } else {
        retained_until(newest, length, when.skew)
    }
}

/// [`State::retained_until`] of a bucket.
pub(crate) fn bucket_forgotten_from(value: u128, limit: u64, length: WindowLength, when: When) -> Timestamp {
    bucket_full_at(value, limit).saturating_add(length.as_duration()).saturating_add(when.skew)
}

/// Counts `hit` in a bucket, or leaves it as it was.
#[inline(always)]
pub(crate) fn fill(value: &mut u128, limit: u64, hit: &Hit<'_>, now: Timestamp) -> CounterState {
    match hit.apply(*value) {
        Some(after) => {
            *value = after;
            CounterState::new(true, after)
        }
        None => CounterState::new(false, unless_full(*value, limit, now)),
    }
}

/// The value of a bucket; 0 where it is full, and so the same as an absent one. It is kept all the same for a while,
/// since the clock may jump back to when it was not.
pub(crate) fn unless_full(value: u128, limit: u64, now: Timestamp) -> u128 {
    if value <= u128::from(now.as_nanos()) * u128::from(limit) { 0 } else { value }
}

impl Opened {
    /// The window that a hit opens, if it is counted.
    pub(crate) fn by(hit: &Hit<'_>, now: Timestamp) -> (CounterState, Option<Self>) {
        let Some(value) = hit.apply(0) else {
            return (CounterState::default(), None);
        };
        let meta = WindowMeta { id: hit.window_id, metadata: hit.metadata.map(Arc::from) };
        let opened = Self { start: now, value, meta: Arc::new(meta) };
        (opened.tally(true), Some(opened))
    }

    fn tally(&self, counted: bool) -> CounterState {
        CounterState::new(counted, self.value).with_start(self.start).with_meta(Arc::clone(&self.meta))
    }
}
