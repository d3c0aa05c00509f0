//! Several processes on one table admit exactly the limit.

use std::collections::BTreeMap;
use std::time::Duration;

use limited::{Algorithm, Clock, Limiter, ManualClock, Quota};

use crate::support::Wire;

#[tokio::test(start_paused = true)]
async fn several_processes_together_admit_exactly_the_limit() {
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
                                // The emulator does not throttle, so no write runs out of rounds.
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

/// A window is one item for all processes, and holds at most the limit. A process whose clock is
/// early or late counts in the window of its own clock.
#[tokio::test]
async fn processes_with_skewed_clocks_fill_each_window_once() {
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

/// Two processes ask all the time. The clock of one is two seconds behind, which is longer than the
/// bucket takes to fill.
#[tokio::test]
async fn process_whose_clock_is_behind_is_not_starved_of_a_bucket() {
    for quota in [Quota::per_second(10), Quota::per_second(100).burst(10)] {
        let wire = Wire::new();
        wire.backend().await;
        let clocks = [ManualClock::new(), ManualClock::new()];
        clocks[1].advance(Duration::from_secs(2));
        let processes = clocks.clone().map(|clock| {
            Limiter::new(wire.builder().build()).algorithm(Algorithm::TokenBucket).clock(clock).quota(quota)
        });
        // The clock that is ahead takes the burst.
        while processes[1].allow("key").await.unwrap().is_allowed() {}
        let (start, mut admitted, mut draw) = (clocks[0].now(), [0_u64; 2], 1_u64);
        while clocks[0].now().saturating_since(start) < Duration::from_secs(3) {
            // Pauses of up to 8 ms: the generator of Lehmer (1951), so that each run is the same.
            draw = draw * 48_271 % 0x7FFF_FFFF;
            clocks.iter().for_each(|clock| clock.advance(Duration::from_nanos(draw % 8_000_000)));
            let process = usize::from(draw > 0x3FFF_FFFF);
            admitted[process] += u64::from(processes[process].allow("key").await.unwrap().is_allowed());
        }
        let total: u64 = admitted.iter().sum();
        assert!(total <= quota.limit() * 3, "{quota:?}: {admitted:?}");
        // Without the lead that refusals report, it would get nothing.
        assert!(8 * admitted[0] >= total, "{quota:?}: {admitted:?}");
    }
}

/// A late write to the previous window is counted until that window is closed: the maximum clock
/// skew and the operation timeout after its end. A later write can exceed the sliding limit by its
/// cost, as the README says.
#[tokio::test]
async fn sliding_window_counts_late_hits_of_a_slow_clock() {
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

/// The hits of one batch may have different times, if the write before theirs was slow.
#[tokio::test(start_paused = true)]
async fn each_hit_of_a_batch_is_decided_at_its_own_time() {
    let wire = Wire::new();
    let clock = ManualClock::new();
    let limiter = Limiter::new(wire.backend().await).algorithm(Algorithm::TokenBucket).clock(clock.clone());
    let limiter = limiter.quota(Quota::per_second(100).burst(1));
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    clock.advance(Duration::from_millis(5));
    wire.set_latency(Duration::from_millis(100));
    // Two hits wait for a slow write: one that is too early, and one much later.
    let allow = |limiter: &Limiter<_>| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.allow("key").await.unwrap().is_allowed() })
    };
    let slow = allow(&limiter);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let early = allow(&limiter);
    tokio::time::sleep(Duration::from_millis(1)).await;
    clock.advance(Duration::from_millis(300));
    let late = allow(&limiter);
    assert_eq!((slow.await.unwrap(), early.await.unwrap(), late.await.unwrap()), (false, false, true));
}

#[tokio::test]
async fn closed_window_is_read_again_after_a_clock_jumped_back_into_it() {
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
