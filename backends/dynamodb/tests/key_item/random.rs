//! Lost responses and random faults, in virtual time.

use std::time::Duration;

use limited_core::{Backend, Key, Refund};
use proptest::prelude::*;

use super::Limit::{Bucket, FirstHit, Fixed, Log, Sliding};
use super::*;
use crate::support::{Fault, applied_writes, random_fault};

#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_counts_once() {
    for hides_old_items in [false, true] {
        let (wire, backend) = table().await;
        if hides_old_items {
            wire.hide_old_items();
        }
        let limits = [Fixed(60, 10), Sliding(3_600, 99), FirstHit(60, 99), Bucket, Log(60, 99)];
        for used in 1..=10 {
            wire.push_fault_on(UPDATE, Fault::CutAfter);
            let states = hit_all(&backend, &limits, 1, NOON).await.unwrap();
            assert!(states.iter().all(|state| state.counted), "the repetition was not recognised");
            for (state, limit) in states.iter().zip(limits) {
                if !matches!(limit, Bucket) {
                    assert_eq!(state.value, used, "{limit:?}");
                }
                assert_eq!(state.value, value(&backend, limit, NOON).await, "{limit:?}");
            }
        }
        wire.push_fault_on(UPDATE, Fault::CutAfter);
        assert!(!is_admitted(&backend, &limits, NOON).await);
    }
}

#[tokio::test(start_paused = true)]
async fn refund_with_a_lost_response_returns_once() {
    let key = Key::from("key");
    for limit in [Fixed(60, 9), FirstHit(60, 9), Bucket, Log(60, 9)] {
        let (wire, backend) = table().await;
        let (counter, hit) = limit.hit(&key, 9, NOON);
        let mut expected = backend.increment(&counter, &hit, NOON).await.unwrap().value;
        for _ in 0..3 {
            wire.push_fault_on(UPDATE, Fault::CutAfter);
            let refunded = backend.refund(&counter, &Refund::new(hit.cost / 9, NOON), NOON).await.unwrap();
            expected -= hit.cost / 9;
            assert!(refunded.counted, "{limit:?}");
            assert_eq!(
                (refunded.value, value(&backend, limit, NOON).await),
                (expected, expected),
                "{limit:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every third charge is refunded at once.
    #[test]
    fn every_admitted_hit_is_counted_once_in_each_window_under_random_faults(
        faults in prop::collection::vec(random_fault(), 0..80),
        writers in 1..4_usize,
        costs in prop::collection::vec((1..4_u64, 0..30_u64), 10..40),
        kinds in 0..3_usize,
    ) {
        const LIMITS: [[Limit; 3]; 3] = [
            [Fixed(3_600, 60), Fixed(60, 50), Sliding(86_400, 99)],
            [FirstHit(3_600, 60), Fixed(60, 50), Fixed(86_400, 99)],
            [Log(3_600, 60), Fixed(60, 50), FirstHit(86_400, 99)],
        ];
        let limits = LIMITS[kinds];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (wire, reader) = table().await;
            let backends: Vec<_> = (0..writers).map(|_| process(&wire)).collect();
            wire.clear();
            wire.set_latency(Duration::from_millis(4));
            wire.push_faults(faults);
            let mut calls = Vec::new();
            for (number, (cost, pause)) in costs.iter().copied().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let backend = backends[number % writers].clone();
                let cost = u128::from(cost);
                calls.push((cost, tokio::spawn(async move {
                    let counted = hit_all(&backend, &limits, cost, NOON).await?;
                    if !counted.iter().all(|state| state.counted) {
                        return Ok((0, 0));
                    }
                    if number % 3 > 0 {
                        return Ok((cost, 0));
                    }
                    let key = Key::from("key");
                    let (counter, _) = limits[0].hit(&key, 1, NOON);
                    Ok::<_, BackendError>(match backend.refund(&counter, &Refund::new(1, NOON), NOON).await {
                        Ok(state) => { assert!(state.counted); (cost - 1, 0) }
                        Err(error) => { assert!(error.is_retryable(), "{error}"); (cost - 1, 1) }
                    })
                })));
            }
            // The first number is certain, and the second one may be counted too.
            let (mut admitted, mut unknown) = (0, 0);
            for (cost, call) in calls {
                match call.await.unwrap() {
                    Ok((certain, perhaps)) => { admitted += certain; unknown += perhaps; }
                    Err(error) => {
                        prop_assert!(error.is_retryable(), "{error}");
                        unknown += cost;
                    }
                }
            }
            // Requests in flight arrive.
            tokio::time::sleep(Duration::from_secs(5)).await;
            wire.clear_faults();
            let used = value(&reader, limits[0], NOON).await;
            prop_assert!(admitted <= used, "{admitted} admitted, and {used} counted");
            prop_assert!(used <= admitted + unknown, "{used} counted of {admitted} admitted and {unknown} unknown");
            // Never one without the other.
            let [second, third] = [value(&reader, limits[1], NOON).await, value(&reader, limits[2], NOON).await];
            prop_assert_eq!(second, third);
            prop_assert!(used <= second && second <= 50);
            let applied = applied_writes(&wire);
            // A batch of all hits may fail as a whole, and then nothing was applied.
            assert_eq!(applied.is_empty(), second == 0, "{applied:?}");
            assert!(applied.values().all(|times| *times == 1), "{applied:?}");
            Ok(())
        })?;
    }
}
