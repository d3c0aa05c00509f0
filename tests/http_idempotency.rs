//! The idempotency layer: a request is carried out once per caller and key, and everybody gets the same answer.

mod common;
#[path = "http_idempotency/crashes.rs"]
mod crashes;
#[path = "http_idempotency/failures.rs"]
mod failures;
#[path = "http_idempotency/parallel.rs"]
mod parallel;
#[path = "http_idempotency/replays.rs"]
mod replays;
#[path = "http_idempotency/service.rs"]
mod service;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::stepping::{Running, poll, step};
use common::{AnyBackend, backends, block_on};
use http::{Method, Request, Response, StatusCode};
use limited::backend::Record;
use limited::http::{BufferedBody, IdempotencyLayer, KeyExtractor, MissingKey};
use limited::{Idempotency, Key, ManualClock};
use limited_mock::MockBackend;
use proptest::prelude::*;
use serde_json::json;
use service::{Counting, Frames, Server, payment, read};
use tower::{Layer, Service, service_fn};

const LEASE: Duration = Duration::from_secs(30);

/// A service that takes its time.
async fn slowly(_: Request<BufferedBody<Frames>>) -> Result<Response<Frames>, Infallible> {
    step().await;
    Ok(Response::new("slow".into()))
}

/// Lets `behaviour` hold on every backend.
fn everywhere(behaviour: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        behaviour(Idempotency::new(backend).clock(clock.clone()).lease(LEASE), clock);
    }
}

/// A layer for callers who have bearer tokens.
fn layer<B>(idempotency: Idempotency<B>) -> IdempotencyLayer<B> {
    IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token())
}

fn over_mock() -> (Idempotency<Arc<MockBackend>>, Arc<MockBackend>) {
    let mock = Arc::new(MockBackend::new());
    (Idempotency::new(Arc::clone(&mock)).clock(ManualClock::new()).lease(LEASE), mock)
}

#[test]
fn the_first_request_is_carried_out_and_the_others_get_its_answer() {
    everywhere(|idempotency, _| {
        let server = Server::new(&layer(idempotency), Counting::numbered());
        let first = server.send(payment("alice", "\"k-1\""));
        assert_eq!((first.status, first.text()), (StatusCode::CREATED, "payment 1"));
        assert_eq!(first.header("idempotency-replayed"), None);
        for key in ["\"k-1\"", "k-1", "\"k-1\";again"] {
            let again = server.send(payment("alice", key));
            assert!(again.is_replayed());
            assert_eq!((again.status, again.text()), (StatusCode::CREATED, "payment 1"));
            assert_eq!(again.header("content-type"), Some("text/plain"));
        }
        assert_eq!(server.send(payment("alice", "k-2")).text(), "payment 2");
    });
}

#[test]
fn what_differs_in_anything_is_another_request() {
    everywhere(|idempotency, _| {
        let server =
            Server::new(&layer(idempotency).methods([Method::POST, Method::PUT]), Counting::numbered());
        server.send(payment("alice", "key"));
        let other = |change: fn(&mut Request<Frames>)| {
            let mut request = payment("alice", "key");
            change(&mut request);
            server.send(request)
        };
        for answer in [
            other(|request| *request.method_mut() = Method::PUT),
            other(|request| *request.uri_mut() = "/refunds?currency=eur".parse().unwrap()),
            other(|request| *request.uri_mut() = "/payments?currency=usd".parse().unwrap()),
            other(|request| *request.uri_mut() = "/payments".parse().unwrap()),
            other(|request| *request.body_mut() = "4201".into()),
            other(|request| *request.body_mut() = Frames::default()),
        ] {
            assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (422, "idempotency-key-reused"));
        }
        // What does not belong to the request makes no other one of it; nor does the way in which it is sent.
        assert!(
            other(|request| *request.body_mut() = vec![b"42".to_vec(), vec![], b"00".to_vec()].into())
                .is_replayed()
        );
        assert!(
            other(|request| {
                request.headers_mut().insert("user-agent", "curl".parse().unwrap());
            })
            .is_replayed()
        );
        assert_eq!(server.calls(), 1);
    });
}

#[test]
fn a_request_in_progress_is_told_when_to_come_back() {
    everywhere(|idempotency, clock| {
        let server = Server::new(&layer(idempotency.clone()), Counting::numbered());
        // Somebody is at it, and does not come to an end.
        let mut slow = layer(idempotency.clone()).layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        for (passed, header) in [(0, "30"), (1, "30"), (999, "29"), (28_000, "1"), (500, "1"), (499, "1")] {
            clock.advance(Duration::from_millis(passed));
            let answer = server.send(payment("alice", "key"));
            assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (409, "request-in-progress"));
            assert_eq!(answer.header("retry-after"), Some(header));
        }
        assert_eq!(server.calls(), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
    });
}

#[test]
fn who_waits_gets_the_answer_of_the_first() {
    everywhere(|idempotency, clock| {
        let layer = layer(idempotency.wait_timeout(Duration::from_secs(5)));
        let server = Server::new(&layer, Counting::numbered());
        let mut slow = layer.layer(service_fn(slowly));
        let mut first: Running<'_, _> =
            Box::pin(async { read(slow.call(payment("alice", "key")).await.unwrap()).await });
        let mut second: Running<'_, _> = Box::pin(server.sending(payment("alice", "key")));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        let Poll::Ready(first) = poll(&mut first) else { panic!("it is still at it") };
        clock.advance(Duration::from_millis(10));
        let Poll::Ready(second) = poll(&mut second) else { panic!("it still waits") };
        assert!(second.is_replayed());
        assert_eq!((first.text(), second.text()), ("slow", "slow"));
        assert_eq!(server.calls(), 0);
    });
}

/// Polls the response to a request until it is ready, and once more.
fn poll_again(mut request: Request<Frames>, change: impl FnOnce(&mut Request<Frames>)) {
    change(&mut request);
    let mut service = layer(over_mock().0).layer(service_fn(slowly));
    let mut response = Box::pin(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    while response.as_mut().poll(&mut cx).is_pending() {}
    let _ = response.as_mut().poll(&mut cx);
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_panics_if_polled_after_completion() {
    poll_again(payment("alice", "key"), |_| {});
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_of_a_problem_panics_if_polled_after_completion() {
    poll_again(payment("alice", ""), |_| {});
}

#[test]
#[should_panic(expected = "`IdempotencyFuture` polled after completion")]
fn future_of_another_method_panics_if_polled_after_completion() {
    poll_again(payment("alice", "key"), |request| *request.method_mut() = Method::PUT);
}

#[test]
fn a_request_without_a_usable_key_is_refused() {
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
        let answer = server.send(request);
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "idempotency-key-malformed"));
    }
    assert_eq!((server.calls(), mock.total()), (0, 0));
}

#[test]
fn clients_choose_where_a_key_is_not_needed() {
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
fn other_methods_go_to_the_service_as_they_are() {
    let (idempotency, mock) = over_mock();
    let only_put = layer(idempotency.clone()).methods([Method::PUT]);
    for (layer, method) in [(layer(idempotency), Method::PUT), (only_put, Method::POST)] {
        let server = Server::new(&layer.max_request_body(0), Counting::numbered());
        for number in 1..=2 {
            let mut request = payment("alice", "key");
            *request.method_mut() = method.clone();
            assert_eq!(server.send(request).text(), format!("payment {number}"));
        }
    }
    assert_eq!(mock.total(), 0);
}

#[test]
fn nobody_gets_the_answer_to_another_callers_request() {
    everywhere(|idempotency, _| {
        let server = Server::new(&layer(idempotency), Counting::numbered());
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
        let other = server.send(payment("bob", "key"));
        assert_eq!((other.text(), other.is_replayed()), ("payment 2", false));
        // Nor does another request of somebody else tell that the key is in use.
        let mut request = payment("carol", "key");
        *request.body_mut() = "1".into();
        assert_eq!(server.send(request).status, StatusCode::CREATED);
        assert!(server.send(payment("alice", "key")).is_replayed());
        let mut nobody = payment("alice", "key");
        nobody.headers_mut().remove("authorization");
        let answer = server.send(nobody);
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "caller-unknown"));
    });
}

#[test]
fn credentials_are_not_stored() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency.store_requests(true)), Counting::numbered());
    server.send(payment("hunter2", "key"));
    assert!(!format!("{:?}", mock.calls()).contains("hunter2"));
}

#[test]
fn with_one_caller_keys_are_not_kept_apart() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&IdempotencyLayer::unscoped(idempotency), Counting::numbered());
    server.send(payment("alice", "key"));
    assert!(server.send(payment("bob", "key")).is_replayed());
    assert_eq!(mock.calls()[0].key(), "idempotency-key:key");
}

proptest! {
    #[test]
    fn no_two_callers_and_keys_meet(
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

/// A request as it is hashed, which is what makes it the same for another version of the program.
fn fingerprinted(method: &str, path: &str, query: Option<&str>, body: &str) -> serde_json::Value {
    json!({"method": method, "path": path, "query": query, "body": body})
}

#[test]
fn what_another_version_has_kept_is_recognised_and_not_made_up() {
    everywhere(|idempotency, _| {
        let server = Server::new(&layer(idempotency.clone()), Counting::numbered());
        // `printf 4200 | openssl dgst -sha256 -binary | base64`
        let body = "vlIgxBAtZYZb3h75dA09IJOgIZLldzxW8j4n2RfxeVg=";
        let request = fingerprinted("POST", "/payments", Some("currency=eur"), body);
        let caller = Key::new().secret("bearer", "alice");
        let kept = json!({
            "status": 202,
            "headers": [["content-type", {"text": "application/octet-stream"}], ["etag", {"base64": "ImEi"}]],
            "body": {"base64": "AP8="},
        });
        let keep = |key: &str, kept: &serde_json::Value| {
            let key = caller.clone().part("idempotency-key", key);
            let run = idempotency.run(&key, &request, async || Ok::<_, String>(kept.clone()));
            assert!(!block_on(run).unwrap().is_replayed());
        };
        keep("old", &kept);
        let answer = server.send(payment("alice", "old"));
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (202, &[0, 255][..]));
        assert_eq!(answer.header("etag"), Some("\"a\""));
        for (key, unreadable) in [
            ("text", json!("another program's")),
            ("status", json!({"status": 7, "headers": [], "body": {"text": ""}})),
            ("header", json!({"status": 200, "headers": [["a b", {"text": ""}]], "body": {"text": ""}})),
            ("base64", json!({"status": 200, "headers": [], "body": {"base64": "?"}})),
        ] {
            keep(key, &unreadable);
            let answer = server.send(payment("alice", key));
            assert_eq!(
                (answer.status.as_u16(), answer.reason().as_str()),
                (409, "response-not-stored"),
                "{key}"
            );
        }
        assert_eq!(server.calls(), 0);
    });
}

#[test]
fn problems_have_types_where_there_is_a_page_about_them() {
    let (idempotency, _) = over_mock();
    let layer = layer(idempotency).problem_type_base("https://example.com/idempotency");
    let server = Server::new(&layer, Counting::numbered());
    let answer = server.send(payment("alice", ""));
    let start = r#"{"type":"https://example.com/idempotency#idempotency-key-malformed","title":"Idempotency-Key is malformed","#;
    assert!(answer.text().starts_with(start), "{}", answer.text());
}

#[test]
fn the_record_has_the_status_and_the_service_its_claim() {
    everywhere(|idempotency, clock| {
        let server = Server::new(&layer(idempotency.clone()), Counting::with_status(418));
        server.send(payment("alice", "key"));
        let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
        match block_on(idempotency.find(&key)).unwrap() {
            Some(Record::Finished(finished)) => {
                assert_eq!(finished.status_code, Some(418));
                let claims = server.seen.claims.lock().unwrap();
                assert_eq!(claims[0].as_ref().unwrap().fencing_token(), finished.fencing_token.0);
                assert!(!claims[0].as_ref().unwrap().is_held());
            }
            other => panic!("{other:?}"),
        }
        // The key is free again after its time, with a higher number.
        clock.advance(Duration::from_secs(86_401));
        assert!(!server.send(payment("alice", "key")).is_replayed());
        let claims = server.seen.claims.lock().unwrap();
        assert!(claims[1].as_ref().unwrap().fencing_token() > claims[0].as_ref().unwrap().fencing_token());
    });
}
