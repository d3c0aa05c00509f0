//! Rule 2: expired state is absent state, to the nanosecond.

use std::time::Duration;

use super::Harness;
use super::subject::{BUCKET_LIMIT, NOW, START, Subject};
use crate::{CounterState, Hit, Window, WindowLength, bucket_full_at};

const TICK: Duration = Duration::from_nanos(1);
const MINUTE: Duration = WindowLength::MINUTE.as_duration();

pub(super) fn an_opened_window_ends_one_length_after_its_first_hit<H: Harness>(subject: &Subject<'_, H>) {
    let window = Window::FromFirstHit { length: WindowLength::MINUTE };
    let counter = subject.counter(window, "opened");
    let first = counter.first_hit(2, 5, NOW);
    let end = NOW.saturating_add(MINUTE);
    let before_end = end.saturating_sub(TICK);

    let live = "rule 2: 1 ns before its end an opened window still counts, in the window of its first hit";
    counter.expect(&counter.hit(3, 5, before_end), &counter.then(&first, true, 3), live);
    counter.expect(&counter.hit(1, 5, before_end), &counter.then(&first, false, 3), live);
    counter.expect(&counter.get(before_end), &counter.then(&first, false, 3), live);

    let ended = "rule 2: an opened window that has ended, one length after its first hit, is absent";
    counter.expect(&counter.get(end), &counter.absent(), ended);
    counter.expect(&counter.hit(6, 5, end), &counter.absent(), ended);
    let next =
        "rule 2: the first hit past the end opens a new window, with its own start, generation and note";
    let hit = counter.asking(4, 5, end).with_window_meta(subject.new_window_id(), Some("the second"));
    let second = counter.after_first(&hit, end);
    counter.expect(&counter.increment(&hit, end), &second, next);
    let end_of_second = end.saturating_add(MINUTE);
    counter.expect(&counter.get(end_of_second.saturating_sub(TICK)), &counter.then(&second, false, 0), next);
    counter.expect(&counter.get(end_of_second), &counter.absent(), ended);

    let ages = "rule 2: an opened window ended, however long ago, is absent";
    let far = end_of_second.saturating_add(1_000 * MINUTE);
    counter.expect(&counter.get(far), &counter.absent(), ages);
    counter.first_hit(5, 5, far);
}

pub(super) fn aligned_windows_are_apart_where_they_meet<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 2: aligned windows that meet count apart, to the nanosecond";
    let end = START.saturating_add(MINUTE);
    let before_end = end.saturating_sub(TICK);
    let one = subject.counter(Window::aligned(before_end, WindowLength::MINUTE), "aligned");
    let other = one.with_window(Window::aligned(end, WindowLength::MINUTE));
    let full = one.first_hit(5, 5, before_end);
    let first = other.first_hit(3, 5, end);
    one.expect(&one.hit(1, 5, before_end), &one.then(&full, false, 0), rule);
    other.expect(&other.hit(3, 5, end), &other.then(&first, false, 0), rule);
    other.expect(&other.hit(2, 5, end), &other.then(&first, true, 2), rule);
    one.expect(&one.get(end), &one.then(&full, false, 0), rule);
    other.expect(&other.get(end), &other.then(&first, false, 2), rule);
}

pub(super) fn a_window_long_past_reads_as_absent<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("long past", NOW) {
        let counted = counter.first_hit(3, 5, NOW);
        let far = NOW.saturating_add(10 * MINUTE).saturating_add(10 * subject.harness.max_clock_skew());
        let value = counter.get(far).value;
        // A bucket that is full again may still be there: it says the same as an absent one.
        let may_stay = matches!(counter.window, Window::Bucket { .. });
        assert!(
            value == 0 || (may_stay && value == counted.value),
            "rule 2: ten lengths and ten times the skew later a window is absent, whatever is still stored, \
             and reads as 0\n  but saw {value}\n  of {counter}"
        );
    }
}

pub(super) fn a_bucket_counts_from_its_floor_once_that_has_passed_its_value<H: Harness>(
    subject: &Subject<'_, H>,
) {
    let rule =
        "rule 2: a bucket counts from its floor where its value is below, and from its value where it is not";
    let quotas = [
        (1, WindowLength::MINUTE),
        (BUCKET_LIMIT, WindowLength::MINUTE),
        (1_000_000_007, WindowLength::SECOND),
        (u64::from(u32::MAX), WindowLength::MIN),
        (1, WindowLength::MAX),
    ];
    for (limit, length) in quotas {
        let subject = subject.afresh();
        let window = Window::Bucket { limit, length };
        let value = subject.counter(window, "").asking(3, 3, NOW).ceiling;
        for floor in [value - 1, value, value + 1] {
            let counter = subject.counter(window, format!("{window:?}, {floor}"));
            counter.first_hit(3, 3, NOW);
            let hit = Hit::new(5, u128::MAX >> 16).with_floor(floor);
            let counted = CounterState::new(true, value.max(floor) + 5);
            counter.expect(&counter.increment(&hit, NOW), &counted, rule);
        }
        let full_at = bucket_full_at(value, limit);
        let moments = [full_at.saturating_sub(TICK), full_at, full_at.saturating_add(TICK)];
        let counters = moments.map(|now| subject.counter(window, format!("{window:?}, {now:?}")));
        for counter in &counters {
            counter.first_hit(3, 3, NOW);
        }
        for (counter, now) in counters.iter().zip(moments) {
            let hit = counter.asking(1, 5, now);
            let counted = CounterState::new(true, value.max(hit.floor) + hit.cost);
            counter.expect(&counter.increment(&hit, now), &counted, rule);
        }
    }
}
