//! Which responses are stored, which parts of them, and that replays are equal byte by byte.

use std::convert::Infallible;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use limited::http::{BufferedBody, IdempotencyLayer, is_final};
use proptest::prelude::*;
use tower::{Layer, service_fn};

use super::service::{Counting, Frames, Server, call, payment};
use super::{everywhere, layer, over_mock};
use crate::common::block_on;
use crate::received::Received;

/// Creates a service that always returns this response.
fn responding(response: impl Fn() -> Response<Frames> + Send + Sync + 'static) -> Counting {
    Counting::new(move |_, _| response())
}

#[test]
fn only_listed_headers_are_stored() {
    let response = || {
        Response::builder()
            .header("content-type", "application/json")
            .header("content-length", "2")
            .header("location", "/payments/7")
            .header("link", "</a>; rel=\"a\"")
            .header("link", "</b>; rel=\"b\"")
            .header("set-cookie", "session=secret")
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("x-request-id", "7")
            .body(Frames::from("{}"))
            .unwrap()
    };
    let replayed = |change: fn(IdempotencyLayer<_>) -> IdempotencyLayer<_>| {
        let server = Server::new(&change(layer(over_mock().0)), responding(response));
        let first = server.send(payment("alice", "key"));
        assert_eq!(first.headers, response().headers().clone(), "the layer changed the first response");
        let again = server.send(payment("alice", "key"));
        assert!(again.is_replayed());
        let pairs = again.headers.iter().filter(|(name, _)| *name != "idempotency-replayed");
        let mut lines: Vec<_> =
            pairs.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join("\n")
    };
    let default =
        "content-type: application/json\nlink: </a>; rel=\"a\"\nlink: </b>; rel=\"b\"\nlocation: /payments/7";
    assert_eq!(replayed(|layer| layer), default);
    assert_eq!(replayed(|layer| layer.stored_headers([HeaderName::from_static("date")])).lines().count(), 1);
    assert_eq!(replayed(|layer| layer.stored_headers([http::header::CONTENT_LENGTH])), "");
    assert!(replayed(|layer| layer.store_header(http::header::SET_COOKIE)).contains("session=secret"));
}

#[test]
fn responses_that_may_change_are_not_stored() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency);
        let not_final = [
            100, 103, 307, 401, 404, 405, 406, 407, 408, 411, 412, 415, 416, 417, 421, 423, 424, 425, 426,
            428, 429, 431, 500, 502, 503, 599,
        ];
        for (number, status) in not_final.into_iter().enumerate() {
            let key = format!("\"not stored {number}\"");
            let server = Server::new(&layer, Counting::with_status(status));
            for call in ["1", "2"] {
                let response = server.send(payment("alice", &key));
                assert_eq!(
                    (response.status.as_u16(), response.text(), response.is_replayed()),
                    (status, call, false)
                );
            }
            // The key is free, also for another request.
            let mut other = payment("alice", &key);
            *other.body_mut() = "1".into();
            assert_eq!(server.send(other).text(), "3");
        }
        for status in [200, 204, 302, 303, 400, 402, 403, 409, 410, 413, 422] {
            let server = Server::new(&layer, Counting::with_status(status));
            let key = format!("\"stored {status}\"");
            server.send(payment("alice", &key));
            assert!(server.send(payment("alice", &key)).is_replayed());
        }
    });
}

#[test]
fn every_status_but_those_that_may_change_is_final() {
    let changing =
        [307, 401, 404, 405, 406, 407, 408, 411, 412, 415, 416, 417, 421, 423, 424, 425, 426, 428, 429, 431];
    for status in 100..=999 {
        let expected = !matches!(status, 100..200 | 500..600) && !changing.contains(&status);
        assert_eq!(is_final(StatusCode::from_u16(status).unwrap()), expected, "{status}");
    }
}

#[test]
fn response_that_asks_for_a_retry_is_not_stored() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency).store_if(|_| true);
        for (status, is_stored) in [(202, true), (409, false), (422, false)] {
            let server = Server::new(
                &layer,
                Counting::new(move |number, _| {
                    let body = Frames::from(vec![number.to_string().into_bytes()]);
                    Response::builder().status(status).header(RETRY_AFTER, "3").body(body).unwrap()
                }),
            );
            let key = format!("asks-{status}");
            server.send(payment("alice", &key));
            assert_eq!(server.send(payment("alice", &key)).is_replayed(), is_stored, "{status}");
        }
    });
}

#[test]
fn missing_route_is_not_replayed_once_it_is_deployed() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency);
        for status in [404, 405] {
            let key = format!("before-{status}");
            let before = Server::new(&layer, Counting::with_status(status));
            assert_eq!(before.send(payment("alice", &key)).status.as_u16(), status);
            let deployed = Server::new(&layer, Counting::numbered());
            let first = deployed.send(payment("alice", &key));
            assert_eq!((first.text(), first.is_replayed()), ("payment 1", false));
            assert!(deployed.send(payment("alice", &key)).is_replayed());
        }
    });
}

#[test]
fn missing_resource_is_stored_if_asked() {
    let store_404 =
        layer(over_mock().0).store_if(|status| is_final(status) || status == StatusCode::NOT_FOUND);
    for status in [404, 201] {
        let server = Server::new(&store_404, Counting::with_status(status));
        let key = format!("key-{status}");
        server.send(payment("alice", &key));
        let again = server.send(payment("alice", &key));
        assert_eq!((again.status.as_u16(), again.is_replayed(), server.calls()), (status, true, 1));
    }
}

#[test]
fn replay_keeps_the_cache_control_of_the_service() {
    let response =
        || Response::builder().header("cache-control", "max-age=60").body(Frames::from("x")).unwrap();
    let server = Server::new(&layer(over_mock().0), responding(response));
    let first = server.send(payment("alice", "key"));
    let again = server.send(payment("alice", "key"));
    assert_eq!(first.header("cache-control"), Some("max-age=60"));
    assert_eq!((again.is_replayed(), again.header("cache-control")), (true, Some("max-age=60")));
    // The layer adds nothing to a first response or a replay that has no such header.
    let server = Server::new(&layer(over_mock().0), Counting::numbered());
    for _ in 0..2 {
        assert_eq!(server.send(payment("alice", "key")).header("cache-control"), None);
    }
}

#[test]
fn store_if_selects_the_stored_responses() {
    let server = Server::new(&layer(over_mock().0).store_if(|_| true), Counting::with_status(500));
    server.send(payment("alice", "key"));
    let again = server.send(payment("alice", "key"));
    assert_eq!((again.status, again.text()), (StatusCode::INTERNAL_SERVER_ERROR, "1"));
    assert!(again.is_replayed());
    let successes = layer(over_mock().0).store_if(|status| status.is_success());
    let server = Server::new(&successes, Counting::with_status(409));
    server.send(payment("alice", "key"));
    assert_eq!(server.send(payment("alice", "key")).text(), "2");
}

#[test]
fn trailers_are_replayed() {
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Frames { trailers: Some(trailers.clone()), ..Frames::from("message") };
    let server = Server::new(&layer(over_mock().0), responding(move || Response::new(body.clone())));
    for replayed in [false, true] {
        let response = server.send(payment("alice", "key"));
        assert_eq!((response.is_replayed(), response.text()), (replayed, "message"));
        assert_eq!(response.trailers.as_ref(), Some(&trailers));
    }
}

/// Returns a gRPC response with this code, in the headers or in the trailers.
fn grpc(code: &str, is_trailers_only: bool) -> Response<Frames> {
    let status = HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from_str(code).unwrap()),
        (HeaderName::from_static("grpc-message"), HeaderValue::from_static("why")),
    ]);
    let mut response = Response::new(Frames::default());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    if is_trailers_only {
        response.headers_mut().extend(status);
    } else {
        *response.body_mut() = Frames { trailers: Some(status), ..vec![b"message".to_vec()].into() };
    }
    response
}

#[test]
fn grpc_call_that_may_succeed_later_is_not_stored() {
    for (code, is_stored) in [
        ("0", true),   // OK
        ("1", false),  // CANCELLED
        ("2", false),  // UNKNOWN
        ("3", true),   // INVALID_ARGUMENT
        ("4", false),  // DEADLINE_EXCEEDED
        ("5", false),  // NOT_FOUND
        ("6", true),   // ALREADY_EXISTS
        ("7", true),   // PERMISSION_DENIED
        ("8", false),  // RESOURCE_EXHAUSTED
        ("9", true),   // FAILED_PRECONDITION
        ("10", false), // ABORTED
        ("11", true),  // OUT_OF_RANGE
        ("12", false), // UNIMPLEMENTED
        ("13", false), // INTERNAL
        ("14", false), // UNAVAILABLE
        ("15", false), // DATA_LOSS
        ("16", false), // UNAUTHENTICATED
        ("17", false),
        ("", false),
    ] {
        for is_trailers_only in [false, true] {
            let server = Server::new(&layer(over_mock().0), responding(move || grpc(code, is_trailers_only)));
            let first = server.send(payment("alice", "key"));
            let mut again = server.send(payment("alice", "key"));
            assert_eq!((again.is_replayed(), server.calls() == 1), (is_stored, is_stored), "code {code}");
            again.headers.remove("idempotency-replayed");
            assert_eq!(again, first, "code {code}");
        }
    }
}

#[test]
fn request_reaches_the_service_unchanged() {
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("checksum"), HeaderValue::from_static("7"))]);
    let echo = service_fn(async |request: Request<BufferedBody<Frames>>| {
        assert_eq!(request.uri(), "/payments?currency=eur");
        assert_eq!(request.headers()["idempotency-key"], "key");
        assert!(request.headers().contains_key("authorization"));
        let read = Received::from(Response::new(request.into_body())).await;
        let body = Frames { trailers: read.trailers, ..Frames::from(vec![read.body]) };
        Ok::<_, Infallible>(Response::new(body))
    });
    let mut service = layer(over_mock().0).layer(echo);
    let mut request = payment("alice", "key");
    *request.body_mut() =
        Frames { trailers: Some(trailers.clone()), ..vec![b"a".to_vec(), b"bc".to_vec()].into() };
    let response = block_on(call(&mut service, request));
    assert_eq!((response.text(), response.trailers.as_ref()), ("abc", Some(&trailers)));
}

fn any_chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let chunk = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[a-z\"\\\\\u{0}-\u{1f}é]{0,20}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(chunk, 0..4)
}

proptest! {
    #[test]
    fn replay_equals_the_first_response(
        status in (200..500_u16)
            .prop_map(|status| StatusCode::from_u16(status).unwrap())
            .prop_filter("stored", |status| is_final(*status)),
        chunks in any_chunks(),
        headers in prop::collection::vec((0..4_usize, prop::collection::vec(any::<u8>(), 0..20)), 0..5),
    ) {
        let names = ["content-type", "etag", "link", "cache-control"].map(HeaderName::from_static);
        let mut response = Response::new(Frames::from(chunks));
        *response.status_mut() = status;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                response.headers_mut().append(names[name].clone(), value);
            }
        }
        everywhere(|idempotency, _| {
            let response = response.clone();
            let server = Server::new(&layer(idempotency), responding(move || response.clone()));
            let first = server.send(payment("alice", "key"));
            let mut again = server.send(payment("alice", "key"));
            assert_eq!(again.headers.remove("idempotency-replayed").unwrap(), "true");
            assert_eq!(again, first);
            assert_eq!(server.calls(), 1);
        });
    }

    #[test]
    fn any_header_value_gets_a_response(bytes: Vec<u8>) {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let server = Server::new(&layer(over_mock().0), Counting::numbered());
        let mut request = payment("alice", "key");
        request.headers_mut().insert("idempotency-key", value);
        let response = server.send(request);
        prop_assert!(matches!(response.status.as_u16(), 201 | 400), "{response:?}");
        prop_assert_eq!(server.calls() == 1, response.status == StatusCode::CREATED);
    }
}
