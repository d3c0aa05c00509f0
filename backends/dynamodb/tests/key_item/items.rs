//! Items have the documented format, and attributes of other writers are left alone.

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{Backend, Hit, Key, WindowId};

use super::Limit::{Bucket, FirstHit, Fixed, Log};
use super::*;

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}

#[tokio::test]
async fn item_has_the_documented_attributes() {
    let (wire, backend) = table().await;
    let key = Key::from("key");
    let mut hits: Vec<_> = [Fixed(60, 9), FirstHit(3_600, 9), Bucket, Log(60, 9)]
        .iter()
        .map(|limit| limit.hit(&key, 2, NOON))
        .collect();
    hits[1].1 = hits[1].1.with_window_meta(WindowId(0xAB), Some("note"));
    assert!(backend.increment_all(&hits, NOON).await.unwrap().iter().all(|state| state.counted));
    let mut item = item(&wire).await;
    let writers: Vec<_> = item.keys().filter(|name| name.starts_with("Writer_")).cloned().collect();
    assert_eq!(writers.len(), 1);
    item.remove(&writers[0]);
    let noon = "2026-11-21T12:00:00.000000000Z";
    let arrival = u64::try_from(hits[2].1.floor + hits[2].1.cost);
    let expected = [
        ("Identifier", text("api#key")),
        ("WindowTime", text("KEY")),
        ("W60_1795262400", number(2)),
        ("F3600", number(2)),
        ("F3600_OpenedAt", text(noon)),
        ("F3600_Generation", text("000000000000000000000000000000ab")),
        ("F3600_Note", text("note")),
        ("B1", number(arrival.unwrap())),
        ("B1_Limit", number(10)),
        ("B1_Capacity", number(10)),
        ("L60", text("1795262400000000000*2")),
        // Two hours and the skew, rounded up to the minute.
        ("ExpiresAt", number(1_795_262_400 + 7_260)),
        ("CreatedAt", text(noon)),
        ("UpdatedAt", text(noon)),
    ];
    let expected: support::RawItem =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(item, expected);
}

#[tokio::test]
async fn unknown_attributes_of_other_writers_are_left_alone() {
    let (wire, backend) = table().await;
    let unknown =
        [("W60", "N"), ("W60_x", "N"), ("W060_0", "N"), ("Owner", "S"), ("W60_0", "S"), ("S_1", "N")];
    let mut put = client(&wire).put_item().table_name("limits");
    put = put.item("Identifier", text("api#key")).item("WindowTime", text("KEY"));
    for (name, kind) in unknown {
        put = put.item(name, if kind == "N" { number(7) } else { text("7") });
    }
    put.send().await.unwrap();
    for second in [0, 60, 600, 86_400] {
        assert!(is_admitted(&backend, &[Fixed(60, 1), Bucket], later(second)).await);
    }
    let key = Key::from("key");
    let (counter, _) = Fixed(60, 1).hit(&key, 1, later(86_400));
    backend.reset(&counter, None, later(86_400)).await.unwrap();
    let item = item(&wire).await;
    for (name, kind) in unknown {
        assert_eq!(item.get(name), Some(&if kind == "N" { number(7) } else { text("7") }), "{name}");
    }
}

#[tokio::test]
async fn expiry_is_that_of_the_latest_window_and_is_never_lowered() {
    let (wire, backend) = table().await;
    let expires = async || item(&wire).await["ExpiresAt"].as_n().unwrap().parse::<u64>().unwrap();
    assert!(is_admitted(&backend, &[Fixed(60, 9)], NOON).await);
    assert_eq!(expires().await, NOON.as_secs() + 180);
    assert!(is_admitted(&backend, &[Fixed(60, 9), Fixed(86_400, 9)], NOON).await);
    let latest = expires().await;
    assert!(latest >= later(86_400).as_secs());
    assert!(is_admitted(&backend, &[Fixed(60, 9)], later(60)).await);
    assert_eq!(expires().await, latest);
    // Nor by a process that has not seen the item.
    assert!(is_admitted(&process(&wire), &[Fixed(60, 9)], later(60)).await);
    assert_eq!(expires().await, latest);
}

#[tokio::test]
async fn reset_of_one_window_keeps_the_others_and_creates_no_item() {
    let (wire, backend) = table().await;
    let key = Key::from("key");
    let (fixed, _) = Fixed(60, 9).hit(&key, 1, NOON);
    backend.reset(&fixed, None, NOON).await.unwrap();
    assert!(item(&wire).await.is_empty());
    assert!(is_admitted(&backend, &[Fixed(60, 9), Fixed(3_600, 9), FirstHit(60, 9)], NOON).await);
    backend.reset(&fixed, None, NOON).await.unwrap();
    assert_eq!(value(&backend, Fixed(60, 9), NOON).await, 0);
    assert_eq!(value(&backend, Fixed(3_600, 9), NOON).await, 1);
    let (opened, _) = FirstHit(60, 9).hit(&key, 1, NOON);
    backend.reset(&opened, Some(WindowId(1)), NOON).await.unwrap();
    assert_eq!(value(&backend, FirstHit(60, 9), NOON).await, 1, "the window has another id");
    backend.reset(&opened, Some(WindowId(0)), NOON).await.unwrap();
    assert_eq!(value(&backend, FirstHit(60, 9), NOON).await, 0);
}

#[tokio::test]
async fn attribute_in_another_format_is_corrupt_and_named() {
    let (wire, backend) = table().await;
    let put = client(&wire).put_item().table_name("limits");
    let put = put.item("Identifier", text("api#key")).item("WindowTime", text("KEY"));
    put.item("W60_1795262400", text("many")).send().await.unwrap();
    let error = hit_all(&backend, &[Fixed(60, 9)], 1, NOON).await.unwrap_err();
    assert!(matches!(error, BackendError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("W60_1795262400"), "{error}");
}

/// A window from the first hit is opened anew over one that has ended.
#[tokio::test]
async fn window_from_the_first_hit_that_has_ended_is_opened_anew() {
    let (wire, backend) = table().await;
    let key = Key::from("key");
    let (counter, _) = FirstHit(60, 1).hit(&key, 1, NOON);
    for (round, second) in [0, 60, 200].into_iter().enumerate() {
        let id = WindowId(round as u128 + 1);
        let hit = Hit::new(1, 1).with_window_meta(id, None);
        wire.clear();
        let state = backend.increment(&counter, &hit, later(second)).await.unwrap();
        assert_eq!(wire.take_operations(), [UPDATE]);
        assert!(state.counted);
        assert_eq!((state.value, state.start, state.meta.unwrap().id), (1, Some(later(second)), id));
    }
}
