//! Rule 1: time is an argument, and may go backwards.

use std::collections::HashMap;
use std::time::Duration;

use super::Harness;
use super::kinds::{BUCKET_LIMIT, each_kind};
use super::random::Random;
use super::subject::Subject;
use super::times::{MINUTE, NANOSECOND, NOW, START, just_before};
use crate::{
    CounterState, Timestamp, Window, WindowLength, bucket_full_at, has_ended, has_passed, retained_until,
};

pub(super) fn time_is_the_argument_now<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: time is `now` alone, and counting is the same in 1970, 2026 and 2500";
    // One day after the epoch, and 2500-01-01.
    for now in [Timestamp::from_secs(86_400), NOW, Timestamp::from_secs(16_725_225_600)] {
        for window in each_kind(now, WindowLength::MINUTE) {
            let subject = subject.with_new_backend();
            let counter = subject.counter(window, format!("{window:?} at {}", now.as_secs()));
            let full = counter.first_hit(5, 5, now);
            let unchanged = counter.uncounted(&full, 0);
            counter.expect(&counter.hit(1, 5, now), &unchanged, rule);
            counter.expect(&counter.get(now), &unchanged, rule);
            if let Window::FromFirstHit { .. } = window {
                let end = now.saturating_add(MINUTE);
                counter.expect(&counter.get(just_before(end)), &unchanged, rule);
                counter.expect(&counter.get(end), &counter.absent(), rule);
            }
        }
    }
}

pub(super) fn clock_jump_back_keeps_full_counters_full<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: if the clock jumps back, a full counter stays full, and admits no extra hits";
    for counter in subject.each_kind("full", NOW) {
        let full = counter.first_hit(3, 3, NOW);
        let refused = counter.uncounted(&full, 0);
        let skew = subject.harness.max_clock_skew().min(Duration::from_secs(7));
        for back in [NANOSECOND.min(skew), Duration::from_millis(1).min(skew), skew] {
            counter.expect(&counter.hit(1, 3, NOW.saturating_sub(back)), &refused, rule);
        }
        // At these times the aligned window is another one, and the window from the first hit is
        // that of a wrong clock. The bucket has a capacity that takes longer to fill.
        if matches!(counter.window, Window::Bucket { .. }) {
            for back in [MINUTE, Duration::from_secs(86_400), Duration::MAX] {
                counter.expect(&counter.hit(1, 3, NOW.saturating_sub(back)), &refused, rule);
            }
        }
        counter.expect(&counter.get(NOW), &refused, rule);
    }
}

pub(super) fn clock_jump_back_before_a_newer_window_admits_no_extra_hits<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: if the clock jumps back while a newer window counts, the older one stays full";
    for counter in subject.each_kind("two windows", NOW) {
        let full = counter.first_hit(3, 3, NOW);
        let later = NOW.saturating_add(MINUTE);
        let next = counter.at(later);
        let newer = next.hit(3, 3, later);
        assert!(newer.counted, "a newer window admits up to its ceiling\n  but saw {newer:?}\n  of {next}");
        let known = if let Window::Aligned { .. } = counter.window { &full } else { &newer };
        let back = match counter.window {
            Window::Aligned { .. } | Window::Bucket { .. } | Window::Log { .. } | Window::Span { .. } => NOW,
            // Further back, the newer window is that of a wrong clock.
            Window::FromFirstHit { .. } => later.saturating_sub(subject.harness.max_clock_skew()),
        };
        counter.expect(&counter.hit(1, 3, back), &counter.uncounted(known, 0), rule);
        next.expect(&next.get(later), &next.uncounted(&newer, 0), rule);
    }
}

pub(super) fn aligned_window_is_retained_for_one_length_and_the_skew_after_its_end<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: an aligned window is retained for one length and the maximum skew after its end, \
                whatever else is counted";
    let skew = subject.harness.max_clock_skew();
    for length in [no_shorter_than(skew), shorter_than(skew)] {
        let subject = subject.with_new_backend();
        let counter = subject.counter(Window::aligned(START, length), format!("every {length:?}"));
        let start = start_of(counter.window);
        let end = start.saturating_add(length.as_duration());
        // A window shorter than the skew may be forgotten once the window after it has ended too.
        let last = if length.as_duration() < skew {
            just_before(end.saturating_add(length.as_duration()))
        } else {
            just_before(retained_until(start, length, skew))
        };
        let first = counter.first_hit(3, 5, start);
        for now in [end, end.saturating_add(length.as_duration()), last] {
            if now <= last {
                counter.with_window(Window::aligned(now, length)).hit(1, 5, now);
            }
        }
        count_on_other_keys(&subject, length, last);

        let known = counter.uncounted(&first, 0);
        for now in [end, just_before(end.saturating_add(length.as_duration())), last] {
            counter.expect(&counter.get(now), &known, rule);
        }
        counter.expect(&counter.hit(3, 5, just_before(end)), &known, rule);
        counter.expect(&counter.hit(2, 5, start), &counter.counted(&first, 2), rule);
    }
}

pub(super) fn window_from_first_hit_is_retained_for_one_length_and_the_skew_after_its_end<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: a window from the first hit is retained for one length and the maximum skew after its end: \
                it is found again if the clock jumps back before the end";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "from first hit");
    let known = counter.uncounted(&counter.first_hit(5, 5, NOW), 0);
    let last = just_before(retained_until(NOW, WindowLength::MINUTE, subject.harness.max_clock_skew()));
    count_on_other_keys(subject, WindowLength::MINUTE, last);
    counter.expect(&counter.get(last), &counter.absent(), "rule 2: an expired window is absent");
    let live = just_before(NOW.saturating_add(MINUTE));
    counter.expect(&counter.get(live), &known, rule);
    counter.expect(&counter.hit(1, 5, live), &known, rule);
}

pub(super) fn bucket_is_retained_for_the_skew_after_it_is_full<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a bucket is retained for the maximum skew after it is full again";
    let counter = subject.counter(Window::Bucket { length: WindowLength::MINUTE }, "bucket");
    let known = counter.uncounted(&counter.first_hit(5, 5, NOW), 0);
    let full_again = bucket_full_at(known.value, BUCKET_LIMIT);
    let last = just_before(full_again.saturating_add(subject.harness.max_clock_skew()));
    count_on_other_keys(subject, WindowLength::MINUTE, last);
    counter.expect(&counter.get(just_before(full_again)), &known, rule);
    counter.expect(&counter.hit(1, 5, NOW), &known, rule);
}

pub(super) fn jumping_clock_fills_each_aligned_window_once<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: if time jumps back and forth, each aligned window counts separately; a forgotten one refuses, \
                and returns the start of the earliest window that is not forgotten";
    let skew = subject.harness.max_clock_skew();
    for length in [no_shorter_than(skew), shorter_than(skew)] {
        let subject = subject.with_new_backend();
        let mut values = HashMap::<Window, u128>::new();
        // Far enough back to reach windows that may be forgotten.
        let back = 2 * length.as_duration() + skew;
        visit_jumping_times(back, length.as_duration() / 2, |now, latest, random| {
            let counter = subject.counter(Window::aligned(now, length), format!("every {length:?}"));
            let value = values.entry(counter.window).or_default();
            let hit = counter.new_hit(u128::from(1 + random.below(3)), 5, now);
            let (state, after) = (counter.increment(&hit, now), hit.apply(*value));
            let start = start_of(counter.window);
            // A window shorter than the skew may be forgotten for later ones.
            let is_replaced = length.as_duration() < skew && has_ended(start, length, latest);
            if is_replaced || has_passed(retained_until(start, length, skew), latest) {
                let earliest_known = state.start.filter(|known| {
                    start < *known && *known <= latest && start_of(Window::aligned(*known, length)) == *known
                });
                if earliest_known.is_some() && !state.counted {
                    return;
                }
            }
            *value = after.unwrap_or(*value);
            let expected = CounterState { counted: after.is_some(), value: *value, ..counter.absent() };
            counter.expect(&state, &expected, rule);
        });
    }
}

pub(super) fn jumping_clock_keeps_a_window_from_first_hit_until_its_end<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule = "rule 1: if time jumps back and forth, a window from the first hit counts until its end, and then a new one";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "from first hit");
    let mut state = counter.absent();
    visit_jumping_times(subject.harness.max_clock_skew(), 3 * MINUTE / 2, |now, _, random| {
        let hit = counter.new_hit(u128::from(1 + random.below(3)), 5, now);
        if state.start.is_some_and(|start| has_ended(start, WindowLength::MINUTE, now)) {
            state = counter.absent();
        }
        state = counter.after(&state, &hit, now);
        counter.expect(&counter.increment(&hit, now), &state, rule);
    });
}

pub(super) fn jumping_clock_refills_no_bucket<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: if time jumps back and forth, a bucket never counts from below its value";
    let window = Window::Bucket { length: WindowLength::MINUTE };
    let counter = subject.counter(window, "bucket");
    let mut value = 0;
    let skew = subject.harness.max_clock_skew();
    visit_jumping_times(skew, 3 * skew.min(MINUTE) / 2, |now, _, random| {
        let hit = counter.new_hit(u128::from(1 + random.below(3)), 5, now);
        let after = hit.apply(value);
        value = after.unwrap_or(value);
        counter.expect(&counter.increment(&hit, now), &CounterState::new(after.is_some(), value), rule);
    });
}

/// Calls `visit` 150 times with a time and the latest time so far. The latest time advances now and
/// then by up to `forward`; each time is up to `back` before it.
pub(super) fn visit_jumping_times(
    back: Duration,
    forward: Duration,
    mut visit: impl FnMut(Timestamp, Timestamp, &mut Random),
) {
    let [back, forward] = [back, forward]
        .map(|span| u64::try_from(span.as_nanos()).expect("windows and skews last less than 584 years"));
    let mut random = Random::new(back);
    let mut latest = START;
    for _ in 0..150 {
        if random.below(4) == 0 {
            latest = latest.saturating_add(Duration::from_nanos(random.below(1 + forward)));
        }
        let now = latest.saturating_sub(Duration::from_nanos(random.below(1 + back)));
        visit(now, latest, &mut random);
    }
}

/// Counts on many other keys at `now`, so that the backend has a reason to forget counters too
/// early.
pub(super) fn count_on_other_keys<H: Harness>(
    subject: &Subject<'_, H>,
    length: WindowLength,
    now: Timestamp,
) {
    for number in 0..20 {
        for window in each_kind(now, length) {
            subject.counter(window, format!("other key {number}")).hit(1, u128::MAX >> 64, now);
        }
    }
}

pub(super) fn start_of(window: Window) -> Timestamp {
    match window {
        Window::Aligned { start, .. } => start,
        _ => {
            unreachable!("only an aligned window has a start")
        }
    }
}

/// Returns a length of at least the skew.
pub(super) fn no_shorter_than(skew: Duration) -> WindowLength {
    WindowLength::try_from(skew).map_or(WindowLength::MINUTE, |length| length.max(WindowLength::MINUTE))
}

/// Returns a length of which four windows fit into the skew, or a second if there is no such
/// length.
fn shorter_than(skew: Duration) -> WindowLength {
    WindowLength::try_from(skew / 4).unwrap_or(WindowLength::SECOND)
}
