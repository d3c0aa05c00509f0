//! A client that goes away at every await point: the key is then free, in progress until its lease ends, or done with
//! the answer that the service gave, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response};
use limited::backend::Record;
use limited::http::BufferedBody;
use limited::{Idempotency, Key, ManualClock};
use tower::{Layer, Service, service_fn};

use crate::common::stepping::{Running, Stepping, drive, poll, step};
use crate::common::{AnyBackend, backends};
use crate::service::{Frames, payment, read};
use crate::{LEASE, layer};

/// Sends a payment, goes away after so many polls, and comes back; tells whether it had its answer before that.
fn go_away_after(
    polls: usize,
    backend: AnyBackend,
    status: u16,
    found: &mut BTreeMap<&'static str, u32>,
) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone()).lease(LEASE);
    let (begun, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (counted, told) = (Arc::clone(&begun), Arc::clone(&answered));
    let service = service_fn(move |_: Request<BufferedBody<Frames>>| {
        let (begun, answered) = (Arc::clone(&counted), Arc::clone(&told));
        async move {
            step().await;
            let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
            step().await;
            answered.fetch_add(1, Ordering::Relaxed);
            let status = if number == 1 { status } else { 201 };
            let body = Frames::from(vec![number.to_string().into_bytes()]);
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    let service = layer(idempotency.clone()).layer(service);
    let send = || {
        let mut service = service.clone();
        async move { read(service.call(payment("alice", "key")).await.unwrap()).await }
    };

    let mut first: Running<'_, _> = Box::pin(send());
    let mut is_over = false;
    for _ in 0..polls {
        is_over = poll(&mut first).is_ready();
        if is_over {
            break;
        }
        clock.advance(Duration::from_millis(100));
    }
    drop(first);

    let pace = Duration::ZERO;
    let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
    let record = drive(&clock, pace, idempotency.find(&key)).unwrap();
    let effects = begun.load(Ordering::Relaxed);
    match record {
        None => {
            *found.entry("free").or_default() += 1;
            let again = drive(&clock, pace, send());
            assert_eq!(
                (again.status.as_u16(), again.is_replayed()),
                (if effects == 0 { status } else { 201 }, false)
            );
        }
        Some(Record::InProgress(record)) => {
            *found.entry("in progress").or_default() += 1;
            let early = drive(&clock, pace, send());
            assert_eq!(
                (early.reason().as_str(), begun.load(Ordering::Relaxed)),
                ("request-in-progress", effects)
            );
            let wait: u64 = early.header("retry-after").unwrap().parse().unwrap();
            assert!(
                Duration::from_secs(wait) >= record.expires_at.saturating_since(limited::Clock::now(&clock))
            );
            clock.advance(Duration::from_secs(wait));
            let again = drive(&clock, pace, send());
            assert_eq!((again.text(), again.is_replayed()), ((effects + 1).to_string().as_str(), false));
        }
        Some(Record::Finished(_)) => {
            *found.entry("done").or_default() += 1;
            assert_eq!(answered.load(Ordering::Relaxed), 1, "done, and the service has not answered");
            let again = drive(&clock, pace, send());
            assert_eq!((again.text(), again.is_replayed(), again.status.as_u16()), ("1", true, status));
            assert_eq!(begun.load(Ordering::Relaxed), 1);
        }
    }
    is_over
}

#[test]
fn a_client_that_goes_away_leaves_the_key_free_in_progress_or_done() {
    let mut found = BTreeMap::new();
    for status in [201, 500] {
        for (name, _) in backends() {
            for polls in 0.. {
                println!("{name}, {status}, after {polls} polls");
                let backend = backends().into_iter().find(|(other, _)| *other == name).unwrap().1;
                if go_away_after(polls, backend, status, &mut found) {
                    break;
                }
            }
        }
    }
    println!("{found:?}");
    for what in ["free", "in progress", "done"] {
        assert!(found.get(what).is_some_and(|times| *times >= 4), "{what}: {found:?}");
    }
}
