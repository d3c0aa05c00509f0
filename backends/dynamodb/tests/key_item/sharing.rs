//! Several processes on one table admit exactly the limit, all or nothing.

use std::time::Duration;

use super::Limit::{Bucket, FirstHit, Fixed, Log, Sliding};
use super::*;

/// Lets 64 tasks hit the limits at once, and returns how many hits were admitted.
async fn admitted_of_64_tasks(processes: &[DynamoDbBackend], limits: &'static [Limit]) -> u128 {
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let backend = processes[task % processes.len()].clone();
            tokio::spawn(async move {
                let mut admitted = 0;
                for _ in 0..3 {
                    admitted += u128::from(is_admitted(&backend, limits, NOON).await);
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn tasks_over_one_item_admit_exactly_the_least_limit_all_or_nothing() {
    const LIMITS: [&[Limit]; 3] = [
        &[Fixed(1, 100), Fixed(60, 90), Fixed(3_600, 80)],
        &[Sliding(60, 70), FirstHit(60, 60), Fixed(3_600, 1_000)],
        &[FirstHit(3_600, 50), Fixed(60, 1_000), Log(60, 60)],
    ];
    for (limits, least) in LIMITS.into_iter().zip([80, 60, 50]) {
        let (wire, backend) = table().await;
        wire.set_latency(Duration::from_millis(4));
        wire.clear();
        assert_eq!(admitted_of_64_tasks(std::slice::from_ref(&backend), limits).await, least, "{limits:?}");
        assert!(wire.count(UPDATE) <= 20, "{} updates", wire.count(UPDATE));
        for limit in limits {
            assert_eq!(value(&backend, *limit, NOON).await, least, "{limit:?} of {limits:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn processes_over_one_item_admit_exactly_the_least_limit_all_or_nothing() {
    const LIMITS: [&[Limit]; 2] =
        [&[Fixed(1, 100), Fixed(60, 90), Fixed(3_600, 80)], &[Bucket, FirstHit(60, 60), Fixed(3_600, 1_000)]];
    for (limits, least) in LIMITS.into_iter().zip([80, 10]) {
        let (wire, _) = table().await;
        wire.set_latency(Duration::from_millis(4));
        let processes = [(); 4].map(|()| process(&wire));
        assert_eq!(admitted_of_64_tasks(&processes, limits).await, least, "{limits:?}");
        let counted = value(&processes[0], limits[1], NOON).await;
        assert_eq!(counted, least, "{limits:?}");
    }
}

/// One set of limits is full. Hits on others that share a window with it are still counted, in the
/// same batch.
#[tokio::test(start_paused = true)]
async fn refused_hit_of_a_batch_leaves_the_others_of_the_batch() {
    let (wire, backend) = table().await;
    wire.set_latency(Duration::from_millis(4));
    let full: &[Limit] = &[Fixed(60, 1), Fixed(3_600, 999)];
    assert!(is_admitted(&backend, full, NOON).await);
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let backend = backend.clone();
            let limits = if task % 2 == 0 { full } else { &[Fixed(3_600, 999)] };
            tokio::spawn(async move { (task % 2 == 1, is_admitted(&backend, limits, NOON).await) })
        })
        .collect();
    for task in tasks {
        let (expected, admitted) = task.await.unwrap();
        assert_eq!(admitted, expected);
    }
    assert_eq!(value(&backend, Fixed(60, 1), NOON).await, 1);
    assert_eq!(value(&backend, Fixed(3_600, 999), NOON).await, 11);
}

/// Other processes change the log before each attempt.
#[tokio::test(start_paused = true)]
async fn write_that_loses_every_round_is_throttled_and_not_counted() {
    let (wire, backend) = table().await;
    wire.set_latency(Duration::from_millis(4));
    let processes: Vec<_> = (0..40).map(|_| process(&wire)).collect();
    let calls: Vec<_> = processes
        .iter()
        .cloned()
        .map(|process| tokio::spawn(async move { hit_all(&process, &[Log(60, 100)], 1, NOON).await }))
        .collect();
    let (mut admitted, mut throttled) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(states) => admitted += u128::from(states[0].counted),
            Err(BackendError::Throttled(_)) => throttled += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(throttled > 0);
    assert_eq!(admitted + throttled, 40);
    assert_eq!(value(&backend, Log(60, 100), NOON).await, admitted);
}
