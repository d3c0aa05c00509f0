//! The list of checks, and what is made from it: a function, an entry in [`CHECKS`] and a test for
//! each.

use super::{Harness, Skip};

/// A check of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The name of the function in [`checks`], and of the test.
    pub name: &'static str,
    /// The rule that it tests.
    pub rule: &'static str,
}

/// Calls a macro with the list of checks: the name, the module and the rule of each. The checks in
/// `claims` run only for a backend that has claims.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    ([$($then:tt)+] $($with:tt)*) => {
        $($then)+! { [$($with)*]
        counters {
            time_is_the_argument_now in clock:
                "Rule 1: time is the argument `now`. Counting is the same in 1970, 2026 and 2500.";
            clock_jump_back_keeps_full_counters_full in clock:
                "Rule 1: a clock that jumps back, by a nanosecond or by decades, admits no extra hits.";
            clock_jump_back_before_a_newer_window_admits_no_extra_hits in clock:
                "Rule 1: a newer window does not free what was used in the older one.";
            aligned_window_is_retained_for_one_length_and_the_skew_after_its_end in clock:
                "Rule 1: until then it is read, refuses and counts as before. A window shorter than the skew may be \
                 forgotten earlier.";
            window_from_first_hit_is_retained_for_one_length_and_the_skew_after_its_end in clock:
                "Rule 1: until then a clock that jumps back before its end finds it.";
            bucket_is_retained_for_the_skew_after_it_is_full in clock:
                "Rule 1: until then a clock that jumps back finds the tokens taken.";
            jumping_clock_fills_each_aligned_window_once in clock:
                "Rule 1: if time jumps back and forth, no window exceeds its ceiling, and a forgotten window refuses.";
            jumping_clock_keeps_a_window_from_first_hit_until_its_end in clock:
                "Rule 1: if time jumps back and forth, a window neither ends early nor starts twice.";
            jumping_clock_refills_no_bucket in clock:
                "Rule 1: if time jumps back and forth, a bucket is refilled by the latest time alone.";
            window_from_first_hit_of_a_wrong_clock_starts_over in buckets:
                "Rule 1: if it started further ahead than the skew. Within the skew it counts.";
            aligned_windows_of_a_wrong_clock_do_not_count in buckets:
                "Rule 1: after the clock was corrected, they neither refuse nor weigh on a sliding counter.";
            bucket_of_a_wrong_clock_starts_over in buckets:
                "Rule 1: if its value is further ahead than capacity and skew explain.";
            bucket_of_a_clock_within_the_skew_keeps_its_value in buckets:
                "Rule 1: and the state reports how far the clock that wrote it is ahead.";
            bucket_is_judged_by_the_quota_that_wrote_it in buckets:
                "Rule 1: a quota with a smaller burst does not free the bucket of one with a larger burst.";

            window_from_first_hit_ends_one_length_after_that_hit in expiry:
                "Rule 2: 1 ns before its end it counts. From its end on it is absent, and the next hit starts a new one.";
            adjacent_aligned_windows_count_separately in expiry:
                "Rule 2: the last nanosecond of one window and the first of the next count separately.";
            long_expired_counter_reads_as_absent in expiry:
                "Rule 2: a window that ended long ago reads as absent, even if it is still stored.";
            expired_counters_are_removed in removal:
                "Rule 2: expired counters do not stay for ever. Only if the harness reports the stored entries.";
            bucket_counts_from_the_higher_of_floor_and_value in expiry:
                "Rule 2: a bucket gains each token at its time, to the unit, and not earlier.";

            namespace_and_key_are_separate in identity:
                "Rule 3: `(\"a\", \"bc\")` is not `(\"ab\", \"c\")`, whatever separators they contain.";
            keys_and_namespaces_are_compared_byte_by_byte in identity:
                "Rule 3: case, spaces, Unicode forms and the last of 1,024 bytes distinguish keys, and namespaces.";
            kinds_of_window_are_distinct in identity:
                "Rule 3: aligned, from the first hit and bucket are three counters, with one key and length.";
            lengths_of_window_are_distinct in identity:
                "Rule 3: the minute and the hour that start together are two counters.";
            buckets_of_different_limits_are_the_same_counter in buckets:
                "Rule 3: the limit and the capacity of a bucket are no part of its identity.";
            changed_limit_keeps_the_time_rounded_up in buckets:
                "Rule 3: a bucket has the same time in the unit of any limit, rounded up.";
            bucket_without_a_quota_is_invalid in buckets:
                "Rule 3: only a reset needs no quota.";
            equal_counters_are_the_same_counter in identity:
                "Rule 3: for every caller, with any limit, and however the key was composed.";

            try_increment_agrees_with_increment in fast_path:
                "`try_increment` returns the result of `increment`, or it counts nothing and returns `None`.";

            hit_is_counted_up_to_exactly_its_ceiling in arithmetic:
                "Rule 4: a hit that reaches the ceiling is counted; a hit that exceeds it by one is refused.";
            floor_and_ceiling_bound_every_hit in arithmetic:
                "Rule 4: the value after a hit is `max(value, floor) + cost`, if that is at most the ceiling.";
            zero_ceiling_admits_nothing in arithmetic:
                "Rule 4: a limit of zero is a limit.";
            large_values_are_exact in arithmetic:
                "Rule 4: values of up to 38 digits are stored and compared to the last digit.";
            large_costs_and_floors_neither_wrap_nor_are_truncated in arithmetic:
                "Rule 4: a hit that cannot fit is refused. Only a value of more than 38 digits may be `Invalid`.";
            windows_last_from_a_millisecond_to_a_century in arithmetic:
                "Rule 4: the shortest and the longest window count until their end.";
            first_and_last_timestamp_count_like_any_other in arithmetic:
                "Rule 4: at `Timestamp::EPOCH` and `Timestamp::MAX` nothing panics, wraps or is wrongly admitted.";

            refused_hit_changes_nothing in refusal:
                "Rule 5: neither if its cost exceeds the remainder, nor if its cost exceeds the whole limit.";
            refused_hit_creates_no_counter in refusal:
                "Rule 5: a refused hit stores nothing and starts no window.";
            refusal_returns_the_state in refusal:
                "Rule 5: the value, and the start, the id and the metadata of the window.";
            only_the_first_hit_sets_start_id_and_metadata in refusal:
                "Rule 5: a window from the first hit keeps the start, id and metadata of its first counted hit.";

            hit_with_a_lost_response_counts_once in lost_responses:
                "Rule 6: the backend recognizes its repeated write, or reports that the outcome is unknown.";
            filling_hit_with_a_lost_response_is_not_refused in lost_responses:
                "Rule 6: the repeated write of a hit that filled the counter is not taken for a refusal.";
            sliding_hit_with_a_lost_response_counts_once in lost_responses:
                "Rule 6: a sliding hit counts once too.";
            reset_with_a_lost_response_is_applied_once in lost_responses:
                "Rule 6: the counter is deleted, or the backend reports that the outcome is unknown.";
            parallel_hits_with_lost_responses_count_once in lost_responses:
                "Rule 6: parallel hits count once each, also if the backend merges them into one write.";

            get_changes_nothing in get_reset:
                "`get` reads the value, the start and the metadata, and changes nothing.";
            reset_deletes_the_counter in get_reset:
                "`reset` deletes the counter. An absent counter is no error.";
            reset_leaves_all_other_counters in get_reset:
                "`reset` leaves other windows, kinds, lengths, keys and namespaces.";
            reset_of_a_window_id_leaves_all_other_windows in get_reset:
                "`reset` with a window id leaves a window that another hit started.";

            parallel_hits_admit_exactly_the_limit in concurrency:
                "One atomic step: of 64 parallel hits, exactly as many are counted as fit.";
            parallel_hits_of_mixed_costs_fill_the_limit in concurrency:
                "One atomic step: parallel hits have the results of hits one after the other.";
            ended_window_is_replaced_in_one_step in concurrency:
                "One atomic step: between one window and the next no hit is lost, and no extra hit is admitted.";
            parallel_hits_on_many_keys_are_independent in concurrency:
                "One atomic step: parallel hits on other keys change nothing.";
            reset_during_parallel_hits_leaves_a_consistent_counter in concurrency:
                "One atomic step: a reset happens between two hits.";

            sliding_hit_is_limited_by_the_weighted_previous_window in sliding:
                "`(current + cost) · length + previous · (length − elapsed) ≤ limit · length`, without rounding.";
            weight_of_the_previous_window_falls_to_the_nanosecond in sliding:
                "The weight of the previous window falls by one at its time, and not 1 ns earlier.";
            sliding_result_contains_both_windows in sliding:
                "`CounterState::previous` is set if a hit is counted, if it is refused, and by a read.";
            sliding_and_fixed_windows_share_a_counter in sliding:
                "A sliding counter counts in the aligned counter of its window.";
            late_hit_in_the_previous_window_is_weighted in sliding:
                "The previous window may still change within the maximum clock skew after its end.";
            clock_jump_back_within_the_skew_finds_both_windows_of_a_sliding_counter in sliding:
                "Rule 1: within the maximum skew the weight of the previous window is found again, whatever else was \
                 counted and removed meanwhile.";
            only_aligned_windows_slide in sliding:
                "A sliding counter of another kind of window is `Invalid`, and nothing is counted.";
            large_weights_are_exact in sliding:
                "Rule 4: the weight of a large count in a window of a century is exact.";
            parallel_sliding_hits_admit_exactly_the_remainder in sliding:
                "One atomic step: of parallel sliding hits, exactly as many are counted as fit.";

            hits_that_all_fit_are_all_counted in several:
                "Rule 12: if every hit of a set fits, all are counted, on every kind of window.";
            hit_that_does_not_fit_leaves_all_uncounted in several:
                "Rule 12: if a hit does not fit, none is counted, and `counted` reports which ones fit.";
            several_windows_of_one_key_are_counted_at_once in several:
                "Rule 12: the windows of one key count each hit, or none does.";
            sliding_hit_among_several_is_limited_by_the_weighted_previous_window in several:
                "Rule 12: a sliding hit is limited in the same way among several hits.";
            hit_of_cost_zero_is_a_condition in several:
                "Rule 12: a hit of cost 0 and floor 0 is a condition, such as that a key is not blocked.";
            invalid_sets_of_hits_count_nothing in several:
                "Rule 12: two hits on one counter, or more than 100, are `Invalid`. No hit is no error.";
            ended_windows_among_several_are_absent in several:
                "Rule 12: expired state is absent state; a span that is past refuses the whole set.";
            large_values_of_several_hits_are_exact in several:
                "Rule 12: values of up to 38 digits are counted and compared to the last digit.";
            random_sets_of_hits_match_a_model in several:
                "Rule 12: a set of hits has the result of a model that counts all or none.";
            try_increment_all_agrees_with_increment_all in several:
                "`try_increment_all` returns the result of `increment_all`, or it counts nothing and returns `None`.";
            parallel_overlapping_sets_are_counted_all_or_none in several_in_parallel:
                "Rule 12: parallel sets that overlap, in any order, end, and each is counted as a whole or not at all.";
            parallel_sets_admit_exactly_the_limit in several_in_parallel:
                "Rule 12: one atomic step: of 64 parallel sets, exactly as many are counted as fit.";
            parallel_sets_and_refunds_add_up in several_in_parallel:
                "Rules 12 and 13: parallel sets of hits and refunds have the results of one after the other.";
            several_hits_with_a_lost_response_count_once in several_in_parallel:
                "Rule 12: several hits with a lost response count once, all or none.";
            parallel_sets_with_lost_responses_count_once in several_in_parallel:
                "Rule 12: parallel sets with lost responses are counted once each.";

            refund_returns_its_cost in refunds:
                "Rule 13: a refund lowers the value by its cost, and as much fits again.";
            refund_reaches_the_window_that_was_charged in refunds:
                "Rule 13: also after the next window has started.";
            refund_never_falls_below_zero in refunds:
                "Rule 13: a refund of more than the value leaves zero.";
            refund_needs_the_id_of_its_window in refunds:
                "Rule 13: a window from the first hit gets a refund only with its own id.";
            absent_or_ended_counter_gets_no_refund in refunds:
                "Rule 13: a counter that is absent, has ended or was written by a wrong clock gets nothing.";
            refund_of_a_bucket_is_less_what_has_flowed_in in refunds:
                "Rule 13: time pays a charge back too, so a bucket gets at most the rest.";
            refund_keeps_the_quota_of_a_bucket in refunds:
                "Rule 13: a refund by a smaller quota does not free the bucket of a larger one.";
            refund_with_another_value_returns_nothing in refunds:
                "Rule 13: if a refund requires a value, a counter with another one gets nothing.";
            large_refunds_are_exact in refunds:
                "Rule 13: a refund of up to 38 digits is exact; a larger one leaves zero.";
            random_refunds_of_a_bucket_match_a_model in refunds:
                "Rule 13: hits and refunds of a bucket have the value of a model.";
            refund_with_a_lost_response_is_returned_once in refunds:
                "Rule 13: a refund with a lost response is returned once.";
            parallel_hits_and_refunds_add_up in refunds:
                "Rule 13: a refund is one atomic step.";
            refund_reaches_the_logged_hit in logs:
                "Rule 13: a log gets a refund at the time of the charge.";

            log_admits_the_limit_in_any_stretch_of_one_length in logs:
                "Rule 14: a hit counts for one length from its time, to the nanosecond.";
            log_returns_its_hits in logs:
                "Rule 14: a read, and a hit that does not fit, return the time and cost of each hit.";
            hit_of_cost_zero_leaves_a_log_as_it_is in logs:
                "Rule 14: a hit of cost 0 is compared with its ceiling, and not logged.";
            clock_jump_back_within_the_skew_finds_the_hits_of_a_log in logs:
                "Rule 14: a log keeps its hits for the maximum skew, and admits no extra hits.";
            hits_of_a_wrong_clock_leave_a_log in logs:
                "Rule 14: a hit that is further ahead than the skew does not count.";
            random_hits_on_a_log_match_a_plain_list in logs:
                "Rule 14: a log counts the hits of the last length, also if time jumps back within the skew.";
            full_log_forgets_no_cost in logs:
                "Rule 14: a log of more times than it can hold counts hits for longer, and never shorter.";

            span_counts_from_its_start_to_its_end in spans:
                "Rule 15: a span is one window from its start to its end.";
            start_and_end_identify_a_span in spans:
                "Rule 15: spans with another start or end are other counters, and so is an aligned window.";
            span_is_retained_for_the_skew_after_its_end_and_then_refuses in spans:
                "Rule 15: a hit on a span that is past that is refused.";

            claims_are_supported_completely_or_not_at_all in claims:
                "A backend has all operations of claims, or each of them returns `Unsupported`.";
        }
        claims {
            free_key_is_acquired in acquire:
                "Rule 7: a key is free if it has no record, was released, or if its lease or record has ended.";
            lease_ends_to_the_nanosecond in acquire:
                "Rule 7: 1 ns before the end of its lease the key is held; from then on it is free.";
            refused_claim_returns_the_holder in acquire:
                "Rule 7: a refused claim returns the owner, the fencing token, the lease and the request hash.";
            claim_of_a_finished_key_returns_its_result in acquire:
                "Rule 7: a finished key is not acquired, even after its lease; the claim returns the result.";
            refused_claim_changes_nothing in acquire:
                "Rule 7: neither the owner, lease and request hash, nor the result and its expiry.";
            new_claim_inherits_nothing in acquire:
                "Rule 7: a new claim has no request hash, result or expiry of the previous record.";
            metadata_affects_no_decision in acquire:
                "Rule 7: whatever metadata is stored, claims are acquired, refused and finished as without it.";

            only_the_owner_ends_a_claim in release:
                "Rule 8: any other owner changes nothing, and the result is the record of the owner.";
            stale_owner_ends_nothing in release:
                "Rule 8: after a takeover the previous owner finishes, renews and releases nothing.";
            absent_claim_has_no_owner in release:
                "Rule 8: no owner ends a claim that is absent, released or expired.";
            finished_record_is_neither_renewed_nor_released in release:
                "Rule 8: not even by the owner that finished it.";
            released_key_is_free in release:
                "Rule 8: `release` leaves no record, and the next owner starts without it.";
            claim_repeated_after_release_is_invalid_or_new in release:
                "Rule 9: a claim that arrives again after its `release` is `Invalid`, or has a new fencing token.";
            forgotten_key_is_free in release:
                "`forget` deletes a held or finished record, also for its owner. An absent record is no error.";

            lapsed_claim_still_belongs_to_its_owner in expiry:
                "Rule 8: after its lease, an owner without a successor still finishes, renews and releases.";
            lapsed_claim_expires_after_its_ttl in expiry:
                "Rule 8: from `lapsed_claim_expires` on, and not 1 ns earlier, the claim has no owner.";
            renewed_lease_ends_at_its_new_end in expiry:
                "`renew` extends the lease: 1 ns before its new end the key is held; from then on it is free.";
            lease_is_never_shortened in expiry:
                "`renew` to an earlier end returns `Owned`, and changes nothing.";
            renewal_postpones_the_expiry in expiry:
                "`renew` postpones the expiry of the record too.";

            every_result_is_returned_unchanged in results:
                "`find` and `claim` return the result, status code and time of `finish` unchanged.";
            large_results_are_stored_or_reported_as_omitted in results:
                "100 KB are stored. If a larger result is omitted, `finish` and the record report it.";
            finished_record_expires_at_the_end_of_its_second in results:
                "Rule 2: when `has_expired` says so, and not 1 ns earlier, for every operation.";
            finished_record_without_expiry_is_permanent in results:
                "A record without an expiry is found in the year 2500.";

            every_acquisition_has_a_higher_fencing_token in fencing:
                "Rule 9: after release, `forget`, the end of a lease and expiry, within one nanosecond.";
            clock_jump_back_lowers_no_fencing_token in fencing:
                "Rule 9: also if the next acquisition is at an earlier time.";
            fencing_tokens_rise_after_the_record_is_gone in fencing:
                "Rule 9: also after the backend has forgotten the record, by the latest time that it has seen.";

            repeated_claim_returns_its_first_result in retries:
                "Rule 10: the same fencing token and lease, also after its end, but not after a takeover.";
            repeated_claim_returns_the_stored_lease in retries:
                "Rule 10: whatever lease the repeated claim requests, the result is what the record has.";
            claim_repeated_after_finish_returns_the_result in retries:
                "Rule 10: an owner that has finished gets its own result.";
            repeated_finish_changes_nothing in retries:
                "Rule 10: it returns `Stored` again; the result and the time are those of the first call.";
            repeated_renewal_and_release_are_recognized in retries:
                "Rule 10: by the record, and not after a takeover.";

            claim_with_a_lost_response_belongs_to_its_owner in lost_responses:
                "Rule 10: an owner does not take its own claim for that of another, whatever was stored before.";
            refusal_with_a_lost_response_stays_a_refusal in lost_responses:
                "Rule 10: a refused owner does not acquire the key by repeating its claim.";
            finish_with_a_lost_response_is_stored_once in lost_responses:
                "Rule 10: an owner does not take its own result for that of another.";
            renewal_with_a_lost_response_is_applied in lost_responses:
                "Rule 10: an owner does not take its own renewal for a lost lease.";
            release_and_forget_with_a_lost_response_free_the_key in lost_responses:
                "Rule 10: the key is released or forgotten once.";
            parallel_claims_with_lost_responses_have_one_owner in lost_responses:
                "Rule 10: also if many owners claim at the same time.";

            clock_jump_back_keeps_held_keys_held in clock_skew:
                "Rule 11: also before the time of the claim, and after a takeover.";
            clock_jump_back_finds_finished_records in clock_skew:
                "Rule 11: before its expiry the record is found, whatever operation ran in between.";
            clock_jump_back_finds_lapsed_claims in clock_skew:
                "Rule 11: before its expiry the claim belongs to its owner.";
            claims_under_a_jumping_clock_match_a_model in model:
                "Rules 7 to 11: if time jumps back and forth, every result is that of a model that forgets nothing.";

            time_of_a_claim_is_the_argument_now in timestamps:
                "Rule 1: time is the argument `now`. Leases end in the same way in 1970, 2026 and 2500.";
            first_timestamp_claims_like_any_other in timestamps:
                "Rule 4: at `Timestamp::EPOCH` nothing panics or wraps.";
            last_timestamp_never_passes in timestamps:
                "Rule 4: a lease until `Timestamp::MAX` never ends, and a record with that expiry never expires.";

            expired_claims_are_removed in removal:
                "Rule 2: expired records do not stay for ever. Only if the harness reports the stored entries.";

            different_claims_are_distinct in identity:
                "Rule 3: by namespace, kind and key, byte by byte, whatever separators they contain.";
            ending_a_claim_leaves_all_others in identity:
                "Rule 3: `finish`, `release` and `forget` leave other keys, namespaces and kinds.";
            claims_and_counters_are_distinct in identity:
                "Rule 3: a claim and a counter of one namespace and key are distinct.";
            equal_claims_are_the_same_claim in identity:
                "Rule 3: however the key was composed.";

            parallel_claims_have_one_owner in concurrency:
                "One atomic step: of 64 parallel claims one acquires the key; the others get its owner and fencing token.";
            parallel_claims_on_many_keys_have_one_owner_each in concurrency:
                "One atomic step: parallel claims on other keys change nothing.";
            parallel_repetitions_of_a_claim_are_one_claim in concurrency:
                "Rule 10: one claim that arrives many times in parallel has one result.";
            lapsed_claim_is_either_ended_or_taken_over in concurrency:
                "One atomic step: either the late owner or one of its successors wins.";
            successive_owners_never_overlap in concurrency:
                "One atomic step: the record names an owner until that owner has ended its claim.";
        }
        }
    };
}

macro_rules! define_checks {
    ([]
        counters { $($check:ident in $module:ident: $rule:literal;)+ }
        claims { $($claim_check:ident in $claim_module:ident: $claim_rule:literal;)+ }
    ) => {
        /// One function for each check, named after the behaviour that it tests.
        ///
        /// Each panics if the backend breaks the rule, and returns what it skipped.
        pub mod checks {
            use super::Harness;
            use crate::conformance::{self, Skip, claims, subject::Subject};

            $(
                #[doc = $rule]
                pub fn $check<H: Harness>(harness: &H) -> Option<Skip> {
                    let subject = Subject::new(harness, stringify!($check));
                    conformance::$module::$check(&subject);
                    match subject.with_fast_path(concat!(stringify!($check), ", fast path")) {
                        Some(subject) => conformance::$module::$check(&subject),
                        None => subject.skip(Skip::FastPath),
                    }
                    subject.skipped()
                }
            )+
            $(
                #[doc = $claim_rule]
                pub fn $claim_check<H: Harness>(harness: &H) -> Option<Skip> {
                    let subject = Subject::new(harness, stringify!($claim_check));
                    match subject.has_claims() {
                        true => claims::$claim_module::$claim_check(&subject),
                        false => subject.skip(Skip::Claims),
                    }
                    subject.skipped()
                }
            )+
        }

        /// Every check, in the order in which [`run`](super::run) runs them.
        pub const CHECKS: &[Check] = &[
            $(Check { name: stringify!($check), rule: $rule },)+
            $(Check { name: stringify!($claim_check), rule: $claim_rule },)+
        ];

        pub(super) fn for_each_check<H: Harness>(mut visit: impl FnMut(&'static str, fn(&H) -> Option<Skip>)) {
            $(visit(stringify!($check), checks::$check::<H>);)+
            $(visit(stringify!($claim_check), checks::$claim_check::<H>);)+
        }
    };
}
crate::__conformance_checks!([define_checks]);

/// Makes a `#[test]` of each check of the [conformance suite](mod@crate::conformance), with the
/// name of the check.
///
/// The argument is an expression for a [`Harness`](crate::conformance::Harness). Each test
/// evaluates it once. Put the tests of several backends into one module each.
///
/// # Skipped checks
///
/// A check passes if the backend or the harness does not offer what it tests. It prints why, which
/// `cargo test -- --show-output` shows. One more test, `skipped_checks_are_reported`, writes all
/// that is [skipped](crate::conformance::Skip) to standard error, uncaptured.
///
/// With the argument `skips`, that test fails unless exactly these parts are skipped. So no check
/// is lost by accident, such as by a fast path that always returns `None`:
///
/// ```
/// # fn my_backend() -> Box<dyn limited_core::Backend> { unimplemented!() }
/// limited_core::conformance_tests!(my_backend, skips: [Claims, LostResponses]);
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr $(,)?) => {
        $crate::__conformance_checks!([$crate::__conformance_test_functions] $harness);

        #[test]
        fn skipped_checks_are_reported() {
            use ::std::io::Write as _;

            let mut stderr = ::std::io::stderr().lock();
            for skip in $crate::conformance::skips(&$harness) {
                let _ = ::std::writeln!(stderr, "{}: checks were skipped: {skip}", ::std::module_path!());
            }
        }
    };
    ($harness:expr, skips: [$($skip:ident),* $(,)?] $(,)?) => {
        $crate::__conformance_checks!([$crate::__conformance_test_functions] $harness);

        #[test]
        fn skipped_checks_are_reported() {
            let expected = [$($crate::conformance::Skip::$skip),*].into();
            ::std::assert_eq!($crate::conformance::skips(&$harness), expected, "what the suite skips");
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test_functions {
    ([$harness:expr]
        counters { $($check:ident in $module:ident: $rule:literal;)+ }
        claims { $($claim_check:ident in $claim_module:ident: $claim_rule:literal;)+ }
    ) => {
        $(
            #[test]
            fn $check() {
                if let Some(skip) = $crate::conformance::checks::$check(&$harness) {
                    ::std::println!("skipped: {skip}");
                }
            }
        )+
        $(
            #[test]
            fn $claim_check() {
                if let Some(skip) = $crate::conformance::checks::$claim_check(&$harness) {
                    ::std::println!("skipped: {skip}");
                }
            }
        )+
    };
}
