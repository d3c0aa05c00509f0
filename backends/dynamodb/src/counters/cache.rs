//! Values that a process remembers, to save requests.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::item::ItemKey;

/// How many values a cache holds. Beyond that, the least recently used one is dropped.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The last known values of counters.
pub(super) struct ValueCache(Mutex<State>);

struct State {
    values: LruCache<ItemKey, u128>,
    /// How many counters have been reset.
    resets: u64,
}

impl ValueCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { values: LruCache::new(CAPACITY), resets: 0 }))
    }

    pub(super) fn get(&self, key: &ItemKey) -> Option<u128> {
        self.state().values.get(key).copied()
    }

    pub(super) fn put(&self, key: ItemKey, value: u128) {
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

    /// Stores a value, unless a counter was reset since there were so many `resets`: it may be the
    /// value before that.
    pub(super) fn put_unless_reset(&self, key: ItemKey, value: u128, resets: u64) {
        let mut state = self.state();
        if state.resets == resets {
            state.values.put(key, value);
        }
    }

    /// Locks, ignoring poison: a panic cannot leave the cache with a wrong value.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
