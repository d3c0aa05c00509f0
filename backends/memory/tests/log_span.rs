//! Sliding logs, and spans of a calendar.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Backend, Counter, CounterState, Hit, HitLog, Key, MAX_CLOCK_SKEW, Refund, Timestamp, Window, WindowLength,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const LENGTH: WindowLength = WindowLength::MINUTE;
const LOG: Window = Window::Log { length: LENGTH };

fn after(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

fn hit(backend: &MemoryBackend, window: Window, hit: &Hit<'_>, now: Timestamp) -> CounterState {
    let key = Key::from("a");
    block_on(backend.increment(&Counter::new("", &key, window).unwrap(), hit, now)).unwrap()
}

fn get(backend: &MemoryBackend, window: Window, now: Timestamp) -> CounterState {
    let key = Key::from("a");
    block_on(backend.get(&Counter::new("", &key, window).unwrap(), now)).unwrap()
}

fn refund(backend: &MemoryBackend, window: Window, refund: &Refund, now: Timestamp) -> (bool, u128) {
    let key = Key::from("a");
    let state = block_on(backend.refund(&Counter::new("", &key, window).unwrap(), refund, now)).unwrap();
    (state.counted, state.value)
}

/// Reads another key, which removes what has expired.
fn sweep(backend: &MemoryBackend, now: Timestamp) {
    let key = Key::from("other");
    block_on(backend.get(&Counter::new("", &key, LOG).unwrap(), now)).unwrap();
}

#[test]
fn log_counts_the_last_length_before_each_hit() {
    let backend = MemoryBackend::new();
    let state = hit(&backend, LOG, &Hit::new(2, 3), START);
    assert_eq!((state.counted, state.value, state.start, &state.log), (true, 2, Some(START), &None));
    assert!(hit(&backend, LOG, &Hit::new(1, 3), after(20)).counted);
    let refused = hit(&backend, LOG, &Hit::new(2, 3), after(59));
    assert_eq!((refused.counted, refused.value, refused.start), (false, 3, Some(after(20))));
    assert_eq!(refused.log.unwrap().fits_at(2, 3, LENGTH, after(59)), Some(after(60)));
    assert_eq!(hit(&backend, LOG, &Hit::new(2, 3), after(60)).value, 3);
    // A clock that is behind still finds the hit that has ended since.
    assert_eq!(get(&backend, LOG, after(59)).value, 5);
}

#[test]
fn reported_log_does_not_change_with_later_hits() {
    let backend = MemoryBackend::new();
    assert_eq!(get(&backend, LOG, START).log, Some(Arc::new(HitLog::default())));
    hit(&backend, LOG, &Hit::new(1, 9), START);
    let seen = get(&backend, LOG, START).log.unwrap();
    hit(&backend, LOG, &Hit::new(1, 9), after(1));
    assert_eq!(seen.entries(), [(START, 1)]);
    // Nothing is copied for a refused hit.
    let refused = [after(2), after(3)].map(|now| hit(&backend, LOG, &Hit::new(9, 9), now).log.unwrap());
    assert!(Arc::ptr_eq(&refused[0], &refused[1]));
}

#[test]
fn log_is_removed_one_length_and_the_skew_after_its_newest_hit() {
    let backend = MemoryBackend::builder().max_clock_skew(Duration::from_secs(5)).build();
    hit(&backend, LOG, &Hit::new(0, 9), START);
    assert!(backend.is_empty(), "a hit of cost 0 leaves no log");
    hit(&backend, LOG, &Hit::new(1, 9), START);
    hit(&backend, LOG, &Hit::new(1, 9), after(10));
    sweep(&backend, after(74));
    assert_eq!((backend.len(), get(&backend, LOG, after(69)).value), (1, 1));
    // A sixteenth of the retention later at the latest.
    sweep(&backend, after(75 + 5));
    assert!(backend.is_empty());
}

#[test]
fn hit_that_a_wrong_clock_logged_does_not_count() {
    let backend = MemoryBackend::new();
    assert!(hit(&backend, LOG, &Hit::new(3, 3), after(3_600)).counted);
    assert_eq!(get(&backend, LOG, START).value, 0);
    assert!(hit(&backend, LOG, &Hit::new(3, 3), START).counted);
    assert!(!hit(&backend, LOG, &Hit::new(1, 3), START).counted);
}

#[test]
fn log_gets_a_refund_at_the_time_of_the_charge() {
    let backend = MemoryBackend::new();
    assert_eq!(refund(&backend, LOG, &Refund::new(1, START), START), (false, 0));
    hit(&backend, LOG, &Hit::new(2, 9), START);
    hit(&backend, LOG, &Hit::new(3, 9), after(1));
    assert_eq!(refund(&backend, LOG, &Refund::new(1, after(2)), after(2)), (false, 5));
    assert_eq!(refund(&backend, LOG, &Refund::new(9, START), after(2)), (true, 3));
    assert_eq!(refund(&backend, LOG, &Refund::new(1, after(1)).only_if_value(3), after(2)), (true, 2));
}

fn span(start: u64, end: u64) -> Window {
    Window::Span { start: after(start), end: after(end) }
}

#[test]
fn each_span_is_a_counter_of_its_own() {
    let backend = MemoryBackend::new();
    let spans = [(0, 100), (0, 101), (1, 101), (1, 100)].map(|(start, end)| span(start, end));
    for (value, span) in (1..).zip(spans) {
        let state = hit(&backend, span, &Hit::new(value, 9), after(50));
        let Window::Span { start, .. } = span else { unreachable!() };
        assert_eq!((state.counted, state.value, state.start), (true, value, Some(start)));
    }
    for (value, span) in (1..).zip(spans) {
        assert_eq!(get(&backend, span, after(50)).value, value);
    }
    assert_eq!(backend.len(), 4);
}

#[test]
fn span_is_retained_for_the_skew_after_its_end() {
    let backend = MemoryBackend::new();
    let (end, skew) = (100, MAX_CLOCK_SKEW.as_secs());
    let first = span(0, end);
    assert!(hit(&backend, first, &Hit::new(2, 3), after(99)).counted);
    assert_eq!(hit(&backend, first, &Hit::new(1, 3), after(end + skew - 1)).value, 3);
    let refused = hit(&backend, first, &Hit::new(1, 3), after(99));
    assert_eq!((refused.counted, refused.value, refused.start), (false, 3, Some(START)));
    for state in [
        get(&backend, first, after(end + skew)),
        hit(&backend, first, &Hit::new(0, 9), after(end + skew)),
        // It was removed meanwhile.
        get(&backend, first, after(end + skew)),
        hit(&backend, first, &Hit::new(0, 9), after(end + skew)),
    ] {
        assert_eq!((state.counted, state.value, state.start), (false, 0, Some(START)));
    }
    assert!(backend.is_empty());
}

#[test]
fn span_gets_a_refund_until_it_has_passed() {
    let backend = MemoryBackend::new();
    let (one, other) = (span(0, 100), span(0, 101));
    hit(&backend, one, &Hit::new(5, 9), START);
    assert_eq!(refund(&backend, other, &Refund::new(1, START), START), (false, 0));
    assert_eq!(refund(&backend, one, &Refund::new(2, START).only_if_value(4), START), (false, 5));
    assert_eq!(refund(&backend, one, &Refund::new(2, START), after(104)), (true, 3));
    assert_eq!(refund(&backend, one, &Refund::new(2, START), after(105)), (false, 0));
}

#[test]
fn span_that_a_wrong_clock_counted_far_ahead_is_removed_after_its_next_use() {
    let backend = MemoryBackend::new();
    let far = span(1_000_000, 1_000_100);
    hit(&backend, far, &Hit::new(1, 9), after(1_000_000));
    hit(&backend, far, &Hit::new(1, 9), START);
    sweep(&backend, START);
    assert!(backend.is_empty());
}
