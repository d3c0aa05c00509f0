//! Without faults, the mock counts as any backend does.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{NOW, OPENED, in_this_minute, in_window, user};
use limited_core::{
    Counter, CounterState, Hit, ImmediateBackend, Key, MAX_CLOCK_SKEW, Timestamp, Window, WindowId,
    WindowLength, WindowMeta,
};
use limited_mock::MockBackend;
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
        assert_eq!(mock.increment_now(&counter, &hit, NOW).unwrap(), expected);
    }
    assert_eq!(mock.increment_now(&counter, &Hit::new(1, 5), NOW).unwrap().value, 5);
}

#[test]
fn clones_are_the_same_mock() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.clone().increment_now(&counter, &Hit::new(2, 5), NOW).unwrap();
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 2);
    assert_eq!(mock.total(), 2);
}

#[test]
fn a_refused_hit_creates_nothing() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(NOW, WindowLength::MINUTE),
        OPENED,
        Window::Bucket { limit: 1, length: WindowLength::MINUTE },
    ] {
        let counter = in_window(&key, window);
        let refused = mock.increment_now(&counter, &Hit::new(6, 5), NOW).unwrap();
        assert_eq!(refused, mock.get_now(&counter, NOW).unwrap());
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
    mock.increment_now(&one, &Hit::new(1, 5), NOW).unwrap();
    assert_eq!(mock.get_now(&other, NOW).unwrap().value, 0);
}

#[test]
fn an_opened_window_keeps_what_its_first_hit_brought_until_exactly_its_end() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_window(&key, OPENED);
    let first = Hit::new(1, 5).with_window_meta(WindowId(1), Some("first"));
    let second = Hit::new(1, 5).with_window_meta(WindowId(2), None);
    let meta = |window_id, metadata: Option<&str>| {
        Arc::new(WindowMeta { id: WindowId(window_id), metadata: metadata.map(Into::into) })
    };

    mock.increment_now(&counter, &first, NOW).unwrap();
    let last = NOW.saturating_add(MINUTE - NANOSECOND);
    let expected = CounterState::new(true, 2).with_start(NOW).with_meta(meta(1, Some("first")));
    assert_eq!(mock.increment_now(&counter, &second, last).unwrap(), expected);

    let end = NOW.saturating_add(MINUTE);
    assert_eq!(mock.get_now(&counter, end).unwrap(), CounterState::default());
    let expected = CounterState::new(true, 1).with_start(end).with_meta(meta(2, None));
    assert_eq!(mock.increment_now(&counter, &second, end).unwrap(), expected);
}

#[test]
fn a_reset_that_names_a_generation_spares_every_other() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_window(&key, OPENED);
    mock.increment_now(&counter, &Hit::new(1, 5).with_window_meta(WindowId(1), None), NOW).unwrap();
    mock.reset_now(&counter, Some(WindowId(2)), NOW).unwrap();
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 1);
    mock.reset_now(&counter, Some(WindowId(1)), NOW).unwrap();
    assert_eq!(mock.get_now(&counter, NOW).unwrap(), CounterState::default());
    mock.reset_now(&counter, None, NOW).unwrap();
}

#[test]
fn an_aligned_window_is_known_one_length_and_the_allowed_skew_past_its_end() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    let hit = Hit::new(1, 5);
    mock.increment_now(&counter, &hit, NOW).unwrap();

    let forgotten = NOW.saturating_add(2 * MINUTE + MAX_CLOCK_SKEW);
    let known = forgotten.saturating_sub(NANOSECOND);
    assert_eq!(mock.increment_now(&counter, &hit, known).unwrap().value, 2);
    assert_eq!(mock.get_now(&counter, forgotten).unwrap(), CounterState::new(false, 0).with_start(NOW));
    let earliest = NOW.saturating_add(MINUTE);
    assert_eq!(
        mock.increment_now(&counter, &hit, forgotten).unwrap(),
        CounterState::new(false, 0).with_start(earliest)
    );
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 2, "the clock jumped back");
}

#[test]
fn a_bucket_is_absent_from_when_it_is_full() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_window(&key, Window::Bucket { limit: 3, length: WindowLength::SECOND });
    let arrival = |now: Timestamp| u128::from(now.as_nanos()) * 3;
    let hit = Hit::new(1_000_000_000, u128::MAX).with_floor(arrival(NOW));
    let value = mock.increment_now(&counter, &hit, NOW).unwrap().value;
    assert_eq!(value, arrival(NOW) + 1_000_000_000);

    // A third of a second, rounded up to the nanosecond.
    let full = NOW.saturating_add(Duration::from_nanos(333_333_334));
    assert_eq!(
        mock.get_now(&counter, full.saturating_sub(NANOSECOND)).unwrap(),
        CounterState::new(false, value)
    );
    assert_eq!(mock.get_now(&counter, full).unwrap(), CounterState::default());
}

#[test]
fn every_window_still_counts_at_the_end_of_time() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(Timestamp::MAX, WindowLength::MINUTE),
        Window::FromFirstHit { length: WindowLength::MAX },
        Window::Bucket { limit: u64::MAX, length: WindowLength::MINUTE },
    ] {
        let counter = in_window(&key, window);
        let hit = Hit::new(1, u128::MAX).with_floor(u128::MAX - 1);
        for is_counted in [true, false] {
            let tally = mock.increment_now(&counter, &hit, Timestamp::MAX).unwrap();
            assert_eq!((tally.counted, tally.value), (is_counted, u128::MAX), "{window:?}");
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
    fn a_hit_changes_what_is_read_exactly_as_the_rule_says(
        hits in prop::collection::vec((any_window(), 0..7_000u64, 0..4u128, 0..4u128, 0..12u128), 1..60),
    ) {
        let (mock, key) = (MockBackend::new(), user());
        for (window, now, cost, floor, ceiling) in hits {
            let counter = in_window(&key, window);
            let now = Timestamp::from_millis(now);
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let before = mock.get_now(&counter, now).unwrap();
            let answer = mock.increment_now(&counter, &hit, now).unwrap();
            let after = mock.get_now(&counter, now).unwrap();
            prop_assert_eq!(answer.value, after.value);
            prop_assert_eq!(answer.start, after.start);
            prop_assert_eq!(&answer.meta, &after.meta);
            match hit.apply(before.value) {
                Some(value) => {
                    prop_assert!(answer.counted);
                    prop_assert_eq!(after.value, value);
                }
                None => {
                    prop_assert!(!answer.counted);
                    prop_assert_eq!(after, before);
                }
            }
        }
    }
}
