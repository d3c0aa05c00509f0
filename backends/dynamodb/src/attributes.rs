//! The attributes of an item: their names, and how they are read.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    BackendError, CounterState, Timestamp, Window, WindowId, WindowLength, WindowMeta, has_ended,
};

use crate::item::parse_timestamp;

pub(crate) const IDENTIFIER: &str = "Identifier";
pub(crate) const WINDOW_TIME: &str = "WindowTime";
pub(crate) const COUNT: &str = "Count";
pub(crate) const EXPIRES_AT: &str = "ExpiresAt";
pub(crate) const CREATED_AT: &str = "CreatedAt";
pub(crate) const UPDATED_AT: &str = "UpdatedAt";
pub(crate) const BUCKET_KEY: &str = "BucketKey";
pub(crate) const IP_ADDRESS: &str = "IPAddress";
pub(crate) const USER_ID: &str = "UserID";
pub(crate) const TENANT_ID: &str = "TenantID";
/// When a hit-opened window was opened.
pub(crate) const OPENED_AT: &str = "OpenedAt";
/// The generation of a hit-opened window, in hexadecimal.
pub(crate) const GENERATION: &str = "Generation";
/// The note of a hit-opened window.
pub(crate) const NOTE: &str = "Note";
/// What the name of every writer's slot begins with.
pub(crate) const SLOT: &str = "Writer_";

pub(crate) const IDEMPOTENCY_KEY: &str = "IdempotencyKey";
/// What the key is claimed for.
pub(crate) const SK: &str = "SK";
pub(crate) const STATUS: &str = "Status";
pub(crate) const REQUEST_HASH: &str = "RequestHash";
pub(crate) const REQUEST_BODY: &str = "RequestBody";
pub(crate) const RESPONSE: &str = "Response";
/// What `Response` is, where it is no value: one of the two below.
pub(crate) const RESPONSE_KIND: &str = "ResponseKind";
pub(crate) const ERROR: &str = "ERROR";
pub(crate) const NOT_KEPT: &str = "NOT_KEPT";
pub(crate) const NOT_KEPT_REASON: &str = "NotKeptReason";
pub(crate) const STATUS_CODE: &str = "StatusCode";
/// The owner, in hexadecimal.
pub(crate) const LOCK_TOKEN: &str = "LockToken";
/// When the lease ends.
pub(crate) const LOCKED_UNTIL: &str = "LockedUntil";
pub(crate) const COMPLETED_AT: &str = "CompletedAt";
pub(crate) const FUNCTION_NAME: &str = "FunctionName";
/// When the item was made, for the indexes.
pub(crate) const TIMESTAMP: &str = "Timestamp";
/// The number of the last grant.
pub(crate) const FENCE: &str = "Fence";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// What an item says. Unknown attributes are left alone, missing ones have a default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) value: u128,
    /// Whether there is an item at all.
    pub(crate) is_there: bool,
    opened: Option<(Timestamp, Arc<WindowMeta>)>,
    /// When a hit-opened window was opened, as the item says it.
    pub(crate) opened_at: Option<String>,
    /// Each writer's slot: the number of its last write.
    pub(crate) slots: Vec<(String, u64)>,
}

impl Seen {
    pub(crate) fn read(item: &Item, window: Window) -> Result<Self, BackendError> {
        let value = match item.get(COUNT) {
            Some(value) => number(COUNT, value)?,
            None => 0,
        };
        let opened = match (window, item.get(OPENED_AT)) {
            (Window::FromFirstHit { .. }, Some(at)) => {
                let at =
                    at.as_s().ok().and_then(|at| parse_timestamp(at)).ok_or_else(|| unreadable(OPENED_AT))?;
                let window_id = match item.get(GENERATION) {
                    Some(AttributeValue::S(text)) => {
                        u128::from_str_radix(text, 16).map_err(|_| unreadable(GENERATION))?
                    }
                    _ => 0,
                };
                let metadata = item
                    .get(NOTE)
                    .and_then(|metadata| metadata.as_s().ok())
                    .map(|metadata| Arc::from(metadata.as_str()));
                Some((at, Arc::new(WindowMeta { id: WindowId(window_id), metadata })))
            }
            _ => None,
        };
        let slots = item.iter().filter(|(name, _)| name.starts_with(SLOT));
        let slots = slots.filter_map(|(name, value)| Some((name.clone(), value.as_n().ok()?.parse().ok()?)));
        let opened_at = item.get(OPENED_AT).and_then(|at| at.as_s().ok()).cloned();
        Ok(Self { value, is_there: true, opened, opened_at, slots: slots.collect() })
    }

    /// The number of the last write of this writer.
    pub(crate) fn slot(&self, name: &str) -> Option<u64> {
        self.slots.iter().find(|(slot, _)| slot == name).map(|(_, number)| *number)
    }

    /// The same, or nothing where it has expired.
    pub(crate) fn live(self, window: Window, now: Timestamp) -> Self {
        if self.has_ended(window, now) { Self { slots: self.slots, ..Self::default() } } else { self }
    }

    pub(crate) fn has_ended(&self, window: Window, now: Timestamp) -> bool {
        match (window, &self.opened) {
            (Window::FromFirstHit { length }, Some((start, _))) => has_ended(*start, length, now),
            // A window that nobody opened, and a bucket that is full, are the same as none.
            (Window::FromFirstHit { .. }, None) => true,
            (Window::Bucket { limit, .. }, _) => self.value <= u128::from(now.as_nanos()) * u128::from(limit),
            (Window::Aligned { .. }, _) => false,
        }
    }

    /// What to answer when the value is `value`.
    pub(crate) fn tally(&self, counted: bool, value: u128, window: Window) -> CounterState {
        let tally = CounterState::new(counted, value);
        match (window, &self.opened) {
            (Window::Aligned { start, .. }, _) => tally.with_start(start),
            (Window::FromFirstHit { .. }, Some((start, meta))) => {
                tally.with_start(*start).with_meta(Arc::clone(meta))
            }
            (Window::FromFirstHit { .. }, None) | (Window::Bucket { .. }, _) => tally,
        }
    }
}

pub(crate) fn number(name: &str, value: &AttributeValue) -> Result<u128, BackendError> {
    value.as_n().ok().and_then(|number| number.parse().ok()).ok_or_else(|| unreadable(name))
}

pub(crate) fn unreadable(name: &str) -> BackendError {
    BackendError::Corrupt(format!("the attribute `{name}` is not in the documented format").into())
}

/// The length that tells the windows of a table apart where only their start is written.
pub(crate) const fn aligned_length(window: Window) -> Option<WindowLength> {
    match window {
        Window::Aligned { length, .. } => Some(length),
        Window::FromFirstHit { .. } | Window::Bucket { .. } => None,
    }
}
