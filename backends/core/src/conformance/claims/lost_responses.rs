//! Rule 10: an operation whose response was lost is applied once, and its owner learns the result.
//!
//! The checks pass if the harness cannot lose a response ([`Harness::lose_next_response`]).

use std::fmt;

use super::concurrency::expect_one_acquired;
use super::freed::Freed::{Expired, Lapsed, Released};
use super::probe::{ClaimProbe, LEASE, completion, finished_record};
use crate::conformance::Harness;
use crate::conformance::lost_responses::with_lost_response;
use crate::conformance::parallel::in_parallel;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NOW, SECOND};
use crate::{
    Acquisition, BackendError, ClaimRequest, FinishResult, InProgress, LeaseStatus, Record, Result, Timestamp,
};

pub(crate) fn claim_with_a_lost_response_belongs_to_its_owner<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a claim with a lost response acquires the key once, for its owner";
    for before in [None, Some(Released), Some(Lapsed), Some(Expired)] {
        let key = subject.key(format!("{before:?}"));
        if let Some(freed) = before {
            freed.acquire_and_free(&key, NOW, NOW);
        }
        let request = key.new_request(NOW.saturating_add(LEASE));
        let Some(result) = with_lost_response(subject, || key.try_claim(&request, NOW)) else { return };
        let held = expect_owned(&key, &request, result, NOW, rule);
        key.expect_held(&held, NOW, rule);
        key.expect_finished(&held, &completion(held.owner, "\"mine\""), NOW);
    }
}

pub(crate) fn refusal_with_a_lost_response_stays_a_refusal<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a refused claim with a lost response stays refused";
    let [held, finished] = ["held", "finished"].map(|key| subject.key(key));
    let in_progress = held.acquire(NOW);
    let owned = finished.acquire(NOW);
    let done = finished.expect_finished(&owned, &completion(owned.owner, "\"done\""), NOW);
    for (key, record) in [(held, Record::InProgress(in_progress)), (finished, done)] {
        let request = key.new_request(NOW.saturating_add(10 * LEASE));
        let Some(result) = with_lost_response(subject, || key.try_claim(&request, NOW)) else { return };
        let refused = Acquisition::Held(record.clone());
        expect_or_unknown(&key, result, |result| *result == refused, rule);
        key.expect(&key.claim(&request, NOW), &refused, rule);
        key.expect_record(Some(&record), NOW, rule);
        let stolen = completion(request.owner, "\"stolen\"");
        let Some(result) = with_lost_response(subject, || key.try_finish(&stolen, NOW)) else { return };
        expect_or_unknown(&key, result, |result| *result == FinishResult::Lost(Some(record.clone())), rule);
        key.expect_record(Some(&record), NOW, rule);
    }
}

pub(crate) fn finish_with_a_lost_response_is_stored_once<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a `finish` with a lost response is stored once";
    for (name, now) in [("held", NOW.saturating_add(SECOND)), ("lapsed", NOW.saturating_add(2 * LEASE))] {
        let key = subject.key(name);
        let held = key.acquire(NOW);
        let completion = completion(held.owner, "\"done\"");
        let Some(result) = with_lost_response(subject, || key.try_finish(&completion, now)) else { return };
        expect_or_unknown(&key, result, |result| *result == FinishResult::Stored, rule);
        key.expect(&key.finish(&completion, now), &FinishResult::Stored, rule);
        key.expect_refused(&finished_record(&held, &completion, now), now, rule);
    }
}

pub(crate) fn renewal_with_a_lost_response_is_applied<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a `renew` with a lost response is applied";
    for (name, now) in [("held", NOW.saturating_add(SECOND)), ("lapsed", NOW.saturating_add(2 * LEASE))] {
        let key = subject.key(name);
        let held = key.acquire(NOW);
        let expires_at = now.saturating_add(3 * LEASE);
        let Some(result) = with_lost_response(subject, || key.try_renew(held.owner, expires_at, now)) else {
            return;
        };
        expect_or_unknown(&key, result, |result| *result == LeaseStatus::Owned, rule);
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        key.expect_refused(&Record::InProgress(InProgress { expires_at, ..held }), now, rule);
    }
}

pub(crate) fn release_and_forget_with_a_lost_response_free_the_key<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 10: a `release` or `forget` with a lost response is applied once";
    let key = subject.key("released");
    let held = key.acquire(NOW);
    let Some(result) = with_lost_response(subject, || key.try_release(held.owner, NOW)) else { return };
    let released = |result: &LeaseStatus| matches!(result, LeaseStatus::Owned | LeaseStatus::Lost(None));
    expect_or_unknown(&key, result, released, rule);
    expect_or_unknown(&key, Ok(key.release(held.owner, NOW)), released, rule);
    key.expect_record(None, NOW, rule);
    key.expect_free(NOW, rule);

    let key = subject.key("forgotten");
    key.acquire(NOW);
    let Some(result) = with_lost_response(subject, || key.try_forget(NOW)) else { return };
    expect_or_unknown(&key, result, |()| true, rule);
    key.forget(NOW);
    key.expect_record(None, NOW, rule);
    key.expect_free(NOW, rule);
}

pub(crate) fn parallel_claims_with_lost_responses_have_one_owner<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 10: of parallel claims with lost responses one acquires the key, and all results agree on it";
    for round in 0..3 {
        let key = subject.key(format!("round {round}"));
        let results = in_parallel(8, |_| {
            let request = key.new_request(NOW.saturating_add(LEASE));
            let first = with_lost_response(subject, || key.try_claim(&request, NOW))?;
            // The responses of these repetitions may be lost too, on behalf of other threads.
            let again = (0..20).map(|_| key.try_claim(&request, NOW)).find(Result::is_ok);
            let again = again.and_then(Result::ok).expect("one of 20 responses arrives");
            expect_or_unknown(&key, first, |first| *first == again, rule);
            Some((request, again))
        });
        let Some(results) = results.into_iter().collect::<Option<Vec<_>>>() else { return };
        expect_one_acquired(&key, &results, rule);
    }
}

/// Fails the check with `rule` unless a claim with a lost response acquired the key, or returned
/// that its outcome is unknown. The repeated claim has to return the acquired lease.
#[track_caller]
fn expect_owned<H: Harness>(
    key: &ClaimProbe<'_, H>,
    request: &ClaimRequest<'_>,
    result: Result<Acquisition>,
    now: Timestamp,
    rule: &str,
) -> InProgress {
    let first = result.clone();
    expect_or_unknown(key, result, |result| matches!(result, Acquisition::Acquired(_)), rule);
    let held = key.expect_acquired(request, now, rule);
    if let Ok(Acquisition::Acquired(grant)) = first {
        key.expect(&grant.fencing_token, &held.fencing_token, rule);
    }
    held
}

/// Fails the check with `rule` unless the result is right, or an error that leaves the outcome
/// unknown.
#[track_caller]
fn expect_or_unknown<H: Harness, T: fmt::Debug>(
    key: &ClaimProbe<'_, H>,
    result: Result<T>,
    is_right: impl FnOnce(&T) -> bool,
    rule: &str,
) {
    let passes = match &result {
        Ok(result) => is_right(result),
        Err(error) => matches!(error, BackendError::TimedOut(_) | BackendError::Unavailable(_)),
    };
    assert!(
        passes,
        "{rule}; `TimedOut` or `Unavailable` leaves it unknown\n  but saw {result:?}\n  of {key}"
    );
}
