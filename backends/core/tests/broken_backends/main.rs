//! The conformance suite catches what breaks the contract: each backend here is broken in one way, as some published
//! limiter was or might be, and fails in the checks that are there for it.

mod reference;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use limited_core::DynBackend;
use limited_core::conformance::{CHECKS, Immediate, checks, run};
use reference::{Reference, WithDefect};

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

/// A check of the suite, by name.
type Check = (&'static str, fn(&WithDefect));

macro_rules! defects {
    ($($(#[$what:meta])+ $defect:ident, $is_caught:ident: $($check:ident)+;)+) => {
        /// One way to break the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Defect {
            $($(#[$what])+ $defect,)+
        }

        /// Each defect, and the checks that are there for it.
        const DEFECTS: &[(Defect, &[Check])] =
            &[$((Defect::$defect, &[$((stringify!($check), checks::$check)),+])),+];

        mod is_caught {
            use super::{Defect, assert_caught};

            $(#[test]
            fn $is_caught() {
                assert_caught(Defect::$defect);
            })+
        }
    };
}

fn assert_caught(defect: Defect) {
    let by = DEFECTS.iter().filter(|(known, _)| *known == defect).flat_map(|(_, checks)| *checks);
    for (name, check) in by {
        let passed = catch_unwind(AssertUnwindSafe(|| check(&WithDefect(Some(defect))))).is_ok();
        assert!(!passed, "{name} lets {defect:?} pass");
    }
}

defects! {
    /// Windows start and end by the system's time.
    HasAClockOfItsOwn, has_a_clock_of_its_own:
        a_backend_has_no_clock_of_its_own
        an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end;
    /// Time before the window's start finds no window, and opens another.
    ForgetsWhenTimeGoesBack, forgets_when_time_goes_back:
        a_clock_that_jumps_back_finds_every_counter_as_full
        a_clock_that_jumps_back_past_a_new_window_admits_nothing_extra
        a_wandering_clock_keeps_an_opened_window_until_its_end;
    /// The age of a window is computed without looking whether it is negative.
    PanicsWhenTimeGoesBack, panics_when_time_goes_back:
        a_clock_that_jumps_back_finds_every_counter_as_full;
    /// A bucket that seems to be too far ahead of the time is taken for broken, and filled.
    RefillsWhenTimeGoesBack, refills_when_time_goes_back:
        a_clock_that_jumps_back_finds_every_counter_as_full
        a_wandering_clock_refills_no_bucket;
    /// The window of another time replaces the one that is there.
    KeepsOneWindowOfAKey, keeps_one_window_of_a_key:
        a_clock_that_jumps_back_past_a_new_window_admits_nothing_extra
        an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end
        a_wandering_clock_fills_each_aligned_window_once
        aligned_windows_are_apart_where_they_meet;
    /// A hit on any key sweeps every window that has ended.
    ForgetsAtTheEnd, forgets_at_the_end:
        an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end;
    /// What was forgotten is taken for what never was.
    CountsWhatItForgot, counts_what_it_forgot:
        a_wandering_clock_fills_each_aligned_window_once;
    /// To read an opened window that has ended is to delete it.
    DeletesWhatItReadsAsExpired, deletes_what_it_reads_as_expired:
        an_opened_window_stays_known_for_one_length_and_the_skew_past_its_end;
    /// A hit on any key sweeps every bucket that is full again.
    ForgetsBucketsThatAreFull, forgets_buckets_that_are_full:
        a_bucket_stays_known_for_the_skew_past_its_refill;

    /// What is still stored is live.
    ReadsExpiredAsLive, reads_expired_as_live:
        an_opened_window_ends_one_length_after_its_first_hit
        a_window_long_past_reads_as_absent;
    /// `now > end` instead of `now >= end`.
    EndsATickLate, ends_a_tick_late:
        an_opened_window_ends_one_length_after_its_first_hit
        windows_last_from_a_millisecond_to_a_century;
    /// Times are stored in milliseconds.
    KnowsOnlyMilliseconds, knows_only_milliseconds:
        an_opened_window_ends_one_length_after_its_first_hit;
    /// Every hit puts the end off, as an expiry set anew with every write does.
    MovesTheStart, moves_the_start:
        an_opened_window_ends_one_length_after_its_first_hit
        only_the_first_hit_names_a_window;
    /// The note and generation of a window that has ended stay with the one after it.
    KeepsTheOldOpening, keeps_the_old_opening:
        an_opened_window_ends_one_length_after_its_first_hit;
    /// A bucket counts from what is stored, however long ago.
    IgnoresTheFloor, ignores_the_floor:
        a_bucket_counts_from_its_floor_once_that_has_passed_its_value
        every_hit_counts_as_its_bounds_say;
    /// A bucket's value is rounded to a whole nanosecond.
    CountsWholeNanoseconds, counts_whole_nanoseconds:
        a_bucket_counts_from_its_floor_once_that_has_passed_its_value
        large_values_are_exact;

    /// `namespace:key`, without escaping.
    JoinsNamespaceAndKey, joins_namespace_and_key:
        namespace_and_key_are_apart;
    /// The store compares text without case.
    FoldsCase, folds_case:
        keys_are_told_apart_byte_by_byte;
    /// The store trims text.
    TrimsKeys, trims_keys:
        keys_are_told_apart_byte_by_byte;
    /// The store keeps the first 255 characters.
    CutsKeys, cuts_keys:
        keys_are_told_apart_byte_by_byte;
    /// Only the length tells windows apart.
    TakesKindsForOne, takes_kinds_for_one:
        kinds_of_window_are_apart;
    /// `id#start`: the minute and the hour that start together are one.
    TakesLengthsForOne, takes_lengths_for_one:
        lengths_of_window_are_apart
        buckets_of_different_quotas_are_apart
        a_reset_leaves_every_other_counter;
    /// What a key was composed of is part of its identity.
    TakesComposedKeysForOthers, takes_composed_keys_for_others:
        equal_counters_are_one;
    /// Buckets of different limits, and so of different units, are one.
    TakesQuotasForOne, takes_quotas_for_one:
        buckets_of_different_quotas_are_apart;

    /// The sum wraps, and an enormous cost is admitted.
    WrapsAround, wraps_around:
        no_cost_or_floor_wraps_or_is_cut_off;
    /// The sum stops at the last number, which a ceiling may be.
    Saturates, saturates:
        no_cost_or_floor_wraps_or_is_cut_off;
    /// A cost of 2⁶⁴ + 1 is 1.
    CutsCostsTo64Bits, cuts_costs_to_64_bits:
        no_cost_or_floor_wraps_or_is_cut_off
        large_values_are_exact;
    /// Values are kept as `f64`.
    CountsInFloatingPoint, counts_in_floating_point:
        large_values_are_exact;
    /// `start + length` stops at the last timestamp, at which every window has ended.
    SaturatesTheEnd, saturates_the_end:
        the_first_and_the_last_moment_count_like_any_other;
    /// A limit of zero is no limit.
    TakesZeroForNoLimit, takes_zero_for_no_limit:
        a_zero_ceiling_admits_nothing;
    /// `value < ceiling` admits any cost.
    IgnoresTheCostInTheCheck, ignores_the_cost_in_the_check:
        a_hit_counts_up_to_exactly_its_ceiling
        every_hit_counts_as_its_bounds_say
        a_refused_hit_changes_nothing;
    /// `<` for `<=`.
    StopsOneBelowTheCeiling, stops_one_below_the_ceiling:
        a_hit_counts_up_to_exactly_its_ceiling;

    /// Add first, refuse later: who keeps asking starves.
    CountsRefusedHits, counts_refused_hits:
        a_refused_hit_changes_nothing
        a_refused_hit_leaves_an_absent_counter_absent;
    /// A cost over the whole limit takes the counter with it.
    WipesOnACostOverTheLimit, wipes_on_a_cost_over_the_limit:
        a_refused_hit_changes_nothing
        no_cost_or_floor_wraps_or_is_cut_off;
    /// A refused hit starts the window.
    OpensWindowsForRefusedHits, opens_windows_for_refused_hits:
        a_refused_hit_leaves_an_absent_counter_absent
        only_the_first_hit_names_a_window;
    /// A refusal says no more than no.
    RefusesWithoutTheValue, refuses_without_the_value:
        a_refusal_answers_with_the_state;
    /// A refusal forgets to tell who opened the window.
    RefusesWithoutTheOpening, refuses_without_the_opening:
        a_refusal_answers_with_the_state
        only_the_first_hit_names_a_window;
    /// The last hit's note is kept.
    OverwritesTheNote, overwrites_the_note:
        only_the_first_hit_names_a_window;
    /// The last hit's generation is kept.
    OverwritesTheGeneration, overwrites_the_generation:
        only_the_first_hit_names_a_window
        a_reset_of_a_generation_leaves_every_other;
    /// An empty note is none.
    TakesEmptyNotesForNone, takes_empty_notes_for_none:
        only_the_first_hit_names_a_window;
    /// The first hit's start is missing.
    TellsNoStartOfOpenedWindows, tells_no_start_of_opened_windows:
        an_opened_window_ends_one_length_after_its_first_hit
        only_the_first_hit_names_a_window;
    /// An aligned window's start is missing.
    TellsNoStartOfAlignedWindows, tells_no_start_of_aligned_windows:
        a_refusal_answers_with_the_state
        a_get_counts_nothing;

    /// A repeated write is another write.
    CountsLostAnswersTwice, counts_lost_answers_twice:
        a_hit_whose_answer_was_lost_counts_once
        a_hit_that_filled_the_counter_knows_it_was_counted
        a_sliding_hit_whose_answer_was_lost_counts_once
        answers_lost_under_load_count_once;
    /// An answer that did not come is an error that no caller can act on.
    TakesALostAnswerForAFailure, takes_a_lost_answer_for_a_failure:
        a_hit_whose_answer_was_lost_counts_once
        a_reset_whose_answer_was_lost_is_one_reset;
    /// `Throttled` says that nothing was counted.
    TakesALostAnswerForThrottling, takes_a_lost_answer_for_throttling:
        a_hit_whose_answer_was_lost_counts_once;

    /// To read is to count.
    GetsCount, gets_count:
        a_get_counts_nothing;
    /// Nothing is forgotten.
    NeverResets, never_resets:
        a_reset_forgets_the_counter
        a_reset_whose_answer_was_lost_is_one_reset;
    /// Whoever holds an old generation takes the new one away.
    ResetsAnyGeneration, resets_any_generation:
        a_reset_of_a_generation_leaves_every_other;
    /// A key's windows are forgotten together.
    ResetsEveryWindowOfTheKey, resets_every_window_of_the_key:
        a_reset_leaves_every_other_counter;
    /// To forget what is not there is an error.
    CannotResetWhatIsAbsent, cannot_reset_what_is_absent:
        a_reset_forgets_the_counter;

    /// Look first, add later: parallel calls all pass.
    ChecksThenAdds, checks_then_adds:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_of_mixed_costs_fill_up_to_the_limit
        parallel_sliding_hits_admit_exactly_what_is_left
        a_reset_among_parallel_hits_leaves_a_whole_counter;
    /// Read, add, write: the last one to write wins.
    LosesUpdates, loses_updates:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_on_many_keys_fill_each;
    /// The window that ended is removed first, and with it whatever others counted since.
    RollsOverInTwoSteps, rolls_over_in_two_steps:
        a_window_that_ended_is_rolled_over_in_one_step;

    /// Who finds another at work takes that for a refusal.
    RefusesUnderContention, refuses_under_contention:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_on_many_keys_fill_each;

    /// The window before is told, and does not weigh.
    WeighsNothing, weighs_nothing:
        a_sliding_hit_weighs_the_window_before
        the_window_before_fades_to_the_nanosecond;
    /// A share of 59.99 is 59.
    RoundsTheShareDown, rounds_the_share_down:
        a_sliding_hit_weighs_the_window_before
        the_window_before_fades_to_the_nanosecond
        parallel_sliding_hits_admit_exactly_what_is_left;
    /// `previous · weight + current < limit` admits any cost.
    IgnoresTheCostOfSlidingHits, ignores_the_cost_of_sliding_hits:
        a_sliding_hit_weighs_the_window_before
        a_sliding_answer_tells_both_windows;
    /// The product of a large count and a long window wraps.
    WeighsIn64Bits, weighs_in_64_bits:
        a_share_of_any_size_neither_wraps_nor_admits;
    /// A sliding limiter and a fixed one of the same window count apart.
    SlidesInACounterOfItsOwn, slides_in_a_counter_of_its_own:
        sliding_and_fixed_windows_share_their_counter;
    /// The window before is weighed, and not told.
    TellsNoPrevious, tells_no_previous:
        a_sliding_answer_tells_both_windows;
    /// What the window before held is read once, and never again.
    TakesTheWindowBeforeForSettled, takes_the_window_before_for_settled:
        a_late_hit_in_the_window_before_weighs;
    /// A window without another before it slides as if that were empty.
    SlidesAnyWindow, slides_any_window:
        only_an_aligned_window_slides;
}
