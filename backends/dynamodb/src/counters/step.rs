//! One hit on an item whose state is known: the arithmetic of logs and of transactions.

use std::sync::Arc;
use std::time::Duration;

use limited_core::bucket::StoredBucket;
use limited_core::coalesce::PendingHit;
use limited_core::{CounterState, Hit, Timestamp, Window, WindowMeta};

use super::item::{BucketAttributes, ItemState};
use crate::format::{hex_128, timestamp};

/// What a hit makes of an item.
#[derive(Debug)]
pub(super) struct Step {
    /// The counter without the hit.
    pub(super) before: CounterState,
    /// The counter and the item after the hit; `None` if the hit does not fit.
    pub(super) after: Option<(CounterState, ItemState)>,
}

impl Step {
    /// Applies a hit to an item.
    pub(super) fn of(item: &ItemState, window: Window, hit: &PendingHit, skew: Duration) -> Self {
        let now = hit.now;
        let plain = Hit::new(hit.cost, hit.ceiling).with_floor(hit.floor);
        let mut live = item.clone().live(window, hit.bucket, now, skew);
        let before = live.counter_state(false, live.value, window);
        if is_past(window, now, skew) {
            return Self { before, after: None };
        }
        if let Window::Log { length } = window {
            let fits = live.log.hit(&plain, length, now);
            if !fits || hit.cost == 0 {
                let after = fits.then(|| (live.counter_state(true, live.value, window), item.clone()));
                return Self { before, after };
            }
            live.value = live.log.value(length, now);
            live.log_text = Some(live.log.to_string());
            return Self { before, after: Some(counted(live, window)) };
        }
        let Some(value) = plain.apply(live.value) else { return Self { before, after: None } };
        if is_condition(hit) {
            let after = Some((live.counter_state(true, value, window), item.clone()));
            return Self { before, after };
        }
        live.value = value;
        if let (Window::Bucket { .. }, Some(quota)) = (window, hit.bucket) {
            live = live.with_bucket(StoredBucket { value, quota });
        }
        if let (Window::FromFirstHit { .. }, None) = (window, &live.opened) {
            let meta = WindowMeta { id: hit.window_id, metadata: hit.metadata.clone() };
            live.opened = Some((now, Arc::new(meta)));
            live.opened_at = Some(timestamp(now));
        }
        Self { before, after: Some(counted(live, window)) }
    }
}

fn counted(mut state: ItemState, window: Window) -> (CounterState, ItemState) {
    state.exists = true;
    state.count = Some(state.value);
    (state.counter_state(true, state.value, window), state)
}

impl ItemState {
    /// Returns the state with another value of a bucket, and the quota that determines its unit.
    pub(super) fn with_bucket(self, stored: StoredBucket) -> Self {
        let StoredBucket { value, quota } = stored;
        let bucket =
            BucketAttributes { count: Some(value), limit: Some(quota.limit), capacity: Some(quota.capacity) };
        Self { value, count: Some(value), bucket, ..self }
    }

    /// Returns whether a write would leave the item as it is.
    pub(super) fn has_same_value(&self, other: &Self) -> bool {
        self.count == other.count
            && self.bucket == other.bucket
            && self.opened_at == other.opened_at
            && self.log_text == other.log_text
    }

    /// Returns the id of the window from the first hit, in hexadecimal.
    pub(super) fn window_id(&self) -> Option<String> {
        self.opened.as_ref().map(|(_, meta)| hex_128(meta.id.0))
    }
}

/// Returns whether a hit changes nothing: it is counted if it fits, and adds nothing.
pub(super) const fn is_condition(hit: &PendingHit) -> bool {
    hit.cost == 0 && hit.floor == 0
}

/// Returns whether a hit is on a span that is over for every clock within the skew.
pub(super) fn is_past(window: Window, now: Timestamp, skew: Duration) -> bool {
    matches!(window, Window::Span { end, .. } if limited_core::has_passed(end.saturating_add(skew), now))
}
