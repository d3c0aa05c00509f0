//! Rule 6: a write that is repeated because its response was lost counts once.
//!
//! The checks pass if the harness cannot lose a response ([`Harness::lose_next_response`]).

use super::Harness;
use super::parallel::{assert_serialized, in_parallel};
use super::probe::CounterProbe;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NOW};
use crate::{BackendError, CounterState, Result, Timestamp, Window, WindowLength};

pub(super) fn hit_with_a_lost_response_counts_once<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_window("lost", NOW) {
        let mut state = counter.absent();
        for _ in 0..5 {
            let hit = counter.new_hit(2, 100, NOW);
            let expected = counter.after(&state, &hit, NOW);
            let Some(result) = with_lost_response(subject, || counter.try_increment(&hit, NOW)) else {
                return;
            };
            state = counted_once(&counter, result, &expected, &state, NOW);
            let hit = counter.new_hit(1, 100, NOW);
            let expected = counter.after(&state, &hit, NOW);
            let rule = "rule 6: the next hit after a lost response is added to the hit with that response";
            counter.expect(&counter.increment(&hit, NOW), &expected, rule);
            state = counter.uncounted(&expected, 0);
        }
    }
}

pub(super) fn filling_hit_with_a_lost_response_is_not_refused<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_window("filled by one hit", NOW) {
        let hit = counter.new_hit(5, 5, NOW);
        let expected = counter.after_first(&hit, NOW);
        let Some(result) = with_lost_response(subject, || counter.try_increment(&hit, NOW)) else { return };
        counted_once(&counter, result, &expected, &counter.absent(), NOW);
    }
    // The repetition of the hit that filled the counter does not fit any more.
    for counter in subject.each_window("filled by two hits", NOW) {
        let before = counter.uncounted(&counter.first_hit(3, 5, NOW), 0);
        let hit = counter.new_hit(2, 5, NOW);
        let expected = counter.counted(&before, 2);
        let Some(result) = with_lost_response(subject, || counter.try_increment(&hit, NOW)) else { return };
        let state = counted_once(&counter, result, &expected, &before, NOW);
        let next = counter.new_hit(2, 5, NOW);
        let rule =
            "rule 6: the next hit is compared with the value of the counter, whatever response was lost";
        counter.expect(&counter.increment(&next, NOW), &counter.after(&state, &next, NOW), rule);
    }
}

pub(super) fn sliding_hit_with_a_lost_response_counts_once<H: Harness>(subject: &Subject<'_, H>) {
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let counter = subject.counter(window, "sliding");
    let sliding = counter.sliding();
    let previous = counter.previous().first_hit(4, 10, NOW.saturating_sub(MINUTE)).value;
    let mut state = counter.absent();
    for _ in 0..3 {
        let hit = sliding.new_hit(2, 100, NOW);
        let Some(result) = with_lost_response(subject, || sliding.try_increment(&hit, NOW)) else { return };
        let expected = counter.counted(&state, 2);
        let result = result.map(|seen| {
            assert!(
                seen.previous == previous,
                "the result of a sliding hit has the value {previous} of the previous window\n  but saw {seen:?}"
            );
            seen.with_previous(0)
        });
        state = counted_once(&counter, result, &expected, &state, NOW);
    }
}

pub(super) fn reset_with_a_lost_response_is_applied_once<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_window("reset", NOW) {
        for has_id in [false, true] {
            let first = counter.first_hit(3, 5, NOW);
            let window_id = first.meta.as_ref().map(|meta| meta.id).filter(|_| has_id);
            let Some(result) = with_lost_response(subject, || counter.try_reset(window_id, NOW)) else {
                return;
            };
            let state = counter.get(NOW);
            let rule = "rule 6: a reset that succeeds after a lost response has deleted the counter";
            match result {
                Ok(()) => counter.expect(&state, &counter.absent(), rule),
                Err(error) => {
                    assert_unknown(&counter, &error);
                    assert!(
                        state == counter.absent() || state == counter.uncounted(&first, 0),
                        "rule 6: a reset with a lost response is applied or not applied\n  but saw {state:?}\n  of {counter}"
                    );
                    counter.reset(None, NOW);
                }
            }
            counter.first_hit(4, 5, NOW);
            counter.reset(None, NOW);
        }
    }
}

pub(super) fn parallel_hits_with_lost_responses_count_once<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_window("load", NOW) {
        let results = in_parallel(8, |_| {
            [(); 8].map(|()| {
                let hit = counter.new_hit(1, 40, NOW);
                with_lost_response(subject, || counter.try_increment(&hit, NOW)).map(|result| (hit, result))
            })
        });
        // A harness can lose all of these responses, or none.
        let Some(results) = results.into_iter().flatten().collect::<Option<Vec<_>>>() else { return };
        let (known, unknown): (Vec<_>, Vec<_>) = results.into_iter().partition(|(_, result)| result.is_ok());
        let known: Vec<_> = known.into_iter().filter_map(|(hit, result)| Some((hit, result.ok()?))).collect();
        if unknown.is_empty() {
            assert_serialized(&counter, &known, NOW);
        }
        let least = known.iter().filter(|(_, state)| state.counted).count();
        let most = (least + unknown.len()).min(40);
        let value = counter.get(NOW).value.saturating_sub(counter.floor(NOW)) / counter.unit();
        assert!(
            (least as u128..=most as u128).contains(&value),
            "rule 6: {least} hits were counted, and the outcome of {} is unknown, so {least} to {most} are counted\n  \
             but saw {value}\n  of {counter}",
            unknown.len()
        );
    }
}

/// Runs an operation whose response is lost. Returns `None` if the harness cannot lose one.
pub(super) fn with_lost_response<H: Harness, T>(
    subject: &Subject<'_, H>,
    operation: impl FnOnce() -> T,
) -> Option<T> {
    let loses = subject.harness.lose_next_response(&subject.backend);
    if !loses {
        subject.skip(Skip::LostResponses);
    }
    loses.then(operation)
}

/// Fails the check unless a hit with a lost response is counted once. If its result is that the
/// outcome is unknown, it may also be uncounted. Returns the state after it.
#[track_caller]
fn counted_once<H: Harness>(
    counter: &CounterProbe<'_, H>,
    result: Result<CounterState>,
    expected: &CounterState,
    before: &CounterState,
    now: Timestamp,
) -> CounterState {
    let counted = counter.uncounted(expected, 0);
    let state = counter.get(now);
    match result {
        Ok(result) => {
            let rule = "rule 6: a hit with a lost response is counted once, and its result says so";
            counter.expect(&result, expected, rule);
            counter.expect(&state, &counted, rule);
        }
        Err(error) => {
            assert_unknown(counter, &error);
            assert!(
                state == counted || state == *before,
                "rule 6: a hit with a lost response is counted at most once\n  \
                 expected {before:?}\n  or       {counted:?}\n  but saw  {state:?}\n  of {counter}"
            );
        }
    }
    state
}

#[track_caller]
pub(super) fn assert_unknown<H: Harness>(counter: &CounterProbe<'_, H>, error: &BackendError) {
    assert!(
        matches!(error, BackendError::TimedOut(_) | BackendError::Unavailable(_)),
        "rule 6: after a lost response the outcome is unknown, which is `TimedOut` or `Unavailable`\n  \
         but saw {error}\n  of {counter}"
    );
}
