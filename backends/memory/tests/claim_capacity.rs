//! The maximum number of claims.

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{
    LEASE, ONE, OTHER, START, after, claim, done, find, finish, forget, granted, held, release, renew,
};
use limited_core::{
    Acquisition, Backend, BackendError, Completion, Counter, FinishResult, Hit, Key, LeaseStatus,
    MAX_CLOCK_SKEW, Owner, Record, Window, WindowLength,
};
use limited_memory::{MemoryBackend, WhenFull};
use pollster::block_on;

const SECOND: Duration = Duration::from_secs(1);

fn backend(max_claims: usize) -> MemoryBackend {
    MemoryBackend::builder().max_claims(max_claims).build()
}

#[test]
fn live_claims_are_never_evicted() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        let backend = MemoryBackend::builder().max_keys(2).max_claims(2).when_full(when_full).build();
        granted(&backend, "at work", ONE, START);
        granted(&backend, "done", ONE, START);
        finish(&backend, "done", &done(ONE, SECOND), START);
        for _ in 0..3 {
            let error = claim(&backend, "new", OTHER, START).unwrap_err();
            assert!(matches!(error, BackendError::Full { max_keys: 2 }), "{error}");
            assert!(error.to_string().contains("raise the maximum"), "{error}");
        }
        assert!(matches!(held(&backend, "at work", OTHER, START), Record::InProgress(_)));
        assert!(matches!(held(&backend, "done", OTHER, START), Record::Finished(_)));
        assert_eq!((backend.claims(), backend.evicted()), (2, 0));
    }
}

#[test]
fn known_claims_are_not_affected_by_a_full_store() {
    let backend = backend(1);
    let grant = granted(&backend, "a", ONE, START);
    assert_eq!(granted(&backend, "a", ONE, START), grant, "the owner repeats its claim");
    assert_eq!(renew(&backend, "a", ONE, START), LeaseStatus::Owned);
    // A takeover after the lease has ended needs no further capacity.
    let lapsed = after(START, LEASE);
    assert!(granted(&backend, "a", OTHER, lapsed).fencing_token > grant.fencing_token);
    assert_eq!(finish(&backend, "a", &Completion::new(OTHER), lapsed), FinishResult::Stored);
    assert_eq!(backend.claims(), 1);
}

#[test]
fn expired_record_makes_room_for_a_new_claim() {
    let backend = backend(100);
    for key in 0..100 {
        let key = key.to_string();
        granted(&backend, &key, ONE, START);
        finish(&backend, &key, &done(ONE, SECOND), START);
    }
    let gone = after(START, SECOND + MAX_CLOCK_SKEW);
    for key in 100..200 {
        granted(&backend, &key.to_string(), ONE, gone);
    }
    assert!(claim(&backend, "one more", ONE, gone).is_err());
    assert_eq!(backend.claims(), 100);
}

#[test]
fn expired_record_is_found_behind_a_hundred_renewed_claims() {
    let backend = backend(101);
    for key in 0..100 {
        granted(&backend, &key.to_string(), ONE, START);
    }
    let later = after(START, LEASE / 2);
    granted(&backend, "expires", ONE, later);
    finish(&backend, "expires", &Completion::new(ONE).with_expiry(after(later, 90_000 * SECOND)), later);
    for key in 0..100 {
        renew(&backend, &key.to_string(), ONE, after(START, 50_000 * SECOND));
    }
    granted(&backend, "new", ONE, after(later, 90_000 * SECOND + MAX_CLOCK_SKEW));
}

#[test]
fn released_or_forgotten_record_makes_room_immediately() {
    let backend = backend(1);
    granted(&backend, "a", ONE, START);
    release(&backend, "a", ONE, START);
    granted(&backend, "b", ONE, START);
    finish(&backend, "b", &Completion::new(ONE), START);
    forget(&backend, "b", START);
    granted(&backend, "c", ONE, START);
    assert_eq!(find(&backend, "b", START), None);
}

#[test]
fn counters_and_claims_have_separate_capacity() {
    let backend = MemoryBackend::builder().max_keys(1).max_claims(1).build();
    let count = |key: &str| {
        let key = Key::from(key);
        let counter = Counter::new("", &key, Window::aligned(START, WindowLength::MINUTE)).unwrap();
        block_on(backend.increment(&counter, &Hit::new(1, 5), START))
    };
    granted(&backend, "a", ONE, START);
    assert!(count("a").unwrap().counted);
    assert_eq!((backend.claims(), backend.len()), (1, 1));
    assert!(claim(&backend, "b", ONE, START).is_err() && count("b").is_err());
    forget(&backend, "a", START);
    assert_eq!((backend.claims(), backend.len()), (0, 1));
    assert!(count("b").is_err());
}

#[test]
fn maximum_of_zero_refuses_every_claim() {
    let error = claim(&backend(0), "a", ONE, START).unwrap_err();
    assert!(matches!(error, BackendError::Full { max_keys: 0 }));
}

#[test]
fn threads_with_new_claims_never_exceed_the_maximum() {
    for round in 0..50_u128 {
        let backend = backend(10);
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8_u128 {
                let (backend, barrier) = (&backend, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for number in 0..50_u64 {
                        let (owner, key) = (Owner(round << 64 | thread), format!("{thread} {}", number % 20));
                        let now = after(START, SECOND * u32::try_from(number).unwrap());
                        if let Ok(Acquisition::Acquired(_)) = claim(backend, &key, owner, now) {
                            match number % 3 {
                                0 => drop(release(backend, &key, owner, now)),
                                1 => drop(finish(backend, &key, &done(owner, SECOND), now)),
                                _ => {}
                            }
                        }
                        assert!(backend.claims() <= 10);
                    }
                });
            }
        });
        // Once all records have expired, exactly the maximum fits: the count is still right.
        let gone = after(START, 200_000 * SECOND);
        for key in 0..10 {
            granted(&backend, &format!("new {key}"), ONE, gone);
        }
        assert!(claim(&backend, "one more", ONE, gone).is_err());
    }
}
