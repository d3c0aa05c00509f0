//! The store: entries that leave by themselves, and a cap on how many there are.

use std::time::Duration;

use limited_core::{BackendError, Counter, Generation, Hit, Tally, Timestamp, Window, has_come};

use crate::WhenFull;
use crate::map::Map;
use crate::queue::{Popped, Queue, Ticket};
use crate::series::{AsSeries, Series, StoredSeries};
use crate::state::{State, When};
use crate::sync::{AtomicU64, AtomicUsize, Ordering, yield_now};
use crate::windows::View;

/// How many due tickets one operation looks at, at most: twice what one operation can add, so that the queue drains.
const LOOKED_AT_PER_CALL: usize = 4;

/// How many tickets an operation looks at, at most, to make room for a new key in a full store.
const LOOKED_AT_WHEN_FULL: usize = 256;

/// A shard that is full doubles, and moves all its entries while it is locked. With many shards that is a small part of
/// the map, and comes at a different time for each.
const SHARDS: usize = 1024;

/// One key in windows of one kind and length.
struct Entry {
    state: State,
    ticket: Ticket,
}

pub(crate) struct Store {
    map: Map<StoredSeries, Entry>,
    queue: Queue<StoredSeries>,
    /// Places taken: one for each entry.
    keys: AtomicUsize,
    evicted: AtomicU64,
    max_keys: usize,
    when_full: WhenFull,
    skew: Duration,
}

impl Store {
    pub(crate) fn new(max_keys: usize, when_full: WhenFull, skew: Duration) -> Self {
        Self {
            map: Map::with_shards(SHARDS),
            queue: Queue::default(),
            keys: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            max_keys,
            when_full,
            skew,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
        view: View,
    ) -> Result<Tally, BackendError> {
        self.sweep(now);
        let (series, window, when) = (Series::from(counter), counter.window(), self.when(now));
        let count = |entry: &mut Entry| {
            let tally = entry.state.increment(window, hit, when, view);
            if tally.counted && entry.state.is_forgotten_before(entry.ticket.due, window.into(), when) {
                self.queue.remove(entry.ticket);
                let due = entry.state.forgotten_from(window.into(), when);
                entry.ticket = self.queue.push(series.into(), due);
            }
            tally
        };
        if let Some(tally) = self.map.update(&series as &dyn AsSeries, count) {
            return Ok(tally);
        }

        // A refused hit makes no entry, so try on an absent one first.
        let mut state = State::absent(window);
        let tally = state.increment(window, hit, when, view);
        if !tally.counted {
            return Ok(tally);
        }
        let series = StoredSeries::from(series);
        let mut looks_left = LOOKED_AT_WHEN_FULL;
        loop {
            let insert = |series: &StoredSeries| {
                if !self.take_place() {
                    return (None, None);
                }
                let ticket = self.queue.push(series.clone(), state.forgotten_from(window.into(), when));
                (Some(Entry { state: state.clone(), ticket }), Some(tally.clone()))
            };
            if let Some(tally) = self.map.update_or_insert(series.clone(), |entry| Some(count(entry)), insert)
            {
                return Ok(tally);
            }
            if looks_left == 0 {
                return Err(BackendError::Full { max_keys: self.max_keys });
            }
            looks_left = self.make_room(now, looks_left);
        }
    }

    pub(crate) fn get(&self, counter: &Counter<'_>, now: Timestamp, view: View) -> Tally {
        self.sweep(now);
        let (window, when) = (counter.window(), self.when(now));
        self.map
            .read(&Series::from(counter) as &dyn AsSeries, |entry| entry.state.get(window, when, view))
            .unwrap_or_else(|| State::absent(window).get(window, when, view))
    }

    pub(crate) fn reset(&self, counter: &Counter<'_>, generation: Option<Generation>, now: Timestamp) {
        self.sweep(now);
        let window: Window = counter.window();
        let series = Series::from(counter);
        let gone =
            self.map.remove_if(&series as &dyn AsSeries, |entry| entry.state.reset(window, generation));
        if let Some(entry) = gone {
            self.queue.remove(entry.ticket);
            self.give_place_back();
        }
    }

    fn when(&self, now: Timestamp) -> When {
        When { now, skew: self.skew }
    }

    /// Removes a few of the entries that have expired.
    fn sweep(&self, now: Timestamp) {
        if !self.queue.is_due(now) {
            return;
        }
        for _ in 0..LOOKED_AT_PER_CALL {
            let Some(popped) = self.queue.try_pop(|ticket| has_come(ticket.due, now)) else {
                return;
            };
            self.settle(&popped, now, |expiry| has_come(expiry, now));
        }
    }

    /// Takes one of the places that there are for keys.
    fn take_place(&self) -> bool {
        let more = |keys: usize| (keys < self.max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Looks at the next entry in line, and removes it if it may go. Tells how many looks are left: none where there is
    /// nothing more to look at, and only a place that somebody else gave back can help.
    fn make_room(&self, now: Timestamp, looks_left: usize) -> usize {
        let looks_left = looks_left - 1;
        let is_wanted =
            |ticket: &Ticket| has_come(ticket.due, now) || self.when_full == WhenFull::EvictSoonest;
        match self.queue.pop(is_wanted) {
            Some(popped) => {
                let gives_way = |expiry| {
                    self.when_full == WhenFull::EvictSoonest
                        && (expiry <= popped.ticket.due || looks_left == 0)
                };
                self.settle(&popped, now, |expiry| {
                    let expired = has_come(expiry, now);
                    let evicted = !expired && gives_way(expiry);
                    self.evicted.fetch_add(evicted.into(), Ordering::Relaxed);
                    expired || evicted
                });
                looks_left
            }
            // An entry that somebody else is looking at may be about to leave.
            None if self.queue.is_settling() => {
                yield_now();
                looks_left
            }
            None => 0,
        }
    }

    fn give_place_back(&self) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
    }

    /// Removes the entry of a popped ticket, if it may go now that it is known when it expires; else issues it a new
    /// ticket.
    fn settle(
        &self,
        popped: &Popped<'_, StoredSeries>,
        now: Timestamp,
        may_go: impl FnOnce(Timestamp) -> bool,
    ) {
        let series = &popped.key;
        let gone = self.map.remove_if(series, |entry| {
            if entry.ticket != popped.ticket {
                // The entry of this ticket has been reset, and the key has another one by now.
                return false;
            }
            let expiry = entry.state.forgotten_from(series.as_series().kind(), self.when(now));
            let goes = may_go(expiry);
            if !goes {
                entry.ticket = self.queue.push(series.clone(), expiry);
            }
            goes
        });
        if gone.is_some() {
            self.give_place_back();
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::{ALLOWED_SKEW, Key, WindowLength};

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    /// Every entry has one ticket, and no ticket is without an entry.
    fn is_whole(store: &Store) -> bool {
        store.queue.len() == store.len()
    }

    #[test]
    fn every_entry_has_one_ticket_whatever_happens_to_it() {
        let store = Store::new(20, WhenFull::EvictSoonest, ALLOWED_SKEW);
        let mut now = START;
        for round in 0..5_000_u64 {
            // Up and down, now and then by a day.
            now = match round % 97 {
                0 => now.saturating_add(Duration::from_secs(86_400)),
                50 => now.saturating_sub(Duration::from_secs(86_400)),
                more => now.saturating_add(Duration::from_millis(more)),
            };
            let key = Key::from((round * 7 % 31).to_string());
            let length = WindowLength::SECOND;
            let window = match round % 3 {
                0 => Window::aligned(now, length),
                1 => Window::Opened { length },
                _ => Window::Bucket { limit: 1, length },
            };
            let counter = Counter::new("", &key, window).unwrap();
            let hit = Hit::new(1, u128::from(u64::MAX)).with_floor(now.as_nanos().into());
            store.increment(&counter, &hit, now, View::Fixed).unwrap();
            assert!(is_whole(&store), "round {round}");
            if round % 11 == 0 {
                store.reset(&counter, None, now);
                assert!(is_whole(&store), "round {round}");
            }
        }
        assert!(store.evicted() > 0);
    }

    #[test]
    fn a_key_counted_ahead_of_a_clock_that_is_corrected_leaves_once_it_is_used_again() {
        let store = Store::new(usize::MAX, WhenFull::Refuse, ALLOWED_SKEW);
        let key = Key::from("key");
        let hit = |now: Timestamp| {
            let counter = Counter::new("", &key, Window::aligned(now, WindowLength::SECOND)).unwrap();
            store.increment(&counter, &Hit::new(1, 10), now, View::Fixed).unwrap();
        };
        hit(START.saturating_add(Duration::from_secs(10 * 365 * 86_400)));
        hit(START);
        let other = Key::from("other");
        let later = START.saturating_add(Duration::from_secs(60));
        let counter = Counter::new("", &other, Window::aligned(later, WindowLength::SECOND)).unwrap();
        store.get(&counter, later, View::Fixed);
        assert_eq!(store.len(), 0);
        assert!(is_whole(&store));
    }
}
