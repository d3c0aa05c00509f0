//! Threads that want the same key.

mod common;

use std::sync::Barrier;

use common::{LEASE, START, after, claim, finish, granted, release};
use limited_core::{Acquisition, Completion, FencingToken, FinishResult, LeaseStatus, Owner};
use limited_memory::MemoryBackend;

const THREADS: u128 = 8;

/// What each of some owners gets who all do the same at once.
fn at_once<R: Send>(act: impl Fn(Owner) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|owner| {
                let (barrier, act) = (&barrier, &act);
                scope.spawn(move || {
                    barrier.wait();
                    act(Owner(owner))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn granted_fence(claimed: Acquisition) -> Option<FencingToken> {
    match claimed {
        Acquisition::Acquired(grant) => Some(grant.fencing_token),
        Acquisition::Held(_) => None,
    }
}

#[test]
fn one_of_many_threads_is_granted_a_free_key() {
    let backend = MemoryBackend::new();
    for round in 0..500 {
        let key = format!("key {round}");
        let granted = at_once(|owner| claim(&backend, &key, owner, START).unwrap());
        assert_eq!(granted.into_iter().filter_map(granted_fence).count(), 1);
    }
    assert_eq!(backend.claims(), 500);
}

#[test]
fn one_of_many_threads_takes_a_lapsed_claim_over_or_its_owner_finishes() {
    let backend = MemoryBackend::new();
    let (first, lapsed) = (Owner(0), after(START, LEASE));
    for round in 0..500 {
        let key = format!("key {round}");
        let first_fence = granted(&backend, &key, first, START).fencing_token;
        let owned = at_once(|owner| {
            if owner == first {
                finish(&backend, &key, &Completion::new(first), lapsed) == FinishResult::Stored
            } else {
                let fencing_token = granted_fence(claim(&backend, &key, owner, lapsed).unwrap());
                fencing_token.inspect(|fencing_token| assert!(*fencing_token > first_fence)).is_some()
            }
        });
        assert_eq!(owned.into_iter().filter(|owned| *owned).count(), 1);
    }
}

#[test]
fn numbers_of_grants_rise_whoever_claims_and_releases() {
    let backend = MemoryBackend::new();
    let fences = at_once(|owner| {
        let mut fences = Vec::new();
        for _ in 0..2_000 {
            if let Some(fencing_token) = granted_fence(claim(&backend, "key", owner, START).unwrap()) {
                fences.push(fencing_token);
                assert_eq!(release(&backend, "key", owner, START), LeaseStatus::Owned);
            }
        }
        fences
    });
    assert!(fences.iter().all(|fences| fences.is_sorted()));
    let mut all: Vec<_> = fences.concat();
    let grants = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), backend.claims()), (grants, 0), "no number was given twice");
}
