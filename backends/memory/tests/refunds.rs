//! Refunds: to the window that was charged, and never more than is safe.

use std::time::Duration;

use limited_core::{
    Backend, BucketQuota, Counter, CounterState, Hit, Key, Refund, Timestamp, Window, WindowId, WindowLength,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const LENGTH: WindowLength = WindowLength::SECOND;

fn after(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

fn hit(backend: &MemoryBackend, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> CounterState {
    block_on(backend.increment(counter, hit, now)).unwrap()
}

fn refund(backend: &MemoryBackend, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> (bool, u128) {
    let state = block_on(backend.refund(counter, refund, now)).unwrap();
    assert_eq!(state.value, block_on(backend.get(&counter.fixed(), now)).unwrap().value);
    (state.counted, state.value)
}

#[test]
fn refund_lowers_the_window_that_was_charged() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let windows = [START, after(1)].map(|now| Window::aligned(now, LENGTH));
    let [charged, next] = windows.map(|window| Counter::new("", &key, window).unwrap());
    assert_eq!(refund(&backend, &charged, &Refund::new(1, START), START), (false, 0));
    assert!(backend.is_empty());
    hit(&backend, &charged, &Hit::new(5, 9), START);
    assert_eq!(refund(&backend, &next, &Refund::new(1, START), after(1)), (false, 0));
    hit(&backend, &next, &Hit::new(3, 9), after(1));
    // Also of a sliding limiter.
    assert_eq!(refund(&backend, &charged.sliding(), &Refund::new(2, START), after(1)), (true, 3));
    assert_eq!(refund(&backend, &charged, &Refund::new(2, START).only_if_value(4), after(1)), (false, 3));
    assert_eq!(refund(&backend, &charged, &Refund::new(9, START), after(1)), (true, 0));
    assert_eq!(block_on(backend.get(&next, after(1))).unwrap().value, 3);
}

#[test]
fn window_that_has_expired_gets_nothing() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let counter = Counter::new("", &key, Window::aligned(START, LENGTH)).unwrap();
    hit(&backend, &counter, &Hit::new(5, 9), START);
    assert_eq!(refund(&backend, &counter, &Refund::new(1, START), after(6)), (true, 4));
    assert_eq!(refund(&backend, &counter, &Refund::new(1, START), after(7)), (false, 0));
}

#[test]
fn window_from_the_first_hit_gets_a_refund_of_its_id_only() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let counter = Counter::new("", &key, Window::FromFirstHit { length: LENGTH }).unwrap();
    let charge = |id| Hit::new(5, 9).with_window_meta(WindowId(id), None);
    hit(&backend, &counter, &charge(1), START);
    let of = |id| Refund::new(2, START).with_window_id(WindowId(id));
    assert_eq!(refund(&backend, &counter, &of(2), START), (false, 5));
    assert_eq!(refund(&backend, &counter, &of(1), START), (true, 3));
    assert_eq!(refund(&backend, &counter, &of(1), after(1)), (false, 0));
    hit(&backend, &counter, &charge(2), after(1));
    assert_eq!(refund(&backend, &counter, &of(1), after(1)), (false, 5));
}

#[test]
fn bucket_gets_what_time_has_not_paid_back() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let quota = BucketQuota::new(10, 10);
    let counter = Counter::new("", &key, Window::Bucket { length: LENGTH }).unwrap().with_bucket(quota);
    let charge = |cost: u128, now: Timestamp| {
        let floor = u128::from(now.as_nanos()) * 10;
        let bucket = Hit::new(cost * 1_000_000_000, floor + quota.fills_in(LENGTH)).with_floor(floor);
        hit(&backend, &counter, &bucket, now).counted
    };
    let tokens = Refund::new(5_000_000_000, START);
    assert_eq!(refund(&backend, &counter, &tokens, START), (false, 0));
    assert!(charge(5, START) && charge(5, START) && !charge(1, START));
    assert!(refund(&backend, &counter, &tokens, START).0);
    assert!(charge(5, START) && !charge(1, START));
    // The bucket is full again: the charge has been paid back.
    assert!(charge(10, after(1)));
    refund(&backend, &counter, &tokens, after(1));
    assert!(!charge(1, after(1)));
    // Only while nothing else was charged.
    let value = block_on(backend.get(&counter, after(1))).unwrap().value;
    let latest = Refund::new(1_000_000_000, after(1));
    assert!(!refund(&backend, &counter, &latest.only_if_value(value - 1), after(1)).0);
    assert!(refund(&backend, &counter, &latest.only_if_value(value), after(1)).0);
    assert!(charge(1, after(1)) && !charge(1, after(1)));
}

#[test]
fn count_beyond_a_slot_is_refunded_too() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let counter = Counter::new("", &key, Window::aligned(START, LENGTH)).unwrap();
    hit(&backend, &counter, &Hit::new(1 << 70, u128::MAX), START);
    assert_eq!(refund(&backend, &counter, &Refund::new(1, START), START), (true, (1 << 70) - 1));
}
