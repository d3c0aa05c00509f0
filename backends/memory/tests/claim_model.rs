//! The store of claims behaves like a log that deletes nothing.

mod common;

use std::time::Duration;

use common::START;
use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, FencingToken, FinishResult,
    Finished, InProgress, Key, LeaseStatus, MAX_CLOCK_SKEW, Owner, Record, RequestHash, StoredResult,
    Timestamp, has_expired, has_passed, lapsed_claim_expires,
};
use limited_memory::MemoryBackend;
use pollster::block_on;
use proptest::prelude::*;

/// One change to a key.
enum Event {
    Acquired(InProgress),
    Renewed { expires_at: Timestamp },
    Finished(Finished, Option<Timestamp>),
    Deleted,
}

/// All changes to a key, in order. The record follows from the changes since the last grant.
struct Log(Vec<Event>);

impl Log {
    fn find(&self, now: Timestamp) -> Option<Record> {
        let (mut record, mut expires) = (None, None);
        for event in &self.0 {
            match event {
                Event::Acquired(held) => {
                    record = Some(Record::InProgress(held.clone()));
                    expires = Some(lapsed_claim_expires(held.expires_at));
                }
                Event::Renewed { expires_at } => {
                    let Some(Record::InProgress(held)) = &mut record else { unreachable!() };
                    held.expires_at = held.expires_at.max(*expires_at);
                    expires = Some(lapsed_claim_expires(held.expires_at));
                }
                Event::Finished(done, expiry) => {
                    record = Some(Record::Finished(done.clone()));
                    expires = *expiry;
                }
                Event::Deleted => (record, expires) = (None, None),
            }
        }
        record.filter(|_| !expires.is_some_and(|expires| has_expired(expires, now)))
    }

    /// Returns whether this owner holds the key, even if its lease has ended.
    fn is_held_by(&self, owner: Owner, now: Timestamp) -> bool {
        matches!(self.find(now), Some(Record::InProgress(held)) if held.owner == owner)
    }

    /// Returns the expected result of a renewal or release.
    fn lease_status(&self, owner: Owner, now: Timestamp) -> LeaseStatus {
        if self.is_held_by(owner, now) { LeaseStatus::Owned } else { LeaseStatus::Lost(self.find(now)) }
    }
}

/// An operation of the test. Durations are nanoseconds from the time of the operation.
#[derive(Clone, Debug)]
enum Operation {
    Claim { lease: u64, request_hash: u8 },
    Finish { ttl: Option<u64>, status_code: Option<u16> },
    Renew { lease: u64 },
    Release,
    Find,
    Forget,
}

#[derive(Clone, Debug)]
struct Step {
    key: usize,
    owner: u128,
    /// How far the clock advances before the operation.
    forward: u64,
    /// How far back the clock is read.
    back: u64,
    operation: Operation,
}

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn any_duration() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..4 * SECOND, (0..4_u64).prop_map(|seconds| seconds * SECOND), Just(DAY)]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let claim = (any_duration(), any::<u8>());
    let finish = (prop::option::of(any_duration()), prop::option::of(200..600_u16));
    prop_oneof![
        6 => claim.prop_map(|(lease, request_hash)| Operation::Claim { lease, request_hash }),
        3 => finish.prop_map(|(ttl, status_code)| Operation::Finish { ttl, status_code }),
        3 => any_duration().prop_map(|lease| Operation::Renew { lease }),
        2 => Just(Operation::Release),
        1 => Just(Operation::Find),
        1 => Just(Operation::Forget),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let skew = u64::try_from(MAX_CLOCK_SKEW.as_nanos()).unwrap();
    let back = prop_oneof![3 => Just(0), 1 => 0..=skew, 1 => Just(skew)];
    (0..3_usize, 1..4_u128, any_duration(), back, any_operation())
        .prop_map(|(key, owner, forward, back, operation)| Step { key, owner, forward, back, operation })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn claims_agree_with_a_log_of_all_changes(steps in prop::collection::vec(any_step(), 1..80)) {
        let backend = MemoryBackend::new();
        let [a, b] = ["a", "b"].map(Key::from);
        let keys = [(ClaimKind::DoOnce, &a), (ClaimKind::Idempotency, &a), (ClaimKind::DoOnce, &b)]
            .map(|(kind, key)| ClaimKey::new("", kind, key).unwrap());
        let mut logs = [const { Log(Vec::new()) }; 3];
        let (mut last_fencing_token, mut latest) = (FencingToken(0), START);
        for Step { key, owner, forward, back, operation } in steps {
            let (key, log, owner) = (&keys[key], &mut logs[key], Owner(owner));
            latest = latest.saturating_add(Duration::from_nanos(forward));
            let now = latest.saturating_sub(Duration::from_nanos(back));
            let later = |nanos| now.saturating_add(Duration::from_nanos(nanos));
            let found = log.find(now);
            match operation {
                Operation::Claim { lease, request_hash } => {
                    let (expires_at, request_hash) = (later(lease), Some(RequestHash([request_hash; 32])));
                    let request = ClaimRequest::new(owner, expires_at).with_request_hash(request_hash);
                    let acquisition = block_on(backend.claim(key, &request, now)).unwrap();
                    match (acquisition, found) {
                        (Acquisition::Acquired(grant), Some(Record::InProgress(held))) if held.owner == owner => {
                            prop_assert_eq!((grant.fencing_token, grant.expires_at), (held.fencing_token, held.expires_at));
                        }
                        (Acquisition::Acquired(grant), found) => {
                            let is_free = found.as_ref().is_none_or(|record| is_lapsed(record, now));
                            prop_assert!(is_free, "granted {grant:?} while {found:?} is live");
                            prop_assert!(grant.fencing_token > last_fencing_token && grant.fencing_token > FencingToken::seed(now));
                            prop_assert_eq!(grant.expires_at, expires_at);
                            last_fencing_token = grant.fencing_token;
                            log.0.push(Event::Acquired(InProgress { owner, fencing_token: grant.fencing_token, expires_at, request_hash }));
                        }
                        (Acquisition::Held(record), found) => {
                            prop_assert!(!is_lapsed(&record, now), "a free key was refused: {:?}", record);
                            prop_assert_eq!(Some(record), found);
                        }
                    }
                }
                Operation::Finish { ttl, status_code } => {
                    let (expires, stored) = (ttl.map(later), StoredResult::Value("1".into()));
                    let completion = Completion::new(owner).with_result(stored).with_status_code(status_code).with_expiry(expires);
                    let result = block_on(backend.finish(key, &completion, now)).unwrap();
                    match found {
                        Some(Record::InProgress(held)) if held.owner == owner => {
                            prop_assert_eq!(result, FinishResult::Stored);
                            log.0.push(Event::Finished(finished(held, &completion, now), expires));
                        }
                        Some(Record::Finished(done)) if done.owner == owner => {
                            prop_assert_eq!(result, FinishResult::Stored);
                        }
                        found => prop_assert_eq!(result, FinishResult::Lost(found)),
                    }
                }
                Operation::Renew { lease } => {
                    let expires_at = later(lease);
                    let status = block_on(backend.renew(key, owner, expires_at, now)).unwrap();
                    prop_assert_eq!(status, log.lease_status(owner, now));
                    if log.is_held_by(owner, now) {
                        log.0.push(Event::Renewed { expires_at });
                    }
                }
                Operation::Release => {
                    let status = block_on(backend.release(key, owner, now)).unwrap();
                    prop_assert_eq!(status, log.lease_status(owner, now));
                    if log.is_held_by(owner, now) {
                        log.0.push(Event::Deleted);
                    }
                }
                Operation::Find => {}
                Operation::Forget => {
                    block_on(backend.forget(key, now)).unwrap();
                    log.0.push(Event::Deleted);
                }
            }
            prop_assert_eq!(block_on(backend.find(key, now)).unwrap(), log.find(now));
        }
    }
}

fn is_lapsed(record: &Record, now: Timestamp) -> bool {
    matches!(record, Record::InProgress(held) if has_passed(held.expires_at, now))
}

fn finished(held: InProgress, completion: &Completion<'_>, at: Timestamp) -> Finished {
    let InProgress { owner, fencing_token, request_hash, .. } = held;
    let (result, status_code) = (completion.result.clone(), completion.status_code);
    Finished { owner, fencing_token, at, result, status_code, request_hash }
}
