//! The writes of a batch: one request, unless the item is not as expected.

use std::sync::Arc;

use aws_sdk_dynamodb::types::ReturnValue;
use limited_core::coalesce::Results;
use limited_core::{
    BackendError, BucketQuota, CounterState, Refund, Result, Timestamp, Window, WindowId, WindowMeta,
};

use super::expressions;
use super::names::is_over;
use super::plan::{Group, Plan, refused};
use super::state::{Bucket, FirstHitWindow, KeyState, Times, WindowState};
use super::{KeyItem, KeyItems, Operation};
use crate::client::{UpdateError, UpdateOutcome};
use crate::counters::update::WriteId;
use crate::counters::write_number;
use crate::expression::Update;

/// How often a write is tried if the item is not as expected. After that, it counts as throttled.
const MAX_ROUNDS: usize = 8;

/// How many writers' slots an item keeps once it has more than twice as many.
const SLOTS_KEPT: usize = 8;

/// How many counts of ended windows an item may keep after a write.
const STALE_KEPT: usize = 16;

/// How many attributes one cleaning update removes at most.
const MAX_CLEANED: usize = 100;

/// The outcome of one attempt: the state of the item after it.
enum Attempt {
    Applied(KeyState),
    ConditionFailed(KeyState),
}

impl KeyItems {
    /// Writes the operations of a batch: first what lowers counts, then the hits.
    pub(super) async fn write(
        self: Arc<Self>,
        item: KeyItem,
        operations: Vec<Operation>,
    ) -> Results<Vec<CounterState>> {
        let latest = operations.iter().map(Operation::time).max().unwrap_or_default();
        let times = Times { latest, skew: self.client.settings.max_clock_skew };
        let mut results: Vec<Option<Result<Vec<CounterState>>>> = vec![None; operations.len()];
        let mut groups = Vec::new();
        for (id, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Hits(hits) => groups.push(Group { id, hits }),
                Operation::Reset { window, window_id, now } => {
                    let reset = self.write_reset(&item, window, window_id, now).await;
                    results[id] = Some(reset.map(|()| Vec::new()));
                }
                Operation::Refund { window, quota, refund, now } => {
                    let refunded = self.write_refund(&item, window, quota, &refund, now).await;
                    results[id] = Some(refunded.map(|state| vec![state]));
                }
            }
        }
        self.write_hits(&item, groups, &mut results, times).await;
        let lost = || Err(BackendError::unavailable("the write returned no result for this hit"));
        results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
    }

    async fn write_hits(
        &self,
        item: &KeyItem,
        mut groups: Vec<Group>,
        results: &mut [Option<Result<Vec<CounterState>>>],
        times: Times,
    ) {
        if let Err(error) = self.try_write_hits(item, &mut groups, results, times).await {
            for group in groups {
                results[group.id] = Some(Err(error.clone()));
            }
        }
    }

    /// Writes the hits, round by round. Removes the groups that have a result.
    async fn try_write_hits(
        &self,
        item: &KeyItem,
        groups: &mut Vec<Group>,
        results: &mut [Option<Result<Vec<CounterState>>>],
        times: Times,
    ) -> Result<()> {
        // What was seen last is a guess. A state that this call got is not.
        let (mut state, mut is_guess) = (self.last_seen(item), true);
        let mut failed = 0;
        while !groups.is_empty() {
            let mut plan = Plan::new(groups, &state, times);
            if is_guess && plan.chosen.is_empty() {
                // To find out whether the hits are still refused, write what is right if nothing is
                // stored. The failed condition returns the state.
                plan = Plan::new(groups, &KeyState::default(), times);
            }
            if plan.chosen.is_empty() {
                if is_guess {
                    // No hit can ever fit, so there is nothing to write.
                    state = self.read(item).await?;
                    is_guess = false;
                    continue;
                }
                for group in groups.drain(..) {
                    results[group.id] = Some(refused(&group, &state, times).map(|(states, _)| states));
                }
                return Ok(());
            }
            let write = self.next_write(times.latest);
            let update = expressions::count(&plan, &state, write, times)?;
            is_guess = false;
            match self.attempt(item, update, write).await? {
                Attempt::Applied(after) => {
                    for (index, states) in plan.results(groups, &after, times)? {
                        results[groups[index].id] = Some(Ok(states));
                    }
                    groups.retain(|group| results[group.id].is_none());
                    self.clean(item, &after, times).await;
                    state = after;
                }
                Attempt::ConditionFailed(old) => {
                    state = old;
                    failed += 1;
                    if failed >= MAX_ROUNDS {
                        return Err(BackendError::throttled(
                            "other writers changed the item before each attempt to write it; spread the load over \
                             more keys",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    async fn write_refund(
        &self,
        item: &KeyItem,
        window: Window,
        quota: Option<BucketQuota>,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<CounterState> {
        let times = Times { latest: now, skew: self.client.settings.max_clock_skew };
        let result = |state: &WindowState, counted| {
            let mut result = state.counter_state(window, quota, now, times.skew);
            result.counted = counted;
            result
        };
        if is_over(window, now, times.skew) {
            return Ok(result(&KeyState::default().window(window)?, false));
        }
        let last_seen = self.last_seen(item).window(window)?;
        let guess = match &last_seen {
            WindowState::Log(log) if log.text.is_none() => None,
            WindowState::Log(_) => Some(last_seen),
            // The charge is likely still there.
            seen if seen.refund(refund, window, quota, now, times.skew).is_none() => {
                charged(window, quota, refund, now)
            }
            _ => Some(last_seen),
        };
        let mut is_guess = guess.is_some();
        let mut before = match guess {
            Some(guess) => guess,
            None => self.read(item).await?.window(window)?,
        };
        for _ in 0..MAX_ROUNDS {
            let after = before.refund(refund, window, quota, now, times.skew);
            let after = match after {
                Some(after) if after != before => after,
                _ if is_guess => {
                    before = self.read(item).await?.window(window)?;
                    is_guess = false;
                    continue;
                }
                after => return Ok(result(&before, after.is_some())),
            };
            let amount = before.refund_amount(refund, quota, now);
            let write = self.next_write(now);
            let update = expressions::refund(window, &before, &after, amount, write, times);
            match self.attempt(item, update, write).await? {
                Attempt::Applied(after) => return Ok(result(&after.window(window)?, true)),
                Attempt::ConditionFailed(old) => before = old.window(window)?,
            }
            is_guess = false;
        }
        Err(BackendError::throttled(
            "other writers changed the item before each attempt to write a refund; spread the load over more keys",
        ))
    }

    async fn write_reset(
        &self,
        item: &KeyItem,
        window: Window,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<()> {
        let write = self.next_write(now);
        let update = expressions::reset(window, window_id.map(|id| id.0), write, now);
        // If the condition fails, there is no such window.
        if let UpdateOutcome::Applied(new) = self.send(item, update).await? {
            self.remember(item, &KeyState { attributes: new });
        }
        Ok(())
    }

    /// Reads the item, consistently.
    pub(super) async fn read(&self, item: &KeyItem) -> Result<KeyState> {
        let read = self.client.get_item(&self.client.settings.table, item.key_attributes()).await?;
        Ok(KeyState { attributes: read.unwrap_or_default() })
    }

    async fn attempt(&self, item: &KeyItem, mut update: Update, write: WriteId<'_>) -> Result<Attempt> {
        if let Some((key, dimensions)) = &item.dimensions {
            update.dimensions(key, dimensions);
        }
        let attempt = match self.send(item, update).await? {
            UpdateOutcome::Applied(new) => Attempt::Applied(KeyState { attributes: new }),
            UpdateOutcome::ConditionFailed(old) => {
                let old = match old {
                    Some(old) => KeyState { attributes: old },
                    // There is no item, or the server is one that never returns it. The slot in the
                    // item may show that the write was applied.
                    None => self.read(item).await?,
                };
                // The slot has the number of this write: an earlier attempt was applied, and its
                // response lost.
                if old.slot(write.slot) == Some(write.number) {
                    Attempt::Applied(old)
                } else {
                    Attempt::ConditionFailed(old)
                }
            }
        };
        let (Attempt::Applied(state) | Attempt::ConditionFailed(state)) = &attempt;
        self.remember(item, state);
        Ok(attempt)
    }

    async fn send(&self, item: &KeyItem, update: Update) -> Result<UpdateOutcome> {
        let table = &self.client.settings.table;
        let outcome =
            self.client.update_item(table, item.key_attributes(), update, ReturnValue::AllNew).await;
        outcome.map_err(UpdateError::into_inner)
    }

    /// Keeps an item small that many windows or many writers have left attributes in.
    ///
    /// Each write removes the counts of ended windows that this process has seen before. If an item
    /// holds more than a few others, this removes them. If it has more than twice the number of
    /// slots to keep, it removes those of the writers that have been silent for longest. If one of
    /// these still repeats a write, that write counts twice: too much, which is the safe side.
    async fn clean(&self, item: &KeyItem, state: &KeyState, times: Times) {
        let mut names = expressions::stale(state, times);
        if names.len() <= STALE_KEPT {
            names.clear();
        }
        let mut slots = state.slots();
        if slots.len() > 2 * SLOTS_KEPT {
            // Numbers are times. One of a wrong clock would stay the highest for long.
            let latest = write_number(times.latest.saturating_add(times.skew));
            slots.sort_by_key(|(_, number)| if *number > latest { 0 } else { *number });
            slots.truncate(slots.len() - SLOTS_KEPT);
            names.extend(slots.into_iter().map(|(name, _)| name).filter(|name| *name != self.writer_slot));
        }
        if !names.is_empty() {
            // If it fails, the next write to the item tries again.
            let cleaned = self.send(item, expressions::clean(names.into_iter().take(MAX_CLEANED))).await;
            if let Ok(UpdateOutcome::Applied(new)) = cleaned {
                self.remember(item, &KeyState { attributes: new });
            }
        }
    }
}

/// Returns a state in which the charge of a refund is still there, to try without a read; `None`
/// for a log, whose entries must be known.
fn charged(
    window: Window,
    quota: Option<BucketQuota>,
    refund: &Refund,
    now: Timestamp,
) -> Option<WindowState> {
    let count = Some(refund.only_if_value.unwrap_or(refund.cost));
    match window {
        Window::Aligned { .. } | Window::Span { .. } => Some(WindowState::Count(count)),
        Window::FromFirstHit { .. } if refund.only_if_value.is_some() => None,
        Window::FromFirstHit { .. } => {
            let meta = WindowMeta { id: refund.window_id, metadata: None };
            let opened = Some((refund.charged_at.min(now), Arc::new(meta)));
            Some(WindowState::FromFirstHit(FirstHitWindow { count, opened, opened_text: None }))
        }
        Window::Bucket { .. } => {
            let quota = quota?;
            let count = refund.only_if_value.unwrap_or_else(|| refund.bucket_amount(quota, now));
            let (limit, capacity) = (Some(quota.limit), Some(quota.capacity));
            Some(WindowState::Bucket(Bucket { count: Some(count), limit, capacity }))
        }
        Window::Log { .. } => None,
    }
}
