//! The maximum number of keys.

use std::sync::Barrier;
use std::time::Duration;

use limited_core::{Backend, BackendError, Counter, Hit, Key, Result, Timestamp, Window, WindowLength};
use limited_memory::{MemoryBackend, WhenFull};
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);

fn count(backend: &MemoryBackend, key: &str, length: WindowLength, now: Timestamp) -> Result<bool> {
    let key = Key::from(key);
    let counter = Counter::new("", &key, Window::aligned(now, length)).unwrap();
    Ok(block_on(backend.increment(&counter, &Hit::new(1, 5), now))?.counted)
}

fn value(backend: &MemoryBackend, key: &str, length: WindowLength, now: Timestamp) -> u128 {
    let key = Key::from(key);
    let counter = Counter::new("", &key, Window::aligned(now, length)).unwrap();
    block_on(backend.get(&counter, now)).unwrap().value
}

#[test]
fn new_key_in_a_full_store_is_refused() {
    let backend = MemoryBackend::builder().max_keys(2).build();
    assert!(count(&backend, "a", WindowLength::MINUTE, START).unwrap());
    assert!(count(&backend, "b", WindowLength::MINUTE, START).unwrap());
    let error = count(&backend, "c", WindowLength::MINUTE, START).unwrap_err();
    assert!(matches!(error, BackendError::Full { max_keys: 2 }), "{error}");
    assert!(error.to_string().contains("raise the maximum"), "{error}");
    // Known keys are not affected.
    for _ in 0..4 {
        assert!(count(&backend, "a", WindowLength::MINUTE, START).unwrap());
    }
    assert!(!count(&backend, "a", WindowLength::MINUTE, START).unwrap());
    assert_eq!((backend.len(), backend.evicted()), (2, 0));
}

#[test]
fn expired_key_makes_room_for_a_new_key() {
    let backend = MemoryBackend::builder().max_keys(100).build();
    for key in 0..100 {
        assert!(count(&backend, &key.to_string(), WindowLength::SECOND, START).unwrap());
    }
    let later = START.saturating_add(Duration::from_secs(60));
    for key in 100..200 {
        assert!(count(&backend, &key.to_string(), WindowLength::SECOND, later).unwrap());
    }
    assert!(count(&backend, "one more", WindowLength::SECOND, later).is_err());
}

#[test]
fn evict_soonest_evicts_the_key_that_expires_first() {
    let backend = MemoryBackend::builder().max_keys(3).when_full(WhenFull::EvictSoonest).build();
    assert!(count(&backend, "hour", WindowLength::HOUR, START).unwrap());
    assert!(count(&backend, "second", WindowLength::SECOND, START).unwrap());
    assert!(count(&backend, "minute", WindowLength::MINUTE, START).unwrap());
    assert!(count(&backend, "day", WindowLength::DAY, START).unwrap());
    assert_eq!((backend.len(), backend.evicted()), (3, 1));
    assert_eq!(value(&backend, "second", WindowLength::SECOND, START), 0);
    assert_eq!(value(&backend, "minute", WindowLength::MINUTE, START), 1);
    assert_eq!(value(&backend, "hour", WindowLength::HOUR, START), 1);
    assert_eq!(value(&backend, "day", WindowLength::DAY, START), 1);
}

#[test]
fn eviction_considers_hits_that_extend_the_expiry() {
    let backend = MemoryBackend::builder().max_keys(2).when_full(WhenFull::EvictSoonest).build();
    assert!(count(&backend, "first", WindowLength::MINUTE, START).unwrap());
    assert!(count(&backend, "second", WindowLength::MINUTE, START).unwrap());
    let later = START.saturating_add(Duration::from_secs(60));
    // After this hit, the first key expires last.
    assert!(count(&backend, "first", WindowLength::MINUTE, later).unwrap());
    assert!(count(&backend, "third", WindowLength::MINUTE, later).unwrap());
    assert_eq!(value(&backend, "first", WindowLength::MINUTE, later), 1);
    assert_eq!(value(&backend, "second", WindowLength::MINUTE, START), 0);
}

#[test]
fn eviction_finds_a_key_after_all_expiries_were_extended() {
    let backend = MemoryBackend::builder().max_keys(500).when_full(WhenFull::EvictSoonest).build();
    let later = START.saturating_add(Duration::from_secs(60));
    for now in [START, later] {
        for key in 0..500 {
            assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, now).unwrap());
        }
    }
    for key in 500..600 {
        assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, later).unwrap());
        assert_eq!(backend.len(), 500);
    }
    assert_eq!(backend.evicted(), 100);
}

#[test]
fn threads_with_new_keys_never_exceed_the_maximum() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        for round in 0..50_u64 {
            let backend = MemoryBackend::builder().max_keys(10).when_full(when_full).build();
            let barrier = Barrier::new(8);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (backend, barrier) = (&backend, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        for key in 0..50 {
                            let now = START.saturating_add(Duration::from_secs(key / 10));
                            let key = format!("{round} {thread} {}", key % 20);
                            let counted = count(backend, &key, WindowLength::SECOND, now);
                            assert!(counted.is_ok() || when_full == WhenFull::Refuse);
                            assert!(backend.len() <= 10);
                        }
                    });
                }
            });
            assert_eq!(backend.len(), 10);
        }
    }
}

#[test]
fn threads_with_the_same_new_key_reserve_capacity_once() {
    for _ in 0..500 {
        // One key is known already, so reserving capacity twice would fail.
        let backend = MemoryBackend::builder().max_keys(2).build();
        assert!(count(&backend, "another", WindowLength::DAY, START).unwrap());
        let barrier = Barrier::new(8);
        let counted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        usize::from(count(&backend, "the same", WindowLength::DAY, START).unwrap())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((counted, backend.len()), (5, 2));
    }
}

#[test]
fn nothing_is_evicted_while_the_store_has_room() {
    for _ in 0..500 {
        let backend = MemoryBackend::builder().max_keys(2).when_full(WhenFull::EvictSoonest).build();
        assert!(count(&backend, "stays", WindowLength::DAY, START).unwrap());
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    count(&backend, "the same", WindowLength::DAY, START).unwrap()
                });
            }
        });
        assert_eq!((backend.len(), backend.evicted()), (2, 0));
        assert_eq!(value(&backend, "stays", WindowLength::DAY, START), 1);
    }
}

#[test]
fn expired_key_is_found_behind_a_hundred_extended_keys() {
    let backend = MemoryBackend::builder().max_keys(101).build();
    for key in 0..100 {
        assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, START).unwrap());
    }
    assert!(count(&backend, "expires", WindowLength::MINUTE, START).unwrap());
    let later = START.saturating_add(Duration::from_secs(100));
    for key in 0..100 {
        assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, later).unwrap());
    }
    let gone = START.saturating_add(Duration::from_secs(130));
    assert!(count(&backend, "new", WindowLength::MINUTE, gone).unwrap());
}

#[test]
fn key_that_expires_first_is_evicted_from_any_position() {
    for first in 0..64_u32 {
        let backend = MemoryBackend::builder().max_keys(64).when_full(WhenFull::EvictSoonest).build();
        for key in 0..64 {
            let length = if key == first { WindowLength::MINUTE } else { WindowLength::HOUR };
            assert!(count(&backend, &key.to_string(), length, START).unwrap());
        }
        assert!(count(&backend, "new", WindowLength::DAY, START).unwrap());
        assert_eq!((backend.len(), backend.evicted()), (64, 1));
        assert_eq!(value(&backend, &first.to_string(), WindowLength::MINUTE, START), 0);
    }
}

#[test]
fn refused_calls_continue_the_search_for_an_expired_key() {
    let backend = MemoryBackend::builder().max_keys(5_001).build();
    for key in 0..5_000 {
        assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, START).unwrap());
    }
    assert!(count(&backend, "expires", WindowLength::MINUTE, START).unwrap());
    let later = START.saturating_add(Duration::from_secs(100));
    for key in 0..5_000 {
        assert!(count(&backend, &key.to_string(), WindowLength::MINUTE, later).unwrap());
    }
    let gone = START.saturating_add(Duration::from_secs(130));
    let refused = (0..).take_while(|_| count(&backend, "new", WindowLength::MINUTE, gone).is_err()).count();
    // Each call scans 128 keys in its sweep, and 256 more to make room.
    assert!(refused <= 5_000 / 384 + 1, "{refused}");
    assert_eq!((backend.len(), backend.evicted()), (5_001, 0));
}

#[test]
fn maximum_of_zero_refuses_every_key() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        let backend = MemoryBackend::builder().max_keys(0).when_full(when_full).build();
        assert!(count(&backend, "a", WindowLength::MINUTE, START).is_err());
        assert_eq!((backend.len(), backend.evicted()), (0, 0));
    }
}

#[test]
fn concurrent_resets_of_a_full_store_keep_the_maximum_exact() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        let backend = MemoryBackend::builder().max_keys(16).when_full(when_full).build();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let backend = &backend;
                scope.spawn(move || {
                    for round in 0..3_000_u32 {
                        let key = Key::from(((round * 7 + thread * 13) % 40).to_string());
                        let window = Window::aligned(START, WindowLength::MINUTE);
                        let counter = Counter::new("", &key, window).unwrap();
                        if round % 3 == 0 {
                            block_on(backend.reset(&counter, None, START)).unwrap();
                        } else {
                            let _ = block_on(backend.increment(&counter, &Hit::new(1, u128::MAX), START));
                        }
                        assert!(backend.len() <= 16);
                    }
                });
            }
        });
        for key in 0..40 {
            let key = Key::from(key.to_string());
            let counter = Counter::new("", &key, Window::aligned(START, WindowLength::MINUTE)).unwrap();
            block_on(backend.reset(&counter, None, START)).unwrap();
        }
        assert_eq!(backend.len(), 0);
    }
}
