//! Refunds: what a decision has charged is returned, and never more is admitted than without it.

use std::time::Duration;

use limited::{
    Algorithm, Decision, Error, Limiter, ManualClock, Quota, allow_all, refund_all, refund_all_now,
};
use limited_memory::MemoryBackend;
use proptest::prelude::*;

use crate::common::{AnyBackend, any_algorithm, block_on, in_memory, in_parallel, small_quota};
use crate::several::everywhere;

fn allow_n(limiter: &Limiter<AnyBackend>, cost: u64) -> Decision {
    block_on(limiter.allow_n("key", cost)).unwrap()
}

fn refund(limiter: &Limiter<AnyBackend>, decision: &Decision) {
    block_on(limiter.refund("key", decision)).unwrap();
}

fn used(limiter: &Limiter<AnyBackend>) -> Vec<u64> {
    block_on(limiter.peek("key")).unwrap().limits().iter().map(Decision::used).collect()
}

#[test]
fn refund_returns_the_charge_to_every_limit() {
    everywhere("9/min; 7/hour", |limiter, _| {
        let _ = allow_n(&limiter, 2);
        let decision = allow_n(&limiter, 3);
        block_on(limiter.refund_n("key", &decision, 1)).unwrap();
        assert_eq!(used(&limiter), [4, 4]);
        block_on(limiter.refund_n("key", &decision, 2)).unwrap();
        assert_eq!(used(&limiter), [2, 2]);
    });
}

#[test]
fn refund_returns_at_most_what_was_charged() {
    everywhere("9/min", |limiter, _| {
        let (_, decision) = (allow_n(&limiter, 5), allow_n(&limiter, 2));
        block_on(limiter.refund_n("key", &decision, u64::MAX)).unwrap();
        assert_eq!(used(&limiter), [5]);
    });
}

#[test]
fn refusal_has_nothing_to_refund() {
    everywhere("9/min; 7/hour", |limiter, _| {
        let _ = allow_n(&limiter, 6);
        let decision = allow_n(&limiter, 2);
        let minute = &decision.limits()[0];
        assert!(!decision.is_allowed() && minute.is_allowed());
        refund(&limiter, &decision);
        // The limit that would have admitted the hit was not charged either.
        block_on(limiter.with_quota(Quota::per_minute(9)).refund("key", minute)).unwrap();
        assert_eq!(used(&limiter), [6, 6]);
        refund(&limiter, &block_on(limiter.peek("key")).unwrap());
        assert_eq!(used(&limiter), [6, 6]);
    });
}

#[test]
fn refund_goes_to_the_window_that_was_charged() {
    everywhere("9/min", |limiter, clock| {
        let before = allow_n(&limiter, 5);
        clock.advance(Duration::from_secs(90));
        let _ = allow_n(&limiter, 1);
        let used_before = used(&limiter);
        refund(&limiter, &before);
        let expected = match limiter.get_algorithm() {
            // Half of the previous window, rounded up, is no longer counted.
            Algorithm::SlidingWindow => {
                assert_eq!(used_before, [4]);
                1
            }
            _ => used_before[0],
        };
        assert_eq!(used(&limiter), [expected], "the current window gets nothing");
    });
}

#[test]
fn refund_of_a_bucket_that_has_filled_up_returns_nothing() {
    everywhere("10/min", |limiter, clock| {
        if limiter.get_algorithm() != Algorithm::TokenBucket {
            return;
        }
        let charged = allow_n(&limiter, 5);
        clock.advance(Duration::from_secs(30));
        assert!(allow_n(&limiter, 10).is_allowed());
        refund(&limiter, &charged);
        assert!(!allow_n(&limiter, 1).is_allowed(), "time has paid the charge back");
    });
}

#[test]
fn refund_of_a_bucket_returns_what_has_not_flowed_in() {
    everywhere("10/min", |limiter, clock| {
        if limiter.get_algorithm() != Algorithm::TokenBucket {
            return;
        }
        let charged = allow_n(&limiter, 5);
        // Two of the five tokens flow in.
        clock.advance(Duration::from_secs(12));
        assert!(allow_n(&limiter, 7).is_allowed());
        refund(&limiter, &charged);
        assert_eq!(used(&limiter), [7]);
    });
}

#[test]
fn decision_of_another_quota_is_refunded_by_it() {
    everywhere("9/min; 7/hour", |limiter, _| {
        let paid = limiter.with_quota(Quota::per_day(100));
        let decision = block_on(paid.allow_n("key", 40)).unwrap();
        let error = block_on(limiter.refund("key", &decision)).unwrap_err();
        assert!(matches!(error, Error::OtherDecision), "{error:?}");
        block_on(paid.refund_n("key", &decision, 15)).unwrap();
        assert_eq!(block_on(paid.peek("key")).unwrap().used(), 25);
    });
}

#[test]
fn decision_over_several_limiters_is_refunded_to_each() {
    everywhere("9/min; 7/hour", |users, _| {
        let tenants = users.clone().namespace("tenants").quota(Quota::per_day(100));
        let hits = [users.hit("key").cost(2), tenants.hit("tenant:1").cost(3)];
        let decision = block_on(allow_all(&hits)).unwrap();
        assert!(block_on(allow_all(&hits)).unwrap().is_allowed());
        assert!(matches!(block_on(refund_all(&hits[..1], &decision)), Err(Error::OtherDecision)));
        assert_eq!((used(&users), block_on(tenants.peek("tenant:1")).unwrap().used()), (vec![4, 4], 6));
        block_on(refund_all(&hits, &decision)).unwrap();
        assert_eq!((used(&users), block_on(tenants.peek("tenant:1")).unwrap().used()), (vec![2, 2], 3));
    });
}

#[test]
fn parallel_hits_and_refunds_never_admit_more_than_the_limit() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MemoryBackend::new())
            .quotas("200/hour; 300/day".parse::<limited::Quotas>().unwrap());
        let limiter = limiter.algorithm(algorithm).clock(ManualClock::new());
        // Every second admitted hit is refunded. So all hits of the other half are admitted.
        let kept = in_parallel(64, |_, call| {
            let decision = limiter.allow_now("key").unwrap();
            if decision.is_allowed() && call % 2 == 0 {
                limiter.refund_now("key", &decision).unwrap();
                return 0;
            }
            decision.is_allowed().into()
        });
        assert!(kept <= 200, "{algorithm}");
        let decision = limiter.peek_now("key").unwrap();
        assert_eq!(
            decision.limits().iter().map(Decision::used).collect::<Vec<_>>(),
            [kept; 2],
            "{algorithm}"
        );
    }
}

/// A hit, and the part of it that is refunded some hits later.
#[derive(Clone, Copy, Debug)]
struct Step {
    pause: u64,
    cost: u64,
    refunded: u64,
    refunded_after: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![3 => Just(0), 4 => 0..300_u64, 1 => 0..2_500_u64];
    let step = (pause, 1..8_u64, 0..8_u64, 0..4_usize).prop_map(|(pause, cost, refunded, refunded_after)| {
        Step { pause, cost, refunded: refunded.min(cost), refunded_after }
    });
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever is charged and refunded: what is admitted is also admitted if the refunded parts
    /// were never charged.
    #[test]
    fn refund_never_admits_more_than_if_its_part_had_never_been_charged(
        quota in small_quota(), algorithm in any_algorithm(), steps in steps(),
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        let without = Limiter::new(MemoryBackend::new()).quota(quota).algorithm(algorithm).clock(clock.clone());
        let mut due: Vec<(usize, u64, Decision)> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let pause = quota.window().as_nanos() * u128::from(step.pause) / 1_000;
            clock.advance(Duration::from_nanos(u64::try_from(pause).unwrap()));
            due.retain(|(at, cost, decision)| {
                let is_due = *at <= index;
                if is_due {
                    limiter.refund_n_now("key", decision, *cost).unwrap();
                }
                !is_due
            });
            let decision = limiter.allow_n_now("key", step.cost).unwrap();
            if decision.is_allowed() {
                if step.cost > step.refunded {
                    let kept = without.allow_n_now("key", step.cost - step.refunded).unwrap();
                    prop_assert!(kept.is_allowed(), "step {index}: {step:?}");
                }
                due.push((index + step.refunded_after + 1, step.refunded, decision));
            }
        }
    }

    #[test]
    fn refund_at_once_leaves_what_was_there_before(
        quota in small_quota(), algorithm in any_algorithm(), costs in prop::collection::vec(1..6_u64, 1..6),
    ) {
        let (limiter, _) = in_memory(algorithm, quota);
        for cost in costs {
            let before = limiter.peek_now("key").unwrap();
            let decision = limiter.allow_n_now("key", cost).unwrap();
            limiter.refund_now("key", &decision).unwrap();
            let after = limiter.peek_now("key").unwrap();
            prop_assert_eq!((before.used(), before.remaining()), (after.used(), after.remaining()));
            let _ = limiter.allow_now("key").unwrap();
        }
    }
}

#[test]
fn refund_over_limiters_without_a_future_returns_the_charge() {
    let users = Limiter::new(MemoryBackend::new());
    let hits = [users.hit("user:7").cost(4), users.hit("user:8")];
    let decision = limited::allow_all_now(&hits).unwrap();
    refund_all_now(&hits, &decision).unwrap();
    assert_eq!((users.peek_now("user:7").unwrap().used(), users.peek_now("user:8").unwrap().used()), (0, 0));
}
