//! Rule 8: a lapsed claim belongs to its owner until a takeover or its expiry. What `renew`
//! extends.

use std::time::Duration;

use super::probe::{LEASE, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::Subject;
use crate::conformance::times::{NANOSECOND, NOW, SECOND, START, just_before};
use crate::{InProgress, LAPSED_CLAIM_TTL, LeaseStatus, Record, Timestamp, lapsed_claim_expires};

pub(crate) fn lapsed_claim_still_belongs_to_its_owner<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 8: after its lease, an owner without a successor still finishes, renews and releases";
    let expires_at = NOW.saturating_add(LEASE);
    let expired = expired_at(lapsed_claim_expires(expires_at));
    let times = [expires_at, expires_at.saturating_add(Duration::from_secs(3_600)), just_before(expired)];
    let keys = times.map(|now| {
        ["finished", "renewed", "released"].map(|way| {
            let key = subject.key(format!("{way} at {}", now.as_nanos()));
            let held = key.acquire_until(expires_at, NOW);
            (key, held)
        })
    });
    for (now, [(finished, to_finish), (renewed, to_renew), (released, to_release)]) in
        times.into_iter().zip(keys)
    {
        for (key, held) in [(&finished, &to_finish), (&renewed, &to_renew), (&released, &to_release)] {
            key.expect_record(Some(&Record::InProgress(held.clone())), now, rule);
        }
        let record = finished.expect_finished(&to_finish, &completion(to_finish.owner, "\"late\""), now);
        finished.expect_refused(&record, now, rule);

        let expires_at = now.saturating_add(LEASE);
        renewed.expect(&renewed.renew(to_renew.owner, expires_at, now), &LeaseStatus::Owned, rule);
        renewed.expect_refused(&Record::InProgress(InProgress { expires_at, ..to_renew }), now, rule);

        released.expect(&released.release(to_release.owner, now), &LeaseStatus::Owned, rule);
        released.expect_record(None, now, rule);
        released.expect_free(now, rule);
    }
}

pub(crate) fn lapsed_claim_expires_after_its_ttl<H: Harness>(subject: &Subject<'_, H>) {
    let kept = "rule 8: a lapsed claim is found, and belongs to its owner, until `lapsed_claim_expires`";
    let gone = "rule 8: a claim that has expired is absent, also for its owner";
    // A lease that ends within a second, and one that ends at the start of a second.
    for expires_at in [NOW.saturating_add(LEASE), START.saturating_add(LEASE)] {
        let subject = subject.with_new_backend();
        let expired = expired_at(lapsed_claim_expires(expires_at));
        let [found, ended, claimed] = ["found", "ended", "claimed"]
            .map(|first| subject.key(format!("{first} first, until {}", expires_at.as_nanos())));
        let owners = [&found, &ended, &claimed].map(|key| {
            let held = key.acquire_until(expires_at, NOW);
            key.expect_record(Some(&Record::InProgress(held.clone())), just_before(expired), kept);
            held.owner
        });
        found.expect_record(None, expired, gone);
        ended.expect_lost(owners[1], None, expired, gone);
        for (key, owner) in [&claimed, &found, &ended].into_iter().zip([owners[2], owners[0], owners[1]]) {
            let next = key.expect_free(expired, gone);
            key.expect_lost(owner, Some(&Record::InProgress(next)), expired, gone);
        }
    }
}

pub(crate) fn renewed_lease_ends_at_its_new_end<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`renew` extends the lease: the key is held until exactly its new end";
    let key = subject.key("renewed");
    let mut held = key.acquire(NOW);
    let mut now = NOW;
    for extension in [NANOSECOND, SECOND, 3 * LEASE] {
        let expires_at = held.expires_at.saturating_add(extension);
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        let old = std::mem::replace(&mut held.expires_at, expires_at);
        key.expect_held(&held, now, rule);
        now = old;
        if old < expires_at {
            key.expect_held(&held, old, rule);
        }
    }
    key.expect_held(&held, just_before(held.expires_at), rule);
    key.expect_free(held.expires_at, rule);
}

pub(crate) fn lease_is_never_shortened<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`renew` never shortens a lease; to its owner it returns `Owned` in any case";
    let key = subject.key("renewed to an earlier end");
    let held = key.acquire(NOW);
    let record = Record::InProgress(held.clone());
    let earlier =
        [held.expires_at, just_before(held.expires_at), NOW, NOW.saturating_sub(LEASE), Timestamp::EPOCH];
    for expires_at in earlier {
        key.expect(&key.renew(held.owner, expires_at, NOW), &LeaseStatus::Owned, rule);
        key.expect_refused(&record, NOW, rule);
    }
    key.expect_refused(&record, just_before(held.expires_at), rule);
    key.expect_free(held.expires_at, rule);
}

pub(crate) fn renewal_postpones_the_expiry<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`renew` postpones the expiry of the record with the end of the lease";
    let [finishes, expires] = ["finishes", "expires"].map(|key| subject.key(key));
    let [to_finish, to_expire] = [&finishes, &expires].map(|key| {
        let mut held = key.acquire(NOW);
        let expires_at = held.expires_at.saturating_add(2 * LAPSED_CLAIM_TTL);
        key.expect(&key.renew(held.owner, expires_at, NOW), &LeaseStatus::Owned, rule);
        held.expires_at = expires_at;
        held
    });
    let before = expired_at(lapsed_claim_expires(NOW.saturating_add(LEASE)));
    for (key, held) in [(&finishes, &to_finish), (&expires, &to_expire)] {
        key.expect_held(held, before, rule);
    }
    finishes.expect_finished(
        &to_finish,
        &completion(to_finish.owner, "\"long\""),
        before.saturating_add(SECOND),
    );
    let expired = expired_at(lapsed_claim_expires(to_expire.expires_at));
    let last = Record::InProgress(to_expire);
    expires.expect_record(Some(&last), just_before(expired), rule);
    expires.expect_record(None, expired, rule);
}
