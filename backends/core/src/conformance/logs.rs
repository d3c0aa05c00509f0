//! Logs: the last window length before each operation, to the nanosecond.

use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use super::clock::count_on_other_keys;
use super::kinds::LOG;
use super::probe::CounterProbe;
use super::random::Random;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NANOSECOND, NOW, SECOND, just_before};
use crate::{CounterState, Hit, Refund, Timestamp, WindowLength, has_ended};

/// Returns the hits of a state that count at `now`, oldest first.
#[track_caller]
fn entries<H: Harness>(
    counter: &CounterProbe<'_, H>,
    state: &CounterState,
    now: Timestamp,
) -> Vec<(Timestamp, u128)> {
    let Some(log) = &state.log else {
        // A log without hits is one that need not exist.
        let rule = "rule 14: a read, and a hit that does not fit, return the hits of a log";
        assert!(state.value == 0 && !state.counted, "{rule}\n  but saw {state:?}\n  of {counter}");
        return Vec::new();
    };
    let counting = log.entries().iter().filter(|(time, _)| !has_ended(*time, WindowLength::MINUTE, now));
    counting.copied().collect()
}

pub(super) fn log_admits_the_limit_in_any_stretch_of_one_length<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule = "rule 14: a hit counts for one length from its time, and not 1 ns longer or shorter";
    let counter = subject.counter(LOG, "exact");
    let (second, third) = (NOW.saturating_add(20 * SECOND), NOW.saturating_add(20 * SECOND + NANOSECOND));
    let value_after = |cost, now, counted, value| {
        let seen = counter.hit(cost, 4, now);
        assert!(
            (seen.counted, seen.value) == (counted, value),
            "{rule}\n  expected {:?}\n  but saw  {seen:?}\n  of {counter}",
            (counted, value)
        );
        let seen = counter.get(now).value;
        assert!(seen == value, "{rule}\n  expected {value}\n  but saw  {seen}\n  of {counter}");
    };
    value_after(2, NOW, true, 2);
    value_after(1, second, true, 3);
    value_after(1, third, true, 4);
    value_after(1, third, false, 4);
    let end = NOW.saturating_add(MINUTE);
    value_after(1, just_before(end), false, 4);
    value_after(3, end, false, 2);
    value_after(2, end, true, 4);
    let end = second.saturating_add(MINUTE);
    value_after(1, just_before(end), false, 4);
    value_after(2, end, false, 3);
    value_after(1, end, true, 4);
    value_after(1, end, false, 4);
    value_after(1, end.saturating_add(NANOSECOND), true, 4);
    let far = end.saturating_add(1_000 * MINUTE);
    value_after(5, far, false, 0);
    value_after(4, far, true, 4);
}

pub(super) fn log_returns_its_hits<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule =
        "rule 14: a read, and a hit that does not fit, return the time and cost of each hit that counts";
    let counter = subject.counter(LOG, "hits");
    let times = [NOW, NOW.saturating_add(NANOSECOND), NOW.saturating_add(7 * SECOND)];
    let mut expected = Vec::new();
    let mut value = 0;
    for (now, cost) in times.into_iter().zip([2, 1, 3]) {
        let state = counter.hit(cost, 6, now);
        value += cost;
        expected.push((now, cost));
        counter.expect(&state, &CounterState::new(true, value).with_start(now), rule);
    }
    let last = times[2];
    let more = counter.hit(1, 7, last);
    expected[2].1 += 1;
    counter.expect(
        &more,
        &CounterState::new(true, 7).with_start(last),
        "rule 14: hits of one time are one entry",
    );
    for state in [counter.get(last), counter.hit(1, 7, last), counter.hit(9, 7, last)] {
        counter.expect(&state, &CounterState::new(false, 7).with_start(last), rule);
        let seen = entries(&counter, &state, last);
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {counter}");
        let log = state.log.unwrap_or_default();
        let fits_at = log.fits_at(1, 7, WindowLength::MINUTE, last);
        let expected = Some(NOW.saturating_add(MINUTE));
        assert!(
            fits_at == expected,
            "{rule}: a hit fits at {expected:?}\n  but saw {fits_at:?}\n  of {counter}"
        );
    }
    let end = NOW.saturating_add(MINUTE);
    let seen = entries(&counter, &counter.get(end), end);
    assert!(
        seen == expected[1..],
        "{rule}\n  expected {:?}\n  but saw  {seen:?}\n  of {counter}",
        &expected[1..]
    );
}

pub(super) fn hit_of_cost_zero_leaves_a_log_as_it_is<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule = "rule 14: a hit of cost 0 fits if the value is at most its ceiling, and is not logged";
    let counter = subject.counter(LOG, "cost 0");
    let seen = counter.hit(0, 0, NOW);
    assert!((seen.counted, seen.value) == (true, 0), "{rule}\n  but saw {seen:?}\n  of {counter}");
    counter.expect(&counter.get(NOW), &counter.absent(), rule);
    counter.first_hit(3, 3, NOW);
    let later = NOW.saturating_add(SECOND);
    for (limit, fits) in [(3, true), (2, false), (4, true)] {
        let seen = counter.hit(0, limit, later);
        assert!((seen.counted, seen.value) == (fits, 3), "{rule}\n  but saw {seen:?}\n  of {counter}");
    }
    let state = counter.get(later);
    let seen = entries(&counter, &state, later);
    assert!(seen == [(NOW, 3)], "{rule}\n  but saw {seen:?}\n  of {counter}");
    counter.expect(&state, &CounterState::new(false, 3).with_start(NOW), rule);
}

pub(super) fn clock_jump_back_within_the_skew_finds_the_hits_of_a_log<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule = "rule 14: a log keeps its hits for the maximum skew, and those of a clock ahead within the skew count";
    let skew = subject.harness.max_clock_skew();
    let counter = subject.counter(LOG, "ended");
    counter.first_hit(3, 3, NOW);
    let end = NOW.saturating_add(MINUTE);
    let last = just_before(end).saturating_add(skew);
    count_on_other_keys(subject, WindowLength::MINUTE, last);
    // A hit at the later time, which does not fit any more at the earlier one.
    counter.hit(if skew.is_zero() { 0 } else { 1 }, 3, last);
    let seen = counter.hit(1, 3, just_before(end));
    let least = if skew.is_zero() { 3 } else { 4 };
    assert!(!seen.counted && seen.value == least, "{rule}\n  but saw {seen:?}\n  of {counter}");

    for (name, back) in [("all of the skew", skew), ("half of the skew", skew / 2)] {
        let counter = subject.counter(LOG, name);
        counter.first_hit(3, 3, NOW);
        let now = NOW.saturating_sub(back);
        let expected = CounterState::new(false, 3).with_start(NOW);
        counter.expect(&counter.hit(1, 3, now), &expected, rule);
        counter.expect(&counter.get(now), &expected, rule);
        counter.expect(&counter.hit(1, 4, now), &CounterState { counted: true, value: 4, ..expected }, rule);
        let seen = entries(&counter, &counter.get(NOW), NOW);
        let mut expected = vec![(now, 1), (NOW, 3)];
        if back.is_zero() {
            expected = vec![(NOW, 4)];
        }
        assert!(seen == expected, "{rule}\n  expected {expected:?}\n  but saw  {seen:?}\n  of {counter}");
    }
}

pub(super) fn hits_of_a_wrong_clock_leave_a_log<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule =
        "rule 14: a hit that is further ahead than the skew is that of a wrong clock, and does not count";
    let skew = subject.harness.max_clock_skew();
    for ahead in [skew + NANOSECOND, Duration::from_secs(600_000_000)] {
        let subject = subject.with_new_backend();
        let counter = subject.counter(LOG, format!("{ahead:?} ahead"));
        counter.first_hit(3, 3, NOW.saturating_add(ahead));
        counter.expect(&counter.get(NOW), &counter.absent(), rule);
        counter.expect(&counter.hit(4, 3, NOW), &counter.absent(), rule);
        let first = counter.first_hit(2, 3, NOW);
        counter.expect(&counter.hit(2, 3, NOW), &counter.uncounted(&first, 0), rule);
    }
}

pub(super) fn refund_reaches_the_logged_hit<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) || subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rule 13: a log gets a refund at the time of the charge, at most what was charged then";
    let counter = subject.counter(LOG, "refund");
    let later = NOW.saturating_add(10 * SECOND);
    counter.first_hit(2, 5, NOW);
    counter.hit(3, 5, later);
    let expect = |refund: Refund, counted: bool, left: &[(Timestamp, u128)]| {
        let seen = counter.refund(&refund, later);
        let state = counter.get(later);
        let value: u128 = left.iter().map(|(_, cost)| cost).sum();
        assert!(
            (seen.counted, seen.value) == (counted, value) && entries(&counter, &state, later) == left,
            "{rule}\n  expected {left:?}\n  but saw  {seen:?}, and then {state:?}\n  of {counter}"
        );
    };
    expect(Refund::new(1, NOW.saturating_add(SECOND)), false, &[(NOW, 2), (later, 3)]);
    expect(Refund::new(1, NOW), true, &[(NOW, 1), (later, 3)]);
    expect(Refund::new(9, NOW), true, &[(later, 3)]);
    expect(Refund::new(1, NOW), false, &[(later, 3)]);
    expect(Refund::new(1, later), true, &[(later, 2)]);
    let seen = counter.hit(4, 5, later);
    counter.expect(&seen, &CounterState::new(false, 2).with_start(later), rule);
    expect(Refund::new(2, later), true, &[]);
}

pub(super) fn random_hits_on_a_log_match_a_plain_list<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 12;
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule = "rule 14: a log counts the hits of the last length, also if time jumps back within the skew";
    let refunds = subject.offers(Skip::Refunds);
    let skew = u64::try_from(subject.harness.max_clock_skew().as_nanos()).unwrap_or(u64::MAX);
    let counter = subject.counter(LOG, "model");
    let mut random = Random::new(15);
    let (mut latest, mut hits) = (NOW, Vec::<(Timestamp, u128)>::new());
    for step in 0..200 {
        latest = latest.saturating_add(Duration::from_millis(random.below(9_000)));
        let back = if random.below(3) == 0 { random.below(skew.saturating_add(1)) } else { 0 };
        let now = latest.saturating_sub(Duration::from_nanos(back));
        let value = |hits: &[(Timestamp, u128)]| -> u128 {
            let counting = hits.iter().filter(|(time, _)| !has_ended(*time, WindowLength::MINUTE, now));
            counting.map(|(_, cost)| cost).sum()
        };
        if refunds && step % 5 == 4 && !hits.is_empty() {
            let index = hits.len() - 1 - usize::try_from(random.below(hits.len().min(3) as u64)).unwrap_or(0);
            let (charged_at, cost) = hits.remove(index);
            let same_time: u128 =
                hits.iter().filter(|(time, _)| *time == charged_at).map(|(_, cost)| cost).sum();
            hits.retain(|(time, _)| *time != charged_at);
            counter.refund(&Refund::new(cost, charged_at), now);
            if same_time > 0 {
                hits.push((charged_at, same_time));
            }
        } else {
            let hit = Hit::new(u128::from(random.below(6)), LIMIT);
            let after = hit.apply(value(&hits));
            let seen = counter.increment(&hit, now);
            if after.is_some() && hit.cost > 0 {
                hits.push((now, hit.cost));
            }
            assert!(
                (seen.counted, seen.value) == (after.is_some(), value(&hits)),
                "{rule}\n  expected {:?}\n  but saw  {seen:?}\n  of {counter}",
                (after.is_some(), value(&hits))
            );
        }
        let state = counter.get(now);
        let mut expected: Vec<_> =
            hits.iter().filter(|(time, _)| !has_ended(*time, WindowLength::MINUTE, now)).copied().collect();
        expected.sort_unstable_by_key(|(time, _)| *time);
        expected.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                first.1 += next.1;
            }
            is_same
        });
        let seen = entries(&counter, &state, now);
        assert!(
            seen == expected && state.value == value(&hits),
            "{rule}\n  expected {expected:?}\n  but saw  {:?}\n  of {counter}",
            state.log.as_deref().map_or(&[][..], |log| log.entries())
        );
    }
}

pub(super) fn full_log_forgets_no_cost<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Logs) {
        return;
    }
    let rule = "rule 14: a log of more times than it can hold loses no cost";
    let counter = subject.counter(LOG, "many");
    let number = crate::HitLog::MAX_ENTRIES as u64 + 40;
    let mut now = NOW;
    for count in 1..=number {
        now = NOW.saturating_add(Duration::from_millis(count));
        let seen = counter.hit(1, number.into(), now);
        assert!(
            (seen.counted, seen.value) == (true, count.into()),
            "{rule}\n  expected {count}\n  but saw  {seen:?}\n  of {counter}"
        );
    }
    let seen = counter.hit(1, number.into(), now);
    assert!(
        (seen.counted, seen.value) == (false, number.into()),
        "{rule}\n  expected {number}\n  but saw  {seen:?}\n  of {counter}"
    );
    let log: Arc<_> = seen.log.unwrap_or_default();
    let sum = log.value(WindowLength::MINUTE, now);
    assert!(sum == number.into(), "{rule}\n  expected {number}\n  but saw  {sum}\n  of {counter}");
}
