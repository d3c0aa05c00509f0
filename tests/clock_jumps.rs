//! What a limiter answers when its clock jumps back further than it remembers.

mod common;

use std::time::Duration;

use common::in_memory;
use limited::{Algorithm, Quota};

const TICK: Duration = Duration::from_nanos(1);

/// Windows of 10 ms are shorter than the allowed skew, so that not all of them are remembered.
fn quota() -> Quota {
    Quota::new(5, Duration::from_millis(10)).unwrap()
}

#[test]
fn a_forgotten_window_refuses_and_says_when_it_can_decide_again() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (limiter, clock) = in_memory(algorithm, quota());
        for _ in 0..6 {
            assert!(limiter.allow_n_now("key", 2).unwrap().is_allowed());
            clock.advance(Duration::from_millis(10));
        }
        clock.rewind(Duration::from_millis(56));
        let seen = limiter.peek_now("key").unwrap();
        assert_eq!((seen.is_allowed(), seen.remaining()), (false, 0), "{algorithm}");
        let refused = limiter.allow_now("key").unwrap();
        assert!(!refused.is_allowed(), "{algorithm}");
        assert_eq!(refused, seen);
        let wait = refused.retry_after().unwrap();
        assert!(wait > Duration::from_millis(10), "{algorithm}: {wait:?}");
        clock.advance(wait - TICK);
        assert!(!limiter.allow_now("key").unwrap().is_allowed(), "{algorithm}: a tick less than {wait:?}");
        clock.advance(TICK);
        assert!(limiter.allow_now("key").unwrap().is_allowed(), "{algorithm}: after {wait:?}");
    }
}

#[test]
fn where_the_earliest_known_window_is_full_the_wait_goes_past_it() {
    let (limiter, clock) = in_memory(Algorithm::FixedWindow, quota());
    for _ in 0..6 {
        assert!(limiter.allow_n_now("key", 5).unwrap().is_allowed());
        clock.advance(Duration::from_millis(10));
    }
    // The latest three windows are known: those that began 30, 20 and 10 ms ago.
    clock.rewind(Duration::from_millis(60));
    assert_eq!(limiter.allow_now("key").unwrap().retry_after(), Some(Duration::from_millis(40)));
}

#[test]
fn a_clock_that_was_hours_ahead_starts_over_in_its_windows() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (limiter, clock) = in_memory(algorithm, quota());
        clock.advance(Duration::from_secs(36_000));
        for _ in 0..6 {
            assert!(limiter.allow_n_now("key", 2).unwrap().is_allowed());
            clock.advance(Duration::from_millis(10));
        }
        clock.rewind(Duration::from_secs(36_000));
        for _ in 0..20 {
            let admitted = (0..9).filter(|_| limiter.allow_now("key").unwrap().is_allowed()).count();
            assert_eq!(admitted, 5, "{algorithm}");
            clock.advance(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_bucket_refuses_until_the_clock_has_caught_up() {
    let (limiter, clock) = in_memory(Algorithm::TokenBucket, quota());
    clock.advance(Duration::from_secs(3_600));
    assert!(limiter.allow_n_now("key", 5).unwrap().is_allowed());
    clock.rewind(Duration::from_secs(3_600));
    let wait = limiter.allow_now("key").unwrap().retry_after().unwrap();
    assert_eq!(wait, Duration::from_secs(3_600) + Duration::from_millis(2));
    clock.advance(wait - TICK);
    assert!(!limiter.allow_now("key").unwrap().is_allowed());
    clock.advance(TICK);
    assert!(limiter.allow_now("key").unwrap().is_allowed());
}
