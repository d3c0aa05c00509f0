//! Exactly the limit is admitted, however many threads decide at the same time.

use std::time::Duration;

use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;

use crate::common::{backends, block_on, in_parallel};

fn limiter(algorithm: Algorithm, quota: Quota, clock: &ManualClock) -> Limiter<MemoryBackend> {
    Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(quota).clock(clock.clone())
}

#[test]
fn one_key_admits_exactly_its_limit() {
    for algorithm in Algorithm::ALL {
        for round in 0..150 {
            let clock = ManualClock::new();
            let limiter = limiter(algorithm, Quota::per_minute(100), &clock);
            let key = format!("key {round}");
            let admitted = in_parallel(10, |_, _| limiter.allow_now(&key).unwrap().is_allowed().into());
            assert_eq!(admitted, 100, "{algorithm}");
            assert_eq!(limiter.peek_now(&key).unwrap().remaining(), 0);
        }
    }
}

#[test]
fn each_of_a_few_keys_admits_its_limit() {
    for algorithm in Algorithm::ALL {
        for _ in 0..60 {
            let clock = ManualClock::new();
            let limiter = limiter(algorithm, Quota::per_minute(40), &clock);
            let keys = ["a", "b", "c"];
            let admitted = in_parallel(60, |thread, number| {
                let key = keys[usize::try_from((thread + number) % 3).unwrap()];
                limiter.allow_now(key).unwrap().is_allowed().into()
            });
            assert_eq!(admitted, 120, "{algorithm}");
            for key in keys {
                assert_eq!(limiter.peek_now(key).unwrap().used(), 40);
            }
        }
    }
}

#[test]
fn hits_of_any_cost_fill_the_limit_exactly() {
    for algorithm in Algorithm::ALL {
        for _ in 0..60 {
            let clock = ManualClock::new();
            let limiter = limiter(algorithm, Quota::per_minute(1_000), &clock);
            let admitted = in_parallel(40, |thread, number| {
                let cost = 1 + (thread * 7 + number) % 9;
                if limiter.allow_n_now("key", cost).unwrap().is_allowed() { cost } else { 0 }
            });
            // There are hits of cost 1 until the end, so nothing remains.
            assert_eq!(admitted, 1_000, "{algorithm}");
        }
    }
}

#[test]
fn rollover_during_hits_loses_none_and_counts_none_twice() {
    for _ in 0..150 {
        let clock = ManualClock::new();
        let limiter = limiter(Algorithm::FixedWindow, Quota::per_minute(50), &clock);
        let admitted = in_parallel(40, |thread, number| {
            if thread == 0 && number == 20 {
                clock.advance(Duration::from_secs(60));
            }
            limiter.allow_now("key").unwrap().is_allowed().into()
        });
        // The first window may have been cut short. The second gets more hits than its limit.
        let used = limiter.peek_now("key").unwrap().used();
        assert!(admitted <= 100 && used <= 50, "{admitted} admitted, {used} in the second window");
        let in_first_window = admitted - used;
        clock.rewind(Duration::from_secs(60));
        assert_eq!(limiter.peek_now("key").unwrap().used(), in_first_window);
    }
}

#[test]
fn advancing_clock_admits_the_rate_of_each_algorithm() {
    // A thousand steps of one millisecond are ten windows.
    let quota = Quota::new(20, Duration::from_millis(100)).unwrap();
    for algorithm in Algorithm::ALL {
        for _ in 0..8 {
            let clock = ManualClock::new();
            let start = clock.now();
            let limiter = limiter(algorithm, quota, &clock);
            let admitted = in_parallel(1_000, |thread, _| {
                if thread == 0 {
                    clock.advance(Duration::from_millis(1));
                }
                limiter.allow_now("key").unwrap().is_allowed().into()
            });
            assert_eq!(clock.now().saturating_since(start), Duration::from_secs(1));
            // Ten windows and the first moment of one more. A bucket also starts full.
            assert!(admitted <= 220, "{algorithm}: {admitted}");
            assert!(admitted >= 180, "{algorithm}: {admitted}");
        }
    }
}

#[test]
fn every_backend_admits_exactly_the_limit_by_futures() {
    for algorithm in Algorithm::ALL {
        for (name, backend) in backends() {
            // The mock counts a sliding window in two steps. The second step is atomic, and
            // decides.
            let limiter = Limiter::new(backend)
                .algorithm(algorithm)
                .quota(Quota::per_minute(100))
                .clock(ManualClock::new());
            for round in 0..20 {
                let key = format!("key {round}");
                let admitted = in_parallel(12, |_, number| {
                    let cost = 1 + number % 3;
                    let decision = block_on(limiter.allow_n(&key, cost)).unwrap();
                    if decision.is_allowed() { cost } else { 0 }
                });
                assert_eq!(admitted, 100, "{name}, {algorithm}");
            }
        }
    }
}

#[test]
fn limiters_over_one_backend_share_their_counters() {
    let backend = MemoryBackend::new();
    let clock = ManualClock::new();
    for algorithm in Algorithm::ALL {
        let admitted = in_parallel(20, |_, _| {
            let limiter = Limiter::new(backend.clone()).algorithm(algorithm).clock(clock.clone());
            let limiter = limiter.namespace(algorithm.to_string()).quota(Quota::per_hour(77));
            limiter.allow_now("key").unwrap().is_allowed().into()
        });
        assert_eq!(admitted, 77);
    }
}
