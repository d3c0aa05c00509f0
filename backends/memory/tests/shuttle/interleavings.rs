//! Runs the stores under a scheduler that explores the interleavings of their atomic steps.
//!
//! A module of the crate, because only unit tests may use a dev-dependency inside the library. Run
//! with `RUSTFLAGS="--cfg shuttle" cargo test -p limited-memory --release --lib interleavings`.

#[path = "../common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    LEASE, ONE, OTHER, START, after, claim, done, find, finish, forget, granted, held, release, renew,
};
use limited_core::{
    Acquisition, Backend, BackendError, BucketQuota, Completion, Counter, FencingToken, FinishResult, Hit,
    Key, LeaseStatus, MAX_CLOCK_SKEW, Owner, Record, Refund, Result, StoredResult, Timestamp, Window,
    WindowId, WindowLength,
};
use pollster::block_on;
use shuttle::thread;

use crate::{MemoryBackend, WhenFull};

const ROUNDS: usize = 5_000;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let random = Arc::clone(&scenario);
    shuttle::check_random(move || random(), ROUNDS);
    shuttle::check_pct(move || scenario(), ROUNDS, 3);
}

fn hit(backend: &MemoryBackend, key: &str, window: Window, cost: u128, now: Timestamp) -> Result<bool> {
    let key = Key::from(key);
    let counter = Counter::new("", &key, window).unwrap();
    let hit = Hit::new(cost, 3).with_window_meta(WindowId(7), None);
    // Like a limiter: the fast path first.
    let fast = backend.try_increment(&counter, &hit, now);
    Ok(fast.unwrap_or_else(|| block_on(backend.increment(&counter, &hit, now)))?.counted)
}

fn minute(now: Timestamp) -> Window {
    Window::aligned(now, WindowLength::MINUTE)
}

#[test]
fn new_key_admits_exactly_its_limit() {
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
fn threads_of_different_quotas_share_one_bucket() {
    explore(|| {
        let backend = MemoryBackend::new();
        let threads: Vec<_> = [3_u64, 5, 3, 7, 5]
            .into_iter()
            .map(|limit| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let (key, length) = (Key::from("a"), WindowLength::MINUTE);
                    let quota = BucketQuota::new(limit, limit);
                    let counter = Counter::new("", &key, Window::Bucket { length }).unwrap();
                    let counter = counter.with_bucket(quota);
                    let floor = u128::from(START.as_nanos()) * u128::from(limit);
                    // A third of the bucket, rounded up.
                    let cost = quota.fills_in(length).div_ceil(3);
                    let hit = Hit::new(cost, quota.highest_value(length, START)).with_floor(floor);
                    let fast = backend.try_increment(&counter, &hit, START);
                    let state = fast.unwrap_or_else(|| block_on(backend.increment(&counter, &hit, START)));
                    u32::from(state.unwrap().counted)
                })
            })
            .collect();
        let counted: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        // What is rounded up may leave no room for the last third.
        assert!((2..=3).contains(&counted), "{counted}");
        assert_eq!(backend.len(), 1);
    });
}

#[test]
fn expired_key_rolls_over_while_others_sweep_it() {
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
        assert_eq!(counted, 1, "one hit of cost 2 fits into 3, and the hits on other keys are admitted");
        assert_eq!(backend.len(), 3);
    });
}

#[test]
fn expired_keys_always_make_room_within_the_maximum() {
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
            assert!(thread.join().unwrap().expect("two keys have expired, so two new ones fit"));
        }
        assert_eq!(backend.len(), 2);
    });
}

#[test]
fn same_new_key_reserves_the_last_capacity_once() {
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
                assert!(thread.join().unwrap().expect("the key fits"));
            }
            assert_eq!((backend.len(), backend.evicted()), (2, 0));
        });
    }
}

#[test]
fn eviction_leaks_no_capacity() {
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
            assert!(thread.join().unwrap().expect("another key is evicted"));
            assert!(backend.len() <= 2);
        }
        let later = START.saturating_add(Duration::from_secs(600));
        assert!(hit(&backend, "z", minute(later), 1, later).unwrap());
        assert_eq!(backend.len(), 1);
    });
}

#[test]
fn eviction_always_finds_a_key_among_concurrent_resets() {
    explore(|| {
        let backend = MemoryBackend::builder().max_keys(1).when_full(WhenFull::EvictSoonest).build();
        let threads: Vec<_> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .map(|name| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let key = Key::from(name);
                    let counter = Counter::new("", &key, minute(START)).unwrap();
                    assert!(hit(&backend, name, minute(START), 1, START).expect("another key is evicted"));
                    block_on(backend.reset(&counter, None, START)).unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(backend.len(), 0);
    });
}

#[test]
fn concurrent_reset_leaks_no_capacity() {
    explore(|| {
        let backend = MemoryBackend::new();
        let window = Window::FromFirstHit { length: WindowLength::MINUTE };
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let backend = backend.clone();
                thread::spawn(move || {
                    if number == 3 {
                        let key = Key::from("a");
                        let counter = Counter::new("", &key, window).unwrap();
                        block_on(backend.reset(&counter, Some(WindowId(7)), START)).unwrap();
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

#[test]
fn table_that_grows_during_a_sweep_loses_no_hit() {
    explore(|| {
        let backend = MemoryBackend::new();
        for key in ["a", "b", "c", "d", "e"] {
            assert!(hit(&backend, key, minute(START), 1, START).unwrap());
        }
        let later = START.saturating_add(Duration::from_secs(600));
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let backend = backend.clone();
                thread::spawn(move || {
                    // Two keys of this thread, one that all threads share, and one that has
                    // expired.
                    let keys =
                        [format!("{thread} f"), "shared".to_owned(), format!("{thread} g"), "a".to_owned()];
                    let count =
                        |key: &String| u128::from(hit(&backend, key, minute(later), 1, later).unwrap());
                    keys.iter().map(count).sum::<u128>()
                })
            })
            .collect();
        assert_eq!(join(threads).into_iter().sum::<u128>(), 12);
        assert_eq!(backend.len(), 8);
        assert!(!hit(&backend, "shared", minute(later), 1, later).unwrap());
        assert!(!hit(&backend, "a", minute(later), 1, later).unwrap());
    });
}

/// Sweeps, by reading another key.
fn sweep(backend: &MemoryBackend, now: Timestamp) {
    let key = Key::from("another");
    let _ = block_on(backend.get(&Counter::new("", &key, minute(now)).unwrap(), now)).unwrap();
}

#[test]
fn key_added_during_a_sweep_is_swept_in_time() {
    explore(|| {
        let backend = MemoryBackend::new();
        assert!(hit(&backend, "a", minute(START), 1, START).unwrap());
        let later = START.saturating_add(Duration::from_secs(125));
        let sweeping = {
            let backend = backend.clone();
            thread::spawn(move || sweep(&backend, later))
        };
        // Nothing is due at this time, so this thread does not sweep. Its hit may come at any point
        // of the other thread's sweep.
        let now = START.saturating_add(Duration::from_secs(124));
        assert!(hit(&backend, "b", Window::aligned(now, WindowLength::SECOND), 1, now).unwrap());
        sweeping.join().unwrap();
        assert_eq!(backend.len(), 1);
        sweep(&backend, now.saturating_add(Duration::from_secs(7)));
        assert_eq!(backend.len(), 0, "the window, one more length and the clock skew have passed");
    });
}

#[test]
fn reset_of_a_full_store_leaks_no_capacity() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        explore(move || {
            let backend = MemoryBackend::builder().max_keys(2).when_full(when_full).build();
            for key in ["a", "b"] {
                assert!(hit(&backend, key, minute(START), 1, START).unwrap());
            }
            let reset = {
                let backend = backend.clone();
                thread::spawn(move || {
                    let key = Key::from("a");
                    let counter = Counter::new("", &key, minute(START)).unwrap();
                    block_on(backend.reset(&counter, None, START)).unwrap();
                })
            };
            let new_key = {
                let backend = backend.clone();
                thread::spawn(move || hit(&backend, "c", minute(START), 1, START))
            };
            reset.join().unwrap();
            let added = new_key.join().unwrap();
            assert!(added.is_ok() || when_full == WhenFull::Refuse);
            assert!(backend.len() <= 2);
            // Leaked capacity would be missing now.
            let evicted = usize::try_from(backend.evicted()).unwrap();
            let expected = 2 + usize::from(added.is_ok()) - evicted;
            assert!((expected - 1..=expected).contains(&backend.len()), "{} of {expected}", backend.len());
            while backend.len() < 2 {
                assert!(hit(&backend, &backend.len().to_string(), minute(START), 1, START).unwrap());
            }
            assert_eq!(usize::try_from(backend.evicted()).unwrap(), evicted);
        });
    }
}

/// Counts a hit of cost 1 on each key, all or none, below a limit of 3 each. Returns whether they
/// were counted.
fn hit_all(backend: &MemoryBackend, keys: &[&str], now: Timestamp) -> Result<bool> {
    let keys: Vec<_> = keys.iter().map(|key| Key::from(*key)).collect();
    let hits: Vec<_> =
        keys.iter().map(|key| (Counter::new("", key, minute(now)).unwrap(), Hit::new(1, 3))).collect();
    let mut states = Vec::new();
    backend.try_increment_all(&hits, now, &mut states).expect("the memory backend never waits")?;
    Ok(states.iter().all(|state| state.counted))
}

fn count_of(backend: &MemoryBackend, key: &str, now: Timestamp) -> u128 {
    let key = Key::from(key);
    block_on(backend.get(&Counter::new("", &key, minute(now)).unwrap(), now)).unwrap().value
}

#[test]
fn overlapping_steps_count_all_or_nothing() {
    explore(|| {
        let backend = MemoryBackend::new();
        // With the keys in any order, and among single hits.
        let steps: [&[&str]; 5] = [&["a", "b"], &["b", "c", "a"], &["c", "b"], &["a"], &["b", "a"]];
        let threads: Vec<_> = steps
            .into_iter()
            .map(|keys| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let is_counted = match keys {
                        [key] => hit(&backend, key, minute(START), 1, START),
                        keys => hit_all(&backend, keys, START),
                    };
                    (keys, is_counted.unwrap())
                })
            })
            .collect();
        let counted = join(threads);
        for key in ["a", "b", "c"] {
            let steps = counted.iter().filter(|(keys, counted)| *counted && keys.contains(&key));
            let value = count_of(&backend, key, START);
            assert_eq!(value, steps.count() as u128);
            assert!(value <= 3);
        }
        // Four steps have the key `a`, and four have `b`: each refusal is for a full key.
        assert!(count_of(&backend, "a", START) == 3 || count_of(&backend, "b", START) == 3);
    });
}

#[test]
fn steps_roll_over_while_others_sweep() {
    explore(|| {
        let backend = MemoryBackend::new();
        for _ in 0..3 {
            assert!(hit_all(&backend, &["a", "b", "c"], START).unwrap());
        }
        let later = START.saturating_add(Duration::from_secs(600));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let keys = [["a", "b"], ["b", "a"]][number % 2];
                    hit_all(&backend, &keys, later).unwrap()
                })
            })
            .collect();
        assert_eq!(join(threads).into_iter().filter(|counted| *counted).count(), 3);
        assert_eq!((count_of(&backend, "a", later), count_of(&backend, "b", later)), (3, 3));
        assert_eq!(backend.len(), 2);
    });
}

#[test]
fn steps_of_a_full_store_leak_no_capacity() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        explore(move || {
            let backend = MemoryBackend::builder().max_keys(3).when_full(when_full).build();
            assert!(hit(&backend, "z", minute(START), 1, START).unwrap());
            let steps: [&[&str]; 3] = [&["a", "b"], &["c", "b"], &["d"]];
            let threads: Vec<_> = steps
                .into_iter()
                .map(|keys| {
                    let backend = backend.clone();
                    thread::spawn(move || hit_all(&backend, keys, START))
                })
                .collect();
            for result in join(threads) {
                // A step that finds no room counts nothing.
                assert!(result.unwrap_or(when_full == WhenFull::Refuse));
                assert!(backend.len() <= 3);
            }
            let later = START.saturating_add(Duration::from_secs(600));
            assert!(hit_all(&backend, &["e", "f", "g"], later).unwrap());
            assert_eq!(backend.len(), 3);
        });
    }
}

#[test]
fn refund_is_one_step_among_steps_of_several_hits() {
    explore(|| {
        let backend = MemoryBackend::new();
        for _ in 0..3 {
            assert!(hit_all(&backend, &["a", "b"], START).unwrap());
        }
        let refunding = {
            let backend = backend.clone();
            thread::spawn(move || {
                for key in ["a", "b"].map(Key::from) {
                    let counter = Counter::new("", &key, minute(START)).unwrap();
                    assert!(
                        block_on(backend.refund(&counter, &Refund::new(1, START), START)).unwrap().counted
                    );
                }
            })
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let backend = backend.clone();
                thread::spawn(move || hit_all(&backend, &["b", "a"], START).unwrap())
            })
            .collect();
        let counted = join(threads).into_iter().filter(|counted| *counted).count() as u128;
        refunding.join().unwrap();
        assert!(counted <= 1);
        for key in ["a", "b"] {
            assert_eq!(count_of(&backend, key, START), 2 + counted);
        }
    });
}

/// Claims the key, and returns the fencing token if it is granted.
fn grant(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Option<FencingToken> {
    match claim(backend, key, owner, now).unwrap() {
        Acquisition::Acquired(grant) => Some(grant.fencing_token),
        Acquisition::Held(_) => None,
    }
}

fn join<R>(threads: Vec<thread::JoinHandle<R>>) -> Vec<R> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Returns when a record that was finished at [`START`] with a TTL of a minute may be removed.
fn removable() -> Timestamp {
    after(START, LEASE + MAX_CLOCK_SKEW)
}

#[test]
fn one_claimant_takes_over_a_lapsed_claim() {
    explore(|| {
        let backend = MemoryBackend::new();
        let first = granted(&backend, "a", ONE, START).fencing_token;
        let threads = (2..5)
            .map(|owner| {
                let backend = backend.clone();
                thread::spawn(move || grant(&backend, "a", Owner(owner), after(START, LEASE)))
            })
            .collect();
        let tokens: Vec<_> = join(threads).into_iter().flatten().collect();
        assert!(matches!(tokens[..], [token] if token > first), "{tokens:?}");
        assert_eq!(backend.claims(), 1);
    });
}

#[test]
fn late_owner_finishes_or_loses_its_claim_and_never_both() {
    explore(|| {
        let backend = MemoryBackend::new();
        granted(&backend, "a", ONE, START);
        let late = after(START, LEASE);
        let finishing = {
            let backend = backend.clone();
            thread::spawn(move || finish(&backend, "a", &Completion::new(ONE), late))
        };
        let renewing = {
            let backend = backend.clone();
            thread::spawn(move || renew(&backend, "a", ONE, late))
        };
        let taken_over = grant(&backend, "a", OTHER, late).is_some();
        let (finished, renewed) = (finishing.join().unwrap(), renewing.join().unwrap());
        assert_eq!(finished == FinishResult::Stored, !taken_over);
        match find(&backend, "a", late) {
            Some(Record::InProgress(held)) => {
                assert!(taken_over && held.owner == OTHER, "{held:?}");
                assert!(matches!(renewed, LeaseStatus::Lost(Some(_))));
            }
            Some(Record::Finished(done)) => assert!(!taken_over && done.owner == ONE, "{done:?}"),
            None => unreachable!("the claim was not released"),
        }
    });
}

#[test]
fn record_claimed_during_a_sweep_stays() {
    explore(|| {
        let backend = MemoryBackend::new();
        for key in ["a", "b"] {
            granted(&backend, key, ONE, START);
            finish(&backend, key, &done(ONE, LEASE), START);
        }
        let threads = ["a", "b", "a", "c"]
            .into_iter()
            .enumerate()
            .map(|(number, key)| {
                let backend = backend.clone();
                let owner = Owner(10 + number as u128);
                thread::spawn(move || grant(&backend, key, owner, removable()).is_some())
            })
            .collect();
        let grants = join(threads).into_iter().filter(|granted| *granted).count();
        assert_eq!((grants, backend.claims()), (3, 3));
        for key in ["a", "b", "c"] {
            assert!(matches!(find(&backend, key, removable()), Some(Record::InProgress(_))), "{key}");
        }
    });
}

#[test]
fn expired_records_always_make_room_within_the_maximum() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claims(2).build();
        for key in ["a", "b"] {
            granted(&backend, key, ONE, START);
            finish(&backend, key, &done(ONE, LEASE), START);
        }
        let threads = ["c", "d"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                thread::spawn(move || claim(&backend, key, OTHER, removable()))
            })
            .collect();
        for claimed in join(threads) {
            let claimed = claimed.expect("two records have expired, so two new ones fit");
            assert!(matches!(claimed, Acquisition::Acquired(_)));
        }
        assert_eq!(backend.claims(), 2);
        assert!(matches!(claim(&backend, "e", ONE, removable()), Err(BackendError::Full { max_keys: 2 })));
    });
}

#[test]
fn same_new_claim_reserves_the_last_capacity_once() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claims(2).build();
        granted(&backend, "stays", ONE, START);
        let threads = (2..5)
            .map(|owner| {
                let backend = backend.clone();
                thread::spawn(move || claim(&backend, "a", Owner(owner), START))
            })
            .collect();
        let claimed: Vec<_> =
            join(threads).into_iter().map(|claimed| claimed.expect("the claim fits")).collect();
        let granted = claimed.iter().filter(|claimed| matches!(claimed, Acquisition::Acquired(_))).count();
        assert_eq!((granted, backend.claims()), (1, 2));
        held(&backend, "stays", OTHER, START);
    });
}

#[test]
fn released_or_forgotten_claim_leaks_no_capacity_and_no_expiry_entry() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claims(1).build();
        granted(&backend, "a", ONE, START);
        let threads = (0..3)
            .map(|number| {
                let backend = backend.clone();
                thread::spawn(move || match number {
                    0 => drop(release(&backend, "a", ONE, START)),
                    1 => forget(&backend, "a", START),
                    _ => drop(claim(&backend, "a", OTHER, START).unwrap()),
                })
            })
            .collect();
        join(threads);
        assert!(backend.claims() <= 1);
        // A leaked expiry entry would remove this claim too early, and leaked capacity would refuse
        // it.
        let gone = after(START, 100 * LEASE * 60 * 24);
        granted(&backend, "z", ONE, gone);
        assert_eq!(find(&backend, "a", gone), None);
        assert!(find(&backend, "z", gone).is_some());
        assert_eq!(backend.claims(), 1);
    });
}

#[test]
fn fencing_tokens_rise_across_releases() {
    explore(|| {
        let backend = MemoryBackend::new();
        let threads = (1..4)
            .map(|owner| {
                let backend = backend.clone();
                let owner = Owner(owner);
                thread::spawn(move || {
                    let fencing_token = grant(&backend, "a", owner, START)?;
                    assert_eq!(release(&backend, "a", owner, START), LeaseStatus::Owned);
                    Some(fencing_token)
                })
            })
            .collect();
        let mut tokens: Vec<_> = join(threads).into_iter().flatten().collect();
        let grants = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        assert!(grants > 0 && tokens.len() == grants);
        let last = granted(&backend, "a", Owner(9), START).fencing_token;
        assert!(tokens.into_iter().all(|token| token < last));
    });
}

/// The bytes that a record counts as, and a result in addition to its length.
const RECORD: usize = 160;
const RESULT: usize = 32;

#[test]
fn last_bytes_are_reserved_once_and_released_once() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claim_bytes(2 * RECORD + RESULT + 2).build();
        for key in ["a", "b"] {
            granted(&backend, key, ONE, START);
        }
        let threads = ["a", "b"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                let completion = done(ONE, LEASE).with_result(StoredResult::Value("42".into()));
                thread::spawn(move || finish(&backend, key, &completion, START))
            })
            .collect();
        // At any point of the other threads, and never beyond the maximum.
        assert!(claim(&backend, "c", OTHER, START).is_err());
        let finished = join(threads);
        let stored = finished.iter().filter(|result| **result == FinishResult::Stored).count();
        let omitted = finished.iter().filter(|result| matches!(result, FinishResult::Omitted { .. })).count();
        assert_eq!((stored, omitted), (1, 1));
        assert_eq!((backend.claims(), backend.claim_bytes()), (2, 2 * RECORD + RESULT + 2));
        forget(&backend, "a", START);
        forget(&backend, "b", START);
        assert_eq!((backend.claims(), backend.claim_bytes()), (0, 0));
    });
}

#[test]
fn lapsed_claims_always_make_room_and_a_late_owner_keeps_or_loses_its_claim() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claims(2).build();
        for key in ["a", "b"] {
            granted(&backend, key, ONE, START);
        }
        let lapsed = after(START, LEASE + MAX_CLOCK_SKEW);
        let claiming = {
            let backend = backend.clone();
            thread::spawn(move || claim(&backend, "c", OTHER, lapsed))
        };
        let late = {
            let backend = backend.clone();
            thread::spawn(move || finish(&backend, "a", &Completion::new(ONE), lapsed))
        };
        let claimed = claiming.join().unwrap().expect("at least one claim has lapsed");
        assert!(matches!(claimed, Acquisition::Acquired(_)));
        let found = find(&backend, "a", lapsed);
        match late.join().unwrap() {
            FinishResult::Stored => assert!(matches!(found, Some(Record::Finished(_)))),
            result => assert_eq!((result, found), (FinishResult::Lost(None), None)),
        }
        assert_eq!((backend.claims(), backend.evicted_claims()), (2, 1));
    });
}

#[test]
fn share_of_a_caller_is_exact_among_claims_releases_and_lapses() {
    explore(|| {
        let backend = MemoryBackend::builder().max_claims_per_caller(2).build();
        granted(&backend, "user:1:key:lapses", ONE, START);
        let lapsed = after(START, LEASE + MAX_CLOCK_SKEW);
        let threads = ["user:1:key:a", "user:1:key:b", "user:1:key:c"]
            .into_iter()
            .map(|key| {
                let backend = backend.clone();
                thread::spawn(move || claim(&backend, key, OTHER, lapsed).is_ok())
            })
            .collect();
        // The late owner counts again, beyond the maximum.
        let renewed = renew(&backend, "user:1:key:lapses", ONE, lapsed);
        let acquired = join(threads).into_iter().filter(|acquired| *acquired).count();
        assert_eq!(renewed, LeaseStatus::Owned);
        assert!((1..=2).contains(&acquired), "{acquired}");
        for key in ["user:1:key:a", "user:1:key:b", "user:1:key:c", "user:1:key:lapses"] {
            forget(&backend, key, lapsed);
        }
        // Exactly the maximum fits: nothing is counted twice, or not at all.
        for key in ["user:1:key:d", "user:1:key:e"] {
            granted(&backend, key, ONE, lapsed);
        }
        assert!(claim(&backend, "user:1:key:f", ONE, lapsed).is_err());
    });
}
