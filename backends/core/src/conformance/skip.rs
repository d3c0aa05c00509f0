//! What the suite skips, because the backend or the harness does not offer it.

use std::collections::BTreeSet;
use std::fmt;

use super::Harness;
use super::subject::Subject;
use super::times::NOW;
use crate::{Window, WindowLength};

/// Why a check tested less than it could. A skipped check passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// The backend has no claims. The checks of claims test nothing.
    Claims,
    /// The harness cannot [lose a response](Harness::lose_next_response). The checks of lost
    /// responses test nothing.
    LostResponses,
    /// The [maximum clock skew](Harness::max_clock_skew) is zero. Some checks of clocks that jump
    /// back test nothing.
    ClockSkew,
    /// The harness does not report the [stored entries](Harness::stored_entries). The checks of
    /// removal test nothing.
    Removal,
    /// The backend has no fast path, [`try_increment`](crate::Backend::try_increment). The checks
    /// of counters run once, through `increment`, and not a second time.
    FastPath,
}

impl Skip {
    pub(super) const ALL: [Self; 5] =
        [Self::Claims, Self::LostResponses, Self::ClockSkew, Self::Removal, Self::FastPath];
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claims => "the backend has no claims",
            Self::LostResponses => "the harness cannot lose a response (`Harness::lose_next_response`)",
            Self::ClockSkew => "the maximum clock skew is zero (`Harness::max_clock_skew`)",
            Self::Removal => "the harness does not report the stored entries (`Harness::stored_entries`)",
            Self::FastPath => "the backend has no fast path (`Backend::try_increment`)",
        })
    }
}

/// Returns everything that the suite skips for this backend. Runs no check.
///
/// The macro [`conformance_tests!`](crate::conformance_tests) compares it with the argument
/// `skips`.
///
/// ```
/// use limited_core::conformance::{Harness, Skip, skips};
///
/// fn claims_are_checked(harness: &impl Harness) {
///     assert!(!skips(harness).contains(&Skip::Claims));
/// }
/// ```
pub fn skips<H: Harness>(harness: &H) -> BTreeSet<Skip> {
    let subject = Subject::new(harness, "what is skipped");
    let is_skipped = |skip: &Skip| match skip {
        Skip::Claims => !subject.has_claims(),
        Skip::LostResponses => !loses_a_response(&subject),
        Skip::ClockSkew => harness.max_clock_skew().is_zero(),
        Skip::Removal => harness.stored_entries(&subject.backend).is_none(),
        Skip::FastPath => !subject.has_fast_path(),
    };
    Skip::ALL.into_iter().filter(is_skipped).collect()
}

/// Loses the response of a hit, so that no later write loses it.
fn loses_a_response<H: Harness>(subject: &Subject<'_, H>) -> bool {
    let counter = subject.counter(Window::aligned(NOW, WindowLength::MINUTE), "lost");
    let loses = subject.harness.lose_next_response(&subject.backend);
    if loses {
        let _ = counter.increment_by_future(&counter.new_hit(1, 5, NOW), NOW);
    }
    loses
}
