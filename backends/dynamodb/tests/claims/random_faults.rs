//! Random operations of several processes under random faults, compared with a model.
//!
//! An operation whose response is lost may have been applied, or may be applied later. So there are
//! several possible worlds, and each result shows in which of them it was returned.

use std::collections::BTreeMap;
use std::time::Duration;

use limited_core::{Backend, BackendError, Owner, Result, Timestamp};
use limited_dynamodb::DynamoDbBackend;
use proptest::prelude::*;

use crate::model::{ClaimOp, Model, OpResult};
use crate::support::Fault;
use crate::table::{Table, key, order, seconds};

/// Runs an operation on the backend.
async fn run(backend: &DynamoDbBackend, operation: &ClaimOp, now: Timestamp) -> Result<OpResult> {
    let key = key();
    let on = order(&key);
    Ok(match *operation {
        ClaimOp::Claim(owner, expires_at) => {
            match backend.claim(&on, &ClaimOp::request(owner, expires_at), now).await {
                Err(BackendError::Invalid(_)) => OpResult::Acquisition(None),
                claimed => OpResult::Acquisition(Some(claimed?)),
            }
        }
        ClaimOp::Finish(owner, value, expires) => {
            let completion = ClaimOp::completion(owner, value, expires);
            OpResult::FinishResult(backend.finish(&on, &completion, now).await?)
        }
        ClaimOp::Renew(owner, expires_at) => {
            OpResult::Lease(backend.renew(&on, owner, expires_at, now).await?)
        }
        ClaimOp::Release(owner) => OpResult::Lease(backend.release(&on, owner, now).await?),
        ClaimOp::Find => OpResult::Found(backend.find(&on, now).await?),
        ClaimOp::Forget => {
            backend.forget(&on, now).await?;
            OpResult::Forgotten
        }
    })
}

/// A possible state of the record, and the requests that have not arrived in that case.
#[derive(Clone, Debug, PartialEq)]
struct World {
    model: Model,
    /// By their numbers on the wire.
    in_flight: Vec<usize>,
}

/// Returns the worlds in which any of the requests in flight have arrived, in any order.
fn possible(mut worlds: Vec<World>, requests: &BTreeMap<usize, (ClaimOp, Timestamp)>) -> Vec<World> {
    let mut visited = 0;
    while let Some(world) = worlds.get(visited).cloned() {
        visited += 1;
        for number in &world.in_flight {
            let (operation, now) = &requests[number];
            let (model, _) = world.model.after(operation, *now);
            let next = World { model, in_flight: without(&world.in_flight, *number) };
            if !worlds.contains(&next) {
                worlds.push(next);
            }
        }
    }
    worlds
}

fn without(numbers: &[usize], number: usize) -> Vec<usize> {
    numbers.iter().copied().filter(|other| *other != number).collect()
}

/// Returns the numbers from which a step is derived: operation, owner, lease, clock and pause.
fn step() -> impl Strategy<Value = (u8, u128, u64, u64, u64)> {
    (0..20_u8, 0..3_u128, 0..40_u64, 0..6_u64, 0..500_u64)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::Throttle),
        1 => Just(Fault::InternalError),
        3 => (1..1_500_u64).prop_map(|millis| Fault::DelayBefore(Duration::from_millis(millis))),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayResponse(Duration::from_millis(millis))),
        1 => Just(Fault::CutBefore),
        3 => Just(Fault::CutAfter),
        1 => Just(Fault::Truncate),
        1 => Just(Fault::HangAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_result_under_random_faults_is_possible_in_the_model(
        faults in prop::collection::vec(fault(), 0..120),
        steps in prop::collection::vec(step(), 20..80),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (table, first) = Table::new().await;
            let processes = [first, table.backend(), table.backend()];
            table.wire.set_latency(Duration::from_millis(4));
            faults.into_iter().for_each(|fault| table.wire.push_fault(fault));
            let mut worlds = vec![World { model: Model::default(), in_flight: Vec::new() }];
            let mut requests = BTreeMap::new();
            let (mut owners, mut clock) = (vec![Owner(1)], 100_u64);
            for (number, (kind, which, length, advance, pause)) in steps.into_iter().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                // Mostly forward, sometimes back by the maximum skew.
                clock = if advance == 0 { clock - 5 } else { clock + advance * 2 };
                let now = seconds(clock);
                let (expires_at, fresh) = (seconds(clock + length), Owner(number as u128 + 2));
                let recent = owners[owners.len().saturating_sub(1 + usize::try_from(which).unwrap())];
                let operation = match kind {
                    0..=5 => ClaimOp::Claim(fresh, expires_at),
                    6 | 7 => ClaimOp::Claim(recent, expires_at),
                    8..=10 => {
                        let expires = (length % 2 == 0).then_some(expires_at);
                        ClaimOp::Finish(recent, u32::try_from(number).unwrap(), expires)
                    }
                    11..=13 => ClaimOp::Renew(recent, expires_at),
                    14 | 15 => ClaimOp::Release(recent),
                    16 => ClaimOp::Forget,
                    _ => ClaimOp::Find,
                };
                if kind <= 5 {
                    owners.push(fresh);
                }
                let first = table.wire.fates().len();
                let result = run(&processes[number % 3], &operation, now).await;
                let sent = table.wire.fates();
                let arriving = (first..sent.len()).filter(|number_on_wire| sent[*number_on_wire].0.is_applied());
                let arriving: Vec<_> = arriving.collect();
                for number_on_wire in &arriving {
                    requests.insert(*number_on_wire, (operation.clone(), now));
                    worlds.iter_mut().for_each(|world| world.in_flight.push(*number_on_wire));
                }
                worlds = possible(worlds, &requests);
                match result {
                    Ok(result) => {
                        // The result is that of the last request.
                        let last = *arriving.last().expect("a request with a response has arrived");
                        let continued = |world: &World| {
                            let (model, expected) = world.model.after(&operation, now);
                            let is_possible = expected == result && world.in_flight.contains(&last);
                            is_possible.then(|| World { model, in_flight: without(&world.in_flight, last) })
                        };
                        let next: Vec<_> = worlds.iter().filter_map(continued).collect();
                        prop_assert!(!next.is_empty(), "{operation:?} at {now:?}: {result:?}, in {worlds:#?}");
                        worlds = possible(next, &requests);
                    }
                    Err(error) => prop_assert!(error.is_retryable(), "{error}"),
                }
                let sent = table.wire.fates();
                worlds.retain(|world| world.in_flight.iter().all(|number_on_wire| !sent[*number_on_wire].1));
                prop_assert!(!worlds.is_empty());
            }
            Ok(())
        })?;
    }
}
