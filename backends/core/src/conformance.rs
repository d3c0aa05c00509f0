//! The conformance suite: the rules of [`Backend`](crate::Backend), as checks that every backend has to pass.
//!
//! It needs the feature `conformance`, no runtime, and no time: the checks tell the backend every `now`, from 1970 to
//! 2554, and never sleep. They are some thirteen thousand small operations altogether, up to 64 of them at once.
//!
//! In a test of the backend's package, [`conformance_tests!`](crate::conformance_tests) makes one `#[test]` of each
//! check. It takes whatever is a [`Harness`]: in the simplest case, a function that returns an empty backend.
//!
//! ```
//! # use limited_core::{Backend, BackendError, Counter, WindowId, Hit, CounterState, Timestamp};
//! # #[derive(Default)]
//! # struct MyBackend;
//! # #[limited_core::async_trait]
//! # impl Backend for MyBackend {
//! #     async fn increment(&self, _: &Counter<'_>, _: &Hit<'_>, _: Timestamp) -> Result<CounterState, BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! #     async fn get(&self, _: &Counter<'_>, _: Timestamp) -> Result<CounterState, BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! #     async fn reset(&self, _: &Counter<'_>, _: Option<WindowId>, _: Timestamp) -> Result<(), BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! # }
//! limited_core::conformance_tests!(MyBackend::default);
//! # assert!(limited_core::conformance::run(&MyBackend::default).is_err());
//! ```
//!
//! [`run`] runs all checks in one go, and tells which failed:
//!
//! ```no_run
//! # fn example<MyBackend: limited_core::Backend + Default>() {
//! if let Err(failures) = limited_core::conformance::run(&MyBackend::default) {
//!     panic!("{failures}");
//! }
//! # }
//! ```
//!
//! [`checks`] contains each check by name, and [`CHECKS`] lists them. [`Harness`] shows what a backend needs that runs
//! on a runtime or a server. [`PollOnce`] is the harness of an [`Immediate`](crate::Immediate) backend: it fails if a
//! future is not ready at its first poll.
//!
//! If the backend has a fast path ([`try_increment`](crate::Backend::try_increment)), each check runs a second time
//! through it.
//!
//! A backend of counters alone passes: the checks of claims hold nothing for it. A backend that has claims asserts
//! [`has_claims`] in a test, so that it cannot lose them unseen.
//!
//! A failed check panics with the rule that was broken, what was expected, and what the backend answered.

mod arithmetic;
mod claims;
mod clock;
mod concurrency;
mod expiry;
mod fast_path;
mod harness;
mod identity;
mod lost_responses;
mod parallel;
mod reading;
mod refusal;
mod report;
mod sliding;
mod subject;

pub use claims::has_claims;
pub use harness::{Harness, PollOnce};
pub use report::{Check, Failure, Failures, run};

use claims::{
    altogether, claim_identity, claim_times, clock_jumps, ending, fencing, granting, lapsing, lost_claims,
    outcomes, racing, repeating, wandering,
};

/// Every check: where it is, what it is called, what it holds. All else that lists the checks is made from this.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    ([$($then:tt)+] $($with:tt)*) => {
        $($then)+! { [$($with)*]
            clock::a_backend_has_no_clock_of_its_own:
                "Rule 1: time is the argument `now`, and counts alike in 1970, 2026 and 2500.",
            clock::a_clock_that_jumps_back_finds_every_counter_as_full:
                "Rule 1: by a nanosecond, or by decades, it admits nothing extra.",
            clock::a_clock_that_jumps_back_past_a_new_window_admits_nothing_extra:
                "Rule 1: a window that counts already does not make the one before it fresh.",
            clock::an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end:
                "Rule 1: until then it reads, refuses and counts as it did; one shorter than the skew may make room earlier.",
            clock::an_opened_window_stays_known_for_one_length_and_the_skew_past_its_end:
                "Rule 1: until then a clock that jumps back before its end finds it.",
            clock::a_bucket_stays_known_for_the_skew_past_its_refill:
                "Rule 1: until then a clock that jumps back finds what was taken.",
            clock::a_wandering_clock_fills_each_aligned_window_once:
                "Rule 1: where time goes to and fro, no window holds more than its ceiling, and one forgotten refuses.",
            clock::a_wandering_clock_keeps_an_opened_window_until_its_end:
                "Rule 1: where time goes to and fro, a window is neither cut short nor opened twice.",
            clock::a_wandering_clock_refills_no_bucket:
                "Rule 1: where time goes to and fro, only its latest flows in.",

            expiry::an_opened_window_ends_one_length_after_its_first_hit:
                "Rule 2: 1 ns before, it counts; from then on it is absent, and the next hit opens a new one.",
            expiry::aligned_windows_are_apart_where_they_meet:
                "Rule 2: the last nanosecond of one and the first of the next count apart.",
            expiry::a_window_long_past_reads_as_absent:
                "Rule 2: what is still stored of a window long past is not read as live.",
            expiry::a_bucket_counts_from_its_floor_once_that_has_passed_its_value:
                "Rule 2: what has flowed back into a bucket is there, to the unit, and not before.",

            identity::namespace_and_key_are_apart:
                "Rule 3: `(\"a\", \"bc\")` is not `(\"ab\", \"c\")`, whatever separators they contain.",
            identity::keys_are_told_apart_byte_by_byte:
                "Rule 3: by case, spaces, Unicode forms and the last of 1,024 bytes; namespaces likewise.",
            identity::kinds_of_window_are_apart:
                "Rule 3: aligned, hit-opened and bucket of one key and length are three counters.",
            identity::lengths_of_window_are_apart:
                "Rule 3: the minute and the hour that start together are two counters.",
            identity::buckets_of_different_quotas_are_apart:
                "Rule 3: a bucket's limit and length are part of its identity.",
            identity::equal_counters_are_one:
                "Rule 3: whoever asks, with whatever limit, and however the key was composed.",

            fast_path::try_increment_agrees_with_increment:
                "`try_increment` returns what `increment` would return, or `None` and counts nothing.",

            arithmetic::a_hit_counts_up_to_exactly_its_ceiling:
                "Rule 4: what takes the value to the ceiling fits, and what takes it one further does not.",
            arithmetic::every_hit_counts_as_its_bounds_say:
                "Rule 4: the value after a hit is `max(value, floor) + cost`, if that is at most the ceiling.",
            arithmetic::a_zero_ceiling_admits_nothing:
                "Rule 4: a limit of zero is not the absence of a limit.",
            arithmetic::large_values_are_exact:
                "Rule 4: values of up to 38 digits are held and compared to the last digit.",
            arithmetic::no_cost_or_floor_wraps_or_is_cut_off:
                "Rule 4: what cannot fit is refused; `Invalid` is only for values of more than 38 digits.",
            arithmetic::windows_last_from_a_millisecond_to_a_century:
                "Rule 4: the shortest and the longest window count until their end.",
            arithmetic::the_first_and_the_last_moment_count_like_any_other:
                "Rule 4: at `Timestamp::EPOCH` and `Timestamp::MAX` nothing panics, wraps or admits.",

            refusal::a_refused_hit_changes_nothing:
                "Rule 5: neither one that is over what is left, nor one that is over the whole limit.",
            refusal::a_refused_hit_leaves_an_absent_counter_absent:
                "Rule 5: a refused hit stores nothing, and opens no window.",
            refusal::a_refusal_answers_with_the_state:
                "Rule 5: with the value, the start, the generation and the note.",
            refusal::only_the_first_hit_names_a_window:
                "Rule 5: start, generation and note of a hit-opened window are those of its first counted hit.",

            lost_responses::a_hit_whose_answer_was_lost_counts_once:
                "Rule 6: the backend recognises its own repeated write, or says that it does not know.",
            lost_responses::a_hit_that_filled_the_counter_knows_it_was_counted:
                "Rule 6: its own repeated write finds no room any more, and is not taken for a refusal.",
            lost_responses::a_sliding_hit_whose_answer_was_lost_counts_once:
                "Rule 6: the same where the window before weighs in.",
            lost_responses::a_reset_whose_answer_was_lost_is_one_reset:
                "Rule 6: it is done, or the answer says that this is not known.",
            lost_responses::answers_lost_under_load_count_once:
                "Rule 6: hits that travel together, or beside each other, count once each.",

            reading::a_get_counts_nothing:
                "`get` reads value, start and opening, and changes nothing.",
            reading::a_reset_forgets_the_counter:
                "`reset` leaves it absent, and is no error where it is.",
            reading::a_reset_leaves_every_other_counter:
                "`reset` leaves other windows, kinds, lengths, keys and namespaces.",
            reading::a_reset_of_a_generation_leaves_every_other:
                "`reset` of a generation leaves a window that another hit opened.",

            concurrency::parallel_hits_admit_exactly_the_limit:
                "One atomic step: of 64 hits at once, exactly as many count as fit.",
            concurrency::parallel_hits_of_mixed_costs_fill_up_to_the_limit:
                "One atomic step: hits are answered as if one had come after the other.",
            concurrency::a_window_that_ended_is_rolled_over_in_one_step:
                "One atomic step: no hit is lost, and none extra admitted, between an end and a beginning.",
            concurrency::parallel_hits_on_many_keys_fill_each:
                "One atomic step: hits on other keys change nothing.",
            concurrency::a_reset_among_parallel_hits_leaves_a_whole_counter:
                "One atomic step: a reset falls between two hits, and not into one.",

            sliding::a_sliding_hit_weighs_the_window_before:
                "`(current + cost) · length + previous · (length − elapsed) ≤ limit · length`, with no rounding.",
            sliding::the_window_before_fades_to_the_nanosecond:
                "What the window before weighs falls when it is due, and not 1 ns earlier.",
            sliding::a_sliding_answer_tells_both_windows:
                "`Tally::previous` is there when a hit is counted, refused, or only read.",
            sliding::sliding_and_fixed_windows_share_their_counter:
                "A sliding window counts in the aligned counter of its window.",
            sliding::a_late_hit_in_the_window_before_weighs:
                "The window before is not taken for settled within the allowed skew of its end.",
            sliding::only_an_aligned_window_slides:
                "Sliding over a window of another kind is `Invalid`, and counts nothing.",
            sliding::a_share_of_any_size_neither_wraps_nor_admits:
                "Rule 4: a large count times a century is weighed exactly.",
            sliding::parallel_sliding_hits_admit_exactly_what_is_left:
                "One atomic step: the same where the window before weighs in.",

            altogether::claims_are_there_altogether_or_not_at_all:
                "A backend has all operations of claims, or answers `Unsupported` to each.",

            granting::a_free_key_is_granted:
                "Rule 7: a key is free without a record, and where it was given up, has lapsed or has expired.",
            granting::a_lease_holds_to_the_nanosecond:
                "Rule 7: 1 ns before its end the key is held, and from then on free.",
            granting::a_held_key_tells_who_holds_it:
                "Rule 7: owner, fence, lease and fingerprint, in the answer that refuses.",
            granting::a_finished_key_tells_its_outcome:
                "Rule 7: what is done is not granted, also past its lease, and its outcome is in the answer.",
            granting::a_refused_claim_changes_nothing:
                "Rule 7: neither owner, lease nor fingerprint, nor an outcome or its expiry.",
            granting::a_new_grant_has_nothing_of_the_old:
                "Rule 7: no fingerprint, outcome or expiry of what was there before.",
            granting::details_decide_nothing:
                "Rule 7: whatever is kept for others to read, claims are granted, refused and finished as ever.",

            ending::only_its_owner_ends_a_claim:
                "Rule 8: who was not granted the key changes nothing, and is told who was.",
            ending::a_stale_owner_ends_nothing:
                "Rule 8: after a takeover, the owner before finishes, renews and releases nothing.",
            ending::what_is_not_there_has_no_owner:
                "Rule 8: nobody ends what is absent, was given up or has expired.",
            ending::what_is_finished_stays_finished:
                "Rule 8: what is done is neither renewed nor given up, also not by its owner.",
            ending::a_released_key_is_free:
                "Rule 8: `release` leaves nothing to find, and the next owner starts afresh.",
            ending::who_gave_a_key_up_has_no_older_right_to_it:
                "Rule 9: a claim that arrives once more after its owner's `release` is `Invalid`, or has a new number.",
            ending::a_forgotten_key_is_free:
                "`forget` removes what is held or done, takes it from its owner, and is no error where nothing is.",

            lapsing::a_lapsed_claim_stays_its_owners:
                "Rule 8: who is late, and was not taken over, finishes, renews and releases all the same.",
            lapsing::a_lapsed_claim_expires:
                "Rule 8: at `lapsed_claim_expires`, and not 1 ns earlier, nobody owns it any more.",
            lapsing::a_renewed_lease_ends_at_its_new_end:
                "`renew` moves the end on: 1 ns before it the key is held, and from then on free.",
            lapsing::a_lease_never_moves_back:
                "`renew` to an earlier end is `Owned`, and changes nothing.",
            lapsing::a_renewed_claim_expires_later:
                "`renew` moves on when the record expires, too.",

            outcomes::every_outcome_comes_back_as_it_was:
                "Result, status code and time of the finish come back to the letter, to who finds and who claims.",
            outcomes::large_outcomes_are_kept_or_said_not_to_be:
                "100 KB are kept; of what is larger, answer and record say so if it is not.",
            outcomes::a_finished_record_expires_at_the_end_of_its_second:
                "Rule 2: at `has_expired`, and not 1 ns earlier, whoever asks first.",
            outcomes::a_finished_record_without_expiry_stays:
                "What does not expire is there in the year 2500.",

            fencing::every_grant_has_a_higher_fence:
                "Rule 9: after release, `forget`, lapse and expiry within one nanosecond.",
            fencing::a_clock_that_jumps_back_lowers_no_fence:
                "Rule 9: the same where the next grant is at an earlier time.",
            fencing::a_fence_outlives_its_record:
                "Rule 9: what a backend has forgotten by the latest time it was told, it goes on from.",

            repeating::a_repeated_claim_is_granted_again:
                "Rule 10: with the same fence and lease, also past its end, and not after a takeover.",
            repeating::a_repeated_claim_is_told_what_it_holds:
                "Rule 10: whatever lease it asks for, its answer is what the record says.",
            repeating::a_late_claim_reopens_nothing:
                "Rule 10: an owner that has finished is given its own outcome.",
            repeating::a_repeated_finish_changes_nothing:
                "Rule 10: it is `Kept` once more, and result and time are those of the first.",
            repeating::a_repeated_renewal_or_release_is_recognised:
                "Rule 10: by the record, and not if a newer owner has come.",

            lost_claims::a_claim_whose_answer_was_lost_is_its_owners:
                "Rule 10: its own grant is not taken for somebody else's, whatever was there before.",
            lost_claims::a_refusal_whose_answer_was_lost_is_a_refusal:
                "Rule 10: who was refused owns nothing by asking once more.",
            lost_claims::a_finish_whose_answer_was_lost_is_kept:
                "Rule 10: its own outcome is not taken for somebody else's.",
            lost_claims::a_renewal_whose_answer_was_lost_is_the_owners:
                "Rule 10: its own renewal is not taken for a loss.",
            lost_claims::a_key_given_up_with_a_lost_answer_is_free:
                "Rule 10: released or forgotten, it is that once.",
            lost_claims::answers_lost_among_parallel_claims_grant_one:
                "Rule 10: the same where many claim at once.",

            clock_jumps::a_clock_that_jumps_back_finds_a_held_key_held:
                "Rule 11: also from before it was claimed, and by who has taken it over.",
            clock_jumps::a_clock_that_jumps_back_finds_a_finished_record:
                "Rule 11: from before its expiry it is there, whoever looked in between.",
            clock_jumps::a_clock_that_jumps_back_finds_a_lapsed_claim:
                "Rule 11: from before its expiry it is its owner's.",
            wandering::claims_under_a_wandering_clock_have_one_owner:
                "Rules 7 to 11: where time goes to and fro, every answer is the one of a model that forgets nothing.",

            claim_times::claims_have_no_clock_of_their_own:
                "Rule 1: time is the argument `now`, and leases end alike in 1970, 2026 and 2500.",
            claim_times::the_first_moment_claims_like_any_other:
                "Rule 4: at `Timestamp::EPOCH` nothing panics or wraps.",
            claim_times::the_last_moment_never_comes:
                "Rule 4: a lease until `Timestamp::MAX` never ends, and what expires then never does.",

            claim_identity::claims_on_different_keys_are_apart:
                "Rule 3: by namespace, kind and key, whatever separators they contain, byte by byte.",
            claim_identity::a_claim_that_ends_leaves_every_other:
                "Rule 3: `finish`, `release` and `forget` leave other keys, namespaces and kinds.",
            claim_identity::claims_and_counters_do_not_meet:
                "Rule 3: a claim and a counter of one namespace and key are apart.",
            claim_identity::equal_claims_are_one:
                "Rule 3: however the key was composed.",

            racing::parallel_claims_grant_one:
                "One atomic step: of 64 claims at once one is granted, and the others are told its owner and fence.",
            racing::parallel_claims_on_many_keys_grant_one_each:
                "One atomic step: claims on other keys change nothing.",
            racing::parallel_repetitions_of_a_claim_are_one:
                "Rule 10: one claim that arrives many times at once is one grant.",
            racing::a_lapsed_claim_is_ended_or_taken_over:
                "One atomic step: a late owner and those who take over, only one of them wins.",
            racing::owners_in_a_row_never_overlap:
                "One atomic step: who holds a key finds itself in the record until it has ended it.",
        }
    };
}

macro_rules! define_checks {
    ([] $($module:ident::$check:ident: $holds:literal,)+) => {
        /// Each check by itself, named after the behaviour that it holds.
        ///
        /// They panic where the backend breaks a rule.
        pub mod checks {
            use super::Harness;
            use super::subject::Subject;

            $(
                #[doc = $holds]
                pub fn $check<H: Harness>(harness: &H) {
                    let namespaces = [stringify!($check), concat!(stringify!($check), ", fast path")];
                    for subject in Subject::of_each_path(harness, namespaces) {
                        super::$module::$check(&subject);
                    }
                }
            )+
        }

        /// Every check, in the order in which [`run`] runs them.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($check), holds: $holds }),+];

        fn for_each_check<H: Harness>(mut visit: impl FnMut(&'static str, fn(&H))) {
            $(visit(stringify!($check), checks::$check::<H>);)+
        }
    };
}
crate::__conformance_checks!([define_checks]);

/// Makes a `#[test]` of each check of the [conformance suite](mod@crate::conformance), named as it is.
///
/// The argument is an expression for a [`Harness`](crate::conformance::Harness), evaluated once in each test. Tests of
/// more than one backend go into a module each.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr $(,)?) => {
        $crate::__conformance_checks!([$crate::__conformance_test_functions] $harness);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test_functions {
    ([$harness:expr] $($module:ident::$check:ident: $holds:literal,)+) => {$(
        #[test]
        fn $check() {
            $crate::conformance::checks::$check(&$harness);
        }
    )+};
}
