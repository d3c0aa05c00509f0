//! The item of a counter: its key, and its state.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Counter, CounterState, Dimensions, Result, Timestamp, Window, WindowId, WindowMeta, bucket_full_at,
    has_ended, retained_until,
};

use crate::attributes::{
    COUNT, IDENTIFIER, Item, METADATA, OPENED_AT, SLOT_PREFIX, WINDOW_ID, WINDOW_TIME, key_attributes,
    number, time, unreadable,
};
use crate::format::{WindowTimeFormat, identifier, window_time};

/// The bytes that DynamoDB accepts as a partition key.
const MAX_IDENTIFIER_BYTES: usize = 2048;

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ItemKey {
    identifier: String,
    window_time: String,
}

impl ItemKey {
    pub(super) fn of(counter: &Counter<'_>, format: WindowTimeFormat) -> Self {
        Self {
            identifier: identifier(counter.namespace(), counter.key(), MAX_IDENTIFIER_BYTES),
            window_time: window_time(
                counter.window(),
                counter.bucket().map_or(0, |quota| quota.limit),
                format,
            ),
        }
    }

    pub(super) fn attributes(&self) -> Item {
        key_attributes((IDENTIFIER, &self.identifier), (WINDOW_TIME, &self.window_time))
    }
}

/// The item that a batch of hits is written to.
pub(super) struct CounterItem {
    pub(super) key: ItemKey,
    pub(super) window: Window,
    /// The limit of a bucket; 0 for other windows.
    pub(super) limit: u64,
    /// The counter's key and the parts that it was composed of, if it was composed of any.
    pub(super) dimensions: Option<(String, Dimensions)>,
}

/// The state of an item. Unknown attributes are ignored, missing ones have a default.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemState {
    pub(super) value: u128,
    pub(super) exists: bool,
    opened: Option<(Timestamp, Arc<WindowMeta>)>,
    /// When the first hit opened the window, as the item has it.
    pub(super) opened_at: Option<String>,
    /// Each writer's slot: the number of its last write.
    pub(super) slots: Vec<(String, u64)>,
}

impl ItemState {
    pub(super) fn read(item: &Item, window: Window) -> Result<Self> {
        let string = |name| item.get(name).and_then(|value| value.as_s().ok());
        let start = match window {
            Window::FromFirstHit { .. } => time(item, OPENED_AT)?,
            Window::Aligned { .. } | Window::Bucket { .. } => None,
        };
        let id = string(WINDOW_ID).map_or(Ok(0), |id| u128::from_str_radix(id, 16));
        let opened = start.map(|start| {
            let id = WindowId(id.map_err(|_| unreadable(WINDOW_ID))?);
            let metadata = string(METADATA).map(|metadata| Arc::from(metadata.as_str()));
            Ok((start, Arc::new(WindowMeta { id, metadata })))
        });
        let slots = item.iter().filter(|(name, _)| name.starts_with(SLOT_PREFIX));
        let slots = slots.filter_map(|(name, value)| Some((name.clone(), value.as_n().ok()?.parse().ok()?)));
        Ok(Self {
            value: number(item, COUNT)?.unwrap_or_default(),
            exists: true,
            opened: opened.transpose()?,
            opened_at: string(OPENED_AT).cloned(),
            slots: slots.collect(),
        })
    }

    /// Returns the number of the last write of this writer.
    pub(super) fn slot(&self, name: &str) -> Option<u64> {
        self.slots.iter().find(|(slot, _)| slot == name).map(|(_, number)| *number)
    }

    /// Returns the state at `now`: that of an absent item if this one has expired.
    pub(super) fn live(self, window: Window, now: Timestamp) -> Self {
        if self.has_ended(window, now) { Self { slots: self.slots, ..Self::default() } } else { self }
    }

    pub(super) fn has_ended(&self, window: Window, now: Timestamp) -> bool {
        match (window, &self.opened) {
            (Window::FromFirstHit { length }, Some((start, _))) => has_ended(*start, length, now),
            // A window that no hit has opened is the same as an absent one.
            (Window::FromFirstHit { .. }, None) => true,
            (Window::Aligned { .. } | Window::Bucket { .. }, _) => false,
        }
    }

    /// Returns the result of an operation after which the counter has this value.
    pub(super) fn counter_state(&self, counted: bool, value: u128, window: Window) -> CounterState {
        let state = CounterState::new(counted, value);
        match (window, &self.opened) {
            (Window::Aligned { start, .. }, _) => state.with_start(start),
            (Window::FromFirstHit { .. }, Some((start, meta))) => {
                state.with_start(*start).with_meta(Arc::clone(meta))
            }
            (Window::FromFirstHit { .. }, None) | (Window::Bucket { .. }, _) => state,
        }
    }
}

/// Returns when an item may be deleted, if it is written at `now` by hits of which this is the
/// highest ceiling.
pub(super) fn expiry(
    window: Window,
    limit: u64,
    now: Timestamp,
    highest_ceiling: u128,
    skew: Duration,
) -> Timestamp {
    match window {
        Window::Aligned { start, length } => retained_until(start, length, skew),
        Window::FromFirstHit { length } => retained_until(now, length, skew),
        Window::Bucket { length } => {
            bucket_full_at(highest_ceiling, limit).saturating_add(length.as_duration()).saturating_add(skew)
        }
    }
}
