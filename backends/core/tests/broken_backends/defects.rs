//! Ways to break the contract, and the checks that are there for each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limited_core::conformance::checks;

use crate::reference::ReferenceHarness;

/// A check of the suite, by name.
pub(crate) type Check = (&'static str, fn(&ReferenceHarness));

macro_rules! defects {
    ($($(#[$what:meta])+ $defect:ident, $is_caught:ident: $($check:ident)+;)+) => {
        /// One way to break the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Defect {
            $($(#[$what])+ $defect,)+
        }

        /// Each defect, and the checks that are there for it.
        pub(crate) const DEFECTS: &[(Defect, &[Check])] =
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

/// Fails unless each of these checks fails for a backend with this defect, by `increment` and by the fast path.
fn assert_caught(defect: Defect) {
    let by = DEFECTS.iter().filter(|(known, _)| *known == defect).flat_map(|(_, checks)| *checks);
    for (name, check) in by {
        for prefers_fast_path in [false, true] {
            if prefers_fast_path && defect.is_of_the_fast_path() {
                // `increment` would have the defect too, and so agree with `try_increment`.
                continue;
            }
            let harness = ReferenceHarness { defect: Some(defect), prefers_fast_path };
            let passed = catch_unwind(AssertUnwindSafe(|| check(&harness))).is_ok();
            assert!(!passed, "{name} lets {defect:?} pass, {harness:?}");
        }
    }
}

impl Defect {
    const fn is_of_the_fast_path(self) -> bool {
        matches!(
            self,
            Self::CountsAndReturnsNone
                | Self::FastPathIgnoresTheCeiling
                | Self::FastPathIgnoresSliding
                | Self::FastPathOmitsTheMeta
        )
    }
}

defects! {
    /// Windows start and end by the system's time.
    HasAClockOfItsOwn, has_a_clock_of_its_own:
        a_backend_has_no_clock_of_its_own
        an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end
        claims_have_no_clock_of_their_own;
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
        an_opened_window_ends_one_length_after_its_first_hit
        a_lease_holds_to_the_nanosecond;
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
        namespace_and_key_are_apart
        claims_on_different_keys_are_apart;
    /// The store compares text without case.
    FoldsCase, folds_case:
        keys_are_told_apart_byte_by_byte
        claims_on_different_keys_are_apart;
    /// The store trims text.
    TrimsKeys, trims_keys:
        keys_are_told_apart_byte_by_byte
        claims_on_different_keys_are_apart;
    /// The store keeps the first 255 characters.
    CutsKeys, cuts_keys:
        keys_are_told_apart_byte_by_byte
        claims_on_different_keys_are_apart;
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
        equal_counters_are_one
        equal_claims_are_one;
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
        a_reset_whose_answer_was_lost_is_one_reset
        a_claim_whose_answer_was_lost_is_its_owners
        a_finish_whose_answer_was_lost_is_kept
        a_renewal_whose_answer_was_lost_is_the_owners
        a_key_given_up_with_a_lost_answer_is_free;
    /// `Throttled` says that nothing was counted.
    TakesALostAnswerForThrottling, takes_a_lost_answer_for_throttling:
        a_hit_whose_answer_was_lost_counts_once
        a_claim_whose_answer_was_lost_is_its_owners;

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

    /// A sliding counter is counted and read as a fixed one.
    IgnoresSliding, ignores_sliding:
        a_sliding_hit_weighs_the_window_before
        the_window_before_fades_to_the_nanosecond
        a_sliding_answer_tells_both_windows
        a_late_hit_in_the_window_before_weighs
        only_an_aligned_window_slides
        a_share_of_any_size_neither_wraps_nor_admits
        parallel_sliding_hits_admit_exactly_what_is_left;

    /// The fast path counts the hit, and returns `None`: `increment` counts it a second time.
    CountsAndReturnsNone, counts_and_returns_none:
        try_increment_agrees_with_increment;
    /// The fast path counts whatever it finds stored, without comparing it with the ceiling.
    FastPathIgnoresTheCeiling, fast_path_ignores_the_ceiling:
        try_increment_agrees_with_increment
        a_hit_counts_up_to_exactly_its_ceiling
        a_refused_hit_changes_nothing
        parallel_hits_admit_exactly_the_limit;
    /// The fast path counts a sliding counter as a fixed one.
    FastPathIgnoresSliding, fast_path_ignores_sliding:
        try_increment_agrees_with_increment
        a_sliding_hit_weighs_the_window_before
        a_sliding_answer_tells_both_windows;
    /// The fast path returns the value without the window's id and metadata.
    FastPathOmitsTheMeta, fast_path_omits_the_meta:
        try_increment_agrees_with_increment
        a_refusal_answers_with_the_state
        only_the_first_hit_names_a_window;

    /// All operations but one are there.
    LacksForget, lacks_forget:
        claims_are_there_altogether_or_not_at_all;

    /// A lease is for ever: after a crash the key is blocked until the record expires.
    NeverTakesOver, never_takes_over:
        a_free_key_is_granted
        a_lease_holds_to_the_nanosecond
        parallel_claims_grant_one;
    /// `now + 1 >= until` for `now >= until`.
    TakesOverATickEarly, takes_over_a_tick_early:
        a_lease_holds_to_the_nanosecond
        a_renewed_lease_ends_at_its_new_end;
    /// `now > until` for `now >= until`.
    TakesOverATickLate, takes_over_a_tick_late:
        a_lease_holds_to_the_nanosecond
        a_renewed_lease_ends_at_its_new_end;
    /// The end of a lease is kept in whole seconds.
    LeasesWholeSeconds, leases_whole_seconds:
        a_lease_holds_to_the_nanosecond;
    /// A number of the store holds half of an owner.
    KeepsOwnersIn64Bits, keeps_owners_in_64_bits:
        a_held_key_tells_who_holds_it;
    /// Who is refused cannot tell whether the request is the same.
    RefusesWithoutTheFingerprint, refuses_without_the_fingerprint:
        a_held_key_tells_who_holds_it;
    /// No fingerprint is one of zeros.
    RefusesWithAFingerprintOfZeros, refuses_with_a_fingerprint_of_zeros:
        a_held_key_tells_who_holds_it;
    /// Who is refused has to read again for the outcome.
    RefusesWithoutTheOutcome, refuses_without_the_outcome:
        a_finished_key_tells_its_outcome
        every_outcome_comes_back_as_it_was;
    /// The lease is compared without looking whether its owner has finished.
    TakesOverWhatIsFinished, takes_over_what_is_finished:
        a_finished_key_tells_its_outcome
        a_finished_record_without_expiry_stays;
    /// Who keeps asking keeps the key from becoming free.
    RefusedClaimsMoveTheLease, refused_claims_move_the_lease:
        a_refused_claim_changes_nothing;
    /// The fingerprint is written before the condition is looked at.
    RefusedClaimsLeaveTheirFingerprint, refused_claims_leave_their_fingerprint:
        a_refused_claim_changes_nothing;
    /// Who keeps asking keeps the outcome from expiring.
    RefusedClaimsPutOffTheExpiry, refused_claims_put_off_the_expiry:
        a_refused_claim_changes_nothing;
    /// `if_not_exists`: the fingerprint of the first claim stays.
    KeepsTheOldFingerprint, keeps_the_old_fingerprint:
        a_new_grant_has_nothing_of_the_old;
    /// The store takes no empty texts.
    RefusesEmptyDetails, refuses_empty_details:
        details_decide_nothing;

    /// An update without a condition: who is late writes over what a newer owner holds.
    FinishesForAnybody, finishes_for_anybody:
        only_its_owner_ends_a_claim
        a_stale_owner_ends_nothing;
    /// A delete without a condition: the holder of a lock frees another's.
    ReleasesForAnybody, releases_for_anybody:
        only_its_owner_ends_a_claim
        a_stale_owner_ends_nothing
        a_repeated_renewal_or_release_is_recognised;
    /// Whoever asks moves the lease on.
    RenewsForAnybody, renews_for_anybody:
        only_its_owner_ends_a_claim
        a_stale_owner_ends_nothing
        a_clock_that_jumps_back_finds_a_held_key_held;
    /// Owners that end alike are one.
    ComparesOwnersIn64Bits, compares_owners_in_64_bits:
        only_its_owner_ends_a_claim;
    /// Who has lost the key has to read again to learn to whom.
    LosesWithoutTheRecord, loses_without_the_record:
        only_its_owner_ends_a_claim
        a_stale_owner_ends_nothing;
    /// An update makes what it does not find.
    FinishesWhatIsNotThere, finishes_what_is_not_there:
        what_is_not_there_has_no_owner
        a_lapsed_claim_expires;
    /// Who has finished owns still.
    RenewsWhatIsFinished, renews_what_is_finished:
        what_is_finished_stays_finished;
    /// Who has finished gives it up, and it is done once more.
    ReleasesWhatIsFinished, releases_what_is_finished:
        what_is_finished_stays_finished;
    /// The key stays blocked until the lease ends.
    NeverReleases, never_releases:
        a_released_key_is_free
        a_free_key_is_granted
        a_key_given_up_with_a_lost_answer_is_free;
    /// A claim that arrives late gets the number that it had, which others may have passed on since.
    GrantsAgainWhatWasGivenUp, grants_again_what_was_given_up:
        who_gave_a_key_up_has_no_older_right_to_it;
    /// Nothing is removed.
    NeverForgets, never_forgets:
        a_forgotten_key_is_free;
    /// What somebody is at is not removed.
    ForgetsOnlyWhatIsFinished, forgets_only_what_is_finished:
        a_forgotten_key_is_free;
    /// To remove what is not there is an error.
    CannotForgetWhatIsAbsent, cannot_forget_what_is_absent:
        a_forgotten_key_is_free;

    /// Who is late has lost the key, also where nobody has taken it.
    LosesWhatHasLapsed, loses_what_has_lapsed:
        a_lapsed_claim_stays_its_owners
        a_finish_whose_answer_was_lost_is_kept;
    /// A lease that has ended is not told.
    FindsNothingThatHasLapsed, finds_nothing_that_has_lapsed:
        a_lapsed_claim_stays_its_owners;
    /// Records of claims that nobody finished never expire.
    KeepsLapsedClaimsForEver, keeps_lapsed_claims_for_ever:
        a_lapsed_claim_expires
        a_renewed_claim_expires_later;
    /// The record is gone with the lease, and its owner has lost it.
    ExpiresWithTheLease, expires_with_the_lease:
        a_lapsed_claim_stays_its_owners
        a_lapsed_claim_expires;
    /// The owner is told that it owns, and the lease ends as before.
    NeverRenews, never_renews:
        a_renewed_lease_ends_at_its_new_end;
    /// A renewal that was overtaken by a later one shortens the lease.
    MovesLeasesBack, moves_leases_back:
        a_lease_never_moves_back;
    /// The lease goes on past the expiry of its record.
    RenewsWithoutTheExpiry, renews_without_the_expiry:
        a_renewed_claim_expires_later;

    /// A result is parsed, and written in another way.
    WritesJsonAnew, writes_json_anew:
        every_outcome_comes_back_as_it_was;
    /// An empty text is no result.
    TakesEmptyTextsForNothing, takes_empty_texts_for_nothing:
        every_outcome_comes_back_as_it_was;
    /// Only one kind of result is kept.
    TakesErrorsForValues, takes_errors_for_values:
        every_outcome_comes_back_as_it_was;
    /// A status code of 0 is none.
    TakesZeroForNoStatusCode, takes_zero_for_no_status_code:
        every_outcome_comes_back_as_it_was;
    /// The time of the finish is kept in whole seconds.
    FinishesInWholeSeconds, finishes_in_whole_seconds:
        every_outcome_comes_back_as_it_was;
    /// The column holds 65,535 characters.
    CutsResults, cuts_results:
        large_outcomes_are_kept_or_said_not_to_be;
    /// The time of expiry is not rounded up to the second.
    ExpiresToTheNanosecond, expires_to_the_nanosecond:
        a_finished_record_expires_at_the_end_of_its_second;
    /// `<` for `<=`.
    ExpiresASecondLate, expires_a_second_late:
        a_finished_record_expires_at_the_end_of_its_second
        a_lapsed_claim_expires;
    /// A read takes what is still stored for live.
    FindsWhatHasExpired, finds_what_has_expired:
        a_finished_record_expires_at_the_end_of_its_second
        a_lapsed_claim_expires;
    /// A claim takes what is still stored for live.
    ClaimsAsIfNothingExpired, claims_as_if_nothing_expired:
        a_finished_record_expires_at_the_end_of_its_second
        a_free_key_is_granted;
    /// What is finished for ever expires as the unfinished claim would have.
    KeepsTheExpiryOfTheClaim, keeps_the_expiry_of_the_claim:
        a_finished_record_without_expiry_stays
        a_new_grant_has_nothing_of_the_old;

    /// Fences count from 1, and start over where nothing is there.
    StartsFencesOver, starts_fences_over:
        every_grant_has_a_higher_fence
        a_clock_that_jumps_back_lowers_no_fence;
    /// The fence is the time.
    FencesFromTheTimeAlone, fences_from_the_time_alone:
        every_grant_has_a_higher_fence
        a_clock_that_jumps_back_lowers_no_fence
        a_fence_outlives_its_record;
    /// To forget a key is to delete it, with its fence.
    ForgetsTheFenceToo, forgets_the_fence_too:
        every_grant_has_a_higher_fence
        a_clock_that_jumps_back_lowers_no_fence;
    /// What has expired is swept, though its fence is ahead of the time.
    SweepsFencesThatAreAhead, sweeps_fences_that_are_ahead:
        a_fence_outlives_its_record;

    /// Who repeats a claim is told that somebody else was faster: itself.
    RefusesItsOwnClaim, refuses_its_own_claim:
        a_repeated_claim_is_granted_again
        a_claim_whose_answer_was_lost_is_its_owners
        answers_lost_among_parallel_claims_grant_one
        parallel_repetitions_of_a_claim_are_one;
    /// Each repetition of a claim has a fence of its own.
    GrantsRepeatedClaimsAnew, grants_repeated_claims_anew:
        a_repeated_claim_is_granted_again
        a_repeated_claim_is_told_what_it_holds
        parallel_repetitions_of_a_claim_are_one;
    /// Who repeats a claim is promised a lease that nobody keeps.
    AnswersTheLeaseAskedFor, answers_the_lease_asked_for:
        a_repeated_claim_is_told_what_it_holds;
    /// `OR token = :t`: a claim that arrives late opens a finished record again.
    ReopensFinishedRecords, reopens_finished_records:
        a_late_claim_reopens_nothing;
    /// Who repeats a finish moves its time.
    FinishesTwice, finishes_twice:
        a_repeated_finish_changes_nothing;
    /// Who repeats a finish is told that it is done, as if by another.
    TakesItsOwnFinishForALoss, takes_its_own_finish_for_a_loss:
        a_repeated_finish_changes_nothing
        a_finish_whose_answer_was_lost_is_kept;
    /// `until < :new` in the condition: a repeated renewal has lost the claim.
    RenewsOnlyFurther, renews_only_further:
        a_repeated_renewal_or_release_is_recognised
        a_renewal_whose_answer_was_lost_is_the_owners
        a_lease_never_moves_back;
    /// A condition that fails for a repeated write is taken for the write's own doing.
    PresumesThatRepetitionsWereApplied, presumes_that_repetitions_were_applied:
        a_refusal_whose_answer_was_lost_is_a_refusal
        answers_lost_among_parallel_claims_grant_one;

    /// A claim that is younger than the time is taken for broken.
    FreesClaimsOfTheFuture, frees_claims_of_the_future:
        a_clock_that_jumps_back_finds_a_held_key_held
        claims_under_a_wandering_clock_have_one_owner;
    /// To read a record that has expired is to delete it.
    DeletesClaimsThatItReadsAsExpired, deletes_claims_that_it_reads_as_expired:
        a_clock_that_jumps_back_finds_a_finished_record
        a_clock_that_jumps_back_finds_a_lapsed_claim
        claims_under_a_wandering_clock_have_one_owner;
    /// A claim on any key sweeps every record that has expired.
    SweepsWhatHasExpired, sweeps_what_has_expired:
        a_clock_that_jumps_back_finds_a_finished_record
        a_clock_that_jumps_back_finds_a_lapsed_claim
        claims_under_a_wandering_clock_have_one_owner;

    /// The time 0 stands for none.
    TakesTheEpochForNoTime, takes_the_epoch_for_no_time:
        the_first_moment_claims_like_any_other;
    /// The last timestamp comes, and with it the end of every longer lease.
    SaturatesLeases, saturates_leases:
        the_last_moment_never_comes;

    /// What a key is claimed for is no part of its identity.
    TakesKindsOfClaimForOne, takes_kinds_of_claim_for_one:
        claims_on_different_keys_are_apart;
    /// A key's claims are forgotten together.
    ForgetsEveryClaimOfTheKey, forgets_every_claim_of_the_key:
        a_claim_that_ends_leaves_every_other;
    /// To forget a claim is to forget the key's counters.
    ForgetsCountersToo, forgets_counters_too:
        claims_and_counters_do_not_meet;
    /// To reset a counter is to forget the key's claims.
    ResetsClaimsToo, resets_claims_too:
        claims_and_counters_do_not_meet;

    /// Look first, claim later: parallel claims are all granted.
    ChecksThenClaims, checks_then_claims:
        parallel_claims_grant_one
        parallel_claims_on_many_keys_grant_one_each
        owners_in_a_row_never_overlap
        answers_lost_among_parallel_claims_grant_one;
    /// Look who owns first, write later: a late owner writes over the newer one.
    ChecksThenEnds, checks_then_ends:
        a_lapsed_claim_is_ended_or_taken_over;
}
