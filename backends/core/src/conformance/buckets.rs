//! Buckets: limits that change, and clocks that are wrong or disagree.

use std::time::Duration;

use super::Harness;
use super::probe::CounterProbe;
use super::subject::Subject;
use super::times::{MINUTE, NOW, SECOND};
use crate::bucket::convert;
use crate::{Backend, BackendError, Counter, CounterState, Hit, Key, Operation, Window, WindowLength};

/// Ten million windows of a minute: nineteen years.
const YEARS: Duration = Duration::from_secs(600_000_000);

fn bucket<'s, H: Harness>(subject: &'s Subject<'_, H>, key: &str) -> CounterProbe<'s, H> {
    subject.counter(Window::Bucket { length: WindowLength::MINUTE }, key)
}

/// Returns the state that another limit sees of a read or a refused hit.
fn seen_by(state: &CounterState, from_limit: u64, to_limit: u64) -> CounterState {
    CounterState { counted: false, value: convert(state.value, from_limit, to_limit), ..state.clone() }
}

pub(super) fn buckets_of_different_limits_are_the_same_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 3: the limit is no part of a bucket's identity: a limit that changes keeps what was counted";
    let any = bucket(subject, "changed limit");
    let (ten, nine, twenty) = (any.with_bucket(10, 10), any.with_bucket(9, 9), any.with_bucket(20, 20));
    let full = ten.first_hit(10, 10, NOW);
    nine.expect(&nine.hit(1, 9, NOW), &seen_by(&full, 10, 9), rule);
    twenty.expect(&twenty.hit(1, 20, NOW), &seen_by(&full, 10, 20), rule);
    ten.expect(&ten.get(NOW), &ten.uncounted(&full, 0), "rule 5: a refused hit changes nothing");
    // Of twenty tokens, one flows in within three seconds.
    let later = NOW.saturating_add(3 * SECOND);
    let next = twenty.hit(1, 20, later);
    let expected = CounterState { counted: true, ..twenty.counted(&seen_by(&full, 10, 20), 1) };
    twenty.expect(&next, &expected, "rule 3: a higher limit takes effect at once");
    ten.expect(&ten.get(later), &seen_by(&next, 20, 10), rule);
    nine.reset(None, later);
    twenty.expect(&twenty.get(later), &twenty.absent(), "`reset` deletes a bucket whatever its limit");
}

pub(super) fn changed_limit_keeps_the_time_rounded_up<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 3: another limit sees the same time in its own unit, rounded up";
    let any = bucket(subject, "rounded");
    let limits = [7, 3, 1_000_000_007, 1, u64::MAX >> 20, 97, 101];
    let mut last = (7, any.with_bucket(7, 7).first_hit(5, 7, NOW));
    for round in 0..3 {
        for limit in limits {
            let counter = any.with_bucket(limit, u64::MAX >> 20);
            let seen = seen_by(&last.1, last.0, limit);
            counter.expect(&counter.get(NOW), &seen, rule);
            counter.expect(&counter.hit(1, 0, NOW), &seen, rule);
            // A hit of any cost stores the value in the new unit.
            let hit = Hit { cost: round, ..counter.new_hit(0, u128::from(u64::MAX >> 20), NOW) };
            let counted = CounterState { counted: true, value: seen.value + round, ..seen };
            counter.expect(&counter.increment(&hit, NOW), &counted, rule);
            last = (limit, counted);
        }
    }
}

pub(super) fn bucket_of_a_wrong_clock_starts_over<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a bucket that only a wrong clock can have written is absent, and starts over";
    for key in ["read", "refused", "counted"] {
        let subject = subject.with_new_backend();
        let counter = bucket(&subject, key).with_bucket(10, 10);
        let wrong = NOW.saturating_add(YEARS);
        counter.first_hit(1, 10, wrong);
        match key {
            "read" => counter.expect(&counter.get(NOW), &counter.absent(), rule),
            "refused" => counter.expect(&counter.hit(11, 10, NOW), &counter.absent(), rule),
            _ => {}
        }
        let other = counter.with_bucket(20, 40);
        other.expect(&other.get(NOW), &other.absent(), rule);
        let first = counter.first_hit(9, 10, NOW);
        counter.expect(&counter.hit(2, 10, NOW), &counter.uncounted(&first, 0), rule);
        counter.expect(&counter.hit(1, 10, NOW), &counter.counted(&first, 1), rule);
    }
}

pub(super) fn bucket_of_a_clock_within_the_skew_keeps_its_value<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a bucket keeps its value if the clock that wrote it is ahead by at most the skew, and the \
                state reports the lead";
    let skew = subject.harness.max_clock_skew();
    for (name, ahead) in [("all of the skew", skew), ("half of the skew", skew / 2)] {
        let counter = bucket(subject, name).with_bucket(10, 10);
        let later = NOW.saturating_add(ahead);
        let full = counter.uncounted(&counter.first_hit(10, 10, later), 0);
        let seen = full.clone().with_clock_lead(ahead);
        counter.expect(&counter.get(NOW), &seen, rule);
        counter.expect(&counter.hit(1, 10, NOW), &seen, rule);
        let other = counter.with_bucket(3, 3);
        other.expect(&other.get(NOW), &seen_by(&seen, 10, 3), rule);
        other.expect(&other.hit(1, 3, NOW), &seen_by(&seen, 10, 3), rule);
        counter.expect(&counter.get(later), &full, "no lead is reported to the clock that wrote the bucket");
    }
    let counter = bucket(subject, "not full").with_bucket(10, 10);
    let first = counter.first_hit(9, 10, NOW.saturating_add(skew));
    // Nine tokens take nine tenths of the minute: the rest is a lead of the skew less six seconds.
    let lead = skew.saturating_sub(MINUTE / 10);
    let seen = counter.uncounted(&first, 0).with_clock_lead(lead);
    counter.expect(&counter.get(NOW), &seen, "the lead is what the capacity does not explain");
}

pub(super) fn bucket_is_judged_by_the_quota_that_wrote_it<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 1: whether a bucket is that of a wrong clock depends on the quota of the hit that wrote it";
    let large = bucket(subject, "bursts").with_bucket(10, 1_000);
    let full = large.uncounted(&large.first_hit(1_000, 1_000, NOW), 0);
    let small = large.with_bucket(10, 1);
    small.expect(&small.get(NOW), &full, rule);
    small.expect(&small.hit(1, 1, NOW), &full, rule);
    large.expect(&large.hit(1, 1_000, NOW), &full, rule);
}

pub(super) fn bucket_without_a_quota_is_invalid<H: Harness>(subject: &Subject<'_, H>) {
    let counter = bucket(subject, "no quota").with_bucket(10, 10);
    counter.first_hit(1, 10, NOW);
    let key = Key::from("no quota");
    let window = Window::Bucket { length: WindowLength::MINUTE };
    let bare = Counter::new(subject.namespace, &key, window).expect("the key is valid");
    let hit = counter.new_hit(1, 10, NOW);
    let mut results = vec![
        (Operation::Increment, subject.block_on(subject.backend.increment(&bare, &hit, NOW))),
        (Operation::Get, subject.block_on(subject.backend.get(&bare, NOW))),
    ];
    for counter in [bare, bare.retry()] {
        results.extend(
            subject.backend.try_increment(&counter, &hit, NOW).map(|result| (Operation::Increment, result)),
        );
    }
    for (operation, result) in results {
        assert!(
            matches!(result, Err(BackendError::Invalid(_))),
            "`{operation}` of a bucket without a quota is `Invalid`\n  but saw {result:?}\n  of {counter}"
        );
    }
    let reset = subject.block_on(subject.backend.reset(&bare, None, NOW));
    counter.expect_ok(Operation::Reset, reset);
    counter.expect(&counter.get(NOW), &counter.absent(), "`reset` needs no quota");
}

pub(super) fn window_from_first_hit_of_a_wrong_clock_starts_over<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: a window from the first hit that started further ahead than the skew is absent";
    let skew = subject.harness.max_clock_skew();
    let window = Window::FromFirstHit { length: WindowLength::MINUTE };
    let kept = subject.counter(window, "within the skew");
    let full = kept.uncounted(&kept.first_hit(5, 5, NOW.saturating_add(skew)), 0);
    kept.expect(&kept.get(NOW), &full, "rule 1: a window that started within the skew counts");
    kept.expect(&kept.hit(1, 5, NOW), &full, "rule 1: a window that started within the skew counts");
    for ahead in [skew + Duration::from_nanos(1), MINUTE + skew, YEARS] {
        let subject = subject.with_new_backend();
        let counter = subject.counter(window, format!("{ahead:?} ahead"));
        counter.first_hit(5, 5, NOW.saturating_add(ahead));
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
        counter.expect(&counter.hit(6, 5, NOW), &counter.absent(), rule);
        let first = counter.first_hit(4, 5, NOW);
        counter.expect(&counter.hit(2, 5, NOW), &counter.uncounted(&first, 0), rule);
    }
}

pub(super) fn aligned_windows_of_a_wrong_clock_do_not_count<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 1: hits of a clock that was years ahead count in its own windows alone";
    for is_sliding in [false, true] {
        let subject = subject.with_new_backend();
        let at = |now| {
            let counter =
                subject.counter(Window::aligned(now, WindowLength::MINUTE), format!("{is_sliding}"));
            if is_sliding { counter.sliding() } else { counter }
        };
        let wrong = NOW.saturating_add(YEARS);
        at(wrong).first_hit(5, 5, wrong);
        let counter = at(NOW);
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
        let first = counter.first_hit(5, 5, NOW);
        counter.expect(&counter.hit(1, 5, NOW), &counter.uncounted(&first, 0), rule);
    }
}
