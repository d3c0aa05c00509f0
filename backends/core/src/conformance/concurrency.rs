//! Every operation is one atomic step, whatever runs beside it.

use super::Harness;
use super::parallel::{in_parallel, one_by_one};
use super::subject::{NOW, Probe, START, Subject};
use crate::{CounterState, Hit, Window, WindowLength};

const TASKS: usize = 64;
const ROUNDS: usize = 3;
const MINUTE: std::time::Duration = WindowLength::MINUTE.as_duration();

pub(super) fn parallel_hits_admit_exactly_the_limit<H: Harness>(subject: &Subject<'_, H>) {
    for round in 0..ROUNDS {
        for counter in subject.each_kind(&format!("round {round}"), NOW) {
            let answers = in_parallel(TASKS, |_| {
                let hit = counter.asking(3, 100, NOW);
                (hit, counter.increment(&hit, NOW))
            });
            let rule = "of 64 hits of cost 3 at the same time, a limit of 100 admits 33";
            admitted(&counter, &answers, 33, rule);
            one_by_one(&counter, &answers, NOW);
        }
    }
}

pub(super) fn parallel_hits_of_mixed_costs_fill_up_to_the_limit<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 300;
    const COSTS: [u128; 7] = [1, 2, 3, 4, 5, 6, 7];
    for round in 0..ROUNDS {
        for counter in subject.each_kind(&format!("round {round}"), NOW) {
            let answers = in_parallel(TASKS, |task| {
                [COSTS[task % 7], COSTS[(task + 3) % 7]].map(|cost| {
                    let hit = counter.asking(cost, LIMIT, NOW);
                    (hit, counter.increment(&hit, NOW))
                })
            });
            let answers = answers.concat();
            let ceiling = counter.floor(NOW) + LIMIT * counter.unit();
            let counted = answers.iter().filter(|(_, tally)| tally.counted);
            let sum: u128 = counted.map(|(hit, _)| hit.cost).sum();
            let value = counter.floor(NOW) + sum;
            let refused = answers.iter().filter(|(_, tally)| !tally.counted);
            let smallest = refused.map(|(hit, _)| hit.cost).min();
            assert!(
                value <= ceiling && smallest.is_some_and(|cost| value + cost > ceiling),
                "hits of mixed costs at the same time fill a counter until the next one does not fit\n  \
                 but they took it to {value} of {ceiling}, and {smallest:?} was the smallest cost refused\n  \
                 of {counter}"
            );
            one_by_one(&counter, &answers, NOW);
        }
    }
}

pub(super) fn a_window_that_ended_is_rolled_over_in_one_step<H: Harness>(subject: &Subject<'_, H>) {
    let later = NOW.saturating_add(MINUTE);
    for round in 0..ROUNDS {
        for counter in subject.each_kind(&format!("round {round}"), NOW) {
            counter.first_hit(5, 5, NOW);
            let next = match counter.window {
                Window::Aligned { length, .. } => counter.with_window(Window::aligned(later, length)),
                window @ (Window::FromFirstHit { .. } | Window::Bucket { .. }) => counter.with_window(window),
            };
            let answers = in_parallel(TASKS / 2, |_| {
                let hit = next.asking(1, 5, later);
                (hit, next.increment(&hit, later))
            });
            // Bucket: of 5 tokens taken a minute before, at 7 a minute, all are back.
            admitted(&next, &answers, 5, "the first hits after a window's end find the next one empty, once");
            one_by_one(&next, &answers, later);
        }

        let end = START.saturating_add(MINUTE);
        let sides = [NOW, end].map(|now| (now, Window::aligned(now, WindowLength::MINUTE)));
        let answers = in_parallel(TASKS / 2, |task| {
            let (now, window) = sides[task % 2];
            let counter = subject.counter(window, format!("both sides, round {round}"));
            let hit = counter.asking(1, 5, now);
            (hit, counter.increment(&hit, now))
        });
        for (side, (now, window)) in sides.into_iter().enumerate() {
            let counter = subject.counter(window, format!("both sides, round {round}"));
            let answers: Vec<_> = answers.iter().skip(side).step_by(2).cloned().collect();
            admitted(&counter, &answers, 5, "hits on both sides of a boundary fill each side by itself");
            one_by_one(&counter, &answers, now);
        }
    }
}

pub(super) fn parallel_hits_on_many_keys_fill_each<H: Harness>(subject: &Subject<'_, H>) {
    const KEYS: usize = 8;
    for window in subject.each_kind("", NOW).map(|counter| counter.window) {
        let counter = |task| subject.counter(window, format!("{window:?} {}", task % KEYS));
        let answers = in_parallel(TASKS, |task| {
            let hit = counter(task).asking(1, 5, NOW);
            (hit, counter(task).increment(&hit, NOW))
        });
        for key in 0..KEYS {
            let answers: Vec<_> = answers.iter().skip(key).step_by(KEYS).cloned().collect();
            admitted(&counter(key), &answers, 5, "hits on other keys at the same time change nothing");
            one_by_one(&counter(key), &answers, NOW);
        }
    }
}

pub(super) fn a_reset_among_parallel_hits_leaves_a_whole_counter<H: Harness>(subject: &Subject<'_, H>) {
    const RESETS: u128 = 3;
    for counter in subject.each_kind("reset in flight", NOW) {
        let counted = in_parallel(TASKS / 4, |task| {
            if task == 0 {
                for _ in 0..RESETS {
                    counter.get(NOW);
                    counter.reset(None, NOW);
                }
                return 0;
            }
            let tallies = (0..8).map(|_| counter.hit(2, 10, NOW));
            tallies.filter(|tally| tally.counted).map(|_| 2).sum()
        });
        let (counted, most) = (counted.iter().sum::<u128>(), 10 * (RESETS + 1));
        let state = counter.get(NOW);
        let ceiling = counter.floor(NOW) + 10 * counter.unit();
        assert!(
            counted <= most && state.value <= ceiling,
            "a limit of 10 admits at most 10 before, between and after {RESETS} resets, so {most}\n  \
             but saw {counted}, and {} of {ceiling} at the end\n  of {counter}",
            state.value
        );
        let hit = counter.asking(1, 10, NOW);
        let rule = "after resets in flight, a counter is what it says it is";
        counter.expect(&counter.increment(&hit, NOW), &counter.after(&state, &hit, NOW), rule);
    }
}

#[track_caller]
fn admitted<H: Harness>(
    counter: &Probe<'_, H>,
    answers: &[(Hit<'_>, CounterState)],
    expected: usize,
    rule: &str,
) {
    let counted = answers.iter().filter(|(_, tally)| tally.counted).count();
    assert!(
        counted == expected,
        "{rule}\n  expected {expected} hits to be counted\n  but saw  {counted}\n  of {counter}"
    );
}
