//! Rule 6: a write that is repeated because its answer was lost counts once.
//!
//! A backend that cannot lose an answer on purpose ([`Harness::lose_next_response`]) passes these.

use super::Harness;
use super::parallel::{in_parallel, one_by_one};
use super::subject::{NOW, Probe, Subject};
use crate::{BackendError, CounterState, Timestamp, Window, WindowLength};

pub(super) fn a_hit_whose_answer_was_lost_counts_once<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("lost", NOW) {
        let mut state = counter.absent();
        for _ in 0..5 {
            let hit = counter.asking(2, 100, NOW);
            let expected = counter.after(&state, &hit, NOW);
            let Some(answer) = losing(subject, || counter.try_increment(&hit, NOW)) else {
                return;
            };
            state = counted_once(&counter, answer, &expected, &state, NOW);
            let hit = counter.asking(1, 100, NOW);
            let expected = counter.after(&state, &hit, NOW);
            let rule = "rule 6: the hit after one whose answer was lost counts on top of it";
            counter.expect(&counter.increment(&hit, NOW), &expected, rule);
            state = counter.then(&expected, false, 0);
        }
    }
}

pub(super) fn a_hit_that_filled_the_counter_knows_it_was_counted<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("filled at once", NOW) {
        let hit = counter.asking(5, 5, NOW);
        let expected = counter.after_first(&hit, NOW);
        let Some(answer) = losing(subject, || counter.try_increment(&hit, NOW)) else {
            return;
        };
        counted_once(&counter, answer, &expected, &counter.absent(), NOW);
    }
    // To its own repetition, the hit that filled the counter looks like one that does not fit any more.
    for counter in subject.each_kind("filled up", NOW) {
        let before = counter.then(&counter.first_hit(3, 5, NOW), false, 0);
        let hit = counter.asking(2, 5, NOW);
        let expected = counter.then(&before, true, 2);
        let Some(answer) = losing(subject, || counter.try_increment(&hit, NOW)) else {
            return;
        };
        let state = counted_once(&counter, answer, &expected, &before, NOW);
        let next = counter.asking(2, 5, NOW);
        let rule = "rule 6: a hit is held against what is there, whatever was lost before it";
        counter.expect(&counter.increment(&next, NOW), &counter.after(&state, &next, NOW), rule);
    }
}

pub(super) fn a_sliding_hit_whose_answer_was_lost_counts_once<H: Harness>(subject: &Subject<'_, H>) {
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let counter = subject.counter(window, "sliding");
    let before = counter.with_window(window.previous().unwrap_or(window));
    let previous = before.first_hit(4, 10, NOW.saturating_sub(WindowLength::MINUTE.as_duration())).value;
    let mut state = counter.absent();
    for _ in 0..3 {
        let Some(answer) = losing(subject, || counter.try_slide(2, 100, NOW)) else {
            return;
        };
        let expected = counter.then(&state, true, 2);
        let answer = answer.map(|tally| {
            let with_previous = tally.previous == previous;
            assert!(
                with_previous,
                "a sliding hit answers with the {previous} that it weighed, and not {tally:?}"
            );
            tally.with_previous(0)
        });
        state = counted_once(&counter, answer, &expected, &state, NOW);
    }
}

pub(super) fn a_reset_whose_answer_was_lost_is_one_reset<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("reset", NOW) {
        for named in [false, true] {
            let first = counter.first_hit(3, 5, NOW);
            let window_id = first.meta.as_ref().map(|meta| meta.id).filter(|_| named);
            let Some(answer) = losing(subject, || counter.try_reset(window_id, NOW)) else {
                return;
            };
            let state = counter.get(NOW);
            let rule = "rule 6: a reset that is answered is done, though its answer was lost at first";
            match answer {
                Ok(()) => counter.expect(&state, &counter.absent(), rule),
                Err(error) => {
                    assert_open(&counter, &error);
                    assert!(
                        state == counter.absent() || state == counter.then(&first, false, 0),
                        "rule 6: a reset whose answer was lost is done or not done\n  but saw {state:?}\n  of {counter}"
                    );
                    counter.reset(None, NOW);
                }
            }
            counter.first_hit(4, 5, NOW);
            counter.reset(None, NOW);
        }
    }
}

pub(super) fn answers_lost_under_load_count_once<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("load", NOW) {
        let answers = in_parallel(8, |_| {
            [(); 8].map(|()| {
                let hit = counter.asking(1, 40, NOW);
                losing(subject, || counter.try_increment(&hit, NOW)).map(|answer| (hit, answer))
            })
        });
        // Whether a backend can lose answers does not change under way: all of these are there, or none.
        let Some(answers) = answers.into_iter().flatten().collect::<Option<Vec<_>>>() else {
            return;
        };
        let (told, open): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
        let told: Vec<_> = told.into_iter().filter_map(|(hit, answer)| Some((hit, answer.ok()?))).collect();
        if open.is_empty() {
            one_by_one(&counter, &told, NOW);
        }
        let least = told.iter().filter(|(_, tally)| tally.counted).count();
        let most = (least + open.len()).min(40);
        let value = counter.get(NOW).value.saturating_sub(counter.floor(NOW)) / counter.unit();
        assert!(
            (least as u128..=most as u128).contains(&value),
            "rule 6: {least} hits were answered as counted, and {} not answered, so {least} to {most} are counted\n  \
             but saw {value}\n  of {counter}",
            open.len()
        );
    }
}

/// Asks while the next answer is to be lost; `None` where this backend cannot lose one.
pub(super) fn losing<H: Harness, T>(subject: &Subject<'_, H>, ask: impl FnOnce() -> T) -> Option<T> {
    subject.harness.lose_next_response(&subject.backend).then(ask)
}

/// Fails unless a hit whose answer was lost is counted once, or is left open by the answer and counted at most once.
/// Returns the state it left.
#[track_caller]
fn counted_once<H: Harness>(
    counter: &Probe<'_, H>,
    answer: Result<CounterState, BackendError>,
    expected: &CounterState,
    before: &CounterState,
    now: Timestamp,
) -> CounterState {
    let counted = counter.then(expected, false, 0);
    let state = counter.get(now);
    match answer {
        Ok(answer) => {
            let rule = "rule 6: a hit whose answer was lost is counted once, and answered as counted";
            counter.expect(&answer, expected, rule);
            counter.expect(&state, &counted, rule);
        }
        Err(error) => {
            assert_open(counter, &error);
            assert!(
                state == counted || state == *before,
                "rule 6: a hit whose answer was lost is counted at most once\n  \
                 expected {before:?}\n  or       {counted:?}\n  but saw  {state:?}\n  of {counter}"
            );
        }
    }
    state
}

#[track_caller]
fn assert_open<H: Harness>(counter: &Probe<'_, H>, error: &BackendError) {
    assert!(
        matches!(error, BackendError::TimedOut(_) | BackendError::Unavailable(_)),
        "rule 6: a lost answer leaves open what was done, which only `TimedOut` and `Unavailable` say, and not: \
         {error}\n  of {counter}"
    );
}
