//! Random faults, in virtual time.

use std::collections::HashMap;
use std::time::Duration;

use limited::{Algorithm, Limiter, ManualClock, Quota};
use proptest::prelude::*;

use crate::support::{Fault, Wire};

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")),
        1 => Just(Fault::Error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError")),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayBefore(Duration::from_millis(millis))),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayResponse(Duration::from_millis(millis))),
        1 => Just(Fault::CutBefore),
        2 => Just(Fault::CutAfter),
        1 => Just(Fault::Truncate),
        1 => Just(Fault::Hang),
        1 => Just(Fault::HangAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_admitted_hit_is_counted_once_under_random_faults(
        faults in prop::collection::vec(fault(), 0..80),
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

            // No write was applied twice, so the counter holds exactly what was applied.
            let mut applied = HashMap::<(String, String), u32>::new();
            for request in wire.requests().iter().filter(|request| request.operation == "UpdateItem" && request.is_applied()) {
                let slot = request.request["ExpressionAttributeNames"]["#slot"].as_str();
                let number = request.request["ExpressionAttributeValues"][":number"]["N"].as_str();
                if let (Some(slot), Some(number)) = (slot, number) {
                    *applied.entry((slot.to_owned(), number.to_owned())).or_default() += 1;
                }
            }
            prop_assert!(applied.values().all(|times| *times == 1), "{applied:?}");
            Ok(())
        })?;
    }
}
