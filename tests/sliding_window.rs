//! Sliding windows follow their formula exactly, and stay within the documented distance of a log of every hit.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{AnyBackend, allow_n, backends, calls, in_memory, nanos, peek, small_quota};
use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};
use proptest::prelude::*;

/// Every admitted hit, with its time.
#[derive(Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    /// What was admitted from `from` to `to`, both included.
    fn between(&self, from: u64, to: u64) -> u64 {
        self.0.iter().filter(|(time, _)| (from..=to).contains(time)).map(|(_, cost)| cost).sum()
    }

    /// What was admitted in the window's length that ends at `now`.
    fn last(&self, length: u64, now: u64) -> u64 {
        self.between(now - length + 1, now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_decision_follows_the_formula(quota in small_quota(), calls in calls()) {
        let (limiter, clock) = in_memory(Algorithm::SlidingWindow, quota);
        let length = u128::from(nanos(quota.window()));
        let limit = u128::from(quota.limit());
        let mut windows = BTreeMap::<u128, u128>::new();
        for call in calls {
            call.wait(&clock, quota);
            let (now, cost) = (u128::from(clock.now().as_nanos()), u128::from(call.cost));
            let window = now / length;
            let elapsed = now % length;
            let previous = windows.get(&(window - 1)).copied().unwrap_or(0);
            let current = windows.entry(window).or_default();
            let fits = (*current + cost) * length + previous * (length - elapsed) <= limit * length;
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            prop_assert_eq!(decision.is_allowed(), fits);
            if fits {
                *current += cost;
            }
            let taken = *current * length + previous * (length - elapsed);
            prop_assert_eq!(u128::from(decision.used()), taken.div_ceil(length));
            prop_assert_eq!(u128::from(decision.remaining()), (limit * length - taken) / length);
        }
    }

    #[test]
    fn the_distance_to_a_log_of_every_hit_stays_within_the_documented_bounds(
        quota in small_quota(),
        calls in calls(),
    ) {
        let (limiter, clock) = in_memory(Algorithm::SlidingWindow, quota);
        let length = nanos(quota.window());
        let mut log = Log::default();
        for call in calls {
            call.wait(&clock, quota);
            let now = clock.now().as_nanos();
            if limiter.allow_n_now("key", call.cost).unwrap().is_allowed() {
                log.0.push((now, call.cost));
            }
            let (start, wide) = (now - now % length, u128::from(length));
            let elapsed = u128::from(now % length);
            let previous = u128::from(log.between(start - length, start - 1));
            let current = u128::from(log.between(start, now));
            // Both sides times the length, so that nothing is rounded.
            let counted = current * wide + previous * (wide - elapsed);
            let exact = u128::from(log.last(length, now)) * wide;
            prop_assert!(exact <= counted + previous * elapsed, "too few are counted");
            prop_assert!(counted <= exact + previous * (wide - elapsed), "too many are counted");
            prop_assert!(log.last(length, now) < 2 * quota.limit(), "twice the limit passed");
            prop_assert!(log.between(start, now) <= quota.limit(), "a fixed window would have refused");
        }
    }
}

fn each(quota: Quota, behaviour: impl Fn(&Limiter<AnyBackend>, &ManualClock)) {
    for (_, backend) in backends() {
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend).algorithm(Algorithm::SlidingWindow);
        behaviour(&limiter.quota(quota).clock(clock.clone()), &clock);
    }
}

#[test]
fn the_window_before_weighs_less_and_less() {
    each(Quota::per_minute(100), |limiter, clock| {
        assert!(allow_n(limiter, "key", 100).is_allowed());
        clock.advance(Duration::from_secs(60));
        // At the start of the next window everything still counts, a quarter later a quarter is free.
        let refused = allow_n(limiter, "key", 1);
        assert_eq!((refused.is_allowed(), refused.used(), refused.remaining()), (false, 100, 0));
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(600)));
        assert_eq!(refused.reset_after(), Duration::from_secs(60));
        clock.advance(Duration::from_secs(15));
        assert_eq!(peek(limiter, "key").remaining(), 25);
        assert!(!allow_n(limiter, "key", 26).is_allowed());
        let admitted = allow_n(limiter, "key", 25);
        assert_eq!((admitted.is_allowed(), admitted.used(), admitted.remaining()), (true, 100, 0));
        assert_eq!(admitted.reset_after(), Duration::from_secs(105));
        clock.advance(Duration::from_secs(105));
        assert_eq!(peek(limiter, "key").used(), 0);
    });
}

#[test]
fn a_limiter_nobody_used_has_nothing_to_reset() {
    each(Quota::per_minute(100), |limiter, _| {
        assert_eq!(peek(limiter, "key").reset_after(), Duration::ZERO);
    });
}

#[test]
fn reset_forgets_both_windows() {
    each(Quota::per_minute(10), |limiter, clock| {
        assert!(allow_n(limiter, "key", 10).is_allowed());
        clock.advance(Duration::from_secs(90));
        assert!(allow_n(limiter, "key", 5).is_allowed());
        assert!(!allow_n(limiter, "key", 1).is_allowed());
        common::block_on(limiter.reset("key")).unwrap();
        assert_eq!(peek(limiter, "key").used(), 0);
        assert!(allow_n(limiter, "key", 10).is_allowed());
    });
}
