//! Waiting exactly `retry_after` admits; a tick less does not.

mod common;

use std::time::Duration;

use common::{
    any_algorithm, any_count, any_quota, calls, everywhere, in_memory, is_within_reach, small_quota,
};
use limited::{Algorithm, Clock, Limiter, ManualClock, Quota, Timestamp};
use limited_core::Sleep;
use limited_memory::MemoryBackend;
use proptest::prelude::*;

const TICK: Duration = Duration::from_nanos(1);

/// Holds a refused hit against its own hint.
fn waiting_is_enough_and_less_is_not(
    limiter: &Limiter<MemoryBackend>,
    clock: &ManualClock,
    cost: u64,
) -> Result<(), TestCaseError> {
    let refused = limiter.allow_n_now("key", cost).unwrap();
    if refused.is_allowed() {
        return Ok(());
    }
    prop_assert_eq!(refused.retry_after().is_none(), cost > refused.limit(), "no hint if and only if never");
    let Some(wait) = refused.retry_after().filter(|wait| is_within_reach(clock, *wait)) else {
        return Ok(());
    };
    prop_assert!(wait > Duration::ZERO);
    clock.advance(wait - TICK);
    prop_assert!(!limiter.allow_n_now("key", cost).unwrap().is_allowed(), "a tick less than {wait:?}");
    clock.advance(TICK);
    prop_assert!(limiter.allow_n_now("key", cost).unwrap().is_allowed(), "after {wait:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn for_every_algorithm_and_cost(
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
        waiting_is_enough_and_less_is_not(&limiter, &clock, cost)?;
    }

    #[test]
    fn over_the_whole_range_of_quotas_and_times(
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
            clock.advance(Duration::from_nanos(pause % common::nanos(quota.window())));
        }
        waiting_is_enough_and_less_is_not(&limiter, &clock, cost.max(1))?;
    }
}

/// A clock that reads the hands of another one every so often.
#[derive(Clone)]
struct Coarse(ManualClock, Duration);

impl Clock for Coarse {
    fn now(&self) -> Timestamp {
        let (now, step) = (self.0.now().as_nanos(), common::nanos(self.1));
        Timestamp::from_nanos(now - now % step)
    }

    fn resolution(&self) -> Duration {
        self.1
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn by_a_coarse_clock_it_is_still_enough(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
        step in 2..20_000_000_u64,
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        let limiter = limiter.clock(Coarse(clock.clone(), Duration::from_nanos(step)));
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
fn a_cost_above_the_limit_is_never_admitted_so_there_is_nothing_to_wait_for() {
    everywhere(Quota::per_minute(5), |limiter, _| {
        let decision = common::allow_n(&limiter, "key", 6);
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, None));
        let nothing = limiter.quota(Quota::per_minute(0));
        let decision = common::allow_n(&nothing, "key", 1);
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, None));
    });
}

#[test]
fn a_hint_of_the_system_clock_has_no_more_than_its_resolution_added() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(Quota::per_day(1));
        assert!(limiter.allow_now("key").unwrap().is_allowed());
        // At midnight the second one may be admitted too.
        let wait = limiter.allow_now("key").unwrap().retry_after().unwrap_or_default();
        assert!(wait <= 2 * Duration::from_secs(86_400));
    }
}
