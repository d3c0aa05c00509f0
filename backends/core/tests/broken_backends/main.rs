//! The conformance suite catches broken backends. Each backend here has one defect, which some
//! published limiter had or might have, and fails the checks that are named for that defect.

mod counters_alone;
mod defects;
mod partial_fast_path;
mod reference;
mod simple_backends;

use std::sync::Arc;
use std::time::Duration;

use counters_alone::{CountersAlone, PendingOnce};
use defects::{DEFECTS, Defect};
use limited_core::Backend;
use limited_core::conformance::{
    CHECKS, Failures, Harness, PollOnce, Report, Skip, checks, has_claims, run, skips,
};
use reference::{Reference, ReferenceHarness};

fn run_with_defect(defect: Defect) -> Result<Report, Failures> {
    run(&ReferenceHarness { defect: Some(defect), ..ReferenceHarness::default() })
}

#[test]
fn backend_that_keeps_the_contract_passes() {
    run(&ReferenceHarness::default()).unwrap();
}

#[test]
fn backend_that_prefers_its_fast_path_passes() {
    run(&ReferenceHarness { prefers_fast_path: true, ..ReferenceHarness::default() }).unwrap();
}

#[test]
fn backend_that_removes_expired_state_passes_every_check() {
    let harness = ReferenceHarness { forgets: true, ..ReferenceHarness::default() };
    let report = run(&harness).unwrap();
    assert_eq!(report.skipped().next(), None);
    assert_eq!(report.to_string(), format!("the backend passed {} conformance checks", CHECKS.len()));
    assert!(skips(&harness).is_empty());
    assert!(skips(&PollOnce(harness)).is_empty());
}

#[test]
fn report_says_what_was_skipped_and_why() {
    let report = run(&CountersAlone::default).unwrap();
    let skipped = |skip: Skip| report.skipped().filter(move |skipped| skipped.skip == skip).count();
    let of_claims = skipped(Skip::Claims);
    let claims = report.skipped().find(|skipped| skipped.skip == Skip::Claims).unwrap();
    assert_eq!(claims.check, "free_key_is_acquired");
    assert!(of_claims > 40, "{of_claims}");
    assert_eq!(skipped(Skip::LostResponses), 5);
    assert_eq!(skipped(Skip::Removal), 1);
    assert_eq!(skipped(Skip::ClockSkew), 0);
    // Whatever else was skipped, each check is listed once.
    assert_eq!(report.skipped().count(), CHECKS.len());
    let text = report.to_string();
    for line in [
        format!("\n{of_claims} skipped: the backend has no claims"),
        "\n5 skipped: the harness cannot lose a response".to_owned(),
        "\n1 skipped: the harness does not report the stored entries".to_owned(),
        " run through `increment` alone: the backend has no fast path".to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is missing in {text}");
    }
    let expected =
        [Skip::Claims, Skip::LostResponses, Skip::Removal, Skip::FastPath, Skip::Refunds, Skip::SeveralHits]
            .into();
    assert_eq!(skips(&CountersAlone::default), expected);
}

#[test]
fn failures_say_what_was_skipped_too() {
    let failures = run_with_defect(Defect::SlidesAnyWindow).unwrap_err();
    assert_eq!(failures.skipped().map(|skipped| skipped.skip).collect::<Vec<_>>(), [Skip::Removal; 2]);
    assert!(failures.to_string().contains("2 skipped: the harness does not report"), "{failures}");
}

#[test]
fn zero_clock_skew_is_reported() {
    struct WithoutSkew;
    impl Harness for WithoutSkew {
        type Backend = Reference;
        fn backend(&self) -> Reference {
            Reference::default()
        }
        fn max_clock_skew(&self) -> Duration {
            Duration::ZERO
        }
    }
    assert!(skips(&WithoutSkew).contains(&Skip::ClockSkew));
    assert_eq!(checks::clock_jump_back_finds_finished_records(&WithoutSkew), Some(Skip::ClockSkew));
    assert_eq!(checks::late_hit_in_the_previous_window_is_weighted(&WithoutSkew), Some(Skip::ClockSkew));
    assert_eq!(checks::free_key_is_acquired(&WithoutSkew), None);
}

#[test]
fn asking_what_is_skipped_leaves_no_response_to_lose() {
    let shared = Arc::new(Reference::default());
    struct Shared(Arc<Reference>);
    impl Harness for Shared {
        type Backend = Arc<Reference>;
        fn backend(&self) -> Arc<Reference> {
            Arc::clone(&self.0)
        }
        fn lose_next_response(&self, backend: &Arc<Reference>) -> bool {
            ReferenceHarness::default().lose_next_response(backend)
        }
    }
    assert!(!skips(&Shared(Arc::clone(&shared))).contains(&Skip::LostResponses));
    assert!(!shared.loses_next_response());
}

#[test]
fn backend_that_forgets_as_early_as_allowed_passes() {
    run(&Reference::forgetting_as_early_as_allowed).unwrap();
}

#[test]
fn checks_that_share_one_backend_pass() {
    let shared = Arc::new(Reference::default());
    run(&|| Arc::clone(&shared)).unwrap();
}

#[test]
fn backend_behind_a_trait_object_passes() {
    run(&|| -> Arc<dyn Backend> { Arc::new(Reference::default()) }).unwrap();
}

#[test]
fn immediate_backend_passes_if_it_is_polled_once() {
    run(&PollOnce(ReferenceHarness::default())).unwrap();
}

#[test]
fn every_check_catches_a_pending_immediate_backend() {
    run(&PendingOnce::default).unwrap();
    let failures = run(&PollOnce(PendingOnce::default)).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(failed, CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
    for failure in failures.iter() {
        assert!(failure.message.contains("pending at its first poll"), "{}", failure.message);
    }
}

#[test]
fn backend_of_counters_alone_passes_and_has_no_claims() {
    run(&CountersAlone::default).unwrap();
    assert!(!has_claims(&CountersAlone::default));
    assert!(has_claims(&Reference::default));
}

#[test]
fn failure_has_the_name_the_expected_and_the_actual_result() {
    let failures = run_with_defect(Defect::SlidesAnyWindow).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(failed, ["only_aligned_windows_slide"]);
    let failures = run_with_defect(Defect::ReadsCount).unwrap_err();
    let failure = failures.iter().find(|failure| failure.check == "get_changes_nothing").unwrap();
    for part in ["`get` reads", "expected CounterState", "but saw  CounterState", "get_changes_nothing"] {
        assert!(failure.message.contains(part), "{part:?} is missing in {}", failure.message);
        assert!(failures.to_string().contains(part), "{part:?} is missing in {failures}");
    }
}

#[test]
fn every_check_catches_a_broken_backend() {
    for check in CHECKS {
        let catches = DEFECTS.iter().any(|(_, by)| by.iter().any(|(name, _)| *name == check.name));
        assert!(catches, "no defect fails the check {}", check.name);
    }
}

/// One test for each check, created by the macro for other packages.
mod conformance {
    limited_core::conformance_tests!(super::ReferenceHarness::default(), skips: [Removal]);
}

/// The same with the simplest harness, a function. It reports on standard error what it skips.
mod conformance_by_function {
    limited_core::conformance_tests!(super::Reference::default);
}
