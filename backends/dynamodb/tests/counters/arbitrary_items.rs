//! Items with arbitrary attributes, as a faulty program may write them.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{Backend, BackendError, BucketQuota, Counter, Hit, Key, Timestamp, Window, WindowLength};
use proptest::prelude::*;

use crate::support::{Wire, client, raw_item};

/// 2026-11-21T12:00:00Z.
const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);
const LENGTH: WindowLength = WindowLength::MINUTE;

/// The kinds of windows, and where their items are.
const WINDOWS: [(Window, &str); 3] = [
    (Window::Aligned { start: NOON, length: LENGTH }, "2026-11-21T12:00:00Z/PT1M"),
    (Window::FromFirstHit { length: LENGTH }, "OPENED/PT1M"),
    (Window::Bucket { length: LENGTH }, "BUCKET/PT1M"),
];

const NAMES: [&str; 9] =
    ["Count", "Limit", "Capacity", "ExpiresAt", "CreatedAt", "OpenedAt", "Generation", "Note", "Colour"];

fn value() -> impl Strategy<Value = AttributeValue> {
    let texts = ["", "2026-11-21T11:59:30Z", "2026-11-21T12:00:10.5Z", "2026-02-30T25:61:00Z", "00ff", "é"];
    let numbers = [
        "0",
        "-1",
        "1.5",
        "5",
        "10",
        "1795262460",
        "179526240000000000000",
        "18446744073709551616",
        "1E+100",
        "99999999999999999999999999999999999999",
    ];
    prop_oneof![
        3 => prop::sample::select(texts.to_vec()).prop_map(|text| AttributeValue::S(text.into())),
        6 => prop::sample::select(numbers.to_vec()).prop_map(|number| AttributeValue::N(number.into())),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
        1 => any::<bool>().prop_map(AttributeValue::Bool),
        1 => Just(AttributeValue::Null(true)),
        1 => Just(AttributeValue::Ss(vec!["a".into()])),
        1 => Just(AttributeValue::L(Vec::new())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_item_is_read_or_an_error_and_a_refused_hit_changes_nothing(
        (window, window_time) in prop::sample::select(&WINDOWS),
        attributes in prop::collection::vec((prop::sample::select(&NAMES), value()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let wire = Wire::new();
            let backend = wire.backend().await;
            let put = client(&wire).put_item().table_name("limits");
            let put = put.item("Identifier", AttributeValue::S("api#user".into()));
            let put = put.item("WindowTime", AttributeValue::S(window_time.into()));
            attributes.into_iter().fold(put, |put, (name, value)| put.item(name, value)).send().await.unwrap();
            let item = || raw_item_of(&wire, window_time);
            let before = item().await;

            let key = Key::from("user");
            let counter = Counter::new("api", &key, window).unwrap();
            let (counter, hit) = match window {
                Window::Bucket { .. } => {
                    let quota = BucketQuota::new(10, 10);
                    let floor = u128::from(NOON.as_nanos()) * 10;
                    let hit = Hit::new(u128::from(LENGTH.as_nanos()), quota.highest_value(LENGTH, NOON));
                    (counter.with_bucket(quota), hit.with_floor(floor))
                }
                _ => (counter, Hit::new(1, 10)),
            };
            match backend.get(&counter, NOON).await {
                Ok(_) | Err(BackendError::Corrupt(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            match backend.increment(&counter, &hit, NOON).await {
                Ok(state) if state.counted => assert!(state.value <= hit.ceiling, "{state:?}"),
                Ok(_) => assert_eq!(item().await, before),
                // The hit was counted, and then an attribute could not be read.
                Err(BackendError::Corrupt(_)) => {}
                Err(error) => {
                    assert!(!error.is_retryable(), "{error:?}");
                    assert_eq!(item().await, before);
                }
            }
            // An operator can always clear it.
            backend.reset(&counter, None, NOON).await.unwrap();
            assert!(backend.increment(&counter, &hit, NOON).await.unwrap().counted);
        });
    }
}

async fn raw_item_of(wire: &Wire, window_time: &str) -> std::collections::HashMap<String, AttributeValue> {
    raw_item(&client(wire), "limits", "api#user", window_time).await
}
