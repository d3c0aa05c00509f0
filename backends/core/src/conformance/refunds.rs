//! Refunds: to the counter that was charged, and never more than was charged.

use std::time::Duration;

use super::Harness;
use super::arithmetic::DIGITS_38;
use super::lost_responses::{assert_unknown, with_lost_response};
use super::parallel::in_parallel;
use super::probe::CounterProbe;
use super::random::Random;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NANOSECOND, NOW, SECOND};
use crate::bucket::{StoredBucket, convert_down};
use crate::{CounterState, Hit, Refund, Timestamp, Window, WindowId, WindowLength};

/// Returns a refund of `cost` tokens to the window of `state`.
fn refund_to<H: Harness>(counter: &CounterProbe<'_, H>, state: &CounterState, cost: u128) -> Refund {
    let window_id = state.meta.as_ref().map_or(WindowId(0), |meta| meta.id);
    counter.new_refund(cost, NOW).with_window_id(window_id)
}

/// Returns the state after this many tokens were returned.
fn after_refund<H: Harness>(
    counter: &CounterProbe<'_, H>,
    state: &CounterState,
    tokens: u128,
) -> CounterState {
    CounterState { counted: true, value: state.value - tokens * counter.unit(), ..state.clone() }
}

#[track_caller]
fn expect_refunded<H: Harness>(
    counter: &CounterProbe<'_, H>,
    refund: &Refund,
    now: Timestamp,
    expected: &CounterState,
    rule: &str,
) {
    counter.expect(&counter.refund(refund, now), expected, rule);
    counter.expect(&counter.get(now), &counter.uncounted(expected, 0), rule);
}

pub(super) fn refund_returns_its_cost<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund lowers the value by its cost, and returns the state";
    for counter in subject.each_window("returned", NOW) {
        let first = counter.first_hit(5, 5, NOW);
        let after = after_refund(&counter, &first, 3);
        expect_refunded(&counter, &refund_to(&counter, &first, 3), NOW, &after, rule);
        counter.expect(&counter.hit(4, 5, NOW), &counter.uncounted(&after, 0), rule);
        counter.expect(&counter.hit(3, 5, NOW), &counter.counted(&after, 3), rule);
        let after = after_refund(&counter, &first, 1);
        expect_refunded(&counter, &refund_to(&counter, &first, 1), NOW, &after, rule);
        counter.expect(&counter.hit(1, 5, NOW), &counter.counted(&after, 1), rule);
        counter.expect(&counter.hit(1, 5, NOW), &counter.uncounted(&first, 0), rule);
    }
}

pub(super) fn refund_reaches_the_window_that_was_charged<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund reaches the window that was charged, also after the next one has started";
    let later = NOW.saturating_add(MINUTE);
    let charged = subject.counter(Window::aligned(NOW, WindowLength::MINUTE), "two windows");
    let next = charged.at(later);
    let (old, new) = (charged.first_hit(5, 5, NOW), next.first_hit(5, 5, later));
    expect_refunded(&charged, &charged.new_refund(3, NOW), later, &after_refund(&charged, &old, 3), rule);
    next.expect(&next.get(later), &next.uncounted(&new, 0), rule);
    next.expect(&next.hit(1, 5, later), &next.uncounted(&new, 0), rule);
    let seen = next.sliding().get(later).previous;
    assert!(
        seen == 2,
        "{rule}: the previous window weighs less\n  expected 2\n  but saw  {seen}\n  of {next}"
    );

    let subject = subject.with_new_backend();
    let charged = subject.counter(Window::aligned(NOW, WindowLength::MINUTE), "no next window");
    let old = charged.first_hit(5, 5, NOW);
    expect_refunded(&charged, &charged.new_refund(3, NOW), later, &after_refund(&charged, &old, 3), rule);
    let next = charged.at(later);
    next.expect(&next.get(later), &next.absent(), rule);
}

pub(super) fn refund_never_falls_below_zero<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund of more than the value leaves zero, and gives no extra hits";
    for (name, cost) in [("more", 7), ("much more", u128::MAX >> 65)] {
        for counter in subject.each_window(name, NOW) {
            let first = counter.first_hit(2, 5, NOW);
            counter.refund(&refund_to(&counter, &first, cost), NOW);
            let value = counter.get(NOW).value;
            assert!(value <= counter.floor(NOW), "{rule}\n  but saw {value}\n  of {counter}");
            let hit = counter.new_hit(5, 5, NOW);
            let full = counter.increment(&hit, NOW);
            assert!(full.counted && full.value == hit.ceiling, "{rule}\n  but saw {full:?}\n  of {counter}");
            counter.expect(&counter.hit(1, 5, NOW), &counter.uncounted(&full, 0), rule);
        }
    }
}

pub(super) fn refund_needs_the_id_of_its_window<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a window from the first hit gets a refund only with its own id";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "id");
    let first = counter.first_hit(5, 5, NOW);
    let end = NOW.saturating_add(MINUTE);
    let second = counter.first_hit(4, 5, end);
    let unchanged = counter.uncounted(&second, 0);
    expect_refunded(&counter, &refund_to(&counter, &first, 2), end, &unchanged, rule);
    let other = counter.new_refund(2, NOW).with_window_id(subject.new_window_id());
    expect_refunded(&counter, &other, end, &unchanged, rule);
    expect_refunded(
        &counter,
        &refund_to(&counter, &second, 2),
        end,
        &after_refund(&counter, &second, 2),
        rule,
    );
}

pub(super) fn absent_or_ended_counter_gets_no_refund<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a counter that is absent or has ended gets nothing, and `counted` is `false`";
    for counter in subject.each_window("absent", NOW) {
        let refund = refund_to(&counter, &counter.absent(), 3);
        expect_refunded(&counter, &refund, NOW, &counter.absent(), rule);
        counter.first_hit(5, 5, NOW);
    }
    let far = NOW.saturating_add(10 * (MINUTE + subject.harness.max_clock_skew()));
    for counter in subject.each_window("ended", NOW) {
        let first = counter.first_hit(3, 5, NOW);
        let refund = refund_to(&counter, &first, 1);
        if let Window::FromFirstHit { .. } = counter.window {
            let end = NOW.saturating_add(MINUTE);
            expect_refunded(&counter, &refund, end, &counter.absent(), rule);
        }
        // A full bucket may still be stored, and all of the charge has flowed in.
        if !matches!(counter.window, Window::Bucket { .. }) {
            expect_refunded(&counter, &refund, far, &counter.absent(), rule);
        }
    }
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "wrong clock");
    let wrong = NOW.saturating_add(subject.harness.max_clock_skew() + NANOSECOND);
    let first = counter.first_hit(3, 5, wrong);
    expect_refunded(&counter, &refund_to(&counter, &first, 1), NOW, &counter.absent(), rule);
}

pub(super) fn refund_of_a_bucket_is_less_what_has_flowed_in<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a bucket gets the cost of a refund less what has flowed in since the charge";
    let bucket =
        |key: &str| subject.counter(Window::Bucket { length: WindowLength::MINUTE }, key).with_bucket(10, 10);
    // A burst of 10: charge 5, wait until full, use 10, refund 5.
    let counter = bucket("full again");
    counter.first_hit(5, 10, NOW);
    let full_again = NOW.saturating_add(30 * SECOND);
    let full = counter.hit(10, 10, full_again);
    counter.refund(&counter.new_refund(5, NOW), full_again);
    counter.expect(&counter.get(full_again), &counter.uncounted(&full, 0), rule);
    let one_unit = Hit { cost: 1, ..counter.new_hit(0, 10, full_again) };
    counter.expect(&counter.increment(&one_unit, full_again), &counter.uncounted(&full, 0), rule);

    // A token flows in within six seconds.
    for (name, elapsed, amount) in [
        ("at once", Duration::ZERO, 300_000_000_000),
        ("a nanosecond", NANOSECOND, 299_999_999_990),
        ("a token", 6 * SECOND, 240_000_000_000),
        ("all but 10 units", 30 * SECOND - NANOSECOND, 10),
        ("all", 30 * SECOND, 0),
        ("more", 31 * SECOND, 0),
    ] {
        let counter = bucket(name);
        counter.first_hit(5, 10, NOW);
        let now = NOW.saturating_add(elapsed);
        let full = counter.hit(5, 10, now);
        counter.refund(&counter.new_refund(5, NOW), now);
        let expected = CounterState { counted: false, value: full.value - amount, ..full };
        counter.expect(&counter.get(now), &expected, &format!("{rule}; here after {name}"));
    }
    let subject = subject.with_new_backend();
    let window = Window::Bucket { length: WindowLength::MINUTE };
    let counter = subject.counter(window, "the clock went back").with_bucket(10, 10);
    let full = counter.first_hit(5, 10, NOW);
    counter.refund(&counter.new_refund(4, NOW), NOW.saturating_sub(NANOSECOND));
    counter.expect(
        &counter.get(NOW),
        &CounterState { counted: false, ..after_refund(&counter, &full, 4) },
        rule,
    );
}

pub(super) fn refund_keeps_the_quota_of_a_bucket<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund keeps the quota of the hit that wrote the value, and is rounded down";
    let large =
        subject.counter(Window::Bucket { length: WindowLength::MINUTE }, "burst").with_bucket(10, 1_000);
    let full = large.first_hit(1_000, 1_000, NOW);
    let small = large.with_bucket(10, 1);
    // By the quota of the refund, the value would be that of a wrong clock.
    let after = after_refund(&large, &full, 1);
    expect_refunded(&small, &small.new_refund(1, NOW), NOW, &after, rule);
    large.expect(&large.hit(2, 1_000, NOW), &large.uncounted(&after, 0), rule);

    let other = large.with_bucket(7, 7);
    let value = after.value - convert_down(other.unit(), 7, 10);
    other.refund(&other.new_refund(1, NOW), NOW);
    large.expect(&large.get(NOW), &CounterState::new(false, value), rule);
}

pub(super) fn refund_with_another_value_returns_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: if a refund requires a value, a counter with another one gets nothing";
    for counter in subject.each_window("required", NOW) {
        let first = counter.first_hit(5, 5, NOW);
        let refund = refund_to(&counter, &first, 2);
        for value in [first.value - 1, first.value + 1, 0] {
            let unchanged = counter.uncounted(&first, 0);
            expect_refunded(&counter, &refund.only_if_value(value), NOW, &unchanged, rule);
        }
        let refund = refund.only_if_value(first.value);
        let after = after_refund(&counter, &first, 2);
        expect_refunded(&counter, &refund, NOW, &after, rule);
        expect_refunded(&counter, &refund, NOW, &counter.uncounted(&after, 0), rule);
    }
}

pub(super) fn large_refunds_are_exact<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund of up to 38 digits is exact";
    let counter = subject.counter(Window::aligned(NOW, WindowLength::MINUTE), "large");
    let mut state = counter.increment(&Hit::new(DIGITS_38, DIGITS_38), NOW);
    for cost in [1, u128::from(u64::MAX) + 2, 10_u128.pow(37) + 7, DIGITS_38 / 3] {
        let after = after_refund(&counter, &state, cost);
        expect_refunded(&counter, &counter.new_refund(cost, NOW), NOW, &after, rule);
        state = after;
    }
    let none = CounterState { counted: true, ..counter.absent() };
    expect_refunded(&counter, &counter.new_refund(u128::MAX, NOW), NOW, &none, rule);
}

pub(super) fn random_refunds_of_a_bucket_match_a_model<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: hits and refunds of a bucket have the value of a model";
    let counter =
        subject.counter(Window::Bucket { length: WindowLength::MINUTE }, "model").with_bucket(60, 20);
    let mut random = Random::new(14);
    let (mut value, mut now, mut charges) = (0, NOW, Vec::new());
    for _ in 0..150 {
        now = now.saturating_add(Duration::from_millis(random.below(4_000)));
        if random.below(3) > 0 || charges.is_empty() {
            let cost = 1 + random.below(8);
            let hit = counter.new_hit(cost.into(), 20, now);
            let after = hit.apply(value);
            let seen = counter.increment(&hit, now);
            let floor = counter.floor(now);
            value = after.unwrap_or(value);
            assert!(
                (seen.counted, seen.value.max(floor)) == (after.is_some(), value.max(floor)),
                "{rule}\n  expected {value}\n  but saw  {seen:?}\n  of {counter}"
            );
            if after.is_some() {
                charges.push((now, cost));
            }
        } else {
            let index = usize::try_from(random.below(charges.len() as u64)).expect("a small number");
            let (charged_at, cost) = charges.swap_remove(index);
            let refund = counter.new_refund((1 + random.below(cost)).into(), charged_at);
            counter.refund(&refund, now);
            let stored = StoredBucket { value, quota: counter.bucket };
            value = refund.apply_to_bucket(stored, counter.bucket, now).value;
        }
    }
}

pub(super) fn refund_with_a_lost_response_is_returned_once<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund with a lost response is returned once";
    for counter in subject.each_window("lost", NOW) {
        let mut state = counter.first_hit(9, 9, NOW);
        for _ in 0..3 {
            let refund = refund_to(&counter, &state, 2);
            let Some(result) = with_lost_response(subject, || counter.try_refund(&refund, NOW)) else {
                return;
            };
            let expected = after_refund(&counter, &state, 2);
            let after = counter.get(NOW);
            match result {
                Ok(seen) => {
                    counter.expect(&seen, &expected, rule);
                    counter.expect(&after, &counter.uncounted(&expected, 0), rule);
                }
                Err(error) => {
                    assert_unknown(&counter, &error);
                    assert!(
                        after.value == expected.value || after.value == state.value,
                        "{rule}, or not\n  but saw {after:?}\n  of {counter}"
                    );
                }
            }
            state = CounterState { log: None, ..after };
        }
    }
}

pub(super) fn parallel_hits_and_refunds_add_up<H: Harness>(subject: &Subject<'_, H>) {
    const THREADS: usize = 64;
    if subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a refund is one atomic step: parallel hits and refunds add up";
    for round in 0..3 {
        for counter in subject.each_window(&format!("round {round}"), NOW) {
            let first = counter.first_hit(10, 1_000, NOW);
            in_parallel(THREADS, |_| {
                let state = counter.hit(3, 1_000, NOW);
                assert!(state.counted, "{rule}\n  but saw {state:?}\n  of {counter}");
                let state = counter.refund(&refund_to(&counter, &first, 2), NOW);
                assert!(state.counted, "{rule}\n  but saw {state:?}\n  of {counter}");
            });
            let expected = counter.uncounted(&first, THREADS as u128);
            counter.expect(&counter.get(NOW), &expected, rule);
        }
    }
}
