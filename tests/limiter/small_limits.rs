//! What a small limit means under each algorithm. The documentation of `Algorithm` and `Decision`
//! states these figures.

use std::time::Duration;

use limited::Algorithm::{self, FixedWindow, SlidingWindow, TokenBucket};
use limited::{Clock, Quota};

use crate::common::{allow_n, in_memory, on_every_backend};

const WINDOW: Duration = Duration::from_secs(1000);
const LENGTHS: u64 = 200;

/// Returns how many hits are refused of evenly spaced traffic, exactly at the limit, whose first
/// hit is `offset` after the start of a window.
fn refused_at_the_limit(algorithm: Algorithm, limit: u32, offset: Duration) -> u64 {
    let (limiter, clock) = in_memory(algorithm, Quota::new(limit.into(), WINDOW).unwrap());
    clock.advance(WINDOW * u32::try_from(clock.now().as_nanos() % 7).unwrap() + offset);
    let mut refused = 0;
    for _ in 0..u64::from(limit) * LENGTHS {
        if !limiter.allow_now("key").unwrap().is_allowed() {
            refused += 1;
        }
        clock.advance(WINDOW / limit);
    }
    refused
}

#[test]
fn small_sliding_window_refuses_evenly_spaced_traffic_at_the_limit() {
    for offset in [0, 1, 333, 999].map(Duration::from_secs) {
        for limit in [1, 2, 5, 10, 100] {
            // Every second hit of a limit of 1. Otherwise one of each window but the first.
            let expected = if limit == 1 { LENGTHS / 2 } else { LENGTHS - 1 };
            let refused = refused_at_the_limit(SlidingWindow, limit, offset % (WINDOW / limit));
            assert!(refused.abs_diff(expected) <= 1, "limit {limit}, {offset:?}: {refused} of {expected}");
        }
    }
}

#[test]
fn other_algorithms_admit_evenly_spaced_traffic_at_the_limit() {
    for algorithm in [FixedWindow, TokenBucket] {
        for limit in [1, 2, 5, 10, 100] {
            for offset in [0, 1, 333, 999].map(Duration::from_secs) {
                assert_eq!(
                    refused_at_the_limit(algorithm, limit, offset % (WINDOW / limit)),
                    0,
                    "{algorithm}"
                );
            }
        }
    }
}

#[test]
fn only_hit_of_a_small_sliding_window_is_remembered_for_almost_two_lengths() {
    let quota: Quota = "1/10s".parse().unwrap();
    on_every_backend(SlidingWindow, quota, |limiter, clock| {
        assert!(allow_n(&limiter, "key", 1).is_allowed());
        // The last nanosecond at which it is refused, almost 20 s later.
        clock.advance(Duration::from_millis(1));
        assert_eq!(allow_n(&limiter, "key", 1).retry_after(), Some(Duration::from_millis(19_999)));
        clock.advance(Duration::from_millis(19_999) - Duration::from_nanos(1));
        assert_eq!(allow_n(&limiter, "key", 1).retry_after(), Some(Duration::from_nanos(1)));
        clock.advance(Duration::from_nanos(1));
        assert!(allow_n(&limiter, "key", 1).is_allowed());
    });
    for algorithm in [FixedWindow, TokenBucket] {
        on_every_backend(algorithm, quota, |limiter, clock| {
            assert!(allow_n(&limiter, "key", 1).is_allowed());
            clock.advance(Duration::from_secs(10));
            assert!(allow_n(&limiter, "key", 1).is_allowed());
        });
    }
}

#[test]
fn burst_is_the_size_of_the_bucket_and_not_added_to_the_limit() {
    on_every_backend(TokenBucket, "100/min burst 20".parse().unwrap(), |limiter, clock| {
        let mut admitted = 0;
        let mut at_once = 0;
        for millisecond in 0..60_000_u32 {
            if millisecond % 100 == 0 {
                while allow_n(&limiter, "key", 1).is_allowed() {
                    admitted += 1;
                }
            }
            if millisecond == 0 {
                at_once = admitted;
            }
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!((at_once, admitted), (20, 119));
        assert!(allow_n(&limiter, "key", 1).is_allowed(), "the 120th, a minute later");
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
    });
}

#[test]
fn window_of_seven_days_starts_on_thursday_at_midnight_utc() {
    use jiff::civil::Weekday;
    use jiff::tz::TimeZone;

    for algorithm in [FixedWindow, SlidingWindow] {
        on_every_backend(algorithm, "3/7d".parse().unwrap(), |limiter, clock| {
            clock.advance(Duration::from_secs(123_456));
            let decision = allow_n(&limiter, "key", 1);
            let length = if algorithm == SlidingWindow { 2 * 7 } else { 7 };
            let end = clock.now().saturating_add(decision.reset_after());
            let end =
                jiff::Timestamp::from_nanosecond(end.as_nanos().into()).unwrap().to_zoned(TimeZone::UTC);
            assert_eq!((end.weekday(), end.hour(), end.minute(), end.second()), (Weekday::Thursday, 0, 0, 0));
            assert!(decision.reset_after() <= Duration::from_secs(length * 86_400), "{algorithm}");
        });
    }
}
