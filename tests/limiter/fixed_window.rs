//! Fixed windows admit exactly the limit in each aligned window.

use std::collections::BTreeMap;
use std::time::Duration;

use limited::{Algorithm, Clock, Quota};
use proptest::prelude::*;

use crate::common::{allow_n, calls, in_memory, nanos, on_every_backend, peek, small_quota};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn admits_exactly_what_fits_into_each_window(quota in small_quota(), calls in calls()) {
        let (limiter, clock) = in_memory(Algorithm::FixedWindow, quota);
        let mut windows = BTreeMap::<u64, u64>::new();
        for call in calls {
            call.wait(&clock, quota);
            let admitted = windows.entry(clock.now().as_nanos() / nanos(quota.window())).or_default();
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
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

#[test]
fn default_quota_is_100_per_minute() {
    on_every_backend(Algorithm::FixedWindow, Quota::default(), |limiter, clock| {
        for used in 1..=100 {
            let decision = allow_n(&limiter, "key", 1);
            assert!(decision.is_allowed());
            assert_eq!((decision.limit(), decision.used(), decision.remaining()), (100, used, 100 - used));
            assert_eq!(decision.retry_after(), None);
            assert_eq!(decision.reset_after(), Duration::from_secs(60));
        }
        clock.advance(Duration::from_secs(15));
        let refused = allow_n(&limiter, "key", 1);
        assert!(!refused.is_allowed());
        assert_eq!((refused.used(), refused.remaining()), (100, 0));
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(45)));
        assert_eq!(refused.reset_after(), Duration::from_secs(45));
        assert!(allow_n(&limiter, "another key", 1).is_allowed());
    });
}

#[test]
fn window_starts_at_a_multiple_of_its_length() {
    on_every_backend(Algorithm::FixedWindow, Quota::per_minute(2), |limiter, clock| {
        clock.advance(Duration::from_nanos(59_999_999_999));
        assert_eq!(allow_n(&limiter, "key", 2).reset_after(), Duration::from_nanos(1));
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        clock.advance(Duration::from_nanos(1));
        assert!(allow_n(&limiter, "key", 2).is_allowed());
    });
}

#[test]
fn limiters_with_different_limits_share_a_window() {
    on_every_backend(Algorithm::FixedWindow, Quota::per_minute(10), |limiter, _| {
        assert!(allow_n(&limiter, "key", 8).is_allowed());
        let lower = limiter.clone().quota(Quota::per_minute(5));
        let decision = peek(&lower, "key");
        assert!(!decision.is_allowed());
        assert_eq!((decision.limit(), decision.used(), decision.remaining()), (5, 8, 0));
        let longer = limiter.clone().quota(Quota::per_hour(5));
        assert_eq!(peek(&longer, "key").used(), 0);
    });
}
