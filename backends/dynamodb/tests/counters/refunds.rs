//! Refunds: their requests, and what goes wrong in between.

use std::time::Duration;

use limited_core::{
    Backend, BucketQuota, Counter, Hit, Key, Refund, Timestamp, Window, WindowId, WindowLength,
};

use crate::support::{Fault, Wire};

const UPDATE: &str = "UpdateItem";
const NOW: Timestamp = Timestamp::from_secs(1_795_262_430);
const MINUTE: WindowLength = WindowLength::MINUTE;

fn windows() -> [Window; 5] {
    let (start, end) = (Timestamp::from_secs(1_795_262_400), Timestamp::from_secs(1_795_348_800));
    [
        Window::aligned(NOW, MINUTE),
        Window::FromFirstHit { length: MINUTE },
        Window::Bucket { length: MINUTE },
        Window::Log { length: MINUTE },
        Window::Span { start, end },
    ]
}

/// A counter that admits 10, and a hit and a refund of 4.
fn charge<'a>(key: &'a Key<'a>, window: Window) -> (Counter<'a>, Hit<'a>, Refund) {
    let counter = Counter::new("", key, window).unwrap();
    let Window::Bucket { length } = window else {
        let hit = Hit::new(4, 10).with_window_meta(WindowId(7), None);
        return (counter, hit, Refund::new(4, NOW).with_window_id(WindowId(7)));
    };
    let (quota, cost) = (BucketQuota::new(10, 10), 4 * u128::from(length.as_nanos()));
    let hit = Hit::new(cost, quota.highest_value(length, NOW)).with_floor(10 * u128::from(NOW.as_nanos()));
    (counter.with_bucket(quota), hit, Refund::new(cost, NOW))
}

#[tokio::test]
async fn refund_is_one_request() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let key = Key::from("key");
        let (counter, hit, refund) = charge(&key, window);
        let before = backend.increment(&counter, &hit, NOW).await.unwrap();
        assert!(backend.increment(&counter, &hit, NOW).await.unwrap().counted);
        wire.clear();
        let after = backend.refund(&counter, &refund, NOW).await.unwrap();
        assert!(after.counted, "{window:?}");
        assert_eq!(after.value, before.value, "{window:?}");
        assert_eq!(wire.take_operations(), [UPDATE], "{window:?}");
        assert!(backend.increment(&counter, &hit, NOW).await.unwrap().counted, "{window:?}");
        assert!(!backend.increment(&counter, &hit, NOW).await.unwrap().counted, "{window:?}");
    }
}

#[tokio::test]
async fn refund_of_more_than_the_value_takes_two_requests_and_leaves_zero() {
    for window in [Window::aligned(NOW, MINUTE), Window::FromFirstHit { length: MINUTE }] {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let key = Key::from("key");
        let (counter, hit, refund) = charge(&key, window);
        assert!(backend.increment(&counter, &hit, NOW).await.unwrap().counted);
        wire.clear();
        let mut refund = refund;
        refund.cost = 5;
        let after = backend.refund(&counter, &refund, NOW).await.unwrap();
        assert_eq!((after.counted, after.value), (true, 0), "{window:?}");
        assert_eq!(wire.take_operations(), [UPDATE, UPDATE], "{window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refund_with_a_lost_response_returns_the_cost_once() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let key = Key::from("key");
        let (counter, hit, refund) = charge(&key, window);
        let before = backend.increment(&counter, &hit, NOW).await.unwrap();
        assert!(backend.increment(&counter, &hit, NOW).await.unwrap().counted);
        wire.push_fault_on(UPDATE, Fault::CutAfter);
        let after = backend.refund(&counter, &refund, NOW).await.unwrap();
        assert_eq!((after.counted, after.value), (true, before.value), "{window:?}");
        assert_eq!(backend.get(&counter, NOW).await.unwrap().value, before.value, "{window:?}");
    }
}

#[tokio::test]
async fn refund_of_another_process_finds_what_that_one_counted() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let other = wire.builder().build();
        let key = Key::from("key");
        let (counter, hit, refund) = charge(&key, window);
        assert!(backend.increment(&counter, &hit, NOW).await.unwrap().counted);
        // The other process knows a log, and then the first one logs again.
        assert!(other.increment(&counter, &hit, NOW).await.unwrap().counted);
        assert!(backend.refund(&counter, &refund, NOW).await.unwrap().counted, "{window:?}");
        let after = other.refund(&counter, &refund, NOW).await.unwrap();
        assert!(after.counted, "{window:?}");
        let left = other.get(&counter, NOW).await.unwrap().value;
        assert_eq!(left, 0, "{window:?}");
    }
}

#[tokio::test]
async fn refund_of_an_absent_window_writes_nothing() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let key = Key::from("key");
        let (counter, _, refund) = charge(&key, window);
        assert!(!backend.refund(&counter, &refund, NOW).await.unwrap().counted, "{window:?}");
        assert!(wire.requests().iter().all(|request| !(request.operation == UPDATE && request.is_applied())));
    }
}

#[tokio::test]
async fn refunds_of_one_process_wait_for_each_other() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let key = Key::from("key");
    let window = Window::aligned(NOW, MINUTE);
    let counter = Counter::new("", &key, window).unwrap();
    assert!(backend.increment(&counter, &Hit::new(64, 64), NOW).await.unwrap().counted);
    wire.set_latency(Duration::from_millis(2));
    let refunds: Vec<_> = (0..64)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move {
                let key = Key::from("key");
                let counter = Counter::new("", &key, window).unwrap();
                backend.refund(&counter, &Refund::new(1, NOW), NOW).await.unwrap().counted
            })
        })
        .collect();
    for refund in refunds {
        assert!(refund.await.unwrap());
    }
    assert_eq!(backend.get(&counter, NOW).await.unwrap().value, 0);
}
