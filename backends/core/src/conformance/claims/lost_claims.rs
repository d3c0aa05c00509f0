//! Rule 10: after an answer that was lost, an owner finds its own.
//!
//! A backend that cannot lose an answer on purpose ([`Harness::lose_next_response`]) passes these.

use std::fmt;

use super::probe::{Claimable, LEASE, SECOND, completion, done, in_progress};
use crate::conformance::Harness;
use crate::conformance::lost_responses::losing;
use crate::conformance::parallel::in_parallel;
use crate::conformance::subject::{NOW, Subject};
use crate::{
    Acquisition, BackendError, ClaimRequest, Completion, FinishResult, InProgress, LeaseStatus, Record,
    Timestamp,
};

pub(in super::super) fn a_claim_whose_answer_was_lost_is_its_owners<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a claim whose answer was lost is its owner's, once, and its owner is told so";
    let now = NOW.saturating_add(LEASE);
    for before in ["absent", "released", "lapsed", "expired"] {
        let key = subject.claimable(before);
        let at = now.saturating_sub(LEASE);
        match before {
            "released" => drop(key.release(key.held(now).owner, now)),
            "lapsed" => drop(key.held_until(now, now)),
            "expired" => {
                let held = key.held(now);
                let expires = Some(Timestamp::from_secs(at.as_secs()));
                key.finished(&held, &Completion { expires, ..completion(held.owner, "\"old\"") }, now);
            }
            _ => {}
        }
        let request = key.asking(now.saturating_add(LEASE));
        let Some(answer) = losing(subject, || key.try_claim(&request, now)) else {
            return;
        };
        let held = owned_after(&key, &request, answer, now, rule);
        key.refused(&Record::InProgress(held.clone()), now, rule);
        key.finished(&held, &completion(held.owner, "\"mine\""), now);
    }
}

pub(in super::super) fn a_refusal_whose_answer_was_lost_is_a_refusal<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a claim that is refused is no less refused where the answer was lost at first";
    let [held, finished] = ["held", "finished"].map(|key| subject.claimable(key));
    let in_progress = held.held(NOW);
    let owned = finished.held(NOW);
    let done = finished.finished(&owned, &completion(owned.owner, "\"done\""), NOW);
    for (key, record) in [(held, Record::InProgress(in_progress)), (finished, done)] {
        let request = key.asking(NOW.saturating_add(10 * LEASE));
        let Some(answer) = losing(subject, || key.try_claim(&request, NOW)) else {
            return;
        };
        let taken = Acquisition::Held(record.clone());
        told_or_open(&key, answer, |answer| *answer == taken, rule);
        key.expect(&key.claim(&request, NOW), &taken, rule);
        key.expect_record(Some(&record), NOW, rule);
        let stranger = completion(request.owner, "\"stolen\"");
        let Some(answer) = losing(subject, || key.try_finish(&stranger, NOW)) else {
            return;
        };
        told_or_open(&key, answer, |answer| *answer == FinishResult::Lost(Some(record.clone())), rule);
        key.expect_record(Some(&record), NOW, rule);
    }
}

pub(in super::super) fn a_finish_whose_answer_was_lost_is_kept<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a finish whose answer was lost is kept, once, and its owner is told so";
    for (name, now) in [("held", NOW.saturating_add(SECOND)), ("lapsed", NOW.saturating_add(2 * LEASE))] {
        let key = subject.claimable(name);
        let held = key.held(NOW);
        let completion = completion(held.owner, "\"done\"");
        let Some(answer) = losing(subject, || key.try_finish(&completion, now)) else {
            return;
        };
        told_or_open(&key, answer, |answer| *answer == FinishResult::Stored, rule);
        key.expect(&key.finish(&completion, now), &FinishResult::Stored, rule);
        key.refused(&done(&held, &completion, now), now, rule);
    }
}

pub(in super::super) fn a_renewal_whose_answer_was_lost_is_the_owners<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a renewal whose answer was lost is done, and its owner is told so";
    for (name, now) in [("held", NOW.saturating_add(SECOND)), ("lapsed", NOW.saturating_add(2 * LEASE))] {
        let key = subject.claimable(name);
        let held = key.held(NOW);
        let expires_at = now.saturating_add(3 * LEASE);
        let Some(answer) = losing(subject, || key.try_renew(held.owner, expires_at, now)) else {
            return;
        };
        told_or_open(&key, answer, |answer| *answer == LeaseStatus::Owned, rule);
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        key.refused(&Record::InProgress(InProgress { expires_at, ..held }), now, rule);
    }
}

pub(in super::super) fn a_key_given_up_with_a_lost_answer_is_free<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 10: a release or a `forget` whose answer was lost is done, and done once";
    let key = subject.claimable("given up");
    let held = key.held(NOW);
    let Some(answer) = losing(subject, || key.try_release(held.owner, NOW)) else {
        return;
    };
    let recognised = |answer: &LeaseStatus| matches!(answer, LeaseStatus::Owned | LeaseStatus::Lost(None));
    told_or_open(&key, answer, recognised, rule);
    told_or_open(&key, Ok(key.release(held.owner, NOW)), recognised, rule);
    key.expect_record(None, NOW, rule);
    key.granted(&key.asking(NOW.saturating_add(LEASE)), NOW, rule);

    let key = subject.claimable("forgotten");
    key.held(NOW);
    let Some(answer) = losing(subject, || key.try_forget(NOW)) else {
        return;
    };
    told_or_open(&key, answer, |()| true, rule);
    key.forget(NOW);
    key.expect_record(None, NOW, rule);
    key.granted(&key.asking(NOW.saturating_add(LEASE)), NOW, rule);
}

pub(in super::super) fn answers_lost_among_parallel_claims_grant_one<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 10: of parallel claims whose answers are lost, one is granted, and all are told the same";
    for round in 0..3 {
        let key = subject.claimable(format!("round {round}"));
        let answers = in_parallel(8, |_| {
            let request = key.asking(NOW.saturating_add(LEASE));
            let first = losing(subject, || key.try_claim(&request, NOW))?;
            // Answers that others had on their way may be lost here too.
            let again = (0..20).map(|_| key.try_claim(&request, NOW)).find(Result::is_ok);
            let again = again.and_then(Result::ok).expect("some answer arrives");
            told_or_open(&key, first, |first| *first == again, rule);
            Some((request, again))
        });
        let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else {
            return;
        };
        let granted: Vec<_> = answers
            .iter()
            .filter_map(|(request, answer)| match answer {
                Acquisition::Acquired(grant) => Some(in_progress(request, grant.fencing_token)),
                Acquisition::Held(_) => None,
            })
            .collect();
        key.expect(&granted.len(), &1, rule);
        let record = Record::InProgress(granted[0].clone());
        for (request, answer) in &answers {
            if request.owner != granted[0].owner {
                key.expect(answer, &Acquisition::Held(record.clone()), rule);
            }
        }
        key.refused(&record, NOW, rule);
    }
}

/// Fails the check, telling `rule`, unless a claim whose answer was lost was granted, or left open, and is granted when
/// it is repeated.
#[track_caller]
fn owned_after<H: Harness>(
    key: &Claimable<'_, H>,
    request: &ClaimRequest<'_>,
    answer: Result<Acquisition, BackendError>,
    now: Timestamp,
    rule: &str,
) -> InProgress {
    let first = answer.clone();
    told_or_open(key, answer, |answer| matches!(answer, Acquisition::Acquired(_)), rule);
    let held = key.granted(request, now, rule);
    if let Ok(Acquisition::Acquired(grant)) = first {
        key.expect(&grant.fencing_token, &held.fencing_token, rule);
    }
    held
}

/// Fails the check, telling `rule`, unless the answer is one that was right, or one that says that it is not known.
#[track_caller]
fn told_or_open<H: Harness, T: fmt::Debug>(
    key: &Claimable<'_, H>,
    answer: Result<T, BackendError>,
    right: impl FnOnce(&T) -> bool,
    rule: &str,
) {
    let passes = match &answer {
        Ok(answer) => right(answer),
        Err(error) => matches!(error, BackendError::TimedOut(_) | BackendError::Unavailable(_)),
    };
    assert!(
        passes,
        "{rule}, or by `TimedOut` or `Unavailable` that it is not known\n  but saw {answer:?}\n  of {key}"
    );
}
