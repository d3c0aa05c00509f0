//! What a small limit means under each algorithm. The documentation of `Algorithm` and `Decision`
//! states these figures.

use std::time::Duration;

use limited::Algorithm::{self, FixedWindow, SlidingWindow, TokenBucket};
use limited::{Clock, Quota};

use crate::common::{allow_n, in_memory, on_every_backend};

const LIMITS: [u32; 5] = [1, 2, 5, 10, 100];
const LENGTHS: u32 = 200;

/// Returns how many hits are refused of evenly spaced traffic, exactly at the limit. The first hit
/// is `phase` thousandths of the spacing after the start of a window.
fn refused_at_the_limit(algorithm: Algorithm, limit: u32, phase: u32) -> u32 {
    let (limiter, clock) = in_memory(algorithm, Quota::per_minute(limit.into()));
    let spacing = Duration::from_secs(60) / limit;
    clock.advance(spacing * phase / 1000);
    let hits = (0..limit * LENGTHS).filter(|_| {
        let refused = !limiter.allow_now("key").unwrap().is_allowed();
        clock.advance(spacing);
        refused
    });
    hits.count().try_into().unwrap()
}

#[test]
fn small_sliding_window_refuses_evenly_spaced_traffic_at_the_limit() {
    for limit in LIMITS {
        for phase in [0, 1, 333, 999] {
            // One of each window but the first; every second hit if the limit is 1.
            let expected = if limit == 1 { LENGTHS / 2 } else { LENGTHS - 1 };
            assert_eq!(refused_at_the_limit(SlidingWindow, limit, phase), expected, "{limit}, {phase}");
        }
    }
}

#[test]
fn other_algorithms_admit_evenly_spaced_traffic_at_the_limit() {
    for algorithm in [FixedWindow, TokenBucket] {
        for limit in LIMITS {
            for phase in [0, 1, 333, 999] {
                assert_eq!(refused_at_the_limit(algorithm, limit, phase), 0, "{algorithm}, {limit}");
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
        let admit_all = || (0..).take_while(|_| allow_n(&limiter, "key", 1).is_allowed()).count();
        assert_eq!(admit_all(), 20);
        let minute = (0..599).map(|_| {
            clock.advance(Duration::from_millis(100));
            admit_all()
        });
        assert_eq!(minute.sum::<usize>(), 99);
        clock.advance(Duration::from_millis(100));
        assert!(allow_n(&limiter, "key", 1).is_allowed(), "the 120th, after a minute");
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
            let end = jiff::Timestamp::from_nanosecond(end.as_nanos().into())
                .unwrap()
                .to_zoned_datetime(TimeZone::UTC);
            assert_eq!((end.weekday(), end.hour(), end.minute(), end.second()), (Weekday::Thursday, 0, 0, 0));
            assert!(decision.reset_after() <= Duration::from_secs(length * 86_400), "{algorithm}");
        });
    }
}
