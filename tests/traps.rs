//! The traps that published rate limiters fell into, as far as counters are concerned. Each test is named after one.

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{AnyBackend, allow_n, backends, block_on, everywhere, in_memory, peek};
use limited::{Algorithm, BackendError, Clock, Error, Key, Limiter, ManualClock, OnError, Quota};
use limited_memory::MemoryBackend;
use limited_mock::{Fault, MockBackend, Operation};

#[test]
fn an_enormous_cost_wraps_and_is_admitted() {
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
fn a_burst_nearly_doubles_after_a_partial_idle() {
    // Any burst after any idle is at most the burst and what the idle refilled.
    for idle in 0..=20_000 {
        let (limiter, clock) = in_memory(Algorithm::TokenBucket, Quota::per_second(1).burst(10));
        assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
        clock.advance(Duration::from_millis(idle));
        let admitted = (0..30).filter(|_| limiter.allow_now("key").unwrap().is_allowed()).count();
        assert_eq!(u64::try_from(admitted).unwrap(), (idle / 1_000).min(10));
    }
}

#[test]
fn an_over_limit_cost_wipes_the_state_of_the_key() {
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
fn checked_first_and_added_later_parallel_calls_all_pass() {
    everywhere(Quota::per_minute(100), |limiter, _| {
        for round in 0..10 {
            let (key, barrier) = (format!("key {round}"), Barrier::new(16));
            let admitted: usize = std::thread::scope(|scope| {
                let ask = || {
                    barrier.wait();
                    (0..10).filter(|_| allow_n(&limiter, &key, 1).is_allowed()).count()
                };
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(admitted, 100);
        }
    });
}

#[test]
fn a_rollover_in_two_steps_loses_hits_between_them() {
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
fn a_refill_that_floors_its_fraction_drifts_under_tight_polling() {
    // Polled a hundred times for each token, a bucket of ten a second still gives a hundred in ten seconds.
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
fn refused_hits_are_counted_and_a_client_that_keeps_asking_starves() {
    // Eleven a second against ten a second: ten get through, second after second.
    everywhere(Quota::per_second(10), |limiter, clock| {
        for second in 0..10 {
            let mut admitted = 0;
            for _ in 0..11 {
                admitted += u32::from(allow_n(&limiter, "key", 1).is_allowed());
                clock.advance(Duration::from_nanos(1_000_000_000 / 11));
            }
            clock.advance(Duration::from_nanos(1_000_000_000 % 11));
            // A sliding window and a bucket spread what a fixed window admits at once.
            assert!((9..=11).contains(&admitted), "{admitted} in second {second}");
        }
    });
}

#[test]
fn a_sliding_window_that_looks_at_its_newest_part_only_admits_the_limit_again_and_again() {
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
fn a_window_shorter_than_some_granularity_lets_everybody_in() {
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
fn the_weight_is_left_out_of_the_check() {
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
fn the_cost_of_a_refused_hit_is_stored() {
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
fn a_retry_hint_of_zero_or_one_that_is_too_early_or_too_late() {
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
fn the_minutes_and_the_hours_counter_share_an_item_at_the_hour() {
    everywhere(Quota::per_minute(5), |limiter, _| {
        let hour = Quota::per_hour(5);
        assert!(allow_n(&limiter, "key", 5).is_allowed());
        assert!(block_on(limiter.with_quota(hour).allow_n("key", 5)).unwrap().is_allowed());
        assert!(!allow_n(&limiter, "key", 1).is_allowed());
        assert!(!block_on(limiter.with_quota(hour).allow("key")).unwrap().is_allowed());
    });
}

#[test]
fn parts_are_joined_with_a_separator_that_a_part_may_contain() {
    everywhere(Quota::per_minute(1), |limiter, _| {
        for key in [
            Key::new().tenant("a").user("b"),
            Key::new().tenant("a:user:b"),
            Key::new().tenant("a%3Auser").user("b"),
            Key::new().tenant("a#b"),
            Key::new().tenant("a").part("b", ""),
            Key::new().part("tenant:a", "user:b"),
        ] {
            assert!(block_on(limiter.allow(&key)).unwrap().is_allowed(), "{key} met another key");
        }
        for (namespace, key) in [("a", "b.c"), ("a.b", "c"), ("a#b", "c"), ("a", "b#c"), ("", "a#b#c")] {
            let limiter = limiter.clone().namespace(namespace);
            assert!(allow_n(&limiter, key, 1).is_allowed(), "{namespace} {key} met another key");
        }
    });
}

#[test]
fn a_first_hit_or_a_refusal_takes_several_round_trips() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new()).quota(Quota::per_minute(2));
    for (requests, allowed) in [(1, true), (2, true), (3, false)] {
        assert_eq!(block_on(limiter.allow("key")).unwrap().is_allowed(), allowed);
        assert_eq!(mock.total(), requests);
    }
}

#[test]
fn an_ordinary_hit_takes_two_updates_the_first_one_bound_to_fail() {
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
fn a_write_that_was_applied_is_repeated_and_one_hit_counts_twice() {
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
fn any_error_is_caught_and_the_hit_written_again() {
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
fn a_store_error_looks_like_a_refusal_or_an_admission() {
    for (name, error) in [
        ("throttled", BackendError::throttled("slow down")),
        ("timed out", BackendError::timed_out("no answer in 250 ms")),
        ("unavailable", BackendError::unavailable("connection refused")),
        ("missing", BackendError::MissingTable("limits".into())),
        ("denied", BackendError::AccessDenied("no credentials".into())),
        ("invalid", BackendError::invalid("38 digits")),
    ] {
        let mock = MockBackend::new();
        mock.fail_next(error.clone());
        let limiter = Limiter::new(mock).clock(ManualClock::new());
        let Err(Error::Backend(returned)) = block_on(limiter.allow("key")) else {
            panic!("{name} has to be an error")
        };
        assert_eq!(returned.to_string(), error.to_string());
    }
}

#[test]
fn memory_grows_with_every_key_ever_seen() {
    for algorithm in Algorithm::ALL {
        let backend = MemoryBackend::new();
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend.clone()).algorithm(algorithm).clock(clock.clone());
        let limiter = limiter.quota(Quota::per_second(10));
        let mut most = 0;
        for key in 0..200_000 {
            assert!(limiter.allow_now(format!("key {key}")).unwrap().is_allowed());
            clock.advance(Duration::from_micros(500));
            most = most.max(backend.len());
        }
        // Two thousand a second, each known for two seconds and the allowed skew of five at most.
        assert!(most <= 14_001, "{algorithm}: {most}");
    }
}

#[test]
fn cleaning_scans_the_whole_map_inside_a_call() {
    let backend = MemoryBackend::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(backend.clone()).clock(clock.clone());
    for key in 0..50_000 {
        assert!(limiter.allow_now(format!("key {key}")).unwrap().is_allowed());
    }
    clock.advance(Duration::from_secs(3_600));
    while backend.len() > 1 {
        let before = backend.len();
        let _ = limiter.peek_now("another").unwrap();
        assert!(before - backend.len() <= 4, "one call removed {} keys", before - backend.len());
        assert!(backend.len() < before);
        if backend.is_empty() {
            break;
        }
    }
}

/// Fills the limit, lets the clock jump, and says what is admitted there.
fn admitted_after_a_jump(limiter: &Limiter<AnyBackend>, clock: &ManualClock, back: Duration) -> u64 {
    while allow_n(limiter, "key", 1).is_allowed() {}
    clock.rewind(back);
    (0..50).map(|_| u64::from(allow_n(limiter, "key", 1).is_allowed())).sum()
}

#[test]
fn the_clock_goes_backwards_and_the_limit_resets() {
    // A window ended some seconds ago, and the next one is in use: back in the old one nothing is free.
    everywhere(Quota::per_minute(10), |limiter, clock| {
        while allow_n(&limiter, "key", 1).is_allowed() {}
        clock.advance(Duration::from_secs(63));
        assert_eq!(admitted_after_a_jump(&limiter, &clock, Duration::from_secs(8)), 0);
    });
    // Small jumps back and forth never add up to more.
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
fn the_clock_goes_backwards_and_the_limit_trips_early() {
    for (_, backend) in backends() {
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend).quota(Quota::per_minute(10)).clock(clock.clone());
        clock.advance(Duration::from_secs(65));
        assert!(allow_n(&limiter, "key", 4).is_allowed());
        // Back in the window before, which nobody used, its own limit counts.
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
fn a_raw_secret_is_stored_as_a_key() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new());
    let _ = block_on(limiter.allow(Key::new().secret("api_key", "sk_live_hunter2"))).unwrap();
    let _ = block_on(limiter.allow(Key::new().tenant("42").secret("token", "sk_live_hunter2"))).unwrap();
    assert!(mock.total() > 0);
    assert!(!format!("{:?}", mock.calls()).contains("hunter2"));
}

#[test]
fn the_fake_used_in_tests_cannot_show_a_race() {
    // The mock is a real store: it passes the same suite as any backend, and a race on it comes out like anywhere.
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
fn a_clock_at_the_end_of_time_panics() {
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
