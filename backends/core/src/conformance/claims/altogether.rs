//! The operations of claims are there altogether, or not at all.

use super::probe::{LEASE, completion};
use crate::BackendError;
use crate::conformance::Harness;
use crate::conformance::subject::{NOW, Subject};

pub(in super::super) fn claims_are_there_altogether_or_not_at_all<H: Harness>(subject: &Subject<'_, H>) {
    let key = subject.claimable("any");
    let request = key.asking(NOW.saturating_add(LEASE));
    let done = completion(request.owner, "1");
    let unsupported = |error: Option<BackendError>| matches!(error, Some(BackendError::Unsupported(_)));
    let operations = [
        ("find", unsupported(key.try_find(NOW).err())),
        ("claim", unsupported(key.try_claim(&request, NOW).err())),
        ("renew", unsupported(key.try_renew(request.owner, request.expires_at, NOW).err())),
        ("finish", unsupported(key.try_finish(&done, NOW).err())),
        ("release", unsupported(key.try_release(request.owner, NOW).err())),
        ("forget", unsupported(key.try_forget(NOW).err())),
    ];
    let missing: Vec<_> = operations.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    assert!(
        missing.is_empty() || missing.len() == operations.len(),
        "a backend that has claims has all operations of them\n  but `Unsupported` are {missing:?}"
    );
}
