//! Rules 7 to 11: one owner at a time, until it has finished.

pub(super) mod acquire;
pub(super) mod clock_skew;
pub(super) mod concurrency;
pub(super) mod expiry;
pub(super) mod fencing;
mod freed;
pub(super) mod identity;
pub(super) mod lost_responses;
pub(super) mod model;
mod probe;
pub(super) mod release;
pub(super) mod removal;
pub(super) mod results;
pub(super) mod retries;
pub(super) mod timestamps;

use super::Harness;
use super::subject::Subject;
use super::times::NOW;
use crate::BackendError;
use probe::{LEASE, completion};

/// Returns whether the backend has claims. The checks of claims pass for a backend without claims.
///
/// [`skips`](super::skips) returns everything that is skipped. A backend with claims asserts one or
/// the other in a test, so that those checks cannot pass without testing anything:
///
/// ```
/// use limited_core::conformance::{Harness, has_claims};
///
/// fn claims_are_checked(harness: &impl Harness) {
///     assert!(has_claims(harness));
/// }
/// ```
pub fn has_claims<H: Harness>(harness: &H) -> bool {
    Subject::new(harness, "has_claims").has_claims()
}

pub(super) fn claims_are_supported_completely_or_not_at_all<H: Harness>(subject: &Subject<'_, H>) {
    let key = subject.key("any");
    let request = key.new_request(NOW.saturating_add(LEASE));
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
        "a backend with claims has all operations of claims\n  but these are `Unsupported`: {missing:?}"
    );
}
