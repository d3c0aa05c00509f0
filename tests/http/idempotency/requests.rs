//! First requests, retries, and other requests with the same key.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use limited::Key;
use limited::backend::Record;
use tower::{Layer, Service, service_fn};

use super::service::{Counting, Frames, Server, payment};
use super::{everywhere, layer, over_mock, slowly};
use crate::common::block_on;
use crate::common::stepping::{Running, poll};

#[test]
fn first_request_is_executed_and_retries_get_its_response() {
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
fn request_that_differs_in_any_part_reuses_the_key() {
    everywhere(|idempotency, _| {
        let server =
            Server::new(&layer(idempotency).methods([Method::POST, Method::PUT]), Counting::numbered());
        server.send(payment("alice", "key"));
        let other = |change: fn(&mut Request<Frames>)| {
            let mut request = payment("alice", "key");
            change(&mut request);
            server.send(request)
        };
        for response in [
            other(|request| *request.method_mut() = Method::PUT),
            other(|request| *request.uri_mut() = "/refunds?currency=eur".parse().unwrap()),
            other(|request| *request.uri_mut() = "/payments?currency=usd".parse().unwrap()),
            other(|request| *request.uri_mut() = "/payments".parse().unwrap()),
            other(|request| *request.body_mut() = "4201".into()),
            other(|request| *request.body_mut() = Frames::default()),
        ] {
            assert_eq!(
                (response.status.as_u16(), response.reason().as_str()),
                (422, "idempotency-key-reused")
            );
        }
        // Neither the other headers nor the frames of the body make a difference.
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
fn retry_of_a_request_in_progress_gets_retry_after() {
    everywhere(|idempotency, clock| {
        let server = Server::new(&layer(idempotency.clone()), Counting::numbered());
        // The first request is in progress, and does not end.
        let mut slow = layer(idempotency.clone()).layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        for (passed, header) in [(0, "30"), (1, "30"), (999, "29"), (28_000, "1"), (500, "1"), (499, "1")] {
            clock.advance(Duration::from_millis(passed));
            let response = server.send(payment("alice", "key"));
            assert_eq!((response.status.as_u16(), response.reason().as_str()), (409, "request-in-progress"));
            assert_eq!(response.header("retry-after"), Some(header));
        }
        assert_eq!(server.calls(), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(server.send(payment("alice", "key")).text(), "payment 1");
    });
}

#[test]
fn long_lease_is_reported_as_a_wait_that_clients_can_wait() {
    // 24 days, and 30 days, which is more than 2^31 - 1 ms.
    for (days, header) in [(24, "2073600"), (30, "2147483"), (400_000, "2147483")] {
        let idempotency = over_mock().0.lease(Duration::from_secs(days * 24 * 3600));
        let server = Server::new(&layer(idempotency.clone()), Counting::numbered());
        let mut slow = layer(idempotency).layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        let response = server.send(payment("alice", "key"));
        assert_eq!(
            (response.reason().as_str(), response.header("retry-after")),
            ("request-in-progress", Some(header))
        );
    }
}

#[test]
fn other_methods_pass_unchanged() {
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
fn record_has_the_status_and_the_service_gets_its_claim() {
    everywhere(|idempotency, clock| {
        let layer = layer(idempotency);
        let records = layer.records();
        let server = Server::new(&layer, Counting::with_status(418));
        server.send(payment("alice", "key"));
        let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
        match block_on(records.find(&key)).unwrap() {
            Some(Record::Finished(finished)) => {
                assert_eq!(finished.status_code, Some(418));
                let claims = server.seen.claims.lock().unwrap();
                assert_eq!(claims[0].as_ref().unwrap().fencing_token(), finished.fencing_token.0);
                assert!(!claims[0].as_ref().unwrap().is_held());
            }
            other => panic!("{other:?}"),
        }
        // After the TTL the key is free again. Its next fencing token is higher.
        clock.advance(Duration::from_secs(86_401));
        assert!(!server.send(payment("alice", "key")).is_replayed());
        let claims = server.seen.claims.lock().unwrap();
        assert!(claims[1].as_ref().unwrap().fencing_token() > claims[0].as_ref().unwrap().fencing_token());
    });
}
