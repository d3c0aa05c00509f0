//! A sharded hash map.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

use crate::sync::{Mutex, MutexGuard, lock};

/// Number of shards. Fewer than for counters, because a claim comes with work that takes far
/// longer. The scheduler explores one shard, where operations meet most often.
const SHARDS: usize = if cfg!(all(test, shuttle)) { 1 } else { 256 };

/// Both hashes have a random seed, because clients choose the keys. The seeds differ, so that the
/// keys of one shard are spread in its map.
pub(crate) struct Map<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: RandomState,
}

type Shard<K, V> = HashMap<K, V, RandomState>;

impl<K: Eq + Hash, V> Map<K, V> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::default() }
    }

    /// Locks the shard of a key.
    pub(crate) fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "below the number of shards")]
        lock(&self.shards[(hash % SHARDS as u64) as usize])
    }
}
