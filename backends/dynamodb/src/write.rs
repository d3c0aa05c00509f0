//! A batch of hits, written: one request, unless something is not as it was taken to be.

use std::sync::Arc;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use limited_core::coalesce::{MergedHit, PendingHit, Results, admissible, merge, values_after};
use limited_core::{BackendError, CounterState, Dimensions, Timestamp, Window};

use crate::attributes::{IDENTIFIER, Item, Seen, WINDOW_TIME};
use crate::backend::Shared;
use crate::error::backend_error;
use crate::expression::Update;
use crate::item::ItemKey;
use crate::update::{Case, Opening, Stamp, Value};

/// How often a write is tried anew because the item is not as it was taken to be, before it counts as throttled.
const ROUNDS: usize = 8;

/// How many writers' slots an item keeps once there have been twice as many.
const SLOTS_KEPT: usize = 8;

/// The item that a batch goes to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) item: ItemKey,
    pub(crate) window: Window,
    pub(crate) key: Arc<str>,
    pub(crate) dimensions: Option<Arc<Dimensions>>,
}

/// What came of one attempt.
enum Attempt {
    Applied(Seen),
    /// The condition failed, and this is why.
    Refused(Seen),
}

impl Shared {
    /// Writes the hits, and answers each as in order, one by one.
    pub(crate) async fn write(self: Arc<Self>, target: Target, hits: Vec<PendingHit>) -> Results {
        match self.try_write(&target, &hits).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); hits.len()],
        }
    }

    async fn try_write(
        &self,
        target: &Target,
        hits: &[PendingHit],
    ) -> Result<Vec<CounterState>, BackendError> {
        let window = target.window;
        let now = hits.iter().map(|hit| hit.now).max().unwrap_or_default();
        let mut seen: Option<Seen> = None;
        for _ in 0..ROUNDS {
            let live = seen.clone().map(|seen| match window {
                // Each hit has a floor of its own, by its own time.
                Window::Bucket { .. } => seen,
                _ => seen.live(window, now),
            });
            let chosen = admissible(hits, live.as_ref().map_or(0, |live| live.value));
            let Some(merged) = merge(hits, &chosen) else {
                // None can be counted, so that there is nothing to write.
                let live = match live {
                    Some(live) => live,
                    None => self.read(&target.item, window).await?.live(window, now),
                };
                self.remember(target, live.value);
                return Ok(hits.iter().map(|_| live.tally(false, live.value, window)).collect());
            };
            let case = self.case(target, seen.as_ref(), &merged, now);
            match self.attempt(target, hits, &chosen, &merged, &case, now).await? {
                Attempt::Applied(after) => {
                    self.remember(target, after.value);
                    // A clock that jumped back counts in a window that was taken for settled.
                    self.forget_settled(&target.item);
                    self.clear_slots(&target.item, &after).await;
                    let started_over = case.value == Value::Past || matches!(case.opening, Opening::Ended(_));
                    let before = if started_over { 0 } else { after.value.saturating_sub(merged.cost) };
                    return Ok(answers(hits, &chosen, before, &after, window));
                }
                Attempt::Refused(old) => seen = Some(old),
            }
        }
        Err(BackendError::throttled(
            "other writers changed the item each time before it could be written: spread the load over more keys",
        ))
    }

    /// What the item is taken to be like: as it was seen by this write, or when the key was last used.
    fn case(&self, target: &Target, seen: Option<&Seen>, merged: &MergedHit, now: Timestamp) -> Case {
        let opening = match (target.window, seen) {
            (Window::Aligned { .. } | Window::Bucket { .. }, _) => Opening::Never,
            (Window::FromFirstHit { .. }, Some(seen))
                if seen.is_there && seen.has_ended(target.window, now) =>
            {
                Opening::Ended(seen.opened_at.clone())
            }
            (Window::FromFirstHit { .. }, _) => Opening::Open,
        };
        let value = match seen.map(|seen| seen.value).or_else(|| self.last_seen(target)) {
            _ if merged.floor() == 0 => Value::FromZero,
            Some(value) if value > merged.floor() => Value::Ahead,
            _ => Value::Past,
        };
        Case { value, opening }
    }

    async fn attempt(
        &self,
        target: &Target,
        hits: &[PendingHit],
        chosen: &[usize],
        merged: &MergedHit,
        case: &Case,
        now: Timestamp,
    ) -> Result<Attempt, BackendError> {
        let number = self.next_number(now);
        let stamp = Stamp { slot: &self.slot, number, now, skew: self.settings.max_clock_skew };
        let highest = chosen.iter().map(|&index| hits[index].ceiling).max().unwrap_or_default();
        let first = &hits[chosen[0]];
        let mut update = Update::counting(case, merged, target.window, first, highest, &stamp)?;
        if let Some(dimensions) = &target.dimensions {
            update.dimensions(&target.key, dimensions);
        }
        match self.send(&target.item, update).await {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(Attempt::Applied(Seen::read(&item, target.window)?))
            }
            Err(SdkError::ServiceError(error)) if is_failed_condition(error.err()) => {
                let old = match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                let old = match old {
                    Some(item) => Seen::read(&item, target.window)?,
                    // Each of these wants an item to be there.
                    None if case.value == Value::Ahead || matches!(case.opening, Opening::Ended(_)) => {
                        Seen::default()
                    }
                    // The others do without: there is one, and the server does not show it.
                    None => self.read(&target.item, target.window).await?,
                };
                // One's own number in the slot: the write was applied, and its answer lost.
                let applied = old.slot(&self.slot) == Some(number);
                Ok(if applied { Attempt::Applied(old) } else { Attempt::Refused(old) })
            }
            Err(error) => Err(backend_error(error, &self.settings.table)),
        }
    }

    async fn send(
        &self,
        item: &ItemKey,
        update: Update,
    ) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
        self.update_item(&self.settings.table, key_of(item), update, ReturnValue::AllNew).await
    }

    /// Keeps an item that many writers wrote to within one write unit: beyond twice the number of slots that are kept,
    /// those of the writers that have been silent for longest are taken out. Should one of them still repeat a write,
    /// that counts twice: too much, which is the safe side.
    async fn clear_slots(&self, item: &ItemKey, seen: &Seen) {
        if seen.slots.len() <= 2 * SLOTS_KEPT {
            return;
        }
        let mut slots = seen.slots.clone();
        slots.sort_by_key(|(_, number)| *number);
        let silent = slots.len() - SLOTS_KEPT;
        let silent: Vec<String> =
            slots.into_iter().take(silent).map(|(name, _)| name).filter(|name| *name != self.slot).collect();
        // Where it fails, the next write to the item does it.
        let _ = self.send(item, Update::clearing(&silent)).await;
    }
}

fn answers(
    hits: &[PendingHit],
    chosen: &[usize],
    before: u128,
    after: &Seen,
    window: Window,
) -> Vec<CounterState> {
    let mut tallies: Vec<CounterState> =
        hits.iter().map(|_| after.tally(false, after.value, window)).collect();
    for (&index, value) in chosen.iter().zip(values_after(hits, chosen, before)) {
        tallies[index] = after.tally(true, value, window);
    }
    tallies
}

fn is_failed_condition(error: &UpdateItemError) -> bool {
    matches!(error, UpdateItemError::ConditionalCheckFailedException(_))
}

pub(crate) fn key_of(item: &ItemKey) -> Item {
    Item::from([
        (IDENTIFIER.to_owned(), AttributeValue::S(item.identifier.clone())),
        (WINDOW_TIME.to_owned(), AttributeValue::S(item.window_time.clone())),
    ])
}
