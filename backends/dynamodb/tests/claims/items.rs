//! Items have the documented format.

use limited_core::{
    Backend, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, FencingToken, Key, RequestHash,
    StoredResult, Timestamp,
};

use crate::table::{
    ALICE, BOB, Item, LEASE, NOON, NOON_TEXT, Table, after, claim, done, granted, key, number, order,
    seconds, text, token,
};

const DAY: u64 = 24 * 3_600;

fn item<const N: usize>(attributes: [(&str, aws_sdk_dynamodb::types::AttributeValue); N]) -> Item {
    let keys = [("IdempotencyKey", text("api#order")), ("SK", text("IDEMPOTENCY"))];
    keys.into_iter().chain(attributes).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn request<'a>() -> ClaimRequest<'a> {
    ClaimRequest::new(ALICE, after(LEASE)).with_request_hash(RequestHash([0xab; 32])).with_metadata(
        ClaimMetadata::default()
            .with_function_name("charge")
            .with_tenant("acme")
            .with_request(r#"{"amount":5}"#),
    )
}

#[tokio::test]
async fn every_operation_writes_exactly_the_documented_attributes() {
    let (table, backend) = Table::new().await;
    let key = key();
    let on = order(&key);
    let grant = granted(backend.claim(&on, &request(), NOON).await.unwrap());
    assert_eq!(grant.fencing_token, FencingToken(NOON.as_nanos() / 1_000 + 1));
    let fencing_token = || ("Fence", number(grant.fencing_token.0));
    let created = || [("CreatedAt", text(NOON_TEXT)), ("Timestamp", text(NOON_TEXT))];
    let brought = || {
        [
            ("RequestHash", text("ab".repeat(32))),
            ("RequestBody", text(r#"{"amount":5}"#)),
            ("FunctionName", text("charge")),
            ("TenantID", text("acme")),
            ("LockToken", text("000000000000000000000000000a11ce")),
        ]
    };
    let mut expected = item([
        ("Status", text("PROCESSING")),
        ("LockedUntil", text("2026-11-21T12:00:30.000000000Z")),
        ("ExpiresAt", number(NOON.as_secs() + 30 + DAY)),
        ("UpdatedAt", text(NOON_TEXT)),
        fencing_token(),
    ]);
    let set = |expected: &mut Item, attributes: &[(&str, aws_sdk_dynamodb::types::AttributeValue)]| {
        expected.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    };
    set(&mut expected, &created());
    set(&mut expected, &brought());
    assert_eq!(table.item().await, expected);

    backend.renew(&on, ALICE, Timestamp::from_nanos(seconds(60).as_nanos() + 1), seconds(20)).await.unwrap();
    set(
        &mut expected,
        &[
            ("LockedUntil", text("2026-11-21T12:01:00.000000001Z")),
            ("ExpiresAt", number(NOON.as_secs() + 61 + DAY)),
            ("UpdatedAt", text("2026-11-21T12:00:20.000000000Z")),
        ],
    );
    assert_eq!(table.item().await, expected);

    let completion = Completion::new(ALICE)
        .with_result(StoredResult::Value("[1]".into()))
        .with_status_code(201)
        .with_expiry(Timestamp::from_nanos(seconds(100).as_nanos() + 1));
    backend.finish(&on, &completion, seconds(21)).await.unwrap();
    expected.remove("LockedUntil");
    set(
        &mut expected,
        &[
            ("Status", text("COMPLETED")),
            ("Response", text("[1]")),
            ("StatusCode", number(201)),
            ("ExpiresAt", number(NOON.as_secs() + 101)),
            ("UpdatedAt", text("2026-11-21T12:00:21.000000000Z")),
            ("CompletedAt", text("2026-11-21T12:00:21.000000000Z")),
        ],
    );
    assert_eq!(table.item().await, expected);

    // A claim over an expired item keeps only its creation time and its fencing token.
    granted(claim(&backend, BOB, seconds(101)).await);
    let mut expected = item([
        ("Status", text("PROCESSING")),
        ("LockToken", token(BOB)),
        ("LockedUntil", text("2026-11-21T12:02:11.000000000Z")),
        ("ExpiresAt", number(NOON.as_secs() + 131 + DAY)),
        ("UpdatedAt", text("2026-11-21T12:01:41.000000000Z")),
        ("Fence", number(grant.fencing_token.0 + 1)),
    ]);
    set(&mut expected, &created());
    assert_eq!(table.item().await, expected);

    backend.release(&on, BOB, seconds(102)).await.unwrap();
    expected.remove("LockedUntil");
    set(
        &mut expected,
        &[
            ("Status", text("FAILED")),
            ("ExpiresAt", number(NOON.as_secs() + 102 + 3 * DAY)),
            ("UpdatedAt", text("2026-11-21T12:01:42.000000000Z")),
        ],
    );
    assert_eq!(table.item().await, expected);

    backend.forget(&on, seconds(103)).await.unwrap();
    let expected = item([
        ("Status", text("FAILED")),
        ("ExpiresAt", number(NOON.as_secs() + 103 + 3 * DAY)),
        ("UpdatedAt", text("2026-11-21T12:01:43.000000000Z")),
        ("Fence", number(grant.fencing_token.0 + 1)),
    ]);
    assert_eq!(table.item().await, expected);
}

#[tokio::test]
async fn each_kind_of_result_has_its_own_attributes() {
    for (result, attributes) in [
        (StoredResult::Nothing, vec![]),
        (StoredResult::Value("1".into()), vec![("Response", text("1"))]),
        (
            StoredResult::Error("\"no\"".into()),
            vec![("Response", text("\"no\"")), ("ResponseKind", text("ERROR"))],
        ),
        (
            StoredResult::Omitted { reason: "it is a stream".into() },
            vec![("NotKeptReason", text("it is a stream")), ("ResponseKind", text("NOT_KEPT"))],
        ),
    ] {
        let (table, backend) = Table::new().await;
        granted(claim(&backend, ALICE, NOON).await);
        let completion = Completion::new(ALICE).with_result(result.clone());
        // A repetition has the same result.
        for _ in 0..2 {
            let stored = backend.finish(&order(&key()), &completion, NOON).await.unwrap();
            assert_eq!(stored, limited_core::FinishResult::Stored, "{result:?}");
        }
        let item = table.item().await;
        let named = ["Response", "ResponseKind", "NotKeptReason", "StatusCode", "ExpiresAt"];
        let found: Vec<_> = named.iter().filter_map(|name| Some((*name, item.get(*name)?.clone()))).collect();
        let mut attributes = attributes;
        attributes.sort_by_key(|(name, _)| named.iter().position(|known| known == name));
        assert_eq!(found, attributes, "{result:?}");
    }
}

#[tokio::test]
async fn record_that_never_expires_has_no_expires_at() {
    let (table, backend) = Table::new().await;
    granted(claim(&backend, ALICE, NOON).await);
    backend.finish(&order(&key()), &done(ALICE, "1"), NOON).await.unwrap();
    assert!(!table.item().await.contains_key("ExpiresAt"));
}

#[tokio::test]
async fn tenant_of_the_claim_precedes_that_of_the_key_and_no_empty_string_is_indexed() {
    for (key, named, written) in [
        (Key::new().tenant("acme").user("7"), None, Some("acme")),
        (Key::new().tenant("acme").user("7"), Some("other"), Some("other")),
        (Key::new().tenant("acme").user("7"), Some(""), Some("acme")),
        (Key::new().tenant("").user("7"), None, None),
        (Key::from("plain"), Some("other"), Some("other")),
        (Key::from("plain"), Some(""), None),
    ] {
        let (table, backend) = Table::new().await;
        let on = ClaimKey::new("", ClaimKind::DoOnce, &key).unwrap();
        let mut request = ClaimRequest::new(ALICE, after(LEASE));
        request.metadata =
            ClaimMetadata::default().with_tenant(named).with_function_name("").with_request("");
        backend.claim(&on, &request, NOON).await.unwrap();
        let item = crate::support::client(&table.wire)
            .get_item()
            .table_name("claims")
            .key("IdempotencyKey", text(key.as_str()))
            .key("SK", text("DO_ONCE"))
            .send()
            .await
            .unwrap()
            .item
            .unwrap();
        assert_eq!(item.get("TenantID"), written.map(text).as_ref(), "{key}, {named:?}");
        assert_eq!(item.get("FunctionName"), None, "an index accepts no empty string");
        assert_eq!(item.get("RequestBody"), Some(&text("")));
    }
}
