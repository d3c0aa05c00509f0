//! Sliding counters: the weight of the previous window.

use std::collections::HashMap;
use std::time::Duration;

use super::Harness;
use super::clock::{count_on_other_keys, no_shorter_than, start_of, visit_jumping_times};
use super::parallel::{assert_serialized, in_parallel};
use super::random::Random;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NOW, SECOND, START, just_before};
use crate::{BackendError, CounterState, Hit, Timestamp, Window, WindowLength, retained_until, sliding};

/// The window that starts at [`START`].
const WINDOW: Window = Window::aligned(START, WindowLength::MINUTE);

/// The last nanosecond of the window before [`WINDOW`].
const BEFORE_START: Timestamp = just_before(START);

pub(super) fn sliding_hit_is_limited_by_the_weighted_previous_window<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a sliding counter admits a cost if and only if \
                (current + cost) · length + previous · (length − elapsed) ≤ limit · length";
    // With a length that divides neither seconds nor costs, no weight is a whole number.
    let uneven = WindowLength::try_from(Duration::from_nanos(1_234_567_891));
    for length in [WindowLength::MINUTE, uneven.expect("1.2 s are a valid length")] {
        let subject = subject.with_new_backend();
        let mut random = Random::new(length.as_nanos());
        let mut values = HashMap::<Window, u128>::new();
        let mut now = START;
        for _ in 0..100 {
            now = now.saturating_add(Duration::from_nanos(random.below(length.as_nanos() / 16)));
            let window = Window::aligned(now, length);
            let counter = subject.counter(window, format!("every {length:?}")).sliding();
            let (cost, limit) = (random.below(6).into(), u128::from(20 + random.below(40)));
            let value = |window| values.get(&window).copied().unwrap_or_default();
            let (current, previous) = (value(window), window.previous().map_or(0, value));
            let length = u128::from(length.as_nanos());
            let elapsed = u128::from(now.as_nanos()) % length;
            let counted = (current + cost) * length + previous * (length - elapsed) <= limit * length;
            let current = if counted { current + cost } else { current };
            let expected = CounterState { counted, value: current, previous, ..counter.absent() };
            counter.expect(&counter.hit(cost, limit, now), &expected, rule);
            values.insert(window, current);
            let read = CounterState { counted: false, ..expected };
            let rule = "`get` of a sliding counter reads both windows, and changes nothing";
            counter.expect(&counter.get(now), &read, rule);
        }
    }
}

pub(super) fn weight_of_the_previous_window_falls_to_the_nanosecond<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "the weight of the previous window is rounded up: it falls by one at its time, and not 1 ns earlier";
    let counter = subject.counter(WINDOW, "falling weight").sliding();
    counter.previous().first_hit(60, 60, BEFORE_START);
    let state = |counted, value| CounterState { counted, value, previous: 60, ..counter.absent() };
    counter.expect(&counter.hit(1, 60, START), &state(false, 0), rule);
    for passed in 1..5 {
        let due = START.saturating_add(passed * SECOND);
        let early = counter.hit(1, 60, just_before(due));
        counter.expect(&early, &state(false, u128::from(passed) - 1), rule);
        counter.expect(&counter.hit(1, 60, due), &state(true, u128::from(passed)), rule);
        counter.expect(&counter.hit(1, 60, due), &state(false, u128::from(passed)), rule);
    }
    let last = just_before(START.saturating_add(MINUTE));
    counter.expect(&counter.hit(56, 60, last), &state(false, 4), rule);
    counter.expect(&counter.hit(55, 60, last), &state(true, 59), rule);
}

pub(super) fn sliding_result_contains_both_windows<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "the result of a sliding counter has the value of the previous window: counted, refused or read";
    let fixed = subject.counter(WINDOW, "both windows");
    let (counter, previous) = (fixed.sliding(), fixed.previous());
    counter.expect(&counter.get(START), &counter.absent(), rule);
    previous.first_hit(8, 10, BEFORE_START);
    let state = |counted, value| CounterState { counted, value, previous: 8, ..counter.absent() };
    // The weight alone exceeds the limit.
    counter.expect(&counter.hit(1, 5, START), &state(false, 0), rule);
    counter.expect(&counter.hit(0, 5, START), &state(false, 0), rule);
    counter.expect(&counter.get(START), &state(false, 0), rule);
    counter.expect(&counter.hit(2, 10, START), &state(true, 2), rule);
    counter.expect(&counter.hit(1, 10, START), &state(false, 2), rule);
    counter.expect(&counter.hit(u128::MAX, 10, START), &state(false, 2), rule);
    counter.expect(&counter.get(START), &state(false, 2), rule);
    let unchanged = "a refused hit on a sliding counter changes neither window";
    fixed.expect(&fixed.get(START), &CounterState { previous: 0, ..state(false, 2) }, unchanged);
    previous.expect(&previous.get(START), &CounterState { value: 8, ..previous.absent() }, unchanged);

    let now = START.saturating_add(MINUTE);
    let next = counter.with_window(Window::aligned(now, WindowLength::MINUTE));
    let after = CounterState { previous: 2, ..next.absent() };
    next.expect(&next.get(now), &after, "only the window directly before the current one is weighted");

    let subject = subject.with_new_backend();
    let first = Timestamp::from_secs(59);
    let window = Window::aligned(first, WindowLength::MINUTE);
    let counter = subject.counter(window, "the first since the epoch").sliding();
    let counted = CounterState { counted: true, value: 3, ..counter.absent() };
    let rule = "the first window since the epoch has no previous window";
    counter.expect(&counter.hit(3, 3, first), &counted, rule);
    counter.expect(&counter.get(first), &CounterState { counted: false, ..counted }, rule);
}

pub(super) fn sliding_and_fixed_windows_share_a_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a sliding counter and the fixed counter of its window are the same counter";
    let fixed = subject.counter(WINDOW, "shared");
    let (sliding, previous) = (fixed.sliding(), fixed.previous());
    let counted = previous.sliding().hit(3, 10, BEFORE_START);
    previous.expect(&counted, &CounterState { counted: true, value: 3, ..previous.absent() }, rule);
    previous.expect(&previous.hit(3, 10, BEFORE_START), &previous.counted(&counted, 3), rule);
    let first = fixed.first_hit(2, 10, START);
    sliding.expect(&sliding.hit(2, 10, START), &sliding.counted(&first, 2).with_previous(6), rule);
    fixed.expect(&fixed.hit(6, 10, START), &fixed.counted(&first, 8), rule);
    sliding.expect(&sliding.get(START), &sliding.uncounted(&first, 8).with_previous(6), rule);
    fixed.reset(None, START);
    sliding.expect(&sliding.get(START), &sliding.absent().with_previous(6), rule);
    previous.reset(None, START);
    sliding.expect(&sliding.get(START), &sliding.absent(), rule);
}

pub(super) fn late_hit_in_the_previous_window_is_weighted<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "a late hit in the previous window, by a clock within the maximum skew, is weighted from then on";
    let skew = subject.harness.max_clock_skew().min(SECOND);
    if skew.is_zero() {
        return subject.skip(Skip::ClockSkew);
    }
    let counter = subject.counter(WINDOW, "late").sliding();
    let previous = counter.previous().sliding();
    let absent = counter.absent();
    let known = previous.hit(2, 10, BEFORE_START);
    counter.expect(&counter.hit(1, 10, START), &counter.counted(&absent, 1).with_previous(2), rule);
    let late = START.saturating_sub(skew);
    previous.expect(&previous.hit(7, 10, late), &previous.counted(&known, 7), rule);
    previous.expect(&previous.hit(2, 10, late), &previous.uncounted(&known, 7), rule);
    let refused = counter.uncounted(&absent, 1).with_previous(9);
    counter.expect(&counter.hit(1, 10, START), &refused, rule);
    counter.expect(&counter.get(START), &refused, rule);
}

pub(super) fn clock_jump_back_within_the_skew_finds_both_windows_of_a_sliding_counter<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: if the clock jumps back within the maximum skew, a sliding counter finds both windows, \
                whatever else was counted and removed meanwhile";
    let skew = subject.harness.max_clock_skew();
    let length = no_shorter_than(skew);
    let window = Window::aligned(START, length);
    let end = start_of(window).saturating_add(length.as_duration());
    let counter = subject.counter(Window::aligned(end, length), "removed late").sliding();
    counter.previous().first_hit(10, 10, just_before(end));
    // The last moment at which the previous window is retained.
    let last = just_before(retained_until(start_of(window), length, skew));
    count_on_other_keys(subject, length, last);
    // The last moment at which it has a weight: one hit.
    let back = last.saturating_sub(skew);
    let state = |counted, value| CounterState { counted, value, previous: 10, ..counter.absent() };
    counter.expect(&counter.get(back), &state(false, 0), rule);
    counter.expect(&counter.hit(10, 10, back), &state(false, 0), rule);
    counter.expect(&counter.hit(9, 10, back), &state(true, 9), rule);

    let subject = subject.with_new_backend();
    let mut values = HashMap::<Window, u128>::new();
    visit_jumping_times(skew, length.as_duration(), |now, latest, random| {
        // A hit on another key, which may remove windows of this one.
        let other = Window::aligned(latest, length);
        subject.counter(other, "other key").hit(1, u128::MAX >> 64, latest);
        let counter = subject.counter(Window::aligned(now, length), "jumping").sliding();
        let previous = counter.window.previous().and_then(|window| values.get(&window)).copied().unwrap_or(0);
        let current = values.entry(counter.window).or_default();
        let hit = Hit::new(u128::from(1 + random.below(3)), 10);
        let after = sliding::with_previous(&hit, previous, counter.window, now).apply(*current);
        *current = after.unwrap_or(*current);
        let expected =
            CounterState { counted: after.is_some(), value: *current, previous, ..counter.absent() };
        counter.expect(&counter.hit(hit.cost, hit.ceiling, now), &expected, rule);
    });
}

pub(super) fn only_aligned_windows_slide<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a window that is not aligned has no previous one: a sliding counter is `Invalid`, and counts nothing";
    for counter in subject.each_kind("not aligned", NOW) {
        if let Window::Aligned { .. } = counter.window {
            continue;
        }
        let sliding = counter.sliding();
        for result in [sliding.try_increment(&sliding.new_hit(1, 5, NOW), NOW), sliding.try_get(NOW)] {
            assert!(
                matches!(result, Err(BackendError::Invalid(_))),
                "{rule}\n  but saw {result:?}\n  of {sliding}"
            );
        }
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
    }
}

pub(super) fn large_weights_are_exact<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: the weight of `u64::MAX` hits in a window of a century is exact";
    let all = u128::from(u64::MAX);
    // The exact middle of a window of a hundred years, in the twenty-third century.
    let century = WindowLength::MAX.as_duration();
    let now = Timestamp::EPOCH.saturating_add(3 * century).saturating_add(century / 2);
    let counter = subject.counter(Window::aligned(now, WindowLength::MAX), "century").sliding();
    counter.previous().first_hit(all, all, now.saturating_sub(century));
    let state = |counted, value| CounterState { counted, value, previous: all, ..counter.absent() };
    let half = 1 << 63;
    counter.expect(&counter.hit(half, all, now), &state(false, 0), rule);
    counter.expect(&counter.hit(half - 1, all, now), &state(true, half - 1), rule);
    counter.expect(&counter.hit(1, all, now), &state(false, half - 1), rule);
    for cost in [all, 1 << 64, u128::MAX] {
        counter.expect(&counter.hit(cost, all, now), &state(false, half - 1), rule);
    }
}

pub(super) fn parallel_sliding_hits_admit_exactly_the_remainder<H: Harness>(subject: &Subject<'_, H>) {
    for round in 0..3 {
        let fixed = subject.counter(WINDOW, format!("round {round}"));
        let sliding = fixed.sliding();
        fixed.previous().first_hit(41, 50, BEFORE_START);
        // In the middle of the window the weight of 41 is 20.5. Of 50 that leaves 29: nine hits of
        // cost 3.
        let now = START.saturating_add(30 * SECOND);
        let results = in_parallel(32, |_| (fixed.new_hit(3, 29, now), sliding.hit(3, 50, now)));
        let counted = results.iter().filter(|(_, state)| state.counted).count();
        assert!(
            counted == 9,
            "of 32 parallel sliding hits of cost 3, a remainder of 29 admits 9\n  but saw {counted}\n  of {sliding}"
        );
        for (_, state) in &results {
            assert!(
                state.previous == 41,
                "each result has the value 41 of the previous window\n  but saw {state:?}\n  of {sliding}"
            );
        }
        assert_serialized(&fixed, &results, now);
    }
}
