//! Keys: missing, malformed, and those of other callers.

use std::collections::HashSet;

use http::StatusCode;
use limited::http::{ClientAddress, IdempotencyLayer, KeyExtractor, MissingKey};
use limited::{Idempotency, Key};
use limited_memory::MemoryBackend;
use proptest::prelude::*;

use super::service::{Counting, Server, payment};
use super::{everywhere, layer, over_mock};

#[test]
fn missing_or_malformed_key_is_rejected() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency), Counting::numbered());
    let mut request = payment("alice", "key");
    request.headers_mut().remove("idempotency-key");
    let missing = server.send(request);
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        missing.text(),
        r#"{"title":"Idempotency-Key is missing","status":400,"detail":"this operation requires the header `Idempotency-Key` with a key such as a UUID, new for each request and the same for its retries","reason":"idempotency-key-missing"}"#
    );
    let mut twice = payment("alice", "key");
    twice.headers_mut().append("idempotency-key", "key".parse().unwrap());
    let malformed = ["", "\"", "\"\"", "a b", "a,b", "(a)"].map(|key| payment("alice", key));
    let long = payment("alice", &"x".repeat(256));
    for request in malformed.into_iter().chain([twice, long]) {
        let response = server.send(request);
        assert_eq!(
            (response.status.as_u16(), response.reason().as_str()),
            (400, "idempotency-key-malformed")
        );
    }
    assert_eq!((server.calls(), mock.total()), (0, 0));
}

#[test]
fn missing_key_can_pass() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency).on_missing_key(MissingKey::Pass), Counting::numbered());
    for number in 1..=2 {
        let mut request = payment("alice", "key");
        request.headers_mut().remove("idempotency-key");
        assert_eq!(server.send(request).text(), format!("payment {number}"));
    }
    assert_eq!(mock.total(), 0);
    assert!(server.seen.claims.lock().unwrap().iter().all(Option::is_none));
    assert_eq!(server.send(payment("alice", "a b")).reason(), "idempotency-key-malformed");
    assert_eq!(server.send(payment("alice", "key")).text(), "payment 3");
    assert!(server.send(payment("alice", "key")).is_replayed());
}

#[test]
fn caller_cannot_exceed_its_maximum_of_claims_by_long_keys() {
    let name = "a".repeat(300);
    let backend = MemoryBackend::builder().max_claims_per_caller(2).build();
    let layer = IdempotencyLayer::new(
        Idempotency::new(backend),
        KeyExtractor::from_fn(move |_| Some(Key::new().user(name.as_str()))),
    );
    let server = Server::new(&layer, Counting::numbered());
    // Each colon takes three bytes of the key.
    let keys = ["a", "b", "c"].map(|key| format!("{key}{}", ":".repeat(254)));
    assert_eq!(server.send(payment("alice", &keys[0])).text(), "payment 1");
    assert_eq!(server.send(payment("alice", "short")).text(), "payment 2");
    for key in [&keys[1], &keys[2], "another"] {
        assert_eq!(server.send(payment("alice", key)).reason(), "idempotency-full");
    }
    assert!(server.send(payment("alice", &keys[0])).is_replayed());
}

#[test]
fn callers_do_not_share_keys() {
    everywhere(|idempotency, _| {
        let server = Server::new(&layer(idempotency), Counting::numbered());
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
        let other = server.send(payment("bob", "key"));
        assert_eq!((other.text(), other.is_replayed()), ("payment 2", false));
        // A different request of another caller does not reveal that the key is in use.
        let mut request = payment("carol", "key");
        *request.body_mut() = "1".into();
        assert_eq!(server.send(request).status, StatusCode::CREATED);
        assert!(server.send(payment("alice", "key")).is_replayed());
        let mut unknown = payment("alice", "key");
        unknown.headers_mut().remove("authorization");
        let response = server.send(unknown);
        assert_eq!((response.status.as_u16(), response.reason().as_str()), (400, "caller-unknown"));
    });
}

#[test]
fn caller_that_the_server_cannot_identify_is_the_fault_of_the_server() {
    let (idempotency, mock) = over_mock();
    let layer = IdempotencyLayer::new(idempotency, KeyExtractor::address(ClientAddress::peer()));
    let response = Server::new(&layer, Counting::numbered()).send(payment("alice", "key"));
    assert_eq!((response.status.as_u16(), response.reason().as_str()), (500, "server-misconfigured"));
    assert!(!response.text().contains("PeerAddress"), "{response:?}");
    assert_eq!(mock.total(), 0);
}

#[test]
fn credentials_are_not_stored() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency.store_requests(true)), Counting::numbered());
    server.send(payment("hunter2", "key"));
    assert!(!format!("{:?}", mock.calls()).contains("hunter2"));
}

#[test]
fn callers_of_an_unscoped_layer_share_keys() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&IdempotencyLayer::unscoped(idempotency), Counting::numbered());
    server.send(payment("alice", "key"));
    assert!(server.send(payment("bob", "key")).is_replayed());
    assert_eq!(mock.calls()[0].key(), "idempotency-key:key");
}

proptest! {
    #[test]
    fn distinct_callers_and_keys_never_collide(
        pairs in prop::collection::hash_set(("[a:%=\"-]{1,4}|x{1200}", "[a:%=\"-]{1,4}"), 2..6)
    ) {
        let (idempotency, mock) = over_mock();
        let caller = KeyExtractor::from_fn(|parts| Some(Key::from(parts.extensions.get::<String>()?.clone())));
        let server = Server::new(&IdempotencyLayer::new(idempotency, caller), Counting::numbered());
        for (caller, key) in &pairs {
            let key = sfv::ItemSerializer::new().bare_item(sfv::StringRef::from_str(key).unwrap()).finish();
            let mut request = payment("-", &key);
            request.extensions_mut().insert(caller.clone());
            prop_assert!(!server.send(request).is_replayed());
        }
        let keys: HashSet<_> = mock.calls().iter().map(|call| call.key().to_owned()).collect();
        prop_assert_eq!(keys.len(), pairs.len());
    }
}

#[test]
fn problems_have_a_type_if_there_is_a_base() {
    let (idempotency, _) = over_mock();
    let layer = layer(idempotency).problem_type_base("https://example.com/idempotency");
    let server = Server::new(&layer, Counting::numbered());
    let response = server.send(payment("alice", ""));
    let start = r#"{"type":"https://example.com/idempotency#idempotency-key-malformed","title":"Idempotency-Key is malformed","#;
    assert!(response.text().starts_with(start), "{}", response.text());
}
