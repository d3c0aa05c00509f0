//! Expired keys are removed, a bounded number per call, and never too early.

use std::time::Duration;

use limited_core::{
    Backend, BucketQuota, Counter, Hit, Key, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowLength,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const MINUTE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_nanos(1);

/// Returns the window of a hit at a time.
type WindowAt = fn(Timestamp) -> Window;

/// The quota of the buckets.
const BUCKET: BucketQuota = BucketQuota::new(10, 10);

/// One window of each kind.
const KINDS: [WindowAt; 3] = [
    |now| Window::aligned(now, WindowLength::MINUTE),
    |_| Window::FromFirstHit { length: WindowLength::MINUTE },
    |_| Window::Bucket { length: WindowLength::MINUTE },
];

/// Returns a hit on a window of any kind. On a bucket, it takes all that is refilled in one length.
fn hit(window: Window, now: Timestamp) -> Hit<'static> {
    let Window::Bucket { length } = window else { return Hit::new(1, 10) };
    let now = u128::from(now.as_nanos()) * u128::from(BUCKET.limit);
    let full = BUCKET.fills_in(length);
    Hit::new(full, now + full).with_floor(now)
}

fn count(backend: &MemoryBackend, key: &str, window: WindowAt, now: Timestamp) -> bool {
    let key = Key::from(key);
    let window = window(now);
    let counter = Counter::new("", &key, window).unwrap().with_bucket(BUCKET);
    block_on(backend.increment(&counter, &hit(window, now), now)).unwrap().counted
}

fn read(backend: &MemoryBackend, key: &str, window: WindowAt, now: Timestamp) {
    let key = Key::from(key);
    let _ = block_on(backend.get(&Counter::new("", &key, window(now)).unwrap().with_bucket(BUCKET), now))
        .unwrap();
}

#[test]
fn key_is_removed_one_length_and_the_skew_after_its_end() {
    for window in KINDS {
        let backend = MemoryBackend::new();
        assert!(count(&backend, "a", window, START));
        let gone = START.saturating_add(MINUTE).saturating_add(MINUTE).saturating_add(MAX_CLOCK_SKEW);
        read(&backend, "b", window, gone.saturating_sub(TICK));
        assert_eq!(backend.len(), 1, "{:?}", window(START));
        read(&backend, "b", window, gone);
        assert_eq!(backend.len(), 0, "{:?}", window(START));
    }
}

#[test]
fn key_in_use_stays() {
    for window in KINDS {
        let backend = MemoryBackend::new();
        for minute in 0..100 {
            assert!(count(&backend, "a", window, START.saturating_add(MINUTE * minute)));
            assert_eq!(backend.len(), 1);
        }
    }
}

#[test]
fn each_call_removes_one_to_four_expired_keys() {
    for window in KINDS {
        let backend = MemoryBackend::new();
        for key in 0..1000 {
            assert!(count(&backend, &key.to_string(), window, START));
        }
        let later = START.saturating_add(10 * MINUTE);
        let mut calls = 0;
        while !backend.is_empty() {
            let before = backend.len();
            read(&backend, "another", window, later);
            assert!((1..=4).contains(&(before - backend.len())));
            calls += 1;
        }
        assert_eq!(calls, 250);
    }
}

#[test]
fn refused_hits_use_no_capacity() {
    let backend = MemoryBackend::new();
    for key in 0..100 {
        let key = Key::from(key.to_string());
        for window in KINDS {
            let counter = Counter::new("", &key, window(START)).unwrap().with_bucket(BUCKET);
            assert!(!block_on(backend.increment(&counter, &Hit::new(2, 1), START)).unwrap().counted);
            assert!(!block_on(backend.increment(&counter, &Hit::new(1, 0), START)).unwrap().counted);
        }
    }
    assert_eq!(backend.len(), 0);
}

#[test]
fn reset_releases_capacity() {
    for window in KINDS {
        let backend = MemoryBackend::builder().max_keys(1).build();
        for round in 0..100 {
            let key = Key::from(format!("key {round}"));
            let counter = Counter::new("", &key, window(START)).unwrap().with_bucket(BUCKET);
            let first_hit = hit(window(START), START).with_window_meta(WindowId(round), None);
            assert!(block_on(backend.increment(&counter, &first_hit, START)).unwrap().counted);
            // Only a window from the first hit has an id; a reset by another id deletes nothing.
            block_on(backend.reset(&counter, Some(WindowId(u128::MAX)), START)).unwrap();
            assert_eq!(backend.len(), 1);
            let has_window_id = matches!(counter.window(), Window::FromFirstHit { .. });
            block_on(backend.reset(&counter, has_window_id.then_some(WindowId(round)), START)).unwrap();
            assert_eq!(backend.len(), 0);
            // Without the released capacity, the next key would be refused.
            assert!(count(&backend, "stays", window, START));
            block_on(backend.reset(
                &Counter::new("", &Key::from("stays"), window(START)).unwrap().with_bucket(BUCKET),
                None,
                START,
            ))
            .unwrap();
        }
    }
}

#[test]
fn larger_clock_skew_retains_keys_longer() {
    let backend = MemoryBackend::builder().max_clock_skew(10 * MINUTE).build();
    assert!(count(&backend, "a", KINDS[0], START));
    read(&backend, "a", KINDS[0], START.saturating_add(12 * MINUTE).saturating_sub(TICK));
    assert_eq!(backend.len(), 1);
    read(&backend, "a", KINDS[0], START.saturating_add(12 * MINUTE));
    assert_eq!(backend.len(), 0);
}

#[test]
fn operations_on_one_key_remove_all_expired_keys() {
    for window in KINDS {
        let backend = MemoryBackend::new();
        for key in 0..5_000 {
            assert!(count(&backend, &key.to_string(), window, START));
        }
        let later = START.saturating_add(100 * MINUTE);
        assert!(count(&backend, "the only one", window, later));
        for _ in 0..1_250 {
            read(&backend, "the only one", window, later);
        }
        assert_eq!(backend.len(), 1);
    }
}

#[test]
fn only_unused_keys_are_removed() {
    for window in KINDS {
        let backend = MemoryBackend::new();
        for key in 0..2_000 {
            assert!(count(&backend, &format!("gone {key}"), window, START));
            assert!(count(&backend, &format!("stays {key}"), window, START));
        }
        // Every other key is used again a minute later, and so stays a minute longer.
        for key in 0..2_000 {
            assert!(count(&backend, &format!("stays {key}"), window, START.saturating_add(MINUTE)));
        }
        let later = START.saturating_add(2 * MINUTE + MAX_CLOCK_SKEW);
        for _ in 0..2_000 {
            read(&backend, "another", window, later);
        }
        assert_eq!(backend.len(), 2_000, "{:?}", window(START));
        let later = START.saturating_add(3 * MINUTE + 2 * MAX_CLOCK_SKEW);
        for _ in 0..2_000 {
            read(&backend, "another", window, later);
        }
        assert_eq!(backend.len(), 0, "{:?}", window(START));
    }
}
