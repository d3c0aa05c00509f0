use std::collections::HashMap;

use limited_core::bucket::StoredBucket;
use limited_core::{BucketQuota, Key, MAX_CLOCK_SKEW, WindowLength, has_passed, retained_until};
use proptest::prelude::*;

use super::window_kind::{Kind, UNINTERNED};
use super::windows::WindowMode;
use super::*;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);

fn store() -> Counters {
    Counters::new(usize::MAX, WhenFull::Refuse, MAX_CLOCK_SKEW)
}

fn count(store: &Counters, key: &str, window: Window, now: Timestamp) -> CounterState {
    let key = Key::from(key);
    let hit = Hit::new(1, u128::MAX).with_floor(if matches!(window, Window::Bucket { .. }) {
        u128::from(now.as_nanos())
    } else {
        0
    });
    let counter = Counter::new("", &key, window).unwrap().with_bucket(BucketQuota::new(1, 1));
    store.increment(&counter, &hit, now).unwrap()
}

fn after(time: Timestamp, seconds: u64) -> Timestamp {
    time.saturating_add(Duration::from_secs(seconds))
}

/// Returns the number of slots in all tables, and how many of them hold an entry.
fn slots(store: &Counters) -> (usize, usize) {
    let sizes = store.shards.iter().map(|shard| shard.0.lock().sizes());
    sizes.fold((0, 0), |(slots, entries), (more_slots, more_entries)| {
        (slots + more_slots, entries + more_entries)
    })
}

/// Returns a window of each kind.
fn windows(now: Timestamp) -> [Window; 3] {
    let length = WindowLength::SECOND;
    [Window::aligned(now, length), Window::FromFirstHit { length }, Window::Bucket { length }]
}

#[test]
fn every_entry_reserves_capacity_once() {
    let store = Counters::new(20, WhenFull::EvictSoonest, MAX_CLOCK_SKEW);
    let mut now = START;
    for round in 0..5_000_u64 {
        // The clock runs forward, and sometimes jumps by a day in either direction.
        now = match round % 97 {
            0 => after(now, 86_400),
            50 => now.saturating_sub(Duration::from_secs(86_400)),
            more => now.saturating_add(Duration::from_millis(more)),
        };
        let key = (round * 7 % 31).to_string();
        let window = windows(now)[usize::try_from(round % 3).unwrap()];
        count(&store, &key, window, now);
        assert_eq!(slots(&store).1, store.len(), "round {round}");
        if round % 11 == 0 {
            store.reset(&Counter::new("", &Key::from(key), window).unwrap(), None, now);
            assert_eq!(slots(&store).1, store.len(), "round {round}");
        }
    }
    assert!(store.evicted() > 0);
}

#[test]
fn key_counted_by_a_wrong_clock_expires_after_its_next_use() {
    let store = store();
    let hit = |now: Timestamp| count(&store, "key", windows(now)[0], now);
    hit(after(START, 10 * 365 * 86_400));
    hit(START);
    let later = after(START, 60);
    store.get(&Counter::new("", &Key::from("other"), windows(later)[0]).unwrap(), later);
    assert_eq!(store.len(), 0);
}

#[test]
fn expired_keys_free_their_memory() {
    for kind in 0..3 {
        let store = store();
        for key in 0..20_000 {
            count(&store, &key.to_string(), windows(START)[kind], START);
        }
        let (most, _) = slots(&store);
        let later = after(START, 60);
        let live = (0..100).map(|key| format!("live {key}"));
        live.for_each(|key| drop(count(&store, &key, windows(later)[kind], later)));
        // Each operation removes up to four keys, so as many operations as there are keys are
        // plenty.
        for _ in 0..5_000 {
            count(&store, "live 0", windows(later)[kind], later);
        }
        assert_eq!(store.len(), 100);
        let (slots, entries) = slots(&store);
        assert_eq!(entries, 100);
        assert!(slots * 30 < most, "{slots} of {most}");
    }
}

#[test]
fn operation_scans_a_bounded_number_of_entries() {
    let store = store();
    let length = WindowLength::HOUR;
    for key in 0..30_000 {
        count(&store, &key.to_string(), Window::aligned(START, length), START);
    }
    // All keys are used again before they expire, so a sweep finds nothing to remove.
    let later = after(START, 2 * 3_600);
    for key in 0..30_000 {
        count(&store, &key.to_string(), Window::aligned(later, length), later);
    }
    let due = after(START, 2 * 3_600 + 5);
    let is_over = || !store.next_expiry.any_due(due);
    let mut operations = 0;
    while !is_over() {
        count(&store, "0", Window::aligned(due, length), due);
        operations += 1;
    }
    assert_eq!(store.len(), 30_000);
    let fewest = 30_000 / SCANS_PER_CALL;
    assert!((fewest..=fewest + 10).contains(&operations), "{operations}");
}

#[test]
fn buckets_are_swept_in_groups() {
    let store = store();
    let window = Window::Bucket { length: WindowLength::MINUTE };
    let (mut now, mut sweeps) = (START, 0);
    for key in 0..60_000_u32 {
        now = now.saturating_add(Duration::from_millis(10));
        sweeps += usize::from(store.next_expiry.any_due(now));
        count(&store, &key.to_string(), window, now);
        // The bucket is full at once. It is retained for a minute and the maximum clock skew, and
        // swept within an eighth of that time.
        assert!(store.len() <= 100 * 65 * 9 / 8, "{}", store.len());
    }
    assert!(sweeps < 40_000, "{sweeps}");
}

#[test]
fn capacity_of_a_replaced_key_is_counted_once() {
    let key = |number: u32| number.to_string();
    for _ in 0..20 {
        let store = Counters::new(300, WhenFull::Refuse, MAX_CLOCK_SKEW);
        let hit =
            |key: &str, now: Timestamp| count(&store, key, Window::aligned(now, WindowLength::MINUTE), now);
        for number in 0..300 {
            hit(&key(number), START);
        }
        for number in 1..300 {
            hit(&key(number), after(START, 100));
        }
        // The only expired key comes after more keys than a call sweeps. It is found when room is
        // needed.
        hit("new", after(START, 130));
        assert_eq!((store.len(), slots(&store).1), (300, 300));
    }
}

#[test]
fn uninterned_window_kinds_count_like_others() {
    let store = store();
    for round in 1..=3 {
        for millis in 1..=400 {
            let length = WindowLength::try_from(Duration::from_millis(100_000 + millis)).unwrap();
            let kinds =
                [Window::aligned(START, length), Window::FromFirstHit { length }, Window::Bucket { length }];
            for window in kinds {
                let key = Key::from("key");
                let counter = Counter::new("", &key, window).unwrap();
                let counter = counter.with_bucket(BucketQuota::new(millis, 1));
                // A bucket counts from its floor.
                let floor = match window {
                    Window::Bucket { .. } => u128::from(START.as_nanos()) * u128::from(millis),
                    _ => 0,
                };
                let hit = Hit::new(1, floor + 3).with_floor(floor);
                let state = store.increment(&counter, &hit, START).unwrap();
                assert_eq!((state.counted, state.value), (true, floor + round), "{window:?}");
            }
        }
    }
    assert_eq!(store.len(), 1_200);
    for _ in 0..300 {
        let later = after(START, 1_000);
        store.get(&Counter::new("", &Key::from("key"), windows(later)[0]).unwrap(), later);
    }
    assert_eq!((store.len(), slots(&store)), (0, (0, 0)));
}

/// Returns a hit of one token on a bucket of this quota.
fn token(quota: BucketQuota, length: WindowLength, now: Timestamp) -> Hit<'static> {
    let floor = u128::from(now.as_nanos()) * u128::from(quota.limit);
    Hit::new(length.as_nanos().into(), quota.highest_value(length, now)).with_floor(floor)
}

#[test]
fn limits_that_wander_over_more_values_than_are_interned_keep_what_was_counted() {
    let (store, length, key) = (store(), WindowLength::SECOND, Key::from("key"));
    let bare = Counter::new("", &key, Window::Bucket { length }).unwrap();
    let (mut model, mut now, mut admitted) = (None::<StoredBucket>, START, 0);
    for step in 0..2_000_u64 {
        now = now.saturating_add(Duration::from_millis(1));
        let quota = BucketQuota::new(500 + step * 7 % 501, 40);
        let (counter, hit) = (bare.with_bucket(quota), token(quota, length, now));
        let before = model.map_or(0, |model| model.live(quota, length, now, MAX_CLOCK_SKEW).value);
        let after = hit.apply(before);
        let state = store.increment(&counter, &hit, now).unwrap();
        assert_eq!((state.counted, state.value), (after.is_some(), after.unwrap_or(before)), "step {step}");
        assert_eq!(store.get(&counter, now).value, state.value);
        model = after.map(|value| StoredBucket { value, quota }).or(model);
        admitted += u64::from(state.counted);
        assert_eq!((store.len(), slots(&store).1), (1, 1));
    }
    assert!((1_000..=2_040).contains(&admitted), "{admitted}");
    // The windows of other lengths still find room.
    let kind_id = store.kinds.intern(Kind::Aligned { length });
    assert_ne!(kind_id, UNINTERNED);
}

#[test]
fn bucket_that_a_wrong_clock_wrote_expires_once_it_has_started_over() {
    let (store, length, quota) = (store(), WindowLength::SECOND, BucketQuota::new(10, 10));
    let hit = |key: &str, now| {
        let key = Key::from(key);
        let counter = Counter::new("", &key, Window::Bucket { length }).unwrap().with_bucket(quota);
        store.increment(&counter, &token(quota, length, now), now).unwrap()
    };
    hit("key", after(START, 31_536_000));
    let started_over = hit("key", START);
    assert_eq!(started_over.value, u128::from(START.as_nanos() * 10 + length.as_nanos()));
    assert_eq!(store.len(), 1);
    for second in 0..10 {
        hit("other", after(START, 60 + second));
    }
    assert_eq!(store.len(), 1);
}

#[derive(Clone, Debug)]
struct Step {
    key: u8,
    /// How far the clock advances before the operation, in milliseconds.
    forward: u64,
    /// How far back the clock is read, in milliseconds.
    back: u64,
    cost: u128,
    ceiling: u128,
    mode: WindowMode,
    resets: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    const U32: u128 = u32::MAX as u128;
    let numbers = || prop_oneof![0..9_u128, U32 - 9..U32 + 9, any::<u128>(), (0..u128::from(u64::MAX))];
    let step = (0..3_u8, 0..3_000_u64, 0..3_000_u64, numbers(), numbers(), any::<bool>(), 0..20_u8);
    let step = step.prop_map(|(key, forward, back, cost, ceiling, slides, what)| Step {
        key,
        forward: if what < 12 { forward / 20 } else { forward },
        back: if what % 3 == 0 { back } else { 0 },
        cost,
        ceiling,
        mode: if slides { WindowMode::Sliding } else { WindowMode::Fixed },
        resets: what == 19,
    });
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In slots and in overflow entries, displaced or not, windows count like the general
    /// arithmetic.
    #[test]
    fn stored_windows_count_like_the_arithmetic_alone(steps in steps()) {
        let (store, length) = (store(), WindowLength::SECOND);
        let mut known = HashMap::<u8, Windows>::new();
        let mut latest = START;
        for step in steps {
            latest = latest.saturating_add(Duration::from_millis(step.forward));
            let now = latest.saturating_sub(Duration::from_millis(step.back));
            let window = Window::aligned(now, length);
            let Window::Aligned { start, .. } = window else { unreachable!() };
            let key = Key::from(step.key.to_string());
            let counter = Counter::new("", &key, window).unwrap();
            let counter = if step.mode == WindowMode::Sliding { counter.sliding() } else { counter };
            let at = Reading { now, skew: MAX_CLOCK_SKEW }.in_window(start, length, step.mode);
            // Each operation removes all expired entries, because there are so few.
            known.retain(|_, windows| {
                let newest = Timestamp::from_nanos(windows.newest);
                !has_passed(retained_until(newest, length, MAX_CLOCK_SKEW), now)
            });
            if step.resets {
                store.reset(&counter, None, now);
                if let Some(windows) = known.get_mut(&step.key) {
                    windows.remove(start, length);
                    if windows.is_empty() {
                        known.remove(&step.key);
                    }
                }
                continue;
            }
            let hit = Hit::new(step.cost, step.ceiling);
            let before = known.get(&step.key).copied().unwrap_or(Windows::empty(start));
            prop_assert_eq!(store.get(&counter, now), before.get(at));
            let (expected, after) = before.increment(&hit, at);
            prop_assert_eq!(store.increment(&counter, &hit, now).unwrap(), expected);
            known.extend(after.map(|after| (step.key, after)));
        }
    }
}
