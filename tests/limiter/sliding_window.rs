//! Sliding windows follow their formula exactly, and differ from a log of every hit within the
//! documented bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use limited::{Algorithm, Clock, Quota};
use proptest::prelude::*;

use crate::common::{allow_n, block_on, calls, in_memory, nanos, on_every_backend, peek, small_quota};

/// The times and costs of all admitted hits.
#[derive(Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    /// Returns the cost admitted from `from` to `to`, both included.
    fn between(&self, from: u64, to: u64) -> u64 {
        self.0.iter().filter(|(time, _)| (from..=to).contains(time)).map(|(_, cost)| cost).sum()
    }

    /// Returns the cost admitted in the stretch of one length that ends at `now`.
    fn last(&self, length: u64, now: u64) -> u64 {
        self.between(now - length + 1, now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn decisions_follow_the_formula(quota in small_quota(), calls in calls()) {
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
    fn difference_to_a_log_of_every_hit_is_within_the_documented_bounds(
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
            let (start, wide_length) = (now - now % length, u128::from(length));
            let elapsed = u128::from(now % length);
            let previous = u128::from(log.between(start - length, start - 1));
            let current = u128::from(log.between(start, now));
            // Both sides are multiplied by the length, so that nothing is rounded.
            let counted = current * wide_length + previous * (wide_length - elapsed);
            let exact = u128::from(log.last(length, now)) * wide_length;
            prop_assert!(exact <= counted + previous * elapsed, "too few hits are counted");
            prop_assert!(counted <= exact + previous * (wide_length - elapsed), "too many hits are counted");
            prop_assert!(log.last(length, now) < 2 * quota.limit(), "twice the limit passed");
            prop_assert!(log.between(start, now) <= quota.limit(), "a fixed window would have refused");
        }
    }
}

#[test]
fn weight_of_the_previous_window_decreases() {
    on_every_backend(Algorithm::SlidingWindow, Quota::per_minute(100), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 100).is_allowed());
        clock.advance(Duration::from_secs(60));
        // At the start of the next window everything still counts. A quarter later, a quarter is
        // free.
        let refused = allow_n(&limiter, "key", 1);
        assert_eq!((refused.is_allowed(), refused.used(), refused.remaining()), (false, 100, 0));
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(600)));
        assert_eq!(refused.reset_after(), Duration::from_secs(60));
        clock.advance(Duration::from_secs(15));
        assert_eq!(peek(&limiter, "key").remaining(), 25);
        assert!(!allow_n(&limiter, "key", 26).is_allowed());
        let admitted = allow_n(&limiter, "key", 25);
        assert_eq!((admitted.is_allowed(), admitted.used(), admitted.remaining()), (true, 100, 0));
        assert_eq!(admitted.reset_after(), Duration::from_secs(105));
        clock.advance(Duration::from_secs(105));
        assert_eq!(peek(&limiter, "key").used(), 0);
    });
}

#[test]
fn unused_key_has_nothing_to_reset() {
    on_every_backend(Algorithm::SlidingWindow, Quota::per_minute(100), |limiter, _| {
        assert_eq!(peek(&limiter, "key").reset_after(), Duration::ZERO);
    });
}

#[test]
fn reset_deletes_both_windows() {
    on_every_backend(Algorithm::SlidingWindow, Quota::per_minute(10), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 10).is_allowed());
        clock.advance(Duration::from_secs(90));
        assert!(allow_n(&limiter, "key", 5).is_allowed());
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        block_on(limiter.reset("key")).unwrap();
        assert_eq!(peek(&limiter, "key").used(), 0);
        assert!(allow_n(&limiter, "key", 10).is_allowed());
    });
}
