//! Items with arbitrary attributes, as a faulty program may write them.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{Acquisition, Backend, BackendError, ClaimRequest, FinishResult, LeaseStatus};
use proptest::prelude::*;

use crate::table::{ALICE, BOB, LEASE, NOON, Table, done, key, number, order, seconds, text, token};

const NAMES: [&str; 14] = [
    "Status",
    "LockToken",
    "LockedUntil",
    "ExpiresAt",
    "RequestHash",
    "Response",
    "ResponseKind",
    "NotKeptReason",
    "StatusCode",
    "CompletedAt",
    "Fence",
    "Timestamp",
    "FunctionName",
    "Colour",
];

const TEXTS: [&str; 13] = [
    "",
    "PROCESSING",
    "COMPLETED",
    "FAILED",
    "ERROR",
    "NOT_KEPT",
    "2026-11-21T12:00:10.5Z",
    "2026-11-21T11:00:00Z",
    "2026-02-30T25:61:00Z",
    "00ff",
    "{\"a\":[1]}",
    "{\"a\"",
    "é",
];

const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "1.5",
    "200",
    "65536",
    "1795262460",
    "1795262399.25",
    "18446744073709551616",
    "1E+100",
    "99999999999999999999999999999999999999",
];

fn value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        6 => prop::sample::select(&TEXTS).prop_map(text),
        1 => "\\PC{0,40}".prop_map(text),
        4 => prop::sample::select(&NUMBERS).prop_map(number),
        1 => Just(token(ALICE)),
        1 => Just(token(BOB)),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
        1 => any::<bool>().prop_map(AttributeValue::Bool),
        1 => Just(AttributeValue::Null(true)),
        1 => Just(AttributeValue::Ss(vec!["a".into()])),
        1 => Just(AttributeValue::Ns(vec!["1".into()])),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
            prop::collection::hash_map("[a-c\"]{1,2}", inner, 0..3).prop_map(AttributeValue::M),
        ]
    })
}

/// Checks that an operation succeeded, or that it names what it could not read. DynamoDB itself
/// rejects arithmetic on an attribute of another type.
fn read<T>(result: Result<T, BackendError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(BackendError::Corrupt(_) | BackendError::Invalid(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_item_is_read_or_an_error_and_changes_only_for_its_owner(
        attributes in prop::collection::vec((prop::sample::select(&NAMES), value()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (table, backend) = Table::new().await;
            let key = key();
            let on = order(&key);
            table.put(attributes).await;
            let before = table.item().await;

            read(backend.find(&on, NOON).await);
            let lost = |status| status != LeaseStatus::Owned;
            if read(backend.renew(&on, ALICE, seconds(60), NOON).await).is_none_or(lost) {
                assert_eq!(table.item().await, before);
            }
            let before = table.item().await;
            let request = ClaimRequest::new(BOB, NOON.saturating_add(LEASE));
            match read(backend.claim(&on, &request, NOON).await) {
                Some(Acquisition::Acquired(_)) => {
                    let finished = backend.finish(&on, &done(BOB, "1"), NOON).await.unwrap();
                    assert_eq!(finished, FinishResult::Stored);
                }
                Some(Acquisition::Held(_)) | None => assert_eq!(table.item().await, before),
            }
            read(backend.release(&on, ALICE, NOON).await);
            // An operator can always clear it.
            backend.forget(&on, NOON).await.unwrap();
            assert_eq!(backend.find(&on, NOON).await.unwrap(), None);
        });
    }
}
