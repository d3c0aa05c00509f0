//! A hit is admitted after exactly `retry_after`, and refused a nanosecond earlier.

use std::time::Duration;

use limited::{Algorithm, Clock, Limiter, ManualClock, Quota, Timestamp};
use limited_memory::MemoryBackend;
use proptest::prelude::*;

use crate::common::{
    SteppedClock, allow_n, any_algorithm, any_count, any_quota, calls, everywhere, in_memory,
    is_within_reach, nanos, small_quota,
};

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Compares the `retry_after` of a refused hit with the time at which the hit is admitted.
fn check_retry_after(
    limiter: &Limiter<MemoryBackend>,
    clock: &ManualClock,
    cost: u64,
) -> Result<(), TestCaseError> {
    let refused = limiter.allow_n_now("key", cost).unwrap();
    if refused.is_allowed() {
        return Ok(());
    }
    prop_assert_eq!(
        refused.retry_after().is_none(),
        cost > refused.limit(),
        "`None` if and only if the hit is never admitted"
    );
    let Some(wait) = refused.retry_after().filter(|wait| is_within_reach(clock, *wait)) else {
        return Ok(());
    };
    prop_assert!(wait > Duration::ZERO);
    clock.advance(wait - NANOSECOND);
    prop_assert!(!limiter.allow_n_now("key", cost).unwrap().is_allowed(), "a nanosecond before {wait:?}");
    clock.advance(NANOSECOND);
    prop_assert!(limiter.allow_n_now("key", cost).unwrap().is_allowed(), "after {wait:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn retry_after_is_exact(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
        cost in 1..15_u64,
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        for call in calls {
            call.wait(&clock, quota);
            let _ = limiter.allow_n_now("key", call.cost).unwrap();
        }
        check_retry_after(&limiter, &clock, cost)?;
    }

    #[test]
    fn retry_after_is_exact_for_all_quotas_and_times(
        algorithm in any_algorithm(),
        quota in any_quota(),
        start in 0..u64::MAX / 2,
        costs in prop::collection::vec((any_count(), 0..u64::MAX / 100), 1..8),
        cost in any_count(),
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        clock.set(Timestamp::from_nanos(start));
        for (cost, pause) in costs {
            let _ = limiter.allow_n_now("key", cost.max(1)).unwrap();
            clock.advance(Duration::from_nanos(pause % nanos(quota.window())));
        }
        check_retry_after(&limiter, &clock, cost.max(1))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn retry_after_is_enough_by_a_coarse_clock(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
        step in 2..20_000_000_u64,
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        let limiter = limiter.clock(SteppedClock { clock: clock.clone(), step: Duration::from_nanos(step) });
        for call in calls {
            call.wait(&clock, quota);
            if let Some(wait) = limiter.allow_n_now("key", call.cost).unwrap().retry_after() {
                let before = clock.now();
                clock.advance(wait);
                prop_assert!(limiter.allow_n_now("key", call.cost).unwrap().is_allowed());
                clock.set(before.saturating_add(wait));
            }
        }
    }
}

#[test]
fn cost_above_the_limit_has_no_retry_after() {
    everywhere(Quota::per_minute(5), |limiter, _| {
        let decision = allow_n(&limiter, "key", 6);
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, None));
        let nothing = limiter.quota(Quota::per_minute(0));
        let decision = allow_n(&nothing, "key", 1);
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, None));
    });
}

#[test]
fn retry_after_by_the_system_clock_ends_with_the_window() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(Quota::per_day(1));
        assert!(limiter.allow_now("key").unwrap().is_allowed());
        // At midnight the second hit may be admitted too.
        let wait = limiter.allow_now("key").unwrap().retry_after().unwrap_or_default();
        assert!(wait <= 2 * Duration::from_secs(86_400));
    }
}
