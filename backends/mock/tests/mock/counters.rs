//! Without faults, counters keep the contract.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{FROM_FIRST_HIT, NOW, in_bucket, in_this_minute, in_window, user};
use limited_core::{
    Backend, Counter, CounterState, Hit, Key, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowLength,
    WindowMeta,
};
use limited_mock::{Call, MockBackend};
use pollster::block_on;
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
const NANOSECOND: Duration = Duration::from_nanos(1);

#[test]
fn hits_are_counted_up_to_the_ceiling() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let hit = Hit::new(2, 5);
    let counted = [(true, 2), (true, 4), (false, 4)];
    for (is_counted, value) in counted {
        let expected = CounterState::new(is_counted, value).with_start(NOW);
        assert_eq!(block_on(mock.increment(&counter, &hit, NOW)).unwrap(), expected);
    }
    assert_eq!(block_on(mock.increment(&counter, &Hit::new(1, 5), NOW)).unwrap().value, 5);
}

#[test]
fn clones_are_the_same_mock() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.clone().increment(&counter, &Hit::new(2, 5), NOW)).unwrap();
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 2);
    assert_eq!(mock.total(), 2);
}

#[test]
fn refused_hit_stores_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(NOW, WindowLength::MINUTE),
        FROM_FIRST_HIT,
        Window::Bucket { length: WindowLength::MINUTE },
    ] {
        let counter = in_window(&key, window);
        let refused = block_on(mock.increment(&counter, &Hit::new(6, 5), NOW)).unwrap();
        assert_eq!(refused, block_on(mock.get(&counter, NOW)).unwrap());
        assert_eq!((refused.counted, refused.value, refused.meta), (false, 0, None));
    }
    assert_eq!(mock.counters(), 0);
}

#[test]
fn namespace_and_key_are_kept_apart() {
    let mock = MockBackend::new();
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let (short, long) = (Key::from("c"), Key::from("bc"));
    let one = Counter::new("ab", &short, window).unwrap();
    let other = Counter::new("a", &long, window).unwrap();
    block_on(mock.increment(&one, &Hit::new(1, 5), NOW)).unwrap();
    assert_eq!(block_on(mock.get(&other, NOW)).unwrap().value, 0);
}

#[test]
fn window_keeps_the_metadata_of_its_first_hit_until_exactly_its_end() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_window(&key, FROM_FIRST_HIT);
    let first = Hit::new(1, 5).with_window_meta(WindowId(1), Some("first"));
    let second = Hit::new(1, 5).with_window_meta(WindowId(2), None);
    let meta = |window_id, metadata: Option<&str>| {
        Arc::new(WindowMeta { id: WindowId(window_id), metadata: metadata.map(Into::into) })
    };

    block_on(mock.increment(&counter, &first, NOW)).unwrap();
    let last = NOW.saturating_add(MINUTE - NANOSECOND);
    let expected = CounterState::new(true, 2).with_start(NOW).with_meta(meta(1, Some("first")));
    assert_eq!(block_on(mock.increment(&counter, &second, last)).unwrap(), expected);

    let end = NOW.saturating_add(MINUTE);
    assert_eq!(block_on(mock.get(&counter, end)).unwrap(), CounterState::default());
    let expected = CounterState::new(true, 1).with_start(end).with_meta(meta(2, None));
    assert_eq!(block_on(mock.increment(&counter, &second, end)).unwrap(), expected);
}

#[test]
fn reset_of_a_window_id_keeps_other_windows() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_window(&key, FROM_FIRST_HIT);
    block_on(mock.increment(&counter, &Hit::new(1, 5).with_window_meta(WindowId(1), None), NOW)).unwrap();
    block_on(mock.reset(&counter, Some(WindowId(2)), NOW)).unwrap();
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1);
    block_on(mock.reset(&counter, Some(WindowId(1)), NOW)).unwrap();
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap(), CounterState::default());
    block_on(mock.reset(&counter, None, NOW)).unwrap();
}

#[test]
fn aligned_window_is_known_one_length_and_the_maximum_skew_past_its_end() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let hit = Hit::new(1, 5);
    block_on(mock.increment(&counter, &hit, NOW)).unwrap();

    let forgotten = NOW.saturating_add(2 * MINUTE + MAX_CLOCK_SKEW);
    let known = forgotten.saturating_sub(NANOSECOND);
    assert_eq!(block_on(mock.increment(&counter, &hit, known)).unwrap().value, 2);
    assert_eq!(block_on(mock.get(&counter, forgotten)).unwrap(), CounterState::new(false, 0).with_start(NOW));
    let earliest = NOW.saturating_add(MINUTE);
    assert_eq!(
        block_on(mock.increment(&counter, &hit, forgotten)).unwrap(),
        CounterState::new(false, 0).with_start(earliest)
    );
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 2, "the clock jumped back");
}

#[test]
fn full_bucket_is_absent() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_bucket(&key, Window::Bucket { length: WindowLength::SECOND }, 3);
    let arrival = |now: Timestamp| u128::from(now.as_nanos()) * 3;
    let hit = Hit::new(1_000_000_000, u128::MAX).with_floor(arrival(NOW));
    let value = block_on(mock.increment(&counter, &hit, NOW)).unwrap().value;
    assert_eq!(value, arrival(NOW) + 1_000_000_000);

    // A third of a second, rounded up to the nanosecond.
    let full = NOW.saturating_add(Duration::from_nanos(333_333_334));
    assert_eq!(
        block_on(mock.get(&counter, full.saturating_sub(NANOSECOND))).unwrap(),
        CounterState::new(false, value)
    );
    assert_eq!(block_on(mock.get(&counter, full)).unwrap(), CounterState::default());
}

#[test]
fn call_has_the_quota_of_a_bucket() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_bucket(&key, Window::Bucket { length: WindowLength::SECOND }, 3);
    block_on(mock.increment(&counter, &Hit::new(1, u128::MAX), NOW)).unwrap();
    block_on(mock.get(&counter, NOW)).unwrap();
    block_on(mock.get(&in_this_minute(&key), NOW)).unwrap();
    let quotas: Vec<_> = mock.calls().iter().map(Call::bucket).collect();
    assert_eq!(quotas, [counter.bucket(), counter.bucket(), None]);
}

#[test]
fn every_window_counts_at_the_last_timestamp() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(Timestamp::MAX, WindowLength::MINUTE),
        Window::FromFirstHit { length: WindowLength::MAX },
        Window::Bucket { length: WindowLength::MAX },
    ] {
        let counter = in_bucket(&key, window, u64::MAX);
        let hit = Hit::new(1, u128::MAX).with_floor(u128::MAX - 1);
        for is_counted in [true, false] {
            let state = block_on(mock.increment(&counter, &hit, Timestamp::MAX)).unwrap();
            assert_eq!((state.counted, state.value), (is_counted, u128::MAX), "{window:?}");
        }
    }
}

/// Windows that are all known up to the seventh second.
fn any_window() -> impl Strategy<Value = Window> {
    let length = WindowLength::SECOND;
    prop_oneof![
        (0..4u64).prop_map(move |second| Window::Aligned { start: Timestamp::from_secs(second), length }),
        Just(Window::FromFirstHit { length }),
    ]
}

proptest! {
    #[test]
    fn hit_changes_the_state_exactly_as_the_rule_says(
        hits in prop::collection::vec((any_window(), 0..7_000u64, 0..4u128, 0..4u128, 0..12u128), 1..60),
    ) {
        let (mock, key) = (MockBackend::new(), user());
        for (window, now, cost, floor, ceiling) in hits {
            let counter = in_window(&key, window);
            let now = Timestamp::from_millis(now);
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let before = block_on(mock.get(&counter, now)).unwrap();
            let result = block_on(mock.increment(&counter, &hit, now)).unwrap();
            let after = block_on(mock.get(&counter, now)).unwrap();
            prop_assert_eq!(result.value, after.value);
            prop_assert_eq!(result.start, after.start);
            prop_assert_eq!(&result.meta, &after.meta);
            match hit.apply(before.value) {
                Some(value) => {
                    prop_assert!(result.counted);
                    prop_assert_eq!(after.value, value);
                }
                None => {
                    prop_assert!(!result.counted);
                    prop_assert_eq!(after, before);
                }
            }
        }
    }
}
