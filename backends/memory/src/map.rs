//! The map of the store: four operations, each one atomic step on its entry.

use crate::series::{AsSeries, StoredSeries};
use crate::store::Entry;

pub(crate) use imp::Map;

#[cfg(not(shuttle))]
mod imp {
    use dashmap::DashMap;
    use dashmap::mapref::entry;
    use foldhash::quality::RandomState;

    use super::{AsSeries, Entry, StoredSeries};

    /// A sharded map; an entry's shard is locked while an operation is on it. Hashed with a random seed, since keys
    /// come from whoever is to be limited.
    pub(crate) struct Map(DashMap<StoredSeries, Entry, RandomState>);

    /// A shard that is full doubles, and moves all its entries while it is locked. With many shards that is a small part
    /// of the map, and comes at a different time for each.
    const SHARDS: usize = 1024;

    impl Default for Map {
        fn default() -> Self {
            Self(DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS))
        }
    }

    impl Map {
        pub(crate) fn read<R>(&self, series: &dyn AsSeries, read: impl FnOnce(&Entry) -> R) -> Option<R> {
            self.0.get(series).map(|entry| read(&entry))
        }

        pub(crate) fn update<R>(
            &self,
            series: &dyn AsSeries,
            update: impl FnOnce(&mut Entry) -> R,
        ) -> Option<R> {
            self.0.get_mut(series).map(|mut entry| update(&mut entry))
        }

        pub(crate) fn update_or_insert<R>(
            &self,
            series: StoredSeries,
            update: impl FnOnce(&mut Entry) -> R,
            insert: impl FnOnce(&StoredSeries) -> (Option<Entry>, R),
        ) -> R {
            match self.0.entry(series) {
                entry::Entry::Occupied(mut occupied) => update(occupied.get_mut()),
                entry::Entry::Vacant(vacant) => {
                    let (entry, result) = insert(vacant.key());
                    if let Some(entry) = entry {
                        vacant.insert(entry);
                    }
                    result
                }
            }
        }

        pub(crate) fn remove_if(
            &self,
            series: &dyn AsSeries,
            condition: impl FnOnce(&mut Entry) -> bool,
        ) -> Option<Entry> {
            self.0.remove_if_mut(series, |_, entry| condition(entry)).map(|(_, entry)| entry)
        }
    }
}

/// One lock instead of many, so that a scheduler can try out interleavings of the operations.
#[cfg(shuttle)]
mod imp {
    use std::collections::HashMap;

    use super::{AsSeries, Entry, StoredSeries};
    use crate::sync::{Mutex, lock};

    #[derive(Default)]
    pub(crate) struct Map(Mutex<HashMap<StoredSeries, Entry>>);

    impl Map {
        pub(crate) fn read<R>(&self, series: &dyn AsSeries, read: impl FnOnce(&Entry) -> R) -> Option<R> {
            lock(&self.0).get(series).map(read)
        }

        pub(crate) fn update<R>(
            &self,
            series: &dyn AsSeries,
            update: impl FnOnce(&mut Entry) -> R,
        ) -> Option<R> {
            lock(&self.0).get_mut(series).map(update)
        }

        pub(crate) fn update_or_insert<R>(
            &self,
            series: StoredSeries,
            update: impl FnOnce(&mut Entry) -> R,
            insert: impl FnOnce(&StoredSeries) -> (Option<Entry>, R),
        ) -> R {
            let mut map = lock(&self.0);
            if let Some(entry) = map.get_mut(&series) {
                return update(entry);
            }
            let (entry, result) = insert(&series);
            if let Some(entry) = entry {
                map.insert(series, entry);
            }
            result
        }

        pub(crate) fn remove_if(
            &self,
            series: &dyn AsSeries,
            condition: impl FnOnce(&mut Entry) -> bool,
        ) -> Option<Entry> {
            let mut map = lock(&self.0);
            if map.get_mut(series).is_some_and(condition) { map.remove(series) } else { None }
        }
    }
}
