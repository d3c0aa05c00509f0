//! The layout with one item for each key, and one attribute per window.
//!
//! Everything about a key is one item, so one conditional update decides any number of its limits.
//! The attributes of windows are named by their start ([`names`]), so that a new window needs no
//! guess, and a late hit finds its own. A write expects the state that was seen last only where it
//! must: for the previous window of a sliding counter, for logs, and for buckets of another limit.

mod expressions;
mod names;
mod plan;
mod state;
mod write;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limited_core::coalesce::{PendingHit, WriteCoalescer};
use limited_core::{
    BackendError, BucketQuota, Counter, CounterState, Dimensions, Hit, Refund, Result, Timestamp, Window,
    WindowId, bucket, sliding,
};
use lru::LruCache;

use self::names::KEY;
use self::plan::MAX_WINDOWS;
use self::state::{KeyHit, KeyState};
use super::item::MAX_IDENTIFIER_BYTES;
use super::update::WriteId;
use super::write_number;
use crate::attributes::{IDENTIFIER, Item, SLOT_PREFIX, WINDOW_TIME, key_attributes};
use crate::client::Client;
use crate::format::identifier;

/// Of how many items the last state is remembered. Beyond that, the least recently used one is
/// dropped.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The items of the keys of a table, and one writer to them.
pub(crate) struct KeyItems {
    client: Arc<Client>,
    queues: WriteCoalescer<String, Operation, Vec<CounterState>>,
    /// The name of this writer's slot in every item.
    writer_slot: String,
    /// The number of the last write.
    last_number: AtomicU64,
    /// The states that this process saw last. A guess: every write checks what it relies on.
    seen: Mutex<LruCache<String, KeyState>>,
}

/// The item of a key.
#[derive(Clone)]
struct KeyItem {
    identifier: String,
    /// The key and the parts that it was composed of, if it was composed of any.
    dimensions: Option<(String, Dimensions)>,
}

/// An operation on the item of a key.
#[derive(Clone, Debug)]
enum Operation {
    /// Hits that are counted all or none.
    Hits(Vec<KeyHit>),
    Refund {
        window: Window,
        quota: Option<BucketQuota>,
        refund: Refund,
        now: Timestamp,
    },
    Reset {
        window: Window,
        window_id: Option<WindowId>,
        now: Timestamp,
    },
}

impl Operation {
    fn time(&self) -> Timestamp {
        match self {
            Self::Hits(hits) => hits.iter().map(|hit| hit.hit.now).max().unwrap_or_default(),
            Self::Refund { now, .. } | Self::Reset { now, .. } => *now,
        }
    }
}

impl KeyItem {
    fn of(counter: &Counter<'_>) -> Self {
        Self {
            identifier: identifier(counter.namespace(), counter.key(), MAX_IDENTIFIER_BYTES),
            dimensions: counter.dimensions().map(|dimensions| (counter.key().to_owned(), dimensions.clone())),
        }
    }

    fn key_attributes(&self) -> Item {
        key_attributes((IDENTIFIER, &self.identifier), (WINDOW_TIME, KEY))
    }
}

impl KeyItems {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            queues: WriteCoalescer::default(),
            writer_slot: format!("{SLOT_PREFIX}{:012x}", fastrand::u64(..1 << 48)),
            last_number: AtomicU64::new(0),
            seen: Mutex::new(LruCache::new(CAPACITY)),
        }
    }

    pub(crate) async fn increment(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState> {
        let states = self.increment_all(&[(*counter, *hit)], now).await?;
        states.into_iter().next().ok_or_else(no_state)
    }

    /// Counts hits on one key, all or none.
    pub(crate) async fn increment_all(
        self: &Arc<Self>,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        let Some((first, _)) = hits.first() else { return Ok(Vec::new()) };
        let hit = |(counter, hit): &(Counter<'_>, Hit<'_>)| {
            if counter.is_sliding() {
                sliding::previous_window(counter)?;
            }
            let quota = bucket::quota(counter)?;
            Ok(KeyHit {
                window: counter.window(),
                is_sliding: counter.is_sliding(),
                hit: PendingHit::new(hit, now).with_bucket(quota),
            })
        };
        let hits = hits.iter().map(hit).collect::<Result<_>>()?;
        self.submit(first, Operation::Hits(hits)).await
    }

    /// Returns whether one write can count these hits: they are on one key, and not too many.
    pub(crate) fn is_one_write(hits: &[(Counter<'_>, Hit<'_>)]) -> bool {
        let Some((first, _)) = hits.first() else { return true };
        hits.len() <= MAX_WINDOWS
            && hits
                .iter()
                .all(|(counter, _)| counter.key() == first.key() && counter.namespace() == first.namespace())
    }

    pub(crate) async fn refund(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<CounterState> {
        let (window, quota) = (counter.window(), bucket::quota(counter)?);
        let refund = Operation::Refund { window, quota, refund: *refund, now };
        let states = self.submit(counter, refund).await?;
        states.into_iter().next().ok_or_else(no_state)
    }

    pub(crate) async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        let quota = bucket::quota(counter)?;
        let previous = if counter.is_sliding() { sliding::previous_window(counter)? } else { None };
        let state = self.read(&KeyItem::of(counter)).await?;
        let skew = self.client.settings.max_clock_skew;
        let previous = state.previous_count(previous.map(|counter| counter.window()))?;
        let window = state.window(counter.window())?;
        let result = window.counter_state(counter.window(), quota, now, skew);
        Ok(result.with_previous(previous.unwrap_or_default()))
    }

    /// Deletes the attributes of a window, or only those of one window from the first hit.
    pub(crate) async fn reset(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<()> {
        let reset = Operation::Reset { window: counter.window(), window_id, now };
        self.submit(counter, reset).await.map(|_| ())
    }

    async fn submit(
        self: &Arc<Self>,
        counter: &Counter<'_>,
        operation: Operation,
    ) -> Result<Vec<CounterState>> {
        let item = KeyItem::of(counter);
        let identifier = item.identifier.clone();
        let items = Arc::clone(self);
        self.queues.submit(&identifier, operation, move |operations| items.write(item, operations)).await
    }

    /// Returns a number for the next write: higher than any before, and near the time in
    /// microseconds. So the slots of different writers show which of them has been silent for
    /// longest.
    fn next_write(&self, now: Timestamp) -> WriteId<'_> {
        let next = |last: u64| write_number(now).max(last.saturating_add(1));
        let last =
            self.last_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        WriteId { slot: &self.writer_slot, number: next(last.unwrap_or_else(|last| last)) }
    }

    fn last_seen(&self, item: &KeyItem) -> KeyState {
        self.seen().get(&item.identifier).cloned().unwrap_or_default()
    }

    fn remember(&self, item: &KeyItem, state: &KeyState) {
        self.seen().put(item.identifier.clone(), state.to_remember());
    }

    /// Locks, ignoring poison: a panic cannot leave the cache with a wrong value.
    fn seen(&self) -> MutexGuard<'_, LruCache<String, KeyState>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_state() -> BackendError {
    BackendError::unavailable("the write returned no result for this hit")
}
