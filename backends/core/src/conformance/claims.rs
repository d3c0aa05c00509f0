//! Rules 7 to 11: one owner at a time, until it is done.
//!
//! A backend without claims passes these: each begins by asking whether there are any ([`has_claims`]).

pub(super) mod altogether;
pub(super) mod claim_identity;
pub(super) mod claim_times;
pub(super) mod clock_jumps;
pub(super) mod ending;
pub(super) mod fencing;
pub(super) mod granting;
pub(super) mod lapsing;
pub(super) mod lost_claims;
pub(super) mod outcomes;
mod probe;
pub(super) mod racing;
pub(super) mod repeating;
pub(super) mod wandering;

use super::Harness;
use super::subject::Subject;

/// Whether the backend has claims. The checks of claims pass for one that has none.
///
/// A backend that has them asserts it in a test, so that those checks cannot pass by holding nothing:
///
/// ```
/// use limited_core::conformance::{Harness, has_claims};
///
/// fn claims_are_checked(harness: &impl Harness) {
///     assert!(has_claims(harness));
/// }
/// ```
pub fn has_claims<H: Harness>(harness: &H) -> bool {
    Subject::of_each_path(harness, ["has_claims"; 2]).any(|subject| subject.has_claims())
}
