//! Expired records of claims are removed.

use super::probe::{LEASE, completion};
use crate::conformance::Harness;
use crate::conformance::removal::visit_rounds;
use crate::conformance::subject::Subject;
use crate::{Completion, LAPSED_CLAIM_TTL};

pub(crate) fn expired_claims_are_removed<H: Harness>(subject: &Subject<'_, H>) {
    visit_rounds(subject, |round, now| {
        // A lapsed claim stays for a day.
        let now = now.saturating_add(round * 2 * LAPSED_CLAIM_TTL);
        for number in 0..20 {
            let finished = subject.key(format!("{round}, finished {number}"));
            let held = finished.acquire(now);
            let expires = Some(now.saturating_add(LEASE));
            finished.expect_finished(&held, &Completion { expires, ..completion(held.owner, "1") }, now);
            subject.key(format!("{round}, lapsed {number}")).acquire(now);
        }
        40
    });
}
