//! The state of one entry, and what operations do to it. No locks, no maps: numbers in, numbers out.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Generation, Hit, Opening, Tally, Timestamp, Window, bucket_full_at, forgotten_from, has_ended,
};

use crate::series::Kind;
use crate::windows::{At, View, Windows};

/// What is known of one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Aligned(Windows),
    Opened(Option<Opened>),
    Bucket { value: u128 },
}

/// A window that a hit has opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    start: Timestamp,
    value: u128,
    opening: Arc<Opening>,
}

/// When an operation happens, and how far clocks may be apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl State {
    /// The state that an absent entry has.
    pub(crate) fn absent(window: Window) -> Self {
        match window {
            Window::Aligned { .. } => Self::Aligned(Windows::default()),
            Window::Opened { .. } => Self::Opened(None),
            Window::Bucket { .. } => Self::Bucket { value: 0 },
        }
    }

    /// Counts `hit`, or leaves everything as it was. `view` is about aligned windows only.
    pub(crate) fn increment(&mut self, window: Window, hit: &Hit<'_>, when: When, view: View) -> Tally {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.increment(hit, At { start, length, now: when.now, skew: when.skew }, view)
            }
            (Self::Opened(opened), Window::Opened { length }) => {
                if opened.as_ref().is_some_and(|opened| has_ended(opened.start, length, when.now)) {
                    return Self::open(opened, hit, when.now);
                }
                match opened {
                    Some(opened) => match hit.apply(opened.value) {
                        Some(value) => {
                            opened.value = value;
                            opened.tally(true)
                        }
                        None => opened.tally(false),
                    },
                    None => Self::open(opened, hit, when.now),
                }
            }
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => match hit.apply(*value) {
                Some(after) => {
                    *value = after;
                    Tally::new(true, after)
                }
                None => Tally::new(false, unless_full(*value, limit, when.now)),
            },
            _ => Self::mismatch(),
        }
    }

    /// Reads. `view` is about aligned windows only.
    pub(crate) fn get(&self, window: Window, when: When, view: View) -> Tally {
        match (self, window) {
            (Self::Aligned(windows), Window::Aligned { start, length }) => {
                windows.get(At { start, length, now: when.now, skew: when.skew }, view)
            }
            (Self::Opened(opened), Window::Opened { length }) => opened
                .as_ref()
                .filter(|opened| !has_ended(opened.start, length, when.now))
                .map_or_else(Tally::default, |opened| opened.tally(false)),
            (Self::Bucket { value }, Window::Bucket { limit, .. }) => {
                Tally::new(false, unless_full(*value, limit, when.now))
            }
            _ => Self::mismatch(),
        }
    }

    /// Forgets the window, or where a generation is named, only that one. Tells whether nothing is left.
    pub(crate) fn reset(&mut self, window: Window, generation: Option<Generation>) -> bool {
        match (self, window, generation) {
            (Self::Aligned(windows), Window::Aligned { start, .. }, None) => {
                windows.remove(start);
                windows.is_empty()
            }
            (Self::Opened(Some(opened)), _, Some(named)) => named == opened.opening.generation,
            (_, _, named) => named.is_none(),
        }
    }

    /// From when on the entry is the same as none, and a clock that jumps back within the allowed skew does not find
    /// a difference either.
    pub(crate) fn forgotten_from(&self, kind: Kind, When { now, skew }: When) -> Timestamp {
        match (self, kind) {
            (Self::Aligned(windows), Kind::Aligned { length }) => {
                // Windows further ahead were counted by a clock that was wrong: they keep nobody.
                let latest = forgotten_from(now, length, skew);
                windows.newest(latest).map_or(Timestamp::EPOCH, |start| forgotten_from(start, length, skew))
            }
            (Self::Opened(Some(opened)), Kind::Opened { length }) => {
                forgotten_from(opened.start, length, skew)
            }
            (Self::Bucket { value }, Kind::Bucket { limit, length }) => {
                bucket_full_at(*value, limit).saturating_add(length.as_duration()).saturating_add(skew)
            }
            _ => Timestamp::EPOCH,
        }
    }

    /// Whether that is before `due`, when it was to be looked at again. Buckets only ever fill up later.
    pub(crate) fn is_forgotten_before(&self, due: Timestamp, kind: Kind, when: When) -> bool {
        !matches!(self, Self::Bucket { .. }) && self.forgotten_from(kind, when) < due
    }

    fn open(opened: &mut Option<Opened>, hit: &Hit<'_>, now: Timestamp) -> Tally {
        let Some(value) = hit.apply(0) else {
            return Tally::default();
        };
        let opening = Opening { generation: hit.generation, note: hit.note.map(Arc::from) };
        opened.insert(Opened { start: now, value, opening: Arc::new(opening) }).tally(true)
    }

    /// The kind of a window is part of what an entry is found by, so that the two always agree. Refusing is the safe
    /// answer all the same.
    fn mismatch() -> Tally {
        debug_assert!(false, "an entry has the kind of window that it is found by");
        Tally::default()
    }
}

/// The value of a bucket; 0 where it is full, and so the same as an absent one. It is kept all the same for a while,
/// since the clock may jump back to when it was not.
fn unless_full(value: u128, limit: u64, now: Timestamp) -> u128 {
    if value <= u128::from(now.as_nanos()) * u128::from(limit) { 0 } else { value }
}

impl Opened {
    fn tally(&self, counted: bool) -> Tally {
        Tally::new(counted, self.value).with_start(self.start).with_opening(Arc::clone(&self.opening))
    }
}
