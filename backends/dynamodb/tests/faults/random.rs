//! Random faults, in virtual time.

use std::time::Duration;

use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};
use proptest::prelude::*;

use crate::support::{Wire, applied_writes, random_fault};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_admitted_hit_is_counted_once_under_random_faults(
        faults in prop::collection::vec(random_fault(), 0..80),
        writers in 1..4_usize,
        costs in prop::collection::vec((1..4_u64, 0..30_u64), 20..60),
        bucket: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let wire = Wire::new();
            let algorithm = if bucket { Algorithm::TokenBucket } else { Algorithm::FixedWindow };
            let clock = ManualClock::new();
            wire.backend().await;
            let limiters: Vec<_> = (0..writers)
                .map(|_| {
                    let limiter = Limiter::new(wire.builder().build()).clock(clock.clone());
                    limiter.algorithm(algorithm).quota(Quota::per_hour(60))
                })
                .collect();
            wire.set_latency(Duration::from_millis(4));
            wire.push_faults(faults);
            let mut calls = Vec::new();
            for (number, (cost, pause)) in costs.iter().copied().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let limiter = limiters[number % writers].clone();
                calls.push((cost, tokio::spawn(async move { limiter.allow_n("key", cost).await })));
            }
            let (mut admitted, mut unknown) = (0, 0);
            for (cost, call) in calls {
                match call.await.unwrap() {
                    Ok(decision) => admitted += if decision.is_allowed() { cost } else { 0 },
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        unknown += cost;
                    }
                }
            }
            // Requests in flight arrive.
            tokio::time::sleep(Duration::from_secs(5)).await;
            wire.clear_faults();
            let used = limiters[0].peek("key").await.unwrap().used();
            prop_assert!(admitted <= used, "{admitted} admitted, and {used} counted");
            prop_assert!(used <= admitted + unknown, "{used} counted of {admitted} admitted and {unknown} unknown");
            prop_assert!(used <= 60);

            let applied = applied_writes(&wire);
            assert!(applied.values().all(|times| *times == 1), "{applied:?}");
            Ok(())
        })?;
    }

    /// Each decision counts on the key `all` and on one other key, or on neither.
    #[test]
    fn hits_at_once_are_counted_once_and_all_or_none_under_random_faults(
        faults in prop::collection::vec(random_fault(), 0..80),
        writers in 1..3_usize,
        hits in prop::collection::vec((1..4_u128, 0..30_u64, prop::sample::select(vec!["a", "b"])), 20..60),
        forgets_tokens: bool,
        is_log: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let wire = Wire::new();
            wire.backend().await;
            if forgets_tokens {
                wire.forget_tokens();
            }
            let now = Timestamp::from_secs(1_795_262_430);
            let window = match is_log {
                true => Window::Log { length: WindowLength::HOUR },
                false => Window::aligned(now, WindowLength::HOUR),
            };
            let backends: Vec<_> = (0..writers).map(|_| wire.builder().build()).collect();
            wire.set_latency(Duration::from_millis(4));
            wire.push_faults(faults);
            let mut calls = Vec::new();
            for (number, (cost, pause, name)) in hits.iter().copied().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let backend = backends[number % writers].clone();
                let call = tokio::spawn(async move {
                    let keys = ["all", name].map(Key::from);
                    let hit = |key| (Counter::new("", key, window).unwrap(), Hit::new(cost, 60));
                    let hits: Vec<_> = keys.iter().map(hit).collect();
                    backend.increment_all(&hits, now).await
                });
                calls.push((cost, call));
            }
            let (mut admitted, mut unknown) = (0, 0);
            for (cost, call) in calls {
                match call.await.unwrap() {
                    Ok(states) => admitted += if states.iter().all(|state| state.counted) { cost } else { 0 },
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        unknown += cost;
                    }
                }
            }
            wire.clear_faults();
            wire.drained().await;
            let mut used = Vec::new();
            for name in ["all", "a", "b"] {
                let key = Key::from(name);
                used.push(backends[0].get(&Counter::new("", &key, window).unwrap(), now).await.unwrap().value);
            }
            prop_assert_eq!(used[0], used[1] + used[2], "all or none");
            prop_assert!(admitted <= used[0], "{admitted} admitted, and {} counted", used[0]);
            prop_assert!(used[0] <= admitted + unknown, "{} of {admitted} and {unknown} unknown", used[0]);
            prop_assert!(used[0] <= 60);
            Ok(())
        })?;
    }

    /// Shares are in parts of 1/180 of the bucket: a token of 60/h is three of them, one of 45/h
    /// four, and one of 180/h one.
    #[test]
    fn every_admitted_hit_is_counted_once_under_random_faults_and_changing_quotas(
        faults in prop::collection::vec(random_fault(), 0..80),
        writers in 1..4_usize,
        hits in prop::collection::vec((1..4_u64, 0..30_u64, prop::sample::select(vec![45_u64, 60, 60, 180])), 20..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let wire = Wire::new();
            let clock = ManualClock::new();
            wire.backend().await;
            let limiters: Vec<_> = (0..writers)
                .map(|_| Limiter::new(wire.builder().build()).clock(clock.clone()).algorithm(Algorithm::TokenBucket))
                .collect();
            wire.set_latency(Duration::from_millis(4));
            wire.push_faults(faults);
            let mut calls = Vec::new();
            for (number, (cost, pause, limit)) in hits.iter().copied().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let limiter = limiters[number % writers].clone();
                let quota = Quota::per_hour(limit);
                let call = tokio::spawn(async move { limiter.with_quota(quota).allow_n("key", cost).await });
                calls.push((cost * (180 / limit), call));
            }
            let (mut admitted, mut unknown) = (0, 0);
            for (share, call) in calls {
                match call.await.unwrap() {
                    Ok(decision) => admitted += if decision.is_allowed() { share } else { 0 },
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        unknown += share;
                    }
                }
            }
            // Requests in flight arrive.
            tokio::time::sleep(Duration::from_secs(5)).await;
            wire.clear_faults();
            let used = limiters[0].with_quota(Quota::per_hour(180)).peek("key").await.unwrap().used();
            prop_assert!(admitted <= used, "{admitted} admitted, and {used} counted");
            // Conversions round up, by less than a token in all.
            prop_assert!(used <= admitted + unknown + 1, "{used} counted of {admitted} admitted and {unknown} unknown");
            prop_assert!(used <= 180);
            let applied = applied_writes(&wire);
            assert!(applied.values().all(|times| *times == 1), "{applied:?}");
            Ok(())
        })?;
    }
}
