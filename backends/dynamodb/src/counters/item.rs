//! The item of a counter: its key, and its state.

use std::sync::Arc;
use std::time::Duration;

use limited_core::bucket::StoredBucket;
use limited_core::{
    BucketQuota, Counter, CounterState, Dimensions, HitLog, Result, Timestamp, Window, WindowId, WindowMeta,
    has_ended, has_passed, is_ahead,
};

use crate::attributes::{
    CAPACITY, COUNT, IDENTIFIER, Item, LIMIT, LOG, METADATA, OPENED_AT, SLOT_PREFIX, WINDOW_ID, WINDOW_TIME,
    key_attributes, number, text, time, unreadable,
};
use crate::format::{WindowTimeFormat, identifier, window_time};

/// The bytes that DynamoDB accepts as a partition key.
pub(super) const MAX_IDENTIFIER_BYTES: usize = 2048;

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ItemKey {
    identifier: String,
    window_time: String,
}

impl ItemKey {
    pub(super) fn of(counter: &Counter<'_>, format: WindowTimeFormat) -> Self {
        Self {
            identifier: identifier(counter.namespace(), counter.key(), MAX_IDENTIFIER_BYTES),
            window_time: window_time(counter.window(), format),
        }
    }

    pub(super) fn attributes(&self) -> Item {
        key_attributes((IDENTIFIER, &self.identifier), (WINDOW_TIME, &self.window_time))
    }

    /// Returns whether this is the key of an item.
    pub(super) fn is_of(&self, item: &Item) -> bool {
        let is = |name, expected: &str| {
            item.get(name).and_then(|value| value.as_s().ok()).is_some_and(|value| value == expected)
        };
        is(IDENTIFIER, &self.identifier) && is(WINDOW_TIME, &self.window_time)
    }
}

/// The item that a batch of hits is written to.
pub(super) struct CounterItem {
    pub(super) key: ItemKey,
    pub(super) window: Window,
    /// The counter's key and the parts that it was composed of, if it was composed of any.
    pub(super) dimensions: Option<(String, Dimensions)>,
}

impl CounterItem {
    /// Returns the item of the window before, which the hits of a sliding counter depend on; `None`
    /// if there is no such window.
    pub(super) fn previous(&self, format: WindowTimeFormat) -> Option<PreviousItem> {
        let window = self.window.previous()?;
        let identifier = self.key.identifier.clone();
        Some(PreviousItem { key: ItemKey { identifier, window_time: window_time(window, format) }, window })
    }
}

/// The item of the window before that of a hit.
pub(super) struct PreviousItem {
    pub(super) key: ItemKey,
    pub(super) window: Window,
}

/// The state of an item. Unknown attributes are ignored, missing ones have a default.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemState {
    /// The value: of a bucket in the unit of [`bucket`](Self::bucket), or after
    /// [`converted`](Self::converted) in that of another quota.
    pub(super) value: u128,
    pub(super) exists: bool,
    /// The count, as the item has it.
    pub(super) count: Option<u128>,
    /// The hits of a log, and the text that the item has of them.
    pub(super) log: HitLog,
    pub(super) log_text: Option<String>,
    /// The attributes of a bucket, as the item has them.
    pub(super) bucket: BucketAttributes,
    /// How far the clock that wrote a bucket is ahead, at least.
    pub(super) clock_lead: Duration,
    pub(super) opened: Option<(Timestamp, Arc<WindowMeta>)>,
    /// When the first hit opened the window, as the item has it.
    pub(super) opened_at: Option<String>,
    /// Each writer's slot: the number of its last write.
    pub(super) slots: Vec<(String, u64)>,
}

/// The attributes of a bucket that a write may expect to be unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BucketAttributes {
    pub(super) count: Option<u128>,
    pub(super) limit: Option<u64>,
    pub(super) capacity: Option<u64>,
}

impl BucketAttributes {
    /// Returns the bucket; `None` if it is absent. Without a limit, the unit of the count is
    /// unknown.
    pub(super) fn stored(self) -> Option<StoredBucket> {
        let (value, limit) = (self.count?, self.limit?);
        Some(StoredBucket { value, quota: BucketQuota::new(limit, self.capacity.unwrap_or(limit)) })
    }
}

impl ItemState {
    pub(super) fn read(item: &Item, window: Window) -> Result<Self> {
        let string = |name| item.get(name).and_then(|value| value.as_s().ok());
        let count = number(item, COUNT)?;
        let bucket = match window {
            Window::Bucket { .. } => {
                BucketAttributes { count, limit: number(item, LIMIT)?, capacity: number(item, CAPACITY)? }
            }
            _ => BucketAttributes::default(),
        };
        let start = match window {
            Window::FromFirstHit { .. } => time(item, OPENED_AT)?,
            _ => None,
        };
        let id = string(WINDOW_ID).map_or(Ok(0), |id| u128::from_str_radix(id, 16));
        let opened = start.map(|start| {
            let id = WindowId(id.map_err(|_| unreadable(WINDOW_ID))?);
            let metadata = string(METADATA).map(|metadata| Arc::from(metadata.as_str()));
            Ok((start, Arc::new(WindowMeta { id, metadata })))
        });
        let log_text = match window {
            Window::Log { .. } => text(item, LOG)?,
            _ => None,
        };
        let log = log_text.map(|text| text.parse().map_err(|_| unreadable(LOG))).transpose()?;
        let slots = item.iter().filter(|(name, _)| name.starts_with(SLOT_PREFIX));
        let slots = slots.filter_map(|(name, value)| Some((name.clone(), value.as_n().ok()?.parse().ok()?)));
        Ok(Self {
            value: count.unwrap_or_default(),
            exists: true,
            count,
            log: log.unwrap_or_default(),
            log_text: log_text.map(str::to_owned),
            bucket,
            clock_lead: Duration::ZERO,
            opened: opened.transpose()?,
            opened_at: string(OPENED_AT).cloned(),
            slots: slots.collect(),
        })
    }

    /// Returns the state to remember: other writers change their slots.
    pub(super) fn without_slots(&self) -> Self {
        let mut state = self.clone();
        state.slots = Vec::new();
        state
    }

    /// Returns the number of the last write of this writer.
    pub(super) fn slot(&self, name: &str) -> Option<u64> {
        self.slots.iter().find(|(slot, _)| slot == name).map(|(_, number)| *number)
    }

    /// Returns the state at `now`: that of an absent item if this one has expired or was written by
    /// a wrong clock. The value of a bucket is in the unit of `quota`.
    pub(super) fn live(
        self,
        window: Window,
        quota: Option<BucketQuota>,
        now: Timestamp,
        skew: Duration,
    ) -> Self {
        match (window, quota) {
            (Window::Bucket { .. }, Some(quota)) => {
                let live = self.converted(window, quota, now, skew);
                let is_full = live.value <= u128::from(now.as_nanos()) * u128::from(quota.limit);
                // A bucket that is full is the same as an absent one.
                if is_full { Self { value: 0, ..live } } else { live }
            }
            (Window::Log { length }, _) => {
                let mut live = self;
                live.log.expire(length, now, skew);
                live.value = live.log.value(length, now);
                live
            }
            (Window::Span { end, .. }, _) if has_passed(end.saturating_add(skew), now) => Self::default(),
            _ if self.has_ended(window, now, skew) => Self { slots: self.slots, ..Self::default() },
            _ => self,
        }
    }

    /// Returns the state with the value of a bucket in the unit of `quota`. The value is 0 if only
    /// a wrong clock can have written it.
    pub(super) fn converted(
        self,
        window: Window,
        quota: BucketQuota,
        now: Timestamp,
        skew: Duration,
    ) -> Self {
        let live = self.bucket.stored().map(|stored| stored.live(quota, window.length(), now, skew));
        let live = live.unwrap_or_default();
        Self { value: live.value, clock_lead: live.clock_lead, ..self }
    }

    /// Returns whether a window from the first hit has ended, was opened by a wrong clock, or has
    /// not been opened.
    pub(super) fn has_ended(&self, window: Window, now: Timestamp, skew: Duration) -> bool {
        match (window, &self.opened) {
            (Window::FromFirstHit { length }, Some((start, _))) => {
                has_ended(*start, length, now) || is_ahead(*start, now, skew)
            }
            (Window::FromFirstHit { .. }, None) => true,
            _ => false,
        }
    }

    /// Returns the result of an operation after which the counter has this value.
    pub(super) fn counter_state(&self, counted: bool, value: u128, window: Window) -> CounterState {
        let state = CounterState::new(counted, value);
        match (window, &self.opened) {
            (Window::Aligned { start, .. } | Window::Span { start, .. }, _) => state.with_start(start),
            (Window::FromFirstHit { .. }, Some((start, meta))) => {
                state.with_start(*start).with_meta(Arc::clone(meta))
            }
            (Window::Log { .. }, _) => {
                let state = match self.log.newest() {
                    Some(newest) => state.with_start(newest),
                    None => state,
                };
                if counted { state } else { state.with_log(Arc::new(self.log.clone())) }
            }
            (Window::Bucket { .. }, _) if !counted => state.with_clock_lead(self.clock_lead),
            _ => state,
        }
    }
}
