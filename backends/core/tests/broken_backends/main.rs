//! The conformance suite catches what breaks the contract: each backend here is broken in one way, as some published
//! limiter was or might be, and fails in the checks that are there for it.

mod counters_alone;
mod defects;
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
fn a_backend_that_keeps_the_contract_passes() {
    run(&ReferenceHarness::default()).unwrap();
}

#[test]
fn a_backend_that_prefers_its_fast_path_passes() {
    run(&ReferenceHarness { prefers_fast_path: true, ..ReferenceHarness::default() }).unwrap();
}

#[test]
fn a_backend_that_forgets_as_early_as_it_may_passes() {
    run(&Reference::forgetting_as_early_as_it_may).unwrap();
}

#[test]
fn checks_that_share_one_backend_pass() {
    let shared = Arc::new(Reference::default());
    run(&|| Arc::clone(&shared)).unwrap();
}

#[test]
fn a_backend_behind_a_trait_object_passes() {
    run(&|| -> Arc<dyn Backend> { Arc::new(Reference::default()) }).unwrap();
}

#[test]
fn an_immediate_backend_passes_if_it_is_polled_once() {
    run(&PollOnce(ReferenceHarness::default())).unwrap();
}

#[test]
fn every_check_catches_an_immediate_backend_that_is_pending() {
    run(&PendingOnce::default).unwrap();
    let failures = run(&PollOnce(PendingOnce::default)).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(failed, CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
    for failure in failures.iter() {
        assert!(failure.message.contains("pending at its first poll"), "{}", failure.message);
    }
}

#[test]
fn a_backend_of_counters_alone_passes_and_says_that_no_claims_were_checked() {
    run(&CountersAlone::default).unwrap();
    assert!(!has_claims(&CountersAlone::default));
    assert!(has_claims(&Reference::default));
}

#[test]
fn what_failed_is_told_by_name_with_expected_and_seen() {
    let failures = run_with_defect(Defect::SlidesAnyWindow).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(failed, ["only_an_aligned_window_slides"]);
    let failures = run_with_defect(Defect::GetsCount).unwrap_err();
    let failure = failures.iter().find(|failure| failure.check == "a_get_counts_nothing").unwrap();
    for part in ["a `get` reads", "expected CounterState", "but saw  CounterState", "a_get_counts_nothing"] {
        assert!(failure.message.contains(part), "{part:?} is missing in {}", failure.message);
        assert!(failures.to_string().contains(part), "{part:?} is missing in {failures}");
    }
}

#[test]
fn every_check_catches_a_broken_backend() {
    for check in CHECKS {
        let catches = DEFECTS.iter().any(|(_, by)| by.iter().any(|(name, _)| *name == check.name));
        assert!(catches, "nothing shows that {} can fail", check.name);
    }
}

/// Each check as a test, by the macro that other packages use.
mod conformance {
    limited_core::conformance_tests!(super::ReferenceHarness::default());
}

/// The same by a function, as the simplest harness.
mod conformance_by_function {
    limited_core::conformance_tests!(super::Reference::default);
}
