//! Sliding windows: what the window before weighs.

use std::collections::HashMap;
use std::time::Duration;

use super::Harness;
use super::parallel::{in_parallel, one_by_one};
use super::subject::{NOW, Probe, Random, START, Subject};
use crate::{BackendError, CounterState, Timestamp, Window, WindowLength};

const TICK: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Window = Window::aligned(START, WindowLength::MINUTE);

pub(super) fn a_sliding_hit_weighs_the_window_before<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a sliding window admits a cost if and only if \
                (current + cost) · length + previous · (length − elapsed) ≤ limit · length";
    // A length that divides neither seconds nor costs, so that shares are never whole.
    let uneven = WindowLength::try_from(Duration::from_nanos(1_234_567_891));
    for length in [WindowLength::MINUTE, uneven.expect("1.2 s are a length")] {
        let subject = subject.afresh();
        let mut random = Random::new(length.as_nanos());
        let mut held = HashMap::<Window, u128>::new();
        let mut now = START;
        for _ in 0..100 {
            now = now.saturating_add(Duration::from_nanos(random.below(length.as_nanos() / 16)));
            let window = Window::aligned(now, length);
            let counter = subject.counter(window, format!("every {length:?}"));
            let (cost, limit) = (random.below(6).into(), u128::from(20 + random.below(40)));
            let value = |window| held.get(&window).copied().unwrap_or_default();
            let (current, previous) = (value(window), window.previous().map_or(0, value));
            let length = u128::from(length.as_nanos());
            let elapsed = u128::from(now.as_nanos()) % length;
            let counted = (current + cost) * length + previous * (length - elapsed) <= limit * length;
            let current = if counted { current + cost } else { current };
            let expected = CounterState { counted, value: current, previous, ..counter.absent() };
            counter.expect(&counter.slide(cost, limit, now), &expected, rule);
            held.insert(window, current);
            let read = CounterState { counted: false, ..expected };
            counter.expect(
                &counter.get_sliding(now),
                &read,
                "`get_sliding` reads both windows, and counts nothing",
            );
        }
    }
}

pub(super) fn the_window_before_fades_to_the_nanosecond<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "the share of the window before is rounded up: it falls by one when that is due, and not 1 ns earlier";
    let current = subject.counter(MINUTE, "fading");
    let before = previous(&current);
    before.first_hit(60, 60, before_start());
    let state = |counted, value| CounterState { counted, value, previous: 60, ..current.absent() };
    current.expect(&current.slide(1, 60, START), &state(false, 0), rule);
    for passed in 1..5 {
        let due = START.saturating_add(passed * SECOND);
        let early = current.slide(1, 60, due.saturating_sub(TICK));
        current.expect(&early, &state(false, u128::from(passed) - 1), rule);
        current.expect(&current.slide(1, 60, due), &state(true, u128::from(passed)), rule);
        current.expect(&current.slide(1, 60, due), &state(false, u128::from(passed)), rule);
    }
    let last = START.saturating_add(WindowLength::MINUTE.as_duration()).saturating_sub(TICK);
    current.expect(&current.slide(56, 60, last), &state(false, 4), rule);
    current.expect(&current.slide(55, 60, last), &state(true, 59), rule);
}

pub(super) fn a_sliding_answer_tells_both_windows<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a sliding answer tells the value of the window before, counted, refused or read";
    let current = subject.counter(MINUTE, "told");
    let before = previous(&current);
    current.expect(&current.get_sliding(START), &current.absent(), rule);
    before.first_hit(8, 10, before_start());
    let state = |counted, value| CounterState { counted, value, previous: 8, ..current.absent() };
    // Refused by the share alone, which is more than the limit.
    current.expect(&current.slide(1, 5, START), &state(false, 0), rule);
    current.expect(&current.slide(0, 5, START), &state(false, 0), rule);
    current.expect(&current.get_sliding(START), &state(false, 0), rule);
    current.expect(&current.slide(2, 10, START), &state(true, 2), rule);
    current.expect(&current.slide(1, 10, START), &state(false, 2), rule);
    current.expect(&current.slide(u128::MAX, 10, START), &state(false, 2), rule);
    current.expect(&current.get_sliding(START), &state(false, 2), rule);
    let plain = "a refused sliding hit leaves both windows as they were";
    current.expect(&current.get(START), &CounterState { previous: 0, ..state(false, 2) }, plain);
    before.expect(&before.get(START), &CounterState { value: 8, ..before.absent() }, plain);

    let now = START.saturating_add(WindowLength::MINUTE.as_duration());
    let next = current.with_window(Window::aligned(now, WindowLength::MINUTE));
    let last = CounterState { previous: 2, ..next.absent() };
    next.expect(
        &next.get_sliding(now),
        &last,
        "only the window right before weighs, and not the one before that",
    );

    let subject = subject.afresh();
    let first = Timestamp::from_secs(59);
    let counter = subject.counter(Window::aligned(first, WindowLength::MINUTE), "the first since the epoch");
    let counted = CounterState { counted: true, value: 3, ..counter.absent() };
    counter.expect(
        &counter.slide(3, 3, first),
        &counted,
        "before the first window since the epoch there is none",
    );
    counter.expect(&counter.get_sliding(first), &CounterState { counted: false, ..counted }, rule);
}

pub(super) fn sliding_and_fixed_windows_share_their_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a sliding window is the aligned counter of its window, and shares it with fixed ones";
    let current = subject.counter(MINUTE, "shared");
    let before = previous(&current);
    let counted = before.slide(3, 10, before_start());
    before.expect(&counted, &CounterState { counted: true, value: 3, ..before.absent() }, rule);
    before.expect(&before.hit(3, 10, before_start()), &before.then(&counted, true, 3), rule);
    let first = current.first_hit(2, 10, START);
    current.expect(&current.slide(2, 10, START), &current.then(&first, true, 2).with_previous(6), rule);
    current.expect(&current.hit(6, 10, START), &current.then(&first, true, 8), rule);
    current.expect(&current.get_sliding(START), &current.then(&first, false, 8).with_previous(6), rule);
    current.reset(None, START);
    current.expect(&current.get_sliding(START), &current.absent().with_previous(6), rule);
    before.reset(None, START);
    current.expect(&current.get_sliding(START), &current.absent(), rule);
}

pub(super) fn a_late_hit_in_the_window_before_weighs<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a hit that arrives late, by a clock within the allowed skew, still weighs from then on";
    let skew = subject.harness.max_clock_skew().min(SECOND);
    if skew.is_zero() {
        return;
    }
    let current = subject.counter(MINUTE, "late");
    let before = previous(&current);
    let known = before.slide(2, 10, before_start());
    current.expect(
        &current.slide(1, 10, START),
        &current.then(&current.absent(), true, 1).with_previous(2),
        rule,
    );
    let late = START.saturating_sub(skew);
    before.expect(&before.slide(7, 10, late), &before.then(&known, true, 7), rule);
    before.expect(&before.slide(2, 10, late), &before.then(&known, false, 7), rule);
    let refused = current.then(&current.absent(), false, 1).with_previous(9);
    current.expect(&current.slide(1, 10, START), &refused, rule);
    current.expect(&current.get_sliding(START), &refused, rule);
}

pub(super) fn only_an_aligned_window_slides<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("not aligned", NOW) {
        if let Window::Aligned { .. } = counter.window {
            continue;
        }
        let rule =
            "a window that is not aligned has none before it to weigh: that is `Invalid`, and counts nothing";
        for answer in [counter.try_slide(1, 5, NOW), counter.try_get_sliding(NOW)] {
            assert!(
                matches!(answer, Err(BackendError::Invalid(_))),
                "{rule}\n  but saw {answer:?}\n  of {counter}"
            );
        }
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
    }
}

pub(super) fn a_share_of_any_size_neither_wraps_nor_admits<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: a share of a century-long window full of `u64::MAX` is weighed exactly";
    let all = u128::from(u64::MAX);
    // A hundred-year window in the twenty-third century, in its exact middle.
    let century = WindowLength::MAX.as_duration();
    let now = Timestamp::EPOCH.saturating_add(3 * century).saturating_add(century / 2);
    let current = subject.counter(Window::aligned(now, WindowLength::MAX), "century");
    let before = previous(&current);
    before.first_hit(all, all, now.saturating_sub(century));
    let state = |counted, value| CounterState { counted, value, previous: all, ..current.absent() };
    let half = 1 << 63;
    current.expect(&current.slide(half, all, now), &state(false, 0), rule);
    current.expect(&current.slide(half - 1, all, now), &state(true, half - 1), rule);
    current.expect(&current.slide(1, all, now), &state(false, half - 1), rule);
    for cost in [all, 1 << 64, u128::MAX] {
        current.expect(&current.slide(cost, all, now), &state(false, half - 1), rule);
    }
}

pub(super) fn parallel_sliding_hits_admit_exactly_what_is_left<H: Harness>(subject: &Subject<'_, H>) {
    for round in 0..3 {
        let current = subject.counter(MINUTE, format!("round {round}"));
        previous(&current).first_hit(41, 50, before_start());
        // In the middle of the window 41 weigh 20.5, and so leave 29 of 50: nine hits of cost 3.
        let now = START.saturating_add(30 * SECOND);
        let answers = in_parallel(32, |_| (current.asking(3, 29, now), current.slide(3, 50, now)));
        let counted = answers.iter().filter(|(_, tally)| tally.counted).count();
        assert!(
            counted == 9,
            "of 32 sliding hits of cost 3 at the same time, 29 left admit 9\n  but saw {counted}\n  of {current}"
        );
        for (_, tally) in &answers {
            assert!(
                tally.previous == 41,
                "each tells the 41 that it weighed, and not {tally:?}\n  of {current}"
            );
        }
        one_by_one(&current, &answers, now);
    }
}

/// A moment in the window before [`MINUTE`].
const fn before_start() -> Timestamp {
    START.saturating_sub(TICK)
}

fn previous<'s, H: Harness>(current: &Probe<'s, H>) -> Probe<'s, H> {
    let window = current.window.previous();
    current.with_window(window.expect("these windows are not the first since the epoch"))
}
