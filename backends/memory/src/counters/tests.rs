use std::collections::HashMap;

use limited_core::{Key, MAX_CLOCK_SKEW, WindowLength, has_passed, retained_until};
use proptest::prelude::*;

use super::windows::WindowAt;
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
    store.increment(&Counter::new("", &key, window).unwrap(), &hit, now, WindowMode::Fixed).unwrap()
}

fn after(time: Timestamp, seconds: u64) -> Timestamp {
    time.saturating_add(Duration::from_secs(seconds))
}

/// How many slots there are in all tables, and how many of them are taken.
fn slots(store: &Counters) -> (usize, usize) {
    let sizes = store.shards.iter().map(|shard| shard.0.lock().sizes());
    sizes.fold((0, 0), |(slots, taken), (more, entries)| (slots + more, taken + entries))
}

/// A window of each kind.
fn windows(now: Timestamp) -> [Window; 3] {
    let length = WindowLength::SECOND;
    [Window::aligned(now, length), Window::FromFirstHit { length }, Window::Bucket { limit: 1, length }]
}

#[test]
fn every_entry_takes_one_place_whatever_happens_to_it() {
    let store = Counters::new(20, WhenFull::EvictSoonest, MAX_CLOCK_SKEW);
    let mut now = START;
    for round in 0..5_000_u64 {
        // Up and down, now and then by a day.
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
fn a_key_counted_ahead_of_a_clock_that_is_corrected_leaves_once_it_is_used_again() {
    let store = store();
    let hit = |now: Timestamp| count(&store, "key", windows(now)[0], now);
    hit(after(START, 10 * 365 * 86_400));
    hit(START);
    let later = after(START, 60);
    store.get(&Counter::new("", &Key::from("other"), windows(later)[0]).unwrap(), later, WindowMode::Fixed);
    assert_eq!(store.len(), 0);
}

#[test]
fn expired_keys_give_their_memory_back() {
    for kind in 0..3 {
        let store = store();
        for key in 0..20_000 {
            count(&store, &key.to_string(), windows(START)[kind], START);
        }
        let (max_load, _) = slots(&store);
        let later = after(START, 60);
        let live = (0..100).map(|key| format!("live {key}"));
        live.for_each(|key| drop(count(&store, &key, windows(later)[kind], later)));
        // As many operations as there are keys are more than enough, whatever they are about.
        for _ in 0..5_000 {
            count(&store, "live 0", windows(later)[kind], later);
        }
        assert_eq!(store.len(), 100);
        let (slots, taken) = slots(&store);
        assert_eq!(taken, 100);
        assert!(slots * 30 < max_load, "{slots} of {max_load}");
    }
}

#[test]
fn no_operation_looks_at_more_than_a_few_entries() {
    let store = store();
    let length = WindowLength::HOUR;
    for key in 0..30_000 {
        count(&store, &key.to_string(), Window::aligned(START, length), START);
    }
    // All of them are used again before they expire, so that a sweep finds nothing to remove.
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
fn buckets_that_fill_up_at_any_time_are_looked_at_a_few_times_each() {
    let store = store();
    let window = Window::Bucket { limit: 1, length: WindowLength::MINUTE };
    let (mut now, mut sweeps) = (START, 0);
    for key in 0..60_000_u32 {
        now = now.saturating_add(Duration::from_millis(10));
        sweeps += usize::from(store.next_expiry.any_due(now));
        count(&store, &key.to_string(), window, now);
        // Full at once; kept for a minute and the allowed skew, and swept within an eighth of that.
        assert!(store.len() <= 100 * 65 * 9 / 8, "{}", store.len());
    }
    assert!(sweeps < 40_000, "{sweeps}");
}

#[test]
fn a_place_that_changes_hands_is_counted_once() {
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
        // Behind more than a call sweeps, the only key that has expired is found when room is needed.
        hit("new", after(START, 130));
        assert_eq!((store.len(), slots(&store).1), (300, 300));
    }
}

#[test]
fn more_kinds_than_are_listed_count_like_others() {
    let store = store();
    for round in 1..=3 {
        for millis in 1..=400 {
            let length = WindowLength::try_from(Duration::from_millis(100_000 + millis)).unwrap();
            let kinds = [
                Window::aligned(START, length),
                Window::FromFirstHit { length },
                Window::Bucket { limit: millis, length },
            ];
            for window in kinds {
                let key = Key::from("key");
                let counter = Counter::new("", &key, window).unwrap();
                // Of a bucket, what is above the floor.
                let floor = match window {
                    Window::Bucket { limit, .. } => u128::from(START.as_nanos()) * u128::from(limit),
                    _ => 0,
                };
                let hit = Hit::new(1, floor + 3).with_floor(floor);
                let state = store.increment(&counter, &hit, START, WindowMode::Fixed).unwrap();
                assert_eq!((state.counted, state.value), (true, floor + round), "{window:?}");
            }
        }
    }
    assert_eq!(store.len(), 1_200);
    for _ in 0..300 {
        let later = after(START, 1_000);
        store.get(&Counter::new("", &Key::from("key"), windows(later)[0]).unwrap(), later, WindowMode::Fixed);
    }
    assert_eq!((store.len(), slots(&store)), (0, (0, 0)));
}

/// One hit of a property: how far the clock moves on before it, how far back it is read, and its bounds.
#[derive(Clone, Debug)]
struct Step {
    key: u8,
    forward: u64,
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

    /// Packed or wide, moved by others or not: windows count as they would alone, by the general arithmetic.
    #[test]
    fn entries_count_like_windows_by_themselves(steps in steps()) {
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
            let at = WindowAt { start, length, now, skew: MAX_CLOCK_SKEW };
            // Each operation removes what has expired, if it is as few entries as these.
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
            prop_assert_eq!(
                store.get(&counter, now, step.mode),
                Windows::get(known.get(&step.key), at, step.mode)
            );
            let (expected, after) = Windows::increment(known.get(&step.key), &hit, at, step.mode);
            prop_assert_eq!(store.increment(&counter, &hit, now, step.mode).unwrap(), expected);
            known.extend(after.map(|after| (step.key, after)));
        }
    }
}
