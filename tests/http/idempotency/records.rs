//! Records that something else than the layer wrote, and records of other kinds with equal keys.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use limited::backend::{Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Owner, StoredResult};
use limited::http::IdempotencyLayer;
use limited::{Clock, Idempotency, Key, ManualClock};
use limited_mock::MockBackend;
use serde_json::{Value, json};

use super::layer;
use super::service::{Counting, Server, payment};
use crate::common::block_on;
use crate::received::Received;

/// Stores a record for a key of alice as another program would, and returns what a retry gets.
fn replayed(
    record: &Value,
    change: fn(IdempotencyLayer<MockBackend>) -> IdempotencyLayer<MockBackend>,
) -> Received {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let now = clock.now();
    let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
    let key = ClaimKey::new("", ClaimKind::HttpRequest, &key).unwrap();
    let request = ClaimRequest::new(Owner(1), now.saturating_add(super::LEASE));
    let result = StoredResult::Value(record.to_string().into());
    block_on(mock.claim(&key, &request, now)).unwrap();
    block_on(mock.finish(&key, &Completion::new(Owner(1)).with_result(result), now)).unwrap();
    let server = Server::new(&change(layer(Idempotency::new(mock).clock(clock))), Counting::numbered());
    let response = server.send(payment("alice", "key"));
    assert_eq!(server.calls(), 0);
    response
}

#[test]
fn stored_response_of_another_version_is_replayed() {
    let response = replayed(
        &json!({
            "status": 202,
            "headers": [["content-type", {"text": "application/octet-stream"}], ["etag", {"base64": "ImEi"}]],
            "body": {"base64": "AP8="},
        }),
        |layer| layer,
    );
    assert!(response.is_replayed());
    assert_eq!((response.status.as_u16(), response.body.as_slice()), (202, &[0, 255][..]));
    assert_eq!(response.header("etag"), Some("\"a\""));
}

#[test]
fn stored_response_of_unknown_format_is_not_replayed() {
    for unknown in [
        json!("another program's"),
        json!({"status": 7, "headers": [], "body": {"text": ""}}),
        json!({"status": 101, "headers": [], "body": {"text": ""}}),
        json!({"status": 200, "headers": [["a b", {"text": ""}]], "body": {"text": ""}}),
        json!({"status": 200, "headers": [], "body": {"base64": "?"}}),
    ] {
        let response = replayed(&unknown, |layer| layer);
        assert_eq!(
            (response.status.as_u16(), response.reason().as_str()),
            (409, "response-not-stored"),
            "{unknown}"
        );
    }
}

#[test]
fn headers_that_are_not_stored_are_not_replayed_either() {
    let record = json!({
        "status": 200,
        "headers": [
            ["content-type", {"text": "text/plain"}],
            ["content-length", {"text": "7"}],
            ["transfer-encoding", {"text": "chunked"}],
            ["connection", {"text": "close"}],
            ["keep-alive", {"text": "timeout=5"}],
            ["upgrade", {"text": "h2c"}],
            ["te", {"text": "trailers"}],
            ["set-cookie", {"text": "session=secret"}],
            ["x-internal", {"text": "1"}],
        ],
        "body": {"text": "hello"},
        "trailers": [["checksum", {"text": "7"}], ["content-length", {"text": "9"}], ["set-cookie", {"text": "a=b"}]],
    });
    let names = |headers: &HeaderMap| {
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    let response = replayed(&record, |layer| layer);
    assert_eq!(names(&response.headers), ["content-type", "idempotency-replayed"]);
    assert_eq!(
        (response.text(), names(response.trailers.as_ref().unwrap())),
        ("hello", vec!["checksum".to_owned()])
    );
    // Not even if they are listed, except for those that are safe in every transfer.
    let all = replayed(&record, |layer| {
        layer.stored_headers(
            ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"]
                .map(|name| name.parse().unwrap())
                .into_iter()
                .chain([CONTENT_TYPE, SET_COOKIE]),
        )
    });
    assert_eq!(names(&all.headers), ["content-type", "idempotency-replayed", "set-cookie"]);
    assert_eq!(names(all.trailers.as_ref().unwrap()), ["checksum", "set-cookie"]);
}

#[test]
fn layer_and_plain_idempotency_share_no_keys() {
    super::everywhere(|idempotency, _| {
        let layer = layer(idempotency.clone());
        let server = Server::new(&layer, Counting::numbered());
        let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
        let forged = json!({"status": 200, "headers": [], "body": {"text": "forged"}});
        let run = idempotency.run(&key, &1, async || Ok::<_, String>(forged.clone()));
        assert!(!block_on(run).unwrap().is_replayed());
        let first = server.send(payment("alice", "key"));
        assert_eq!((first.text(), first.is_replayed()), ("payment 1", false));
        let run = idempotency.run(&key, &1, async || Ok::<_, String>(Value::Null));
        assert_eq!(block_on(run).unwrap().into_inner(), forged);
        // Operators reach the records of the layer through the layer.
        block_on(layer.records().forget(&key)).unwrap();
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 2");
        assert!(block_on(idempotency.find(&key)).unwrap().is_some());
    });
}
