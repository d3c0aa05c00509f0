//! The defects, and the checks that have to catch each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limited_core::conformance::{Skip, checks};

use crate::reference::ReferenceHarness;

/// The name and the function of a check.
pub(crate) type Check = (&'static str, fn(&ReferenceHarness) -> Option<Skip>);

macro_rules! defects {
    ($($(#[$what:meta])+ $defect:ident, $is_caught:ident: $($check:ident)+;)+) => {
        /// One way to break the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Defect {
            $($(#[$what])+ $defect,)+
        }

        /// Each defect, and the checks that have to catch it.
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

/// Fails unless each check of this defect catches it, both in `increment` and in the fast path.
fn assert_caught(defect: Defect) {
    let checks = DEFECTS.iter().filter(|(known, _)| *known == defect).flat_map(|(_, checks)| *checks);
    for (name, check) in checks {
        for prefers_fast_path in [false, true] {
            if prefers_fast_path && defect.is_of_the_fast_path() {
                // `increment` would have the same defect, and would agree with `try_increment`.
                continue;
            }
            let harness = ReferenceHarness { defect: Some(defect), prefers_fast_path, forgets: false };
            let passed = catch_unwind(AssertUnwindSafe(|| check(&harness))).is_ok();
            assert!(!passed, "{name} does not catch {harness:?}");
        }
    }
}

impl Defect {
    const fn is_of_the_fast_path(self) -> bool {
        matches!(
            self,
            Self::FastPathCountsAndReturnsNone
                | Self::FastPathIgnoresTheCeiling
                | Self::FastPathIgnoresSliding
                | Self::FastPathOmitsTheMeta
                | Self::FastPathOfAllCountsAndReturnsNone
                | Self::FastPathOfAllReplacesTheStates
        )
    }
}

defects! {
    /// Windows start and end by the system time.
    UsesTheSystemTime, uses_the_system_time:
        time_is_the_argument_now
        aligned_window_is_retained_for_one_length_and_the_skew_after_its_end
        time_of_a_claim_is_the_argument_now;
    /// A time before the start of the window starts a new window.
    RestartsWhenTimeGoesBack, restarts_when_time_goes_back:
        clock_jump_back_keeps_full_counters_full
        clock_jump_back_before_a_newer_window_admits_no_extra_hits
        jumping_clock_keeps_a_window_from_first_hit_until_its_end;
    /// The age of a window is computed without handling a negative result.
    PanicsWhenTimeGoesBack, panics_when_time_goes_back:
        clock_jump_back_keeps_full_counters_full;
    /// A bucket that seems too far ahead of the time is treated as corrupt, and filled.
    RefillsWhenTimeGoesBack, refills_when_time_goes_back:
        clock_jump_back_keeps_full_counters_full
        jumping_clock_refills_no_bucket;
    /// A bucket that a clock wrote which is slightly ahead starts over.
    ToleratesNoSkewOfBuckets, tolerates_no_skew_of_buckets:
        bucket_of_a_clock_within_the_skew_keeps_its_value;
    /// The window of another time replaces the stored one.
    KeepsOneWindowPerKey, keeps_one_window_per_key:
        clock_jump_back_before_a_newer_window_admits_no_extra_hits
        aligned_window_is_retained_for_one_length_and_the_skew_after_its_end
        jumping_clock_fills_each_aligned_window_once
        adjacent_aligned_windows_count_separately;
    /// A hit on any key deletes every window that has ended.
    ForgetsWindowsAtTheirEnd, forgets_windows_at_their_end:
        aligned_window_is_retained_for_one_length_and_the_skew_after_its_end;
    /// A hit on any key deletes every window that no sliding counter weighs at that time.
    ForgetsWindowsWithoutAWeight, forgets_windows_without_a_weight:
        aligned_window_is_retained_for_one_length_and_the_skew_after_its_end
        clock_jump_back_within_the_skew_finds_both_windows_of_a_sliding_counter;
    /// A previous window is weighed until the latest time of any key has passed the window after
    /// it.
    WeighsByTheLatestTime, weighs_by_the_latest_time:
        clock_jump_back_within_the_skew_finds_both_windows_of_a_sliding_counter;
    /// A forgotten window is treated as one that never existed.
    CountsForgottenWindows, counts_forgotten_windows:
        jumping_clock_fills_each_aligned_window_once;
    /// A read of an ended window from the first hit deletes it.
    DeletesExpiredCountersOnRead, deletes_expired_counters_on_read:
        window_from_first_hit_is_retained_for_one_length_and_the_skew_after_its_end;
    /// A hit on any key deletes every bucket that is full again.
    ForgetsFullBuckets, forgets_full_buckets:
        bucket_is_retained_for_the_skew_after_it_is_full;

    /// Every stored counter is treated as live.
    ReadsExpiredAsLive, reads_expired_as_live:
        window_from_first_hit_ends_one_length_after_that_hit
        long_expired_counter_reads_as_absent
        ended_windows_among_several_are_absent;
    /// `now > end` instead of `now >= end`.
    EndsANanosecondLate, ends_a_nanosecond_late:
        window_from_first_hit_ends_one_length_after_that_hit
        windows_last_from_a_millisecond_to_a_century;
    /// Times are stored in milliseconds.
    StoresMilliseconds, stores_milliseconds:
        window_from_first_hit_ends_one_length_after_that_hit
        lease_ends_to_the_nanosecond;
    /// Every hit postpones the end, like an expiry that each write sets again.
    MovesTheStart, moves_the_start:
        window_from_first_hit_ends_one_length_after_that_hit
        only_the_first_hit_sets_start_id_and_metadata;
    /// The next window keeps the metadata and id of the ended one.
    KeepsTheOldMeta, keeps_the_old_meta:
        window_from_first_hit_ends_one_length_after_that_hit;
    /// Expired counters read as absent, and stay for ever.
    KeepsExpiredCounters, keeps_expired_counters:
        expired_counters_are_removed;
    /// Expired records of claims are not found, and stay for ever.
    KeepsExpiredClaims, keeps_expired_claims:
        expired_claims_are_removed;
    /// A bucket counts from the stored value, however old it is.
    IgnoresTheFloor, ignores_the_floor:
        bucket_counts_from_the_higher_of_floor_and_value
        floor_and_ceiling_bound_every_hit;
    /// The value of a bucket is rounded to a whole nanosecond.
    CountsWholeNanoseconds, counts_whole_nanoseconds:
        bucket_counts_from_the_higher_of_floor_and_value
        large_values_are_exact;

    /// `namespace:key`, without escaping.
    JoinsNamespaceAndKey, joins_namespace_and_key:
        namespace_and_key_are_separate
        different_claims_are_distinct;
    /// The store compares text case-insensitively.
    FoldsCase, folds_case:
        keys_and_namespaces_are_compared_byte_by_byte
        different_claims_are_distinct;
    /// The store trims text.
    TrimsKeys, trims_keys:
        keys_and_namespaces_are_compared_byte_by_byte
        different_claims_are_distinct;
    /// The store keeps the first 255 characters.
    TruncatesKeys, truncates_keys:
        keys_and_namespaces_are_compared_byte_by_byte
        different_claims_are_distinct;
    /// Only the length distinguishes windows.
    MergesWindowKinds, merges_window_kinds:
        kinds_of_window_are_distinct;
    /// `id#start`: the minute and the hour that start together are the same.
    MergesWindowLengths, merges_window_lengths:
        lengths_of_window_are_distinct
        reset_leaves_all_other_counters;
    /// The parts that a key was composed of are part of its identity.
    SeparatesComposedKeys, separates_composed_keys:
        equal_counters_are_the_same_counter
        equal_claims_are_the_same_claim;
    /// The limit is part of a bucket's identity, so that a changed limit is a full bucket.
    SeparatesLimits, separates_limits:
        buckets_of_different_limits_are_the_same_counter
        changed_limit_keeps_the_time_rounded_up;
    /// The value of a bucket is compared with the values of another limit as it is.
    KeepsTheUnitOfAnotherLimit, keeps_the_unit_of_another_limit:
        buckets_of_different_limits_are_the_same_counter
        changed_limit_keeps_the_time_rounded_up;
    /// A converted value is rounded down, so that each change gains a little.
    RoundsConvertedValuesDown, rounds_converted_values_down:
        changed_limit_keeps_the_time_rounded_up;
    /// A bucket without a quota counts by a limit of 1.
    AcceptsBucketsWithoutAQuota, accepts_buckets_without_a_quota:
        bucket_without_a_quota_is_invalid;
    /// A window from the first hit stays until its end, however far ahead it is.
    KeepsWindowsOfAWrongClock, keeps_windows_of_a_wrong_clock:
        window_from_first_hit_of_a_wrong_clock_starts_over;
    /// The newest aligned window refuses all earlier ones, however far ahead it is.
    KeepsAlignedWindowsOfAWrongClock, keeps_aligned_windows_of_a_wrong_clock:
        aligned_windows_of_a_wrong_clock_do_not_count;
    /// A bucket stays until it is full, however far ahead that is.
    KeepsBucketsOfAWrongClock, keeps_buckets_of_a_wrong_clock:
        bucket_of_a_wrong_clock_starts_over;
    /// Whether a bucket is that of a wrong clock is decided by the quota of the reader.
    JudgesBucketsByTheReader, judges_buckets_by_the_reader:
        bucket_is_judged_by_the_quota_that_wrote_it;
    /// The lead of the clock that wrote a bucket is not reported.
    OmitsTheClockLead, omits_the_clock_lead:
        bucket_of_a_clock_within_the_skew_keeps_its_value;

    /// The sum wraps, and an enormous cost is admitted.
    WrapsAround, wraps_around:
        large_costs_and_floors_neither_wrap_nor_are_truncated;
    /// The sum saturates at the largest number, which may be the ceiling.
    Saturates, saturates:
        large_costs_and_floors_neither_wrap_nor_are_truncated;
    /// A cost of 2⁶⁴ + 1 is 1.
    TruncatesCostsTo64Bits, truncates_costs_to_64_bits:
        large_costs_and_floors_neither_wrap_nor_are_truncated
        large_values_are_exact;
    /// Values are stored as `f64`.
    CountsInFloatingPoint, counts_in_floating_point:
        large_values_are_exact
        large_values_of_several_hits_are_exact;
    /// `start + length` saturates at the last timestamp, at which every window has ended.
    SaturatesTheEnd, saturates_the_end:
        first_and_last_timestamp_count_like_any_other;
    /// A limit of zero is treated as no limit.
    TreatsZeroAsUnlimited, treats_zero_as_unlimited:
        zero_ceiling_admits_nothing;
    /// `value < ceiling` admits any cost.
    IgnoresTheCostInTheCheck, ignores_the_cost_in_the_check:
        hit_is_counted_up_to_exactly_its_ceiling
        floor_and_ceiling_bound_every_hit
        refused_hit_changes_nothing;
    /// `<` instead of `<=`.
    StopsOneBelowTheCeiling, stops_one_below_the_ceiling:
        hit_is_counted_up_to_exactly_its_ceiling;

    /// The hit is added first and refused later, so a caller that keeps trying is never admitted.
    CountsRefusedHits, counts_refused_hits:
        refused_hit_changes_nothing
        refused_hit_creates_no_counter;
    /// A cost above the whole limit deletes the counter.
    DeletesOnACostAboveTheLimit, deletes_on_a_cost_above_the_limit:
        refused_hit_changes_nothing
        large_costs_and_floors_neither_wrap_nor_are_truncated;
    /// A refused hit starts the window.
    StartsWindowsForRefusedHits, starts_windows_for_refused_hits:
        refused_hit_creates_no_counter
        only_the_first_hit_sets_start_id_and_metadata;
    /// A refusal does not return the value.
    RefusesWithoutTheValue, refuses_without_the_value:
        refusal_returns_the_state;
    /// A refusal does not return the metadata of the window.
    RefusesWithoutTheMeta, refuses_without_the_meta:
        refusal_returns_the_state
        only_the_first_hit_sets_start_id_and_metadata;
    /// The metadata of the last hit is stored.
    OverwritesTheMetadata, overwrites_the_metadata:
        only_the_first_hit_sets_start_id_and_metadata;
    /// The window id of the last hit is stored.
    OverwritesTheWindowId, overwrites_the_window_id:
        only_the_first_hit_sets_start_id_and_metadata
        reset_of_a_window_id_leaves_all_other_windows;
    /// Empty metadata is stored as none.
    TreatsEmptyMetadataAsNone, treats_empty_metadata_as_none:
        only_the_first_hit_sets_start_id_and_metadata;
    /// The start of a window from the first hit is missing.
    OmitsTheStartOfFirstHitWindows, omits_the_start_of_first_hit_windows:
        window_from_first_hit_ends_one_length_after_that_hit
        only_the_first_hit_sets_start_id_and_metadata;
    /// The start of an aligned window is missing.
    OmitsTheStartOfAlignedWindows, omits_the_start_of_aligned_windows:
        refusal_returns_the_state
        get_changes_nothing;

    /// A repeated write is treated as another write.
    CountsRepeatedWritesTwice, counts_repeated_writes_twice:
        hit_with_a_lost_response_counts_once
        filling_hit_with_a_lost_response_is_not_refused
        sliding_hit_with_a_lost_response_counts_once
        parallel_hits_with_lost_responses_count_once
        several_hits_with_a_lost_response_count_once
        parallel_sets_with_lost_responses_count_once
        refund_with_a_lost_response_is_returned_once;
    /// A lost response is an error that no caller can act on.
    ReportsALostResponseAsOther, reports_a_lost_response_as_other:
        hit_with_a_lost_response_counts_once
        reset_with_a_lost_response_is_applied_once
        claim_with_a_lost_response_belongs_to_its_owner
        finish_with_a_lost_response_is_stored_once
        renewal_with_a_lost_response_is_applied
        release_and_forget_with_a_lost_response_free_the_key;
    /// A lost response is `Throttled`, which means that nothing was counted.
    ReportsALostResponseAsThrottled, reports_a_lost_response_as_throttled:
        hit_with_a_lost_response_counts_once
        claim_with_a_lost_response_belongs_to_its_owner;

    /// A read counts a hit.
    ReadsCount, reads_count:
        get_changes_nothing;
    /// `reset` deletes nothing.
    NeverResets, never_resets:
        reset_deletes_the_counter
        reset_with_a_lost_response_is_applied_once;
    /// `reset` with the id of an old window deletes the new window.
    ResetsAnyWindowId, resets_any_window_id:
        reset_of_a_window_id_leaves_all_other_windows;
    /// `reset` deletes all windows of a key.
    ResetsEveryWindowOfTheKey, resets_every_window_of_the_key:
        reset_leaves_all_other_counters;
    /// `reset` of an absent counter is an error.
    CannotResetAbsentCounters, cannot_reset_absent_counters:
        reset_deletes_the_counter;

    /// The check and the addition are two steps: parallel hits all pass.
    ChecksThenAdds, checks_then_adds:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_of_mixed_costs_fill_the_limit
        parallel_sliding_hits_admit_exactly_the_remainder
        reset_during_parallel_hits_leaves_a_consistent_counter;
    /// Read, add, write: the last writer wins.
    LosesUpdates, loses_updates:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_on_many_keys_are_independent;
    /// The ended window is deleted first, and with it the hits that other threads have counted
    /// since.
    ReplacesWindowsInTwoSteps, replaces_windows_in_two_steps:
        ended_window_is_replaced_in_one_step;

    /// A hit is refused if another thread holds the lock.
    RefusesUnderContention, refuses_under_contention:
        parallel_hits_admit_exactly_the_limit
        parallel_hits_on_many_keys_are_independent;

    /// The previous window is returned, but not weighted.
    IgnoresThePreviousWindow, ignores_the_previous_window:
        sliding_hit_is_limited_by_the_weighted_previous_window
        weight_of_the_previous_window_falls_to_the_nanosecond;
    /// A weight of 59.99 is 59.
    RoundsTheWeightDown, rounds_the_weight_down:
        sliding_hit_is_limited_by_the_weighted_previous_window
        weight_of_the_previous_window_falls_to_the_nanosecond
        parallel_sliding_hits_admit_exactly_the_remainder;
    /// `previous · weight + current < limit` admits any cost.
    IgnoresTheCostOfSlidingHits, ignores_the_cost_of_sliding_hits:
        sliding_hit_is_limited_by_the_weighted_previous_window
        sliding_result_contains_both_windows;
    /// The product of a large count and a long window wraps.
    WeightsIn64Bits, weights_in_64_bits:
        large_weights_are_exact;
    /// A sliding counter and the fixed counter of its window are stored separately.
    SeparatesSlidingCounters, separates_sliding_counters:
        sliding_and_fixed_windows_share_a_counter;
    /// The previous window is weighted, but not returned.
    OmitsThePreviousValue, omits_the_previous_value:
        sliding_result_contains_both_windows;
    /// The value of the previous window is read once, and never again.
    CachesThePreviousWindow, caches_the_previous_window:
        late_hit_in_the_previous_window_is_weighted;
    /// A window without a previous one slides as if the previous one were empty.
    SlidesAnyWindow, slides_any_window:
        only_aligned_windows_slide;

    /// A sliding counter is counted and read as a fixed one.
    IgnoresSliding, ignores_sliding:
        sliding_hit_is_limited_by_the_weighted_previous_window
        weight_of_the_previous_window_falls_to_the_nanosecond
        sliding_result_contains_both_windows
        late_hit_in_the_previous_window_is_weighted
        only_aligned_windows_slide
        large_weights_are_exact
        parallel_sliding_hits_admit_exactly_the_remainder;

    /// The fast path counts the hit and returns `None`, so `increment` counts it a second time.
    FastPathCountsAndReturnsNone, fast_path_counts_and_returns_none:
        try_increment_agrees_with_increment;
    /// The fast path counts without comparing with the ceiling.
    FastPathIgnoresTheCeiling, fast_path_ignores_the_ceiling:
        try_increment_agrees_with_increment
        hit_is_counted_up_to_exactly_its_ceiling
        refused_hit_changes_nothing
        parallel_hits_admit_exactly_the_limit;
    /// The fast path counts a sliding counter as a fixed one.
    FastPathIgnoresSliding, fast_path_ignores_sliding:
        try_increment_agrees_with_increment
        sliding_hit_is_limited_by_the_weighted_previous_window
        sliding_result_contains_both_windows;
    /// The fast path does not return the metadata of the window.
    FastPathOmitsTheMeta, fast_path_omits_the_meta:
        try_increment_agrees_with_increment
        refusal_returns_the_state
        only_the_first_hit_sets_start_id_and_metadata;

    /// Of several hits, those that fit are counted, whether or not the others fit.
    CountsTheHitsThatFit, counts_the_hits_that_fit:
        hit_that_does_not_fit_leaves_all_uncounted
        several_windows_of_one_key_are_counted_at_once
        sliding_hit_among_several_is_limited_by_the_weighted_previous_window
        random_sets_of_hits_match_a_model
        parallel_overlapping_sets_are_counted_all_or_none;
    /// The hits before the first one that does not fit stay counted, like in a union of limiters
    /// that consumes the points of the first.
    BurnsThePointsOfTheFirst, burns_the_points_of_the_first:
        hit_that_does_not_fit_leaves_all_uncounted
        several_windows_of_one_key_are_counted_at_once
        hit_of_cost_zero_is_a_condition
        parallel_overlapping_sets_are_counted_all_or_none;
    /// If a hit does not fit, `counted` is `false` for all.
    ReportsNoHitAsFitting, reports_no_hit_as_fitting:
        hit_that_does_not_fit_leaves_all_uncounted
        random_sets_of_hits_match_a_model;
    /// Which hit did not fit is reported wrongly.
    ReportsEveryHitAsFitting, reports_every_hit_as_fitting:
        hit_that_does_not_fit_leaves_all_uncounted
        random_sets_of_hits_match_a_model;
    /// The hits after the first one that does not fit are not looked at, like the cancellation
    /// reasons after the first.
    StopsAtTheFirstRefusal, stops_at_the_first_refusal:
        hit_that_does_not_fit_leaves_all_uncounted
        random_sets_of_hits_match_a_model;
    /// If a hit does not fit, the others return the value that they would have left.
    ReturnsValuesThatWereNotCounted, returns_values_that_were_not_counted:
        hit_that_does_not_fit_leaves_all_uncounted
        several_windows_of_one_key_are_counted_at_once;
    /// Of the windows of one key, only the first is counted.
    CountsOneWindowOfEachKey, counts_one_window_of_each_key:
        hits_that_all_fit_are_all_counted
        several_windows_of_one_key_are_counted_at_once;
    /// A sliding hit among several is counted as a fixed one.
    SeveralHitsIgnoreSliding, several_hits_ignore_sliding:
        sliding_hit_among_several_is_limited_by_the_weighted_previous_window;
    /// A hit of cost 0 counts as 1.
    CountsConditions, counts_conditions:
        hit_of_cost_zero_is_a_condition;
    /// A hit of cost 0 always fits.
    IgnoresConditions, ignores_conditions:
        hit_of_cost_zero_is_a_condition
        random_sets_of_hits_match_a_model;
    /// Two hits on one counter are both compared with the value before them.
    AcceptsTwoHitsOnOneCounter, accepts_two_hits_on_one_counter:
        invalid_sets_of_hits_count_nothing;
    /// There is no maximum number of hits.
    AcceptsAnyNumberOfHits, accepts_any_number_of_hits:
        invalid_sets_of_hits_count_nothing;
    /// No hit is an error.
    NeedsAHit, needs_a_hit:
        invalid_sets_of_hits_count_nothing;
    /// An invalid hit is found after those before it were counted.
    CountsBeforeItChecks, counts_before_it_checks:
        invalid_sets_of_hits_count_nothing;
    /// All hits are checked in one step, and counted in the next.
    ChecksAllThenCounts, checks_all_then_counts:
        parallel_overlapping_sets_are_counted_all_or_none
        parallel_sets_admit_exactly_the_limit;
    /// Each hit is a step of its own, and is taken back later.
    CountsEachHitInAStepOfItsOwn, counts_each_hit_in_a_step_of_its_own:
        parallel_sets_admit_exactly_the_limit;
    /// The fast path counts several hits and returns `None`.
    FastPathOfAllCountsAndReturnsNone, fast_path_of_all_counts_and_returns_none:
        try_increment_all_agrees_with_increment_all
        hits_that_all_fit_are_all_counted;
    /// The fast path deletes the states that the list already had.
    FastPathOfAllReplacesTheStates, fast_path_of_all_replaces_the_states:
        try_increment_all_agrees_with_increment_all;

    /// A refund goes to the window of `now`.
    RefundsTheWindowOfNow, refunds_the_window_of_now:
        refund_reaches_the_window_that_was_charged
        absent_or_ended_counter_gets_no_refund;
    /// A refund of more than the value wraps.
    RefundsBelowZero, refunds_below_zero:
        refund_never_falls_below_zero;
    /// A refund of more than the value is not returned at all.
    RefundsOnlyWhatIsThere, refunds_only_what_is_there:
        refund_never_falls_below_zero;
    /// A refund returns 1, whatever it costs.
    RefundsOne, refunds_one:
        refund_returns_its_cost
        refund_reaches_the_window_that_was_charged;
    /// A refund of 2⁶⁴ + 1 returns 1.
    TruncatesRefundsTo64Bits, truncates_refunds_to_64_bits:
        large_refunds_are_exact;
    /// A refund to an ended window goes to the next one.
    RefundsAnyWindowId, refunds_any_window_id:
        refund_needs_the_id_of_its_window;
    /// A refund to an ended window is reported as returned.
    RefundsEndedWindows, refunds_ended_windows:
        absent_or_ended_counter_gets_no_refund;
    /// A refund creates the counter.
    RefundsAbsentCounters, refunds_absent_counters:
        absent_or_ended_counter_gets_no_refund;
    /// A bucket gets all of a charge that time has already paid back, so a burst is exceeded.
    RefundsAllToABucket, refunds_all_to_a_bucket:
        refund_of_a_bucket_is_less_what_has_flowed_in
        random_refunds_of_a_bucket_match_a_model;
    /// A refund stores its own quota, by which the value is that of a wrong clock.
    RefundsReplaceTheQuota, refunds_replace_the_quota:
        refund_keeps_the_quota_of_a_bucket;
    /// A refund of another limit is subtracted in the unit of that limit.
    RefundsInTheWrongUnit, refunds_in_the_wrong_unit:
        refund_keeps_the_quota_of_a_bucket;
    /// A refund does not look at the value that it requires.
    IgnoresTheRequiredValue, ignores_the_required_value:
        refund_with_another_value_returns_nothing;
    /// A refund is a read and a write.
    RefundsInTwoSteps, refunds_in_two_steps:
        parallel_hits_and_refunds_add_up
        parallel_sets_and_refunds_add_up;
    /// A refund to a log takes the newest hit.
    RefundsTheNewestHitOfALog, refunds_the_newest_hit_of_a_log:
        refund_reaches_the_logged_hit
        random_hits_on_a_log_match_a_plain_list;

    /// A logged hit counts 1 ns too long.
    LogsEndANanosecondLate, logs_end_a_nanosecond_late:
        log_admits_the_limit_in_any_stretch_of_one_length;
    /// A logged hit counts 1 ns too short.
    LogsEndANanosecondEarly, logs_end_a_nanosecond_early:
        log_admits_the_limit_in_any_stretch_of_one_length;
    /// A log counts entries instead of costs.
    LogsIgnoreTheCost, logs_ignore_the_cost:
        log_admits_the_limit_in_any_stretch_of_one_length
        log_returns_its_hits
        random_hits_on_a_log_match_a_plain_list
        full_log_forgets_no_cost;
    /// A hit that does not fit is logged.
    LogsCountRefusedHits, logs_count_refused_hits:
        log_admits_the_limit_in_any_stretch_of_one_length
        refused_hit_changes_nothing;
    /// A refusal does not return the log.
    RefusesWithoutTheLog, refuses_without_the_log:
        log_returns_its_hits;
    /// The time of the newest hit is missing.
    OmitsTheNewestHitOfALog, omits_the_newest_hit_of_a_log:
        log_returns_its_hits;
    /// A hit of cost 0 is logged as 1.
    LogsCountHitsOfCostZero, logs_count_hits_of_cost_zero:
        hit_of_cost_zero_leaves_a_log_as_it_is;
    /// A hit is deleted one length after it, for every clock.
    LogsForgetTheSkew, logs_forget_the_skew:
        clock_jump_back_within_the_skew_finds_the_hits_of_a_log
        random_hits_on_a_log_match_a_plain_list;
    /// A hit that is ahead of the clock does not count.
    LogsIgnoreHitsAhead, logs_ignore_hits_ahead:
        clock_jump_back_within_the_skew_finds_the_hits_of_a_log
        random_hits_on_a_log_match_a_plain_list;
    /// A hit of a wrong clock stays until its end.
    LogsKeepHitsOfAWrongClock, logs_keep_hits_of_a_wrong_clock:
        hits_of_a_wrong_clock_leave_a_log;

    /// Only the start identifies a span.
    SpansIgnoreTheirEnd, spans_ignore_their_end:
        start_and_end_identify_a_span;
    /// A span is the aligned window of the same length.
    TreatsSpansAsAligned, treats_spans_as_aligned:
        start_and_end_identify_a_span;
    /// A hit on a span counts however long ago it ended.
    KeepsSpansForEver, keeps_spans_for_ever:
        span_is_retained_for_the_skew_after_its_end_and_then_refuses
        absent_or_ended_counter_gets_no_refund
        ended_windows_among_several_are_absent;
    /// A span is gone at its end, also for a clock that is behind.
    ForgetsSpansAtTheirEnd, forgets_spans_at_their_end:
        span_counts_from_its_start_to_its_end
        span_is_retained_for_the_skew_after_its_end_and_then_refuses;

    /// All operations of claims are supported but one.
    LacksForget, lacks_forget:
        claims_are_supported_completely_or_not_at_all;

    /// A lease never ends: after a crash the key is blocked until the record expires.
    NeverTakesOver, never_takes_over:
        free_key_is_acquired
        lease_ends_to_the_nanosecond
        parallel_claims_have_one_owner;
    /// `now + 1 >= expires_at` instead of `now >= expires_at`.
    TakesOverANanosecondEarly, takes_over_a_nanosecond_early:
        lease_ends_to_the_nanosecond
        renewed_lease_ends_at_its_new_end;
    /// `now > expires_at` instead of `now >= expires_at`.
    TakesOverANanosecondLate, takes_over_a_nanosecond_late:
        lease_ends_to_the_nanosecond
        renewed_lease_ends_at_its_new_end;
    /// The end of a lease is stored in whole seconds.
    LeasesWholeSeconds, leases_whole_seconds:
        lease_ends_to_the_nanosecond;
    /// The column holds half of an owner.
    StoresOwnersIn64Bits, stores_owners_in_64_bits:
        refused_claim_returns_the_holder;
    /// A refused claim cannot compare the requests.
    RefusesWithoutTheRequestHash, refuses_without_the_request_hash:
        refused_claim_returns_the_holder;
    /// A missing request hash is returned as zeros.
    RefusesWithARequestHashOfZeros, refuses_with_a_request_hash_of_zeros:
        refused_claim_returns_the_holder;
    /// A refused claim has to read again for the result.
    RefusesWithoutTheResult, refuses_without_the_result:
        claim_of_a_finished_key_returns_its_result
        every_result_is_returned_unchanged;
    /// The lease is compared although its owner has finished.
    TakesOverFinishedKeys, takes_over_finished_keys:
        claim_of_a_finished_key_returns_its_result
        finished_record_without_expiry_is_permanent;
    /// A refused claim extends the lease of the holder.
    RefusedClaimsExtendTheLease, refused_claims_extend_the_lease:
        refused_claim_changes_nothing;
    /// The request hash is written before the condition is checked.
    RefusedClaimsOverwriteTheRequestHash, refused_claims_overwrite_the_request_hash:
        refused_claim_changes_nothing;
    /// A refused claim postpones the expiry of the result.
    RefusedClaimsPostponeTheExpiry, refused_claims_postpone_the_expiry:
        refused_claim_changes_nothing;
    /// `if_not_exists`: the request hash of the first claim stays.
    KeepsTheOldRequestHash, keeps_the_old_request_hash:
        new_claim_inherits_nothing;
    /// The store accepts no empty text.
    RefusesEmptyMetadata, refuses_empty_metadata:
        metadata_affects_no_decision;

    /// An update without a condition: a late owner overwrites the claim of a newer one.
    FinishesForAnyOwner, finishes_for_any_owner:
        only_the_owner_ends_a_claim
        stale_owner_ends_nothing;
    /// A delete without a condition: an owner releases the claim of another.
    ReleasesForAnyOwner, releases_for_any_owner:
        only_the_owner_ends_a_claim
        stale_owner_ends_nothing
        repeated_renewal_and_release_are_recognized;
    /// Any owner extends the lease.
    RenewsForAnyOwner, renews_for_any_owner:
        only_the_owner_ends_a_claim
        stale_owner_ends_nothing
        clock_jump_back_keeps_held_keys_held;
    /// Owners with equal lower halves are the same.
    ComparesOwnersIn64Bits, compares_owners_in_64_bits:
        only_the_owner_ends_a_claim;
    /// An owner that lost the key has to read again for its record.
    ReportsALossWithoutTheRecord, reports_a_loss_without_the_record:
        only_the_owner_ends_a_claim
        stale_owner_ends_nothing;
    /// The update creates a record if there is none.
    FinishesAbsentClaims, finishes_absent_claims:
        absent_claim_has_no_owner
        lapsed_claim_expires_after_its_ttl;
    /// An owner that has finished is still `Owned` by `renew`.
    RenewsFinishedRecords, renews_finished_records:
        finished_record_is_neither_renewed_nor_released;
    /// An owner that has finished releases the key, and the action runs again.
    ReleasesFinishedRecords, releases_finished_records:
        finished_record_is_neither_renewed_nor_released;
    /// The key stays blocked until the lease ends.
    NeverReleases, never_releases:
        released_key_is_free
        free_key_is_acquired
        release_and_forget_with_a_lost_response_free_the_key;
    /// A claim repeated after `release` gets its old fencing token, which other owners may have
    /// exceeded since.
    ReusesTheTokenAfterRelease, reuses_the_token_after_release:
        claim_repeated_after_release_is_invalid_or_new;
    /// `forget` deletes nothing.
    NeverForgets, never_forgets:
        forgotten_key_is_free;
    /// `forget` leaves a record that is in progress.
    ForgetsOnlyFinishedRecords, forgets_only_finished_records:
        forgotten_key_is_free;
    /// `forget` of an absent record is an error.
    CannotForgetAbsentRecords, cannot_forget_absent_records:
        forgotten_key_is_free;

    /// A late owner has lost the key although no other owner has taken it over.
    LosesLapsedClaims, loses_lapsed_claims:
        lapsed_claim_still_belongs_to_its_owner
        finish_with_a_lost_response_is_stored_once;
    /// `find` does not return a claim whose lease has ended.
    HidesLapsedClaims, hides_lapsed_claims:
        lapsed_claim_still_belongs_to_its_owner;
    /// The record of an unfinished claim never expires.
    KeepsLapsedClaims, keeps_lapsed_claims:
        lapsed_claim_expires_after_its_ttl
        renewal_postpones_the_expiry;
    /// The record expires with the lease, and its owner has lost it.
    ExpiresWithTheLease, expires_with_the_lease:
        lapsed_claim_still_belongs_to_its_owner
        lapsed_claim_expires_after_its_ttl;
    /// `renew` returns `Owned`, and the lease ends as before.
    NeverRenews, never_renews:
        renewed_lease_ends_at_its_new_end;
    /// A late `renew` to an earlier end shortens the lease.
    ShortensLeases, shortens_leases:
        lease_is_never_shortened;
    /// The lease outlasts the expiry of its record.
    RenewsWithoutTheExpiry, renews_without_the_expiry:
        renewal_postpones_the_expiry;

    /// A result is parsed and written in another format.
    ReformatsJson, reformats_json:
        every_result_is_returned_unchanged;
    /// An empty text is stored as no result.
    TreatsEmptyResultsAsNothing, treats_empty_results_as_nothing:
        every_result_is_returned_unchanged;
    /// Only one kind of result is stored.
    StoresErrorsAsValues, stores_errors_as_values:
        every_result_is_returned_unchanged;
    /// A status code of 0 is stored as none.
    TreatsStatusCodeZeroAsNone, treats_status_code_zero_as_none:
        every_result_is_returned_unchanged;
    /// The time of `finish` is stored in whole seconds.
    FinishesInWholeSeconds, finishes_in_whole_seconds:
        every_result_is_returned_unchanged;
    /// The column holds 65,535 characters.
    TruncatesResults, truncates_results:
        large_results_are_stored_or_reported_as_omitted;
    /// The expiry is not rounded up to the second.
    ExpiresToTheNanosecond, expires_to_the_nanosecond:
        finished_record_expires_at_the_end_of_its_second;
    /// `<` instead of `<=`.
    ExpiresASecondLate, expires_a_second_late:
        finished_record_expires_at_the_end_of_its_second
        lapsed_claim_expires_after_its_ttl;
    /// `find` treats every stored record as live.
    FindsExpiredRecords, finds_expired_records:
        finished_record_expires_at_the_end_of_its_second
        lapsed_claim_expires_after_its_ttl;
    /// `claim` treats every stored record as live.
    ClaimsIgnoreExpiry, claims_ignore_expiry:
        finished_record_expires_at_the_end_of_its_second
        free_key_is_acquired;
    /// A permanent result expires when the unfinished claim would have.
    KeepsTheExpiryOfTheClaim, keeps_the_expiry_of_the_claim:
        finished_record_without_expiry_is_permanent
        new_claim_inherits_nothing;

    /// Fencing tokens count from 1, and restart if there is no record.
    RestartsFencingTokens, restarts_fencing_tokens:
        every_acquisition_has_a_higher_fencing_token
        clock_jump_back_lowers_no_fencing_token;
    /// The fencing token is the time.
    FencingTokensAreTheTime, fencing_tokens_are_the_time:
        every_acquisition_has_a_higher_fencing_token
        clock_jump_back_lowers_no_fencing_token
        fencing_tokens_rise_after_the_record_is_gone;
    /// `forget` deletes the fencing token too.
    ForgetsTheFencingToken, forgets_the_fencing_token:
        every_acquisition_has_a_higher_fencing_token
        clock_jump_back_lowers_no_fencing_token;
    /// An expired record is deleted although its fencing token is ahead of the time.
    DeletesFencingTokensAheadOfTime, deletes_fencing_tokens_ahead_of_time:
        fencing_tokens_rise_after_the_record_is_gone;

    /// A repeated claim is refused because of the first one.
    RefusesRepeatedClaims, refuses_repeated_claims:
        repeated_claim_returns_its_first_result
        claim_with_a_lost_response_belongs_to_its_owner
        parallel_claims_with_lost_responses_have_one_owner
        parallel_repetitions_of_a_claim_are_one_claim;
    /// Each repetition of a claim has another fencing token.
    AcquiresRepeatedClaimsAgain, acquires_repeated_claims_again:
        repeated_claim_returns_its_first_result
        repeated_claim_returns_the_stored_lease
        parallel_repetitions_of_a_claim_are_one_claim;
    /// A repeated claim returns a lease that is not stored.
    ReturnsTheRequestedLease, returns_the_requested_lease:
        repeated_claim_returns_the_stored_lease;
    /// `OR token = :t`: a late claim reopens a finished record.
    ReopensFinishedRecords, reopens_finished_records:
        claim_repeated_after_finish_returns_the_result;
    /// A repeated `finish` changes the time of the record.
    FinishesTwice, finishes_twice:
        repeated_finish_changes_nothing;
    /// A repeated `finish` returns `Lost`, as if another owner had finished.
    ReportsARepeatedFinishAsLost, reports_a_repeated_finish_as_lost:
        repeated_finish_changes_nothing
        finish_with_a_lost_response_is_stored_once;
    /// `expires_at < :new` in the condition: a repeated `renew` has lost the claim.
    RenewsOnlyToALaterEnd, renews_only_to_a_later_end:
        repeated_renewal_and_release_are_recognized
        renewal_with_a_lost_response_is_applied
        lease_is_never_shortened;
    /// A failed condition of a repeated write is always attributed to its first attempt.
    PresumesRepetitionsWereApplied, presumes_repetitions_were_applied:
        refusal_with_a_lost_response_stays_a_refusal
        parallel_claims_with_lost_responses_have_one_owner;

    /// A claim with a later time than `now` is treated as corrupt.
    FreesClaimsFromTheFuture, frees_claims_from_the_future:
        clock_jump_back_keeps_held_keys_held
        claims_under_a_jumping_clock_match_a_model;
    /// `find` deletes an expired record.
    DeletesExpiredRecordsOnRead, deletes_expired_records_on_read:
        clock_jump_back_finds_finished_records
        clock_jump_back_finds_lapsed_claims
        claims_under_a_jumping_clock_match_a_model;
    /// A claim on any key deletes every expired record.
    DeletesExpiredRecords, deletes_expired_records:
        clock_jump_back_finds_finished_records
        clock_jump_back_finds_lapsed_claims
        claims_under_a_jumping_clock_match_a_model;

    /// The time 0 is treated as no time.
    TreatsTheEpochAsNone, treats_the_epoch_as_none:
        first_timestamp_claims_like_any_other;
    /// At the last timestamp every longer lease ends.
    SaturatesLeases, saturates_leases:
        last_timestamp_never_passes;

    /// The kind of a claim is not part of its identity.
    MergesClaimKinds, merges_claim_kinds:
        different_claims_are_distinct;
    /// `forget` deletes all claims of a key.
    ForgetsEveryClaimOfTheKey, forgets_every_claim_of_the_key:
        ending_a_claim_leaves_all_others;
    /// `forget` deletes the counters of the key.
    ForgetsCountersToo, forgets_counters_too:
        claims_and_counters_are_distinct;
    /// `reset` deletes the claims of the key.
    ResetsClaimsToo, resets_claims_too:
        claims_and_counters_are_distinct;

    /// The check and the claim are two steps: parallel claims all acquire the key.
    ChecksThenClaims, checks_then_claims:
        parallel_claims_have_one_owner
        parallel_claims_on_many_keys_have_one_owner_each
        successive_owners_never_overlap
        parallel_claims_with_lost_responses_have_one_owner;
    /// The check of the owner and the write are two steps: a late owner overwrites the newer one.
    ChecksThenEnds, checks_then_ends:
        lapsed_claim_is_either_ended_or_taken_over;
}
