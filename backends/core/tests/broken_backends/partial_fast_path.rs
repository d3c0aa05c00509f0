//! Backends whose fast path handles one kind of counter alone, and is broken.
//!
//! The checks run a second time if the fast path handles any kind, so they catch each of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limited_core::conformance::{Harness, checks};
use limited_core::{Backend, Counter, CounterState, Hit, Result, Timestamp, Window, WindowId, async_trait};

use crate::Defect;
use crate::reference::{Reference, ReferenceHarness};

/// A reference whose fast path ignores the ceiling, and handles only the counters that `handles`
/// selects.
struct PartialFastPath {
    reference: Reference,
    handles: fn(&Counter<'_>) -> bool,
}

#[async_trait]
impl Backend for PartialFastPath {
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        (self.handles)(counter).then(|| self.reference.try_increment(counter, hit, now)).flatten()
    }

    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.reference.increment(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.reference.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.reference.reset(counter, window, now).await
    }
}

/// Returns whether the checks of hits that do not fit catch the backend.
fn is_caught(handles: fn(&Counter<'_>) -> bool) -> bool {
    let reference =
        ReferenceHarness { defect: Some(Defect::FastPathIgnoresTheCeiling), ..Default::default() };
    let harness = || PartialFastPath { reference: reference.backend(), handles };
    catch_unwind(AssertUnwindSafe(|| {
        checks::refused_hit_changes_nothing(&harness);
        checks::sliding_hit_is_limited_by_the_weighted_previous_window(&harness);
    }))
    .is_err()
}

#[test]
fn fast_path_of_any_one_kind_is_checked() {
    assert!(is_caught(|counter| matches!(counter.window(), Window::Aligned { .. }) && !counter.is_sliding()));
    assert!(is_caught(|counter| matches!(counter.window(), Window::FromFirstHit { .. })));
    assert!(is_caught(|counter| matches!(counter.window(), Window::Bucket { .. })));
    assert!(is_caught(|counter| matches!(counter.window(), Window::Aligned { .. }) && counter.is_sliding()));
    assert!(!is_caught(|_| false));
}
