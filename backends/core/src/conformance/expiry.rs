//! Rule 2: expired state is absent state, to the nanosecond.

use super::Harness;
use super::kinds::BUCKET_LIMIT;
use super::subject::Subject;
use super::times::{MINUTE, NANOSECOND, NOW, START, just_before};
use crate::{CounterState, Hit, Window, WindowLength, bucket_full_at};

pub(super) fn window_from_first_hit_ends_one_length_after_that_hit<H: Harness>(subject: &Subject<'_, H>) {
    let window = Window::FromFirstHit { length: WindowLength::MINUTE };
    let counter = subject.counter(window, "from first hit");
    let first = counter.first_hit(2, 5, NOW);
    let end = NOW.saturating_add(MINUTE);
    let before_end = just_before(end);

    let live = "rule 2: 1 ns before its end a window from the first hit still counts";
    counter.expect(&counter.hit(3, 5, before_end), &counter.counted(&first, 3), live);
    counter.expect(&counter.hit(1, 5, before_end), &counter.uncounted(&first, 3), live);
    counter.expect(&counter.get(before_end), &counter.uncounted(&first, 3), live);

    let ended = "rule 2: one length after its first hit, a window from the first hit is absent";
    counter.expect(&counter.get(end), &counter.absent(), ended);
    counter.expect(&counter.hit(6, 5, end), &counter.absent(), ended);
    let next = "rule 2: the first hit after the end starts a new window, with its own start, id and metadata";
    let hit = counter.new_hit(4, 5, end).with_window_meta(subject.new_window_id(), Some("the second"));
    let second = counter.after_first(&hit, end);
    counter.expect(&counter.increment(&hit, end), &second, next);
    let end_of_second = end.saturating_add(MINUTE);
    counter.expect(&counter.get(just_before(end_of_second)), &counter.uncounted(&second, 0), next);
    counter.expect(&counter.get(end_of_second), &counter.absent(), ended);

    let ended = "rule 2: a window from the first hit that ended long ago is absent";
    let far = end_of_second.saturating_add(1_000 * MINUTE);
    counter.expect(&counter.get(far), &counter.absent(), ended);
    counter.first_hit(5, 5, far);
}

pub(super) fn adjacent_aligned_windows_count_separately<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 2: adjacent aligned windows count separately, to the nanosecond";
    let end = START.saturating_add(MINUTE);
    let before_end = just_before(end);
    let one = subject.counter(Window::aligned(before_end, WindowLength::MINUTE), "aligned");
    let other = one.with_window(Window::aligned(end, WindowLength::MINUTE));
    let full = one.first_hit(5, 5, before_end);
    let first = other.first_hit(3, 5, end);
    one.expect(&one.hit(1, 5, before_end), &one.uncounted(&full, 0), rule);
    other.expect(&other.hit(3, 5, end), &other.uncounted(&first, 0), rule);
    other.expect(&other.hit(2, 5, end), &other.counted(&first, 2), rule);
    one.expect(&one.get(end), &one.uncounted(&full, 0), rule);
    other.expect(&other.get(end), &other.uncounted(&first, 2), rule);
}

pub(super) fn long_expired_counter_reads_as_absent<H: Harness>(subject: &Subject<'_, H>) {
    for counter in subject.each_kind("long past", NOW) {
        let counted = counter.first_hit(3, 5, NOW);
        let far = NOW.saturating_add(10 * MINUTE).saturating_add(10 * subject.harness.max_clock_skew());
        let value = counter.get(far).value;
        // A bucket that is full again may still be stored: it is equivalent to an absent one.
        let may_stay = matches!(counter.window, Window::Bucket { .. });
        assert!(
            value == 0 || (may_stay && value == counted.value),
            "rule 2: ten lengths and ten times the skew later, an ended window reads as 0, even if it is still stored\n  \
             but saw {value}\n  of {counter}"
        );
    }
}

pub(super) fn bucket_counts_from_the_higher_of_floor_and_value<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 2: a bucket counts from the floor if its value is lower, and otherwise from its value";
    let quotas = [
        (1, WindowLength::MINUTE),
        (BUCKET_LIMIT, WindowLength::MINUTE),
        (1_000_000_007, WindowLength::SECOND),
        (u64::from(u32::MAX), WindowLength::MIN),
        (1, WindowLength::MAX),
    ];
    for (limit, length) in quotas {
        let subject = subject.with_new_backend();
        let bucket = |key: String| {
            subject.counter(Window::Bucket { length }, format!("{limit}, {key}")).with_bucket(limit, u64::MAX)
        };
        let value = bucket(String::new()).new_hit(3, 3, NOW).ceiling;
        for floor in [value - 1, value, value + 1] {
            let counter = bucket(format!("{length:?}, {floor}"));
            counter.first_hit(3, 3, NOW);
            let hit = Hit::new(5, u128::MAX >> 16).with_floor(floor);
            let counted = CounterState::new(true, value.max(floor) + 5);
            counter.expect(&counter.increment(&hit, NOW), &counted, rule);
        }
        let full_at = bucket_full_at(value, limit);
        let times = [just_before(full_at), full_at, full_at.saturating_add(NANOSECOND)];
        let counters = times.map(|now| bucket(format!("{length:?}, {now:?}")));
        for counter in &counters {
            counter.first_hit(3, 3, NOW);
        }
        for (counter, now) in counters.iter().zip(times) {
            let hit = counter.new_hit(1, 5, now);
            let counted = CounterState::new(true, value.max(hit.floor) + hit.cost);
            counter.expect(&counter.increment(&hit, now), &counted, rule);
        }
    }
}
