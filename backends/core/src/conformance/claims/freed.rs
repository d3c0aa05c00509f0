//! The ways in which a key becomes free again.

use super::probe::{ClaimProbe, LEASE, completion};
use crate::conformance::Harness;
use crate::{Completion, FencingToken, InProgress, Timestamp};

/// How a key becomes free again without time passing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freed {
    Released,
    Forgotten,
    ForgottenWhenFinished,
    /// Its lease had ended when it was acquired.
    Lapsed,
    /// Its record had expired when it was finished.
    Expired,
}

impl Freed {
    pub(super) const ALL: [Self; 5] =
        [Self::Released, Self::Forgotten, Self::ForgottenWhenFinished, Self::Lapsed, Self::Expired];

    /// Acquires the key, which has to be free, and frees it again so that it is free from `since`
    /// on.
    #[track_caller]
    pub(super) fn acquire_and_free<H: Harness>(
        self,
        key: &ClaimProbe<'_, H>,
        now: Timestamp,
        since: Timestamp,
    ) -> FencingToken {
        let rule = "rule 7: a claim acquires a free key";
        let expires_at = if let Self::Lapsed = self { since } else { now.saturating_add(LEASE) };
        let held = key.expect_acquired_unread(&key.new_request(expires_at), now, rule);
        self.free(key, &held, now, since);
        held.fencing_token
    }

    #[track_caller]
    fn free<H: Harness>(self, key: &ClaimProbe<'_, H>, held: &InProgress, now: Timestamp, since: Timestamp) {
        let done = completion(held.owner, "1");
        match self {
            Self::Lapsed => {}
            Self::Released => drop(key.release(held.owner, now)),
            Self::Forgotten => key.forget(now),
            Self::ForgottenWhenFinished => {
                key.expect_finished(held, &done, now);
                key.forget(now);
            }
            Self::Expired => {
                let expires = Some(Timestamp::from_secs(since.as_secs()));
                key.expect_finished(held, &Completion { expires, ..done }, now);
            }
        }
    }
}
