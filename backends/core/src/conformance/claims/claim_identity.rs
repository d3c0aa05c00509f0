//! Rule 3 for claims: those with equal namespace, key and kind are one; all others are apart.

use super::probe::{Claimable, LEASE, completion};
use crate::conformance::Harness;
use crate::conformance::identity::{long_keys, places, tricky_keys, tricky_namespaces};
use crate::conformance::subject::{NOW, Subject, each_kind};
use crate::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, InProgress, Key, LeaseStatus, Owner, Record,
    Window, WindowLength,
};

pub(in super::super) fn claims_on_different_keys_are_apart<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let own = subject.namespace;
    let kinds = |(namespace, key): (String, String)| {
        ClaimKind::ALL.map(|kind| subject.claimable_of(namespace.clone(), kind, key.clone()))
    };
    let keys = tricky_keys().map(String::from).chain(long_keys()).map(|key| (own.to_owned(), key));
    let namespaces = tricky_namespaces(own).map(|namespace| (namespace, String::from("key")));
    let all = places(own).into_iter().chain(keys).chain(namespaces);
    all_apart(&all.flat_map(kinds).collect::<Vec<_>>());
}

pub(in super::super) fn a_claim_that_ends_leaves_every_other<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule =
        "rule 3: to finish, give up or forget one claim leaves those of other keys, namespaces and kinds";
    for way in ["finished", "given up", "forgotten"] {
        let own = subject.namespace;
        let places = [
            (own.to_owned(), ClaimKind::Idempotency, way.to_owned()),
            (own.to_owned(), ClaimKind::DoOnce, way.to_owned()),
            (format!("{own}+"), ClaimKind::Idempotency, way.to_owned()),
            (own.to_owned(), ClaimKind::Idempotency, format!("{way}+")),
        ];
        let keys = places.map(|(namespace, kind, key)| subject.claimable_of(namespace, kind, key));
        let held = keys.each_ref().map(|key| key.held(NOW));
        for ended in 0..keys.len() {
            let owner = held[ended].owner;
            match way {
                "finished" => drop(keys[ended].finish(&completion(owner, "1"), NOW)),
                "given up" => drop(keys[ended].release(owner, NOW)),
                _ => keys[ended].forget(NOW),
            }
            for (key, held) in keys.iter().zip(&held).skip(ended + 1) {
                key.refused(&Record::InProgress(held.clone()), NOW, rule);
            }
        }
    }
}

pub(in super::super) fn claims_and_counters_do_not_meet<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let rule = "rule 3: a claim and a counter of one namespace and key do not meet";
    for name in ["key", "IDEMPOTENCY", "DO_ONCE", "key#IDEMPOTENCY"] {
        for kind in ClaimKind::ALL {
            let key = subject.claimable_of(subject.namespace, kind, name);
            let held = key.held(NOW);
            let record = Record::InProgress(held.clone());
            for window in each_kind(NOW, WindowLength::MINUTE) {
                let counter = subject.counter(window, name);
                counter.reset(None, NOW);
                counter.expect(&counter.get(NOW), &counter.absent(), rule);
                let first = counter.first_hit(2, 5, NOW);
                key.refused(&record, NOW, rule);
                key.expect(&key.renew(held.owner, held.expires_at, NOW), &LeaseStatus::Owned, rule);
                counter.expect(&counter.get(NOW), &counter.then(&first, false, 0), rule);
                counter.reset(None, NOW);
                key.expect_record(Some(&record), NOW, rule);
            }
            let window = Window::aligned(NOW, WindowLength::MINUTE);
            let counter = subject.counter(window, name);
            let first = counter.first_hit(2, 5, NOW);
            key.forget(NOW);
            counter.expect(&counter.get(NOW), &counter.then(&first, false, 0), rule);
            counter.reset(None, NOW);
        }
    }
}

pub(in super::super) fn equal_claims_are_one<H: Harness>(subject: &Subject<'_, H>) {
    if !subject.has_claims() {
        return;
    }
    let composed = Key::new().tenant("4").user("2").ip([192, 0, 2, 1]);
    let plain = Key::from(composed.as_str());
    let expires_at = NOW.saturating_add(LEASE);
    let [first, second] = [(&composed, Owner(1)), (&plain, Owner(2))].map(|(key, owner)| {
        let key = ClaimKey::new(subject.namespace, ClaimKind::DoOnce, key).expect("both keys are valid");
        subject.block_on(subject.backend.claim(&key, &ClaimRequest::new(owner, expires_at), NOW))
    });
    assert!(
        matches!(first, Ok(Acquisition::Acquired(_)))
            && matches!(
                second,
                Ok(Acquisition::Held(Record::InProgress(InProgress { owner: Owner(1), .. })))
            ),
        "rule 3: a composed key and the plain string that it renders are one claim, whatever is stored beside it\n  \
         expected the first to be granted, and the second to be refused by it\n  but saw  {first:?}\n  and      \
         {second:?}"
    );
}

/// Claims all of these, each for an owner of its own, so that each tells which claim it holds.
#[track_caller]
fn all_apart<H: Harness>(keys: &[Claimable<'_, H>]) {
    let rule = "rule 3: claims of different keys, namespaces or kinds are apart";
    let mut held = Vec::new();
    for key in keys {
        held.push(key.granted_unread(&key.asking(NOW.saturating_add(LEASE)), NOW, rule));
    }
    for (key, held) in keys.iter().zip(held) {
        key.expect_record(Some(&Record::InProgress(held)), NOW, rule);
    }
}
