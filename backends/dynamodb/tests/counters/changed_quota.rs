//! Buckets whose quota changes, or differs between callers.

use std::time::Duration;

use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_core::{Backend, BucketQuota, Clock, Counter, Hit, Key, Timestamp, Window, WindowLength};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Wire, client, raw_item};

const UPDATE: &str = "UpdateItem";
const GET: &str = "GetItem";

async fn limiter() -> (Wire, Limiter<DynamoDbBackend>, ManualClock) {
    let wire = Wire::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(wire.backend().await).algorithm(Algorithm::TokenBucket).clock(clock.clone());
    (wire, limiter, clock)
}

/// Returns the limiter of another process on the same table.
fn process(wire: &Wire, clock: &ManualClock) -> Limiter<DynamoDbBackend> {
    Limiter::new(wire.builder().build()).algorithm(Algorithm::TokenBucket).clock(clock.clone())
}

#[tokio::test]
async fn changed_limit_keeps_what_was_used() {
    let (wire, limiter, clock) = limiter().await;
    for _ in 0..10 {
        assert!(limiter.with_quota(Quota::per_minute(10)).allow("key").await.unwrap().is_allowed());
    }
    let restarted = process(&wire, &clock);
    for limit in [9, 11, 1, 100] {
        // A process that has not used the bucket expects it to be full.
        for limiter in [&limiter, &restarted, &process(&wire, &clock)] {
            let decision = limiter.with_quota(Quota::per_minute(limit)).allow("key").await.unwrap();
            assert!(!decision.is_allowed(), "{limit}: {decision:?}");
            // The time at which the bucket is full stays, and a token takes a minute / limit.
            let wait = Duration::from_secs(60).div_f64(limit as f64);
            let retry_after = decision.retry_after().unwrap();
            assert!(retry_after.abs_diff(wait) <= Duration::from_nanos(limit), "{limit}: {retry_after:?}");
        }
    }
    clock.advance(Duration::from_secs(6));
    assert!(limiter.with_quota(Quota::per_minute(10)).allow("key").await.unwrap().is_allowed());
    assert!(!restarted.with_quota(Quota::per_minute(9)).allow("key").await.unwrap().is_allowed());
}

#[tokio::test]
async fn unchanged_limit_costs_one_request_and_changed_limit_two() {
    let (wire, limiter, _) = limiter().await;
    let allow = |quota| {
        let (limiter, wire) = (limiter.clone(), wire.clone());
        async move {
            wire.clear();
            let is_allowed = limiter.with_quota(quota).allow("key").await.unwrap().is_allowed();
            (is_allowed, wire.take_operations().len())
        }
    };
    assert_eq!(allow(Quota::per_minute(10)).await, (true, 1), "the first hit");
    assert_eq!(allow(Quota::per_minute(10)).await, (true, 1), "unchanged");
    assert_eq!(allow(Quota::per_minute(20)).await, (true, 2), "raised");
    assert_eq!(allow(Quota::per_minute(20)).await, (true, 1), "and then unchanged");
    assert_eq!(allow(Quota::per_minute(5)).await, (true, 2), "lowered");
    assert_eq!(allow(Quota::per_minute(5)).await, (true, 1), "and then unchanged");
    for burst in [9, 4, 7] {
        assert_eq!(allow(Quota::per_minute(5).burst(burst)).await, (burst > 4, 1), "a burst of {burst}");
    }
    assert_eq!(allow(Quota::per_minute(3).burst(2)).await, (false, 1), "changed, and refused");
    assert_eq!(allow(Quota::per_minute(5).burst(2)).await, (false, 1), "unchanged, and refused");
}

#[tokio::test]
async fn changed_limit_of_a_full_bucket_costs_two_requests_once() {
    let (wire, limiter, clock) = limiter().await;
    assert!(limiter.with_quota(Quota::per_minute(10)).allow("key").await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(3_600));
    for requests in [2, 1] {
        wire.clear();
        let decision = limiter.with_quota(Quota::per_minute(20)).allow("key").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!(wire.take_operations().len(), requests, "{decision:?}");
    }
    assert_eq!(limiter.with_quota(Quota::per_minute(20)).peek("key").await.unwrap().used(), 2);
}

#[tokio::test]
async fn peek_and_refusal_by_another_limit_write_nothing() {
    let (wire, limiter, _) = limiter().await;
    assert!(limiter.with_quota(Quota::per_minute(5)).allow_n("key", 5).await.unwrap().is_allowed());
    let before = raw_item(&client(&wire), "limits", "key", "BUCKET/PT1M").await;
    assert_eq!(limiter.with_quota(Quota::per_minute(10)).peek("key").await.unwrap().used(), 10);
    assert!(!limiter.with_quota(Quota::per_minute(10)).allow("key").await.unwrap().is_allowed());
    assert_eq!(raw_item(&client(&wire), "limits", "key", "BUCKET/PT1M").await, before);
}

/// Whatever the limits, what is admitted is within the highest of them.
#[tokio::test(start_paused = true)]
async fn limits_that_wander_in_several_processes_admit_no_more_than_the_highest() {
    let wire = Wire::new();
    wire.backend().await;
    let clock = ManualClock::new();
    let processes: Vec<_> = (0..3).map(|_| process(&wire, &clock)).collect();
    let mut admitted = 0;
    for step in 0..200_u64 {
        wire.set_latency(Duration::from_millis(step % 3));
        let calls: Vec<_> = (0..6)
            .map(|call| {
                let limiter = processes[call % 3].clone();
                let limit = 81 + (step * 7 + call as u64 * 13) % 20;
                tokio::spawn(async move {
                    limiter.with_quota(Quota::per_second(limit)).allow_n("key", 5).await.unwrap().is_allowed()
                })
            })
            .collect();
        for call in calls {
            admitted += if call.await.unwrap() { 5 } else { 0 };
        }
        clock.advance(Duration::from_millis(10));
    }
    // Two seconds. The limits are above 81, so that at least that rate passes.
    assert!((81 * 2..=100 + 100 * 2).contains(&admitted), "{admitted}");
}

/// Three limiters of one process, each with a limit of its own, hit one key at the same time.
#[tokio::test(start_paused = true)]
async fn hits_of_different_limits_in_one_batch_share_the_bucket() {
    let (wire, limiter, _) = limiter().await;
    wire.set_latency(Duration::from_millis(10));
    let hits: Vec<_> = (0..120_u64)
        .map(|number| {
            let limiter = limiter.clone();
            let limit = [60, 90, 180][usize::try_from(number % 3).unwrap()];
            tokio::spawn(async move {
                let decision = limiter.with_quota(Quota::per_minute(limit)).allow("key").await.unwrap();
                (decision.is_allowed(), 180 / limit)
            })
        })
        .collect();
    // In parts of 1/180 of the bucket: a token of 60/min is three of them.
    let mut used = 0;
    for hit in hits {
        let (is_allowed, share) = hit.await.unwrap();
        used += if is_allowed { share } else { 0 };
    }
    // Conversions round up by less than a token in all.
    assert!((177..=180).contains(&used), "{used}");
    // The first hit is a write of its own. The others are one batch: it is read, and replaced.
    assert_eq!(wire.take_operations(), [UPDATE, GET, UPDATE]);
}

#[tokio::test(start_paused = true)]
async fn batch_of_one_limit_and_several_bursts_is_one_request() {
    let (wire, limiter, _) = limiter().await;
    wire.set_latency(Duration::from_millis(10));
    let hits: Vec<_> = [10, 2, 5, 10, 2, 5]
        .into_iter()
        .map(|burst| {
            let limiter = limiter.clone();
            let quota = Quota::per_minute(10).burst(burst);
            tokio::spawn(async move { limiter.with_quota(quota).allow("key").await.unwrap().is_allowed() })
        })
        .collect();
    let mut admitted = Vec::new();
    for hit in hits {
        admitted.push(hit.await.unwrap());
    }
    assert_eq!(admitted, [true, true, true, true, false, true]);
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
    let item = raw_item(&client(&wire), "limits", "key", "BUCKET/PT1M").await;
    assert_eq!(item["Capacity"].as_n().unwrap(), "5", "that of the last counted hit");
}

fn bucket_hit(quota: BucketQuota, cost: u64, now: Timestamp) -> Hit<'static> {
    let length = WindowLength::MINUTE;
    let cost = u128::from(cost) * u128::from(length.as_nanos());
    Hit::new(cost, quota.highest_value(length, now))
        .with_floor(u128::from(now.as_nanos()) * u128::from(quota.limit))
}

#[tokio::test]
async fn refusal_and_read_report_the_lead_of_the_clock_that_wrote_the_bucket() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let (key, now) = (Key::from("key"), ManualClock::new().now());
    let bucket = Counter::new("", &key, Window::Bucket { length: WindowLength::MINUTE }).unwrap();
    let quota = BucketQuota::new(60, 5);
    let counter = bucket.with_bucket(quota);
    let ahead = now.saturating_add(Duration::from_secs(2));
    let state = backend.increment(&counter, &bucket_hit(quota, 5, ahead), ahead).await.unwrap();
    assert_eq!((state.counted, state.clock_lead), (true, Duration::ZERO));

    for other in [quota, BucketQuota::new(60, 2), BucketQuota::new(30, 1)] {
        let counter = bucket.with_bucket(other);
        let state = backend.increment(&counter, &bucket_hit(other, 1, now), now).await.unwrap();
        assert_eq!((state.counted, state.clock_lead), (false, Duration::from_secs(2)), "{other:?}");
        assert_eq!(backend.get(&counter, now).await.unwrap().clock_lead, Duration::from_secs(2), "{other:?}");
    }
    let state = backend.get(&counter, ahead).await.unwrap();
    assert_eq!(state.clock_lead, Duration::ZERO, "a clock as far ahead as the writer's");
}

#[tokio::test]
async fn bucket_without_a_quota_is_invalid() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let (key, now) = (Key::from("key"), ManualClock::new().now());
    let counter = Counter::new("", &key, Window::Bucket { length: WindowLength::MINUTE }).unwrap();
    for error in [
        backend.increment(&counter, &Hit::new(1, 10), now).await.unwrap_err(),
        backend.get(&counter, now).await.unwrap_err(),
    ] {
        assert!(matches!(error, limited_core::BackendError::Invalid(_)), "{error}");
    }
    assert_eq!(wire.take_operations().len(), 0);
    backend.reset(&counter, None, now).await.unwrap();
}

/// During a rollout some processes have the new limit and some the old one.
#[tokio::test(start_paused = true)]
async fn busy_processes_with_different_limits_do_not_throttle_each_other() {
    let wire = Wire::new();
    wire.backend().await;
    wire.set_latency(Duration::from_millis(4));
    let clock = ManualClock::new();
    let limits = [100_000, 100_000, 100_000, 100_000, 90_000, 90_000, 80_000, 80_000];
    let calls: Vec<_> = limits
        .into_iter()
        .map(|limit| {
            let limiter = process(&wire, &clock);
            tokio::spawn(async move {
                let mut admitted = 0;
                for number in 0..50 {
                    tokio::time::sleep(Duration::from_millis(number % 3)).await;
                    let decision =
                        limiter.with_quota(Quota::per_hour(limit)).allow_n("key", 100).await.unwrap();
                    admitted += if decision.is_allowed() { 100 } else { 0 };
                }
                admitted
            })
        })
        .collect();
    let mut admitted = Vec::new();
    for call in calls {
        admitted.push(call.await.unwrap());
    }
    assert_eq!(admitted, [5_000; 8]);
    // 4,000 shares of 1/100,000 each, as the other limits have it.
    let used = process(&wire, &clock).with_quota(Quota::per_hour(72_000)).peek("key").await.unwrap().used();
    let expected = 4 * 5_000 * 72 / 100 + 2 * 5_000 * 72 / 90 + 2 * 5_000 * 72 / 80;
    assert!((expected..=expected + 1).contains(&used), "{used} of {expected}");
    let updates = wire.count(UPDATE);
    assert!(updates <= 400 * 4, "{updates} updates for 400 hits");
}
