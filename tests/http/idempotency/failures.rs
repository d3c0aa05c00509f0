//! Bodies that are too large or cut off, and failures of the service and the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use http::{Request, Response, StatusCode};
use limited::BackendError;
use limited::http::{BufferedBody, IdempotencyLayer, OnBackendFailure};
use limited_mock::{Fault, Operation};
use tower::{Layer, Service, service_fn};

use super::service::{Counting, Frames, Gone, Server, call, payment};
use super::{LEASE, everywhere, layer, over_mock};
use crate::common::block_on;
use crate::common::stepping::{Running, poll};
use crate::received::Received;

fn with_body(body: Frames) -> Request<Frames> {
    let mut request = payment("alice", "key");
    *request.body_mut() = body;
    request
}

#[test]
fn too_large_request_is_rejected_before_the_service_is_called() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency).max_request_body(4), Counting::numbered());
    let announced = Frames::from("42000");
    let in_pieces = Frames::from(vec![b"42".to_vec(), b"00".to_vec(), b"0".to_vec()]);
    for body in [announced, in_pieces] {
        let response = server.send(with_body(body));
        assert_eq!((response.status.as_u16(), response.reason().as_str()), (413, "request-too-large"));
        assert!(response.text().contains("the limit of 4 bytes"));
    }
    assert_eq!((server.calls(), mock.total()), (0, 0));
    assert_eq!(server.send(with_body("4200".into())).status, StatusCode::CREATED);
}

#[test]
fn cut_off_request_is_not_executed() {
    let (idempotency, mock) = over_mock();
    let server = Server::new(&layer(idempotency), Counting::numbered());
    let response = server.send(with_body(Frames { is_cut_off: true, ..vec![b"42".to_vec()].into() }));
    assert_eq!((response.status.as_u16(), response.reason().as_str()), (400, "request-cut-off"));
    assert_eq!((server.calls(), mock.total()), (0, 0));
}

#[test]
fn too_large_response_is_sent_but_not_stored() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency).max_response_body(4);
        let pieces = || vec![b"ab".to_vec(), b"cd".to_vec(), b"ef".to_vec(), b"gh".to_vec()];
        for (key, announces_size) in [("announced", true), ("in-pieces", false)] {
            let service =
                Counting::new(move |_, _| Response::new(Frames { announces_size, ..pieces().into() }));
            let server = Server::new(&layer, service);
            let first = server.send(payment("alice", key));
            assert_eq!((first.status, first.text()), (StatusCode::OK, "abcdefgh"));
            for _ in 0..2 {
                let again = server.send(payment("alice", key));
                assert_eq!((again.status.as_u16(), again.reason().as_str()), (409, "response-not-stored"));
                let detail = "its response cannot be repeated: its body exceeds the limit of 4 bytes";
                assert!(again.text().contains(detail), "{}", again.text());
                assert_eq!(again.header("retry-after"), None);
            }
            assert_eq!(server.calls(), 1);
        }
        let server = Server::new(&layer, Counting::new(|_, _| Response::new("abcd".into())));
        server.send(payment("alice", "fits"));
        assert_eq!(server.send(payment("alice", "fits")).text(), "abcd");
    });
}

#[test]
fn cut_off_response_is_forwarded_but_not_stored() {
    everywhere(|idempotency, _| {
        let broken =
            Counting::new(|_, _| Response::new(Frames { is_cut_off: true, ..vec![b"half".to_vec()].into() }));
        let server = Server::new(&layer(idempotency), broken);
        let first = server.send(payment("alice", "key"));
        assert_eq!((first.text(), first.is_cut_off), ("half", true));
        // The service has responded, so its effect may have happened.
        let again = server.send(payment("alice", "key"));
        assert_eq!(again.reason(), "response-not-stored");
        assert!(again.text().contains("cannot be repeated: its body was cut off"), "{}", again.text());
        assert_eq!(server.calls(), 1);
    });
}

#[test]
fn response_without_room_in_the_backend_is_sent() {
    let (idempotency, mock) = over_mock();
    mock.inject(Fault::finish_result(limited::backend::FinishResult::Omitted { reason: "no room".into() }));
    let server = Server::new(&layer(idempotency), Counting::numbered());
    assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
}

#[test]
fn service_error_is_returned_and_frees_the_key() {
    everywhere(|idempotency, _| {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let service = service_fn(move |_: Request<BufferedBody<Frames>>| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move { if number == 0 { Err(Gone) } else { Ok(Response::new(Frames::from("fine"))) } }
        });
        let mut service = layer(idempotency).layer(service);
        assert_eq!(block_on(service.call(payment("alice", "key"))).err(), Some(Gone));
        let second = block_on(call(&mut service, payment("alice", "key")));
        assert_eq!((second.text(), second.is_replayed()), ("fine", false));
    });
}

#[test]
fn backend_failure_is_reported_and_nothing_is_executed() {
    let (idempotency, mock) = over_mock();
    let reported = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reported);
    let layer = layer(idempotency).on_backend_error(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let server = Server::new(&layer, Counting::numbered());
    mock.inject(Fault::error(BackendError::throttled("slow down")).on(Operation::Claim));
    let response = server.send(payment("alice", "key"));
    assert_eq!((response.status.as_u16(), response.reason().as_str()), (503, "idempotency-unavailable"));
    assert!(!response.text().contains("slow down"), "the client must not see the error of the backend");
    assert_eq!((server.calls(), layer.backend_errors(), reported.load(Ordering::Relaxed)), (0, 1, 1));
    assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
}

#[test]
fn full_store_and_outages_say_when_to_retry() {
    for (error, reason, retry_after) in [
        (BackendError::Full { max_keys: 1 }, "idempotency-full", Some("5")),
        (BackendError::throttled("slow down"), "idempotency-unavailable", Some("5")),
        (BackendError::unavailable("an outage"), "idempotency-unavailable", Some("5")),
        (BackendError::AccessDenied("no".into()), "idempotency-unavailable", None),
    ] {
        let (idempotency, mock) = over_mock();
        let server = Server::new(&layer(idempotency), Counting::numbered());
        mock.inject(Fault::error(error).on(Operation::Claim).times(2));
        let response = server.send(payment("alice", "key"));
        assert_eq!((response.status.as_u16(), response.reason().as_str()), (503, reason));
        assert_eq!(response.header("retry-after"), retry_after, "{reason}");
        assert_eq!(server.calls(), 0);
    }
}

#[test]
fn response_with_large_headers_is_sent_but_not_stored() {
    everywhere(|idempotency, _| {
        let idempotency = layer(idempotency);
        let header = |length: usize| {
            Counting::new(move |_, _| {
                Response::builder().header("etag", "x".repeat(length)).body(Frames::default()).unwrap()
            })
        };
        let is_stored = |key: &str, layer: &IdempotencyLayer<_>, service: Counting| {
            let server = Server::new(layer, service);
            assert_eq!(server.send(payment("alice", key)).status, StatusCode::OK);
            let again = server.send(payment("alice", key));
            assert_eq!(server.calls(), 1);
            if !again.is_replayed() {
                assert_eq!(again.reason(), "response-not-stored");
                assert!(again.text().contains("with its headers and trailers it takes "), "{}", again.text());
            }
            again.is_replayed()
        };
        assert!(!is_stored("large", &idempotency.clone().max_response_body(10), header(300_000)));
        assert!(is_stored("small", &idempotency.clone().max_response_body(10), header(10_000)));
        assert!(!is_stored("limited", &idempotency.clone().max_stored_response(1_000), header(1_000)));
        assert!(is_stored("fits", &idempotency.clone().max_stored_response(1_000), header(900)));
        let trailers: http::HeaderMap =
            [("checksum".parse().unwrap(), "x".repeat(1_000).parse().unwrap())].into_iter().collect();
        let service = Counting::new(move |_, _| {
            Response::new(Frames { trailers: Some(trailers.clone()), ..Frames::default() })
        });
        assert!(!is_stored("trailers", &idempotency.max_stored_response(1_000), service));
    });
}

#[test]
fn control_characters_take_a_third_more_than_their_size() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency).max_stored_response(80_100);
        let service = Counting::new(|_, _| Response::new(Frames::from(vec![vec![0; 60_000]])));
        let server = Server::new(&layer, service);
        assert_eq!(server.send(payment("alice", "key")).body, vec![0; 60_000]);
        let again = server.send(payment("alice", "key"));
        assert_eq!((again.is_replayed(), again.body), (true, vec![0; 60_000]));
    });
}

#[test]
fn service_that_lost_its_claim_can_be_stopped() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.max_run_time(LEASE).stop_when_lost(true);
        let layer = layer(idempotency);
        let hanging = service_fn(async |_: Request<BufferedBody<Frames>>| {
            std::future::pending::<Result<Response<Frames>, Gone>>().await
        });
        let mut service = layer.layer(hanging);
        let mut first: Running<'_, _> = Box::pin(call(&mut service, payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        clock.advance(LEASE);
        let Poll::Ready(first) = poll(&mut first) else { panic!("the service still runs") };
        assert_eq!((first.status.as_u16(), first.reason().as_str()), (503, "request-stopped"));
        assert_eq!(first.header("retry-after"), Some("1"));
        let server = Server::new(&layer, Counting::numbered());
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
    });
}

#[test]
fn backend_failure_can_run_without_idempotency() {
    let (idempotency, mock) = over_mock();
    let layer = layer(idempotency).on_backend_failure(OnBackendFailure::Run);
    let server = Server::new(&layer, Counting::numbered());
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Claim).always());
    for number in 1..=2 {
        let response = server.send(payment("alice", "key"));
        assert_eq!((response.text(), response.is_replayed()), (format!("payment {number}").as_str(), false));
    }
    assert_eq!(layer.backend_errors(), 2);
    assert!(server.seen.claims.lock().unwrap().iter().all(Option::is_none));
}

#[test]
fn response_is_sent_even_if_recording_it_fails() {
    for policy in [OnBackendFailure::Reject, OnBackendFailure::Run] {
        let (idempotency, mock) = over_mock();
        let layer = layer(idempotency).on_backend_failure(policy);
        let server = Server::new(&layer, Counting::numbered());
        mock.inject(Fault::error(BackendError::AccessDenied("no".into())).on(Operation::Finish));
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
        assert_eq!((server.calls(), layer.backend_errors()), (1, 1));
        assert_eq!(server.send(payment("alice", "key")).reason(), "request-in-progress");
    }
}

#[test]
fn owner_that_lost_its_lease_refers_to_the_newer_response() {
    everywhere(|idempotency, _| {
        let plain = layer(idempotency);
        let newer = Server::new(&plain, Counting::new(|_, _| Response::new("second".into())));
        let key = limited::Key::new().secret("bearer", "alice").part("idempotency-key", "key");
        let (other, forget) = (newer.service.clone(), plain.records().clone());
        let delayed = service_fn(move |_: Request<BufferedBody<Frames>>| {
            let (mut other, forget, key) = (other.clone(), forget.clone(), key.clone());
            async move {
                forget.forget(&key).await.unwrap();
                std::future::poll_fn(|cx| other.poll_ready(cx)).await.unwrap();
                let response = other.call(payment("alice", "key")).await.unwrap();
                assert_eq!(Received::from(response).await.text(), "second");
                Ok::<_, Gone>(Response::new(Frames::from("first")))
            }
        });
        let mut service = plain.layer(delayed);
        let first = block_on(call(&mut service, payment("alice", "key")));
        assert_eq!((first.status.as_u16(), first.reason().as_str()), (409, "response-superseded"));
        assert_eq!(first.header("retry-after"), Some("1"));
        assert_eq!(newer.send(payment("alice", "key")).text(), "second");
    });
}
