//! Hits on several counters at once: one `TransactWriteItems`, unless an item is not as last seen.

use std::time::Duration;

use limited_core::coalesce::PendingHit;
use limited_core::{BackendError, CounterState, Result, Timestamp, Window};

use super::Counters;
use super::item::{CounterItem, ItemKey, ItemState};
use super::step::{Step, is_condition};
use super::update::WriteId;
use super::write::expiry;
use crate::attributes::Item;
use crate::client::{Canceled, TransactedItem, TransactionOutcome};
use crate::expression::Update;

/// How often a transaction is tried if an item is not as expected, or is being written. After that,
/// it counts as throttled.
const MAX_ROUNDS: u32 = 12;

/// The longest wait before the second round. It doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);

/// How often a read is repeated for the items that DynamoDB did not process.
const MAX_READS: u32 = 4;

/// One hit on each item of a transaction, all or none.
#[derive(Clone, Debug)]
pub(super) struct PendingHits(pub(super) Vec<PendingHit>);

/// An item of a transaction, as far as it is known.
struct Seen {
    state: ItemState,
    /// Whether DynamoDB has returned or confirmed this state since the transaction began. Otherwise
    /// it is a guess: the last known state.
    is_confirmed: bool,
}

/// What requests make of the items if they are applied one after the other.
struct Plan {
    /// The states of each request.
    states: Vec<Vec<CounterState>>,
    /// Each item after the requests that fit.
    after: Vec<ItemState>,
    /// The indexes of the requests that fit.
    fitting: Vec<usize>,
}

impl Plan {
    fn of(items: &[CounterItem], seen: &[Seen], requests: &[PendingHits], skew: Duration) -> Self {
        let mut plan = Self {
            states: Vec::with_capacity(requests.len()),
            after: seen.iter().map(|seen| seen.state.clone()).collect(),
            fitting: Vec::new(),
        };
        for (index, PendingHits(hits)) in requests.iter().enumerate() {
            let step = |((item, state), hit): ((&CounterItem, &ItemState), &PendingHit)| {
                Step::of(state, item.window, hit, skew)
            };
            let steps: Vec<_> = items.iter().zip(&plan.after).zip(hits).map(step).collect();
            if steps.iter().all(|step| step.after.is_some()) {
                let (states, after) = steps.into_iter().filter_map(|step| step.after).unzip();
                plan.states.push(states);
                plan.after = after;
                plan.fitting.push(index);
            } else {
                let state = |step: Step| {
                    let mut state = step.before;
                    state.counted = step.after.is_some();
                    state
                };
                plan.states.push(steps.into_iter().map(state).collect());
            }
        }
        plan
    }
}

impl Counters {
    /// Writes the requests, each all or none. Returns the states of each as if they had been
    /// written in order, one by one.
    ///
    /// The transaction expects every item as this process has seen it last, or absent. So the
    /// states after it are known, which DynamoDB does not return. If an item is different, the
    /// cancelled transaction returns it, and confirms the others.
    pub(super) async fn write_all(
        &self,
        items: &[CounterItem],
        requests: &mut [PendingHits],
    ) -> Result<Vec<Vec<CounterState>>> {
        let previous = self.read_previous(items, requests).await?;
        let mut states = self.try_write_all(items, requests).await?;
        for states in &mut states {
            for (state, previous) in states.iter_mut().zip(&previous) {
                state.previous = previous.unwrap_or_default();
            }
        }
        Ok(states)
    }

    /// Reads the window before each sliding one, unless it is cached, and lowers the ceilings.
    async fn read_previous(
        &self,
        items: &[CounterItem],
        requests: &mut [PendingHits],
    ) -> Result<Vec<Option<u128>>> {
        let read = |(index, item): (usize, &CounterItem)| {
            let hits = requests.iter().filter_map(|PendingHits(hits)| hits.get(index));
            // The earliest time, because only that shows whether the window is closed for every
            // hit.
            let earliest = hits.filter(|hit| hit.needs_previous).map(|hit| hit.now).min();
            let previous = item.previous(self.client.settings.format);
            async move {
                let Some(earliest) = earliest else { return Ok(None) };
                let Some(previous) = previous else { return Ok(Some(0)) };
                match self.cached_count(&previous.key, earliest) {
                    Some(count) => Ok(Some(count)),
                    None => self.read_count(&previous, earliest).await.map(Some),
                }
            }
        };
        let previous: Vec<_> = items.iter().enumerate().map(read).collect();
        let previous = futures_util::future::try_join_all(previous).await?;
        for PendingHits(hits) in requests {
            for ((hit, item), count) in hits.iter_mut().zip(items).zip(&previous) {
                hit.lower_ceiling(count.unwrap_or_default(), item.window);
            }
        }
        Ok(previous)
    }

    async fn try_write_all(
        &self,
        items: &[CounterItem],
        requests: &[PendingHits],
    ) -> Result<Vec<Vec<CounterState>>> {
        let skew = self.client.settings.max_clock_skew;
        let times = requests.iter().flat_map(|PendingHits(hits)| hits).map(|hit| hit.now);
        let now = times.max().unwrap_or_default();
        let guess = |item| Seen { state: self.last_state(item), is_confirmed: false };
        let mut seen: Vec<_> = items.iter().map(guess).collect();
        let mut busy = None;
        for round in 0..MAX_ROUNDS {
            let plan = Plan::of(items, &seen, requests, skew);
            if plan.fitting.is_empty() {
                if seen.iter().all(|seen| seen.is_confirmed) {
                    self.remember_all(items, &seen);
                    return Ok(plan.states);
                }
                // A refusal by what this process has seen last: perhaps others refunded since.
                self.confirm(items, &mut seen).await?;
                continue;
            }
            let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
            let transacted = transacted(items, &seen, requests, &plan, skew, write, now)?;
            let table = &self.client.settings.table;
            match self.client.transact_write_items(table, transacted).await? {
                TransactionOutcome::Applied => {
                    self.applied_all(items, &plan, &seen, now).await;
                    return Ok(plan.states);
                }
                TransactionOutcome::Canceled(reasons) => {
                    let canceled = self.look_at(items, &mut seen, reasons, write).await?;
                    if canceled.is_applied {
                        self.applied_all(items, &plan, &seen, now).await;
                        return Ok(plan.states);
                    }
                    if canceled.busy.is_some() || round > 0 {
                        busy = canceled.busy;
                        self.back_off(round).await;
                    }
                }
            }
        }
        Err(busy.unwrap_or_else(|| {
            BackendError::throttled(
                "other writers changed one of the items before each attempt to write them; spread the load over \
                 more keys",
            )
        }))
    }

    /// Looks at every reason of a cancelled transaction, and takes the states that it returned.
    async fn look_at(
        &self,
        items: &[CounterItem],
        seen: &mut [Seen],
        reasons: Vec<Canceled>,
        write: WriteId<'_>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut failed = None;
        let is_checked =
            reasons.iter().all(|reason| matches!(reason, Canceled::Not | Canceled::ConditionFailed(_)));
        for ((item, seen), reason) in items.iter().zip(seen).zip(reasons) {
            match reason {
                // Its condition held in the same step in which others failed.
                Canceled::Not => seen.is_confirmed |= is_checked,
                Canceled::ConditionFailed(old) => {
                    seen.state = match old {
                        Some(old) => ItemState::read(&old, item.window)?,
                        // There is no item, or the server is one that never returns it.
                        None => self.read(&item.key, item.window).await?,
                    };
                    seen.is_confirmed = true;
                    // The slot has the number of this write: an earlier attempt was applied, and
                    // its response lost.
                    outcome.is_applied |= seen.state.slot(write.slot) == Some(write.number);
                }
                Canceled::Busy(error) => outcome.busy = Some(error),
                Canceled::Failed(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if !outcome.is_applied => Err(error),
            _ => Ok(outcome),
        }
    }

    /// Reads the items whose state is a guess.
    async fn confirm(&self, items: &[CounterItem], seen: &mut [Seen]) -> Result<()> {
        let unconfirmed = items.iter().zip(&*seen).filter(|(_, seen)| !seen.is_confirmed);
        let keys: Vec<&ItemKey> = unconfirmed.map(|(item, _)| &item.key).collect();
        let found = self.read_all(keys.iter().map(|key| key.attributes()).collect()).await?;
        for (item, seen) in items.iter().zip(seen).filter(|(_, seen)| !seen.is_confirmed) {
            seen.state = match found.iter().find(|found| item.key.is_of(found)) {
                Some(found) => ItemState::read(found, item.window)?,
                None => ItemState::default(),
            };
            seen.is_confirmed = true;
        }
        Ok(())
    }

    async fn read_all(&self, mut keys: Vec<Item>) -> Result<Vec<Item>> {
        let mut found = Vec::with_capacity(keys.len());
        for round in 0..MAX_READS {
            let (items, unprocessed) = self.client.read_items(keys).await?;
            found.extend(items);
            if unprocessed.is_empty() {
                return Ok(found);
            }
            keys = unprocessed;
            self.back_off(round).await;
        }
        Err(BackendError::throttled("DynamoDB did not process all reads of a batch; try again"))
    }

    /// Sleeps for a random part of the backoff.
    async fn back_off(&self, round: u32) {
        let longest =
            FIRST_BACKOFF.saturating_mul(1 << round.min(5)).min(self.client.settings.operation_timeout);
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        self.client.sleep(Duration::from_nanos(fastrand::u64(0..=nanos))).await;
    }

    /// Does what follows a transaction that was applied.
    async fn applied_all(&self, items: &[CounterItem], plan: &Plan, seen: &[Seen], now: Timestamp) {
        for ((item, after), seen) in items.iter().zip(&plan.after).zip(seen) {
            if after.has_same_value(&seen.state) {
                self.remember(item, after);
            } else {
                self.applied(item, after, now).await;
            }
        }
    }

    fn remember_all(&self, items: &[CounterItem], seen: &[Seen]) {
        items.iter().zip(seen).for_each(|(item, seen)| self.remember(item, &seen.state));
    }
}

/// What the reasons of a cancelled transaction show.
#[derive(Default)]
struct Outcome {
    /// Whether an earlier attempt was applied.
    is_applied: bool,
    /// The error if trying again does not help.
    busy: Option<BackendError>,
}

/// Returns the updates and the conditions of a transaction that counts the requests that fit.
fn transacted(
    items: &[CounterItem],
    seen: &[Seen],
    requests: &[PendingHits],
    plan: &Plan,
    skew: Duration,
    write: WriteId<'_>,
    now: Timestamp,
) -> Result<Vec<TransactedItem>> {
    let mut transacted = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let hits = || plan.fitting.iter().filter_map(|&request| requests[request].0.get(index));
        let (before, after) = (&seen[index].state, &plan.after[index]);
        let update = if !after.has_same_value(before) {
            let expiry = expiry(item.window, now, hits(), skew);
            let mut update = Update::replace(item.window, before, after, expiry, write, now)?;
            if let Some((key, dimensions)) = &item.dimensions {
                update.dimensions(key, dimensions);
            }
            update
        } else {
            // A request that does not fit depends on the exact state.
            let all_fit = plan.fitting.len() == requests.len();
            match full_bucket(item.window, hits()) {
                Some((value, limit)) if all_fit && !seen[index].is_confirmed => {
                    Update::bucket_at_most(value, limit)
                }
                _ => Update::unchanged(item.window, before),
            }
        };
        transacted.push(TransactedItem { key: item.key.attributes(), update });
    }
    Ok(transacted)
}

/// Returns the highest value, and the limit, by which hits that change nothing require that a
/// bucket is full. What it is below that makes no difference.
fn full_bucket<'h>(window: Window, mut hits: impl Iterator<Item = &'h PendingHit>) -> Option<(u128, u64)> {
    let Window::Bucket { .. } = window else { return None };
    hits.try_fold(None, |lowest: Option<(u128, u64)>, hit| {
        let limit = hit.bucket?.limit;
        let is_full = hit.ceiling <= u128::from(hit.now.as_nanos()) * u128::from(limit);
        if !is_condition(hit) || !is_full || lowest.is_some_and(|(_, other)| other != limit) {
            return None;
        }
        Some(Some((lowest.map_or(hit.ceiling, |(value, _)| value.min(hit.ceiling)), limit)))
    })
    .flatten()
}
