//! Rule 9: each grant of a key has a higher number than every grant before it.

use std::time::Duration;

use super::probe::{Claimable, LEASE, SECOND, completion};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, START, Subject};
use crate::{Completion, FencingToken, InProgress, Record, Timestamp};

/// How a key comes to be free again, without any time going by.
#[derive(Clone, Copy, Debug)]
enum Freed {
    Released,
    Forgotten,
    ForgottenWhenFinished,
    /// Its lease had ended when it was granted.
    Lapsed,
    /// Its record had expired when it was finished.
    Expired,
}

impl Freed {
    const ALL: [Self; 5] =
        [Self::Released, Self::Forgotten, Self::ForgottenWhenFinished, Self::Lapsed, Self::Expired];

    /// Claims the key, which has to be free, and frees it again so that it is free from `since` on.
    #[track_caller]
    fn once<H: Harness>(self, key: &Claimable<'_, H>, now: Timestamp, since: Timestamp) -> FencingToken {
        let rule = "rule 7: a key that is free is granted to who claims it";
        let expires_at = if let Self::Lapsed = self { since } else { now.saturating_add(LEASE) };
        let held = key.granted_unread(&key.asking(expires_at), now, rule);
        self.free(key, &held, now, since);
        held.fencing_token
    }

    #[track_caller]
    fn free<H: Harness>(self, key: &Claimable<'_, H>, held: &InProgress, now: Timestamp, since: Timestamp) {
        let done = completion(held.owner, "1");
        match self {
            Self::Lapsed => {}
            Self::Released => drop(key.release(held.owner, now)),
            Self::Forgotten => key.forget(now),
            Self::ForgottenWhenFinished => {
                key.finished(held, &done, now);
                key.forget(now);
            }
            Self::Expired => {
                let expires = Some(Timestamp::from_secs(since.as_secs()));
                key.finished(held, &Completion { expires, ..done }, now);
            }
        }
    }
}

pub(in super::super) fn every_grant_has_a_higher_fence<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 9: each grant of a key has a higher fence than every grant before it";
    for after in Freed::ALL {
        let key = subject.claimable(format!("{after:?}"));
        let mut last = None;
        for _ in 0..5 {
            last = Some(risen(&key, last, after.once(&key, NOW, NOW), &format!("{rule}; here {after:?}")));
        }
    }
    let key = subject.claimable("one after the other");
    let mut last = None;
    for round in 0..3 {
        for after in Freed::ALL {
            let now = NOW.saturating_add(round * SECOND);
            last = Some(risen(&key, last, after.once(&key, now, now), &format!("{rule}; here {after:?}")));
        }
    }
    let held = key.held(NOW.saturating_add(2 * SECOND));
    risen(&key, last, held.fencing_token, rule);
    let told =
        "rule 9: the fence that a grant has is the one that others are told, and stays with what is done";
    key.refused(&Record::InProgress(held.clone()), NOW.saturating_add(2 * SECOND), told);
    key.refused(
        &key.finished(&held, &completion(held.owner, "1"), NOW.saturating_add(2 * SECOND)),
        NOW.saturating_add(3 * SECOND),
        told,
    );
}

pub(in super::super) fn a_clock_that_jumps_back_lowers_no_fence<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 9: a grant has a higher fence than those before it also where the clock has jumped back";
    let skew = subject.harness.max_clock_skew();
    for back in [Duration::from_nanos(1), skew / 2, skew] {
        if back > skew {
            continue;
        }
        let earlier = NOW.saturating_sub(back);
        for after in Freed::ALL {
            let key = subject.claimable(format!("{after:?}, {back:?} back"));
            let mut last = Some(after.once(&key, NOW, earlier));
            for now in [earlier, NOW, earlier] {
                let fencing_token = after.once(&key, now, earlier);
                last =
                    Some(risen(&key, last, fencing_token, &format!("{rule}; here {after:?}, {back:?} back")));
            }
        }
    }
}

pub(in super::super) fn a_fence_outlives_its_record<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 9: where a record is gone, and forgotten, its next grant still has a higher fence, \
                also after a jump back within the allowed skew";
    let skew = subject.harness.max_clock_skew();
    // Six grants within one nanosecond are ahead of the time by some microseconds.
    let waits = [
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_micros(5),
        SECOND,
        Duration::from_secs(3 * 86_400),
    ];
    for wait in waits {
        let subject = subject.afresh();
        let keys = Freed::ALL.map(|after| {
            let key = subject.claimable(format!("{after:?}, {wait:?}"));
            let fences = (0..6).map(|_| after.once(&key, START, START));
            let last = fences.max();
            (key, last, after)
        });
        let back = START.saturating_add(wait);
        subject.claim_elsewhere(back.saturating_add(skew));
        for (key, last, after) in keys {
            let held = key.held(back);
            risen(&key, last, held.fencing_token, &format!("{rule}; here {after:?}, {wait:?} before"));
        }
    }
}

#[track_caller]
fn risen<H: Harness>(
    key: &Claimable<'_, H>,
    last: Option<FencingToken>,
    next: FencingToken,
    rule: &str,
) -> FencingToken {
    assert!(last < Some(next), "{rule}\n  but after {last:?} came {next:?}\n  of {key}");
    next
}
