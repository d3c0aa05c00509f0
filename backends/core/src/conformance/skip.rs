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
    /// The backend has no [`refund`](crate::Backend::refund). The checks of refunds test nothing.
    Refunds,
    /// The backend counts no several hits [all or none](crate::Backend::increment_all), since the
    /// default needs `refund`. The checks of several hits test nothing.
    SeveralHits,
    /// The harness does not report that several hits are
    /// [one atomic step](Harness::increments_all_at_once). What other callers may see in between is
    /// not tested.
    AllAtOnce,
    /// The backend has no [logs](Window::Log). Their checks test nothing.
    Logs,
    /// The backend has no [spans](Window::Span). Their checks test nothing.
    Spans,
}

impl Skip {
    pub(super) const ALL: [Self; 10] = [
        Self::Claims,
        Self::LostResponses,
        Self::ClockSkew,
        Self::Removal,
        Self::FastPath,
        Self::Refunds,
        Self::SeveralHits,
        Self::AllAtOnce,
        Self::Logs,
        Self::Spans,
    ];
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claims => "the backend has no claims",
            Self::LostResponses => "the harness cannot lose a response (`Harness::lose_next_response`)",
            Self::ClockSkew => "the maximum clock skew is zero (`Harness::max_clock_skew`)",
            Self::Removal => "the harness does not report the stored entries (`Harness::stored_entries`)",
            Self::FastPath => "the backend has no fast path (`Backend::try_increment`)",
            Self::Refunds => "the backend cannot refund (`Backend::refund`)",
            Self::SeveralHits => "the backend cannot count several hits (`Backend::increment_all`)",
            Self::AllAtOnce => "several hits are not one atomic step (`Harness::increments_all_at_once`)",
            Self::Logs => "the backend has no logs (`Window::Log`)",
            Self::Spans => "the backend has no spans (`Window::Span`)",
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
        Skip::AllAtOnce => subject.offers(Skip::SeveralHits) && !harness.increments_all_at_once(),
        Skip::Refunds | Skip::SeveralHits | Skip::Logs | Skip::Spans => !subject.offers(*skip),
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
