//! Threads that claim the same key.

mod common;

use std::sync::Barrier;

use common::{LEASE, START, after, claim, finish, granted, release};
use limited_core::{Acquisition, Completion, FencingToken, FinishResult, LeaseStatus, Owner};
use limited_memory::MemoryBackend;

const THREADS: u128 = 8;

/// Runs `act` for several owners at the same time, and returns their results.
fn concurrently<R: Send>(act: impl Fn(Owner) -> R + Sync) -> Vec<R> {
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

fn fencing_token(claimed: Acquisition) -> Option<FencingToken> {
    match claimed {
        Acquisition::Acquired(grant) => Some(grant.fencing_token),
        Acquisition::Held(_) => None,
    }
}

#[test]
fn one_thread_acquires_a_free_key() {
    let backend = MemoryBackend::new();
    for round in 0..500 {
        let key = format!("key {round}");
        let granted = concurrently(|owner| claim(&backend, &key, owner, START).unwrap());
        assert_eq!(granted.into_iter().filter_map(fencing_token).count(), 1);
    }
    assert_eq!(backend.claims(), 500);
}

#[test]
fn lapsed_claim_is_taken_over_once_or_finished_by_its_owner() {
    let backend = MemoryBackend::new();
    let (first, lapsed) = (Owner(0), after(START, LEASE));
    for round in 0..500 {
        let key = format!("key {round}");
        let first_token = granted(&backend, &key, first, START).fencing_token;
        let owned = concurrently(|owner| {
            if owner == first {
                finish(&backend, &key, &Completion::new(first), lapsed) == FinishResult::Stored
            } else {
                let token = fencing_token(claim(&backend, &key, owner, lapsed).unwrap());
                token.inspect(|token| assert!(*token > first_token)).is_some()
            }
        });
        assert_eq!(owned.into_iter().filter(|owned| *owned).count(), 1);
    }
}

#[test]
fn fencing_tokens_rise_across_owners() {
    let backend = MemoryBackend::new();
    let tokens = concurrently(|owner| {
        let mut tokens = Vec::new();
        for _ in 0..2_000 {
            if let Some(token) = fencing_token(claim(&backend, "key", owner, START).unwrap()) {
                tokens.push(token);
                assert_eq!(release(&backend, "key", owner, START), LeaseStatus::Owned);
            }
        }
        tokens
    });
    assert!(tokens.iter().all(|tokens| tokens.is_sorted()));
    let mut all: Vec<_> = tokens.concat();
    let grants = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), backend.claims()), (grants, 0), "a fencing token was granted twice");
}
