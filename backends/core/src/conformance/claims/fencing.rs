//! Rule 9: each acquisition of a key has a higher fencing token than all before it.

use std::time::Duration;

use super::freed::Freed;
use super::probe::{ClaimProbe, completion};
use crate::FencingToken;
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, START};

pub(crate) fn every_acquisition_has_a_higher_fencing_token<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 9: each acquisition of a key has a higher fencing token than all before it";
    for freed in Freed::ALL {
        let key = subject.key(format!("{freed:?}"));
        let mut last = None;
        for _ in 0..5 {
            last = Some(expect_higher(
                &key,
                last,
                freed.acquire_and_free(&key, NOW, NOW),
                &format!("{rule}; here {freed:?}"),
            ));
        }
    }
    let key = subject.key("one way after the other");
    let mut last = None;
    for round in 0..3 {
        for freed in Freed::ALL {
            let now = NOW.saturating_add(round * SECOND);
            last = Some(expect_higher(
                &key,
                last,
                freed.acquire_and_free(&key, now, now),
                &format!("{rule}; here {freed:?}"),
            ));
        }
    }
    let held = key.acquire(NOW.saturating_add(2 * SECOND));
    expect_higher(&key, last, held.fencing_token, rule);
    let rule = "rule 9: the record has the fencing token of the acquisition, also after it is finished";
    key.expect_held(&held, NOW.saturating_add(2 * SECOND), rule);
    key.expect_refused(
        &key.expect_finished(&held, &completion(held.owner, "1"), NOW.saturating_add(2 * SECOND)),
        NOW.saturating_add(3 * SECOND),
        rule,
    );
}

pub(crate) fn clock_jump_back_lowers_no_fencing_token<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 9: an acquisition has a higher fencing token than all before it, also if the clock has jumped back";
    let skew = subject.harness.max_clock_skew();
    for back in [NANOSECOND, skew / 2, skew] {
        if back > skew {
            continue;
        }
        let earlier = NOW.saturating_sub(back);
        for freed in Freed::ALL {
            let key = subject.key(format!("{freed:?}, {back:?} back"));
            let mut last = Some(freed.acquire_and_free(&key, NOW, earlier));
            for now in [earlier, NOW, earlier] {
                let fencing_token = freed.acquire_and_free(&key, now, earlier);
                last = Some(expect_higher(
                    &key,
                    last,
                    fencing_token,
                    &format!("{rule}; here {freed:?}, {back:?} back"),
                ));
            }
        }
    }
}

pub(crate) fn fencing_tokens_rise_after_the_record_is_gone<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 9: after the backend has forgotten a record, the next acquisition still has a higher fencing \
                token, also if the clock jumps back within the maximum skew";
    let skew = subject.harness.max_clock_skew();
    // The tokens of six acquisitions within one nanosecond are some microseconds ahead of the time.
    let waits = [
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_micros(5),
        SECOND,
        Duration::from_secs(3 * 86_400),
    ];
    for wait in waits {
        let subject = subject.with_new_backend();
        let keys = Freed::ALL.map(|freed| {
            let key = subject.key(format!("{freed:?}, {wait:?}"));
            let tokens = (0..6).map(|_| freed.acquire_and_free(&key, START, START));
            let last = tokens.max();
            (key, last, freed)
        });
        let back = START.saturating_add(wait);
        subject.claim_other_keys(back.saturating_add(skew));
        for (key, last, freed) in keys {
            let held = key.acquire(back);
            expect_higher(
                &key,
                last,
                held.fencing_token,
                &format!("{rule}; here {freed:?}, {wait:?} before"),
            );
        }
    }
}

#[track_caller]
fn expect_higher<H: Harness>(
    key: &ClaimProbe<'_, H>,
    last: Option<FencingToken>,
    next: FencingToken,
    rule: &str,
) -> FencingToken {
    assert!(last < Some(next), "{rule}\n  but after {last:?} came {next:?}\n  of {key}");
    next
}
