//! Records of other programs.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    Backend, BackendError, FencingToken, Finished, InProgress, Record, RequestHash, StoredResult, Timestamp,
};

use crate::table::{ALICE, NOON, Table, claim, done, granted, held, key, number, order, seconds, text};

fn map(entries: &[(&str, AttributeValue)]) -> AttributeValue {
    let entries: HashMap<_, _> =
        entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    AttributeValue::M(entries)
}

#[tokio::test]
async fn result_of_another_program_is_read() {
    let (table, backend) = Table::new().await;
    let nested = map(&[
        ("id", number(7)),
        ("name", text("a \"b\"\n")),
        ("list", AttributeValue::L(vec![AttributeValue::Bool(true), AttributeValue::Null(true)])),
    ]);
    for (response, expected) in [
        (Some(text(r#"{"ok":true}"#)), StoredResult::Value(r#"{"ok":true}"#.into())),
        (None, StoredResult::Nothing),
        (Some(nested), StoredResult::Value(r#"{"id":7,"list":[true,null],"name":"a \"b\"\u000a"}"#.into())),
        (Some(number(5)), StoredResult::Value("5".into())),
        (Some(AttributeValue::Null(true)), StoredResult::Value("null".into())),
    ] {
        let mut item = vec![
            ("Status", text("COMPLETED")),
            ("RequestHash", text("AB".repeat(32))),
            ("LockToken", text("8d6f2e4a-33c1-4d6f-9d51-6a1f8b0e7c11")),
            ("StatusCode", number(200)),
            ("CompletedAt", text("2026-11-21T11:59:58Z")),
            ("ExpiresAt", number("1795262460.25")),
        ];
        item.extend(response.clone().map(|response| ("Response", response)));
        table.put(item).await;
        for record in [
            held(claim(&backend, ALICE, NOON).await),
            backend.find(&order(&key()), seconds(60)).await.unwrap().expect("it has not expired"),
        ] {
            let Record::Finished(finished) = record else { panic!("{record:?}") };
            let Finished { owner, fencing_token, at, result, status_code, request_hash, .. } = finished;
            assert_eq!(result, expected, "{response:?}");
            assert_eq!((fencing_token, status_code), (FencingToken(0), Some(200)));
            assert_eq!(at, Timestamp::from_secs(NOON.as_secs() - 2));
            assert_eq!(request_hash, Some(RequestHash([0xab; 32])));
            assert_ne!(owner, ALICE);
        }
        assert_eq!(
            backend.find(&order(&key()), seconds(61)).await.unwrap(),
            None,
            "it expires with the second"
        );
    }
}

#[tokio::test]
async fn claim_of_another_program_is_held_then_taken_over_and_keeps_its_attributes() {
    let (table, backend) = Table::new().await;
    table
        .put([
            ("Status", text("PROCESSING")),
            ("LockToken", text("worker-1")),
            ("LockedUntil", text("2026-11-21T12:00:10.5Z")),
            ("Colour", text("blue")),
            ("Timestamp", number(3)),
        ])
        .await;
    let Record::InProgress(InProgress { owner, fencing_token, expires_at, request_hash }) =
        held(claim(&backend, ALICE, NOON).await)
    else {
        panic!("the claim is in progress")
    };
    assert_eq!((fencing_token, request_hash), (FencingToken(0), None));
    assert_eq!(expires_at, Timestamp::from_millis(NOON.as_nanos() / 1_000_000 + 10_500));
    assert_ne!(owner, ALICE);
    // Equal tokens are the same owner, and different tokens are different owners.
    let owner_of = |record: Record| match record {
        Record::InProgress(held) => held.owner,
        Record::Finished(finished) => finished.owner,
    };
    assert_eq!(owner_of(held(claim(&backend, ALICE, NOON).await)), owner);
    let other = [("Status", text("COMPLETED")), ("LockToken", text("worker-2"))];
    let mine = table.item().await;
    table.put(other).await;
    assert_ne!(owner_of(held(claim(&backend, ALICE, NOON).await)), owner);

    table.put(mine.iter().map(|(name, value)| (name.as_str(), value.clone()))).await;
    granted(claim(&backend, ALICE, seconds(11)).await);
    backend.finish(&order(&key()), &done(ALICE, "1"), seconds(12)).await.unwrap();
    backend.forget(&order(&key()), seconds(13)).await.unwrap();
    assert_eq!(table.item().await["Colour"], text("blue"));
}

#[tokio::test]
async fn attribute_in_another_format_is_an_error_that_names_it() {
    let (table, backend) = Table::new().await;
    let completed = || ("Status", text("COMPLETED"));
    for (item, name) in [
        (vec![("Status", text("DONE"))], "`DONE`"),
        (vec![completed(), ("Response", AttributeValue::B(Blob::new([1])))], "`Response`"),
        (
            vec![completed(), ("Response", AttributeValue::L(vec![AttributeValue::Ss(vec!["a".into()])]))],
            "`Response`",
        ),
        (vec![completed(), ("ResponseKind", text("GZIP")), ("Response", text("1"))], "`ResponseKind`"),
        (vec![completed(), ("ResponseKind", text("ERROR"))], "`Response`"),
        (vec![completed(), ("StatusCode", number(100_000))], "`StatusCode`"),
        (vec![completed(), ("RequestHash", text("abc"))], "`RequestHash`"),
        (vec![completed(), ("CompletedAt", text("yesterday"))], "`CompletedAt`"),
        (vec![completed(), ("Fence", text("1"))], "`Fence`"),
        (vec![("Status", text("PROCESSING")), ("LockedUntil", text("3000"))], "`LockedUntil`"),
    ] {
        table.put(item.clone()).await;
        let key = key();
        let on = order(&key);
        for error in [
            backend.find(&on, NOON).await.map(drop).unwrap_err(),
            backend.finish(&on, &done(ALICE, "1"), NOON).await.map(drop).unwrap_err(),
            backend.release(&on, ALICE, NOON).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, BackendError::Corrupt(_)), "{item:?}: {error:?}");
            assert!(error.to_string().contains(name), "{item:?}: {error}");
        }
        // An operator can clear it.
        backend.forget(&on, NOON).await.unwrap();
        assert_eq!(backend.find(&on, NOON).await.unwrap(), None);
    }
}
