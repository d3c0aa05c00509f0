//! Backends that keep the contract, but do not offer everything.

use limited_core::conformance::{Harness, Skip, run, skips};
use limited_core::{
    Backend, BackendError, Counter, CounterState, Hit, Refund, Result, Timestamp, Window, WindowId,
    async_trait,
};

use crate::reference::{Reference, ReferenceHarness};

/// The reference with the default of `increment_all`, which counts one hit after the other.
#[derive(Debug, Default)]
struct InTurn {
    reference: Reference,
    /// Whether logs and spans are unsupported.
    lacks_windows: bool,
}

impl InTurn {
    fn check(&self, counter: &Counter<'_>) -> Result<()> {
        match counter.window() {
            Window::Log { .. } | Window::Span { .. } if self.lacks_windows => {
                Err(BackendError::unsupported("this kind of window"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for InTurn {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.check(counter)?;
        self.reference.increment(counter, hit, now).await
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        self.check(counter)?;
        self.reference.refund(counter, refund, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.check(counter)?;
        self.reference.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.reference.reset(counter, window, now).await
    }
}

/// Creates an [`InTurn`] that can lose responses.
struct InTurnHarness {
    lacks_windows: bool,
}

impl Harness for InTurnHarness {
    type Backend = InTurn;

    fn backend(&self) -> InTurn {
        InTurn { reference: Reference::default(), lacks_windows: self.lacks_windows }
    }

    fn lose_next_response(&self, backend: &InTurn) -> bool {
        ReferenceHarness::default().lose_next_response(&backend.reference)
    }
}

#[test]
fn backend_that_counts_several_hits_in_turn_passes() {
    let harness = InTurnHarness { lacks_windows: false };
    run(&harness).unwrap();
    assert_eq!(skips(&harness), [Skip::Claims, Skip::Removal, Skip::FastPath, Skip::AllAtOnce].into());
}

#[test]
fn backend_without_logs_and_spans_passes() {
    let harness = InTurnHarness { lacks_windows: true };
    let report = run(&harness).unwrap();
    let skipped = |skip: Skip| report.skipped().filter(|skipped| skipped.skip == skip).count();
    assert_eq!((skipped(Skip::Logs), skipped(Skip::Spans)), (8, 3));
    let expected = [Skip::Claims, Skip::Removal, Skip::FastPath, Skip::AllAtOnce, Skip::Logs, Skip::Spans];
    assert_eq!(skips(&harness), expected.into());
}

#[test]
fn backend_in_turn_does_not_pass_as_one_that_counts_all_at_once() {
    /// Says that it counts all at once.
    struct Overstated;
    impl Harness for Overstated {
        type Backend = InTurn;
        fn backend(&self) -> InTurn {
            InTurn::default()
        }
        fn increments_all_at_once(&self) -> bool {
            true
        }
    }
    let failures = run(&Overstated).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert!(failed.contains(&"hit_that_does_not_fit_leaves_all_uncounted"), "{failed:?}");
}
