//! The write of a batch of hits: one request, unless the item is not as expected.

use std::sync::Arc;

use aws_sdk_dynamodb::types::ReturnValue;
use limited_core::coalesce::{MergedHit, PendingHit, Results, admissible, merge, values_after};
use limited_core::{BackendError, CounterState, Result, Timestamp, Window};

use super::Counters;
use super::item::{CounterItem, ItemKey, ItemState, expiry};
use super::update::{Expected, ExpectedValue, ExpectedWindow, WriteId};
use crate::client::{UpdateError, UpdateOutcome};
use crate::expression::Update;

/// How often a write is tried if the item is not as expected. After that, it counts as throttled.
const MAX_ROUNDS: usize = 8;

/// How many writers' slots an item keeps once it has more than twice as many.
const SLOTS_KEPT: usize = 8;

/// The outcome of one attempt.
enum Attempt {
    Applied(ItemState),
    /// The condition failed for this state.
    ConditionFailed(ItemState),
}

impl Counters {
    /// Writes the hits. Returns the result of each as if they had been written in order, one by
    /// one.
    pub(super) async fn write(self: Arc<Self>, item: CounterItem, hits: Vec<PendingHit>) -> Results {
        match self.try_write(&item, &hits).await {
            Ok(states) => states.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); hits.len()],
        }
    }

    async fn try_write(&self, item: &CounterItem, hits: &[PendingHit]) -> Result<Vec<CounterState>> {
        let window = item.window;
        let now = hits.iter().map(|hit| hit.now).max().unwrap_or_default();
        let mut seen: Option<ItemState> = None;
        for _ in 0..MAX_ROUNDS {
            let live = seen.clone().map(|seen| match window {
                // Each hit brings a floor, which depends on its own time.
                Window::Bucket { .. } => seen,
                _ => seen.live(window, now),
            });
            let chosen = admissible(hits, live.as_ref().map_or(0, |live| live.value));
            let Some(merged) = merge(hits, &chosen) else {
                // No hit can be counted, so there is nothing to write.
                let live = match live {
                    Some(live) => live,
                    None => self.read(&item.key, window).await?.live(window, now),
                };
                self.remember_tat(item, live.value);
                return Ok(vec![live.counter_state(false, live.value, window); hits.len()]);
            };
            let expected = self.expected(item, seen.as_ref(), &merged, now);
            match self.attempt(item, hits, &chosen, &merged, &expected, now).await? {
                Attempt::Applied(after) => {
                    self.remember_tat(item, after.value);
                    // A clock that jumped back may count in a window that is cached as closed.
                    self.closed_windows.remove(&item.key);
                    self.remove_old_slots(&item.key, &after).await;
                    let before =
                        if expected.starts_over() { 0 } else { after.value.saturating_sub(merged.cost) };
                    return Ok(states(hits, &chosen, before, &after, window));
                }
                Attempt::ConditionFailed(old) => seen = Some(old),
            }
        }
        Err(BackendError::throttled(
            "other writers changed the item before each attempt to write it; spread the load over more keys",
        ))
    }

    /// Returns what to expect of the item: the state that this write has seen, or else that of the
    /// last write.
    fn expected(
        &self,
        item: &CounterItem,
        seen: Option<&ItemState>,
        merged: &MergedHit,
        now: Timestamp,
    ) -> Expected {
        let window = match (item.window, seen) {
            (Window::Aligned { .. } | Window::Bucket { .. }, _) => ExpectedWindow::NotFromFirstHit,
            (window @ Window::FromFirstHit { .. }, Some(seen))
                if seen.exists && seen.has_ended(window, now) =>
            {
                ExpectedWindow::Ended(seen.opened_at.clone())
            }
            (Window::FromFirstHit { .. }, _) => ExpectedWindow::OpenOrAbsent,
        };
        let value = match seen.map(|seen| seen.value).or_else(|| self.last_tat.get(&item.key)) {
            _ if merged.floor() == 0 => ExpectedValue::Any,
            Some(value) if value > merged.floor() => ExpectedValue::AboveFloor,
            _ => ExpectedValue::AtOrBelowFloor,
        };
        Expected { value, window }
    }

    async fn attempt(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
        chosen: &[usize],
        merged: &MergedHit,
        expected: &Expected,
        now: Timestamp,
    ) -> Result<Attempt> {
        let window = item.window;
        let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
        let highest_ceiling = chosen.iter().map(|&index| hits[index].ceiling).max().unwrap_or_default();
        let expiry = expiry(window, item.limit, now, highest_ceiling, self.client.settings.max_clock_skew);
        let mut update = Update::count(expected, merged, window, &hits[chosen[0]], expiry, write, now)?;
        if let Some((key, dimensions)) = &item.dimensions {
            update.dimensions(key, dimensions);
        }
        let old = match self.update(&item.key, update).await? {
            UpdateOutcome::Applied(new) => return Ok(Attempt::Applied(ItemState::read(&new, window)?)),
            UpdateOutcome::ConditionFailed(Some(old)) => ItemState::read(&old, window)?,
            // The condition holds for an absent item, so there is one, and the server does not
            // return it.
            UpdateOutcome::ConditionFailed(None) if expected.allows_absent() => {
                self.read(&item.key, window).await?
            }
            UpdateOutcome::ConditionFailed(None) => ItemState::default(),
        };
        // The slot has the number of this write: an earlier attempt was applied, and its response
        // lost.
        let is_applied = old.slot(write.slot) == Some(write.number);
        Ok(if is_applied { Attempt::Applied(old) } else { Attempt::ConditionFailed(old) })
    }

    async fn update(&self, key: &ItemKey, update: Update) -> Result<UpdateOutcome> {
        let table = &self.client.settings.table;
        let outcome = self.client.update_item(table, key.attributes(), update, ReturnValue::AllNew).await;
        outcome.map_err(UpdateError::into_inner)
    }

    fn remember_tat(&self, item: &CounterItem, value: u128) {
        if matches!(item.window, Window::Bucket { .. }) {
            self.last_tat.put(item.key.clone(), value);
        }
    }

    /// Keeps an item that many writers write to within one write unit.
    ///
    /// If it has more than twice the number of slots to keep, this removes those of the writers
    /// that have been silent for longest. If one of these still repeats a write, that write counts
    /// twice: too much, which is the safe side.
    async fn remove_old_slots(&self, key: &ItemKey, state: &ItemState) {
        if state.slots.len() <= 2 * SLOTS_KEPT {
            return;
        }
        let mut slots = state.slots.clone();
        slots.sort_by_key(|(_, number)| *number);
        slots.truncate(slots.len() - SLOTS_KEPT);
        let names = slots.into_iter().map(|(name, _)| name);
        let silent: Vec<String> = names.filter(|name| *name != self.writer_slot).collect();
        // If it fails, the next write to the item tries again.
        let _ = self.update(key, Update::remove_slots(&silent)).await;
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
