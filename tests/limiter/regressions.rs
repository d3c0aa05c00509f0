//! Bugs of published rate limiters. Each test is named after the bug, and shows that it does not
//! occur here.

use std::sync::Barrier;
use std::time::Duration;

use limited::{Algorithm, BackendError, Clock, Error, Key, Limiter, ManualClock, OnError, Quota};
use limited_memory::MemoryBackend;
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::{AnyBackend, allow_n, backends, block_on, everywhere, in_memory, in_parallel, peek};

#[test]
fn huge_cost_overflows_and_is_admitted() {
    for quota in [Quota::per_day(1), Quota::per_second(u64::MAX / 2), Quota::per_day(u64::MAX).burst(1)] {
        everywhere(quota, |limiter, _| {
            let limit = peek(&limiter, "key").limit();
            for cost in [213_505, u64::MAX - 1, u64::MAX].into_iter().filter(|cost| *cost > limit) {
                assert!(!allow_n(&limiter, "key", cost).is_allowed(), "{cost} under {quota}");
            }
            assert_eq!(peek(&limiter, "key").used(), 0);
        });
    }
    everywhere(Quota::per_day(u64::MAX), |limiter, _| {
        assert!(allow_n(&limiter, "key", u64::MAX).is_allowed());
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        assert!(!allow_n(&limiter, "key", u64::MAX).is_allowed());
    });
}

#[test]
fn burst_nearly_doubles_after_a_partial_pause() {
    // After any pause, at most the burst and what the pause refilled is admitted.
    for pause in 0..=20_000 {
        let (limiter, clock) = in_memory(Algorithm::TokenBucket, Quota::per_second(1).burst(10));
        assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
        clock.advance(Duration::from_millis(pause));
        let admitted = (0..30).filter(|_| limiter.allow_now("key").unwrap().is_allowed()).count();
        assert_eq!(u64::try_from(admitted).unwrap(), (pause / 1_000).min(10));
    }
}

#[test]
fn cost_above_the_limit_deletes_the_state_of_the_key() {
    everywhere(Quota::per_minute(3), |limiter, _| {
        let mut admitted = 0;
        for _ in 0..30 {
            assert!(!allow_n(&limiter, "key", 4).is_allowed());
            admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
        }
        assert_eq!(admitted, 3);
    });
}

#[test]
fn check_and_increment_in_two_steps_admits_parallel_calls() {
    everywhere(Quota::per_minute(100), |limiter, _| {
        for round in 0..10 {
            let key = format!("key {round}");
            let admitted = in_parallel(10, |_, _| allow_n(&limiter, &key, 1).is_allowed().into());
            assert_eq!(admitted, 100);
        }
    });
}

#[test]
fn rollover_in_two_steps_loses_hits() {
    for _ in 0..50 {
        let (limiter, clock) = in_memory(Algorithm::FixedWindow, Quota::per_minute(1_000_000));
        assert!(limiter.allow_n_now("key", 1_000_000).unwrap().is_allowed());
        clock.advance(Duration::from_secs(60));
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..25 {
                        assert!(limiter.allow_now("key").unwrap().is_allowed());
                    }
                });
            }
        });
        assert_eq!(limiter.peek_now("key").unwrap().used(), 200);
    }
}

#[test]
fn refill_rounded_down_drifts_under_frequent_polling() {
    // A bucket of 10 per second, polled 100 times per token, still admits 100 in 10 seconds.
    everywhere(Quota::per_second(10).burst(2), |limiter, clock| {
        let limiter = limiter.algorithm(Algorithm::TokenBucket);
        assert!(allow_n(&limiter, "key", 2).is_allowed());
        let mut admitted = 0;
        for _ in 0..10_000 {
            clock.advance(Duration::from_millis(1));
            admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
        }
        assert_eq!(admitted, 100);
    });
}

#[test]
fn refused_hits_are_counted_and_a_busy_client_starves() {
    // A client that sends 11 per second against a limit of 10 gets 10 admitted, in every second.
    everywhere(Quota::per_second(10), |limiter, clock| {
        for second in 0..10 {
            let mut admitted = 0;
            for _ in 0..11 {
                admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
                clock.advance(Duration::from_nanos(1_000_000_000 / 11));
            }
            clock.advance(Duration::from_nanos(1_000_000_000 % 11));
            // Sliding windows and buckets spread what a fixed window admits at once.
            assert!((9..=11).contains(&admitted), "{admitted} in second {second}");
        }
    });
}

#[test]
fn sliding_window_ignores_its_older_part_and_admits_the_limit_repeatedly() {
    everywhere(Quota::per_hour(1_000), |limiter, clock| {
        let limiter = limiter.algorithm(Algorithm::SlidingWindow);
        let mut admitted = 0;
        for _ in 0..60 {
            for _ in 0..100 {
                admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
            }
            clock.advance(Duration::from_secs(59));
        }
        assert_eq!(admitted, 1_000);
    });
}

#[test]
fn window_shorter_than_the_granularity_admits_every_hit() {
    for window in [
        Duration::from_millis(1),
        Duration::from_millis(7),
        Duration::from_micros(1_500),
        Duration::from_secs(1),
        Duration::from_secs(61),
        Duration::from_secs(86_400 * 365),
    ] {
        everywhere(Quota::new(3, window).unwrap(), |limiter, clock| {
            for _ in 0..5 {
                assert!(allow_n(&limiter, "key", 3).is_allowed(), "{window:?}");
                assert!(!allow_n(&limiter, "key", 1).is_allowed(), "{window:?}");
                clock.advance(2 * window);
            }
        });
    }
}

#[test]
fn cost_is_ignored_by_the_check() {
    everywhere(Quota::per_minute(10), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 9).is_allowed());
        assert!(!allow_n(&limiter, "key", 2).is_allowed());
        clock.advance(Duration::from_secs(60));
        let remaining = peek(&limiter, "key").remaining();
        assert!(!allow_n(&limiter, "key", remaining + 1).is_allowed());
        assert!(allow_n(&limiter, "key", remaining).is_allowed());
    });
}

#[test]
fn cost_of_a_refused_hit_is_stored() {
    everywhere(Quota::per_minute(10), |limiter, _| {
        assert!(allow_n(&limiter, "key", 8).is_allowed());
        for _ in 0..5 {
            let refused = allow_n(&limiter, "key", 6);
            assert_eq!((refused.is_allowed(), refused.used(), refused.remaining()), (false, 8, 2));
        }
        assert!(allow_n(&limiter, "key", 2).is_allowed());
    });
}

#[test]
fn retry_after_is_zero_too_early_or_too_late() {
    everywhere(Quota::per_minute(7), |limiter, clock| {
        while allow_n(&limiter, "key", 1).is_allowed() {
            clock.advance(Duration::from_nanos(123_456_789));
        }
        for cost in 1..=7 {
            let wait = allow_n(&limiter, "key", cost).retry_after().unwrap();
            assert!(wait > Duration::ZERO);
            clock.advance(wait - Duration::from_nanos(1));
            assert!(!allow_n(&limiter, "key", cost).is_allowed());
            clock.advance(Duration::from_nanos(1));
            assert!(allow_n(&limiter, "key", cost).is_allowed());
            while allow_n(&limiter, "key", 1).is_allowed() {}
        }
    });
}

#[test]
fn counters_of_minutes_and_hours_share_an_item_at_the_full_hour() {
    everywhere(Quota::per_minute(5), |limiter, _| {
        let hour = Quota::per_hour(5);
        assert!(allow_n(&limiter, "key", 5).is_allowed());
        assert!(block_on(limiter.with_quota(hour).allow_n("key", 5)).unwrap().is_allowed());
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        assert!(!block_on(limiter.with_quota(hour).allow("key")).unwrap().is_allowed());
    });
}

#[test]
fn separator_of_key_parts_may_occur_in_a_part() {
    everywhere(Quota::per_minute(1), |limiter, _| {
        for key in [
            Key::new().tenant("a").user("b"),
            Key::new().tenant("a:user:b"),
            Key::new().tenant("a%3Auser").user("b"),
            Key::new().tenant("a#b"),
            Key::new().tenant("a").part("b", ""),
            Key::new().part("tenant:a", "user:b"),
        ] {
            assert!(block_on(limiter.allow(&key)).unwrap().is_allowed(), "{key} shares a counter");
        }
        for (namespace, key) in [("a", "b.c"), ("a.b", "c"), ("a#b", "c"), ("a", "b#c"), ("", "a#b#c")] {
            let limiter = limiter.clone().namespace(namespace);
            assert!(allow_n(&limiter, key, 1).is_allowed(), "{namespace} {key} shares a counter");
        }
    });
}

#[test]
fn first_hit_or_refusal_takes_several_round_trips() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new()).quota(Quota::per_minute(2));
    for (requests, allowed) in [(1, true), (2, true), (3, false)] {
        assert_eq!(block_on(limiter.allow("key")).unwrap().is_allowed(), allowed);
        assert_eq!(mock.total(), requests);
    }
}

#[test]
fn hit_takes_two_updates_and_the_first_one_always_fails() {
    let mock = MockBackend::new();
    for algorithm in [Algorithm::FixedWindow, Algorithm::TokenBucket] {
        let limiter = Limiter::new(mock.clone()).clock(ManualClock::new()).algorithm(algorithm);
        for _ in 0..10 {
            mock.clear_calls();
            assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
            assert_eq!(mock.count(Operation::Increment), 1);
            assert!(mock.calls()[0].is_counted());
        }
    }
}

#[test]
fn repeated_write_counts_one_hit_twice() {
    for algorithm in Algorithm::ALL {
        let mock = MockBackend::new();
        mock.inject(Fault::repeated_write().on(Operation::Increment).always());
        let limiter =
            Limiter::new(mock).clock(ManualClock::new()).algorithm(algorithm).quota(Quota::per_minute(10));
        for used in 1..=10 {
            assert_eq!(block_on(limiter.allow("key")).unwrap().used(), used, "{algorithm}");
        }
        assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
    }
}

#[test]
fn hit_is_repeated_after_any_error() {
    for algorithm in Algorithm::ALL {
        for on_error in [OnError::Return, OnError::Allow, OnError::Deny] {
            let mock = MockBackend::new();
            mock.inject(Fault::lost_response().on(Operation::Increment));
            let limiter =
                Limiter::new(mock.clone()).clock(ManualClock::new()).algorithm(algorithm).on_error(on_error);
            let _ = block_on(limiter.allow("key"));
            assert_eq!(mock.count(Operation::Increment), 1);
            assert_eq!(block_on(limiter.peek("key")).unwrap().used(), 1);
        }
    }
}

#[test]
fn error_of_the_store_looks_like_a_refusal_or_an_admission() {
    for (name, error) in [
        ("throttled", BackendError::throttled("slow down")),
        ("timed out", BackendError::timed_out("no response within 250 ms")),
        ("unavailable", BackendError::unavailable("connection refused")),
        ("missing", BackendError::MissingTable("limits".into())),
        ("denied", BackendError::AccessDenied("no credentials".into())),
        ("invalid", BackendError::invalid("38 digits")),
    ] {
        let mock = MockBackend::new();
        mock.fail_next(error.clone());
        let limiter = Limiter::new(mock).clock(ManualClock::new());
        let Err(Error::Backend(returned)) = block_on(limiter.allow("key")) else {
            panic!("{name} should be an error")
        };
        assert_eq!(returned.to_string(), error.to_string());
    }
}

#[test]
fn memory_grows_with_every_key_ever_used() {
    for algorithm in Algorithm::ALL {
        let backend = MemoryBackend::new();
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend.clone()).algorithm(algorithm).clock(clock.clone());
        let limiter = limiter.quota(Quota::per_second(10));
        let mut max = 0;
        for key in 0..200_000 {
            assert!(limiter.allow_now(format!("key {key}")).unwrap().is_allowed());
            clock.advance(Duration::from_micros(500));
            max = max.max(backend.len());
        }
        // 2,000 keys per second, each kept for at most 2 s and the maximum skew of 5 s.
        assert!(max <= 14_001, "{algorithm}: {max}");
    }
}

#[test]
fn cleanup_scans_the_whole_map_in_one_call() {
    let backend = MemoryBackend::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(backend.clone()).clock(clock.clone());
    for key in 0..50_000 {
        assert!(limiter.allow_now(format!("key {key}")).unwrap().is_allowed());
    }
    clock.advance(Duration::from_secs(3_600));
    while backend.len() > 1 {
        let before = backend.len();
        let _ = limiter.peek_now("other").unwrap();
        assert!(before - backend.len() <= 4, "one call removed {} keys", before - backend.len());
        assert!(backend.len() < before);
        if backend.is_empty() {
            break;
        }
    }
}

/// Uses up the limit, moves the clock back, and returns how many hits are admitted then.
fn admitted_after_a_jump(limiter: &Limiter<AnyBackend>, clock: &ManualClock, back: Duration) -> u64 {
    while allow_n(limiter, "key", 1).is_allowed() {}
    clock.rewind(back);
    (0..50).map(|_| u64::from(allow_n(limiter, "key", 1).is_allowed())).sum()
}

#[test]
fn clock_jumps_back_and_the_limit_resets() {
    // A window ended some seconds ago, and the next one is in use. Back in the old one, nothing is
    // free.
    everywhere(Quota::per_minute(10), |limiter, clock| {
        while allow_n(&limiter, "key", 1).is_allowed() {}
        clock.advance(Duration::from_secs(63));
        assert_eq!(admitted_after_a_jump(&limiter, &clock, Duration::from_secs(8)), 0);
    });
    // Small jumps back and forth admit no more than the limit in total.
    everywhere(Quota::per_minute(10), |limiter, clock| {
        clock.advance(Duration::from_secs(30));
        let mut admitted = 0;
        for _ in 0..200 {
            admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
            clock.rewind(Duration::from_millis(400));
            admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
            clock.advance(Duration::from_millis(400));
        }
        assert_eq!(admitted, 10);
    });
}

#[test]
fn clock_jumps_back_and_the_limit_is_reached_early() {
    for (_, backend) in backends() {
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend).quota(Quota::per_minute(10)).clock(clock.clone());
        clock.advance(Duration::from_secs(65));
        assert!(allow_n(&limiter, "key", 4).is_allowed());
        // Back in the previous window, which is unused, only its own limit applies.
        clock.rewind(Duration::from_secs(10));
        assert!(allow_n(&limiter, "key", 10).is_allowed());
        clock.advance(Duration::from_secs(10));
        assert_eq!(peek(&limiter, "key").remaining(), 6);
    }
}

#[test]
fn expired_state_is_read_as_live() {
    everywhere(Quota::per_minute(5), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 5).is_allowed());
        clock.advance(Duration::from_secs(120));
        let seen = peek(&limiter, "key");
        assert_eq!((seen.used(), seen.remaining()), (0, 5));
        assert!(allow_n(&limiter, "key", 5).is_allowed());
    });
}

#[test]
fn secret_is_stored_as_a_key() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new());
    let _ = block_on(limiter.allow(Key::new().secret("api_key", "sk_live_hunter2"))).unwrap();
    let _ = block_on(limiter.allow(Key::new().tenant("42").secret("token", "sk_live_hunter2"))).unwrap();
    assert!(mock.total() > 0);
    assert!(!format!("{:?}", mock.calls()).contains("hunter2"));
}

#[test]
fn mock_backend_hides_races() {
    // The mock is a real store: it passes the conformance suite, and races occur on it as on any
    // other.
    let limiter = Limiter::new(MockBackend::new()).quota(Quota::per_minute(1)).clock(ManualClock::new());
    for round in 0..100 {
        let (key, barrier) = (format!("key {round}"), Barrier::new(4));
        let ask = || {
            barrier.wait();
            u32::from(limiter.allow_now(&key).unwrap().is_allowed())
        };
        let admitted: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1);
    }
}

#[test]
fn clock_at_the_last_timestamp_panics() {
    everywhere(Quota::per_minute(5), |limiter, clock| {
        clock.advance(Duration::MAX);
        let end = clock.now();
        for _ in 0..10 {
            let _ = allow_n(&limiter, "key", 1);
            let _ = peek(&limiter, "key");
        }
        assert_eq!(clock.now(), end);
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
    });
}
