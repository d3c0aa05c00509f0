//! Several processes on one table: exactly the limit.

mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};
use wire::Wire;

#[tokio::test(start_paused = true)]
async fn several_processes_admit_exactly_the_limit_together() {
    for algorithm in Algorithm::ALL {
        for round in 0..10 {
            let wire = Wire::new();
            wire.backend().await;
            wire.set_latency(Duration::from_millis(3));
            let clock = ManualClock::new();
            let processes: Vec<_> = (0..4)
                .map(|_| Limiter::new(wire.builder().build()).algorithm(algorithm).clock(clock.clone()))
                .map(|limiter| limiter.quota(Quota::per_minute(100)))
                .collect();
            let calls: Vec<_> = (0..64_u64)
                .map(|task| {
                    let limiter = processes[usize::try_from(task).unwrap() % 4].clone();
                    tokio::spawn(async move {
                        let mut admitted = 0;
                        for number in 0..6 {
                            let cost = 1 + (task + number + round) % 3;
                            match limiter.allow_n("key", cost).await {
                                Ok(decision) if decision.is_allowed() => admitted += cost,
                                Ok(_) => {}
                                // The emulator has no contention of its own: nobody gives up.
                                Err(error) => panic!("{error}"),
                            }
                        }
                        admitted
                    })
                })
                .collect();
            let mut admitted = 0;
            for call in calls {
                admitted += call.await.unwrap();
            }
            assert_eq!(admitted, 100, "{algorithm}");
        }
    }
}

/// What is promised: a window is one item, whoever's clock addresses it, and holds no more than the limit. So what one
/// process counts early or late, it counts in the window that its own clock shows.
#[tokio::test]
async fn processes_whose_clocks_are_apart_fill_each_window_once() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let wire = Wire::new();
        wire.backend().await;
        let clocks = [ManualClock::new(), ManualClock::new()];
        clocks[1].advance(Duration::from_secs(4));
        let processes = clocks.clone().map(|clock| {
            let limiter = Limiter::new(wire.builder().build()).algorithm(algorithm).clock(clock);
            limiter.quota(Quota::per_minute(10))
        });
        let mut admitted = BTreeMap::<u64, u32>::new();
        for _ in 0..300 {
            for (process, clock) in processes.iter().zip(&clocks) {
                if process.allow("key").await.unwrap().is_allowed() {
                    *admitted.entry(clock.now().as_secs() / 60).or_default() += 1;
                }
                clock.advance(Duration::from_secs(1));
            }
        }
        assert!(admitted.values().all(|count| *count <= 10), "{algorithm}: {admitted:?}");
        if algorithm == Algorithm::FixedWindow {
            assert!(admitted.values().take(5).all(|count| *count == 10), "{admitted:?}");
        }
    }
}

/// A late write into the window before is weighed until that is settled: the skew and the operation timeout after its
/// end. What comes later still can exceed the sliding limit by what it counts, which is documented.
#[tokio::test]
async fn a_sliding_window_weighs_what_a_slow_clock_counts_late() {
    let wire = Wire::new();
    wire.backend().await;
    let [fast, slow] = [ManualClock::new(), ManualClock::new()];
    let [on_time, late] = [fast.clone(), slow.clone()].map(|clock| {
        let limiter = Limiter::new(wire.builder().build()).algorithm(Algorithm::SlidingWindow).clock(clock);
        limiter.quota(Quota::per_minute(10))
    });
    fast.advance(Duration::from_secs(61));
    slow.advance(Duration::from_secs(59));
    assert_eq!(on_time.peek("key").await.unwrap().used(), 0);
    assert!(late.allow_n("key", 10).await.unwrap().is_allowed());
    assert!(!on_time.allow("key").await.unwrap().is_allowed());
}

/// The hits of one batch may be apart in time, when the write before theirs was slow.
#[tokio::test(start_paused = true)]
async fn hits_of_one_batch_are_each_held_against_their_own_time() {
    let wire = Wire::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(wire.backend().await).algorithm(Algorithm::TokenBucket).clock(clock.clone());
    let limiter = limiter.quota(Quota::per_second(100).burst(1));
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    clock.advance(Duration::from_millis(5));
    wire.set_latency(Duration::from_millis(100));
    // A slow write, behind which two hits gather: one that is too early, and one much later.
    let ask = |limiter: &Limiter<_>| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.allow("key").await.unwrap().is_allowed() })
    };
    let slow = ask(&limiter);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let early = ask(&limiter);
    tokio::time::sleep(Duration::from_millis(1)).await;
    clock.advance(Duration::from_millis(300));
    let late = ask(&limiter);
    assert_eq!((slow.await.unwrap(), early.await.unwrap(), late.await.unwrap()), (false, false, true));
}

#[tokio::test]
async fn a_window_taken_for_settled_is_read_again_once_a_clock_that_jumped_back_counts_in_it() {
    let wire = Wire::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(wire.backend().await).algorithm(Algorithm::SlidingWindow).clock(clock.clone());
    let limiter = limiter.quota(Quota::per_minute(10));
    clock.advance(Duration::from_secs(66));
    assert_eq!(limiter.peek("key").await.unwrap().used(), 0);
    clock.rewind(Duration::from_secs(16));
    assert!(limiter.allow_n("key", 10).await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(11));
    assert!(!limiter.allow("key").await.unwrap().is_allowed());
}
