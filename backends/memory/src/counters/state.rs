//! The state of one counter, and the operations on it. Pure arithmetic, without locks and tables.

use std::sync::Arc;

use limited_core::bucket::{LiveBucket, StoredBucket};
use limited_core::{
    BucketQuota, CounterState, Hit, Refund, Timestamp, Window, WindowId, WindowLength, WindowMeta,
    bucket_full_at, has_ended, is_ahead, retained_until,
};

use super::shard::Lookup;
use super::windows::{Reading, WindowMode, Windows};

/// What is stored for one key in windows of one kind and length.
#[derive(Clone, Debug)]
pub(crate) enum StoredState {
    Aligned(Box<Windows>),
    FromFirstHit(FirstHitWindow),
    Bucket(StoredBucket),
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
            _ => Self::mismatch(),
        }
    }

    /// Returns whether `hit` fits, and changes nothing.
    pub(crate) fn fits(&self, lookup: &Lookup, hit: &Hit<'_>) -> bool {
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
