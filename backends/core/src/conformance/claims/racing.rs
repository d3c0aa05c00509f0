//! Every operation is one atomic step: of many at once, one owner is granted a key, and all are told the same.

use super::probe::{Claimable, LEASE, TICK, completion, done, in_progress};
use crate::conformance::Harness;
use crate::conformance::parallel::in_parallel;
use crate::conformance::subject::{NOW, Subject};
use crate::{
    Acquisition, ClaimRequest, Completion, FinishResult, Grant, InProgress, LeaseStatus, Record, Timestamp,
};

const TASKS: usize = 64;
const ROUNDS: usize = 2;

pub(in super::super) fn parallel_claims_grant_one<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 7: of 64 claims at the same time one is granted, and the others are told by whom it is held";
    for round in 0..ROUNDS {
        for before in ["absent", "released", "lapsed", "expired", "forgotten"] {
            let key = subject.claimable(format!("{before}, round {round}"));
            match before {
                "released" => drop(key.release(key.held(NOW).owner, NOW)),
                "lapsed" => drop(key.held_until(NOW, NOW)),
                "expired" => {
                    let held = key.held(NOW);
                    let expires = Some(Timestamp::from_secs(NOW.as_secs()));
                    key.finished(&held, &Completion { expires, ..completion(held.owner, "1") }, NOW);
                }
                "forgotten" => {
                    key.held(NOW);
                    key.forget(NOW);
                }
                _ => {}
            }
            let answers = in_parallel(TASKS, |_| claim(&key));
            one_granted(&key, &answers, &format!("{rule}; here of a key that is {before}"));
        }
    }
}

pub(in super::super) fn parallel_claims_on_many_keys_grant_one_each<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    const KEYS: usize = 8;
    let key = |task| subject.claimable(format!("key {}", task % KEYS));
    let answers = in_parallel(TASKS, |task| claim(&key(task)));
    for number in 0..KEYS {
        let answers: Vec<_> = answers.iter().skip(number).step_by(KEYS).cloned().collect();
        one_granted(
            &key(number),
            &answers,
            "rule 7: of claims on many keys at the same time one is granted on each",
        );
    }
}

pub(in super::super) fn parallel_repetitions_of_a_claim_are_one<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a claim that arrives many times at once is granted as one";
    for round in 0..ROUNDS {
        let key = subject.claimable(format!("round {round}"));
        let request = key.asking(NOW.saturating_add(LEASE));
        let answers = in_parallel(TASKS / 4, |_| key.claim(&request, NOW));
        let held = key.granted(&request, NOW, rule);
        for answer in answers {
            let granted = Grant { fencing_token: held.fencing_token, expires_at: held.expires_at };
            key.expect(&answer, &Acquisition::Acquired(granted), rule);
        }
    }
}

pub(in super::super) fn a_lapsed_claim_is_ended_or_taken_over<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 8: where an owner that is late finishes, renews or releases while others claim, one of them wins, \
                and all are told the same";
    let expires_at = NOW.saturating_add(LEASE);
    for round in 0..3 * ROUNDS {
        for way in ["finished", "renewed", "released"] {
            let key = subject.claimable(format!("{way}, round {round}"));
            let held = key.held_until(NOW, NOW);
            let completion = completion(held.owner, "\"late\"");
            // The owner is one of the many, and not always the first to start.
            let owner = round % 2 * 7;
            let answers = in_parallel(TASKS / 8, |task| {
                if task != owner {
                    return (None, Some(claim(&key)));
                }
                let ended = match way {
                    "finished" => match key.finish(&completion, NOW) {
                        FinishResult::Stored => LeaseStatus::Owned,
                        FinishResult::Lost(record) => LeaseStatus::Lost(record),
                        FinishResult::Omitted { reason } => {
                            panic!("a small result is kept: {reason}\n  of {key}")
                        }
                    },
                    "renewed" => key.renew(held.owner, expires_at, NOW),
                    _ => key.release(held.owner, NOW),
                };
                (Some(ended), None)
            });
            let (ended, claims): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
            let ended = ended.into_iter().flatten().next();
            let claims: Vec<_> = claims.into_iter().flatten().collect();
            match ended.expect("one of them was the owner") {
                LeaseStatus::Owned if way != "released" => {
                    let record = match way {
                        "finished" => done(&held, &completion, NOW),
                        _ => Record::InProgress(InProgress { expires_at, ..held }),
                    };
                    for (_, answer) in &claims {
                        key.expect(answer, &Acquisition::Held(record.clone()), rule);
                    }
                    key.refused(&record, NOW, rule);
                }
                LeaseStatus::Owned => drop(one_granted(&key, &claims, rule)),
                LeaseStatus::Lost(record) => {
                    let winner = Record::InProgress(one_granted(&key, &claims, rule));
                    key.expect(&record, &Some(winner), rule);
                }
            }
        }
    }
}

pub(in super::super) fn owners_in_a_row_never_overlap<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 7: of parallel claims and releases, each grant follows the end of the one before it";
    let key = subject.claimable("handed on");
    let grants = in_parallel(TASKS / 4, |task| {
        let mut granted = Vec::new();
        for _ in 0..4 {
            let (request, answer) = claim(&key);
            let Acquisition::Acquired(grant) = answer else { continue };
            // Whoever holds the key finds itself in the record, and nobody else.
            let held = in_progress(&request, grant.fencing_token);
            key.expect_record(Some(&Record::InProgress(held.clone())), NOW, rule);
            let later = held.expires_at.saturating_add(TICK);
            key.expect(&key.renew(held.owner, later, NOW), &LeaseStatus::Owned, rule);
            if task % 2 == 0 {
                key.expect(&key.release(held.owner, NOW), &LeaseStatus::Owned, rule);
            } else {
                let expires = Some(Timestamp::from_secs(NOW.as_secs()));
                let completion = Completion { expires, ..completion(held.owner, "1") };
                key.expect(&key.finish(&completion, NOW), &FinishResult::Stored, rule);
            }
            granted.push(grant.fencing_token);
        }
        granted
    });
    let mut fences = grants.concat();
    let count = fences.len();
    fences.sort_unstable();
    fences.dedup();
    assert!(
        count > 0 && fences.len() == count,
        "rule 9: no two grants have one fence\n  but of {count} grants only {} differ\n  of {key}",
        fences.len()
    );
    let last = key.held(NOW);
    assert!(
        fences.last() < Some(&last.fencing_token),
        "rule 9: the last grant has the highest fence\n  but {:?} came after {:?}\n  of {key}",
        last.fencing_token,
        fences.last()
    );
}

fn claim<H: Harness>(key: &Claimable<'_, H>) -> (ClaimRequest<'static>, Acquisition) {
    let request = key.asking(NOW.saturating_add(LEASE));
    let answer = key.claim(&request, NOW);
    (request, answer)
}

/// Fails the check, telling `rule`, unless exactly one of these is granted, and all others are told its record.
#[track_caller]
fn one_granted<H: Harness>(
    key: &Claimable<'_, H>,
    answers: &[(ClaimRequest<'_>, Acquisition)],
    rule: &str,
) -> InProgress {
    let granted: Vec<_> = answers
        .iter()
        .filter_map(|(request, answer)| match answer {
            Acquisition::Acquired(grant) => {
                Some(InProgress { expires_at: grant.expires_at, ..in_progress(request, grant.fencing_token) })
            }
            Acquisition::Held(_) => None,
        })
        .collect();
    let [held] = granted.as_slice() else {
        panic!("{rule}\n  but of {} were granted {granted:?}\n  of {key}", answers.len());
    };
    let record = Record::InProgress(held.clone());
    for (request, answer) in answers {
        if request.owner != held.owner {
            key.expect(answer, &Acquisition::Held(record.clone()), rule);
        }
    }
    key.refused(&record, NOW, rule);
    held.clone()
}
