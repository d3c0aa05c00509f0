//! Disconnects at every await point. Afterwards the key is free, in progress until its lease ends,
//! or done with the service's response.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response};
use limited::backend::Record;
use limited::http::BufferedBody;
use limited::{Idempotency, Key, ManualClock};
use tower::{Layer, service_fn};

use super::service::{Frames, call, payment};
use super::{LEASE, layer};
use crate::common::stepping::{Running, Stepping, drive, poll, step};
use crate::common::{AnyBackend, backends};

/// Sends a payment, disconnects after this number of polls, and retries. Returns whether the
/// response came earlier.
fn disconnect_after(
    polls: usize,
    backend: AnyBackend,
    status: u16,
    found: &mut BTreeMap<&'static str, u32>,
) -> bool {
    let clock = ManualClock::new();
    let backend = Arc::new(Stepping::new(backend));
    let idempotency = Idempotency::new(Arc::clone(&backend)).clock(clock.clone()).lease(LEASE);
    let idempotency = idempotency.wait_timeout(Duration::ZERO);
    let (started, responded) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counters = (Arc::clone(&started), Arc::clone(&responded));
    let service = service_fn(move |_: Request<BufferedBody<Frames>>| {
        let (started, responded) = (Arc::clone(&counters.0), Arc::clone(&counters.1));
        async move {
            step().await;
            let number = started.fetch_add(1, Ordering::Relaxed) + 1;
            step().await;
            responded.fetch_add(1, Ordering::Relaxed);
            let status = if number == 1 { status } else { 201 };
            let body = Frames::from(vec![number.to_string().into_bytes()]);
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    let layer = layer(idempotency);
    let service = layer.layer(service);
    let send = || {
        let mut service = service.clone();
        async move { call(&mut service, payment("alice", "key")).await }
    };

    let mut first: Running<'_, _> = Box::pin(send());
    let mut is_done = false;
    for _ in 0..polls {
        is_done = poll(&mut first).is_ready();
        if is_done {
            break;
        }
        clock.advance(Duration::from_millis(100));
    }
    drop(first);

    let pace = Duration::ZERO;
    let key = Key::new().secret("bearer", "alice").part("idempotency-key", "key");
    let record = drive(&clock, pace, layer.records().find(&key)).unwrap();
    let effects = started.load(Ordering::Relaxed);
    match record {
        None => {
            *found.entry("free").or_default() += 1;
            let retry = drive(&clock, pace, send());
            assert_eq!(
                (retry.status.as_u16(), retry.is_replayed()),
                (if effects == 0 { status } else { 201 }, false)
            );
        }
        Some(Record::InProgress(record)) => {
            *found.entry("in progress").or_default() += 1;
            let early = drive(&clock, pace, send());
            assert_eq!(
                (early.reason().as_str(), started.load(Ordering::Relaxed)),
                ("request-in-progress", effects)
            );
            let wait: u64 = early.header("retry-after").unwrap().parse().unwrap();
            assert!(
                Duration::from_secs(wait) >= record.expires_at.saturating_since(limited::Clock::now(&clock))
            );
            clock.advance(Duration::from_secs(wait));
            let retry = drive(&clock, pace, send());
            assert_eq!((retry.text(), retry.is_replayed()), ((effects + 1).to_string().as_str(), false));
        }
        Some(Record::Finished(_)) => {
            *found.entry("done").or_default() += 1;
            assert_eq!(responded.load(Ordering::Relaxed), 1, "recorded as done before the service responded");
            let retry = drive(&clock, pace, send());
            assert_eq!((retry.text(), retry.is_replayed(), retry.status.as_u16()), ("1", true, status));
            assert_eq!(started.load(Ordering::Relaxed), 1);
        }
    }
    is_done
}

#[test]
fn disconnect_leaves_the_key_free_in_progress_or_done() {
    let mut found = BTreeMap::new();
    for status in [201, 500] {
        for (name, _) in backends() {
            for polls in 0.. {
                println!("{name}, {status}, after {polls} polls");
                let backend = backends().into_iter().find(|(other, _)| *other == name).unwrap().1;
                if disconnect_after(polls, backend, status, &mut found) {
                    break;
                }
            }
        }
    }
    println!("{found:?}");
    for state in ["free", "in progress", "done"] {
        assert!(found.get(state).is_some_and(|times| *times >= 4), "{state}: {found:?}");
    }
}
