//! Several processes on one table: exactly the limit.

mod wire;

use std::time::Duration;

use limited::{Algorithm, Limiter, ManualClock, Quota};
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

#[tokio::test]
async fn clocks_apart_by_two_seconds_share_a_window_in_all_but_its_first_and_last_seconds() {
    for ahead in [true, false] {
        let wire = Wire::new();
        wire.backend().await;
        let (one, other) = (ManualClock::new(), ManualClock::new());
        one.advance(Duration::from_secs(30));
        other.advance(Duration::from_secs(if ahead { 32 } else { 28 }));
        let [one, other] = [one, other]
            .map(|clock| Limiter::new(wire.builder().build()).clock(clock).quota(Quota::per_minute(10)));
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += u32::from(one.allow("key").await.unwrap().is_allowed());
            admitted += u32::from(other.allow("key").await.unwrap().is_allowed());
        }
        assert_eq!(admitted, 10);
    }
}
