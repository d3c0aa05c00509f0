//! What a backend knows of its counters, beside writing them: how they are read, reset, and remembered.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use limited_core::{BackendError, Counter, Timestamp, Window, WindowId, has_passed, sliding};

use crate::WindowTimeFormat;
use crate::attributes::{GENERATION, Seen, aligned_length};
use crate::backend::Shared;
use crate::capacity::Operation;
use crate::error::backend_error;
use crate::item::ItemKey;
use crate::update::window_id_text;
use crate::write::{Target, key_of};

impl Shared {
    pub(crate) fn last_seen(&self, target: &Target) -> Option<u128> {
        lock(&self.arrivals).get(&target.item).copied()
    }

    pub(crate) fn forget_settled(&self, item: &ItemKey) {
        lock(&self.settled).pop(item);
    }

    /// Remembers where a bucket was last seen.
    pub(crate) fn remember(&self, target: &Target, value: u128) {
        if matches!(target.window, Window::Bucket { .. }) {
            lock(&self.arrivals).put(target.item.clone(), value);
        }
    }

    /// Reads the item of a counter, consistently.
    pub(crate) async fn read(&self, item: &ItemKey, window: Window) -> Result<Seen, BackendError> {
        match self.get_item(&self.settings.table, key_of(item)).await? {
            Some(item) => Seen::read(&item, window),
            None => Ok(Seen::default()),
        }
    }

    pub(crate) fn item(&self, counter: &Counter<'_>) -> Result<ItemKey, BackendError> {
        if let (WindowTimeFormat::Start, Some(length)) =
            (self.settings.format, aligned_length(counter.window()))
        {
            let only = *self.only_length.get_or_init(|| length);
            if only != length {
                return Err(BackendError::invalid(format!(
                    "the table `{}` writes the start of a window alone, so that it holds one window length only: \
                     it is used with {:?}, and cannot be with {:?}",
                    self.settings.table,
                    only.as_duration(),
                    length.as_duration(),
                )));
            }
        }
        Ok(ItemKey::of(counter, self.settings.format))
    }

    /// The count of the window before: remembered once it is settled, read until then.
    pub(crate) async fn previous(&self, counter: &Counter<'_>, now: Timestamp) -> Result<u128, BackendError> {
        let Some(before) = sliding::previous_window(counter)? else { return Ok(0) };
        let Window::Aligned { start, length } = before.window() else { return Ok(0) };
        let item = self.item(&before)?;
        if let Some(value) = lock(&self.settled).get(&item) {
            return Ok(*value);
        }
        let resets = self.resets.load(Ordering::Acquire);
        let value = self.read(&item, before.window()).await?.value;
        let settled = start
            .saturating_add(length.as_duration())
            .saturating_add(self.settings.max_clock_skew)
            .saturating_add(self.settings.operation_timeout);
        if has_passed(settled, now) {
            let mut remembered = lock(&self.settled);
            // What was read may be what a reset has removed since.
            if self.resets.load(Ordering::Acquire) == resets {
                remembered.put(item, value);
            }
        }
        Ok(value)
    }

    pub(crate) async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
    ) -> Result<(), BackendError> {
        let item = self.item(counter)?;
        let mut request = self
            .client
            .delete_item()
            .table_name(&self.settings.table)
            .set_key(Some(key_of(&item)))
            .set_return_consumed_capacity(self.wanted_capacity());
        if let Some(window_id) = window_id {
            request = request
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .condition_expression("#generation = :generation")
                .expression_attribute_names("#generation", GENERATION)
                .expression_attribute_values(":generation", AttributeValue::S(window_id_text(window_id)));
        }
        let answer = request.customize().config_override(self.overrides.clone()).send().await;
        // Not before: who reads in the meantime remembers what was there.
        self.resets.fetch_add(1, Ordering::AcqRel);
        self.forget_settled(&item);
        lock(&self.arrivals).pop(&item);
        match answer {
            Ok(answer) => {
                self.consumed(&self.settings.table, Operation::DeleteItem, answer.consumed_capacity());
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    self.consumed_in_vain(&self.settings.table, Operation::DeleteItem, failed.item());
                    Ok(())
                }
                _ => Err(backend_error(error, &self.settings.table)),
            },
        }
    }
}

/// Locks. What our locks protect is whole at every step, so poison is no news.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
