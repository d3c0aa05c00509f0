//! Fixed windows never admit more than the limit in any aligned window.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{AnyBackend, allow_n, backends, calls, in_memory, nanos, peek, small_quota};
use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_aligned_window_admits_more_than_the_limit(quota in small_quota(), calls in calls()) {
        let (limiter, clock) = in_memory(Algorithm::FixedWindow, quota);
        let mut windows = BTreeMap::<u64, u64>::new();
        for call in calls {
            call.wait(&clock, quota);
            let admitted = windows.entry(clock.now().as_nanos() / nanos(quota.window())).or_default();
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            // Exactly what fits is admitted, neither more nor less.
            prop_assert_eq!(decision.is_allowed(), *admitted + call.cost <= quota.limit());
            if decision.is_allowed() {
                *admitted += call.cost;
            }
            prop_assert!(*admitted <= quota.limit());
            prop_assert_eq!(decision.used(), *admitted);
            prop_assert_eq!(decision.remaining(), quota.limit() - *admitted);
            prop_assert_eq!(decision.limit(), quota.limit());
        }
    }
}

fn each(quota: Quota, behaviour: impl Fn(&Limiter<AnyBackend>, &ManualClock)) {
    for (_, backend) in backends() {
        let clock = ManualClock::new();
        behaviour(&Limiter::new(backend).quota(quota).clock(clock.clone()), &clock);
    }
}

#[test]
fn the_default_is_a_hundred_a_minute() {
    each(Quota::default(), |limiter, clock| {
        for used in 1..=100 {
            let decision = allow_n(limiter, "key", 1);
            assert!(decision.is_allowed());
            assert_eq!((decision.limit(), decision.used(), decision.remaining()), (100, used, 100 - used));
            assert_eq!(decision.retry_after(), None);
            assert_eq!(decision.reset_after(), Duration::from_secs(60));
        }
        clock.advance(Duration::from_secs(15));
        let refused = allow_n(limiter, "key", 1);
        assert!(!refused.is_allowed());
        assert_eq!((refused.used(), refused.remaining()), (100, 0));
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(45)));
        assert_eq!(refused.reset_after(), Duration::from_secs(45));
        assert!(allow_n(limiter, "another key", 1).is_allowed());
    });
}

#[test]
fn a_window_starts_at_a_multiple_of_its_length() {
    each(Quota::per_minute(2), |limiter, clock| {
        clock.advance(Duration::from_nanos(59_999_999_999));
        assert_eq!(allow_n(limiter, "key", 2).reset_after(), Duration::from_nanos(1));
        assert!(!allow_n(limiter, "key", 1).is_allowed());
        clock.advance(Duration::from_nanos(1));
        assert!(allow_n(limiter, "key", 2).is_allowed());
    });
}

#[test]
fn a_lower_limit_on_the_same_window_sees_what_the_higher_one_counted() {
    each(Quota::per_minute(10), |limiter, _| {
        assert!(allow_n(limiter, "key", 8).is_allowed());
        let lower = limiter.clone().quota(Quota::per_minute(5));
        let decision = peek(&lower, "key");
        assert!(!decision.is_allowed());
        assert_eq!((decision.limit(), decision.used(), decision.remaining()), (5, 8, 0));
        let longer = limiter.clone().quota(Quota::per_hour(5));
        assert_eq!(peek(&longer, "key").used(), 0);
    });
}
