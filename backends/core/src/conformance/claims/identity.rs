//! Rule 3: claims with equal namespace, key and kind are the same claim; all others are distinct.

use super::probe::{ClaimProbe, LEASE, completion};
use crate::conformance::Harness;
use crate::conformance::identity::{long_keys, namespaces_and_keys, tricky_keys, tricky_namespaces};
use crate::conformance::kinds::each_kind;
use crate::conformance::subject::Subject;
use crate::conformance::times::NOW;
use crate::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, InProgress, Key, LeaseStatus, Owner, Record,
    Window, WindowLength,
};

pub(crate) fn different_claims_are_distinct<H: Harness>(subject: &Subject<'_, H>) {
    let own = subject.namespace;
    let kinds = |(namespace, key): (String, String)| {
        ClaimKind::ALL.map(|kind| subject.key_in(namespace.clone(), kind, key.clone()))
    };
    let keys = tricky_keys().map(String::from).chain(long_keys()).map(|key| (own.to_owned(), key));
    let namespaces = tricky_namespaces(own).map(|namespace| (namespace, String::from("key")));
    let all = namespaces_and_keys(own).into_iter().chain(keys).chain(namespaces);
    assert_distinct(&all.flat_map(kinds).collect::<Vec<_>>());
}

pub(crate) fn ending_a_claim_leaves_all_others<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 3: `finish`, `release` and `forget` leave claims of other keys, namespaces and kinds";
    for way in ["finished", "released", "forgotten"] {
        let own = subject.namespace;
        let names = [
            (own.to_owned(), ClaimKind::Idempotency, way.to_owned()),
            (own.to_owned(), ClaimKind::DoOnce, way.to_owned()),
            (format!("{own}+"), ClaimKind::Idempotency, way.to_owned()),
            (own.to_owned(), ClaimKind::Idempotency, format!("{way}+")),
        ];
        let keys = names.map(|(namespace, kind, key)| subject.key_in(namespace, kind, key));
        let held = keys.each_ref().map(|key| key.acquire(NOW));
        for ended in 0..keys.len() {
            let owner = held[ended].owner;
            match way {
                "finished" => drop(keys[ended].finish(&completion(owner, "1"), NOW)),
                "released" => drop(keys[ended].release(owner, NOW)),
                _ => keys[ended].forget(NOW),
            }
            for (key, held) in keys.iter().zip(&held).skip(ended + 1) {
                key.expect_held(held, NOW, rule);
            }
        }
    }
}

pub(crate) fn claims_and_counters_are_distinct<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 3: a claim and a counter of one namespace and key are distinct";
    for name in ["key", "IDEMPOTENCY", "DO_ONCE", "HTTP_REQUEST", "key#IDEMPOTENCY"] {
        for kind in ClaimKind::ALL {
            let key = subject.key_in(subject.namespace, kind, name);
            let held = key.acquire(NOW);
            let record = Record::InProgress(held.clone());
            for window in each_kind(NOW, WindowLength::MINUTE) {
                let counter = subject.counter(window, name);
                counter.reset(None, NOW);
                counter.expect(&counter.get(NOW), &counter.absent(), rule);
                let first = counter.first_hit(2, 5, NOW);
                key.expect_refused(&record, NOW, rule);
                key.expect(&key.renew(held.owner, held.expires_at, NOW), &LeaseStatus::Owned, rule);
                counter.expect(&counter.get(NOW), &counter.uncounted(&first, 0), rule);
                counter.reset(None, NOW);
                key.expect_record(Some(&record), NOW, rule);
            }
            let window = Window::aligned(NOW, WindowLength::MINUTE);
            let counter = subject.counter(window, name);
            let first = counter.first_hit(2, 5, NOW);
            key.forget(NOW);
            counter.expect(&counter.get(NOW), &counter.uncounted(&first, 0), rule);
            counter.reset(None, NOW);
        }
    }
}

pub(crate) fn equal_claims_are_the_same_claim<H: Harness>(subject: &Subject<'_, H>) {
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
        "rule 3: a composed key and the plain string that it renders are the same claim\n  \
         expected the first claim to acquire the key, and the second to be refused\n  but saw  {first:?}\n  \
         and      {second:?}"
    );
}

/// Claims each key for another owner. Fails the check unless each record has the owner of its key.
#[track_caller]
fn assert_distinct<H: Harness>(keys: &[ClaimProbe<'_, H>]) {
    let rule = "rule 3: claims of different keys, namespaces or kinds are distinct";
    let mut held = Vec::new();
    for key in keys {
        held.push(key.expect_acquired_unread(&key.new_request(NOW.saturating_add(LEASE)), NOW, rule));
    }
    for (key, held) in keys.iter().zip(held) {
        key.expect_record(Some(&Record::InProgress(held)), NOW, rule);
    }
}
