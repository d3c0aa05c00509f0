//! Token buckets admit at most the burst and what flows in, and exactly the rate in the long run.

use std::time::Duration;

use limited::{Algorithm, Clock, Quota};
use proptest::prelude::*;

use crate::common::{allow_n, calls, in_memory, nanos, on_every_backend, peek, small_quota};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_stretch_of_time_admits_at_most_the_burst_and_what_flows_in(
        quota in small_quota(),
        calls in calls(),
    ) {
        let (limiter, clock) = in_memory(Algorithm::TokenBucket, quota);
        let length = u128::from(nanos(quota.window()));
        let mut admitted: Vec<(u128, u128)> = Vec::new();
        for call in calls {
            call.wait(&clock, quota);
            if !limiter.allow_n_now("key", call.cost).unwrap().is_allowed() {
                continue;
            }
            let now = u128::from(clock.now().as_nanos());
            admitted.push((now, call.cost.into()));
            // Every stretch that ends now. Both sides are multiplied by the length, so that nothing
            // is rounded.
            let mut sum = 0;
            for &(from, cost) in admitted.iter().rev() {
                sum += cost;
                let flowed_in = u128::from(quota.limit()) * (now - from);
                prop_assert!(sum * length <= u128::from(quota.capacity()) * length + flowed_in);
            }
        }
    }

    // The model is a bucket that is filled continuously, and whose level is a fraction.
    #[test]
    fn decisions_equal_those_of_a_continuously_filled_bucket(quota in small_quota(), calls in calls()) {
        let (limiter, clock) = in_memory(Algorithm::TokenBucket, quota);
        let length = u128::from(nanos(quota.window()));
        let full = u128::from(quota.capacity()) * length;
        let (mut level, mut last) = (full, u128::from(clock.now().as_nanos()));
        for call in calls {
            call.wait(&clock, quota);
            let now = u128::from(clock.now().as_nanos());
            level = full.min(level + (now - last) * u128::from(quota.limit()));
            last = now;
            let cost = u128::from(call.cost) * length;
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            prop_assert_eq!(decision.is_allowed(), cost <= level);
            if decision.is_allowed() {
                level -= cost;
            }
            prop_assert_eq!(u128::from(decision.remaining()), level / length);
            prop_assert_eq!(decision.used() + decision.remaining(), quota.capacity());
            let reset_after = (full - level).div_ceil(quota.limit().into());
            prop_assert_eq!(decision.reset_after().as_nanos(), reset_after);
        }
    }

    // A full bucket loses tokens, so it needs room for one token more than each poll takes.
    #[test]
    fn rate_is_exact_for_any_polling_pattern(
        limit in 1..50_u64,
        burst in 2..10_u64,
        polls in prop::collection::vec(1..20_000_000_u64, 100..300),
    ) {
        let quota = Quota::per_second(limit).burst(burst);
        let (limiter, clock) = in_memory(Algorithm::TokenBucket, quota);
        let start = clock.now();
        let mut admitted = 0_u128;
        for poll in polls {
            while limiter.allow_now("key").unwrap().is_allowed() {
                admitted += 1;
            }
            let elapsed = clock.now().saturating_since(start).as_nanos();
            let flowed_in = elapsed * u128::from(limit) / 1_000_000_000;
            prop_assert_eq!(admitted, u128::from(burst) + flowed_in);
            clock.advance(Duration::from_nanos(poll));
        }
    }
}

#[test]
fn rate_of_three_per_second_is_exact() {
    on_every_backend(Algorithm::TokenBucket, Quota::per_second(3).burst(2), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 2).is_allowed());
        let start = clock.now();
        for _ in 0..3_000 {
            let wait = allow_n(&limiter, "key", 1).retry_after().unwrap();
            clock.advance(wait);
            assert!(allow_n(&limiter, "key", 1).is_allowed());
        }
        // Each wait is rounded up to a nanosecond, and no rounding is lost.
        assert_eq!(clock.now().saturating_since(start), Duration::from_secs(1_000));
    });
}

#[test]
fn bucket_never_holds_more_than_its_burst() {
    on_every_backend(Algorithm::TokenBucket, Quota::per_minute(60).burst(10), |limiter, clock| {
        for rest in [0, 1, 3_600, 86_400 * 365] {
            clock.advance(Duration::from_secs(rest + 10));
            assert_eq!(peek(&limiter, "key").remaining(), 10);
            assert!(!allow_n(&limiter, "key", 11).is_allowed());
            let decision = allow_n(&limiter, "key", 10);
            assert!(decision.is_allowed());
            assert_eq!((decision.limit(), decision.used(), decision.remaining()), (10, 10, 0));
            assert_eq!(decision.reset_after(), Duration::from_secs(10));
        }
    });
}

#[test]
fn burst_defaults_to_the_limit() {
    on_every_backend(Algorithm::TokenBucket, Quota::per_minute(60), |limiter, _| {
        assert_eq!(peek(&limiter, "key").limit(), 60);
        assert!(allow_n(&limiter, "key", 60).is_allowed());
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
    });
}

#[test]
fn neither_rate_nor_burst_identifies_a_bucket() {
    on_every_backend(Algorithm::TokenBucket, Quota::per_minute(60).burst(5), |limiter, _| {
        assert!(allow_n(&limiter, "key", 5).is_allowed());
        let wider = limiter.clone().quota(Quota::per_minute(60).burst(20));
        assert_eq!(peek(&wider, "key").remaining(), 15);
        let slower = limiter.clone().quota(Quota::per_minute(30).burst(5));
        assert_eq!(peek(&slower, "key").remaining(), 2);
        let longer = limiter.clone().quota(Quota::per_hour(3_600).burst(5));
        assert_eq!(peek(&longer, "key").remaining(), 5);
    });
}
