//! The write of a batch of hits: one request, unless the item is not as expected.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use limited_core::bucket::convert;
use limited_core::coalesce::{MergedHit, PendingHit, Results, admissible, merge, values_after};
use limited_core::{
    BackendError, BucketQuota, CounterState, Result, Timestamp, Window, bucket_full_at, retained_until,
};

use super::bucket_batch::{BucketBatch, in_unit};
use super::item::{CounterItem, ItemKey, ItemState};
use super::log::is_log;
use super::update::{Expected, ExpectedValue, ExpectedWindow, OpenedWithin, WriteId};
use super::{Counters, write_number};
use crate::client::{UpdateError, UpdateOutcome};
use crate::expression::Update;

/// How often a write is tried if the item is not as expected. After that, it counts as throttled.
pub(super) const MAX_ROUNDS: usize = 8;

/// How many writers' slots an item keeps once it has more than twice as many.
const SLOTS_KEPT: usize = 8;

/// The outcome of one attempt.
pub(super) enum Attempt {
    Applied(ItemState),
    /// The condition failed for this state.
    ConditionFailed(ItemState),
}

/// The outcome of one round.
enum Round {
    /// The result of each hit.
    Done(Vec<CounterState>),
    /// The item was not as expected. Its state.
    Again(Box<ItemState>),
}

impl Counters {
    /// Writes the hits. Returns the result of each as if they had been written in order, one by
    /// one.
    pub(super) async fn write(self: Arc<Self>, item: CounterItem, mut hits: Vec<PendingHit>) -> Results {
        let (counters, key, count) = (Arc::clone(&self), item.key.clone(), hits.len());
        let write = async move {
            let states = match item.window {
                window if is_log(window) => counters.write_log(&item, &hits).await,
                _ => counters.try_write_sliding(&item, &mut hits).await,
            };
            match states {
                Ok(states) => states.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); hits.len()],
            }
        };
        let results = self.turns.run(&key, write).await;
        results.unwrap_or_else(|| vec![Err(panicked()); count])
    }

    /// Reads the previous window first, if a hit depends on it.
    ///
    /// The read belongs to the write, so that one read serves all hits of a batch, and begins after
    /// the last of them has arrived. A read in flight that a later hit joined could lack what was
    /// counted before that hit.
    async fn try_write_sliding(
        &self,
        item: &CounterItem,
        hits: &mut [PendingHit],
    ) -> Result<Vec<CounterState>> {
        // The earliest time, because only that shows whether the window is closed for every hit.
        let Some(earliest) = hits.iter().filter(|hit| hit.needs_previous).map(|hit| hit.now).min() else {
            return self.try_write(item, hits).await;
        };
        let count = match item.previous(self.client.settings.format) {
            Some(previous) => self.read_count(&previous, earliest).await?,
            None => 0,
        };
        let depends: Vec<bool> = hits.iter().map(|hit| hit.needs_previous).collect();
        hits.iter_mut().for_each(|hit| hit.lower_ceiling(count, item.window));
        let states = self.try_write(item, hits).await?.into_iter().zip(depends);
        Ok(states.map(|(state, depends)| if depends { state.with_previous(count) } else { state }).collect())
    }

    async fn try_write(&self, item: &CounterItem, hits: &[PendingHit]) -> Result<Vec<CounterState>> {
        let now = hits.iter().map(|hit| hit.now).max().unwrap_or_default();
        // Hits in different units cannot be merged, so their write needs to know the state.
        let mut seen = match common_limit(hits) {
            Some(_) => None,
            None => Some(self.read(&item.key, item.window).await?),
        };
        let mut is_contended = false;
        for _ in 0..MAX_ROUNDS {
            let round = match seen.take() {
                Some(seen) if self.needs_replacement(item, hits, &seen, now) => {
                    let converted =
                        if is_contended { self.in_stored_unit(item, hits, &seen, now) } else { None };
                    is_contended = true;
                    match converted {
                        Some(converted) => self.write_converted(item, hits, &converted, seen, now).await?,
                        None => self.replace_bucket(item, hits, seen, now).await?,
                    }
                }
                seen => self.write_merged(item, hits, seen, now).await?,
            };
            match round {
                Round::Done(states) => return Ok(states),
                Round::Again(state) => seen = Some(*state),
            }
        }
        Err(contended())
    }

    /// Returns whether no expression can count the hits on this state of a bucket: their limits
    /// differ from the stored one, or a wrong clock wrote it.
    ///
    /// A value that only a wrong clock can have written is counted on nevertheless if the hits fit
    /// on top of it, by a larger capacity than that of the writer. To find out, each hit would need
    /// a longer condition. The bucket is right again within the time in which it fills.
    fn needs_replacement(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        seen: &ItemState,
        now: Timestamp,
    ) -> bool {
        let Window::Bucket { length } = item.window else { return false };
        let quota = hits.first().and_then(|hit| hit.bucket);
        match (common_limit(hits), seen.bucket.stored(), quota) {
            (None, _, _) => true,
            (Some(_), Some(stored), Some(quota)) => {
                let skew = self.client.settings.max_clock_skew;
                let is_absent = || stored.live(quota, length, now, skew).value == 0 && stored.value > 0;
                stored.quota.limit != quota.limit || is_absent()
            }
            // A count without a limit, which another program wrote.
            (Some(_), None, _) => seen.bucket.count.is_some(),
            (Some(_), Some(_), None) => false,
        }
    }

    /// Returns the hits in the unit that the bucket is stored in; `None` if it is absent, or if no
    /// hit is counted.
    fn in_stored_unit(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        seen: &ItemState,
        now: Timestamp,
    ) -> Option<Vec<PendingHit>> {
        let stored = seen.bucket.stored()?;
        let live = stored.live(stored.quota, item.window.length(), now, self.client.settings.max_clock_skew);
        let converted: Option<Vec<_>> = hits.iter().map(|hit| in_unit(hit, stored.quota.limit)).collect();
        converted.filter(|converted| live.value > 0 && !admissible(converted, live.value).is_empty())
    }

    /// Counts the hits in the unit that the bucket is stored in.
    ///
    /// If other processes use the bucket by another limit, a replacement may lose against each of
    /// their writes. This update does not. It rounds against the hits, by less than a nanosecond
    /// each.
    async fn write_converted(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        converted: &[PendingHit],
        seen: ItemState,
        now: Timestamp,
    ) -> Result<Round> {
        let states = match self.write_merged(item, converted, Some(seen), now).await? {
            Round::Done(states) => states,
            again @ Round::Again(_) => return Ok(again),
        };
        let limit = |hit: &PendingHit| hit.bucket.map_or(0, |quota| quota.limit);
        let states =
            states.into_iter().zip(hits.iter().zip(converted)).map(|(mut state, (hit, converted))| {
                state.value = convert(state.value, limit(converted), limit(hit));
                if state.counted {
                    state.value = state.value.min(hit.ceiling);
                }
                state
            });
        Ok(Round::Done(states.collect()))
    }

    /// Counts the hits by one update that is right for every state of the item that it expects.
    async fn write_merged(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        seen: Option<ItemState>,
        now: Timestamp,
    ) -> Result<Round> {
        let (window, skew) = (item.window, self.client.settings.max_clock_skew);
        let quota = hits.first().and_then(|hit| hit.bucket);
        let live = seen.clone().map(|seen| match (window, quota) {
            // Each hit brings a floor, which depends on its own time.
            (Window::Bucket { .. }, Some(quota)) => seen.converted(window, quota, now, skew),
            _ => seen.live(window, quota, now, skew),
        });
        let chosen = admissible(hits, live.as_ref().map_or(0, |live| live.value));
        let Some(merged) = merge(hits, &chosen) else {
            // No hit can be counted, so there is nothing to write.
            let live = match live {
                Some(live) => live,
                None => self.read(&item.key, window).await?.live(window, quota, now, skew),
            };
            self.remember_live(item, &live);
            return Ok(Round::Done(vec![live.counter_state(false, live.value, window); hits.len()]));
        };
        let last_quota = chosen.last().and_then(|&index| hits[index].bucket);
        let expected = Expected {
            value: self.expected_value(item, live.as_ref(), &merged, quota),
            window: match (window, last_quota) {
                (Window::Bucket { .. }, Some(quota)) => ExpectedWindow::Bucket(quota),
                (Window::FromFirstHit { length }, _) => match seen {
                    Some(seen) if seen.exists && seen.has_ended(window, now, skew) => {
                        ExpectedWindow::Ended(seen.opened_at)
                    }
                    _ => ExpectedWindow::OpenOrAbsent(OpenedWithin::of(length, now, skew)),
                },
                _ => ExpectedWindow::Aligned,
            },
        };
        let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
        let expiry = expiry(window, now, chosen.iter().map(|&index| &hits[index]), skew);
        let update = Update::count(&expected, &merged, &hits[chosen[0]], expiry, write, now)?;
        match self.attempt(item, update, write).await? {
            Attempt::Applied(after) => {
                self.applied(item, &after, now).await;
                let after = match quota {
                    // If the response was lost, another process may have converted it since.
                    Some(quota) => after.converted(window, quota, now, skew),
                    None => after,
                };
                let before = if expected.starts_over() { 0 } else { after.value.saturating_sub(merged.cost) };
                Ok(Round::Done(states(hits, &chosen, before, &after, window)))
            }
            Attempt::ConditionFailed(old) => Ok(Round::Again(Box::new(old))),
        }
    }

    /// Counts the hits on a known state of a bucket, and writes the outcome if that state is
    /// unchanged.
    async fn replace_bucket(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        seen: ItemState,
        now: Timestamp,
    ) -> Result<Round> {
        let skew = self.client.settings.max_clock_skew;
        let batch = BucketBatch::apply(hits, seen.bucket.stored(), item.window.length(), now, skew);
        let Some(after) = batch.after else {
            self.remember(item, &seen);
            return Ok(Round::Done(batch.states));
        };
        let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
        let counted = batch.counted.iter().map(|&index| &hits[index]);
        let expiry = expiry(item.window, now, counted, skew);
        let update = Update::replace_bucket(seen.bucket, after, expiry, write, now)?;
        match self.attempt(item, update, write).await? {
            Attempt::Applied(after) => {
                self.applied(item, &after, now).await;
                Ok(Round::Done(batch.states))
            }
            Attempt::ConditionFailed(old) => Ok(Round::Again(Box::new(old))),
        }
    }

    /// Returns how the value compares to the floor of the hits: in the state that this write has
    /// seen, or else in that after the last write.
    fn expected_value(
        &self,
        item: &CounterItem,
        live: Option<&ItemState>,
        merged: &MergedHit,
        quota: Option<BucketQuota>,
    ) -> ExpectedValue {
        let last_value = || {
            let (last, quota) = (self.last_buckets.get(&item.key)?, quota?);
            Some(convert(last.value, last.quota.limit, quota.limit))
        };
        match live.map(|live| live.value).or_else(last_value) {
            _ if merged.floor() == 0 => ExpectedValue::Any,
            Some(value) if value > merged.floor() => ExpectedValue::AboveFloor,
            _ => ExpectedValue::AtOrBelowFloor,
        }
    }

    pub(super) async fn attempt(
        &self,
        item: &CounterItem,
        mut update: Update,
        write: WriteId<'_>,
    ) -> Result<Attempt> {
        if let Some((key, dimensions)) = &item.dimensions {
            update.dimensions(key, dimensions);
        }
        let old = match self.update(&item.key, update).await? {
            UpdateOutcome::Applied(new) => return Ok(Attempt::Applied(ItemState::read(&new, item.window)?)),
            UpdateOutcome::ConditionFailed(Some(old)) => ItemState::read(&old, item.window)?,
            // There is no item, or the server is one that never returns it. The slot in the item
            // may show that the write was applied.
            UpdateOutcome::ConditionFailed(None) => self.read(&item.key, item.window).await?,
        };
        // The slot has the number of this write: an earlier attempt was applied, and its response
        // lost.
        let is_applied = old.slot(write.slot) == Some(write.number);
        Ok(if is_applied { Attempt::Applied(old) } else { Attempt::ConditionFailed(old) })
    }

    /// Does what follows a write that was applied.
    pub(super) async fn applied(&self, item: &CounterItem, after: &ItemState, now: Timestamp) {
        self.remember(item, after);
        // A clock that jumped back may count in a window that is cached as closed.
        self.closed_windows.remove(&item.key);
        self.remove_old_slots(&item.key, after, now).await;
    }

    async fn update(&self, key: &ItemKey, update: Update) -> Result<UpdateOutcome> {
        let table = &self.client.settings.table;
        let outcome = self.client.update_item(table, key.attributes(), update, ReturnValue::AllNew).await;
        outcome.map_err(UpdateError::into_inner)
    }

    /// Remembers a bucket that was read. The live state of another window may not be that of its
    /// item.
    fn remember_live(&self, item: &CounterItem, live: &ItemState) {
        if let Window::Bucket { .. } = item.window {
            self.remember(item, live);
        }
    }

    /// Remembers the state of an item, as the guess of the next write.
    pub(super) fn remember(&self, item: &CounterItem, state: &ItemState) {
        let key = &item.key;
        match (item.window, state.bucket.stored()) {
            (Window::Bucket { .. }, Some(bucket)) => self.last_buckets.put(key.clone(), bucket),
            (Window::Bucket { .. }, None) => self.last_buckets.remove(key),
            (Window::Log { .. }, _) => self.last_logs.put(key.clone(), state.without_slots()),
            (_, _) => self.last_windows.put(key.clone(), state.without_slots()),
        }
    }

    /// Returns the state of an item that this process has seen last; an absent one if it has seen
    /// none.
    pub(super) fn last_state(&self, item: &CounterItem) -> ItemState {
        let key = &item.key;
        let state = match item.window {
            Window::Bucket { .. } => {
                self.last_buckets.get(key).map(|stored| ItemState::default().with_bucket(stored))
            }
            Window::Log { .. } => self.last_logs.get(key),
            _ => self.last_windows.get(key),
        };
        state.unwrap_or_default()
    }

    /// Keeps an item that many writers write to within one write unit.
    ///
    /// If it has more than twice the number of slots to keep, this removes those of the writers
    /// that have been silent for longest. If one of these still repeats a write, that write counts
    /// twice: too much, which is the safe side.
    async fn remove_old_slots(&self, key: &ItemKey, state: &ItemState, now: Timestamp) {
        if state.slots.len() <= 2 * SLOTS_KEPT {
            return;
        }
        let mut slots = state.slots.clone();
        // Numbers are times. One of a wrong clock would stay the highest for long.
        let latest = write_number(now.saturating_add(self.client.settings.max_clock_skew));
        slots.sort_by_key(|(_, number)| if *number > latest { 0 } else { *number });
        slots.truncate(slots.len() - SLOTS_KEPT);
        let names = slots.into_iter().map(|(name, _)| name);
        let silent: Vec<String> = names.filter(|name| *name != self.writer_slot).collect();
        // If it fails, the next write to the item tries again.
        let _ = self.update(key, Update::remove_slots(&silent)).await;
    }
}

/// Returns the error of a write that panicked.
pub(super) fn panicked() -> BackendError {
    BackendError::Other("the write panicked".into())
}

/// Returns the error of a write that lost against others in every round.
pub(super) fn contended() -> BackendError {
    BackendError::throttled(
        "other writers changed the item before each attempt to write it; spread the load over more keys",
    )
}

/// Returns the limit of all hits, which determines the unit of a bucket, and 0 for other windows;
/// `None` if they differ.
fn common_limit(hits: &[PendingHit]) -> Option<u64> {
    let mut limits = hits.iter().map(|hit| hit.bucket.map_or(0, |quota| quota.limit));
    let first = limits.next().unwrap_or_default();
    limits.all(|limit| limit == first).then_some(first)
}

/// Returns when an item may be deleted, if these hits are written to it at `now`.
pub(super) fn expiry<'h>(
    window: Window,
    now: Timestamp,
    hits: impl Iterator<Item = &'h PendingHit>,
    skew: Duration,
) -> Timestamp {
    match window {
        Window::Aligned { start, length } => retained_until(start, length, skew),
        Window::FromFirstHit { length } => retained_until(now, length, skew),
        Window::Bucket { length } => {
            let full_at =
                |hit: &PendingHit| bucket_full_at(hit.ceiling, hit.bucket.map_or(0, |quota| quota.limit));
            let full_at = hits.map(full_at).max().unwrap_or_default();
            full_at.saturating_add(length.as_duration()).saturating_add(skew)
        }
        Window::Span { end, .. } => end.saturating_add(skew).saturating_add(skew),
        Window::Log { length } => retained_until(now, length, skew),
    }
}

/// Returns the result of each hit, of which the chosen ones were counted.
fn states(
    hits: &[PendingHit],
    chosen: &[usize],
    before: u128,
    after: &ItemState,
    window: Window,
) -> Vec<CounterState> {
    let mut states = vec![after.counter_state(false, after.value, window); hits.len()];
    for (&index, value) in chosen.iter().zip(values_after(hits, chosen, before)) {
        states[index] = after.counter_state(true, value, window);
    }
    states
}
