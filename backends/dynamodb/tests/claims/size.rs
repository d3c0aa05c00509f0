//! The 400 KB of an item, computed before a request is sent.

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    Backend, BackendError, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, FinishResult, Key,
    Record, RequestHash, StoredResult,
};
use limited_dynamodb::ClaimIndex;
use proptest::prelude::*;

use crate::support::client;
use crate::table::{
    ALICE, BOB, LEASE, NOON, NOON_TEXT, Table, after, claim, granted, held, key, number, order, text,
};

/// The bytes that all parts of the caller may have together, as the README says: 398 KB.
const ROOM: usize = 398 * 1024;

/// The bytes of the key of the item `order`.
const KEYS: usize = "api#order".len() + "IDEMPOTENCY".len();

fn metadata(request: &str) -> ClaimMetadata<'_> {
    ClaimMetadata::default().with_request(request)
}

fn completion<'a>(value: &str, metadata: ClaimMetadata<'a>) -> Completion<'a> {
    Completion::new(ALICE).with_result(StoredResult::Value(value.into())).with_metadata(metadata)
}

#[tokio::test]
async fn result_that_fits_exactly_is_stored_and_one_byte_more_is_not() {
    for request in [0, 1_000, 300_000] {
        for (more, fits) in [(0, true), (1, false)] {
            let (table, backend) = Table::new().await;
            let body = "b".repeat(request);
            let claim = ClaimRequest::new(ALICE, after(LEASE)).with_metadata(metadata(&body));
            granted(backend.claim(&order(&key()), &claim, NOON).await.unwrap());
            let value = "v".repeat(ROOM - KEYS - request + more);
            let completion = completion(&value, metadata(&body));
            table.wire.clear();
            for _ in 0..2 {
                let result = backend.finish(&order(&key()), &completion, NOON).await.unwrap();
                assert_eq!(table.take_operations(), ["UpdateItem"], "one request, first and repeated");
                match (&result, fits) {
                    (FinishResult::Stored, true) => {}
                    (FinishResult::Omitted { reason }, false) => {
                        assert!(reason.contains(&value.len().to_string()), "{reason}");
                    }
                    _ => panic!("{request}, {more}: {result:?}"),
                }
            }
            let item = table.item().await;
            assert_eq!(item.contains_key("Response"), fits);
            assert_eq!(item["Status"], text("COMPLETED"));
            let Record::Finished(finished) = held(self::claim(&backend, BOB, NOON).await) else {
                panic!("the claim is finished")
            };
            assert_eq!(matches!(finished.result, StoredResult::Value(_)), fits);
            assert_eq!(matches!(finished.result, StoredResult::Omitted { .. }), !fits);
        }
    }
}

#[tokio::test]
async fn metadata_that_does_not_fit_is_rejected_without_a_request() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    let fitting = "b".repeat(ROOM - KEYS);
    let long = "n".repeat(2_049);
    for metadata in [
        ClaimMetadata::default().with_request(format!("{fitting}b").as_str()),
        ClaimMetadata::default().with_request(fitting.as_str()).with_tenant("t"),
        ClaimMetadata::default().with_function_name(long.as_str()),
        ClaimMetadata::default().with_tenant(long.as_str()),
    ] {
        let request = ClaimRequest::new(ALICE, after(LEASE)).with_metadata(metadata);
        let error = backend.claim(&on, &request, NOON).await.unwrap_err();
        assert!(matches!(error, BackendError::Invalid(_)), "{error:?}");
        assert_eq!(table.take_operations(), [""; 0]);
    }
    // A claim that fits exactly can be finished, but its result is omitted.
    let request = ClaimRequest::new(ALICE, after(LEASE)).with_metadata(metadata(&fitting));
    granted(backend.claim(&on, &request, NOON).await.unwrap());
    let result = backend.finish(&on, &completion("1", metadata(&fitting)), NOON).await.unwrap();
    assert!(matches!(result, FinishResult::Omitted { .. }), "{result:?}");
}

#[tokio::test]
async fn attributes_of_others_take_a_second_request_to_omit_the_result() {
    let (table, backend) = Table::new().await;
    table.put([("Status", text("PENDING")), ("Attachment", text("a".repeat(200_000)))]).await;
    granted(claim(&backend, ALICE, NOON).await);
    table.wire.clear();
    let value = "v".repeat(250_000);
    let completion = completion(&value, ClaimMetadata::default());
    let result = backend.finish(&order(&key()), &completion, NOON).await.unwrap();
    let FinishResult::Omitted { reason } = result else { panic!("{result:?}") };
    assert!(reason.contains("250000"), "{reason}");
    assert_eq!(table.take_operations(), ["UpdateItem"; 2]);
    let Some(Record::Finished(finished)) = backend.find(&order(&key()), NOON).await.unwrap() else {
        panic!("the claim is finished")
    };
    assert_eq!(finished.result, StoredResult::Omitted { reason });
}

#[tokio::test]
async fn claim_on_a_full_item_is_invalid() {
    let (table, backend) = Table::new().await;
    table.put([("Status", text("PENDING")), ("Attachment", text("a".repeat(409_400)))]).await;
    let error = backend
        .claim(&order(&key()), &ClaimRequest::new(ALICE, after(LEASE)), NOON)
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error:?}");
    assert_eq!(table.item().await["Status"], text("PENDING"));
}

#[tokio::test]
async fn longest_key_tenant_and_function_fit_every_index() {
    let table = Table::not_created();
    let backend = table.builder().claim_indexes(ClaimIndex::ALL).build();
    backend.create_idempotency_table().await.unwrap();
    let (namespace, long) = ("n".repeat(1_000), "x".repeat(2_048));
    for (namespace, key) in
        [("", "k".repeat(1_024)), ("n", "k".repeat(1_024)), (&namespace, "k".repeat(1_000))]
    {
        let key = Key::from(key);
        let on = ClaimKey::new(namespace, ClaimKind::Idempotency, &key).unwrap();
        let metadata = ClaimMetadata::default().with_tenant(long.as_str()).with_function_name(long.as_str());
        let request = ClaimRequest::new(ALICE, after(LEASE)).with_metadata(metadata);
        granted(backend.claim(&on, &request, NOON).await.unwrap());
        let result = backend.finish(&on, &completion("1", metadata), NOON).await.unwrap();
        assert_eq!(result, FinishResult::Stored);
    }
    for (index, value) in [("gsi-status", "COMPLETED"), ("gsi-tenant", &*long), ("gsi-timestamp", NOON_TEXT)]
    {
        let name = ClaimIndex::ALL.into_iter().find(|known| known.name() == index).unwrap().attribute();
        let query = client(&table.wire).query().table_name("claims").index_name(index);
        let query =
            query.key_condition_expression("#name = :value").expression_attribute_names("#name", name);
        let found = query.expression_attribute_values(":value", text(value)).send().await.unwrap();
        assert_eq!(found.count(), 3, "{index}");
    }
}

fn bytes_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        other => panic!("{other:?} is not written by claims"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The parts are chosen so that they have some bytes more or less than there is room for.
    #[test]
    fn result_computed_to_fit_is_accepted_by_the_server(
        namespace in 0..1_500_usize,
        name in 1..1_024_usize,
        tenant in 0..2_048_usize,
        function in 0..2_048_usize,
        share in 0.0..1.0_f64,
        around in -40_i64..40,
        letter in prop_oneof![Just("x"), Just("é"), Just("🦀")],
        error: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (table, backend) = Table::new().await;
            let (namespace, key) = ("n".repeat(namespace), Key::from("k".repeat(name)));
            let on = ClaimKey::new(&namespace, ClaimKind::Idempotency, &key).unwrap();
            let identifier = if namespace.is_empty() { name } else { namespace.len() + 1 + name };
            let identifier = if identifier > 1_024 { 72 } else { identifier };
            let left = ROOM - identifier - "IDEMPOTENCY".len() - tenant - function;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a fraction of the length")]
            let body = (left as f64 * share) as usize;
            let value = (i64::try_from(left - body).unwrap() + around).max(0);
            let value = letter.repeat(usize::try_from(value).unwrap() / letter.len());
            let (tenant, function, body) = ("t".repeat(tenant), "f".repeat(function), "b".repeat(body));
            let metadata = ClaimMetadata::default()
                .with_tenant(tenant.as_str())
                .with_function_name(function.as_str())
                .with_request(body.as_str());
            let request = ClaimRequest::new(ALICE, after(LEASE))
                .with_request_hash(RequestHash([7; 32]))
                .with_metadata(metadata);
            granted(backend.claim(&on, &request, NOON).await.unwrap());
            table.wire.clear();
            let json: std::sync::Arc<str> = value.as_str().into();
            let result = if error { StoredResult::Error(json) } else { StoredResult::Value(json) };
            let completion = Completion::new(ALICE)
                .with_result(result)
                .with_status_code(65_535)
                .with_expiry(after(LEASE))
                .with_metadata(metadata);
            let fits = value.len() <= left - body.len();
            match backend.finish(&on, &completion, NOON).await.unwrap() {
                FinishResult::Stored => prop_assert!(fits),
                FinishResult::Omitted { .. } => prop_assert!(!fits),
                lost => prop_assert!(false, "{lost:?}"),
            }
            prop_assert_eq!(table.take_operations().len(), 1);

            // Little of the reserved space is unused.
            let items = client(&table.wire).scan().table_name("claims").send().await.unwrap();
            let item = &items.items()[0];
            let size: usize = item.iter().map(|(name, value)| name.len() + bytes_of(value)).sum();
            prop_assert!(size <= 400 * 1024);
            if fits && around > -3 {
                prop_assert!(size > ROOM, "{}", size);
            }
            prop_assert_eq!(item["ExpiresAt"].clone(), number(NOON.as_secs() + 30));
            Ok(())
        })?;
    }
}
