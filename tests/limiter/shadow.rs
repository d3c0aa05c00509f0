//! A limiter in shadow: it decides and reports, and lets every hit pass.

use std::time::Duration;

use limited::Algorithm::{FixedWindow, TokenBucket};
use limited::{
    Algorithm, BackendError, Decision, Error, Limiter, OnError, Quota, Quotas, allow_all_now, refund_all_now,
};
use limited_mock::MockBackend;

use crate::common::{block_on, in_memory};

#[test]
fn refused_hit_passes_and_says_so() {
    for algorithm in Algorithm::ALL {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(2));
        let (shadow, expected) = (limiter.clone().shadow(true), limiter.allow_n_now("real", 2));
        assert!(expected.unwrap().is_allowed());
        let real = limiter.allow_now("real").unwrap();
        for cost in [1, 1] {
            let decision = shadow.allow_n_now("key", cost).unwrap();
            assert_eq!((decision.is_allowed(), decision.is_shadowed()), (true, false), "{algorithm}");
        }
        for decision in [
            shadow.allow_now("key").unwrap(),
            block_on(shadow.allow("key")).unwrap(),
            shadow.with_quota(Quota::per_minute(2)).allow_now("key").unwrap(),
            shadow.peek_now("key").unwrap(),
            block_on(shadow.peek("key")).unwrap(),
        ] {
            assert_eq!((decision.is_allowed(), decision.is_shadowed()), (true, true), "{algorithm}");
            assert_eq!((decision.used(), decision.remaining()), (2, 0), "{algorithm}");
            assert_eq!(decision.retry_after(), real.retry_after(), "{algorithm}");
        }
    }
}

#[test]
fn hit_that_only_passes_is_not_counted_and_not_refunded() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_minute(2));
    let limiter = limiter.shadow(true);
    assert!(!limiter.allow_now("key").unwrap().is_shadowed());
    let decision = limiter.allow_n_now("key", 2).unwrap();
    assert!(decision.is_shadowed());
    limiter.refund_now("key", &decision).unwrap();
    assert_eq!(limiter.peek_now("key").unwrap().used(), 1);
    assert!(!limiter.allow_now("key").unwrap().is_shadowed());
}

#[test]
fn reservation_that_only_passes_is_not_settled() {
    for quotas in ["2/min", "2/min; 100/h"] {
        let (limiter, _) = in_memory(FixedWindow, Quota::default());
        let limiter = limiter.quotas(quotas.parse::<Quotas>().unwrap()).shadow(true);
        let reservation = block_on(limiter.reserve_n("key", 3)).unwrap();
        assert!(reservation.decision().is_allowed() && reservation.decision().is_shadowed());
        assert!(!block_on(reservation.settle(5)).unwrap());
        assert!(limiter.peek_now("key").unwrap().limits().iter().all(|limit| limit.used() == 0));
    }
}

#[test]
fn limits_say_which_of_them_would_refuse() {
    let (limiter, _) = in_memory(FixedWindow, Quota::default());
    let limiter = limiter.quotas("1/min; 100/h".parse::<Quotas>().unwrap()).shadow(true);
    assert!(!limiter.allow_now("key").unwrap().is_shadowed());
    let decision = limiter.allow_now("key").unwrap();
    assert!(decision.is_allowed() && decision.is_shadowed());
    let shadowed: Vec<_> = decision.limits().iter().map(Decision::is_shadowed).collect();
    assert_eq!(shadowed, [true, false]);
    assert_eq!(decision.limits()[1].used(), 1, "the hit was counted in none of them");
}

#[test]
fn until_allowed_does_not_wait() {
    for algorithm in Algorithm::ALL {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(1));
        let limiter = limiter.shadow(true);
        for shadowed in [false, true, true] {
            let decision = block_on(limiter.until_allowed("key")).unwrap();
            assert_eq!((decision.is_allowed(), decision.is_shadowed()), (true, shadowed), "{algorithm}");
        }
    }
}

#[test]
fn blocked_key_passes() {
    let (limiter, _) = in_memory(TokenBucket, Quota::per_minute(1));
    let limiter = limiter.shadow(true).blocking(true);
    limiter.block_now("key", Duration::from_secs(60)).unwrap();
    let decision = limiter.allow_now("key").unwrap();
    assert!(decision.is_allowed() && decision.is_shadowed() && decision.is_blocked());
}

#[test]
fn refusal_by_a_failed_backend_passes_and_an_error_stays_one() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).shadow(true);
    mock.fail_next(BackendError::throttled("slow down"));
    assert!(matches!(limiter.allow_now("key"), Err(Error::Backend(_))));
    for (on_error, shadowed) in [(OnError::Allow, false), (OnError::Deny, true)] {
        mock.fail_next(BackendError::throttled("slow down"));
        let decision = limiter.clone().on_error(on_error).allow_now("key").unwrap();
        assert!(decision.is_allowed() && decision.is_degraded());
        assert_eq!(decision.is_shadowed(), shadowed);
    }
    assert!(matches!(limiter.allow_n_now("key", 0), Err(Error::ZeroCost)));
}

#[test]
fn shadow_is_switched_off() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_minute(1));
    let limiter = limiter.shadow(true);
    assert!(limiter.is_shadow());
    let limiter = limiter.shadow(false);
    assert!(!limiter.is_shadow() && limiter.allow_now("key").unwrap().is_allowed());
    assert!(!limiter.allow_now("key").unwrap().is_allowed());
}

#[test]
fn other_limiters_count_a_hit_that_passes_one_in_shadow() {
    let (users, _) = in_memory(FixedWindow, Quota::per_minute(2));
    let users = users.namespace("users");
    let tenants = users.clone().namespace("tenants").quota(Quota::per_minute(1)).shadow(true);
    let hits = [tenants.hit("tenant"), users.hit("user")];
    assert!(!allow_all_now(&hits).unwrap().is_shadowed());
    let decision = allow_all_now(&hits).unwrap();
    assert!(decision.is_allowed() && decision.is_shadowed());
    let shadowed: Vec<_> = decision.limits().iter().map(Decision::is_shadowed).collect();
    assert_eq!(shadowed, [true, false]);
    assert_eq!(users.peek_now("user").unwrap().used(), 2, "the user counts as without the other limiter");
    assert_eq!(tenants.peek_now("tenant").unwrap().used(), 1);

    // Only what was counted is refunded.
    refund_all_now(&hits, &decision).unwrap();
    assert_eq!(users.peek_now("user").unwrap().used(), 1);
    assert_eq!(tenants.peek_now("tenant").unwrap().used(), 1);

    assert!(allow_all_now(&hits).unwrap().is_allowed());
    let refused = allow_all_now(&hits).unwrap();
    assert_eq!((refused.is_allowed(), refused.is_shadowed()), (false, false));
}

#[test]
fn decision_over_limiters_in_shadow_always_passes() {
    let (users, _) = in_memory(FixedWindow, Quota::per_minute(1));
    let users = users.namespace("users").shadow(true).blocking(true);
    let tenants = users.clone().namespace("tenants").blocking(false);
    let hits = [tenants.hit("tenant"), users.hit("user")];
    users.block_now("user", Duration::from_secs(9)).unwrap();
    let decision = allow_all_now(&hits).unwrap();
    assert!(decision.is_allowed() && decision.is_shadowed());
    assert_eq!(tenants.peek_now("tenant").unwrap().used(), 1);
    let decision = allow_all_now(&hits).unwrap();
    assert!(decision.is_allowed() && decision.is_shadowed());
}

#[test]
fn limiter_in_shadow_does_not_lengthen_the_wait_of_a_refusal() {
    let (real, _) = in_memory(FixedWindow, Quota::per_second(1));
    let shadow = real.clone().namespace("shadow").quota(Quota::per_hour(1)).blocking(true).shadow(true);
    assert!(real.allow_now("key").unwrap().is_allowed());
    let wait = real.peek_now("key").unwrap().retry_after();
    assert!(wait.is_some());

    // The cost exceeds the limit in shadow for good, and then the key is blocked too.
    for is_blocked in [false, true] {
        let decision = allow_all_now([shadow.hit("key").cost(2), real.hit("key")]).unwrap();
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, wait), "{is_blocked}");
        assert!(!decision.is_blocked());
        shadow.block_now("key", Duration::from_secs(7_200)).unwrap();
    }
}

#[test]
fn deny_on_error_of_a_limiter_in_shadow_refuses_nothing() {
    let mock = MockBackend::new();
    let real = Limiter::new(mock.clone()).on_error(OnError::Allow);
    let shadow = real.clone().namespace("shadow").on_error(OnError::Deny).shadow(true);
    mock.inject(limited_mock::Fault::error(BackendError::unavailable("an outage")).always());
    assert!(allow_all_now([shadow.hit("key"), real.hit("key")]).unwrap().is_allowed());
    let denying = real.clone().namespace("denying").on_error(OnError::Deny);
    assert!(!allow_all_now([denying.hit("key"), real.hit("key")]).unwrap().is_allowed());
}

#[test]
fn penalty_of_a_limiter_in_shadow_can_be_refunded() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_hour(1));
    let shadow = limiter.shadow(true);
    let decision = shadow.penalize_now("key", 5).unwrap();
    assert!(decision.is_shadowed());
    shadow.refund_now("key", &decision).unwrap();
    assert!(!shadow.allow_now("key").unwrap().is_shadowed());
}
