//! The stores under a scheduler that tries out interleavings of its atomic steps.
//!
//! Run with `RUSTFLAGS="--cfg shuttle" cargo test -p limited-memory --release --test interleavings`.
#![cfg(shuttle)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    LEASE, ONE, OTHER, START, after, claim, done, find, finish, forget, granted, release, renew, taken,
};
use limited_core::{
    Acquisition, Backend, BackendError, Completion, Counter, FencingToken, FinishResult, Hit, Key,
    LeaseStatus, MAX_CLOCK_SKEW, Owner, Record, Timestamp, Window, WindowId, WindowLength,
};
use limited_memory::{MemoryBackend, WhenFull};
use pollster::block_on;
use shuttle::thread;

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
    let hit = Hit::new(cost, 3).with_window_meta(WindowId(7), None);
    // Like a limiter: the fast path first.
    let fast = backend.try_increment(&counter, &hit, now);
    Ok(fast.unwrap_or_else(|| block_on(backend.increment(&counter, &hit, now)))?.counted)
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
fn keys_that_give_way_leave_no_place_behind() {
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
            assert!(thread.join().unwrap().expect("one that is there gives way"));
            assert!(backend.len() <= 2);
        }
        let later = START.saturating_add(Duration::from_secs(600));
        assert!(hit(&backend, "z", minute(later), 1, later).unwrap());
        assert_eq!(backend.len(), 1);
    });
}

#[test]
fn a_key_always_gives_way_however_they_come_and_go() {
    explore(|| {
        let backend = MemoryBackend::builder().max_keys(1).when_full(WhenFull::EvictSoonest).build();
        let threads: Vec<_> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .map(|name| {
                let backend = backend.clone();
                thread::spawn(move || {
                    let key = Key::from(name);
                    let counter = Counter::new("", &key, minute(START)).unwrap();
                    assert!(hit(&backend, name, minute(START), 1, START).expect("what is there gives way"));
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
fn a_reset_in_between_loses_no_place() {
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
fn a_table_that_grows_and_is_swept_meanwhile_loses_no_hit() {
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
                    // Each thread's own keys, one that all share, and one that had expired.
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

/// Reads another key, which sweeps.
fn sweep(backend: &MemoryBackend, now: Timestamp) {
    let key = Key::from("another");
    let _ = block_on(backend.get(&Counter::new("", &key, minute(now)).unwrap(), now)).unwrap();
}

#[test]
fn a_sweep_that_meets_a_new_key_comes_back_for_it_in_time() {
    explore(|| {
        let backend = MemoryBackend::new();
        assert!(hit(&backend, "a", minute(START), 1, START).unwrap());
        let later = START.saturating_add(Duration::from_secs(125));
        let sweeping = {
            let backend = backend.clone();
            thread::spawn(move || sweep(&backend, later))
        };
        // Not due yet, by the clock of this one: it does not sweep, and may come at any point of the other's.
        let now = START.saturating_add(Duration::from_secs(124));
        assert!(hit(&backend, "b", Window::aligned(now, WindowLength::SECOND), 1, now).unwrap());
        sweeping.join().unwrap();
        assert_eq!(backend.len(), 1);
        sweep(&backend, now.saturating_add(Duration::from_secs(7)));
        assert_eq!(backend.len(), 0, "its second, one more and the allowed skew are over");
    });
}

#[test]
fn a_reset_while_the_store_is_full_leaves_no_place_unused() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        explore(move || {
            let backend = MemoryBackend::builder().max_keys(2).when_full(when_full).build();
            for key in ["a", "b"] {
                assert!(hit(&backend, key, minute(START), 1, START).unwrap());
            }
            let resetting = {
                let backend = backend.clone();
                thread::spawn(move || {
                    let key = Key::from("a");
                    let counter = Counter::new("", &key, minute(START)).unwrap();
                    block_on(backend.reset(&counter, None, START)).unwrap();
                })
            };
            let bringing = {
                let backend = backend.clone();
                thread::spawn(move || hit(&backend, "c", minute(START), 1, START))
            };
            resetting.join().unwrap();
            let brought = bringing.join().unwrap();
            assert!(brought.is_ok() || when_full == WhenFull::Refuse);
            assert!(backend.len() <= 2);
            // A place that nobody gave back would be missed now.
            let evicted = usize::try_from(backend.evicted()).unwrap();
            let there = 2 + usize::from(brought.is_ok()) - evicted;
            assert!((there - 1..=there).contains(&backend.len()), "{} of {there}", backend.len());
            while backend.len() < 2 {
                assert!(hit(&backend, &backend.len().to_string(), minute(START), 1, START).unwrap());
            }
            assert_eq!(usize::try_from(backend.evicted()).unwrap(), evicted);
        });
    }
}

/// Whether somebody is granted the key, and with which number.
fn grant(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Option<FencingToken> {
    match claim(backend, key, owner, now).unwrap() {
        Acquisition::Acquired(grant) => Some(grant.fencing_token),
        Acquisition::Held(_) => None,
    }
}

fn join<R>(threads: Vec<thread::JoinHandle<R>>) -> Vec<R> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// When what was finished at [`START`], and kept for a minute, may be removed.
fn removed() -> Timestamp {
    after(START, LEASE + MAX_CLOCK_SKEW)
}

#[test]
fn one_claimant_of_a_lapsed_key_is_granted_it() {
    explore(|| {
        let backend = MemoryBackend::new();
        let first = granted(&backend, "a", ONE, START).fencing_token;
        let threads = (2..5)
            .map(|owner| {
                let backend = backend.clone();
                thread::spawn(move || grant(&backend, "a", Owner(owner), after(START, LEASE)))
            })
            .collect();
        let fences: Vec<_> = join(threads).into_iter().flatten().collect();
        assert!(matches!(fences[..], [fencing_token] if fencing_token > first), "{fences:?}");
        assert_eq!(backend.claims(), 1);
    });
}

#[test]
fn a_late_owner_finishes_or_is_taken_over_from_and_never_both() {
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
            None => unreachable!("nobody gave it up"),
        }
    });
}

#[test]
fn a_record_that_is_claimed_while_others_sweep_it_stays() {
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
                thread::spawn(move || grant(&backend, key, owner, removed()).is_some())
            })
            .collect();
        let grants = join(threads).into_iter().filter(|granted| *granted).count();
        assert_eq!((grants, backend.claims()), (3, 3));
        for key in ["a", "b", "c"] {
            assert!(matches!(find(&backend, key, removed()), Some(Record::InProgress(_))), "{key}");
        }
    });
}

#[test]
fn the_cap_on_claims_holds_and_an_expired_record_always_makes_room() {
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
                thread::spawn(move || claim(&backend, key, OTHER, removed()))
            })
            .collect();
        for claimed in join(threads) {
            let claimed = claimed.expect("two places are free, since two records have expired");
            assert!(matches!(claimed, Acquisition::Acquired(_)));
        }
        assert_eq!(backend.claims(), 2);
        assert!(matches!(claim(&backend, "e", ONE, removed()), Err(BackendError::Full { max_keys: 2 })));
    });
}

#[test]
fn the_same_new_claim_takes_the_last_place_once() {
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
            join(threads).into_iter().map(|claimed| claimed.expect("a place for it")).collect();
        let granted = claimed.iter().filter(|claimed| matches!(claimed, Acquisition::Acquired(_))).count();
        assert_eq!((granted, backend.claims()), (1, 2));
        taken(&backend, "stays", OTHER, START);
    });
}

#[test]
fn a_released_or_forgotten_claim_leaves_no_place_and_no_ticket_behind() {
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
        // A ticket left behind would take this one along, and a place left behind would leave none for it.
        let gone = after(START, 100 * LEASE * 60 * 24);
        granted(&backend, "z", ONE, gone);
        assert_eq!(find(&backend, "a", gone), None);
        assert!(find(&backend, "z", gone).is_some());
        assert_eq!(backend.claims(), 1);
    });
}

#[test]
fn numbers_of_grants_rise_across_releases() {
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
        let mut fences: Vec<_> = join(threads).into_iter().flatten().collect();
        let grants = fences.len();
        fences.sort_unstable();
        fences.dedup();
        assert!(grants > 0 && fences.len() == grants);
        let last = granted(&backend, "a", Owner(9), START).fencing_token;
        assert!(fences.into_iter().all(|fencing_token| fencing_token < last));
    });
}
