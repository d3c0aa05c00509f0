//! Rule 4: arithmetic is exact; no cost, floor, ceiling or time makes a backend panic, wrap or
//! admit too much.

use std::time::Duration;

use super::Harness;
use super::kinds::{BUCKET, each_kind};
use super::probe::CounterProbe;
use super::random::Random;
use super::subject::Subject;
use super::times::{NANOSECOND, NOW, just_before};
use crate::{BackendError, CounterState, Hit, Timestamp, Window, WindowLength};

/// The largest number of 38 decimal digits. Every backend has to store values up to it.
pub(super) const DIGITS_38: u128 = 10_u128.pow(38) - 1;

pub(super) fn hit_is_counted_up_to_exactly_its_ceiling<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: a hit is counted if and only if the value after it is at most its ceiling";
    for counter in subject.each_window("ceiling", NOW) {
        let first = counter.first_hit(4, 9, NOW);
        let hit = counter.new_hit(5, 9, NOW);
        let lower = Hit { ceiling: hit.ceiling - 1, ..hit };
        counter.expect(&counter.increment(&lower, NOW), &counter.uncounted(&first, 0), rule);
        counter.expect(&counter.increment(&hit, NOW), &counter.counted(&first, 5), rule);
        counter.expect(&counter.hit(1, 9, NOW), &counter.uncounted(&first, 5), rule);
        counter.expect(&counter.hit(0, 9, NOW), &counter.counted(&first, 5), rule);
        counter.expect(&counter.hit(0, 8, NOW), &counter.uncounted(&first, 5), rule);
    }
}

pub(super) fn floor_and_ceiling_bound_every_hit<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: the value after a hit is max(value, floor) + cost, if that is at most the ceiling";
    let mut random = Random::new(5);
    for round in 0..8 {
        for counter in subject.each_kind(&format!("bounds {round}"), NOW) {
            let base = counter.floor(NOW);
            let mut state = counter.absent();
            for _ in 0..10 {
                let hit = counter
                    .new_hit(random.below(5).into(), random.below(30).into(), NOW)
                    .with_floor(base + u128::from(random.below(15)) * counter.unit());
                let expected = counter.after(&state, &hit, NOW);
                // A counted hit without cost or floor leaves an absent counter or one with value 0;
                // both are correct.
                if expected.counted && expected.value == base {
                    continue;
                }
                counter.expect(
                    &counter.increment(&hit, NOW),
                    &expected,
                    &format!("{rule}; here for {hit:?}"),
                );
                state = expected;
            }
        }
    }
}

pub(super) fn zero_ceiling_admits_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: a ceiling of zero admits no cost";
    for counter in subject.each_kind("zero", NOW) {
        for cost in [1, u128::from(u64::MAX), u128::MAX] {
            for floor in [0, counter.floor(NOW)] {
                let hit = Hit::new(cost, 0).with_floor(floor);
                counter.expect(&counter.increment(&hit, NOW), &counter.absent(), rule);
            }
        }
        counter.expect(&counter.hit(1, 0, NOW), &counter.absent(), rule);
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
    }
    let bucket = subject.counter(Window::Bucket { length: WindowLength::MINUTE }, "no tokens are refilled");
    let counter = bucket.with_bucket(0, u64::MAX);
    counter.expect(&counter.hit(1, 0, NOW), &counter.absent(), rule);
    let first = counter.first_hit(1, 1, NOW);
    let rule = "rule 4: a bucket with a limit of zero is never full again";
    let later = NOW.saturating_add(WindowLength::MAX.as_duration());
    counter.expect(&counter.hit(1, 1, later), &counter.uncounted(&first, 0), rule);
}

pub(super) fn large_values_are_exact<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: values of up to 38 digits are stored and compared exactly";
    let [aligned, from_first_hit, _] = each_kind(NOW, WindowLength::MINUTE);
    for window in [aligned, from_first_hit, Window::Bucket { length: WindowLength::MAX }] {
        let base = subject.counter(window, "any").floor(NOW);
        let largest = match window {
            // A higher value is that of a wrong clock.
            Window::Bucket { length } => BUCKET.fills_in(length),
            _ => DIGITS_38,
        };
        let limits = [1 << 31, 1 << 32, 1 << 53, 1 << 63, u64::MAX.into(), 1 << 64, 1 << 100, largest - base];
        for limit in limits {
            let counter = subject.counter(window, format!("{window:?} up to {limit}"));
            let ceiling = base + limit;
            let hit = |cost| Hit { cost, floor: base, ceiling, ..counter.new_hit(0, 0, NOW) };
            let first = hit(limit - 2);
            let mut expected = counter.after_first(&first, NOW);
            counter.expect(&counter.increment(&first, NOW), &expected, rule);
            for (cost, counted) in [(3, false), (1, true), (2, false), (1, true), (1, false), (limit, false)]
            {
                expected.counted = counted;
                expected.value += if counted { cost } else { 0 };
                counter.expect(&counter.increment(&hit(cost), NOW), &expected, rule);
            }
            let whole = subject.counter(window, format!("{window:?}, {limit} in one hit"));
            let hit = hit(limit);
            whole.expect(&whole.increment(&hit, NOW), &whole.after_first(&hit, NOW), rule);
        }
    }
}

pub(super) fn large_costs_and_floors_neither_wrap_nor_are_truncated<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("huge", NOW) {
        let first = counter.first_hit(1, 10, NOW);
        let (value, small) = (first.value, counter.new_hit(0, 10, NOW));
        let bits = [31, 32, 53, 63, 64, 65, 96, 127].map(|bit| 1 << bit);
        // Costs that are small if they are truncated to some number of bits, and costs whose sum
        // overflows.
        let costs = bits
            .into_iter()
            .flat_map(|bit| [bit - 1, bit, bit + 1])
            .filter(|cost| *cost > small.ceiling - value)
            .chain([u128::MAX, u128::MAX - 1, u128::MAX - value, u128::MAX - value + 1, DIGITS_38]);
        for cost in costs {
            refused_or_invalid(&counter, &Hit { cost, ..small }, &first);
            refused_or_invalid(&counter, &Hit { cost, floor: u128::MAX, ..small }, &first);
        }
        for (cost, floor) in
            [(u128::MAX, u128::MAX), (1, u128::MAX), (u128::MAX, 0), (u128::MAX - value + 1, value)]
        {
            refused_or_invalid(&counter, &Hit { cost, floor, ceiling: u128::MAX, ..small }, &first);
        }
        // The one enormous hit that fits: it is counted, or exceeds what the backend can store.
        let hit = Hit { cost: u128::MAX - value, floor: value, ceiling: u128::MAX, ..small };
        let unchanged = counter.uncounted(&first, 0);
        if let Window::Bucket { .. } = counter.window {
            // No right clock can have written the value after it, so any value may follow.
            let _ = counter.try_increment(&hit, NOW);
            continue;
        }
        let state = match counter.try_increment(&hit, NOW) {
            Err(BackendError::Invalid(_)) => unchanged,
            Err(error) => panic!(
                "rule 4: a value that the backend cannot store is `Invalid`\n  but saw {error}\n  of {counter}"
            ),
            Ok(state) => {
                let counted = CounterState { counted: true, value: u128::MAX, ..unchanged.clone() };
                counter.expect(&state, &counted, "rule 4: a hit up to the largest number fits");
                CounterState { counted: false, ..counted }
            }
        };
        counter.expect(&counter.get(NOW), &state, "rule 4: a hit that is `Invalid` changes nothing");
    }
}

pub(super) fn windows_last_from_a_millisecond_to_a_century<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: a window of any length counts until its end, and not longer";
    for length in [WindowLength::MIN, WindowLength::SECOND, WindowLength::DAY, WindowLength::MAX] {
        for window in each_kind(NOW, length) {
            let subject = subject.with_new_backend();
            let counter = subject.counter(window, format!("{window:?}"));
            let first = counter.first_hit(3, 5, NOW);
            counter.expect(&counter.hit(3, 5, NOW), &counter.uncounted(&first, 0), rule);
            let (last, next) = match window {
                Window::Aligned { start, .. } => {
                    let end = start.saturating_add(length.as_duration());
                    (just_before(end), counter.with_window(Window::aligned(end, length)))
                }
                Window::FromFirstHit { .. } => {
                    (just_before(NOW.saturating_add(length.as_duration())), counter.with_window(window))
                }
                // A bucket and a log have no end, and a span has checks of its own.
                Window::Bucket { .. } | Window::Log { .. } | Window::Span { .. } => continue,
            };
            counter.expect(&counter.hit(2, 5, last), &counter.counted(&first, 2), rule);
            counter.expect(&counter.hit(1, 5, last), &counter.uncounted(&first, 2), rule);
            next.first_hit(5, 5, last.saturating_add(NANOSECOND));
        }
    }
}

pub(super) fn first_and_last_timestamp_count_like_any_other<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 4: at the first and last timestamps counting works as at any other time";
    let last = Timestamp::MAX;
    let times = [Timestamp::EPOCH, Timestamp::from_nanos(1), just_before(last), last];
    for now in times {
        for length in [WindowLength::MIN, WindowLength::MINUTE, WindowLength::MAX] {
            for window in each_kind(now, length) {
                let counter = subject.counter(window, format!("{window:?}, {}", now.as_nanos()));
                let first = counter.first_hit(3, 5, now);
                counter.expect(&counter.hit(3, 5, now), &counter.uncounted(&first, 0), rule);
                counter.expect(&counter.hit(2, 5, now), &counter.counted(&first, 2), rule);
                counter.expect(&counter.hit(1, 5, now), &counter.uncounted(&first, 2), rule);
                counter.expect(&counter.get(now), &counter.uncounted(&first, 2), rule);
                counter.reset(None, now);
                counter.expect(&counter.get(now), &counter.absent(), rule);
            }
        }
    }

    let counter =
        subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "from first to last");
    counter.first_hit(5, 5, Timestamp::EPOCH);
    let started = last.saturating_sub(Duration::from_secs(59));
    let full = counter.first_hit(5, 5, started);
    for now in [last, started, started.saturating_sub(subject.harness.max_clock_skew())] {
        counter.expect(&counter.hit(1, 5, now), &counter.uncounted(&full, 0), rule);
    }
}

/// Counts a hit that cannot fit. Fails the check unless it is refused or, if its value is too
/// large, `Invalid`.
#[track_caller]
fn refused_or_invalid<H: Harness>(counter: &CounterProbe<'_, H>, hit: &Hit<'_>, first: &CounterState) {
    let unchanged = counter.uncounted(first, 0);
    match counter.try_increment(hit, NOW) {
        Ok(state) => {
            let rule =
                "rule 4: a cost or floor that cannot fit is refused, and is neither wrapped nor truncated";
            counter.expect(&state, &unchanged, &format!("{rule}; here for {hit:?}"));
        }
        // On an absent counter this hit would fit, with a value that not every backend can store.
        Err(BackendError::Invalid(_)) if hit.apply(0).is_some_and(|value| value > DIGITS_38) => {}
        Err(error) => panic!("rule 4: {hit:?} has to be refused, but failed: {error}\n  of {counter}"),
    }
    counter.expect(&counter.get(NOW), &unchanged, "rule 5: a refused hit leaves the state as it was");
}
