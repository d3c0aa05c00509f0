//! The map of claims: four operations, each one atomic step on its entry.

pub(crate) use imp::Map;

#[cfg(not(shuttle))]
mod imp {
    use std::hash::Hash;

    use dashmap::DashMap;
    use dashmap::mapref::entry::Entry;
    use foldhash::quality::RandomState;

    /// A sharded map; an entry's shard is locked while an operation is on it. Hashed with a random seed, since keys
    /// come from whoever is to be limited.
    pub(crate) struct Map<K, V>(DashMap<K, V, RandomState>);

    impl<K: Eq + Hash, V> Map<K, V> {
        /// An empty map of this many shards, a power of two.
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

        pub(crate) fn remove_if(&self, key: &K, condition: impl FnOnce(&mut V) -> bool) -> Option<V> {
            self.0.remove_if_mut(key, |_, entry| condition(entry)).map(|(_, entry)| entry)
        }
    }
}

/// One lock instead of many, so that a scheduler can try out interleavings of the operations.
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

        pub(crate) fn remove_if(&self, key: &K, condition: impl FnOnce(&mut V) -> bool) -> Option<V> {
            let mut map = lock(&self.0);
            if map.get_mut(key).is_some_and(condition) { map.remove(key) } else { None }
        }
    }
}
