//! Refunds: one request, unless the item is not as expected.

use std::time::Duration;

use limited_core::bucket::StoredBucket;
use limited_core::{
    BucketQuota, CounterState, Refund, Result, Timestamp, Window, bucket_full_at, has_passed, retained_until,
};

use super::Counters;
use super::item::{CounterItem, ItemState};
use super::update::{ExpectedRefund, OpenedWithin, WriteId};
use super::write::{Attempt, MAX_ROUNDS, contended};
use crate::expression::Update;
use crate::format::hex_128;

impl Counters {
    /// Refunds a charge in its turn. Returns the state after it.
    pub(super) async fn write_refund(
        &self,
        item: &CounterItem,
        quota: Option<BucketQuota>,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<CounterState> {
        let (window, skew) = (item.window, self.client.settings.max_clock_skew);
        let is_forgotten = match window {
            Window::Aligned { start, length } => has_passed(retained_until(start, length, skew), now),
            Window::Span { end, .. } => has_passed(end.saturating_add(skew), now),
            _ => false,
        };
        if is_forgotten {
            let absent = ItemState::default();
            return Ok(absent.counter_state(false, 0, window));
        }
        let mut seen = match self.guess_refund(item, quota, refund, now)? {
            Some((update, write)) => match self.attempt(item, update, write).await? {
                Attempt::Applied(after) => return Ok(self.refunded(item, quota, after, now).await),
                Attempt::ConditionFailed(old) => old,
            },
            None => match self.last_logs.get(&item.key) {
                Some(seen) => seen,
                None => self.read(&item.key, window).await?,
            },
        };
        for _ in 0..MAX_ROUNDS {
            let Some(new) = refunded_item(&seen, window, quota, refund, now, skew) else {
                if self.last_logs.get(&item.key).is_some() {
                    // Perhaps another process logged the hit since.
                    self.last_logs.remove(&item.key);
                    seen = self.read(&item.key, window).await?;
                    continue;
                }
                self.remember(item, &seen);
                let live = seen.live(window, quota, now, skew);
                return Ok(live.counter_state(false, live.value, window));
            };
            if new.has_same_value(&seen) {
                let live = seen.live(window, quota, now, skew);
                return Ok(live.counter_state(true, live.value, window));
            }
            let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
            let update = Update::replace(window, &seen, &new, expiry(&seen, window, now, skew), write, now)?;
            match self.attempt(item, update, write).await? {
                Attempt::Applied(after) => return Ok(self.refunded(item, quota, after, now).await),
                Attempt::ConditionFailed(old) => {
                    self.last_logs.remove(&item.key);
                    seen = old;
                }
            }
        }
        Err(contended())
    }

    /// Returns the update that is right for the item that is expected. `None` if the item has to be
    /// read first: for a log, and for a bucket of which nothing is returned.
    fn guess_refund(
        &self,
        item: &CounterItem,
        quota: Option<BucketQuota>,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<Option<(Update, WriteId<'_>)>> {
        let skew = self.client.settings.max_clock_skew;
        let (amount, expected) = match (item.window, quota) {
            (Window::Log { .. }, _) => return Ok(None),
            (Window::Bucket { length }, Some(quota)) => {
                let last = self.last_buckets.get(&item.key).map_or(quota, |last| last.quota);
                if last.limit != quota.limit && refund.only_if_value.is_some() {
                    // The required value has another unit.
                    return Ok(None);
                }
                let full = StoredBucket { value: u128::MAX, quota: last };
                let amount = u128::MAX - refund.apply_to_bucket(full, quota, now).value;
                let lead = (2 * skew.as_nanos()).saturating_mul(last.limit.into());
                let highest = last.highest_value(length, now).saturating_add(lead);
                (amount, ExpectedRefund::Bucket { quota: last, highest })
            }
            (Window::FromFirstHit { length }, _) => {
                let opened = OpenedWithin::of(length, now, skew);
                (refund.cost, ExpectedRefund::Open(refund.window_id, opened))
            }
            _ => (refund.cost, ExpectedRefund::Window),
        };
        if amount == 0 {
            return Ok(None);
        }
        let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
        Ok(Some((Update::refund(amount, &expected, refund.only_if_value, write, now)?, write)))
    }

    async fn refunded(
        &self,
        item: &CounterItem,
        quota: Option<BucketQuota>,
        after: ItemState,
        now: Timestamp,
    ) -> CounterState {
        self.applied(item, &after, now).await;
        let live = after.live(item.window, quota, now, self.client.settings.max_clock_skew);
        live.counter_state(true, live.value, item.window)
    }
}

/// Returns the item after a refund; `None` if the counter that was charged is not found, or does
/// not accept the refund.
fn refunded_item(
    seen: &ItemState,
    window: Window,
    quota: Option<BucketQuota>,
    refund: &Refund,
    now: Timestamp,
    skew: Duration,
) -> Option<ItemState> {
    match (window, quota) {
        (Window::Bucket { length }, Some(quota)) => {
            let stored = seen.bucket.stored()?;
            let live = stored.live(quota, length, now, skew);
            if (live.value == 0 && stored.value > 0) || !refund.accepts(live.value) {
                return None;
            }
            let after = refund.apply_to_bucket(stored, quota, now);
            Some(seen.clone().with_bucket(after))
        }
        (Window::Log { length }, _) => {
            let mut new = seen.clone();
            new.log.expire(length, now, skew);
            if !new.log.refund(refund, length, now) {
                return None;
            }
            new.value = new.log.value(length, now);
            new.count = Some(new.value);
            new.log_text = Some(new.log.to_string());
            Some(new)
        }
        _ => {
            let count = seen.count?;
            let is_charged = match window {
                Window::FromFirstHit { .. } => {
                    let is_of = |id| id == hex_128(refund.window_id.0);
                    !seen.has_ended(window, now, skew) && seen.window_id().is_some_and(is_of)
                }
                _ => true,
            };
            if !is_charged || !refund.accepts(count) {
                return None;
            }
            let value = refund.apply(count);
            Some(ItemState { value, count: Some(value), ..seen.clone() })
        }
    }
}

/// Returns when an item may be deleted after a refund: no earlier than before it.
fn expiry(seen: &ItemState, window: Window, now: Timestamp, skew: Duration) -> Timestamp {
    match window {
        Window::Aligned { start, length } => retained_until(start, length, skew),
        Window::Span { end, .. } => end.saturating_add(skew).saturating_add(skew),
        Window::Bucket { length } => {
            let stored = seen.bucket.stored();
            let full_at = stored.map_or(now, |stored| bucket_full_at(stored.value, stored.quota.limit));
            full_at.saturating_add(length.as_duration()).saturating_add(skew)
        }
        Window::FromFirstHit { length } => retained_until(now, length, skew),
        Window::Log { length } => retained_until(seen.log.newest().unwrap_or(now), length, skew),
    }
}
