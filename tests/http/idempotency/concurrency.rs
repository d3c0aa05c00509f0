//! Concurrent clients: one request is executed, and no client gets another response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use limited::{Idempotency, ManualClock};

use super::layer;
use super::service::{Counting, Server, payment};
use crate::common::backends;
use crate::received::Received;

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;
const YEAR: Duration = Duration::from_secs(366 * 86_400);

fn send_concurrently(send: impl Fn() -> Received + Sync) -> Vec<Received> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(&send)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn one_of_many_concurrent_requests_is_executed() {
    for (name, backend) in backends() {
        println!("{name}");
        for round in 0..ROUNDS {
            let idempotency = Idempotency::new(Arc::clone(&backend)).wait_timeout(Duration::ZERO);
            let server = Server::new(&layer(idempotency), Counting::numbered());
            let responses = send_concurrently(|| server.send(payment("alice", &format!("round-{round}"))));
            assert_eq!(server.calls(), 1);
            let executed =
                responses.iter().filter(|response| response.status == 201 && !response.is_replayed());
            assert_eq!(executed.count(), 1);
            for response in responses.iter().filter(|response| response.status != 201) {
                assert_eq!(response.reason(), "request-in-progress");
            }
        }
    }
}

#[test]
fn waiting_clients_all_get_the_same_response() {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        for round in 0..ROUNDS {
            let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone());
            let layer = layer(idempotency.lease(YEAR).wait_timeout(YEAR));
            let server = Server::new(&layer, Counting::numbered());
            let is_over = AtomicBool::new(false);
            let responses = thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        clock.advance(Duration::from_millis(1));
                        thread::yield_now();
                    }
                });
                let responses =
                    send_concurrently(|| server.send(payment("alice", &format!("round-{round}"))));
                is_over.store(true, Ordering::Relaxed);
                responses
            });
            assert_eq!(server.calls(), 1);
            assert!(
                responses.iter().all(|response| response.status == 201 && response.text() == "payment 1")
            );
            assert_eq!(responses.iter().filter(|response| response.is_replayed()).count(), CLIENTS - 1);
        }
    }
}
