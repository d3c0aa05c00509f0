//! Records of the idempotency layer that another program wrote, or damaged.

use std::sync::Arc;

use http::{HeaderName, Request};
use limited::backend::{Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Owner, StoredResult};
use limited::http::{BufferedBody, IdempotencyLayer};
use limited::memory::MemoryBackend;
use limited::{Clock, Idempotency, Key, ManualClock};
use pollster::block_on;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Layer, service_fn};

use super::fuzz;
use crate::client::{Frames, Received, send};
use crate::inputs;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"status\":200",
    "\"headers\":[]",
    "\"body\":{\"text\":\"\"}",
    "\"trailers\":",
    "\"base64\":\"!\"",
    "null",
    "0",
    "-1",
    "1e999",
    "\\u0000",
    "\\ud800",
];

/// Headers that no record may bring into a response: those of one transfer, and what is not listed.
const NEVER_REPLAYED: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "set-cookie",
    "x-internal",
    "proxy-connection",
];

/// Returns what a retry gets if its record contains this.
fn replayed(result: StoredResult) -> Received {
    let (backend, clock) = (Arc::new(MemoryBackend::new()), ManualClock::new());
    let now = clock.now();
    let key = Key::new().part("idempotency-key", "k");
    let key = ClaimKey::new("", ClaimKind::HttpRequest, &key).unwrap();
    let request = ClaimRequest::new(Owner(1), now.saturating_add(std::time::Duration::from_secs(30)));
    block_on(backend.claim(&key, &request, now)).unwrap();
    block_on(backend.finish(&key, &Completion::new(Owner(1)).with_result(result), now)).unwrap();

    let layer = IdempotencyLayer::unscoped(Idempotency::new(backend).clock(clock));
    let unreachable =
        service_fn(async |_: Request<BufferedBody<Frames>>| -> Result<http::Response<Frames>, &str> {
            Err("the service was called")
        });
    let request = Request::post("/").header("idempotency-key", "k").body(Frames::default()).unwrap();
    send(&mut layer.layer(unreachable), request)
}

fn encoded() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[ -~]{0,12}".prop_map(|text| json!({"text": text})),
        1 => any::<String>().prop_map(|text| json!({"text": text})),
        2 => prop::sample::select(&["", "AP8=", "YQ==", "YQ", "?", "Y Q"]).prop_map(|text| json!({"base64": text})),
        1 => Just(json!({"bytes": 1})),
        1 => Just(Value::Null),
    ]
}

fn fields() -> impl Strategy<Value = Value> {
    let names = ["content-type", "etag", "location", "grpc-status", "trailer", "Vary", "", "a b", "é"];
    let names: Vec<_> = names.into_iter().chain(NEVER_REPLAYED).collect();
    let field = (prop::sample::select(names), encoded()).prop_map(|(name, value)| json!([name, value]));
    prop::collection::vec(field, 0..4).prop_map(Value::from)
}

/// Records like those of the layer, with some parts damaged.
fn record() -> impl Strategy<Value = String> {
    let status = prop_oneof![4 => 200..600_u64, 1 => any::<u64>(), 1 => 0..200_u64];
    let parts = (
        status,
        fields(),
        encoded(),
        prop::option::of(fields()),
        prop::option::of(any::<prop::sample::Index>()),
    );
    parts.prop_map(|(status, headers, body, trailers, cut)| {
        let mut record = json!({"status": status, "headers": headers, "body": body});
        if let Some(trailers) = trailers {
            record["trailers"] = trailers;
        }
        let mut record = record.to_string();
        if let Some(cut) = cut {
            record = String::from_utf8_lossy(&record.as_bytes()[..cut.index(record.len())]).into_owned();
        }
        record
    })
}

#[test]
fn record_is_replayed_without_unlisted_headers_or_refused() {
    let case = prop_oneof![3 => record(), 1 => inputs::text(WORDS)];
    fuzz(&(case, 0..8_u8), |(stored, kind)| {
        let response = replayed(match kind {
            0 => StoredResult::Error(stored.as_str().into()),
            1 => StoredResult::Omitted { reason: stored.as_str().into() },
            _ => StoredResult::Value(stored.as_str().into()),
        });
        assert!(!response.is_cut_off);
        if !response.is_replayed() {
            assert_eq!(
                (response.status.as_u16(), response.reason().as_deref()),
                (409, Some("response-not-stored"))
            );
            return;
        }
        assert!(kind > 1, "only a value is a response");
        let record: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(record["status"], response.status.as_u16());
        assert!(!response.status.is_informational());
        if let Some(text) = record["body"]["text"].as_str() {
            assert_eq!(response.body, text.as_bytes());
        }
        for name in NEVER_REPLAYED.map(HeaderName::from_static) {
            assert!(!response.headers.contains_key(&name), "{name}");
            let is_trailer = response.trailers.as_ref().is_some_and(|trailers| trailers.contains_key(&name));
            assert!(!is_trailer || name == "x-internal", "{name}");
        }
    });
}
