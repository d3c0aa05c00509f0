//! Sliding logs admit at most the limit in any stretch of one window, and say exactly when a
//! refused hit fits.

use std::time::Duration;

use limited::{Algorithm, Clock, Quota};
use proptest::prelude::*;

use crate::common::{allow_n, block_on, calls, in_memory, nanos, on_every_backend, peek, small_quota};

const LOG: Algorithm = Algorithm::SlidingLog;

/// Returns the sum of the costs in the window that ends at `now`.
fn listed(hits: &[(u64, u64)], quota: Quota, now: u64) -> u64 {
    let length = nanos(quota.window());
    hits.iter().filter(|(time, _)| now - time < length).map(|(_, cost)| cost).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn decisions_are_those_of_a_plain_list_of_hits(quota in small_quota(), calls in calls()) {
        let (limiter, clock) = in_memory(LOG, quota);
        let mut list = Vec::new();
        for call in calls {
            call.wait(&clock, quota);
            let now = clock.now().as_nanos();
            let fits = listed(&list, quota, now) + call.cost <= quota.limit();
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            prop_assert_eq!(decision.is_allowed(), fits);
            if fits {
                list.push((now, call.cost));
            }
            let used = listed(&list, quota, now);
            prop_assert_eq!((decision.used(), decision.remaining()), (used, quota.limit() - used));
            prop_assert_eq!(limiter.peek_now("key").unwrap().remaining(), quota.limit() - used);
            match decision.retry_after().map(nanos) {
                Some(wait) => {
                    prop_assert!(listed(&list, quota, now + wait) + call.cost <= quota.limit());
                    prop_assert!(listed(&list, quota, now + wait - 1) + call.cost > quota.limit());
                }
                None => prop_assert!(fits || call.cost > quota.limit()),
            }
            prop_assert_eq!(listed(&list, quota, now + nanos(decision.reset_after())), 0);
        }
        for (start, _) in &list {
            let end = start + nanos(quota.window());
            let stretch: u64 = list.iter().filter(|(at, _)| (*start..end).contains(at)).map(|(_, cost)| cost).sum();
            prop_assert!(stretch <= quota.limit());
        }
    }

    #[test]
    fn refunded_hits_are_as_if_they_had_never_been_counted(
        quota in small_quota(), calls in prop::collection::vec((calls(), any::<bool>()), 1..3),
    ) {
        let (limiter, clock) = in_memory(LOG, quota);
        let (other, _) = in_memory(LOG, quota);
        let other = other.clock(clock.clone());
        for (calls, is_refunded) in calls {
            for call in calls {
                // One hit at a time: a refund goes to all that was charged at its time.
                clock.advance(Duration::from_nanos(1));
                call.wait(&clock, quota);
                let decision = limiter.allow_n_now("key", call.cost).unwrap();
                if is_refunded {
                    limiter.refund_now("key", &decision).unwrap();
                } else {
                    prop_assert_eq!(&other.allow_n_now("key", call.cost).unwrap(), &decision);
                }
                let [used, expected] = [&limiter, &other].map(|limiter| limiter.peek_now("key").unwrap().used());
                prop_assert_eq!(used, expected);
            }
        }
    }
}

#[test]
fn hits_around_the_end_of_a_minute_are_limited_together() {
    on_every_backend(LOG, Quota::per_minute(10), |limiter, clock| {
        clock.advance(Duration::from_secs(59));
        assert!(allow_n(&limiter, "key", 10).is_allowed());
        clock.advance(Duration::from_secs(2));
        let refused = allow_n(&limiter, "key", 1);
        assert!(!refused.is_allowed());
        assert_eq!((refused.used(), refused.remaining()), (10, 0));
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(58)));
        assert_eq!(refused.reset_after(), Duration::from_secs(58));
        clock.advance(Duration::from_secs(58) - Duration::from_nanos(1));
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        clock.advance(Duration::from_nanos(1));
        assert!(allow_n(&limiter, "key", 10).is_allowed());
    });
}

#[test]
fn even_traffic_at_a_small_limit_is_admitted_in_full() {
    // The sliding window refuses every second of these.
    on_every_backend(LOG, "1/10s".parse().unwrap(), |limiter, clock| {
        for _ in 0..5 {
            assert!(allow_n(&limiter, "key", 1).is_allowed());
            assert_eq!(allow_n(&limiter, "key", 1).retry_after(), Some(Duration::from_secs(10)));
            clock.advance(Duration::from_secs(10));
        }
    });
}

#[test]
fn retry_after_waits_for_as_many_hits_as_the_cost_needs() {
    on_every_backend(LOG, Quota::per_minute(3), |limiter, clock| {
        for _ in 0..3 {
            assert!(allow_n(&limiter, "key", 1).is_allowed());
            clock.advance(Duration::from_secs(10));
        }
        for (cost, seconds) in [(1, Some(30)), (2, Some(40)), (3, Some(50)), (4, None)] {
            let refused = allow_n(&limiter, "key", cost);
            assert_eq!(refused.retry_after(), seconds.map(Duration::from_secs), "{cost}");
        }
        assert_eq!(peek(&limiter, "key").retry_after(), Some(Duration::from_secs(30)));
    });
}

#[test]
fn reset_frees_the_whole_limit() {
    on_every_backend(LOG, Quota::per_minute(2), |limiter, _| {
        assert!(allow_n(&limiter, "key", 2).is_allowed());
        block_on(limiter.reset("key")).unwrap();
        assert_eq!(peek(&limiter, "key").used(), 0);
        assert!(allow_n(&limiter, "key", 2).is_allowed());
    });
}

#[test]
fn burst_has_no_effect_on_a_log() {
    on_every_backend(LOG, Quota::per_minute(2).burst(9), |limiter, _| {
        assert_eq!(peek(&limiter, "key").limit(), 2);
        assert!(allow_n(&limiter, "key", 2).is_allowed() && !allow_n(&limiter, "key", 1).is_allowed());
    });
}

#[test]
fn limit_above_the_size_of_the_log_admits_it_and_never_more() {
    let (limiter, clock) = in_memory(LOG, Quota::per_minute(1_000));
    let mut admitted = Vec::new();
    for _ in 0..2_500 {
        clock.advance(Duration::from_millis(50));
        if limiter.allow_now("key").unwrap().is_allowed() {
            admitted.push(clock.now().as_nanos());
        }
    }
    // The first 1,000 pass at once, although the log holds fewer times.
    assert!(admitted[999] - admitted[0] < 60_000_000_000);
    let in_a_minute =
        |start: &u64| admitted.iter().filter(|at| (*start..start + 60_000_000_000).contains(*at)).count();
    assert_eq!(admitted.iter().map(in_a_minute).max(), Some(1_000));
}
