//! The requests of a decision, counted on the wire: the table in the README.

use std::sync::Arc;
use std::time::Duration;

use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};
use limited_dynamodb::DynamoDbBackend;

use crate::support::Wire;

const UPDATE: &str = "UpdateItem";
const GET: &str = "GetItem";

async fn limiter(algorithm: Algorithm) -> (Wire, Limiter<DynamoDbBackend>, ManualClock) {
    let wire = Wire::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(wire.backend().await).algorithm(algorithm).clock(clock.clone());
    (wire, limiter.quota(Quota::per_minute(2)), clock)
}

#[tokio::test]
async fn first_hit_ordinary_hit_and_refusal_are_one_request_each() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::TokenBucket] {
        let (wire, limiter, clock) = limiter(algorithm).await;
        assert!(limiter.allow("key").await.unwrap().is_allowed());
        assert_eq!(wire.take_operations(), [UPDATE], "{algorithm}: first");
        assert!(limiter.allow("key").await.unwrap().is_allowed());
        assert_eq!(wire.take_operations(), [UPDATE], "{algorithm}: ordinary");
        let refused = limiter.allow("key").await.unwrap();
        assert!(!refused.is_allowed() && refused.retry_after().is_some());
        assert_eq!(wire.take_operations(), [UPDATE], "{algorithm}: refused");
        clock.advance(Duration::from_secs(600));
        assert!(limiter.allow("key").await.unwrap().is_allowed());
        assert_eq!(wire.take_operations(), [UPDATE], "{algorithm}: after a pause");
        assert!(!limiter.allow_n("key", 3).await.unwrap().is_allowed());
        assert_eq!(wire.take_operations(), [GET], "{algorithm}: a cost above the limit only reads");
        let _ = limiter.peek("key").await.unwrap();
        assert_eq!(wire.take_operations(), [GET], "{algorithm}: a peek");
        limiter.reset("key").await.unwrap();
        assert_eq!(wire.take_operations(), ["DeleteItem"], "{algorithm}: a reset");
    }
}

#[tokio::test]
async fn sliding_window_reads_the_previous_window_until_it_is_closed() {
    let (wire, limiter, clock) = limiter(Algorithm::SlidingWindow).await;
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(60));
    wire.clear();
    for _ in 0..2 {
        let _ = limiter.allow("key").await.unwrap();
        assert_eq!(wire.take_operations(), [GET, UPDATE], "late hits may still arrive");
    }
    clock.advance(Duration::from_secs(6));
    let _ = limiter.allow("key").await.unwrap();
    assert_eq!(wire.take_operations(), [GET, UPDATE], "closed, and read for the last time");
    for _ in 0..3 {
        let _ = limiter.allow("key").await.unwrap();
        assert_eq!(wire.take_operations(), [UPDATE], "closed, and cached");
    }
}

#[tokio::test]
async fn long_operation_timeout_hardly_delays_the_close_of_a_window() {
    let wire = Wire::new();
    wire.backend().await;
    for (timeout, closed_after) in [(250, 5_250), (1_000, 6_000), (30_000, 6_000)] {
        let clock = ManualClock::new();
        let backend = wire.builder().operation_timeout(Duration::from_millis(timeout)).build();
        let limiter = Limiter::new(backend).algorithm(Algorithm::SlidingWindow).clock(clock.clone());
        let limiter = limiter.quota(Quota::per_minute(1_000));
        // The manual clock begins with a window.
        clock.advance(Duration::from_millis(closed_after - 1));
        wire.clear();
        for operations in [&[GET, UPDATE][..], &[GET, UPDATE], &[UPDATE]] {
            let _ = limiter.allow("key").await.unwrap();
            assert_eq!(wire.take_operations(), operations, "{timeout} ms");
            clock.advance(Duration::from_millis(1));
        }
    }
}

/// Lets tasks hit a cold key of a sliding window at once. Returns how many were admitted, and how
/// many reads and writes were sent.
async fn burst(wire: &Wire, limiter: &Limiter<DynamoDbBackend>, hits: usize) -> (usize, usize, usize) {
    wire.clear();
    let hits: Vec<_> = (0..hits)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.allow("key").await.unwrap() })
        })
        .collect();
    let mut admitted = 0;
    for hit in hits {
        admitted += usize::from(hit.await.unwrap().is_allowed());
    }
    (admitted, wire.count(GET), wire.count(UPDATE))
}

#[tokio::test(start_paused = true)]
async fn thousand_hits_at_once_on_a_cold_sliding_key_share_their_reads() {
    let (wire, limiter, clock) = limiter(Algorithm::SlidingWindow).await;
    wire.set_latency(Duration::from_millis(5));
    let limiter = limiter.quota(Quota::per_minute(300));
    for (window, admitted) in [(1, 300), (2, 0), (3, 300)] {
        let (counted, reads, writes) = burst(&wire, &limiter, 1_000).await;
        assert_eq!(counted, admitted, "window {window}");
        // The first hit is a batch of its own; the others arrive during its read. If the previous
        // window leaves no room, each batch reads the state instead of writing.
        let expected = if admitted == 0 { 4 } else { 2 };
        assert!(reads <= expected, "window {window}: {reads} reads");
        assert!(writes <= 4, "window {window}: {writes} writes");
        clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test(start_paused = true)]
async fn sliding_hit_includes_what_was_counted_before_it_during_another_read() {
    let (wire, limiter, clock) = limiter(Algorithm::SlidingWindow).await;
    let limiter = limiter.quota(Quota::per_minute(4));
    // The server reads at once for the first hit, and its response is late.
    wire.push_fault_on(GET, crate::support::Fault::DelayResponse(Duration::from_millis(50)));
    clock.advance(Duration::from_secs(60));
    let first = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.allow("key").await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Another process counts in the window before.
    let late = ManualClock::new();
    let other = Limiter::new(wire.builder().build()).algorithm(Algorithm::SlidingWindow).clock(late);
    assert!(other.quota(Quota::per_minute(4)).allow_n("key", 4).await.unwrap().is_allowed());
    let second = limiter.allow("key").await.unwrap();
    assert!(!second.is_allowed(), "it joined a read that began before the other process counted");
    assert!(first.await.unwrap().is_allowed());
}

#[tokio::test(start_paused = true)]
async fn failed_read_of_the_previous_window_counts_no_hit_of_the_batch() {
    let (wire, limiter, _) = limiter(Algorithm::SlidingWindow).await;
    for _ in 0..2 {
        wire.push_fault_on(GET, crate::support::Fault::InternalError);
    }
    assert!(limiter.allow("key").await.is_err());
    assert_eq!(wire.take_operations(), [GET, GET], "nothing was written");
    assert_eq!(limiter.peek("key").await.unwrap().used(), 0);
}

#[tokio::test(start_paused = true)]
async fn fixed_and_sliding_hits_of_one_batch_have_their_own_ceilings() {
    let (wire, sliding, clock) = limiter(Algorithm::SlidingWindow).await;
    let fixed = sliding.clone().algorithm(Algorithm::FixedWindow);
    assert!(sliding.allow_n("key", 2).await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(60));
    wire.set_latency(Duration::from_millis(5));
    let hits = [&fixed, &sliding, &fixed, &fixed].map(|limiter| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.allow("key").await.unwrap().is_allowed() })
    });
    let mut allowed = Vec::new();
    for hit in hits {
        allowed.push(hit.await.unwrap());
    }
    assert_eq!(allowed, [true, false, true, false]);
}

#[tokio::test]
async fn wrong_expectation_of_a_bucket_costs_one_more_request() {
    let (wire, limiter, clock) = limiter(Algorithm::TokenBucket).await;
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    wire.clear();
    // A process that has not used the key expects a full bucket, which this one is not.
    let other = Limiter::new(wire.builder().build()).algorithm(Algorithm::TokenBucket);
    let other = other.quota(Quota::per_minute(2)).clock(clock);
    assert!(other.allow("key").await.unwrap().is_allowed());
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
    assert!(!other.allow("key").await.unwrap().is_allowed());
    assert_eq!(wire.take_operations(), [UPDATE], "now its state is known");
}

#[tokio::test(start_paused = true)]
async fn coalesced_hits_are_one_request_if_all_fit_and_two_if_some_do() {
    for (limit, updates) in [(9, 2), (7, 3)] {
        let (wire, limiter, _) = limiter(Algorithm::FixedWindow).await;
        let limiter = limiter.quota(Quota::per_minute(limit));
        wire.set_latency(Duration::from_millis(10));
        // The first is a write of its own; the others arrive during that write.
        let hits: Vec<_> = (0..3)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.allow_n("key", 3).await.unwrap() })
            })
            .collect();
        let mut admitted = 0;
        for hit in hits {
            let decision = hit.await.unwrap();
            admitted += u64::from(decision.is_allowed());
            // A hit that is refused because of another hit of the batch reports what that one
            // counted.
            assert!(decision.is_allowed() || decision.used() == 6);
        }
        assert_eq!(admitted, limit / 3);
        assert_eq!(wire.take_operations().len(), updates, "limit {limit}");
    }
}

#[tokio::test]
async fn opening_a_window_over_an_ended_one_takes_two_requests() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let key = Key::from("key");
    let counter = Counter::new("", &key, Window::FromFirstHit { length: WindowLength::MINUTE }).unwrap();
    let start = Timestamp::from_secs(1_795_262_400);
    for (later, operations) in [(0, 1), (59, 1), (60, 2), (119, 1), (180, 2)] {
        let now = start.saturating_add(Duration::from_secs(later));
        assert!(backend.increment(&counter, &Hit::new(1, 9), now).await.unwrap().counted);
        assert_eq!(wire.take_operations().len(), operations, "{later} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn thousand_concurrent_hits_on_one_key_take_at_most_five_writes() {
    for algorithm in Algorithm::ALL {
        let (wire, limiter, _) = limiter(algorithm).await;
        wire.set_latency(Duration::from_millis(5));
        let limiter = Arc::new(limiter.quota(Quota::per_minute(300)));
        let hits: Vec<_> = (0..1_000)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.allow("key").await.unwrap().is_allowed() })
            })
            .collect();
        let mut admitted = 0;
        for hit in hits {
            admitted += u32::from(hit.await.unwrap());
        }
        let updates = wire.requests().iter().filter(|request| request.operation == UPDATE).count();
        assert_eq!(admitted, 300, "{algorithm}");
        assert!(updates <= 5, "{algorithm}: {updates} updates");
    }
}

#[tokio::test]
async fn hit_costs_one_write_unit_with_many_writers() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::TokenBucket] {
        let wire = Wire::new();
        let clock = ManualClock::new();
        wire.backend().await;
        for writer in 0..40 {
            let limiter = Limiter::new(wire.builder().build()).algorithm(algorithm).clock(clock.clone());
            let decision = limiter.allow("tenant:42:user:12345").await.unwrap();
            assert!(decision.is_allowed(), "{algorithm}: writer {writer}");
            clock.advance(Duration::from_millis(1));
        }
        let requests = wire.requests();
        let updates: Vec<_> = requests.iter().filter(|request| request.operation == UPDATE).collect();
        assert!(updates.iter().all(|request| request.units == Some(1.0)));
        let removals = updates.iter().filter(|request| {
            let update = request.request["UpdateExpression"].as_str();
            update.is_some_and(|update| update.starts_with("REMOVE"))
        });
        let removals = removals.count();
        assert!(
            (1..=4).contains(&removals),
            "{algorithm}: {removals} requests to remove slots of 40 writers"
        );
    }
}
