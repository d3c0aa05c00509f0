//! Blocks: a key is refused until a time, whatever its limits say.

use std::time::Duration;

use limited::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use limited::{
    Algorithm, BackendError, Decision, Error, Limiter, ManualClock, OnError, Quota, Quotas, allow_all_now,
};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;

use crate::common::stepping::{Running, poll};
use crate::common::{block_on, in_memory};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs `test` on a limiter that looks for blocks, by each algorithm.
fn everywhere(quota: Quota, test: impl Fn(Limiter<MemoryBackend>, ManualClock)) {
    for algorithm in Algorithm::ALL {
        println!("{algorithm}");
        let (limiter, clock) = in_memory(algorithm, quota);
        test(limiter.blocking(true), clock);
    }
}

#[test]
fn blocked_key_is_refused_until_the_block_ends() {
    everywhere(Quota::per_hour(10), |limiter, clock| {
        limiter.block_now("key", MINUTE).unwrap();
        for decision in [limiter.allow_now("key").unwrap(), block_on(limiter.allow_n("key", 2)).unwrap()] {
            assert_eq!((decision.is_allowed(), decision.is_blocked()), (false, true));
            assert_eq!((decision.retry_after(), decision.remaining()), (Some(MINUTE), 0));
        }
        assert!(limiter.allow_now("other").unwrap().is_allowed());

        clock.advance(MINUTE - Duration::from_nanos(1));
        let decision = limiter.allow_now("key").unwrap();
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, Some(Duration::from_nanos(1))));
        clock.advance(Duration::from_nanos(1));
        let decision = limiter.allow_now("key").unwrap();
        assert_eq!((decision.is_allowed(), decision.is_blocked()), (true, false));
        assert_eq!(decision.remaining(), 9, "no hit was counted while the key was blocked");
    });
}

#[test]
fn peek_shows_the_block() {
    everywhere(Quota::per_hour(10), |limiter, _| {
        limiter.block_now("key", MINUTE).unwrap();
        for decision in [limiter.peek_now("key").unwrap(), block_on(limiter.peek("key")).unwrap()] {
            assert_eq!((decision.is_allowed(), decision.is_blocked()), (false, true));
            assert_eq!((decision.retry_after(), decision.remaining()), (Some(MINUTE), 0));
        }
        assert!(limiter.peek_now("other").unwrap().is_allowed());
    });
}

#[test]
fn unblocked_key_is_admitted_and_keeps_what_was_counted() {
    everywhere(Quota::per_hour(10), |limiter, _| {
        assert!(limiter.allow_n_now("key", 4).unwrap().is_allowed());
        limiter.block_now("key", MINUTE).unwrap();
        limiter.unblock_now("key").unwrap();
        assert_eq!(limiter.allow_now("key").unwrap().remaining(), 5);
        limiter.unblock_now("unknown").unwrap();
    });
}

#[test]
fn reset_keeps_the_block() {
    everywhere(Quota::per_hour(10), |limiter, _| {
        limiter.block_now("key", MINUTE).unwrap();
        limiter.reset_now("key").unwrap();
        assert!(limiter.allow_now("key").unwrap().is_blocked());
    });
}

#[test]
fn block_is_extended_and_never_shortened() {
    everywhere(Quota::per_hour(10), |limiter, clock| {
        let wait = || limiter.peek_now("key").unwrap().retry_after();
        limiter.block_now("key", MINUTE).unwrap();
        clock.advance(MINUTE / 2);
        limiter.block_now("key", MINUTE).unwrap();
        assert_eq!(wait(), Some(MINUTE));
        limiter.block_now("key", MINUTE / 2).unwrap();
        limiter.block_now("key", Duration::ZERO).unwrap();
        assert_eq!(wait(), Some(MINUTE));
        limiter.block_now("key", 500 * MINUTE).unwrap();
        assert_eq!(wait(), Some(500 * MINUTE));
        // The longest block is not that of a wrong clock.
        limiter.block_now("key", Duration::MAX).unwrap();
        clock.advance(10_000 * MINUTE);
        assert!(limiter.allow_now("key").unwrap().is_blocked());
        limiter.unblock_now("key").unwrap();
        assert!(limiter.allow_now("key").unwrap().is_allowed());
    });
}

#[test]
fn limit_that_refuses_for_longer_than_the_block_sets_the_wait() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_hour(1));
    let limiter = limiter.blocking(true);
    assert!(limiter.allow_now("key").unwrap().is_allowed());
    limiter.block_now("key", MINUTE).unwrap();
    let decision = limiter.allow_now("key").unwrap();
    assert_eq!((decision.is_blocked(), decision.retry_after()), (true, Some(60 * MINUTE)));
    assert_eq!(limiter.allow_n_now("key", 2).unwrap().retry_after(), None, "waiting never helps");
}

#[test]
fn block_holds_for_all_limiters_of_the_namespace_that_look_for_blocks() {
    let (limiter, _) = in_memory(FixedWindow, Quota::per_hour(10));
    let blocking = limiter.clone().blocking(true);
    blocking.block_now("key", MINUTE).unwrap();
    let other = blocking.clone().quota(Quota::per_second(3)).algorithm(TokenBucket);
    assert!(other.allow_now("key").unwrap().is_blocked());
    assert!(blocking.with_quota(Quota::per_day(5)).allow_now("key").unwrap().is_blocked());
    assert!(limiter.allow_now("key").unwrap().is_allowed());
    assert!(blocking.clone().blocking(false).allow_now("key").unwrap().is_allowed());
    assert!(blocking.namespace("other").allow_now("key").unwrap().is_allowed());
}

#[test]
fn limiter_that_does_not_look_for_blocks_cannot_block() {
    let limiter = Limiter::new(MockBackend::new()).on_error(OnError::Allow);
    for error in [limiter.block_now("key", MINUTE).unwrap_err(), limiter.unblock_now("key").unwrap_err()] {
        assert!(matches!(error, Error::NotBlocking) && !error.is_retryable());
        assert!(error.to_string().contains("Limiter::blocking(true)"), "{error}");
    }
    assert_eq!(limiter.backend().total(), 0);
}

#[test]
fn failed_backend_is_an_error_of_a_block() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).blocking(true).on_error(OnError::Allow);
    assert!(matches!(limiter.block_now("", MINUTE), Err(Error::InvalidKey(_))));
    mock.fail_next(BackendError::throttled("slow down"));
    assert!(block_on(limiter.block("key", MINUTE)).is_err());
    mock.fail_next(BackendError::throttled("slow down"));
    assert!(block_on(limiter.unblock("key")).is_err());
}

#[test]
fn block_is_in_the_same_step_as_several_quotas() {
    for algorithm in [FixedWindow, SlidingWindow, TokenBucket] {
        let (limiter, _) = in_memory(algorithm, Quota::default());
        let limiter = limiter.quotas("10/s; 100/h".parse::<Quotas>().unwrap()).blocking(true);
        assert_eq!(limiter.get_quotas().len(), 2);
        limiter.block_now("key", MINUTE).unwrap();
        let decision = limiter.allow_now("key").unwrap();
        assert!(decision.is_blocked());
        let remaining: Vec<_> = decision.limits().iter().map(Decision::remaining).collect();
        assert_eq!(remaining, [10, 100], "the limits are shown without the block");
        limiter.refund_now("key", &decision).unwrap();
        limiter.unblock_now("key").unwrap();
        assert_eq!(limiter.allow_now("key").unwrap().remaining(), 9);
    }
}

#[test]
fn quota_of_a_blocking_limiter_is_still_one() {
    let quota = Quota::per_hour(7);
    let limiter = Limiter::new(MockBackend::new()).blocking(true).quota(quota);
    assert_eq!((limiter.get_quota(), limiter.get_quotas()), (quota, quota.into()));
    assert!(limiter.is_blocking() && !limiter.blocking(false).is_blocking());
}

#[test]
fn blocked_key_of_one_limiter_refuses_a_decision_over_several() {
    let (users, _) = in_memory(FixedWindow, Quota::per_hour(10));
    let users = users.namespace("users").blocking(true);
    let tenants = users.clone().namespace("tenants").blocking(false);
    let admins = users.clone().quota(Quota::per_day(5));
    let hits = [tenants.hit("tenant"), users.hit("user"), admins.hit("user")];
    assert!(allow_all_now(&hits).unwrap().is_allowed());
    users.block_now("user", MINUTE).unwrap();
    let decision = allow_all_now(&hits).unwrap();
    assert_eq!((decision.is_allowed(), decision.is_blocked()), (false, true));
    assert_eq!((decision.retry_after(), decision.remaining()), (Some(MINUTE), 0));
    assert_eq!(decision.limits().len(), 3);
    assert_eq!(tenants.peek_now("tenant").unwrap().used(), 1);
    users.unblock_now("user").unwrap();
    assert!(allow_all_now(&hits).unwrap().is_allowed());
}

#[test]
fn waiting_call_waits_for_the_end_of_a_block() {
    everywhere(Quota::per_hour(10), |limiter, clock| {
        limiter.block_now("key", MINUTE).unwrap();
        let longest = MINUTE - Duration::from_nanos(1);
        let decision = block_on(limiter.until_allowed_within("key", longest)).unwrap();
        assert_eq!((decision.is_allowed(), decision.is_blocked()), (false, true));

        let mut waiting: Running<'_, _> = Box::pin(limiter.until_allowed_within("key", 2 * MINUTE));
        assert!(poll(&mut waiting).is_pending());
        clock.advance(MINUTE - Duration::from_nanos(1));
        assert!(poll(&mut waiting).is_pending());
        // A window adds a jitter.
        clock.advance(Duration::from_secs(1) + Duration::from_nanos(1));
        let std::task::Poll::Ready(Ok(decision)) = poll(&mut waiting) else { panic!("the block has ended") };
        assert_eq!((decision.is_allowed(), decision.is_blocked()), (true, false));
        assert_eq!(limiter.peek_now("key").unwrap().used(), 1);
    });
}

#[test]
fn block_of_a_clock_ahead_by_more_than_twice_the_skew_is_ignored() {
    let (limiter, clock) = in_memory(FixedWindow, Quota::per_hour(10));
    let limiter = limiter.blocking(true);
    limiter.block_now("key", MINUTE).unwrap();
    clock.rewind(Duration::from_secs(10));
    assert!(limiter.allow_now("key").unwrap().is_blocked());
    clock.rewind(Duration::from_nanos(1));
    assert!(limiter.allow_now("key").unwrap().is_allowed());
}
