//! Rule 8: a lease that has ended is its owner's until another takes it, or it expires; and how it is renewed.

use std::time::Duration;

use super::probe::{LEASE, SECOND, TICK, completion, expired_at};
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, START, Subject};
use crate::{InProgress, LAPSED_CLAIM_TTL, LeaseStatus, Record, Timestamp, lapsed_claim_expires};

pub(in super::super) fn a_lapsed_claim_stays_its_owners<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 8: a lease that has ended, and that nobody has taken over, is its owner's to end or renew";
    let expires_at = NOW.saturating_add(LEASE);
    let expired = expired_at(lapsed_claim_expires(expires_at));
    let moments =
        [expires_at, expires_at.saturating_add(Duration::from_secs(3_600)), expired.saturating_sub(TICK)];
    let keys = moments.map(|now| {
        ["finished", "renewed", "given up"].map(|way| {
            let key = subject.claimable(format!("{way} at {}", now.as_nanos()));
            let held = key.held_until(expires_at, NOW);
            (key, held)
        })
    });
    for (now, [(finished, to_finish), (renewed, to_renew), (released, to_release)]) in
        moments.into_iter().zip(keys)
    {
        for (key, held) in [(&finished, &to_finish), (&renewed, &to_renew), (&released, &to_release)] {
            key.expect_record(Some(&Record::InProgress(held.clone())), now, rule);
        }
        let record = finished.finished(&to_finish, &completion(to_finish.owner, "\"late\""), now);
        finished.refused(&record, now, rule);

        let expires_at = now.saturating_add(LEASE);
        renewed.expect(&renewed.renew(to_renew.owner, expires_at, now), &LeaseStatus::Owned, rule);
        renewed.refused(&Record::InProgress(InProgress { expires_at, ..to_renew }), now, rule);

        released.expect(&released.release(to_release.owner, now), &LeaseStatus::Owned, rule);
        released.expect_record(None, now, rule);
        released.granted(&released.asking(expires_at), now, rule);
    }
}

pub(in super::super) fn a_lapsed_claim_expires<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let kept = "rule 8: a lease that has ended is told, and its owner's, until `lapsed_claim_expires`";
    let gone = "rule 8: a claim that has expired is absent, also to its owner";
    // In the middle of a second, and at its start.
    for expires_at in [NOW.saturating_add(LEASE), START.saturating_add(LEASE)] {
        let subject = subject.afresh();
        let expired = expired_at(lapsed_claim_expires(expires_at));
        let [found, ended, claimed] = ["found", "ended", "claimed"]
            .map(|first| subject.claimable(format!("{first} first, until {}", expires_at.as_nanos())));
        let owners = [&found, &ended, &claimed].map(|key| {
            let held = key.held_until(expires_at, NOW);
            key.expect_record(Some(&Record::InProgress(held.clone())), expired.saturating_sub(TICK), kept);
            held.owner
        });
        found.expect_record(None, expired, gone);
        ended.lost_to(owners[1], None, expired, gone);
        for (key, owner) in [&claimed, &found, &ended].into_iter().zip([owners[2], owners[0], owners[1]]) {
            let next = key.granted(&key.asking(expired.saturating_add(LEASE)), expired, gone);
            key.lost_to(owner, Some(&Record::InProgress(next)), expired, gone);
        }
    }
}

pub(in super::super) fn a_renewed_lease_ends_at_its_new_end<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "`renew` moves the end of the lease on: until exactly then the key is its owner's";
    let key = subject.claimable("renewed");
    let mut held = key.held(NOW);
    let mut now = NOW;
    for on in [TICK, SECOND, 3 * LEASE] {
        let expires_at = held.expires_at.saturating_add(on);
        key.expect(&key.renew(held.owner, expires_at, now), &LeaseStatus::Owned, rule);
        let old = std::mem::replace(&mut held.expires_at, expires_at);
        key.refused(&Record::InProgress(held.clone()), now, rule);
        now = old;
        if old < expires_at {
            key.refused(&Record::InProgress(held.clone()), old, rule);
        }
    }
    key.refused(&Record::InProgress(held.clone()), held.expires_at.saturating_sub(TICK), rule);
    key.granted(&key.asking(held.expires_at.saturating_add(LEASE)), held.expires_at, rule);
}

pub(in super::super) fn a_lease_never_moves_back<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "`renew` never moves the end of a lease back, and answers its owner all the same";
    let key = subject.claimable("not shortened");
    let held = key.held(NOW);
    let record = Record::InProgress(held.clone());
    let earlier = [
        held.expires_at,
        held.expires_at.saturating_sub(TICK),
        NOW,
        NOW.saturating_sub(LEASE),
        Timestamp::EPOCH,
    ];
    for expires_at in earlier {
        key.expect(&key.renew(held.owner, expires_at, NOW), &LeaseStatus::Owned, rule);
        key.refused(&record, NOW, rule);
    }
    key.refused(&record, held.expires_at.saturating_sub(TICK), rule);
    key.granted(&key.asking(held.expires_at.saturating_add(LEASE)), held.expires_at, rule);
}

pub(in super::super) fn a_renewed_claim_expires_later<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "`renew` moves the record's expiry on with the lease";
    let [finishes, expires] = ["finishes", "expires"].map(|key| subject.claimable(key));
    let [to_finish, to_expire] = [&finishes, &expires].map(|key| {
        let mut held = key.held(NOW);
        let expires_at = held.expires_at.saturating_add(2 * LAPSED_CLAIM_TTL);
        key.expect(&key.renew(held.owner, expires_at, NOW), &LeaseStatus::Owned, rule);
        held.expires_at = expires_at;
        held
    });
    let before = expired_at(lapsed_claim_expires(NOW.saturating_add(LEASE)));
    for (key, held) in [(&finishes, &to_finish), (&expires, &to_expire)] {
        key.refused(&Record::InProgress(held.clone()), before, rule);
    }
    finishes.finished(&to_finish, &completion(to_finish.owner, "\"long\""), before.saturating_add(SECOND));
    let expired = expired_at(lapsed_claim_expires(to_expire.expires_at));
    let last = Record::InProgress(to_expire);
    expires.expect_record(Some(&last), expired.saturating_sub(TICK), rule);
    expires.expect_record(None, expired, rule);
}
