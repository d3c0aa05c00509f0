//! Results are returned unchanged until they expire.

use std::sync::Arc;

use super::probe::{ClaimProbe, LEASE, completion, expired_at, finished_record};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, START, just_before};
use crate::{
    Acquisition, ClaimMetadata, Completion, FinishResult, Finished, InProgress, Record, StoredResult,
    Timestamp,
};

pub(crate) fn every_result_is_returned_unchanged<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "the result, the status code and the time of `finish` are returned unchanged, to the nanosecond";
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
        let key = subject.key(format!("result {position}"));
        let held = key.acquire(NOW);
        let at = NOW.saturating_add(position * NANOSECOND);
        let status_code = codes[position as usize % codes.len()];
        let completion = Completion { result, status_code, ..Completion::new(held.owner) };
        let finished = key.finish(&completion, at);
        // If the owner itself reports an omitted result, both results of `finish` are correct.
        let expected = match (&completion.result, &finished) {
            (StoredResult::Omitted { reason }, FinishResult::Omitted { .. }) => {
                FinishResult::Omitted { reason: Arc::clone(reason) }
            }
            _ => FinishResult::Stored,
        };
        key.expect(&finished, &expected, rule);
        let record = finished_record(&held, &completion, at);
        key.expect_refused(&record, at, rule);
    }
}

pub(crate) fn large_results_are_stored_or_reported_as_omitted<H: Harness>(subject: &Subject<'_, H>) {
    let metadata = ClaimMetadata { request: Some("{\"large\":true}"), ..ClaimMetadata::default() };
    for (bytes, may_be_omitted) in [(100_000, false), (1_000_000, true)] {
        // No two parts are equal, so that a cut or a repetition shows.
        let numbers = (0..bytes / 8).map(|number| format!("{number:07},"));
        let json: Arc<str> = format!("[{}0]", numbers.collect::<String>()).into();
        let key = subject.key(format!("{bytes} bytes"));
        let held = key.acquire(NOW);
        let result = StoredResult::Value(Arc::clone(&json));
        let completion =
            Completion { result, metadata, status_code: Some(200), ..Completion::new(held.owner) };
        for round in ["finished", "finished again"] {
            let recorded = key.finish(&completion, NOW);
            let claimed = key.claim(&key.new_request(NOW.saturating_add(LEASE)), NOW);
            let found = key.find(NOW);
            let is_complete = |result: &StoredResult| match (result, &recorded) {
                (StoredResult::Value(value), FinishResult::Stored) => *value == json,
                (StoredResult::Omitted { reason }, FinishResult::Omitted { reason: reported }) => {
                    may_be_omitted && reason == reported
                }
                _ => false,
            };
            let is_right = |record: &Record| {
                matches!(record, Record::Finished(Finished { owner, fencing_token, at, result, status_code, .. })
                    if *owner == held.owner && *fencing_token == held.fencing_token && *at == NOW && is_complete(result)
                        && *status_code == Some(200))
            };
            // A failure prints only the beginning of it.
            let recorded = format!("{recorded:?}");
            assert!(
                matches!(&claimed, Acquisition::Held(record) if is_right(record))
                    && found.as_ref().is_some_and(is_right),
                "a large result is returned complete, or `finish` and the record report that it was omitted; \
                 {bytes} bytes {}\n  but when {round}, `finish` returned {recorded:.80}, and the record differs\n  \
                 of {key}",
                if may_be_omitted { "may be omitted" } else { "have to be stored" }
            );
        }
    }
}

pub(crate) fn finished_record_expires_at_the_end_of_its_second<H: Harness>(subject: &Subject<'_, H>) {
    let kept = "rule 2: a record is found until `has_expired` is true, whichever operation comes first";
    let gone = "rule 2: a record that has expired is absent, whichever operation comes first";
    let times = [
        NOW.saturating_add(SECOND),
        START.saturating_add(60 * SECOND),
        START.saturating_add(90 * SECOND).saturating_add(NANOSECOND),
        just_before(START.saturating_add(120 * SECOND)),
        START.saturating_add(400 * 86_400 * SECOND),
    ];
    let finish = |key: &ClaimProbe<'_, H>, held: &InProgress, expires| {
        let completion = Completion { expires: Some(expires), ..completion(held.owner, "\"done\"") };
        key.expect_finished(held, &completion, NOW)
    };
    let keys = times.map(|expires| {
        ["found", "claimed", "ended"].map(|first| {
            let key = subject.key(format!("{first} first, expires {}", expires.as_nanos()));
            let record = finish(&key, &key.acquire(NOW), expires);
            (key, record)
        })
    });
    for (expires, keys) in times.into_iter().zip(keys) {
        let expired = expired_at(expires);
        for (key, record) in &keys {
            key.expect_refused(record, just_before(expired), kept);
        }
        let [(found, _), (claimed, _), (ended, _)] = &keys;
        found.expect_record(None, expired, gone);
        ended.expect_lost(ended.new_owner(), None, expired, gone);
        for key in [claimed, found, ended] {
            key.expect_free(expired, gone);
        }
    }
}

pub(crate) fn finished_record_without_expiry_is_permanent<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a record without an expiry is found in the year 2500, whichever operation comes first";
    // 2500-01-01.
    let far = Timestamp::from_secs(16_725_225_600);
    let keys = ["found", "claimed"].map(|first| subject.key(format!("{first} first")));
    let records = keys.each_ref().map(|key| {
        let held = key.acquire(NOW);
        key.expect_finished(&held, &completion(held.owner, "\"permanent\""), NOW)
    });
    keys[0].expect_record(Some(&records[0]), far, rule);
    keys[1].expect_refused(&records[1], far, rule);
}
