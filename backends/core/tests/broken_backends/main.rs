//! The conformance suite catches broken backends. Each backend here has one defect, which some
//! published limiter had or might have, and fails the checks that are named for that defect.

mod counters_alone;
mod defects;
mod partial_fast_path;
mod reference;

use std::sync::Arc;

use counters_alone::{CountersAlone, PendingOnce};
use defects::{DEFECTS, Defect};
use limited_core::Backend;
use limited_core::conformance::{CHECKS, Failures, PollOnce, has_claims, run};
use reference::{Reference, ReferenceHarness};

fn run_with_defect(defect: Defect) -> Result<(), Failures> {
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
    limited_core::conformance_tests!(super::ReferenceHarness::default());
}

/// The same with the simplest harness, a function.
mod conformance_by_function {
    limited_core::conformance_tests!(super::Reference::default);
}
