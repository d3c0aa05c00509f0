//! Shared by the tests of claims: a start time, and each operation as a blocking function.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::time::Duration;

use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, FinishResult, Grant, Key,
    LeaseStatus, Owner, Record, Result, Timestamp,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// The length of each lease.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) const TICK: Duration = Duration::from_nanos(1);

pub(crate) const ONE: Owner = Owner(1);
pub(crate) const OTHER: Owner = Owner(2);

pub(crate) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration)
}

/// Returns a completion that expires this long after [`START`].
pub(crate) fn done(owner: Owner, ttl: Duration) -> Completion<'static> {
    Completion::new(owner).with_expiry(after(START, ttl))
}

pub(crate) fn claim(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Result<Acquisition> {
    let request = ClaimRequest::new(owner, after(now, LEASE));
    with(key, |key| block_on(backend.claim(key, &request, now)))
}

/// Claims a key, and panics if it is not granted.
#[track_caller]
pub(crate) fn granted(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Grant {
    match claim(backend, key, owner, now) {
        Ok(Acquisition::Acquired(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

/// Claims a key, and panics if it is granted. Returns the record that holds it.
#[track_caller]
pub(crate) fn held(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Record {
    match claim(backend, key, owner, now) {
        Ok(Acquisition::Held(record)) => record,
        other => panic!("not held: {other:?}"),
    }
}

pub(crate) fn finish(
    backend: &MemoryBackend,
    key: &str,
    completion: &Completion<'_>,
    now: Timestamp,
) -> FinishResult {
    with(key, |key| block_on(backend.finish(key, completion, now)))
        .expect("this operation does not fail in memory")
}

pub(crate) fn renew(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> LeaseStatus {
    let expires_at = after(now, LEASE);
    with(key, |key| block_on(backend.renew(key, owner, expires_at, now)))
        .expect("this operation does not fail in memory")
}

pub(crate) fn release(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> LeaseStatus {
    with(key, |key| block_on(backend.release(key, owner, now)))
        .expect("this operation does not fail in memory")
}

pub(crate) fn find(backend: &MemoryBackend, key: &str, now: Timestamp) -> Option<Record> {
    with(key, |key| block_on(backend.find(key, now))).expect("this operation does not fail in memory")
}

pub(crate) fn forget(backend: &MemoryBackend, key: &str, now: Timestamp) {
    with(key, |key| block_on(backend.forget(key, now))).expect("this operation does not fail in memory");
}

fn with<R>(key: &str, run: impl FnOnce(&ClaimKey<'_>) -> R) -> R {
    let key = Key::from(key);
    run(&ClaimKey::new("", ClaimKind::DoOnce, &key).expect("a valid key"))
}
