//! A full store forgets no live claim and no finished record, and never exceeds its maximums.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{START, find, finish, forget, release};
use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Key, Owner, Record, StoredResult,
    Timestamp, has_expired, has_passed,
};
use limited_memory::MemoryBackend;
use pollster::block_on;
use proptest::prelude::*;

const MAX_CLAIMS: usize = 5;
const MAX_PER_CALLER: usize = 3;
/// Five records of 160 bytes, and room for results.
const MAX_BYTES: usize = 5 * 160 + 200;

/// Keys of two callers, and of none.
const KEYS: [&str; 9] =
    ["a:1:k:1", "a:1:k:2", "a:1:k:3", "a:1:k:4", "b:1:k:1", "b:1:k:2", "b:1:k:3", "b:1:k:4", "plain"];

#[derive(Clone, Debug)]
enum Operation {
    Claim { lease: u64 },
    Finish { bytes: usize, ttl: Option<u64> },
    Renew { lease: u64 },
    Release,
    Forget,
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (0..20_u64).prop_map(|lease| Operation::Claim { lease }),
        4 => (0..150_usize, prop::option::weighted(0.9, 0..60_u64))
            .prop_map(|(bytes, ttl)| Operation::Finish { bytes, ttl }),
        2 => (0..20_u64).prop_map(|lease| Operation::Renew { lease }),
        1 => Just(Operation::Release),
        1 => Just(Operation::Forget),
    ]
}

/// A key, an owner, how many seconds pass before the operation, and the operation.
fn any_step() -> impl Strategy<Value = (usize, u128, u64, Operation)> {
    let seconds = prop_oneof![4 => 0..5_u64, 1 => 0..40_u64, 1 => Just(90_000)];
    (0..KEYS.len(), 1..3_u128, seconds, any_operation())
}

/// Returns whether the store has to know this record.
fn is_owed(record: &Record, expires: Option<Timestamp>, now: Timestamp) -> bool {
    match record {
        Record::InProgress(held) => !has_passed(held.expires_at, now),
        Record::Finished(_) => !expires.is_some_and(|expires| has_expired(expires, now)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn full_store_forgets_nothing_that_counts(steps in prop::collection::vec(any_step(), 1..150)) {
        let backend = MemoryBackend::builder()
            .max_claims(MAX_CLAIMS)
            .max_claims_per_caller(MAX_PER_CALLER)
            .max_claim_bytes(MAX_BYTES)
            .max_result_bytes(120)
            .build();
        let (mut known, mut now) = (HashMap::<&str, (Record, Option<Timestamp>)>::new(), START);
        for (key, owner, seconds, operation) in steps {
            now = now.saturating_add(Duration::from_secs(seconds));
            let later = |seconds| now.saturating_add(Duration::from_secs(seconds));
            let (key, owner) = (KEYS[key], Owner(owner));
            let mut expires = known.get(key).and_then(|(_, expires)| *expires);
            match operation {
                Operation::Claim { lease } => {
                    let rendered = Key::from(key);
                    let claim_key = ClaimKey::new("", ClaimKind::DoOnce, &rendered).unwrap();
                    let request = ClaimRequest::new(owner, later(lease));
                    if let Ok(Acquisition::Acquired(_)) = block_on(backend.claim(&claim_key, &request, now)) {
                        expires = None;
                    }
                }
                Operation::Finish { bytes, ttl } => {
                    let result = StoredResult::Value("7".repeat(bytes).into());
                    let completion = Completion::new(owner).with_result(result).with_expiry(ttl.map(later));
                    let before = find(&backend, key, now);
                    let _ = finish(&backend, key, &completion, now);
                    if matches!(before, Some(Record::InProgress(held)) if held.owner == owner) {
                        expires = ttl.map(later);
                    }
                }
                Operation::Renew { lease } => {
                    let rendered = Key::from(key);
                    let claim_key = ClaimKey::new("", ClaimKind::DoOnce, &rendered).unwrap();
                    let _ = block_on(backend.renew(&claim_key, owner, later(lease), now)).unwrap();
                }
                Operation::Release => drop(release(&backend, key, owner, now)),
                Operation::Forget => forget(&backend, key, now),
            }
            prop_assert!(backend.claims() <= MAX_CLAIMS && backend.claim_bytes() <= MAX_BYTES);
            for (other, (record, expires)) in &known {
                if *other != key && is_owed(record, *expires, now) {
                    let found = find(&backend, other, now);
                    prop_assert_eq!(found.as_ref(), Some(record), "{} was forgotten", other);
                }
            }
            match find(&backend, key, now) {
                Some(record) => known.insert(key, (record, expires)),
                None => known.remove(key),
            };
        }
        // Each record and each byte is released: exactly the maximum fits afterwards.
        KEYS.iter().for_each(|key| forget(&backend, key, now));
        prop_assert_eq!((backend.claims(), backend.claim_bytes()), (0, 0));
        for key in &KEYS[..MAX_PER_CALLER] {
            common::granted(&backend, key, Owner(1), now);
        }
        prop_assert!(common::claim(&backend, KEYS[MAX_PER_CALLER], Owner(1), now).is_err());
    }
}
