//! The maximum size of claims, of one result, and the maximum number for each caller.

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{LEASE, ONE, OTHER, START, after, claim, done, find, finish, forget, granted, held, release};
use limited_core::{
    Acquisition, BackendError, Completion, FinishResult, LeaseStatus, MAX_CLOCK_SKEW, Owner, Record,
    StoredResult,
};
use limited_memory::{MemoryBackend, MemoryBackendBuilder};

/// The bytes that a record counts as, and a result in addition to its length.
const RECORD: usize = 160;
const RESULT: usize = 32;

const HOUR: Duration = Duration::from_secs(3_600);

fn with_bytes(bytes: usize) -> MemoryBackend {
    MemoryBackend::builder().max_claim_bytes(bytes).build()
}

/// Returns a completion for an hour, with a value of this size.
fn value(owner: Owner, bytes: usize) -> Completion<'static> {
    done(owner, HOUR).with_result(StoredResult::Value("7".repeat(bytes).into()))
}

#[track_caller]
fn assert_full(claimed: Result<Acquisition, BackendError>) {
    assert!(matches!(claimed, Err(BackendError::Full { .. })), "{claimed:?}");
}

/// Returns the reason if the record is finished without its result.
#[track_caller]
fn omitted(backend: &MemoryBackend, key: &str) -> String {
    match find(backend, key, START) {
        Some(Record::Finished(record)) => match record.result {
            StoredResult::Omitted { reason } => reason.to_string(),
            result => panic!("not omitted: {result:?}"),
        },
        record => panic!("not finished: {record:?}"),
    }
}

#[test]
fn every_record_and_result_counts_its_bytes_until_it_is_removed() {
    let backend = MemoryBackend::new();
    assert_eq!(backend.claim_bytes(), 0);
    granted(&backend, &"long key ".repeat(100), ONE, START);
    assert_eq!(backend.claim_bytes(), RECORD);
    for (key, result, bytes) in [
        ("value", StoredResult::Value("\u{e9}".into()), RESULT + 2),
        ("error", StoredResult::Error("\"failed\"".into()), RESULT + 8),
        ("omitted", StoredResult::Omitted { reason: "a stream".into() }, RESULT + 8),
        ("nothing", StoredResult::Nothing, 0),
    ] {
        granted(&backend, key, ONE, START);
        finish(&backend, key, &done(ONE, HOUR).with_result(result), START);
        assert_eq!(backend.claim_bytes(), 2 * RECORD + bytes, "{key}");
        forget(&backend, key, START);
        assert_eq!(backend.claim_bytes(), RECORD, "{key}");
    }
    granted(&backend, "expires", ONE, START);
    finish(&backend, "expires", &value(ONE, 1_000), START);
    // The claim that replaces an expired record replaces its bytes.
    granted(&backend, "expires", OTHER, after(START, HOUR));
    assert_eq!(backend.claim_bytes(), 2 * RECORD);
    release(&backend, "expires", OTHER, after(START, HOUR));
    assert_eq!(find(&backend, "another", after(START, 48 * HOUR)), None);
    assert_eq!(backend.claim_bytes(), 0);
}

#[test]
fn result_without_room_is_omitted_and_its_action_never_runs_again() {
    let backend = with_bytes(2 * RECORD + RESULT + 99);
    granted(&backend, "a", ONE, START);
    granted(&backend, "b", ONE, START);
    assert_eq!(finish(&backend, "a", &value(ONE, 50), START), FinishResult::Stored);
    for _ in ["finished", "finished again"] {
        let result = finish(&backend, "b", &value(ONE, 20).with_status_code(201), START);
        let FinishResult::Omitted { reason } = result else { panic!("{result:?}") };
        assert!(reason.contains("no room") && reason.contains("max_claim_bytes"), "{reason}");
        assert_eq!(omitted(&backend, "b"), *reason);
    }
    let Record::Finished(record) = held(&backend, "b", OTHER, START) else { unreachable!() };
    assert_eq!((record.status_code, record.owner), (Some(201), ONE));
    assert_eq!((backend.claim_bytes(), backend.omitted_results()), (2 * RECORD + RESULT + 50, 1));
}

#[test]
fn result_fits_into_the_last_byte_and_no_further() {
    for (room, fits) in [(RESULT + 99, false), (RESULT + 100, true)] {
        let backend = with_bytes(RECORD + room);
        granted(&backend, "a", ONE, START);
        let result = finish(&backend, "a", &value(ONE, 100), START);
        assert_eq!(result == FinishResult::Stored, fits, "{result:?}");
        assert_eq!(backend.claim_bytes(), RECORD + if fits { room } else { 0 });
    }
}

#[test]
fn claim_without_room_is_refused_before_anything_runs() {
    let backend = with_bytes(2 * RECORD + RESULT + 100);
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &value(ONE, 101), START);
    assert_full(claim(&backend, "b", OTHER, START));
    assert_eq!(backend.claims(), 1);
    // Known keys are not affected.
    assert!(matches!(held(&backend, "a", OTHER, START), Record::Finished(_)));
    forget(&backend, "a", START);
    granted(&backend, "b", OTHER, START);
}

#[test]
fn expired_results_and_lapsed_claims_make_room_for_a_result() {
    for expired in [true, false] {
        let backend = with_bytes(2 * RECORD + RESULT + 100);
        granted(&backend, "old", ONE, START);
        if expired {
            finish(&backend, "old", &value(ONE, 50), START);
        }
        let later = after(START, HOUR + MAX_CLOCK_SKEW);
        granted(&backend, "new", ONE, later);
        let completion = Completion::new(ONE).with_result(StoredResult::Value("7".repeat(200).into()));
        assert_eq!(finish(&backend, "new", &completion, later), FinishResult::Stored);
        assert_eq!((backend.claims(), backend.claim_bytes()), (1, RECORD + RESULT + 200));
        assert_eq!(backend.evicted_claims(), u64::from(!expired));
    }
}

#[test]
fn result_that_can_never_fit_evicts_nothing() {
    let backend = with_bytes(3 * RECORD);
    granted(&backend, "lapsed", ONE, START);
    let later = after(START, HOUR);
    granted(&backend, "new", ONE, later);
    let result = finish(&backend, "new", &value(ONE, 3 * RECORD), later);
    assert!(matches!(result, FinishResult::Omitted { .. }), "{result:?}");
    assert_eq!((backend.claims(), backend.evicted_claims()), (2, 0));
}

#[test]
fn result_above_its_maximum_is_omitted() {
    let backend = MemoryBackend::builder().max_result_bytes(100).build();
    granted(&backend, "fits", ONE, START);
    assert_eq!(finish(&backend, "fits", &value(ONE, 100), START), FinishResult::Stored);
    granted(&backend, "too large", ONE, START);
    let result = finish(&backend, "too large", &value(ONE, 101), START);
    assert!(matches!(result, FinishResult::Omitted { .. }), "{result:?}");
    let reason = omitted(&backend, "too large");
    assert!(reason.contains("more than 100 bytes") && reason.contains("max_result_bytes"), "{reason}");
    assert_eq!((backend.claim_bytes(), backend.omitted_results()), (2 * RECORD + RESULT + 100, 1));
}

#[test]
fn threads_never_exceed_the_maximum_size() {
    const MAX: usize = 20 * RECORD;
    let backend = with_bytes(MAX);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (backend, barrier) = (&backend, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for number in 0..500_u64 {
                    let (owner, key) = (Owner(thread.into()), format!("{thread} {}", number % 11));
                    let now = after(START, Duration::from_secs(number));
                    if let Ok(Acquisition::Acquired(_)) = claim(backend, &key, owner, now) {
                        let bytes = usize::try_from(number % 7).unwrap() * 40;
                        let completion = value(owner, bytes).with_expiry(after(now, Duration::from_secs(2)));
                        let _ = finish(backend, &key, &completion, now);
                    }
                    assert!(backend.claim_bytes() <= MAX);
                }
            });
        }
    });
    // Once all records have expired, exactly the maximum fits: the count is still right.
    let gone = after(START, 100 * HOUR);
    for key in 0..20 {
        granted(&backend, &format!("new {key}"), ONE, gone);
    }
    assert_eq!(backend.claim_bytes(), MAX);
    assert_full(claim(&backend, "one more", ONE, gone));
}

#[test]
fn lapsed_claim_makes_room_the_skew_after_its_lease() {
    let backend = MemoryBackend::builder().max_claims(2).build();
    granted(&backend, "finished", ONE, START);
    finish(&backend, "finished", &Completion::new(ONE), START);
    granted(&backend, "abandoned", ONE, START);
    let lapsed = after(START, LEASE + MAX_CLOCK_SKEW);
    assert_full(claim(&backend, "new", OTHER, lapsed.saturating_sub(common::TICK)));
    granted(&backend, "new", OTHER, lapsed);
    assert_eq!((backend.claims(), backend.evicted_claims()), (2, 1));
    assert_eq!(find(&backend, "abandoned", lapsed), None);
    assert!(matches!(held(&backend, "finished", OTHER, lapsed), Record::Finished(_)));
    // The owner comes back too late, as if another owner had taken the claim over.
    assert_eq!(finish(&backend, "abandoned", &Completion::new(ONE), lapsed), FinishResult::Lost(None));
}

#[test]
fn late_owner_never_evicts_its_own_claim() {
    let backend = with_bytes(2 * RECORD + 10);
    granted(&backend, "late", ONE, START);
    let lapsed = after(START, 2 * LEASE);
    granted(&backend, "at work", ONE, lapsed);
    // Without room for the result, but with the record: the action does not run again.
    let result = finish(&backend, "late", &value(ONE, 50), lapsed);
    assert!(matches!(result, FinishResult::Omitted { .. }), "{result:?}");
    assert!(matches!(held(&backend, "late", OTHER, lapsed), Record::Finished(_)));
    assert_eq!(backend.evicted_claims(), 0);
}

#[test]
fn lapsed_claim_stays_while_there_is_room() {
    let backend = MemoryBackend::builder().max_claims(2).build();
    granted(&backend, "abandoned", ONE, START);
    let lapsed = after(START, 2 * LEASE);
    granted(&backend, "new", OTHER, lapsed);
    assert_eq!(finish(&backend, "abandoned", &Completion::new(ONE), lapsed), FinishResult::Stored);
    assert_eq!(backend.evicted_claims(), 0);
}

#[test]
fn claim_whose_lease_ended_first_makes_room_first() {
    let backend = MemoryBackend::builder().max_claims(3).build();
    for (key, second) in [("c", 2), ("a", 0), ("b", 1)] {
        granted(&backend, key, ONE, after(START, Duration::from_secs(second)));
    }
    let lapsed = after(START, HOUR);
    for (new, evicted) in [("x", "a"), ("y", "b"), ("z", "c")] {
        assert!(find(&backend, evicted, lapsed).is_some());
        granted(&backend, new, OTHER, lapsed);
        assert_eq!(find(&backend, evicted, lapsed), None, "{evicted}");
    }
    assert_full(claim(&backend, "one more", OTHER, lapsed));
}

#[test]
fn renewed_or_taken_over_claim_is_not_evicted() {
    let backend = MemoryBackend::builder().max_claims(2).build();
    granted(&backend, "renewed", ONE, START);
    granted(&backend, "taken over", ONE, START);
    let lapsed = after(START, HOUR);
    // Both lapse first.
    assert_eq!(find(&backend, "another", lapsed), None);
    common::renew(&backend, "renewed", ONE, lapsed);
    granted(&backend, "taken over", OTHER, lapsed);
    assert_full(claim(&backend, "new", OTHER, lapsed));
    assert_eq!(backend.evicted_claims(), 0);
}

#[test]
fn clock_that_jumps_back_evicts_no_live_claim() {
    let backend = MemoryBackend::builder().max_claims(1).build();
    granted(&backend, "a", ONE, START);
    // A clock that is far ahead lets the claim lapse.
    assert_eq!(find(&backend, "another", after(START, HOUR)), None);
    assert_full(claim(&backend, "b", OTHER, after(START, LEASE / 2)));
    assert!(find(&backend, "a", START).is_some());
}

fn per_caller(max: usize) -> MemoryBackendBuilder {
    MemoryBackend::builder().max_claims_per_caller(max)
}

#[test]
fn caller_at_its_maximum_is_refused_and_all_others_are_not() {
    let backend = per_caller(2).max_claims(4).build();
    granted(&backend, "user:1:key:a", ONE, START);
    granted(&backend, "user:1:key:b", ONE, START);
    finish(&backend, "user:1:key:b", &Completion::new(ONE), START);
    let error = claim(&backend, "user:1:key:c", OTHER, START).unwrap_err();
    assert!(matches!(error, BackendError::Full { max_keys: 2 }), "{error}");
    // Its known keys are not affected.
    held(&backend, "user:1:key:a", OTHER, START);
    granted(&backend, "user:2:key:c", ONE, START);
    granted(&backend, "plain", ONE, START);
    assert_eq!(backend.claims(), 4);
}

#[test]
fn released_forgotten_or_expired_record_makes_room_for_its_caller() {
    let backend = per_caller(1).build();
    granted(&backend, "user:1:key:a", ONE, START);
    release(&backend, "user:1:key:a", ONE, START);
    granted(&backend, "user:1:key:b", ONE, START);
    forget(&backend, "user:1:key:b", START);
    granted(&backend, "user:1:key:c", ONE, START);
    finish(&backend, "user:1:key:c", &done(ONE, HOUR), START);
    let gone = after(START, HOUR + MAX_CLOCK_SKEW);
    assert_full(claim(&backend, "user:1:key:d", ONE, gone.saturating_sub(common::TICK)));
    // The expired record comes after a hundred others.
    for key in 0..100 {
        granted(&backend, &key.to_string(), ONE, START);
        finish(&backend, &key.to_string(), &done(ONE, HOUR), START);
    }
    granted(&backend, "user:1:key:d", ONE, gone);
    assert_full(claim(&backend, "user:1:key:e", ONE, gone));
}

#[test]
fn abandoned_claims_count_for_their_caller_until_they_lapse() {
    let backend = per_caller(2).build();
    granted(&backend, "user:1:key:a", ONE, START);
    granted(&backend, "user:1:key:b", ONE, START);
    let lapsed = after(START, LEASE + MAX_CLOCK_SKEW);
    assert_full(claim(&backend, "user:1:key:c", ONE, lapsed.saturating_sub(common::TICK)));
    granted(&backend, "user:1:key:c", ONE, lapsed);
    // Nothing was removed. A late owner may exceed the maximum, because its action has run.
    assert_eq!(finish(&backend, "user:1:key:a", &Completion::new(ONE), lapsed), FinishResult::Stored);
    assert_full(claim(&backend, "user:1:key:d", ONE, lapsed));
    // A takeover may not: nothing has run yet.
    assert_full(claim(&backend, "user:1:key:b", OTHER, lapsed));
    forget(&backend, "user:1:key:a", lapsed);
    granted(&backend, "user:1:key:b", OTHER, lapsed);
    assert_full(claim(&backend, "user:1:key:d", ONE, lapsed));
    assert_eq!((backend.claims(), backend.evicted_claims()), (2, 0));
}

#[test]
fn renewed_claim_counts_for_its_caller_again() {
    let backend = per_caller(1).build();
    granted(&backend, "user:1:key:a", ONE, START);
    let lapsed = after(START, LEASE + MAX_CLOCK_SKEW);
    assert_eq!(find(&backend, "another", lapsed), None);
    assert_eq!(common::renew(&backend, "user:1:key:a", ONE, lapsed), LeaseStatus::Owned);
    assert_full(claim(&backend, "user:1:key:b", ONE, lapsed));
}

#[test]
fn lapsed_claim_that_is_removed_frees_its_share_once() {
    let backend = per_caller(2).max_claims(3).build();
    granted(&backend, "user:1:key:lapsed", ONE, START);
    let later = after(START, HOUR);
    for key in ["user:1:key:a", "user:1:key:b", "user:2:key:a"] {
        granted(&backend, key, ONE, later);
    }
    assert_eq!(backend.evicted_claims(), 1);
    forget(&backend, "user:2:key:a", later);
    assert_full(claim(&backend, "user:1:key:c", ONE, later));
}

#[test]
fn caller_at_its_maximum_evicts_nothing_of_others() {
    let backend = per_caller(1).max_claims(2).build();
    granted(&backend, "user:2:key:lapsed", ONE, START);
    let later = after(START, HOUR);
    granted(&backend, "user:1:key:a", ONE, later);
    assert_full(claim(&backend, "user:1:key:b", ONE, later));
    assert!(find(&backend, "user:2:key:lapsed", later).is_some());
    assert_eq!(backend.evicted_claims(), 0);
}

#[test]
fn caller_that_is_refused_by_a_full_store_keeps_its_share() {
    let backend = per_caller(1).max_claims(1).build();
    granted(&backend, "user:1:key:a", ONE, START);
    for _ in 0..3 {
        assert_full(claim(&backend, "user:2:key:a", ONE, START));
    }
    release(&backend, "user:1:key:a", ONE, START);
    granted(&backend, "user:2:key:a", ONE, START);
}

#[test]
fn callers_differ_by_namespace_and_kind() {
    use limited_core::{Backend, ClaimKey, ClaimKind, ClaimRequest, Key};
    let backend = per_caller(1).build();
    let key = Key::from("user:1:key:a");
    let other = Key::from("user:1:key:b");
    let claim = |namespace, kind, key| {
        let key = ClaimKey::new(namespace, kind, key).unwrap();
        pollster::block_on(backend.claim(&key, &ClaimRequest::new(ONE, after(START, LEASE)), START))
    };
    for namespace in ["", "payments"] {
        for kind in ClaimKind::ALL {
            assert!(matches!(claim(namespace, kind, &key), Ok(Acquisition::Acquired(_))));
            assert_full(claim(namespace, kind, &other));
        }
    }
}

#[test]
fn threads_of_one_caller_get_exactly_their_share() {
    for _ in 0..50 {
        let backend = per_caller(10).max_claims(12).build();
        let barrier = Barrier::new(8);
        let acquired: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let (backend, barrier) = (&backend, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let keys = (0..5).map(|key| format!("user:1:key:{thread} {key}"));
                        keys.filter(|key| claim(backend, key, ONE, START).is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((acquired, backend.claims()), (10, 10));
    }
}
