//! Rule 1: time is an argument, and may go backwards.

use std::collections::HashMap;
use std::time::Duration;

use super::Harness;
use super::subject::{BUCKET_LIMIT, NOW, Random, START, Subject, each_kind};
use crate::{
    CounterState, Timestamp, Window, WindowLength, bucket_full_at, has_ended, has_passed, retained_until,
};

const TICK: Duration = Duration::from_nanos(1);
const MINUTE: Duration = WindowLength::MINUTE.as_duration();

pub(super) fn a_backend_has_no_clock_of_its_own<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a backend takes the time from `now` alone, and counts alike in 1970, 2026 and 2500";
    // One day after the epoch, and 2500-01-01.
    for now in [Timestamp::from_secs(86_400), NOW, Timestamp::from_secs(16_725_225_600)] {
        for window in each_kind(now, WindowLength::MINUTE) {
            let subject = subject.afresh();
            let counter = subject.counter(window, format!("{window:?} at {}", now.as_secs()));
            let full = counter.first_hit(5, 5, now);
            let unchanged = counter.then(&full, false, 0);
            counter.expect(&counter.hit(1, 5, now), &unchanged, rule);
            counter.expect(&counter.get(now), &unchanged, rule);
            if let Window::FromFirstHit { .. } = window {
                let end = now.saturating_add(MINUTE);
                counter.expect(&counter.get(end.saturating_sub(TICK)), &unchanged, rule);
                counter.expect(&counter.get(end), &counter.absent(), rule);
            }
        }
    }
}

pub(super) fn a_clock_that_jumps_back_finds_every_counter_as_full<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 1: a clock that jumps back finds the counter as full as it was, and admits nothing extra";
    for counter in subject.each_kind("full", NOW) {
        let full = counter.first_hit(3, 3, NOW);
        let refused = counter.then(&full, false, 0);
        for back in [TICK, Duration::from_millis(1), Duration::from_secs(7)] {
            counter.expect(&counter.hit(1, 3, NOW.saturating_sub(back)), &refused, rule);
        }
        // An aligned window is another one then.
        if !matches!(counter.window, Window::Aligned { .. }) {
            for back in [MINUTE, Duration::from_secs(86_400), Duration::MAX] {
                counter.expect(&counter.hit(1, 3, NOW.saturating_sub(back)), &refused, rule);
            }
        }
        counter.expect(&counter.get(NOW), &refused, rule);
    }
}

pub(super) fn a_clock_that_jumps_back_past_a_new_window_admits_nothing_extra<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: a clock that jumps back while a later window counts finds no room that was taken";
    for counter in subject.each_kind("succeeded", NOW) {
        let full = counter.first_hit(3, 3, NOW);
        let later = NOW.saturating_add(MINUTE);
        let next = counter.with_window(match counter.window {
            Window::Aligned { length, .. } => Window::aligned(later, length),
            window @ (Window::FromFirstHit { .. } | Window::Bucket { .. }) => window,
        });
        let succeeded = next.hit(3, 3, later);
        assert!(
            succeeded.counted,
            "a later window has room of its own, and answered {succeeded:?}\n  of {next}"
        );
        let known = if let Window::Aligned { .. } = counter.window { &full } else { &succeeded };
        counter.expect(&counter.hit(1, 3, NOW), &counter.then(known, false, 0), rule);
        next.expect(&next.get(later), &next.then(&succeeded, false, 0), rule);
    }
}

pub(super) fn an_aligned_window_stays_known_for_one_length_and_the_skew_past_its_end<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: an aligned window stays known for one length and the allowed skew past its end, \
                whatever else is counted meanwhile";
    let skew = subject.harness.max_clock_skew();
    for length in [no_shorter_than(skew), shorter_than(skew)] {
        let subject = subject.afresh();
        let counter = subject.counter(Window::aligned(START, length), format!("every {length:?}"));
        let start = start_of(counter.window);
        let end = start.saturating_add(length.as_duration());
        // A window shorter than the skew may make room for later ones, once the one after it has ended too.
        let last = if length.as_duration() < skew {
            end.saturating_add(length.as_duration()).saturating_sub(TICK)
        } else {
            retained_until(start, length, skew).saturating_sub(TICK)
        };
        let first = counter.first_hit(3, 5, start);
        for now in [end, end.saturating_add(length.as_duration()), last] {
            if now <= last {
                counter.with_window(Window::aligned(now, length)).hit(1, 5, now);
            }
        }
        count_elsewhere(&subject, length, last);

        let known = counter.then(&first, false, 0);
        for now in [end, end.saturating_add(length.as_duration()).saturating_sub(TICK), last] {
            counter.expect(&counter.get(now), &known, rule);
        }
        counter.expect(&counter.hit(3, 5, end.saturating_sub(TICK)), &known, rule);
        counter.expect(&counter.hit(2, 5, start), &counter.then(&first, true, 2), rule);
    }
}

pub(super) fn an_opened_window_stays_known_for_one_length_and_the_skew_past_its_end<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: an opened window stays known for one length and the allowed skew past its end: \
                a clock that jumps back before the end finds it again";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "opened");
    let known = counter.then(&counter.first_hit(5, 5, NOW), false, 0);
    let last =
        retained_until(NOW, WindowLength::MINUTE, subject.harness.max_clock_skew()).saturating_sub(TICK);
    count_elsewhere(subject, WindowLength::MINUTE, last);
    counter.expect(&counter.get(last), &counter.absent(), "rule 2: an expired window is absent");
    let live = NOW.saturating_add(MINUTE).saturating_sub(TICK);
    counter.expect(&counter.get(live), &known, rule);
    counter.expect(&counter.hit(1, 5, live), &known, rule);
}

pub(super) fn a_bucket_stays_known_for_the_skew_past_its_refill<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a bucket stays known for the allowed skew past the time when it is full again";
    let limit = BUCKET_LIMIT;
    let counter = subject.counter(Window::Bucket { limit, length: WindowLength::MINUTE }, "bucket");
    let known = counter.then(&counter.first_hit(5, 5, NOW), false, 0);
    let full_again = bucket_full_at(known.value, limit);
    let last = full_again.saturating_add(subject.harness.max_clock_skew()).saturating_sub(TICK);
    count_elsewhere(subject, WindowLength::MINUTE, last);
    counter.expect(&counter.get(full_again.saturating_sub(TICK)), &known, rule);
    counter.expect(&counter.hit(1, 5, NOW), &known, rule);
}

pub(super) fn a_wandering_clock_fills_each_aligned_window_once<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: where time wanders, each aligned window counts by itself, or is forgotten and refuses, \
                with the start of the earliest one that is not";
    let skew = subject.harness.max_clock_skew();
    for length in [no_shorter_than(skew), shorter_than(skew)] {
        let subject = subject.afresh();
        let mut held = HashMap::<Window, u128>::new();
        // Back into windows that may be forgotten.
        let back = 2 * length.as_duration() + skew;
        wander(back, length.as_duration() / 2, |now, latest, random| {
            let counter = subject.counter(Window::aligned(now, length), format!("every {length:?}"));
            let value = held.entry(counter.window).or_default();
            let hit = counter.asking(u128::from(1 + random.below(3)), 5, now);
            let (tally, after) = (counter.increment(&hit, now), hit.apply(*value));
            let asked = start_of(counter.window);
            // A window shorter than the skew may have made room for later ones.
            let made_room = length.as_duration() < skew && has_ended(asked, length, latest);
            if made_room || has_passed(retained_until(asked, length, skew), latest) {
                let instead = tally.start.filter(|start| {
                    asked < *start && *start <= latest && start_of(Window::aligned(*start, length)) == *start
                });
                if instead.is_some() && !tally.counted {
                    return;
                }
            }
            *value = after.unwrap_or(*value);
            let expected = CounterState { counted: after.is_some(), value: *value, ..counter.absent() };
            counter.expect(&tally, &expected, rule);
        });
    }
}

pub(super) fn a_wandering_clock_keeps_an_opened_window_until_its_end<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: where time wanders, a window that was opened counts until it ends, and then another";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "opened");
    let mut state = counter.absent();
    wander(MINUTE, 3 * MINUTE / 2, |now, _, random| {
        let hit = counter.asking(u128::from(1 + random.below(3)), 5, now);
        if state.start.is_some_and(|start| has_ended(start, WindowLength::MINUTE, now)) {
            state = counter.absent();
        }
        state = counter.after(&state, &hit, now);
        counter.expect(&counter.increment(&hit, now), &state, rule);
    });
}

pub(super) fn a_wandering_clock_refills_no_bucket<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: where time wanders, a bucket never counts from below its value";
    let window = Window::Bucket { limit: BUCKET_LIMIT, length: WindowLength::MINUTE };
    let counter = subject.counter(window, "bucket");
    let mut value = 0;
    let skew = subject.harness.max_clock_skew();
    wander(skew, 3 * skew.min(MINUTE) / 2, |now, _, random| {
        let hit = counter.asking(u128::from(1 + random.below(3)), 5, now);
        let after = hit.apply(value);
        value = after.unwrap_or(value);
        counter.expect(&counter.increment(&hit, now), &CounterState::new(after.is_some(), value), rule);
    });
}

/// Calls `visit` with a time and the latest before it: from time to time that goes on, by up to `forth`, and the time
/// falls up to `back` behind it.
pub(super) fn wander(
    back: Duration,
    forth: Duration,
    mut visit: impl FnMut(Timestamp, Timestamp, &mut Random),
) {
    let [back, forth] = [back, forth]
        .map(|span| u64::try_from(span.as_nanos()).expect("windows and skews last less than 584 years"));
    let mut random = Random::new(back);
    let mut latest = START;
    for _ in 0..150 {
        if random.below(4) == 0 {
            latest = latest.saturating_add(Duration::from_nanos(random.below(1 + forth)));
        }
        let now = latest.saturating_sub(Duration::from_nanos(random.below(1 + back)));
        visit(now, latest, &mut random);
    }
}

/// Counts in many other counters at `now`, as a chance for a backend to forget what it may not forget yet.
fn count_elsewhere<H: Harness>(subject: &Subject<'_, H>, length: WindowLength, now: Timestamp) {
    for other in 0..20 {
        for window in each_kind(now, length) {
            subject.counter(window, format!("elsewhere {other}")).hit(1, u128::MAX >> 64, now);
        }
    }
}

fn start_of(window: Window) -> Timestamp {
    match window {
        Window::Aligned { start, .. } => start,
        Window::FromFirstHit { .. } | Window::Bucket { .. } => {
            unreachable!("only an aligned window has a start")
        }
    }
}

fn no_shorter_than(skew: Duration) -> WindowLength {
    WindowLength::try_from(skew).map_or(WindowLength::MINUTE, |length| length.max(WindowLength::MINUTE))
}

/// A length of which four windows fit into the skew, where that is a length.
fn shorter_than(skew: Duration) -> WindowLength {
    WindowLength::try_from(skew / 4).unwrap_or(WindowLength::SECOND)
}
