//! What the tests of claims share: a start, and each operation waited for.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, FinishResult, Grant,
    Key, LeaseStatus, Owner, Record, Timestamp,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// How long the leases are that tests ask for.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) const TICK: Duration = Duration::from_nanos(1);

pub(crate) const ONE: Owner = Owner(1);
pub(crate) const OTHER: Owner = Owner(2);

pub(crate) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration)
}

/// A completion that expires a while after [`START`].
pub(crate) fn done(owner: Owner, kept_for: Duration) -> Completion<'static> {
    Completion { expires: Some(after(START, kept_for)), ..Completion::new(owner) }
}

pub(crate) fn claim(
    backend: &MemoryBackend,
    key: &str,
    owner: Owner,
    now: Timestamp,
) -> Result<Acquisition, BackendError> {
    let request = ClaimRequest::new(owner, after(now, LEASE));
    with(key, |key| block_on(backend.claim(key, &request, now)))
}

/// The grant of a claim that has to be granted.
#[track_caller]
pub(crate) fn granted(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Grant {
    match claim(backend, key, owner, now) {
        Ok(Acquisition::Acquired(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

/// The record that a claim meets which has to be refused.
#[track_caller]
pub(crate) fn taken(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> Record {
    match claim(backend, key, owner, now) {
        Ok(Acquisition::Held(record)) => record,
        other => panic!("not taken: {other:?}"),
    }
}

pub(crate) fn finish(
    backend: &MemoryBackend,
    key: &str,
    completion: &Completion<'_>,
    now: Timestamp,
) -> FinishResult {
    with(key, |key| block_on(backend.finish(key, completion, now))).expect("memory always answers")
}

pub(crate) fn renew(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> LeaseStatus {
    let expires_at = after(now, LEASE);
    with(key, |key| block_on(backend.renew(key, owner, expires_at, now))).expect("memory always answers")
}

pub(crate) fn release(backend: &MemoryBackend, key: &str, owner: Owner, now: Timestamp) -> LeaseStatus {
    with(key, |key| block_on(backend.release(key, owner, now))).expect("memory always answers")
}

pub(crate) fn find(backend: &MemoryBackend, key: &str, now: Timestamp) -> Option<Record> {
    with(key, |key| block_on(backend.find(key, now))).expect("memory always answers")
}

pub(crate) fn forget(backend: &MemoryBackend, key: &str, now: Timestamp) {
    with(key, |key| block_on(backend.forget(key, now))).expect("memory always answers");
}

fn with<R>(key: &str, ask: impl FnOnce(&ClaimKey<'_>) -> R) -> R {
    let key = Key::from(key);
    ask(&ClaimKey::new("", ClaimKind::DoOnce, &key).expect("a valid key"))
}
