//! Random operations of several processes, under random faults, against a plain model.
//!
//! An operation whose answer is lost may have been carried out, or be so later: so there are several worlds, and each
//! answer tells in which of them it was given.

use std::collections::BTreeMap;
use std::time::Duration;

use limited_core::{Backend, BackendError, Owner, Timestamp};
use limited_dynamodb::DynamoDbBackend;
use proptest::prelude::*;

use crate::model::{Answered, Asked, Model};
use crate::support::Fault;
use crate::table::{Table, key, order, seconds};

/// Asks the backend; `None` where the outcome is open, or nothing was done.
async fn ask(backend: &DynamoDbBackend, asked: &Asked, now: Timestamp) -> Result<Answered, BackendError> {
    let key = key();
    let on = order(&key);
    Ok(match *asked {
        Asked::Claim(owner, expires_at) => {
            match backend.claim(&on, &Asked::request(owner, expires_at), now).await {
                Err(BackendError::Invalid(_)) => Answered::Acquisition(None),
                claimed => Answered::Acquisition(Some(claimed?)),
            }
        }
        Asked::Finish(owner, value, expires) => {
            let completion = Asked::completion(owner, value, expires);
            Answered::FinishResult(backend.finish(&on, &completion, now).await?)
        }
        Asked::Renew(owner, expires_at) => Answered::Owned(backend.renew(&on, owner, expires_at, now).await?),
        Asked::Release(owner) => Answered::Owned(backend.release(&on, owner, now).await?),
        Asked::Find => Answered::Found(backend.find(&on, now).await?),
        Asked::Forget => {
            backend.forget(&on, now).await?;
            Answered::Forgotten
        }
    })
}

/// What the record may be, and which requests have not arrived where it is that.
#[derive(Clone, Debug, PartialEq)]
struct World {
    model: Model,
    /// By the number on the wire.
    on_the_way: Vec<usize>,
}

/// The worlds in which any of the requests that are on the way have arrived, in any order.
fn possible(mut worlds: Vec<World>, requests: &BTreeMap<usize, (Asked, Timestamp)>) -> Vec<World> {
    let mut looked_at = 0;
    while let Some(world) = worlds.get(looked_at).cloned() {
        looked_at += 1;
        for number in &world.on_the_way {
            let (asked, now) = &requests[number];
            let (model, _) = world.model.after(asked, *now);
            let next = World { model, on_the_way: without(&world.on_the_way, *number) };
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

/// An operation and its time, in words of the few owners and seconds that there are.
fn step() -> impl Strategy<Value = (u8, u128, u64, u64, u64)> {
    (0..20_u8, 0..3_u128, 0..40_u64, 0..6_u64, 0..500_u64)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::Throttle),
        1 => Just(Fault::InternalError),
        3 => (1..1_500_u64).prop_map(|millis| Fault::DelayBefore(Duration::from_millis(millis))),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayAnswer(Duration::from_millis(millis))),
        1 => Just(Fault::CutBefore),
        3 => Just(Fault::CutAfter),
        1 => Just(Fault::Truncate),
        1 => Just(Fault::HangAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn under_random_faults_every_answer_is_one_that_the_model_may_give(
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
            let mut worlds = vec![World { model: Model::default(), on_the_way: Vec::new() }];
            let mut requests = BTreeMap::new();
            let (mut owners, mut clock) = (vec![Owner(1)], 100_u64);
            for (number, (what, which, length, forth, pause)) in steps.into_iter().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                // Mostly onwards, at times back by as much as the skew.
                clock = if forth == 0 { clock - 5 } else { clock + forth * 2 };
                let now = seconds(clock);
                let (expires_at, fresh) = (seconds(clock + length), Owner(number as u128 + 2));
                let recent = owners[owners.len().saturating_sub(1 + usize::try_from(which).unwrap())];
                let asked = match what {
                    0..=5 => Asked::Claim(fresh, expires_at),
                    6 | 7 => Asked::Claim(recent, expires_at),
                    8..=10 => {
                        let expires = (length % 2 == 0).then_some(expires_at);
                        Asked::Finish(recent, u32::try_from(number).unwrap(), expires)
                    }
                    11..=13 => Asked::Renew(recent, expires_at),
                    14 | 15 => Asked::Release(recent),
                    16 => Asked::Forget,
                    _ => Asked::Find,
                };
                if what <= 5 {
                    owners.push(fresh);
                }
                let first = table.wire.fates().len();
                let answer = ask(&processes[number % 3], &asked, now).await;
                let sent = table.wire.fates();
                let arrives = (first..sent.len()).filter(|sent_as| sent[*sent_as].0.is_applied());
                let arrives: Vec<_> = arrives.collect();
                for sent_as in &arrives {
                    requests.insert(*sent_as, (asked.clone(), now));
                    worlds.iter_mut().for_each(|world| world.on_the_way.push(*sent_as));
                }
                worlds = possible(worlds, &requests);
                match answer {
                    Ok(answer) => {
                        // It is that to the last request.
                        let last = *arrives.last().expect("what is answered has arrived");
                        let fits = |world: &World| {
                            let (model, expected) = world.model.after(&asked, now);
                            let is_it = expected == answer && world.on_the_way.contains(&last);
                            is_it.then(|| World { model, on_the_way: without(&world.on_the_way, last) })
                        };
                        let fitting: Vec<_> = worlds.iter().filter_map(fits).collect();
                        prop_assert!(!fitting.is_empty(), "{asked:?} at {now:?}: {answer:?}, of {worlds:#?}");
                        worlds = possible(fitting, &requests);
                    }
                    Err(error) => prop_assert!(error.is_retryable(), "{error}"),
                }
                let sent = table.wire.fates();
                worlds.retain(|world| world.on_the_way.iter().all(|sent_as| !sent[*sent_as].1));
                prop_assert!(!worlds.is_empty());
            }
            Ok(())
        })?;
    }
}
