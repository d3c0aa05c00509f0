//! Exactly the limit, never one more, however many threads ask at once.

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{backends, block_on};
use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;

const THREADS: u64 = 16;

/// Lets every thread ask `asks` times, thread and number of the ask given, and sums up what `ask` answers.
fn crowd(asks: u64, ask: impl Fn(u64, u64) -> u64 + Sync) -> u64 {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (barrier, ask) = (&barrier, &ask);
                scope.spawn(move || {
                    barrier.wait();
                    (0..asks).map(|number| ask(thread, number)).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

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
            let admitted = crowd(10, |_, _| limiter.allow_now(&key).unwrap().is_allowed().into());
            assert_eq!(admitted, 100, "{algorithm}");
            assert_eq!(limiter.peek_now(&key).unwrap().remaining(), 0);
        }
    }
}

#[test]
fn a_few_keys_admit_their_limit_each() {
    for algorithm in Algorithm::ALL {
        for _ in 0..60 {
            let clock = ManualClock::new();
            let limiter = limiter(algorithm, Quota::per_minute(40), &clock);
            let keys = ["a", "b", "c"];
            let admitted = crowd(60, |thread, number| {
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
fn costs_above_one_fill_the_limit_without_exceeding_it() {
    for algorithm in Algorithm::ALL {
        for _ in 0..60 {
            let clock = ManualClock::new();
            let limiter = limiter(algorithm, Quota::per_minute(1_000), &clock);
            let admitted = crowd(40, |thread, number| {
                let cost = 1 + (thread * 7 + number) % 9;
                if limiter.allow_n_now("key", cost).unwrap().is_allowed() { cost } else { 0 }
            });
            // Hits of cost 1 are asked for to the end, so nothing is left free.
            assert_eq!(admitted, 1_000, "{algorithm}");
        }
    }
}

#[test]
fn a_rollover_in_the_middle_loses_no_hit_and_admits_none_twice() {
    for _ in 0..150 {
        let clock = ManualClock::new();
        let limiter = limiter(Algorithm::FixedWindow, Quota::per_minute(50), &clock);
        let admitted = crowd(40, |thread, number| {
            if thread == 0 && number == 20 {
                clock.advance(Duration::from_secs(60));
            }
            limiter.allow_now("key").unwrap().is_allowed().into()
        });
        // The first window may have been cut short; the second was asked for more than its limit.
        let used = limiter.peek_now("key").unwrap().used();
        assert!(admitted <= 100 && used <= 50, "{admitted} admitted, {used} in the second window");
        let in_the_first = admitted - used;
        clock.rewind(Duration::from_secs(60));
        assert_eq!(limiter.peek_now("key").unwrap().used(), in_the_first);
    }
}

#[test]
fn while_time_passes_no_algorithm_admits_more_than_it_promises() {
    // A thousand steps of a millisecond: ten windows.
    let quota = Quota::new(20, Duration::from_millis(100)).unwrap();
    for algorithm in Algorithm::ALL {
        for _ in 0..8 {
            let clock = ManualClock::new();
            let start = clock.now();
            let limiter = limiter(algorithm, quota, &clock);
            let admitted = crowd(1_000, |thread, _| {
                if thread == 0 {
                    clock.advance(Duration::from_millis(1));
                }
                limiter.allow_now("key").unwrap().is_allowed().into()
            });
            assert_eq!(clock.now().saturating_since(start), Duration::from_secs(1));
            // Ten windows, and the first moment of one more; a bucket also starts out full.
            assert!(admitted <= 220, "{algorithm}: {admitted}");
            assert!(admitted >= 180, "{algorithm}: {admitted}");
        }
    }
}

#[test]
fn every_backend_admits_exactly_the_limit_through_futures() {
    for algorithm in Algorithm::ALL {
        for (name, backend) in backends() {
            // The two-step default of a sliding window decides in its second step, which is atomic.
            let limiter = Limiter::new(backend)
                .algorithm(algorithm)
                .quota(Quota::per_minute(100))
                .clock(ManualClock::new());
            for round in 0..20 {
                let key = format!("key {round}");
                let admitted = crowd(12, |_, number| {
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
fn limiters_over_one_backend_share_their_keys() {
    let backend = MemoryBackend::new();
    let clock = ManualClock::new();
    for algorithm in Algorithm::ALL {
        let admitted = crowd(20, |_, _| {
            let mine = Limiter::new(backend.clone()).algorithm(algorithm).clock(clock.clone());
            let mine = mine.namespace(algorithm.to_string()).quota(Quota::per_hour(77));
            mine.allow_now("key").unwrap().is_allowed().into()
        });
        assert_eq!(admitted, 77);
    }
}
