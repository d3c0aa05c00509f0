//! Every operation is one atomic step: of many parallel claims one acquires the key, and all
//! results agree on it.

use super::freed::Freed::{Expired, Forgotten, Lapsed, Released};
use super::probe::{ClaimProbe, LEASE, completion, finished_record, granted, in_progress};
use crate::conformance::Harness;
use crate::conformance::parallel::in_parallel;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW};
use crate::{
    Acquisition, ClaimRequest, Completion, FinishResult, InProgress, LeaseStatus, Record, Timestamp,
};

const THREADS: usize = 64;
const ROUNDS: usize = 2;

pub(crate) fn parallel_claims_have_one_owner<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: of 64 parallel claims one acquires the key, and the others get its record";
    for round in 0..ROUNDS {
        for before in [None, Some(Released), Some(Lapsed), Some(Expired), Some(Forgotten)] {
            let key = subject.key(format!("{before:?}, round {round}"));
            if let Some(freed) = before {
                freed.acquire_and_free(&key, NOW, NOW);
            }
            let results = in_parallel(THREADS, |_| claim(&key));
            expect_one_acquired(&key, &results, &format!("{rule}; here of a key freed before: {before:?}"));
        }
    }
}

pub(crate) fn parallel_claims_on_many_keys_have_one_owner_each<H: Harness>(subject: &Subject<'_, H>) {
    const KEYS: usize = 8;
    let key = |thread| subject.key(format!("key {}", thread % KEYS));
    let results = in_parallel(THREADS, |thread| claim(&key(thread)));
    for number in 0..KEYS {
        let results: Vec<_> = results.iter().skip(number).step_by(KEYS).cloned().collect();
        expect_one_acquired(
            &key(number),
            &results,
            "rule 7: of parallel claims on many keys, one acquires each key",
        );
    }
}

pub(crate) fn parallel_repetitions_of_a_claim_are_one_claim<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: one claim that arrives many times in parallel has one result";
    for round in 0..ROUNDS {
        let key = subject.key(format!("round {round}"));
        let request = key.new_request(NOW.saturating_add(LEASE));
        let results = in_parallel(THREADS / 4, |_| key.claim(&request, NOW));
        let held = key.expect_acquired(&request, NOW, rule);
        for result in results {
            key.expect(&result, &granted(&held), rule);
        }
    }
}

pub(crate) fn lapsed_claim_is_either_ended_or_taken_over<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: if a late owner ends its claim while others claim the key, one of them wins, \
                and all results agree on it";
    let expires_at = NOW.saturating_add(LEASE);
    for round in 0..3 * ROUNDS {
        for way in ["finished", "renewed", "released"] {
            let key = subject.key(format!("{way}, round {round}"));
            let held = key.acquire_until(NOW, NOW);
            let completion = completion(held.owner, "\"late\"");
            // The owner is one of the threads, and not always the first to start.
            let owner = round % 2 * 7;
            let results = in_parallel(THREADS / 8, |thread| {
                if thread != owner {
                    return (None, Some(claim(&key)));
                }
                let ended = match way {
                    "finished" => match key.finish(&completion, NOW) {
                        FinishResult::Stored => LeaseStatus::Owned,
                        FinishResult::Lost(record) => LeaseStatus::Lost(record),
                        FinishResult::Omitted { reason } => {
                            panic!("a small result is stored, but was omitted: {reason}\n  of {key}")
                        }
                    },
                    "renewed" => key.renew(held.owner, expires_at, NOW),
                    _ => key.release(held.owner, NOW),
                };
                (Some(ended), None)
            });
            let (ended, claims): (Vec<_>, Vec<_>) = results.into_iter().unzip();
            let ended = ended.into_iter().flatten().next();
            let claims: Vec<_> = claims.into_iter().flatten().collect();
            match ended.expect("one of the threads ended the claim") {
                LeaseStatus::Owned if way != "released" => {
                    let record = match way {
                        "finished" => finished_record(&held, &completion, NOW),
                        _ => Record::InProgress(InProgress { expires_at, ..held }),
                    };
                    for (_, result) in &claims {
                        key.expect(result, &Acquisition::Held(record.clone()), rule);
                    }
                    key.expect_refused(&record, NOW, rule);
                }
                LeaseStatus::Owned => drop(expect_one_acquired(&key, &claims, rule)),
                LeaseStatus::Lost(record) => {
                    let winner = Record::InProgress(expect_one_acquired(&key, &claims, rule));
                    key.expect(&record, &Some(winner), rule);
                }
            }
        }
    }
}

pub(crate) fn successive_owners_never_overlap<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 7: in parallel, each acquisition follows the end of the claim before it";
    let key = subject.key("many owners");
    let tokens = in_parallel(THREADS / 4, |thread| {
        let mut tokens = Vec::new();
        for _ in 0..4 {
            let (request, result) = claim(&key);
            let Acquisition::Acquired(grant) = result else { continue };
            // While an owner holds the key, the record is its own.
            let held = in_progress(&request, grant.fencing_token);
            key.expect_record(Some(&Record::InProgress(held.clone())), NOW, rule);
            let later = held.expires_at.saturating_add(NANOSECOND);
            key.expect(&key.renew(held.owner, later, NOW), &LeaseStatus::Owned, rule);
            if thread % 2 == 0 {
                key.expect(&key.release(held.owner, NOW), &LeaseStatus::Owned, rule);
            } else {
                let expires = Some(Timestamp::from_secs(NOW.as_secs()));
                let completion = Completion { expires, ..completion(held.owner, "1") };
                key.expect(&key.finish(&completion, NOW), &FinishResult::Stored, rule);
            }
            tokens.push(grant.fencing_token);
        }
        tokens
    });
    let mut tokens = tokens.concat();
    let count = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert!(
        count > 0 && tokens.len() == count,
        "rule 9: no two acquisitions have the same fencing token\n  but of {count} only {} differ\n  of {key}",
        tokens.len()
    );
    let last = key.acquire(NOW);
    assert!(
        tokens.last() < Some(&last.fencing_token),
        "rule 9: the last acquisition has the highest fencing token\n  but {:?} came after {:?}\n  of {key}",
        last.fencing_token,
        tokens.last()
    );
}

fn claim<H: Harness>(key: &ClaimProbe<'_, H>) -> (ClaimRequest<'static>, Acquisition) {
    let request = key.new_request(NOW.saturating_add(LEASE));
    let result = key.claim(&request, NOW);
    (request, result)
}

/// Fails the check with `rule` unless exactly one of these claims acquired the key, and all others
/// got its record.
#[track_caller]
pub(super) fn expect_one_acquired<H: Harness>(
    key: &ClaimProbe<'_, H>,
    results: &[(ClaimRequest<'_>, Acquisition)],
    rule: &str,
) -> InProgress {
    let acquired: Vec<_> = results
        .iter()
        .filter_map(|(request, result)| match result {
            Acquisition::Acquired(grant) => Some(in_progress(request, grant.fencing_token)),
            Acquisition::Held(_) => None,
        })
        .collect();
    let [held] = acquired.as_slice() else {
        panic!("{rule}\n  but of {} claims these acquired it: {acquired:?}\n  of {key}", results.len());
    };
    let record = Record::InProgress(held.clone());
    for (request, result) in results {
        if request.owner != held.owner {
            key.expect(result, &Acquisition::Held(record.clone()), rule);
        }
    }
    key.expect_refused(&record, NOW, rule);
    held.clone()
}
