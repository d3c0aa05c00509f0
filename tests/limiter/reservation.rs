//! Reservations: an estimate is charged, and settled once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use limited::{
    Algorithm, BackendError, Decision, Error, Limiter, ManualClock, OnError, Quota, Reservation, reserve_all,
    reserve_all_now,
};
use limited_core::Counter;
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use proptest::prelude::*;

use crate::common::{AnyBackend, any_algorithm, block_on, in_memory, in_parallel};
use crate::several::{InTurn, everywhere};

fn reserve(limiter: &Limiter<AnyBackend>, estimate: u64) -> Reservation<AnyBackend> {
    block_on(limiter.reserve_n("key", estimate)).unwrap()
}

fn settle(reservation: &Reservation<AnyBackend>, actual: u64) -> bool {
    block_on(reservation.settle(actual)).unwrap()
}

fn used(limiter: &Limiter<AnyBackend>) -> Vec<u64> {
    block_on(limiter.peek("key")).unwrap().limits().iter().map(Decision::used).collect()
}

#[test]
fn lower_cost_refunds_the_rest_and_a_higher_one_charges_what_is_missing() {
    everywhere("90/min; 70/hour", |limiter, _| {
        for (actual, after) in [(30, 30), (40, 70)] {
            let reservation = reserve(&limiter, 35);
            assert!(reservation.decision().is_allowed());
            assert!(settle(&reservation, actual));
            assert_eq!(used(&limiter), [after; 2]);
        }
    });
}

#[test]
fn right_estimate_costs_no_further_request() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone());
    let reservation = block_on(limiter.reserve_n("key", 35)).unwrap();
    assert!(block_on(reservation.settle(35)).unwrap());
    assert_eq!(mock.calls().len(), 1);
}

#[test]
fn settling_charges_beyond_the_limit_and_never_refuses() {
    everywhere("90/min", |limiter, clock| {
        let reservation = reserve(&limiter, 80);
        assert!(settle(&reservation, 200));
        let decision = block_on(limiter.allow("key")).unwrap();
        assert!(!decision.is_allowed());
        assert_eq!(decision.remaining(), 0);
        if limiter.get_algorithm() == Algorithm::TokenBucket {
            // 110 tokens beyond the capacity have to flow in, and then one more.
            let wait = Duration::from_secs(60) * 111 / 90;
            assert_eq!(decision.retry_after(), Some(wait));
            clock.advance(wait - Duration::from_nanos(1));
            assert!(!block_on(limiter.allow("key")).unwrap().is_allowed(), "no clock was wrong");
            clock.advance(Duration::from_nanos(1));
            assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
        } else {
            assert_eq!(decision.used(), 200);
        }
    });
}

#[test]
fn bucket_can_be_charged_far_beyond_its_capacity_several_times() {
    let (limiter, _) = in_memory(Algorithm::TokenBucket, Quota::per_minute(60));
    let reservations: Vec<_> = (0..60).map(|_| limiter.reserve_n_now("key", 1).unwrap()).collect();
    for reservation in &reservations {
        assert!(reservation.settle_now(1_001).unwrap());
    }
    let wait = limiter.allow_now("key").unwrap().retry_after().unwrap();
    assert_eq!(wait, Duration::from_secs(60_000 + 1));
}

#[test]
fn reservation_is_settled_once() {
    everywhere("90/min; 70/hour", |limiter, _| {
        let reservation = reserve(&limiter, 35);
        assert_eq!([20, 20, 50].map(|actual| settle(&reservation, actual)), [true, false, false]);
        assert_eq!(used(&limiter), [20; 2]);
    });
}

#[test]
fn reservation_is_settled_once_by_parallel_calls() {
    for algorithm in Algorithm::ALL {
        let (limiter, _) = in_memory(algorithm, Quota::per_hour(1_000));
        let _ = limiter.allow_n_now("key", 500).unwrap();
        let reservation = limiter.reserve_n_now("key", 100).unwrap();
        let settled = in_parallel(4, |_, _| reservation.settle_now(40).unwrap().into());
        assert_eq!((settled, limiter.peek_now("key").unwrap().used()), (1, 540), "{algorithm}");
    }
}

#[test]
fn reservation_that_is_dropped_stays_charged() {
    everywhere("90/min", |limiter, _| {
        drop(reserve(&limiter, 35));
        assert_eq!(used(&limiter), [35]);
    });
}

#[test]
fn refused_estimate_has_nothing_to_settle() {
    everywhere("90/min", |limiter, _| {
        let _ = reserve(&limiter, 80);
        let reservation = reserve(&limiter, 20);
        assert!(!reservation.decision().is_allowed());
        assert!(!settle(&reservation, 30));
        assert_eq!(used(&limiter), [80]);
    });
}

#[test]
fn degraded_reservation_has_nothing_to_settle() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).on_error(OnError::Allow);
    mock.fail_next(BackendError::throttled("slow down"));
    let reservation = block_on(limiter.reserve_n("key", 35)).unwrap();
    assert!(reservation.decision().is_allowed() && reservation.decision().is_degraded());
    assert!(!block_on(reservation.settle(50)).unwrap());
    assert_eq!(mock.calls().len(), 1);
}

#[test]
fn settling_corrects_the_window_that_was_charged() {
    everywhere("90/min", |limiter, clock| {
        let (lower, higher) = (reserve(&limiter, 35), reserve(&limiter, 10));
        clock.advance(Duration::from_secs(90));
        let _ = block_on(limiter.allow("key")).unwrap();
        assert!(settle(&lower, 5) && settle(&higher, 20));
        // Of 25 in the previous window, half still weighs in a sliding one. A bucket has paid the
        // lower charge back, and is charged the 10 that are missing.
        let expected = match limiter.get_algorithm() {
            Algorithm::FixedWindow => 1,
            Algorithm::SlidingWindow => 1 + 13,
            _ => 1 + 10,
        };
        assert_eq!(used(&limiter), [expected]);
    });
}

#[test]
fn only_estimates_of_several_hits_are_settled() {
    everywhere("9/min; 7/hour", |requests, _| {
        let tokens = requests.clone().namespace("tokens").quota(Quota::per_hour(1_000));
        let hits = [requests.hit("key").cost(2), tokens.hit("key").estimate(400)];
        let reservation = block_on(reserve_all(&hits)).unwrap();
        assert!(settle(&reservation, 150));
        assert_eq!((used(&requests), used(&tokens)), (vec![2, 2], vec![150]));
        assert!(!settle(&reservation, 1));
    });
}

#[test]
fn reservation_outlives_the_limiter_and_the_key() {
    let (limiter, _) = in_memory(Algorithm::FixedWindow, Quota::per_minute(90));
    let reservation = {
        let (other, key) = (limiter.clone(), String::from("key"));
        reserve_all_now([other.hit(key.as_str()).estimate(35)]).unwrap()
    };
    let thread = std::thread::spawn(move || reservation.settle_now(5).unwrap());
    assert!(thread.join().unwrap());
    assert_eq!(limiter.peek_now("key").unwrap().used(), 5);
    let paid = limiter.with_quota(Quota::per_day(1_000));
    let reservation = block_on(paid.reserve_n("key", 100)).unwrap();
    assert!(reservation.settle_now(300).unwrap());
    assert_eq!(paid.peek_now("key").unwrap().used(), 300);
}

#[test]
fn settling_that_failed_can_be_repeated_unless_it_may_be_done() {
    for algorithm in Algorithm::ALL {
        for (actual, repeated) in [(10, 10), (60, 60)] {
            let errors = Arc::new(Mutex::new(Vec::<BackendError>::new()));
            let next = Arc::clone(&errors);
            let take = move |_: &Counter<'_>, _| next.lock().unwrap().pop().map_or(Ok(()), Err);
            let limiter = Limiter::new(InTurn::with_hook(MemoryBackend::new(), take))
                .quotas("90/min; 70/hour".parse::<limited::Quotas>().unwrap());
            let limiter = limiter.algorithm(algorithm).clock(ManualClock::new());
            let used = || {
                let decision = block_on(limiter.peek("key")).unwrap();
                decision.limits().iter().map(Decision::used).collect::<Vec<_>>()
            };
            let fail = |error: &BackendError| errors.lock().unwrap().push(error.clone());

            let reservation = block_on(limiter.reserve_n("key", 30)).unwrap();
            fail(&BackendError::throttled("slow down"));
            let error = block_on(reservation.settle(actual)).unwrap_err();
            assert!(matches!(error, Error::Backend(BackendError::Throttled(_))), "{error:?}");
            // The second limit was settled, and is not settled again.
            assert_eq!(used(), [30, actual], "{algorithm}");
            assert!(block_on(reservation.settle(actual)).unwrap());
            assert_eq!(used(), [repeated; 2], "{algorithm}");

            block_on(limiter.reset("key")).unwrap();
            let reservation = block_on(limiter.reserve_n("key", 30)).unwrap();
            fail(&BackendError::timed_out("no response"));
            assert!(block_on(reservation.settle(actual)).is_err());
            assert!(!block_on(reservation.settle(actual)).unwrap(), "it may have been done");
            assert_eq!(used(), [30, actual], "{algorithm}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn settled_reservations_add_up_to_the_actual_costs(
        algorithm in any_algorithm(), costs in prop::collection::vec((1..50_u64, 0..90_u64), 1..30),
    ) {
        let (limiter, _) = in_memory(algorithm, Quota::per_hour(1_000));
        let mut bill = 0;
        for (estimate, actual) in costs {
            let reservation = limiter.reserve_n_now("key", estimate).unwrap();
            if reservation.decision().is_allowed() {
                prop_assert!(reservation.settle_now(actual).unwrap());
                bill += actual;
            }
        }
        let used = limiter.peek_now("key").unwrap().used();
        prop_assert_eq!(used, if algorithm == Algorithm::TokenBucket { bill.min(1_000) } else { bill });
    }
}
