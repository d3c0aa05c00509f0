//! Expired claim records are removed, a bounded number per call, and never too early.

mod common;

use std::time::Duration;

use common::{
    LEASE, ONE, OTHER, START, TICK, after, done, find, finish, forget, granted, held, release, renew,
};
use limited_core::{
    Completion, FinishResult, LAPSED_CLAIM_TTL, LeaseStatus, MAX_CLOCK_SKEW, Record, StoredResult, Timestamp,
};
use limited_memory::MemoryBackend;

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns how many records are known after an operation on another key at `now`.
fn claims_after_sweep(backend: &MemoryBackend, now: Timestamp) -> usize {
    assert_eq!(find(backend, "another", now), None);
    backend.claims()
}

/// Asserts that the only record is removed at this time, and not a nanosecond earlier.
#[track_caller]
fn assert_removed_at(backend: &MemoryBackend, time: Timestamp) {
    assert_eq!(claims_after_sweep(backend, time.saturating_sub(TICK)), 1);
    assert_eq!(claims_after_sweep(backend, time), 0);
}

#[test]
fn finished_record_is_removed_the_skew_after_its_expiry() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_eq!(finish(&backend, "a", &done(ONE, HOUR), START), FinishResult::Stored);
    assert_removed_at(&backend, after(START, HOUR + MAX_CLOCK_SKEW));
}

#[test]
fn expiry_is_rounded_up_to_the_second() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_eq!(finish(&backend, "a", &done(ONE, HOUR + TICK), START), FinishResult::Stored);
    let expired = after(START, HOUR + Duration::from_secs(1));
    assert!(find(&backend, "a", expired.saturating_sub(TICK)).is_some());
    assert_eq!(find(&backend, "a", expired), None);
    assert_removed_at(&backend, after(expired, MAX_CLOCK_SKEW));
}

#[test]
fn abandoned_claim_is_removed_a_day_and_the_skew_after_its_lease() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_removed_at(&backend, after(START, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn renewal_extends_the_retention() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let renewed = after(START, LEASE / 2);
    assert_eq!(renew(&backend, "a", ONE, renewed), LeaseStatus::Owned);
    assert_removed_at(&backend, after(renewed, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn takeover_extends_the_retention() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let gone = after(START, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW);
    granted(&backend, "a", OTHER, gone.saturating_sub(TICK));
    assert_removed_at(&backend, after(gone, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn record_without_expiry_stays() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let completion = Completion::new(ONE).with_result(StoredResult::Value("7".into()));
    assert_eq!(finish(&backend, "a", &completion, START), FinishResult::Stored);
    assert_eq!(claims_after_sweep(&backend, Timestamp::MAX), 1);
    let Record::Finished(record) = held(&backend, "a", OTHER, Timestamp::MAX) else { unreachable!() };
    assert_eq!((record.result, record.at), (StoredResult::Value("7".into()), START));
    // A lease until the last timestamp never ends, and its record never expires.
    granted(&backend, "b", ONE, Timestamp::MAX);
    assert_eq!(claims_after_sweep(&backend, Timestamp::MAX), 2);
}

#[test]
fn released_and_forgotten_records_are_removed_immediately() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_eq!(release(&backend, "a", ONE, START), LeaseStatus::Owned);
    assert_eq!((backend.claims(), find(&backend, "a", START)), (0, None));
    granted(&backend, "a", OTHER, START);
    forget(&backend, "a", START);
    assert_eq!((backend.claims(), find(&backend, "a", START)), (0, None));
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &Completion::new(ONE), START);
    forget(&backend, "a", START);
    assert_eq!((backend.claims(), find(&backend, "a", START)), (0, None));
    // An expiry entry left behind would remove the next record too early.
    granted(&backend, "a", ONE, after(START, HOUR));
    assert_removed_at(&backend, after(START, HOUR + LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn clock_that_jumps_back_within_the_skew_finds_the_expired_record() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &done(ONE, HOUR), START);
    let ahead = after(START, HOUR + MAX_CLOCK_SKEW).saturating_sub(TICK);
    assert_eq!(claims_after_sweep(&backend, ahead), 1);
    assert_eq!(find(&backend, "a", ahead), None, "an expired record is absent");
    let back = ahead.saturating_sub(MAX_CLOCK_SKEW);
    assert!(matches!(held(&backend, "a", OTHER, back), Record::Finished(_)));
}

#[test]
fn larger_clock_skew_retains_records_longer() {
    let backend = MemoryBackend::builder().max_clock_skew(10 * HOUR).build();
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &done(ONE, HOUR), START);
    assert_removed_at(&backend, after(START, 11 * HOUR));
}

#[test]
fn each_call_removes_one_to_four_expired_records() {
    let backend = MemoryBackend::new();
    for key in 0..1000 {
        let key = key.to_string();
        granted(&backend, &key, ONE, START);
        if key.ends_with('7') {
            finish(&backend, &key, &done(ONE, HOUR), START);
        }
    }
    let later = after(START, 48 * HOUR);
    let mut calls = 0;
    while backend.claims() > 0 {
        let before = backend.claims();
        assert!((1..=4).contains(&(before - claims_after_sweep(&backend, later))));
        calls += 1;
    }
    assert_eq!(calls, 250);
}

#[test]
fn operations_without_effect_store_nothing() {
    let backend = MemoryBackend::new();
    assert_eq!(finish(&backend, "a", &Completion::new(ONE), START), FinishResult::Lost(None));
    assert_eq!(renew(&backend, "a", ONE, START), LeaseStatus::Lost(None));
    assert_eq!(release(&backend, "a", ONE, START), LeaseStatus::Lost(None));
    assert_eq!(find(&backend, "a", START), None);
    forget(&backend, "a", START);
    assert_eq!((backend.claims(), backend.len()), (0, 0));
    granted(&backend, "a", ONE, START);
    for owner in [OTHER, ONE] {
        let _ = common::claim(&backend, "a", owner, START).unwrap();
    }
    assert_eq!((backend.claims(), backend.len()), (1, 0), "claims do not count as keys");
}
