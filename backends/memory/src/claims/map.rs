//! The map of claims. Each of its operations is one atomic step on one entry.

pub(crate) use imp::Map;

#[cfg(not(shuttle))]
mod imp {
    use std::hash::Hash;

    use dashmap::DashMap;
    use dashmap::mapref::entry::Entry;
    use foldhash::quality::RandomState;

    /// A sharded map. An operation locks the shard of its entry. The hash has a random seed,
    /// because clients choose the keys.
    pub(crate) struct Map<K, V>(DashMap<K, V, RandomState>);

    impl<K: Eq + Hash, V> Map<K, V> {
        /// Creates an empty map with this many shards, a power of two.
        pub(crate) fn with_shards(shards: usize) -> Self {
            Self(DashMap::with_hasher_and_shard_amount(RandomState::default(), shards))
        }

        pub(crate) fn read<R>(&self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
            self.0.get(key).map(|entry| read(&entry))
        }

        pub(crate) fn update<R>(&self, key: &K, update: impl FnOnce(&mut V) -> R) -> Option<R> {
            self.0.get_mut(key).map(|mut entry| update(&mut entry))
        }

        pub(crate) fn update_or_insert<R>(
            &self,
            key: K,
            update: impl FnOnce(&mut V) -> R,
            insert: impl FnOnce(&K) -> (Option<V>, R),
        ) -> R {
            match self.0.entry(key) {
                Entry::Occupied(mut occupied) => update(occupied.get_mut()),
                Entry::Vacant(vacant) => {
                    let (entry, result) = insert(vacant.key());
                    if let Some(entry) = entry {
                        vacant.insert(entry);
                    }
                    result
                }
            }
        }

        pub(crate) fn remove_if(&self, key: &K, condition: impl FnOnce(&mut V) -> bool) {
            self.0.remove_if_mut(key, |_, entry| condition(entry));
        }
    }
}

/// One lock instead of many, so that the scheduler explores the interleavings of the operations.
#[cfg(shuttle)]
mod imp {
    use std::collections::HashMap;
    use std::hash::Hash;

    use crate::sync::{Mutex, lock};

    pub(crate) struct Map<K, V>(Mutex<HashMap<K, V>>);

    impl<K: Eq + Hash, V> Map<K, V> {
        pub(crate) fn with_shards(_shards: usize) -> Self {
            Self(Mutex::new(HashMap::new()))
        }

        pub(crate) fn read<R>(&self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
            lock(&self.0).get(key).map(read)
        }

        pub(crate) fn update<R>(&self, key: &K, update: impl FnOnce(&mut V) -> R) -> Option<R> {
            lock(&self.0).get_mut(key).map(update)
        }

        pub(crate) fn update_or_insert<R>(
            &self,
            key: K,
            update: impl FnOnce(&mut V) -> R,
            insert: impl FnOnce(&K) -> (Option<V>, R),
        ) -> R {
            let mut map = lock(&self.0);
            if let Some(entry) = map.get_mut(&key) {
                return update(entry);
            }
            let (entry, result) = insert(&key);
            if let Some(entry) = entry {
                map.insert(key, entry);
            }
            result
        }

        pub(crate) fn remove_if(&self, key: &K, condition: impl FnOnce(&mut V) -> bool) {
            let mut map = lock(&self.0);
            if map.get_mut(key).is_some_and(condition) {
                map.remove(key);
            }
        }
    }
}
