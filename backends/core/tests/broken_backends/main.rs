//! The conformance suite catches what breaks the contract: each backend here is broken in one way, as some published
//! limiter was or might be, and fails in the checks that are there for it.

mod defects;
mod reference;

use std::sync::Arc;

use defects::{DEFECTS, Defect};
use limited_core::DynBackend;
use limited_core::conformance::{AtOnce, CHECKS, Immediate, has_claims, run};
use reference::{CountersAlone, Reference, WithDefect};

#[test]
fn a_backend_that_keeps_the_contract_passes() {
    run(&WithDefect(None)).unwrap();
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
    run(&|| -> Arc<dyn DynBackend> { Arc::new(Reference::default()) }).unwrap();
}

#[test]
fn immediate_operations_pass() {
    run(&|| Immediate(Reference::default())).unwrap();
}

#[test]
fn what_is_answered_at_once_passes_and_where_nothing_is_the_operation_is_waited_for() {
    run(&|| AtOnce(Immediate(Reference::default()))).unwrap();
    run(&|| AtOnce(Reference::default())).unwrap();
}

#[test]
fn a_backend_of_counters_alone_passes_and_says_that_no_claims_were_checked() {
    run(&CountersAlone::default).unwrap();
    assert!(!has_claims(&CountersAlone::default));
    assert!(has_claims(&Reference::default));
}

#[test]
fn what_failed_is_told_by_name_with_expected_and_seen() {
    let failures = run(&WithDefect(Some(Defect::SlidesAnyWindow))).unwrap_err();
    let failed: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(failed, ["only_an_aligned_window_slides"]);
    let failures = run(&WithDefect(Some(Defect::GetsCount))).unwrap_err();
    let failure = failures.iter().find(|failure| failure.check == "a_get_counts_nothing").unwrap();
    for part in ["a `get` reads", "expected Tally", "but saw  Tally", "a_get_counts_nothing"] {
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
    limited_core::conformance_tests!(super::WithDefect(None));
}

/// The same by a function, as the simplest harness.
mod conformance_by_function {
    limited_core::conformance_tests!(super::Reference::default);
}
