//! The store under a scheduler that tries out interleavings of its atomic steps.
//!
//! Run with `RUSTFLAGS="--cfg shuttle" cargo test -p limited-memory --release --test interleavings`.
#![cfg(shuttle)]

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    BackendError, Counter, Generation, Hit, ImmediateBackend, Key, Timestamp, Window, WindowLength,
};
use limited_memory::{MemoryBackend, WhenFull};
use shuttle::thread;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const ROUNDS: usize = 5_000;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let random = Arc::clone(&scenario);
    shuttle::check_random(move || random(), ROUNDS);
    shuttle::check_pct(move || scenario(), ROUNDS, 3);
}

fn hit(
    backend: &MemoryBackend,
    key: &str,
    window: Window,
    cost: u128,
    now: Timestamp,
) -> Result<bool, BackendError> {
    let key = Key::from(key);
    let counter = Counter::new("", &key, window).unwrap();
    let hit = Hit::new(cost, 3).opening(Generation(7), None);
    Ok(backend.increment_now(&counter, &hit, now)?.counted)
}

fn minute(now: Timestamp) -> Window {
    Window::aligned(now, WindowLength::MINUTE)
}

#[test]
fn a_new_key_admits_exactly_its_limit() {
    explore(|| {
        let backend = MemoryBackend::new();
        let threads: Vec<_> = (0..5)
            .map(|_| {
                let backend = backend.clone();
                thread::spawn(move || u128::from(hit(&backend, "a", minute(START), 1, START).unwrap()))
            })
            .collect();
        let counted: u128 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!((counted, backend.len()), (3, 1));
    });
}

#[test]
fn an_expired_key_rolls_over_while_others_sweep_it() {
    explore(|| {
        let backend = MemoryBackend::new();
        assert!(hit(&backend, "a", minute(START), 3, START).unwrap());
        assert!(hit(&backend, "b", minute(START), 3, START).unwrap());
        let later = START.saturating_add(Duration::from_secs(600));
        let threads: Vec<_> = ["a", "a", "b", "a", "c"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let counted = hit(&backend, key, minute(later), 2, later).unwrap();
                    if key == "a" { u128::from(counted) } else { u128::from(!counted) * 10 }
                })
            })
            .collect();
        let counted: u128 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(counted, 1, "one hit of cost 2 fits under 3, and the others' are admitted");
        assert_eq!(backend.len(), 3);
    });
}

#[test]
fn the_cap_holds_and_an_expired_key_always_makes_room() {
    explore(|| {
        let backend = MemoryBackend::builder().max_keys(2).build();
        assert!(hit(&backend, "a", minute(START), 1, START).unwrap());
        assert!(hit(&backend, "b", minute(START), 1, START).unwrap());
        let later = START.saturating_add(Duration::from_secs(600));
        let threads: Vec<_> = ["c", "d"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                thread::spawn(move || hit(&backend, key, minute(later), 1, later))
            })
            .collect();
        for thread in threads {
            assert!(thread.join().unwrap().expect("two places are free, since two keys have expired"));
        }
        assert_eq!(backend.len(), 2);
    });
}

#[test]
fn the_same_new_key_takes_the_last_place_once() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        explore(move || {
            let backend = MemoryBackend::builder().max_keys(2).when_full(when_full).build();
            assert!(hit(&backend, "stays", minute(START), 1, START).unwrap());
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let backend = backend.clone();
                    thread::spawn(move || hit(&backend, "a", minute(START), 1, START))
                })
                .collect();
            for thread in threads {
                assert!(thread.join().unwrap().expect("there is a place for it"));
            }
            assert_eq!((backend.len(), backend.evicted()), (2, 0));
        });
    }
}

#[test]
fn keys_that_give_way_leave_no_place_and_no_ticket_behind() {
    explore(|| {
        let backend = MemoryBackend::builder().max_keys(2).when_full(WhenFull::EvictSoonest).build();
        let threads: Vec<_> = ["a", "b", "c", "a"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                thread::spawn(move || hit(&backend, key, minute(START), 1, START))
            })
            .collect();
        for thread in threads {
            // While places change hands there may be none for a moment, but never more than there are.
            let _ = thread.join().unwrap();
            assert!(backend.len() <= 2);
        }
        let later = START.saturating_add(Duration::from_secs(600));
        assert!(hit(&backend, "z", minute(later), 1, later).unwrap());
        assert_eq!(backend.len(), 1);
    });
}

#[test]
fn a_reset_in_between_loses_neither_places_nor_tickets() {
    explore(|| {
        let backend = MemoryBackend::new();
        let window = Window::Opened { length: WindowLength::MINUTE };
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let backend = backend.clone();
                thread::spawn(move || {
                    if number == 3 {
                        let key = Key::from("a");
                        let counter = Counter::new("", &key, window).unwrap();
                        backend.reset_now(&counter, Some(Generation(7)), START).unwrap();
                    } else {
                        hit(&backend, "a", window, 1, START).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(backend.len() <= 1);
        let later = START.saturating_add(Duration::from_secs(600));
        assert!(hit(&backend, "z", minute(later), 1, later).unwrap());
        assert_eq!(backend.len(), 1);
    });
}
