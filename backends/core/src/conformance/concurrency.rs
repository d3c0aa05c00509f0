//! Every operation is one atomic step, whatever runs in parallel.

use super::Harness;
use super::parallel::{assert_serialized, in_parallel};
use super::probe::CounterProbe;
use super::subject::Subject;
use super::times::{MINUTE, NOW, START};
use crate::{CounterState, Hit, Window, WindowLength};

const THREADS: usize = 64;
const ROUNDS: usize = 3;

pub(super) fn parallel_hits_admit_exactly_the_limit<H: Harness>(subject: &Subject<'_, H>) {
    for round in 0..ROUNDS {
        for counter in subject.each_window(&format!("round {round}"), NOW) {
            let results = in_parallel(THREADS, |_| {
                let hit = counter.new_hit(3, 100, NOW);
                (hit, counter.increment(&hit, NOW))
            });
            let rule = "of 64 parallel hits of cost 3, a limit of 100 admits 33";
            assert_counted(&counter, &results, 33, rule);
            assert_serialized(&counter, &results, NOW);
        }
    }
}

pub(super) fn parallel_hits_of_mixed_costs_fill_the_limit<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 300;
    const COSTS: [u128; 7] = [1, 2, 3, 4, 5, 6, 7];
    for round in 0..ROUNDS {
        for counter in subject.each_window(&format!("round {round}"), NOW) {
            let results = in_parallel(THREADS, |thread| {
                [COSTS[thread % 7], COSTS[(thread + 3) % 7]].map(|cost| {
                    let hit = counter.new_hit(cost, LIMIT, NOW);
                    (hit, counter.increment(&hit, NOW))
                })
            });
            let results = results.concat();
            let ceiling = counter.floor(NOW) + LIMIT * counter.unit();
            let counted = results.iter().filter(|(_, state)| state.counted);
            let sum: u128 = counted.map(|(hit, _)| hit.cost).sum();
            let value = counter.floor(NOW) + sum;
            let refused = results.iter().filter(|(_, state)| !state.counted);
            let smallest = refused.map(|(hit, _)| hit.cost).min();
            assert!(
                value <= ceiling && smallest.is_some_and(|cost| value + cost > ceiling),
                "parallel hits of mixed costs fill a counter until the next one does not fit\n  \
                 but they filled it to {value} of {ceiling}, and the smallest refused cost is {smallest:?}\n  \
                 of {counter}"
            );
            assert_serialized(&counter, &results, NOW);
        }
    }
}

pub(super) fn ended_window_is_replaced_in_one_step<H: Harness>(subject: &Subject<'_, H>) {
    let later = NOW.saturating_add(MINUTE);
    for round in 0..ROUNDS {
        for counter in subject.each_kind(&format!("round {round}"), NOW) {
            counter.first_hit(5, 5, NOW);
            let next = counter.at(later);
            let results = in_parallel(THREADS / 2, |_| {
                let hit = next.new_hit(1, 5, later);
                (hit, next.increment(&hit, later))
            });
            // Of the bucket, 5 tokens were taken a minute before; at 7 a minute, all are refilled.
            assert_counted(
                &next,
                &results,
                5,
                "the first hits after the end of a window start one new window",
            );
            assert_serialized(&next, &results, later);
        }

        let end = START.saturating_add(MINUTE);
        let windows = [NOW, end].map(|now| (now, Window::aligned(now, WindowLength::MINUTE)));
        let results = in_parallel(THREADS / 2, |thread| {
            let (now, window) = windows[thread % 2];
            let counter = subject.counter(window, format!("adjacent windows, round {round}"));
            let hit = counter.new_hit(1, 5, now);
            (hit, counter.increment(&hit, now))
        });
        for (position, (now, window)) in windows.into_iter().enumerate() {
            let counter = subject.counter(window, format!("adjacent windows, round {round}"));
            let results: Vec<_> = results.iter().skip(position).step_by(2).cloned().collect();
            assert_counted(
                &counter,
                &results,
                5,
                "parallel hits in adjacent windows fill each window separately",
            );
            assert_serialized(&counter, &results, now);
        }
    }
}

pub(super) fn parallel_hits_on_many_keys_are_independent<H: Harness>(subject: &Subject<'_, H>) {
    const KEYS: usize = 8;
    for window in subject.each_window("", NOW).into_iter().map(|counter| counter.window) {
        let counter = |thread| subject.counter(window, format!("{window:?} {}", thread % KEYS));
        let results = in_parallel(THREADS, |thread| {
            let hit = counter(thread).new_hit(1, 5, NOW);
            (hit, counter(thread).increment(&hit, NOW))
        });
        for key in 0..KEYS {
            let results: Vec<_> = results.iter().skip(key).step_by(KEYS).cloned().collect();
            assert_counted(&counter(key), &results, 5, "parallel hits on other keys change nothing");
            assert_serialized(&counter(key), &results, NOW);
        }
    }
}

pub(super) fn reset_during_parallel_hits_leaves_a_consistent_counter<H: Harness>(subject: &Subject<'_, H>) {
    const RESETS: u128 = 3;
    for counter in subject.each_kind("parallel reset", NOW) {
        let counted = in_parallel(THREADS / 4, |thread| {
            if thread == 0 {
                for _ in 0..RESETS {
                    counter.get(NOW);
                    counter.reset(None, NOW);
                }
                return 0;
            }
            let states = (0..8).map(|_| counter.hit(2, 10, NOW));
            states.filter(|state| state.counted).map(|_| 2).sum()
        });
        let (counted, most) = (counted.iter().sum::<u128>(), 10 * (RESETS + 1));
        let state = counter.get(NOW);
        let ceiling = counter.floor(NOW) + 10 * counter.unit();
        assert!(
            counted <= most && state.value <= ceiling,
            "a limit of 10 admits at most 10 before, between and after {RESETS} resets, so at most {most}\n  \
             but saw {counted}, and the value {} of {ceiling} at the end\n  of {counter}",
            state.value
        );
        let hit = counter.new_hit(1, 10, NOW);
        let rule = "after parallel resets, a counter counts from the value that it returned";
        counter.expect(&counter.increment(&hit, NOW), &counter.after(&state, &hit, NOW), rule);
    }
}

#[track_caller]
fn assert_counted<H: Harness>(
    counter: &CounterProbe<'_, H>,
    results: &[(Hit<'_>, CounterState)],
    expected: usize,
    rule: &str,
) {
    let counted = results.iter().filter(|(_, state)| state.counted).count();
    assert!(
        counted == expected,
        "{rule}\n  expected {expected} counted hits\n  but saw  {counted}\n  of {counter}"
    );
}
