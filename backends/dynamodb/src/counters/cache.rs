//! Values that a process remembers, to save requests.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limited_core::Timestamp;
use lru::LruCache;

use super::item::ItemKey;

/// How many values a cache holds. Beyond that, the least recently used one is dropped.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The last known values of counters.
pub(super) struct ValueCache<V>(Mutex<State<V>>);

struct State<V> {
    values: LruCache<ItemKey, V>,
    /// How many counters have been reset, and how often a wrong clock has been corrected.
    resets: u64,
    /// The latest time that the cache was used at, by the clock as it is now.
    latest: Timestamp,
}

impl<V: Clone> ValueCache<V> {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    pub(super) fn with_capacity(capacity: NonZeroUsize) -> Self {
        Self(Mutex::new(State { values: LruCache::new(capacity), resets: 0, latest: Timestamp::EPOCH }))
    }

    pub(super) fn get(&self, key: &ItemKey) -> Option<V> {
        self.state().values.get(key).cloned()
    }

    /// Returns the value, unless it may have been cached by a clock that was wrong.
    ///
    /// If the time jumps back by more than the skew, the clock was ahead and is corrected. What it
    /// cached about times to come may change, so everything is dropped.
    pub(super) fn get_at(&self, key: &ItemKey, now: Timestamp, skew: Duration) -> Option<V> {
        let mut state = self.state();
        if now.saturating_add(skew) < state.latest {
            state.values.clear();
            // A read in the meantime may be by the wrong clock.
            state.resets += 1;
            state.latest = now;
        }
        state.latest = state.latest.max(now);
        state.values.get(key).cloned()
    }

    pub(super) fn put(&self, key: ItemKey, value: V) {
        self.state().values.put(key, value);
    }

    pub(super) fn remove(&self, key: &ItemKey) {
        self.state().values.pop(key);
    }

    /// Removes the value of a counter that was reset.
    pub(super) fn reset(&self, key: &ItemKey) {
        let mut state = self.state();
        state.resets += 1;
        state.values.pop(key);
    }

    pub(super) fn resets(&self) -> u64 {
        self.state().resets
    }

    /// Stores a value, unless a counter was reset or the clock corrected since there were so many
    /// `resets`: it may be the value before that.
    pub(super) fn put_unless_reset(&self, key: ItemKey, value: V, resets: u64) {
        let mut state = self.state();
        if state.resets == resets {
            state.values.put(key, value);
        }
    }

    /// Locks, ignoring poison: a panic cannot leave the cache with a wrong value.
    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
