//! Lost, truncated and late responses, and cancelled callers.

use std::time::Duration;

use limited::{Algorithm, BackendError, Limiter, ManualClock, Quota};

use crate::support::{Fault, Wire};
use crate::{backend_error, limiter};

#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_counts_once_and_is_allowed() {
    for algorithm in Algorithm::ALL {
        let wire = Wire::new();
        let limiter = limiter(&wire).await.algorithm(algorithm);
        for used in 1..=10 {
            // A sliding window reads the previous window first.
            let reads = usize::from(algorithm == Algorithm::SlidingWindow);
            wire.push_faults(std::iter::repeat_n(Fault::None, reads).chain([Fault::CutAfter]));
            let decision = limiter.allow("key").await.unwrap();
            assert!(decision.is_allowed(), "{algorithm}: the repetition was not recognised");
            assert_eq!(decision.used(), used, "{algorithm}");
            assert_eq!(limiter.peek("key").await.unwrap().used(), used, "{algorithm}");
        }
    }
}

/// Some servers do not return the item for which a condition failed.
#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_counts_once_if_the_server_hides_the_old_item() {
    for algorithm in Algorithm::ALL {
        let wire = Wire::new();
        wire.hide_old_items();
        let limiter = limiter(&wire).await.algorithm(algorithm);
        for used in 1..=10 {
            wire.push_fault_on("UpdateItem", Fault::CutAfter);
            let decision = limiter.allow("key").await.unwrap();
            assert!(decision.is_allowed(), "{algorithm}: the repetition was not recognised");
            assert_eq!(decision.used(), used, "{algorithm}");
            assert_eq!(limiter.peek("key").await.unwrap().used(), used, "{algorithm}");
        }
        assert!(!limiter.allow("key").await.unwrap().is_allowed(), "{algorithm}");
    }
}

/// A changed limit takes two requests. Either of their responses is lost, or both.
#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_counts_once_if_the_limit_changed() {
    for faults in [
        &[Fault::CutAfter][..],
        &[Fault::None, Fault::CutAfter],
        // The repetition of the first request precedes the second.
        &[Fault::CutAfter, Fault::None, Fault::CutAfter],
    ] {
        let wire = Wire::new();
        let limiter = limiter(&wire).await.algorithm(Algorithm::TokenBucket);
        for round in 1..=5_u64 {
            for (limit, used) in [(20, 20), (40, 40)] {
                let quota = Quota::per_minute(limit);
                wire.push_faults(faults.iter().copied());
                let decision = limiter.with_quota(quota).allow("key").await.unwrap();
                assert!(decision.is_allowed(), "the repetition was not recognised");
                wire.clear_faults();
                // Of 40, a token of 20/min takes two, and one of 40/min takes one.
                let expected = 3 * round - if limit == 20 { 1 } else { 0 };
                let expected = (expected * used).div_ceil(40);
                assert_eq!(limiter.with_quota(quota).peek("key").await.unwrap().used(), expected, "{limit}");
            }
        }
    }
}

/// The write is applied and its response lost. Before it is repeated, another process uses the
/// bucket by another limit.
#[tokio::test(start_paused = true)]
async fn repeated_write_is_recognised_in_a_bucket_that_was_converted_since() {
    let wire = Wire::new();
    let clock = ManualClock::new();
    wire.backend().await;
    let [one, other] = [(), ()].map(|()| {
        let backend = wire.builder().first_backoff(Duration::from_millis(100)).build();
        Limiter::new(backend).clock(clock.clone()).algorithm(Algorithm::TokenBucket)
    });
    for used in [3, 6, 9] {
        wire.push_faults([Fault::CutAfter]);
        let repeated = tokio::spawn({
            let one = one.clone();
            async move { one.with_quota(Quota::per_minute(60)).allow("key").await.unwrap() }
        });
        tokio::task::yield_now().await;
        while !wire.requests().iter().any(|request| request.fault == Fault::CutAfter && request.reached) {
            tokio::task::yield_now().await;
        }
        assert!(other.with_quota(Quota::per_minute(30)).allow("key").await.unwrap().is_allowed());
        let decision = repeated.await.unwrap();
        assert!(decision.is_allowed(), "the repetition was not recognised");
        // What the other process counted meanwhile is included, unless the write began the bucket.
        assert_eq!(decision.used(), if used == 3 { 1 } else { used });
        assert_eq!(one.with_quota(Quota::per_minute(60)).peek("key").await.unwrap().used(), used);
        wire.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn write_with_a_truncated_response_counts_at_most_once() {
    for algorithm in Algorithm::ALL {
        let wire = Wire::new();
        let limiter = limiter(&wire).await.algorithm(algorithm);
        for _ in 0..10 {
            let before = limiter.peek("key").await.unwrap().used();
            wire.push_faults([Fault::Truncate]);
            let error = backend_error(limiter.allow("key").await.unwrap_err());
            assert!(matches!(error, BackendError::Unavailable(_)), "{algorithm}: {error}");
            let after = limiter.peek("key").await.unwrap().used();
            assert!((before..=before + 1).contains(&after), "{algorithm}: {before}, then {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn late_write_after_a_later_one_is_not_applied() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    wire.push_faults([Fault::DelayBefore(Duration::from_secs(2))]);
    assert!(matches!(backend_error(limiter.allow("key").await.unwrap_err()), BackendError::TimedOut(_)));
    assert_eq!(limiter.allow("key").await.unwrap().used(), 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(limiter.peek("key").await.unwrap().used(), 1, "the late write was not applied");
}

#[tokio::test(start_paused = true)]
async fn cancelled_caller_does_not_affect_the_others() {
    let wire = Wire::new();
    let limiter = limiter(&wire).await;
    wire.set_latency(Duration::from_millis(20));
    let first = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.allow("key").await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let [cancelled, kept] = [1, 2].map(|cost| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.allow_n("key", cost).await })
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    first.abort();
    cancelled.abort();
    let decision = kept.await.unwrap().unwrap();
    assert!(decision.is_allowed());
    // The write of the first was in flight. The second was cancelled before its own began, and was
    // not counted.
    assert!((2..=3).contains(&decision.used()), "{}", decision.used());
    assert_eq!(limiter.peek("key").await.unwrap().used(), decision.used());
}
