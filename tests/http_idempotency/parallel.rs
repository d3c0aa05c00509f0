//! Parallel clients: one request is carried out, and nobody gets anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use limited::{Idempotency, ManualClock};

use crate::common::backends;
use crate::layer;
use crate::service::{Counting, Read, Server, payment};

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;
const YEAR: Duration = Duration::from_secs(366 * 86_400);

fn at_once(send: impl Fn() -> Read + Sync) -> Vec<Read> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(&send)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn of_many_clients_one_has_its_request_carried_out() {
    for (name, backend) in backends() {
        println!("{name}");
        for round in 0..ROUNDS {
            let server = Server::new(&layer(Idempotency::new(Arc::clone(&backend))), Counting::numbered());
            let answers = at_once(|| server.send(payment("alice", &format!("round-{round}"))));
            assert_eq!(server.calls(), 1);
            let carried_out = answers.iter().filter(|answer| answer.status == 201 && !answer.is_replayed());
            assert_eq!(carried_out.count(), 1);
            for answer in answers.iter().filter(|answer| answer.status != 201) {
                assert_eq!(answer.reason(), "request-in-progress");
            }
        }
    }
}

#[test]
fn of_many_clients_who_wait_all_get_the_same_answer() {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        for round in 0..ROUNDS {
            let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone());
            let layer = layer(idempotency.lease(YEAR).wait_timeout(YEAR));
            let server = Server::new(&layer, Counting::numbered());
            let over = AtomicBool::new(false);
            let answers = thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        clock.advance(Duration::from_millis(1));
                        thread::yield_now();
                    }
                });
                let answers = at_once(|| server.send(payment("alice", &format!("round-{round}"))));
                over.store(true, Ordering::Relaxed);
                answers
            });
            assert_eq!(server.calls(), 1);
            assert!(answers.iter().all(|answer| answer.status == 201 && answer.text() == "payment 1"));
            assert_eq!(answers.iter().filter(|answer| answer.is_replayed()).count(), CLIENTS - 1);
        }
    }
}
