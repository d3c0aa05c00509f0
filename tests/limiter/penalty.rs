//! Penalties: a cost that is counted past the limit.

use std::sync::Arc;
use std::time::Duration;

use limited::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use limited::{Algorithm, BackendError, Clock, Decision, Error, Limiter, OnError, Quota, Quotas};
use limited_memory::MemoryBackend;
use limited_mock::{MockBackend, Operation};
use proptest::prelude::*;

use crate::common::{block_on, everywhere, in_memory, on_every_backend};

#[test]
fn penalty_is_counted_past_the_limit() {
    everywhere(Quota::per_minute(10), |limiter, _| {
        let decision = block_on(limiter.penalize("key", 3)).unwrap();
        assert_eq!((decision.is_allowed(), decision.used(), decision.remaining()), (true, 3, 7));
        let decision = block_on(limiter.penalize("key", 25)).unwrap();
        assert_eq!((decision.is_allowed(), decision.remaining()), (false, 0));
        assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
        assert!(block_on(limiter.allow("other")).unwrap().is_allowed());
    });
}

#[test]
fn window_counts_a_penalty_until_it_ends() {
    on_every_backend(FixedWindow, Quota::per_minute(10), |limiter, clock| {
        let decision = block_on(limiter.penalize("key", u64::MAX)).unwrap();
        assert_eq!(decision.retry_after(), Some(Duration::from_secs(60)));
        let _ = block_on(limiter.penalize("key", u64::MAX)).unwrap();
        clock.advance(Duration::from_secs(60));
        assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
    });
}

#[test]
fn penalty_of_the_previous_window_weighs_on_a_sliding_window() {
    on_every_backend(SlidingWindow, Quota::per_minute(10), |limiter, clock| {
        let _ = block_on(limiter.penalize("key", u64::MAX)).unwrap();
        clock.advance(Duration::from_secs(60));
        assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
        let _ = block_on(limiter.penalize("key", u64::MAX)).unwrap();
        clock.advance(Duration::from_secs(120));
        assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
    });
}

#[test]
fn bucket_pays_a_penalty_back_by_time() {
    // The clock is never behind by more than the skew, so the penalty is not that of a wrong clock.
    on_every_backend(TokenBucket, Quota::per_second(1).burst(5), |limiter, clock| {
        let decision = block_on(limiter.penalize("key", 1_000)).unwrap();
        // 995 tokens are missing, and the hit itself needs one.
        assert_eq!(decision.retry_after(), Some(Duration::from_secs(996)));
        clock.advance(Duration::from_secs(996) - Duration::from_nanos(1));
        assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
        clock.advance(Duration::from_nanos(1));
        assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
        assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
    });
}

#[test]
fn penalties_of_a_bucket_add_up() {
    on_every_backend(TokenBucket, Quota::per_second(1).burst(5), |limiter, _| {
        let waits: Vec<_> = [10, 1, 100, 7]
            .map(|cost| block_on(limiter.penalize("key", cost)).unwrap().retry_after().unwrap().as_secs())
            .into();
        assert_eq!(waits, [6, 7, 107, 114]);
    });
}

#[test]
fn penalty_comes_behind_a_queue() {
    let (limiter, _) = in_memory(TokenBucket, Quota::per_second(1).burst(1));
    let _ = limiter.penalize_now("key", 3).unwrap();
    let mut waiting: crate::common::stepping::Running<'_, _> = Box::pin(limiter.until_allowed("key"));
    assert!(crate::common::stepping::poll(&mut waiting).is_pending());
    assert_eq!(limiter.penalize_now("key", 1).unwrap().retry_after(), Some(Duration::from_secs(5)));
}

#[test]
fn refund_takes_a_penalty_back() {
    for algorithm in [FixedWindow, SlidingWindow, TokenBucket] {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(10));
        let decision = limiter.penalize_now("key", 25).unwrap();
        limiter.refund_n_now("key", &decision, 20).unwrap();
        assert_eq!(limiter.peek_now("key").unwrap().used(), 5, "{algorithm}");
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(10));
        let limiter = limiter.quotas("10/min; 100/h".parse::<Quotas>().unwrap());
        let decision = limiter.penalize_now("key", 25).unwrap();
        limiter.refund_n_now("key", &decision, 20).unwrap();
        let used: Vec<_> = limiter.peek_now("key").unwrap().limits().iter().map(Decision::used).collect();
        assert_eq!(used, [5, 5], "{algorithm}");
    }
}

#[test]
fn penalty_by_several_quotas_is_counted_in_each() {
    for algorithm in [FixedWindow, SlidingWindow, TokenBucket] {
        let (limiter, _) = in_memory(algorithm, Quota::default());
        let limiter = limiter.quotas("2/s; 10/min".parse::<Quotas>().unwrap());
        for (cost, remaining) in [(7, 3), (2, 1), (50, 0)] {
            let decision = limiter.penalize_now("key", cost).unwrap();
            let [second, minute] = decision.limits() else { panic!("two quotas") };
            assert_eq!((second.is_allowed(), second.remaining()), (false, 0), "{algorithm}");
            assert_eq!(minute.remaining(), remaining, "{algorithm}");
        }
    }
}

#[test]
fn quota_of_the_call_decides_about_the_penalty() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_minute(10));
    let decision = limiter.with_quota(Quota::per_minute(30)).penalize_now("key", 20).unwrap();
    assert_eq!((decision.is_allowed(), decision.remaining()), (true, 10));
    assert!(!limiter.allow_now("key").unwrap().is_allowed());
}

#[test]
fn penalty_is_one_call_and_two_for_a_bucket_that_is_further_ahead() {
    for (algorithm, calls) in [(FixedWindow, [1, 1]), (SlidingWindow, [1, 1]), (TokenBucket, [1, 2])] {
        let mock = MockBackend::new();
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).quota(Quota::per_hour(10));
        for calls in calls {
            mock.clear_calls();
            let _ = limiter.penalize_now("key", 25).unwrap();
            assert_eq!(mock.count(Operation::Increment), calls, "{algorithm}");
        }
    }
}

#[test]
fn invalid_penalty_is_an_error_and_a_failed_one_is_never_decided() {
    let mock = MockBackend::new();
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).on_error(OnError::Allow);
        assert!(matches!(limiter.penalize_now("key", 0), Err(Error::ZeroCost)));
        assert!(matches!(limiter.penalize_now("", 1), Err(Error::InvalidKey(_))));
        mock.fail_next(BackendError::throttled("slow down"));
        let error = block_on(limiter.penalize("key", 1)).unwrap_err();
        assert!(matches!(error, Error::Backend(BackendError::Throttled(_))), "{error:?}");
    }
}

#[test]
fn penalty_that_no_backend_can_store_is_an_error() {
    let (limiter, _) =
        in_memory(TokenBucket, Quota::new(u64::MAX, Duration::from_secs(86_400 * 36_500)).unwrap());
    let error = (0..10).find_map(|_| limiter.penalize_now("key", u64::MAX).err());
    assert!(matches!(error, Some(Error::Backend(BackendError::Invalid(_)))), "{error:?}");
    assert!(!limiter.allow_now("key").unwrap().is_allowed());
}

#[test]
fn parallel_penalties_are_all_counted() {
    let limiter = Limiter::new(Arc::new(MemoryBackend::new())).algorithm(TokenBucket);
    let limiter = limiter.quota(Quota::per_hour(1)).clock(limited::ManualClock::new());
    let penalties = crate::common::in_parallel(20, |_, _| match limiter.penalize_now("key", 2) {
        Ok(_) => 1,
        // Others were faster in every try. The penalty is not counted.
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            0
        }
    });
    let wait = limiter.peek_now("key").unwrap().retry_after().unwrap();
    assert_eq!(wait, Duration::from_secs(3_600 * 2 * penalties));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn penalty_of_a_bucket_is_exact_whatever_was_before(
        limit in 1..1_000_u64, burst in 1..1_000_u64,
        penalties in prop::collection::vec((1..100_000_u64, 0..5_000_u64), 1..12),
    ) {
        let quota = Quota::per_second(limit).burst(burst);
        let (limiter, clock) = in_memory(TokenBucket, quota);
        // The time at which the bucket is full, in 1/limit nanoseconds since the start.
        let (start, mut full) = (clock.now(), 0_u128);
        for (cost, pause) in penalties {
            clock.advance(Duration::from_millis(pause));
            let now = clock.now().saturating_since(start).as_nanos() * u128::from(limit);
            full = full.max(now) + u128::from(cost) * 1_000_000_000;
            let decision = limiter.penalize_now("key", cost).unwrap();
            let missing = (full - now).div_ceil(limit.into());
            prop_assert_eq!(decision.reset_after().as_nanos(), missing);
        }
    }
}
