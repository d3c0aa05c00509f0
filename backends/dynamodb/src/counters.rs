//! Counters: one item for each key and window.

mod bucket_batch;
mod cache;
mod item;
mod key_item;
mod update;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use limited_core::bucket::{self, StoredBucket};
use limited_core::coalesce::{PendingHit, WriteCoalescer};
use limited_core::{
    BackendError, Counter, CounterState, Escaped, Hit, Result, Timestamp, Window, WindowId, WindowLength,
    has_passed, retained_until, sliding,
};

use self::cache::ValueCache;
use self::item::{CounterItem, ItemKey, ItemState, PreviousItem};
pub(crate) use self::key_item::KeyItems;
use crate::WindowTimeFormat;
use crate::attributes::SLOT_PREFIX;
use crate::client::Client;
use crate::expression::Update;

/// How long a write is expected to be in flight at most, however long the operation timeout is. A
/// long timeout is meant for the rare slow request. If every window stayed open for as long, each
/// write would need a read meanwhile.
const MAX_WRITE_TIME: Duration = Duration::from_secs(1);

/// The counters of a table, and one writer to them.
pub(crate) struct Counters {
    client: Arc<Client>,
    queues: WriteCoalescer<ItemKey>,
    /// The name of this writer's slot in every item.
    writer_slot: String,
    /// The number of the last write.
    last_number: AtomicU64,
    /// The counts of windows that no late write can change any more.
    closed_windows: ValueCache<u128>,
    /// The last known states of buckets.
    last_buckets: ValueCache<StoredBucket>,
    /// The one window length of a table that stores no lengths.
    only_length: OnceLock<WindowLength>,
}

impl Counters {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            queues: WriteCoalescer::default(),
            writer_slot: format!("{SLOT_PREFIX}{:012x}", fastrand::u64(..1 << 48)),
            last_number: AtomicU64::new(0),
            closed_windows: ValueCache::new(),
            last_buckets: ValueCache::new(),
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
        let key = self.key(counter)?;
        let previous = self.previous_item(counter)?;
        let cached = previous.map_or(Some(0), |item| self.cached_count(&item.key, now));
        let hit = match cached {
            Some(count) => PendingHit::new(&sliding::with_previous(hit, count, counter.window(), now), now),
            None => PendingHit::new(hit, now).without_previous(),
        };
        let item = CounterItem {
            key: key.clone(),
            window: counter.window(),
            dimensions: counter.dimensions().map(|dimensions| (counter.key().to_owned(), dimensions.clone())),
        };
        let counters = Arc::clone(self);
        let write = move |hits| counters.write(item, hits);
        let state = self.queues.submit(&key, hit.with_bucket(quota), write).await?;
        Ok(match cached {
            Some(count) => state.with_previous(count),
            None => state,
        })
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
        result
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
