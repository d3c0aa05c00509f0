//! Counters: one item for each key and window.

mod bucket_batch;
mod cache;
mod item;
mod key_item;
mod log;
mod refund;
mod several;
mod step;
mod transaction;
mod turns;
mod update;
mod write;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use limited_core::bucket::{self, StoredBucket};
use limited_core::coalesce::{PendingHit, WriteCoalescer};
use limited_core::{
    BackendError, Counter, CounterState, Escaped, Hit, Refund, Result, Timestamp, Window, WindowId,
    WindowLength, has_passed, retained_until, sliding,
};

use self::cache::ValueCache;
use self::item::{CounterItem, ItemKey, ItemState, PreviousItem};
pub(crate) use self::key_item::KeyItems;
use self::several::Batches;
use self::step::is_past;
use self::transaction::PendingHits;
use self::turns::Turns;
use self::write::panicked;
use crate::WindowTimeFormat;
use crate::attributes::SLOT_PREFIX;
use crate::client::Client;
use crate::expression::Update;

/// How long a write is expected to be in flight at most, however long the operation timeout is. A
/// long timeout is meant for the rare slow request. If every window stayed open for as long, each
/// write would need a read meanwhile.
const MAX_WRITE_TIME: Duration = Duration::from_secs(1);

/// How many logs are remembered. Each holds up to 512 hits.
const LOGS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The counters of a table, and one writer to them.
pub(crate) struct Counters {
    client: Arc<Client>,
    queues: WriteCoalescer<ItemKey>,
    /// The transactions that wait for their turn.
    batches: Batches,
    /// The order of all writes.
    turns: Arc<Turns>,
    /// The name of this writer's slot in every item.
    writer_slot: String,
    /// The number of the last write.
    last_number: AtomicU64,
    /// The counts of windows that no late write can change any more.
    closed_windows: ValueCache<u128>,
    /// The last known states of buckets.
    last_buckets: ValueCache<StoredBucket>,
    /// The last known states of logs.
    last_logs: ValueCache<ItemState>,
    /// The last known states of other windows.
    last_windows: ValueCache<ItemState>,
    /// The one window length of a table that stores no lengths.
    only_length: OnceLock<WindowLength>,
}

impl Counters {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            queues: WriteCoalescer::default(),
            batches: Batches::default(),
            turns: Arc::default(),
            writer_slot: format!("{SLOT_PREFIX}{:012x}", fastrand::u64(..1 << 48)),
            last_number: AtomicU64::new(0),
            closed_windows: ValueCache::new(),
            last_buckets: ValueCache::new(),
            last_logs: ValueCache::with_capacity(LOGS_REMEMBERED),
            last_windows: ValueCache::new(),
            only_length: OnceLock::new(),
        }
    }

    pub(crate) async fn increment(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState> {
        let quota = bucket::quota(counter)?;
        let (window, skew) = (counter.window(), self.client.settings.max_clock_skew);
        if is_past(window, now, skew) {
            return Ok(ItemState::default().counter_state(false, 0, window));
        }
        let item = self.item(counter)?;
        let key = item.key.clone();
        let previous = self.previous_item(counter)?;
        let cached = previous.map_or(Some(0), |item| self.cached_count(&item.key, now));
        let hit = match cached {
            Some(count) => PendingHit::new(&sliding::with_previous(hit, count, counter.window(), now), now),
            None => PendingHit::new(hit, now).without_previous(),
        };
        let counters = Arc::clone(self);
        let write = move |hits| counters.write(item, hits);
        let state = self.queues.submit(&key, hit.with_bucket(quota), write).await?;
        Ok(match cached {
            Some(count) => state.with_previous(count),
            None => state,
        })
    }

    /// Counts several hits, all or none. The caller has
    /// [checked](limited_core::several::check) them.
    pub(crate) async fn increment_all(
        self: &Arc<Self>,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        if let [(counter, hit)] = hits {
            return Ok(vec![self.increment(counter, hit, now).await?]);
        }
        let mut sorted = Vec::with_capacity(hits.len());
        for (index, (counter, hit)) in hits.iter().enumerate() {
            let quota = bucket::quota(counter)?;
            let hit = PendingHit::new(hit, now).with_bucket(quota);
            let hit = if counter.is_sliding() { hit.without_previous() } else { hit };
            sorted.push((self.item(counter)?, hit, index));
        }
        if sorted.is_empty() {
            return Ok(Vec::new());
        }
        // Equal sets in any order are one set.
        sorted.sort_by(|(one, ..), (other, ..)| one.key.cmp(&other.key));
        let keys: Arc<[ItemKey]> = sorted.iter().map(|(item, ..)| item.key.clone()).collect();
        let order: Vec<usize> = sorted.iter().map(|(.., index)| *index).collect();
        let (items, pending): (Vec<_>, Vec<_>) = sorted.into_iter().map(|(item, hit, _)| (item, hit)).unzip();
        let counters = Arc::clone(self);
        let write = move |mut requests: Vec<PendingHits>| async move {
            counters.write_all(&items, &mut requests).await
        };
        let states = self.batches.submit(&self.turns, keys, PendingHits(pending), write).await?;
        let mut states: Vec<_> = order.into_iter().zip(states).collect();
        states.sort_by_key(|(index, _)| *index);
        Ok(states.into_iter().map(|(_, state)| state).collect())
    }

    /// Returns part of a charge to the counter that was charged.
    pub(crate) async fn refund(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<CounterState> {
        let quota = bucket::quota(counter)?;
        let item = CounterItem { dimensions: None, ..self.item(counter)? };
        let (counters, refund, key) = (Arc::clone(self), *refund, item.key.clone());
        let write = async move { counters.write_refund(&item, quota, &refund, now).await };
        self.turns.run(&key, write).await.unwrap_or_else(|| Err(panicked()))
    }

    pub(crate) async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        let quota = bucket::quota(counter)?;
        let previous = match self.previous_item(counter)? {
            Some(item) => match self.cached_count(&item.key, now) {
                Some(count) => count,
                None => self.read_count(&item, now).await?,
            },
            None => 0,
        };
        let (window, skew) = (counter.window(), self.client.settings.max_clock_skew);
        let state = match window {
            Window::Aligned { start, length } if has_passed(retained_until(start, length, skew), now) => {
                ItemState::default()
            }
            window if is_past(window, now, skew) => ItemState::default(),
            _ => self.read(&self.key(counter)?, window).await?.live(window, quota, now, skew),
        };
        Ok(state.counter_state(false, state.value, window).with_previous(previous))
    }

    /// Deletes the item of a counter, or of one window from the first hit.
    pub(crate) async fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>) -> Result<()> {
        let key = self.key(counter)?;
        let condition = window_id.map(Update::window_condition).unwrap_or_default();
        let table = &self.client.settings.table;
        let result = self.client.delete_item(table, key.attributes(), condition).await;
        // Not before the request: a read in the meantime may have cached the value that was
        // deleted.
        self.closed_windows.reset(&key);
        self.last_buckets.remove(&key);
        self.last_logs.remove(&key);
        self.last_windows.remove(&key);
        result
    }

    /// Returns the item of a counter.
    fn item(&self, counter: &Counter<'_>) -> Result<CounterItem> {
        Ok(CounterItem {
            key: self.key(counter)?,
            window: counter.window(),
            dimensions: counter.dimensions().map(|dimensions| (counter.key().to_owned(), dimensions.clone())),
        })
    }

    /// Returns the item of the window before, if the counter is sliding and there is one.
    fn previous_item(&self, counter: &Counter<'_>) -> Result<Option<PreviousItem>> {
        if !counter.is_sliding() {
            return Ok(None);
        }
        let Some(previous) = sliding::previous_window(counter)? else { return Ok(None) };
        Ok(Some(PreviousItem { key: self.key(&previous)?, window: previous.window() }))
    }

    /// Returns the count of a closed window, if it is cached.
    fn cached_count(&self, key: &ItemKey, now: Timestamp) -> Option<u128> {
        self.closed_windows.get_at(key, now, self.client.settings.max_clock_skew)
    }

    /// Reads the count of a window that has ended, and caches it if the window is closed.
    async fn read_count(&self, item: &PreviousItem, now: Timestamp) -> Result<u128> {
        let resets = self.closed_windows.resets();
        let value = self.read(&item.key, item.window).await?.value;
        if self.is_closed(item.window, now) {
            self.closed_windows.put_unless_reset(item.key.clone(), value, resets);
        }
        Ok(value)
    }

    /// Returns whether a window has ended so long ago that its count can be cached: no clock within
    /// the skew still counts in it, and no write to it is expected to be in flight.
    fn is_closed(&self, window: Window, now: Timestamp) -> bool {
        let Window::Aligned { start, length } = window else { return false };
        let settings = &self.client.settings;
        let closed_at = start
            .saturating_add(length.as_duration())
            .saturating_add(settings.max_clock_skew)
            .saturating_add(settings.operation_timeout.min(MAX_WRITE_TIME));
        has_passed(closed_at, now)
    }

    /// Reads the item of a counter, consistently.
    async fn read(&self, key: &ItemKey, window: Window) -> Result<ItemState> {
        match self.client.get_item(&self.client.settings.table, key.attributes()).await? {
            Some(item) => ItemState::read(&item, window),
            None => Ok(ItemState::default()),
        }
    }

    /// Returns the key of a counter's item; an error for a second window length in a table that
    /// stores no lengths.
    fn key(&self, counter: &Counter<'_>) -> Result<ItemKey> {
        let settings = &self.client.settings;
        if let (WindowTimeFormat::Start, Window::Aligned { length, .. }) = (settings.format, counter.window())
        {
            let only = *self.only_length.get_or_init(|| length);
            if only != length {
                return Err(BackendError::invalid(format!(
                    "the table `{}` stores only the start of a window, and so one window length: it is used with \
                     {:?} and cannot be used with {:?}",
                    Escaped(&settings.table),
                    only.as_duration(),
                    length.as_duration(),
                )));
            }
        }
        Ok(ItemKey::of(counter, settings.format))
    }

    /// Returns a number for the next write: higher than any before, and near the time in
    /// microseconds. So the slots of different writers show which of them has been silent for
    /// longest.
    fn next_number(&self, now: Timestamp) -> u64 {
        let next = |last: u64| write_number(now).max(last.saturating_add(1));
        let last =
            self.last_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

/// Returns the lowest number of a write at `now`: microseconds.
const fn write_number(now: Timestamp) -> u64 {
    now.as_nanos() / 1_000
}
