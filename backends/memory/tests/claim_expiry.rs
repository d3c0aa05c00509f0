//! Records of claims leave by themselves, a bounded number per call, and not before they may.

mod common;

use std::time::Duration;

use common::{
    LEASE, ONE, OTHER, START, TICK, after, done, find, finish, forget, granted, release, renew, taken,
};
use limited_core::{
    Completion, FinishResult, LAPSED_CLAIM_TTL, LeaseStatus, MAX_CLOCK_SKEW, Record, StoredResult, Timestamp,
};
use limited_memory::MemoryBackend;

const HOUR: Duration = Duration::from_secs(3_600);

/// How many records are known once an operation at `now`, on another key, has looked at what is due.
fn left(backend: &MemoryBackend, now: Timestamp) -> usize {
    assert_eq!(find(backend, "another", now), None);
    backend.claims()
}

/// Asserts that the only record leaves at `gone`, and not a nanosecond earlier.
#[track_caller]
fn assert_leaves_at(backend: &MemoryBackend, gone: Timestamp) {
    assert_eq!(left(backend, gone.saturating_sub(TICK)), 1);
    assert_eq!(left(backend, gone), 0);
}

#[test]
fn a_finished_record_leaves_at_its_expiry_and_the_allowed_skew() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_eq!(finish(&backend, "a", &done(ONE, HOUR), START), FinishResult::Stored);
    assert_leaves_at(&backend, after(START, HOUR + MAX_CLOCK_SKEW));
}

#[test]
fn an_expiry_within_a_second_is_that_second_s_end() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_eq!(finish(&backend, "a", &done(ONE, HOUR + TICK), START), FinishResult::Stored);
    let expired = after(START, HOUR + Duration::from_secs(1));
    assert!(find(&backend, "a", expired.saturating_sub(TICK)).is_some());
    assert_eq!(find(&backend, "a", expired), None);
    assert_leaves_at(&backend, after(expired, MAX_CLOCK_SKEW));
}

#[test]
fn an_abandoned_claim_leaves_a_day_and_the_allowed_skew_after_its_lease() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    assert_leaves_at(&backend, after(START, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn a_renewal_keeps_a_record_for_longer() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let renewed = after(START, LEASE / 2);
    assert_eq!(renew(&backend, "a", ONE, renewed), LeaseStatus::Owned);
    assert_leaves_at(&backend, after(renewed, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn a_takeover_keeps_a_record_for_longer() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let gone = after(START, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW);
    granted(&backend, "a", OTHER, gone.saturating_sub(TICK));
    assert_leaves_at(&backend, after(gone, LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn a_record_that_never_expires_stays() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    let completion = Completion { result: StoredResult::Value("7".into()), ..Completion::new(ONE) };
    assert_eq!(finish(&backend, "a", &completion, START), FinishResult::Stored);
    assert_eq!(left(&backend, Timestamp::MAX), 1);
    let Record::Finished(record) = taken(&backend, "a", OTHER, Timestamp::MAX) else { unreachable!() };
    assert_eq!((record.result, record.at), (StoredResult::Value("7".into()), START));
    // A lease that reaches the end of time never ends, and its record never expires.
    granted(&backend, "b", ONE, Timestamp::MAX);
    assert_eq!(left(&backend, Timestamp::MAX), 2);
}

#[test]
fn released_and_forgotten_records_leave_at_once() {
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
    // A ticket left behind by one of these would take the next record with it.
    granted(&backend, "a", ONE, after(START, HOUR));
    assert_leaves_at(&backend, after(START, HOUR + LEASE + LAPSED_CLAIM_TTL + MAX_CLOCK_SKEW));
}

#[test]
fn a_clock_that_jumps_back_within_the_allowed_skew_finds_what_had_expired() {
    let backend = MemoryBackend::new();
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &done(ONE, HOUR), START);
    let ahead = after(START, HOUR + MAX_CLOCK_SKEW).saturating_sub(TICK);
    assert_eq!(left(&backend, ahead), 1);
    assert_eq!(find(&backend, "a", ahead), None, "expired is absent");
    let back = ahead.saturating_sub(MAX_CLOCK_SKEW);
    assert!(matches!(taken(&backend, "a", OTHER, back), Record::Finished(_)));
}

#[test]
fn another_allowed_skew_keeps_records_for_longer() {
    let backend = MemoryBackend::builder().max_clock_skew(10 * HOUR).build();
    granted(&backend, "a", ONE, START);
    finish(&backend, "a", &done(ONE, HOUR), START);
    assert_leaves_at(&backend, after(START, 11 * HOUR));
}

#[test]
fn one_call_removes_at_most_four_records_and_every_call_helps() {
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
        assert!((1..=4).contains(&(before - left(&backend, later))));
        calls += 1;
    }
    assert_eq!(calls, 250);
}

#[test]
fn what_changes_nothing_takes_no_memory() {
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
    assert_eq!((backend.claims(), backend.len()), (1, 0), "claims are no counters");
}
