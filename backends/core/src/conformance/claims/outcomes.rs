//! What came of a claim comes back as it was, until it expires.

use std::sync::Arc;

use super::probe::{Claimable, LEASE, SECOND, TICK, completion, done, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, START, Subject};
use crate::{
    Acquisition, ClaimMetadata, Completion, FinishResult, Finished, InProgress, Record, StoredResult,
    Timestamp,
};

pub(in super::super) fn every_outcome_comes_back_as_it_was<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "an outcome comes back to the letter: result, status code, and when it was finished to the nanosecond";
    let json = [
        "null",
        "\"\"",
        "{}",
        "[]",
        "0",
        "-0.0",
        "1.50",
        "1e400",
        "123456789012345678901234567890123456789012345678901234567890",
        " { \"b\" : 1 , \"a\" : [ true ], \"a\": 2 }\n",
        "\"caf\u{e9} cafe\u{301} \u{1F4A5}\"",
        r#""a \"quoted\" \\ line\nand \u0000 \ud83d\udca5 </script>""#,
        "\"COMPLETED\"",
        "{\"N\": \"1\", \"S\": null}",
    ];
    let values = json.map(|json| StoredResult::Value(json.into()));
    let errors = json.map(|json| StoredResult::Error(json.into()));
    let reason = "the result is a stream, #1 of \"2\" \u{1F4A5}".into();
    let results =
        [StoredResult::Nothing, StoredResult::Omitted { reason }].into_iter().chain(values).chain(errors);
    let codes = [None, Some(0), Some(200), Some(503), Some(u16::MAX)];
    for (position, result) in (0..).zip(results) {
        let key = subject.claimable(format!("outcome {position}"));
        let held = key.held(NOW);
        let at = NOW.saturating_add(position * TICK);
        let status_code = codes[position as usize % codes.len()];
        let completion = Completion { result, status_code, ..Completion::new(held.owner) };
        let answer = key.finish(&completion, at);
        // Where the owner itself says that it has nothing to keep, both answers say the truth.
        let expected = match (&completion.result, &answer) {
            (StoredResult::Omitted { reason }, FinishResult::Omitted { .. }) => {
                FinishResult::Omitted { reason: Arc::clone(reason) }
            }
            _ => FinishResult::Stored,
        };
        key.expect(&answer, &expected, rule);
        let record = done(&held, &completion, at);
        key.refused(&record, at, rule);
    }
}

pub(in super::super) fn large_outcomes_are_kept_or_said_not_to_be<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let metadata = ClaimMetadata { request: Some("{\"large\":true}"), ..ClaimMetadata::default() };
    for (bytes, may_be_left_out) in [(100_000, false), (1_000_000, true)] {
        // No two stretches of it are alike, so that no cut or repetition goes unseen.
        let numbers = (0..bytes / 8).map(|number| format!("{number:07},"));
        let json: Arc<str> = format!("[{}0]", numbers.collect::<String>()).into();
        let key = subject.claimable(format!("{bytes} bytes"));
        let held = key.held(NOW);
        let result = StoredResult::Value(Arc::clone(&json));
        let completion =
            Completion { result, metadata, status_code: Some(200), ..Completion::new(held.owner) };
        for round in ["finished", "finished again"] {
            let recorded = key.finish(&completion, NOW);
            let answer = key.claim(&key.asking(NOW.saturating_add(LEASE)), NOW);
            let found = key.find(NOW);
            let whole = |result: &StoredResult| match (result, &recorded) {
                (StoredResult::Value(value), FinishResult::Stored) => *value == json,
                (StoredResult::Omitted { reason }, FinishResult::Omitted { reason: said }) => {
                    may_be_left_out && reason == said
                }
                _ => false,
            };
            let told = |record: &Record| {
                matches!(record, Record::Finished(Finished { owner, fencing_token, at, result, status_code, .. })
                    if *owner == held.owner && *fencing_token == held.fencing_token && *at == NOW && whole(result)
                        && *status_code == Some(200))
            };
            // A failure does not print all of it.
            let recorded = format!("{recorded:?}");
            assert!(
                matches!(&answer, Acquisition::Held(record) if told(record))
                    && found.as_ref().is_some_and(told),
                "what is large comes back whole, or both answer and record say that it was not kept; {bytes} bytes \
                 {}\n  but {round}, it was answered as {recorded:.80}, and something else was told\n  of {key}",
                if may_be_left_out { "may be left out" } else { "have to be kept" }
            );
        }
    }
}

pub(in super::super) fn a_finished_record_expires_at_the_end_of_its_second<H: Harness>(
    subject: &Subject<'_, H>,
) {
    if !subject.has_claims() {
        return;
    }
    let kept = "rule 2: a record is there until `has_expired` says that it is not, whoever asks first";
    let gone =
        "rule 2: a record that has expired is absent, whoever asks first, and whatever is still stored";
    let times = [
        NOW.saturating_add(SECOND),
        START.saturating_add(60 * SECOND),
        START.saturating_add(90 * SECOND).saturating_add(TICK),
        START.saturating_add(120 * SECOND).saturating_sub(TICK),
        START.saturating_add(400 * 86_400 * SECOND),
    ];
    let finish = |key: &Claimable<'_, H>, held: &InProgress, expires| {
        let completion = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
        key.finished(held, &completion, NOW)
    };
    let keys = times.map(|expires| {
        ["found", "claimed", "ended"].map(|first| {
            let key = subject.claimable(format!("{first} first, expires {}", expires.as_nanos()));
            let record = finish(&key, &key.held(NOW), expires);
            (key, record)
        })
    });
    for (expires, keys) in times.into_iter().zip(keys) {
        let expired = expired_at(expires);
        for (key, record) in &keys {
            key.refused(record, expired.saturating_sub(TICK), kept);
        }
        let [(found, _), (claimed, _), (ended, _)] = &keys;
        found.expect_record(None, expired, gone);
        ended.lost_to(ended.fresh_owner(), None, expired, gone);
        for key in [claimed, found, ended] {
            key.granted(&key.asking(expired.saturating_add(LEASE)), expired, gone);
        }
    }
}

pub(in super::super) fn a_finished_record_without_expiry_stays<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "a record that does not expire is there in the year 2500, whoever asks first";
    // 2500-01-01.
    let far = Timestamp::from_secs(16_725_225_600);
    let keys = ["found", "claimed"].map(|first| subject.claimable(format!("{first} first")));
    let records = keys.each_ref().map(|key| {
        let held = key.held(NOW);
        key.finished(&held, &completion(held.owner, "\"for ever\""), NOW)
    });
    keys[0].expect_record(Some(&records[0]), far, rule);
    keys[1].refused(&records[1], far, rule);
}
