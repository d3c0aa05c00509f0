//! Items have the documented format, and items of other writers are read.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    Backend, BackendError, BucketQuota, Counter, CounterState, Hit, Key, Timestamp, Window, WindowId,
    WindowLength,
};
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder, WindowTimeFormat};

use crate::support::{Wire, client, raw_item};

/// 2026-11-21T12:00:00Z.
const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);
const MINUTE: Window = Window::Aligned { start: NOON, length: WindowLength::MINUTE };
const OPENED: Window = Window::FromFirstHit { length: WindowLength::MINUTE };

async fn table(
    set: impl FnOnce(DynamoDbBackendBuilder) -> DynamoDbBackendBuilder,
) -> (Wire, DynamoDbBackend) {
    let wire = Wire::new();
    let backend = set(DynamoDbBackend::builder(client(&wire)).table_name("limits")).build();
    backend.create_rate_limit_table().await.unwrap();
    (wire, backend)
}

async fn hit(
    backend: &DynamoDbBackend,
    key: &Key<'_>,
    window: Window,
    hit: Hit<'_>,
    now: Timestamp,
) -> CounterState {
    backend.increment(&Counter::new("api", key, window).unwrap(), &hit, now).await.unwrap()
}

/// What a token takes of a bucket per minute.
const INTERVAL: u128 = WindowLength::MINUTE.as_nanos() as u128;

fn bucket<'a>(key: &'a Key<'a>, quota: BucketQuota) -> Counter<'a> {
    Counter::new("api", key, Window::Bucket { length: WindowLength::MINUTE }).unwrap().with_bucket(quota)
}

/// Takes a token at noon.
async fn token(backend: &DynamoDbBackend, key: &Key<'_>, quota: BucketQuota) -> CounterState {
    let floor = u128::from(NOON.as_nanos()) * u128::from(quota.limit);
    let hit = Hit::new(INTERVAL, quota.highest_value(WindowLength::MINUTE, NOON)).with_floor(floor);
    backend.increment(&bucket(key, quota), &hit, NOON).await.unwrap()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn names(item: &std::collections::HashMap<String, AttributeValue>) -> BTreeSet<&str> {
    item.keys().map(|name| if name.starts_with("Writer_") { "Writer_" } else { name }).collect()
}

#[tokio::test]
async fn aligned_window_has_exactly_the_documented_attributes() {
    let (wire, backend) = table(|builder| builder).await;
    let later = NOON.saturating_add(Duration::from_millis(1_500));
    let key = Key::from("user:7");
    hit(&backend, &key, MINUTE, Hit::new(2, 10), NOON).await;
    hit(&backend, &key, MINUTE, Hit::new(3, 10), later).await;
    let item = raw_item(&client(&wire), "limits", "api#user:7", "2026-11-21T12:00:00Z/PT1M").await;
    let expected = ["Identifier", "WindowTime", "Count", "ExpiresAt", "CreatedAt", "UpdatedAt", "Writer_"]
        .into_iter()
        .collect();
    assert_eq!(names(&item), expected);
    assert_eq!(item["Count"], number(5));
    // One length and the maximum clock skew after its end.
    assert_eq!(item["ExpiresAt"], number(NOON.as_secs() + 60 + 60 + 5));
    assert_eq!(item["CreatedAt"], text("2026-11-21T12:00:00.000000000Z"));
    assert_eq!(item["UpdatedAt"], text("2026-11-21T12:00:01.500000000Z"));
}

#[tokio::test]
async fn composed_key_has_its_parts_as_attributes() {
    let (wire, backend) = table(|builder| builder).await;
    let key = Key::new().tenant("4:2").user("7").ip([192, 0, 2, 1]);
    hit(&backend, &key, MINUTE, Hit::new(1, 10), NOON).await;
    let identifier = format!("api#{key}");
    let item = raw_item(&client(&wire), "limits", &identifier, "2026-11-21T12:00:00Z/PT1M").await;
    assert_eq!(item["TenantID"], text("4:2"));
    assert_eq!(item["UserID"], text("7"));
    assert_eq!(item["IPAddress"], text("192.0.2.1"));
    assert_eq!(item["BucketKey"], text(key.as_str()));
}

#[tokio::test]
async fn window_from_the_first_hit_and_bucket_have_the_documented_attributes() {
    let (wire, backend) = table(|builder| builder).await;
    let key = Key::from("user:7");
    let opening = Hit::new(1, 3).with_window_meta(WindowId(0xab), Some("first"));
    hit(&backend, &key, Window::FromFirstHit { length: WindowLength::HOUR }, opening, NOON).await;
    let item = raw_item(&client(&wire), "limits", "api#user:7", "OPENED/PT1H").await;
    assert_eq!(item["OpenedAt"], text("2026-11-21T12:00:00.000000000Z"));
    assert_eq!(item["Generation"], text("000000000000000000000000000000ab"));
    assert_eq!(item["Note"], text("first"));

    let now = u128::from(NOON.as_nanos()) * 100;
    let state = token(&backend, &key, BucketQuota::new(100, 20)).await;
    assert!(state.counted);
    let item = raw_item(&client(&wire), "limits", "api#user:7", "BUCKET/PT1M").await;
    let expected = [
        "Identifier",
        "WindowTime",
        "Count",
        "Limit",
        "Capacity",
        "ExpiresAt",
        "CreatedAt",
        "UpdatedAt",
        "Writer_",
    ];
    assert_eq!(names(&item), expected.into_iter().collect());
    assert_eq!(item["Count"], AttributeValue::N((now + INTERVAL).to_string()));
    assert_eq!((&item["Limit"], &item["Capacity"]), (&number(100), &number(20)));
    // It fills in 12 s.
    assert_eq!(item["ExpiresAt"], number(NOON.as_secs() + 12 + 60 + 5));

    // The quota is that of the last hit that was counted.
    assert!(token(&backend, &key, BucketQuota::new(100, 30)).await.counted);
    assert!(!token(&backend, &key, BucketQuota::new(100, 1)).await.counted);
    let item = raw_item(&client(&wire), "limits", "api#user:7", "BUCKET/PT1M").await;
    assert_eq!((&item["Limit"], &item["Capacity"]), (&number(100), &number(30)));
    assert!(token(&backend, &key, BucketQuota::new(50, 40)).await.counted);
    let item = raw_item(&client(&wire), "limits", "api#user:7", "BUCKET/PT1M").await;
    assert_eq!((&item["Limit"], &item["Capacity"]), (&number(50), &number(40)));
    assert_eq!(item["Count"], AttributeValue::N((now / 2 + 2 * INTERVAL).to_string()));
}

/// Writes a bucket of the key `user` as another program would, or an earlier version.
async fn put_bucket(wire: &Wire, window_time: &str, attributes: &[(&str, u128)]) {
    let put = client(wire).put_item().table_name("limits").item("Identifier", text("api#user"));
    let mut put = put.item("WindowTime", text(window_time)).item("Colour", text("blue"));
    for (name, value) in attributes {
        put = put.item(*name, AttributeValue::N(value.to_string()));
    }
    put.send().await.unwrap();
}

#[tokio::test]
async fn bucket_of_another_writer_is_used_and_a_missing_attribute_has_its_default() {
    let quota = BucketQuota::new(100, 100);
    let now = u128::from(NOON.as_nanos());
    for (attributes, used) in [
        (&[("Count", now * 50 + 10 * INTERVAL), ("Limit", 50), ("Capacity", 10)][..], 20),
        (&[("Count", now * 50 + 10 * INTERVAL), ("Limit", 50)], 20),
        // The unit is unknown.
        (&[("Count", now * 50 + 10 * INTERVAL)], 0),
        (&[("Count", now * 50 + 10 * INTERVAL), ("Capacity", 10)], 0),
        (&[("Limit", 50), ("Capacity", 10)], 0),
        // Nothing flows in, so no hit was counted.
        (&[("Count", now), ("Limit", 0), ("Capacity", 0)], 0),
        (&[], 0),
    ] {
        let (wire, backend) = table(|builder| builder).await;
        put_bucket(&wire, "BUCKET/PT1M", attributes).await;
        let key = Key::from("user");
        let state = backend.get(&bucket(&key, quota), NOON).await.unwrap();
        assert_eq!(state.value.saturating_sub(now * 100), used * INTERVAL, "{attributes:?}");
        for more in 1..=2 {
            let state = token(&backend, &key, quota).await;
            assert_eq!(
                (state.counted, state.value),
                (true, now * 100 + (used + more) * INTERVAL),
                "{attributes:?}"
            );
        }
        let item = raw_item(&client(&wire), "limits", "api#user", "BUCKET/PT1M").await;
        assert_eq!((&item["Limit"], &item["Capacity"]), (&number(100), &number(100)));
        assert_eq!(item["Colour"], text("blue"));
    }
}

/// The limit used to be part of the key.
#[tokio::test]
async fn bucket_in_the_old_format_is_left_alone() {
    let (wire, backend) = table(|builder| builder).await;
    let full = u128::from(NOON.as_nanos()) * 100 + 100 * INTERVAL;
    put_bucket(&wire, "BUCKET/100/PT1M", &[("Count", full)]).await;
    let old = raw_item(&client(&wire), "limits", "api#user", "BUCKET/100/PT1M").await;
    assert!(token(&backend, &Key::from("user"), BucketQuota::new(100, 100)).await.counted);
    assert_eq!(raw_item(&client(&wire), "limits", "api#user", "BUCKET/100/PT1M").await, old);
}

/// A hit would keep the attribute, and so could not read its own result.
#[tokio::test]
async fn hit_on_a_window_that_was_opened_in_another_format_is_an_error_and_changes_nothing() {
    for opened in
        [text(""), text("noon"), text("2026-02-30T25:61:00Z"), number(7), AttributeValue::Null(true)]
    {
        let (wire, backend) = table(|builder| builder).await;
        let put = client(&wire).put_item().table_name("limits").item("Identifier", text("api#user"));
        put.item("WindowTime", text("OPENED/PT1M")).item("OpenedAt", opened).send().await.unwrap();
        let before = raw_item(&client(&wire), "limits", "api#user", "OPENED/PT1M").await;
        let key = Key::from("user");
        let counter = Counter::new("api", &key, OPENED).unwrap();
        for _ in 0..2 {
            let error = backend.increment(&counter, &Hit::new(1, 10), NOON).await.unwrap_err();
            let BackendError::Corrupt(cause) = &error else { panic!("{error:?}") };
            assert!(cause.message().contains("OpenedAt"), "{error}");
            assert_eq!(raw_item(&client(&wire), "limits", "api#user", "OPENED/PT1M").await, before);
        }
    }
}

#[tokio::test]
async fn window_without_a_count_is_used_while_it_is_open_and_replaced_afterwards() {
    for (opened, start) in [
        ("2026-11-21T11:59:30.000000000Z", NOON.saturating_sub(Duration::from_secs(30))),
        ("2026-11-21T11:59:00.000000000Z", NOON),
        ("2027-11-21T12:00:00.000000000Z", NOON),
    ] {
        let (wire, backend) = table(|builder| builder).await;
        let put = client(&wire).put_item().table_name("limits").item("Identifier", text("api#user"));
        put.item("WindowTime", text("OPENED/PT1M")).item("OpenedAt", text(opened)).send().await.unwrap();
        for value in 1..=2 {
            let state = hit(&backend, &Key::from("user"), OPENED, Hit::new(1, 10), NOON).await;
            assert_eq!((state.counted, state.value, state.start), (true, value, Some(start)), "{opened}");
        }
    }
}

#[tokio::test]
async fn limit_in_another_format_is_an_error() {
    let (wire, backend) = table(|builder| builder).await;
    put_bucket(&wire, "BUCKET/PT1M", &[("Count", 1), ("Limit", u128::MAX >> 10)]).await;
    let key = Key::from("user");
    let counter = bucket(&key, BucketQuota::new(100, 100));
    let error = backend.get(&counter, NOON).await.unwrap_err();
    assert!(matches!(&error, BackendError::Corrupt(cause) if cause.message().contains("Limit")), "{error}");
}

#[tokio::test]
async fn count_of_another_writer_is_used_and_unknown_attributes_stay() {
    let (wire, backend) = table(|builder| builder).await;
    let plain = client(&wire);
    for (user, count) in [("full", Some(9_u64)), ("bare", None)] {
        let mut put = plain
            .put_item()
            .table_name("limits")
            .item("Identifier", text(&format!("api#{user}")))
            .item("WindowTime", text("2026-11-21T12:00:00Z/PT1M"))
            .item("Colour", text("blue"));
        if let Some(count) = count {
            put = put.item("Count", number(count));
        }
        put.send().await.unwrap();
    }
    let state = hit(&backend, &Key::from("full"), MINUTE, Hit::new(1, 10), NOON).await;
    assert_eq!((state.counted, state.value), (true, 10));
    let state = hit(&backend, &Key::from("full"), MINUTE, Hit::new(1, 10), NOON).await;
    assert_eq!((state.counted, state.value), (false, 10));
    let state = hit(&backend, &Key::from("bare"), MINUTE, Hit::new(1, 10), NOON).await;
    assert_eq!((state.counted, state.value), (true, 1));
    let item = raw_item(&plain, "limits", "api#full", "2026-11-21T12:00:00Z/PT1M").await;
    assert_eq!(item["Colour"], text("blue"));
}

#[tokio::test]
async fn count_in_another_format_is_an_error() {
    let (wire, backend) = table(|builder| builder).await;
    let put = client(&wire).put_item().table_name("limits").item("Identifier", text("api#user"));
    let put = put.item("WindowTime", text("2026-11-21T12:00:00Z/PT1M")).item("Count", text("many"));
    put.send().await.unwrap();
    let key = Key::from("user");
    let counter = Counter::new("api", &key, MINUTE).unwrap();
    let error = backend.get(&counter, NOON).await.unwrap_err();
    assert!(matches!(&error, BackendError::Corrupt(cause) if cause.message().contains("Count")), "{error}");
    assert!(backend.increment(&counter, &Hit::new(1, 10), NOON).await.is_err());
}

#[tokio::test]
async fn table_in_the_start_format_holds_one_window_length() {
    let (wire, backend) = table(|builder| builder.window_time_format(WindowTimeFormat::Start)).await;
    let key = Key::from("user");
    let state = hit(&backend, &key, MINUTE, Hit::new(1, 10), NOON).await;
    assert!(state.counted);
    let item = raw_item(&client(&wire), "limits", "api#user", "2026-11-21T12:00:00Z").await;
    assert_eq!(item["Count"], number(1));
    let hour = Window::Aligned { start: NOON, length: WindowLength::HOUR };
    let counter = Counter::new("api", &key, hour).unwrap();
    let error = backend.increment(&counter, &Hit::new(1, 10), NOON).await.unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn key_too_long_for_dynamodb_is_stored_as_its_hash() {
    let (_, backend) = table(|builder| builder).await;
    let (namespace, key) = ("n".repeat(2_000), Key::from("k".repeat(1_024)));
    let counter = Counter::new(&namespace, &key, MINUTE).unwrap();
    for value in 1..=2 {
        assert_eq!(backend.increment(&counter, &Hit::new(1, 10), NOON).await.unwrap().value, value);
    }
}
