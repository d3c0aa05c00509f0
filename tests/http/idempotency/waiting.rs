//! Duplicates that wait for the response of the first request.

use std::task::Poll;
use std::time::Duration;

use limited::http::IdempotencyLayer;
use limited::{Idempotency, ManualClock};
use tower::{Layer, Service, service_fn};

use super::service::{Counting, Server, call, payment};
use super::{LEASE, layer, slowly};
use crate::common::stepping::{Running, poll};
use crate::common::{AnyBackend, backends};

/// Runs a test over every backend, with the layer's own waiting time.
pub(super) fn everywhere(test: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        test(Idempotency::new(backend).clock(clock.clone()).lease(LEASE), clock);
    }
}

/// Waits with a duplicate for this time, while the first request is in progress. Returns whether
/// it waited to the end of that time.
fn waits(layer: &IdempotencyLayer<AnyBackend>, clock: &ManualClock, time: Duration) -> bool {
    let server = Server::new(layer, Counting::numbered());
    let mut slow = layer.layer(service_fn(slowly));
    let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
    assert!(poll(&mut first).is_pending());
    let mut second: Running<'_, _> = Box::pin(server.send_async(payment("alice", "key")));
    let is_waiting = poll(&mut second).is_pending();
    clock.advance(time.saturating_sub(Duration::from_nanos(1)));
    let is_waiting = is_waiting && poll(&mut second).is_pending();
    clock.advance(Duration::from_nanos(1));
    if is_waiting {
        let Poll::Ready(response) = poll(&mut second) else { panic!("the duplicate still waits") };
        assert_eq!((response.status.as_u16(), response.reason().as_str()), (409, "request-in-progress"));
    }
    is_waiting
}

#[test]
fn double_click_gets_the_response_of_the_first_by_default() {
    everywhere(|idempotency, clock| {
        let layer = layer(idempotency);
        let server = Server::new(&layer, Counting::numbered());
        let mut slow = layer.layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(call(&mut slow, payment("alice", "key")));
        let mut second: Running<'_, _> = Box::pin(server.send_async(payment("alice", "key")));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        let Poll::Ready(first) = poll(&mut first) else { panic!("the first request is still in progress") };
        clock.advance(Duration::from_millis(10));
        let Poll::Ready(second) = poll(&mut second) else { panic!("the retry still waits") };
        assert!(second.is_replayed());
        assert_eq!((first.text(), second.text()), ("slow", "slow"));
        assert_eq!(server.calls(), 0);
    });
}

#[test]
fn duplicate_waits_5_seconds_or_as_long_as_is_set() {
    everywhere(|idempotency, clock| {
        assert!(waits(&layer(idempotency), &clock, Duration::from_secs(5)));
    });
    everywhere(|idempotency, clock| {
        let layer = layer(idempotency.wait_timeout(Duration::from_secs(2)));
        assert!(waits(&layer, &clock, Duration::from_secs(2)));
    });
    everywhere(|idempotency, clock| {
        let layer = layer(idempotency.wait_timeout(Duration::ZERO));
        assert!(!waits(&layer, &clock, Duration::from_secs(1)));
    });
}

#[test]
fn duplicate_of_another_request_does_not_wait() {
    everywhere(|idempotency, _| {
        let layer = layer(idempotency);
        let server = Server::new(&layer, Counting::numbered());
        let mut slow = layer.layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        let mut other = payment("alice", "key");
        *other.body_mut() = "1".into();
        assert_eq!(server.send(other).reason(), "idempotency-key-reused");
    });
}

#[test]
fn no_more_than_128_duplicates_wait_or_as_many_as_are_set() {
    for max in [128, 3] {
        everywhere(|idempotency, _| {
            let layer = layer(if max == 128 { idempotency } else { idempotency.max_waiting(max) });
            // Two services of one layer, as on two routes.
            let servers = [0, 1].map(|_| Server::new(&layer, Counting::numbered()));
            let mut slow = layer.clone().layer(service_fn(slowly));
            let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
            assert!(poll(&mut first).is_pending());
            let mut waiting: Vec<Running<'_, _>> = Vec::new();
            for number in 0..max {
                let mut duplicate: Running<'_, _> =
                    Box::pin(servers[number % 2].send_async(payment("alice", "key")));
                assert!(poll(&mut duplicate).is_pending(), "{number}");
                waiting.push(duplicate);
            }
            for server in &servers {
                assert_eq!(server.send(payment("alice", "key")).reason(), "request-in-progress");
            }
            // A client that disconnects makes room.
            waiting.pop();
            let mut duplicate: Running<'_, _> = Box::pin(servers[0].send_async(payment("alice", "key")));
            assert!(poll(&mut duplicate).is_pending());
        });
    }
}

#[test]
fn hint_of_a_409_can_be_shorter_than_the_lease() {
    everywhere(|idempotency, clock| {
        let layer =
            layer(idempotency.wait_timeout(Duration::ZERO)).max_retry_after(Duration::from_millis(1_500));
        let server = Server::new(&layer, Counting::numbered());
        let mut slow = layer.layer(service_fn(slowly));
        let mut first: Running<'_, _> = Box::pin(slow.call(payment("alice", "key")));
        assert!(poll(&mut first).is_pending());
        assert_eq!(server.send(payment("alice", "key")).header("retry-after"), Some("2"));
        clock.advance(LEASE - Duration::from_secs(1));
        assert_eq!(server.send(payment("alice", "key")).header("retry-after"), Some("1"));
    });
}
