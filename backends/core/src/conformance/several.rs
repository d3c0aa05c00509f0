//! Several hits at once: all or none, in one step.

use super::Harness;
use super::arithmetic::DIGITS_38;
use super::probe::CounterProbe;
use super::random::Random;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NOW, SECOND, just_before};
use crate::several::MAX_HITS;
use crate::{
    Backend, BackendError, Counter, CounterState, Hit, Operation, Result, Timestamp, Window, WindowLength,
};

/// A counter and a hit on it.
pub(super) type ProbeHit<'p, 's, H> = (&'p CounterProbe<'s, H>, Hit<'static>);

impl<H: Harness> Subject<'_, H> {
    /// Counts several hits, which has to succeed. Uses the fast path first if the subject does.
    #[track_caller]
    pub(super) fn increment_all(&self, hits: &[ProbeHit<'_, '_, H>], now: Timestamp) -> Vec<CounterState> {
        match self.try_increment_all(hits, now) {
            Ok(states) => {
                assert!(
                    states.len() == hits.len(),
                    "`increment_all` returns one state for each hit\n  expected {}\n  but saw  {states:?}",
                    hits.len()
                );
                states
            }
            Err(error) => panic!("`{}` has to succeed here, but failed: {error}", Operation::IncrementAll),
        }
    }

    pub(super) fn try_increment_all(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        let fast = self.uses_fast_path.then(|| self.increment_all_by_fast_path(hits, now)).flatten();
        fast.unwrap_or_else(|| self.increment_all_by_future(hits, now))
    }

    pub(super) fn increment_all_by_future(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        with_counters(hits, |hits| self.block_on(self.backend.increment_all(hits, now)))
    }

    /// Calls `try_increment_all`, with a state that has to stay in the list.
    pub(super) fn increment_all_by_fast_path(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Option<Result<Vec<CounterState>>> {
        let first = CounterState::new(false, 7);
        let mut states = vec![first.clone()];
        let result = with_counters(hits, |hits| self.backend.try_increment_all(hits, now, &mut states));
        let is_kept = states.first() == Some(&first) && (result.is_some() || states.len() == 1);
        assert!(
            is_kept,
            "`try_increment_all` appends the states; if it returns `None`, it appends none\n  but saw {states:?}"
        );
        result.map(|result| result.map(|()| states.split_off(1)))
    }
}

fn with_counters<H: Harness, R>(
    hits: &[ProbeHit<'_, '_, H>],
    operation: impl FnOnce(&[(Counter<'_>, Hit<'_>)]) -> R,
) -> R {
    let keys: Vec<_> = hits.iter().map(|(counter, _)| counter.new_key()).collect();
    let hits = hits.iter().zip(&keys).map(|((counter, hit), key)| (counter.counter(key), *hit));
    operation(&hits.collect::<Vec<_>>())
}

/// Returns a counter of each kind, a sliding one, and one of the same key and another length.
pub(super) fn mixed<'s, H: Harness>(subject: &'s Subject<'_, H>, key: &str) -> Vec<CounterProbe<'s, H>> {
    let mut counters = subject.each_window(key, NOW);
    counters.push(counters[0].with_window(Window::aligned(NOW, WindowLength::HOUR)));
    let sliding = Window::aligned(NOW, WindowLength::MINUTE);
    counters.push(subject.counter(sliding, format!("{key}, sliding")).sliding());
    counters
}

fn hits_of<'p, 's, H: Harness>(
    counters: &'p [CounterProbe<'s, H>],
    cost: u128,
    limit: u128,
    now: Timestamp,
) -> Vec<ProbeHit<'p, 's, H>> {
    let hit = |counter: &CounterProbe<'_, H>| {
        let hit = counter.new_hit(cost, limit, now);
        hit.with_window_meta(hit.window_id, Some("one of several"))
    };
    counters.iter().map(|counter| (counter, hit(counter))).collect()
}

/// Fails the check unless a counter that was not counted has its state of before. A backend that
/// counts one hit after the other and refunds may have started a window of value 0.
#[track_caller]
fn expect_unchanged<H: Harness>(
    counter: &CounterProbe<'_, H>,
    seen: &CounterState,
    before: &CounterState,
    now: Timestamp,
    rule: &str,
) {
    let floor = counter.floor(now);
    if counter.subject.harness.increments_all_at_once() || before.value > floor {
        return counter.expect(seen, before, rule);
    }
    let is_same = seen.counted == before.counted && seen.value.max(floor) == before.value.max(floor);
    assert!(is_same, "{rule}\n  expected {before:?}\n  but saw  {seen:?}\n  of {counter}");
}

pub(super) fn hits_that_all_fit_are_all_counted<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: if every hit fits, all are counted, and each state is that after its hit";
    let counters = mixed(subject, "fit");
    let mut states: Vec<_> = counters.iter().map(CounterProbe::absent).collect();
    for cost in [2, 1, 2] {
        let hits = hits_of(&counters, cost, 5, NOW);
        let seen = subject.increment_all(&hits, NOW);
        for (((counter, hit), state), seen) in hits.iter().zip(&mut states).zip(seen) {
            let expected = counter.after(state, hit, NOW);
            counter.expect(&seen, &expected, rule);
            *state = counter.uncounted(&expected, 0);
            counter.expect(&counter.get(NOW), state, rule);
        }
    }
    for (counter, state) in counters.iter().zip(&states) {
        counter.expect(&counter.hit(1, 5, NOW), state, "rule 12: each hit of a set fills its counter");
    }
    for counter in subject.each_window("one", NOW) {
        let hit = counter.new_hit(5, 5, NOW);
        let seen = subject.increment_all(&[(&counter, hit)], NOW);
        counter.expect(&seen[0], &counter.after_first(&hit, NOW), "rule 12: one hit is a set too");
    }
}

pub(super) fn hit_that_does_not_fit_leaves_all_uncounted<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: if a hit does not fit, none is counted, and `counted` reports which ones fit";
    let number = mixed(subject, "").len();
    // One hit that does not fit at each place, two of them, and all.
    let mut refused: Vec<Vec<usize>> = (0..number).map(|place| vec![place]).collect();
    refused.extend([vec![0, number - 1], vec![1, 2], (0..number).collect()]);
    for (round, refused) in refused.iter().enumerate() {
        for is_present in [true, false] {
            let counters = mixed(subject, &format!("refused {round}, {is_present}"));
            let before: Vec<_> = counters
                .iter()
                .map(|counter| match is_present {
                    true => counter.uncounted(&counter.first_hit(3, 5, NOW), 0),
                    false => counter.absent(),
                })
                .collect();
            let cost = |place| match (refused.contains(&place), is_present) {
                (false, _) => 1,
                (true, true) => 3,
                (true, false) => 6,
            };
            let hits: Vec<_> = counters
                .iter()
                .enumerate()
                .map(|(place, counter)| (counter, counter.new_hit(cost(place), 5, NOW)))
                .collect();
            let seen = subject.increment_all(&hits, NOW);
            for (place, ((counter, before), seen)) in counters.iter().zip(&before).zip(&seen).enumerate() {
                let expected = CounterState { counted: !refused.contains(&place), ..before.clone() };
                expect_unchanged(counter, seen, &expected, NOW, rule);
                expect_unchanged(counter, &counter.get(NOW), before, NOW, rule);
            }
            // The others fit without them.
            let hits: Vec<_> =
                hits.iter().enumerate().filter(|(place, _)| cost(*place) == 1).map(|(_, hit)| *hit).collect();
            let seen = subject.increment_all(&hits, NOW);
            assert!(seen.iter().all(|state| state.counted), "{rule}\n  but later saw {seen:?}");
        }
    }
}

pub(super) fn several_windows_of_one_key_are_counted_at_once<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: several windows of one key count each hit, or none does";
    let lengths = [WindowLength::SECOND, WindowLength::MINUTE, WindowLength::HOUR, WindowLength::DAY];
    let windows_at = |now| {
        let counter = |length| subject.counter(Window::aligned(now, length), "one key");
        let mut counters = Vec::from(lengths.map(counter));
        counters.push(subject.counter(Window::Bucket { length: WindowLength::HOUR }, "one key"));
        counters
    };
    // 2 a second, 3 a minute, 9 an hour; the day and the bucket never refuse.
    let limits = [2, 3, 9, 90, 90];
    let (mut total, mut of_minute, mut of_second) = (0, 0, 0);
    let mut now = NOW;
    for step in [0, 0, 0, 1, 0, 1, 60, 0, 0, 1, 0, 60, 0, 1, 0, 60, 0, 1, 0] {
        now = now.saturating_add(step * SECOND);
        match step {
            0 => {}
            1 => of_second = 0,
            _ => (of_second, of_minute) = (0, 0),
        }
        let counters = windows_at(now);
        let hits: Vec<_> = counters
            .iter()
            .zip(limits)
            .map(|(counter, limit)| (counter, counter.new_hit(1, limit, now)))
            .collect();
        let values = [of_second, of_minute, total, total];
        let fits: Vec<_> = values.iter().zip(limits).map(|(value, limit)| *value < limit).collect();
        let all_fit = fits.iter().all(|fits| *fits);
        let seen = subject.increment_all(&hits, now);
        for ((value, fits), seen) in values.iter().zip(&fits).zip(&seen) {
            let expected = (*fits, value + u128::from(all_fit));
            assert!(
                (seen.counted, seen.value) == expected,
                "{rule}\n  expected {expected:?}\n  but saw  {seen:?}"
            );
        }
        if all_fit {
            (of_second, of_minute, total) = (of_second + 1, of_minute + 1, total + 1);
        }
    }
}

pub(super) fn sliding_hit_among_several_is_limited_by_the_weighted_previous_window<H: Harness>(
    subject: &Subject<'_, H>,
) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: the previous window lowers the ceiling of a sliding hit, also among several hits";
    let counter = subject.counter(Window::aligned(NOW, WindowLength::MINUTE), "sliding");
    let other = subject.counter(Window::aligned(NOW, WindowLength::HOUR), "sliding");
    counter.previous().first_hit(6, 10, NOW.saturating_sub(MINUTE));
    let sliding = counter.sliding();
    // 7.1 s into the minute, the six of the minute before weigh six.
    let hits = |cost| [(&other, other.new_hit(1, 9, NOW)), (&sliding, sliding.new_hit(cost, 10, NOW))];
    let seen = subject.increment_all(&hits(5), NOW);
    let refused = counter.absent().with_previous(6);
    sliding.expect(&seen[1], &refused, rule);
    other.expect(&seen[0], &CounterState { counted: true, ..other.absent() }, rule);
    let seen = subject.increment_all(&hits(4), NOW);
    let first = CounterState { counted: true, value: 4, ..refused };
    sliding.expect(&seen[1], &first, rule);
    other.expect(&seen[0], &other.counted(&other.absent(), 1), rule);
    let seen = subject.increment_all(&hits(1), NOW);
    sliding.expect(&seen[1], &sliding.uncounted(&first, 0), rule);
    other.expect(&other.get(NOW), &other.uncounted(&other.absent(), 1), rule);
}

pub(super) fn hit_of_cost_zero_is_a_condition<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: a hit of cost 0 and floor 0 is a condition for the others, and changes nothing";
    let limit = subject.counter(Window::aligned(NOW, WindowLength::DAY), "limit");
    let condition = subject.counter(Window::aligned(NOW, WindowLength::DAY), "condition");
    let first = condition.uncounted(&condition.first_hit(3, 9, NOW), 0);
    let mut value = 0;
    for (ceiling, fits) in [(3, true), (2, false), (4, true), (0, false)] {
        let hits = [(&limit, limit.new_hit(1, 9, NOW)), (&condition, Hit::new(0, ceiling))];
        let seen = subject.increment_all(&hits, NOW);
        value += u128::from(fits);
        assert!(
            (seen[0].counted, seen[0].value, seen[1].counted) == (true, value, fits),
            "{rule}\n  expected the value {value}, and that the condition holds: {fits}\n  but saw  {seen:?}"
        );
        condition.expect(&condition.get(NOW), &first, rule);
    }

    // A block: a bucket of one nanosecond per token, whose value is the end of the block.
    let length = 60_000_000_000;
    let block = subject.counter(Window::BLOCK, "block").with_bucket(1, length);
    let nanos = |now: Timestamp| u128::from(now.as_nanos());
    let seen_at = |now, fits: bool, value: u128| {
        let hits = [(&limit, limit.new_hit(1, 9, now)), (&block, Hit::new(0, nanos(now)))];
        let seen = subject.increment_all(&hits, now);
        assert!(
            (seen[0].counted, seen[0].value, seen[1].counted) == (true, value, fits),
            "{rule}\n  expected the value {value}, and that the key is not blocked: {fits}\n  but saw  {seen:?}"
        );
    };
    seen_at(NOW, true, value + 1);
    let until = NOW.saturating_add(MINUTE);
    let hit = Hit::new(length.into(), nanos(until)).with_floor(nanos(NOW));
    block.expect(&block.increment(&hit, NOW), &CounterState::new(true, nanos(until)), "a key is blocked");
    seen_at(NOW, false, value + 1);
    seen_at(just_before(until), false, value + 1);
    seen_at(until, true, value + 2);
    seen_at(just_before(until), false, value + 2);
    block.reset(None, NOW);
    seen_at(NOW, true, value + 3);
}

pub(super) fn invalid_sets_of_hits_count_nothing<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule =
        "rule 12: two hits on one counter, more than 100 hits, or one that is `Invalid` alone, are `Invalid`";
    let empty = subject.increment_all(&[], NOW);
    assert!(empty.is_empty(), "rule 12: no hit is no error, and changes nothing\n  but saw {empty:?}");

    let minute = Window::aligned(NOW, WindowLength::MINUTE);
    let counter = |number: usize| subject.counter(minute, format!("number {number}"));
    let mut counters: Vec<_> = (0..MAX_HITS).map(counter).collect();
    let most = subject.increment_all(&hits_of(&counters, 1, 5, NOW), NOW);
    assert!(
        most.iter().all(|state| state.counted),
        "rule 12: 100 hits at once are counted\n  but saw {most:?}"
    );
    counters.push(counter(MAX_HITS));
    let mut sets = vec![counters];
    let again = |name: &str| subject.counter(minute, name);
    let other = again("other");
    let first_hit = Window::FromFirstHit { length: WindowLength::MINUTE };
    sets.push(vec![again("one"), again("other"), again("one")]);
    sets.push(vec![again("one"), again("one").sliding()]);
    sets.push(vec![again("one"), subject.counter(first_hit, "slides").sliding()]);
    for window in subject.each_window("twice", NOW).iter().map(|counter| counter.window) {
        let twice = || subject.counter(window, format!("twice, {window:?}"));
        sets.push(vec![twice(), again("other"), twice()]);
    }
    for set in &sets {
        let hits = hits_of(set, 1, 5, NOW);
        for seen in [
            Some(subject.increment_all_by_future(&hits, NOW)),
            subject.increment_all_by_fast_path(&hits, NOW),
        ] {
            let is_invalid = matches!(seen, None | Some(Err(BackendError::Invalid(_))));
            assert!(is_invalid, "{rule}\n  but saw {seen:?} of {} hits on {}", hits.len(), set[0]);
        }
        // Each counter of the first set has one hit, except the last one.
        for (number, counter) in set.iter().enumerate().filter(|(_, counter)| !counter.is_sliding) {
            let expected = u128::from(set.len() > MAX_HITS && number < MAX_HITS);
            let value = counter.get(NOW).value;
            assert!(
                value == expected,
                "{rule}\n  expected the value {expected}\n  but saw  {value}\n  of {counter}"
            );
        }
    }
    // A bucket without a quota.
    let bucket = subject.counter(Window::Bucket { length: WindowLength::MINUTE }, "no quota");
    let (key, other_key) = (bucket.new_key(), other.new_key());
    let bare = Counter::new(subject.namespace, &key, bucket.window).expect("the key is valid");
    let hits = [(other.counter(&other_key), other.new_hit(1, 5, NOW)), (bare, bucket.new_hit(1, 5, NOW))];
    let seen = subject.block_on(subject.backend.increment_all(&hits, NOW));
    assert!(matches!(seen, Err(BackendError::Invalid(_))), "{rule}\n  but saw {seen:?} without a quota");
    other.expect(&other.get(NOW), &other.absent(), rule);
}

pub(super) fn ended_windows_among_several_are_absent<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: expired state is absent state among several hits too";
    let later = NOW.saturating_add(10 * (MINUTE + subject.harness.max_clock_skew()));
    let is_span = |counter: &CounterProbe<'_, H>| matches!(counter.window, Window::Span { .. });
    let counters = subject.each_window("ended", NOW);
    for counter in &counters {
        counter.first_hit(3, 5, NOW);
    }
    let now_counted: Vec<_> =
        counters.iter().filter(|counter| !is_span(counter)).map(|counter| counter.at(later)).collect();
    let hits = hits_of(&now_counted, 4, 5, later);
    let seen = subject.increment_all(&hits, later);
    for ((counter, hit), seen) in hits.iter().zip(&seen) {
        counter.expect(seen, &counter.after_first(hit, later), rule);
    }
    // A span that is past refuses, and so the others are not counted either.
    for span in counters.iter().filter(|counter| is_span(counter)) {
        let mut hits = hits_of(&now_counted, 1, 5, later);
        hits.insert(1, (span, span.new_hit(1, 5, later)));
        let after = subject.increment_all(&hits, later);
        span.expect(
            &after[1],
            &span.absent(),
            "rule 15: a span that is past refuses, also among several hits",
        );
        let others = after.iter().enumerate().filter(|(place, _)| *place != 1).map(|(_, state)| state);
        for ((counter, other), before) in now_counted.iter().zip(others).zip(&seen) {
            counter.expect(other, before, rule);
            counter.expect(&counter.get(later), &counter.uncounted(before, 0), rule);
        }
    }
}

pub(super) fn large_values_of_several_hits_are_exact<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: values of 38 digits are exact among several hits too";
    let windows = [WindowLength::MINUTE, WindowLength::HOUR].map(|length| Window::aligned(NOW, length));
    let counters = windows.map(|window| subject.counter(window, "large"));
    let large = DIGITS_38 - 1;
    for (cost, ceiling, fits, value) in [
        (large, large - 1, false, 0),
        (large, large, true, large),
        (2, DIGITS_38, false, large),
        (1, DIGITS_38, true, DIGITS_38),
        (1, DIGITS_38, false, DIGITS_38),
        (u128::MAX, u128::MAX, false, DIGITS_38),
    ] {
        let hits = [0, 1].map(|place| (&counters[place], Hit::new(cost, ceiling)));
        for (seen, counter) in subject.increment_all(&hits, NOW).iter().zip(&counters) {
            let expected = CounterState { counted: fits, value, ..counter.absent() };
            counter.expect(seen, &expected, &format!("{rule}; here for {:?}", hits[0].1));
        }
    }
}

pub(super) fn random_sets_of_hits_match_a_model<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule =
        "rule 12: a set of hits has the result of a model that checks all, and then counts all or none";
    let mut random = Random::new(12);
    let lengths = [WindowLength::MINUTE, WindowLength::HOUR];
    let kinds = |now| {
        lengths.into_iter().flat_map(move |length| [Window::aligned(now, length), Window::Bucket { length }])
    };
    let mut states = std::collections::HashMap::<(usize, Window), CounterState>::new();
    let mut now = NOW;
    for _ in 0..120 {
        now = now.saturating_add(std::time::Duration::from_millis(random.below(9_000)));
        let mut counters: Vec<_> = (0..2)
            .flat_map(|key| kinds(now).map(move |window| (key, window)))
            .map(|(key, window)| ((key, window), subject.counter(window, format!("key {key}"))))
            .collect();
        while counters.len() > 4 || random.below(2) == 0 && counters.len() > 1 {
            let index = usize::try_from(random.below(counters.len() as u64)).expect("a small number");
            counters.swap_remove(index);
        }
        let hits: Vec<_> = counters
            .iter()
            .map(|(_, counter)| {
                let (cost, limit) = (random.below(4).into(), u128::from(4 + random.below(12)));
                (counter, counter.new_hit(cost, limit, now))
            })
            .collect();
        let before: Vec<_> = counters
            .iter()
            .map(|(id, counter)| states.get(id).cloned().unwrap_or_else(|| counter.absent()))
            .collect();
        let fits: Vec<_> =
            hits.iter().zip(&before).map(|((_, hit), state)| hit.apply(state.value).is_some()).collect();
        let all_fit = fits.iter().all(|fits| *fits);
        let seen = subject.increment_all(&hits, now);
        for ((((id, counter), (_, hit)), (before, fits)), seen) in
            counters.iter().zip(&hits).zip(before.iter().zip(fits)).zip(&seen)
        {
            let after = if all_fit { counter.after(before, hit, now) } else { before.clone() };
            let floor = counter.floor(now);
            assert!(
                (seen.counted, seen.value.max(floor), seen.start)
                    == (fits, after.value.max(floor), after.start),
                "{rule}\n  expected {after:?}, and that the hit fits: {fits}\n  but saw  {seen:?}\n  of {counter}"
            );
            states.insert(*id, counter.uncounted(&after, 0));
        }
    }
}

pub(super) fn try_increment_all_agrees_with_increment_all<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "`try_increment_all` returns the result of `increment_all`";
    let mut random = Random::new(13);
    for round in 0..4 {
        let fast = mixed(subject, &format!("fast path {round}"));
        let plain = mixed(subject, &format!("increment_all {round}"));
        for step in 0..12 {
            let now = NOW.saturating_add(step * SECOND);
            let mut chosen: Vec<_> = (0..fast.len()).filter(|_| random.below(3) > 0).collect();
            if random.below(2) == 0 {
                chosen.reverse();
            }
            let hits: Vec<_> = chosen
                .iter()
                .map(|place| {
                    fast[*place].new_hit(random.below(3).into(), u128::from(3 + random.below(9)), now)
                })
                .collect();
            let set_of = |counters| -> Vec<ProbeHit<'_, '_, H>> {
                let counters: &Vec<CounterProbe<'_, H>> = counters;
                chosen.iter().zip(&hits).map(|(place, hit)| (&counters[*place], *hit)).collect()
            };
            let before: Vec<_> = chosen.iter().map(|place| fast[*place].get(now)).collect();
            let seen = subject.increment_all_by_fast_path(&set_of(&fast), now);
            if seen.is_none() {
                for (place, before) in chosen.iter().zip(&before) {
                    let rule = "`try_increment_all` that returns `None` has counted nothing";
                    fast[*place].expect(&fast[*place].get(now), before, rule);
                }
            }
            let seen = seen.unwrap_or_else(|| subject.increment_all_by_future(&set_of(&fast), now));
            let expected = subject.increment_all_by_future(&set_of(&plain), now);
            let (Ok(seen), Ok(expected)) = (&seen, &expected) else {
                panic!("{rule}\n  expected {expected:?}\n  but saw  {seen:?}");
            };
            for ((place, expected), seen) in chosen.iter().zip(expected).zip(seen) {
                fast[*place].expect(seen, &CounterState { log: None, ..expected.clone() }, rule);
                let state = plain[*place].get(now);
                fast[*place].expect(&fast[*place].get(now), &CounterState { log: None, ..state }, rule);
            }
        }
    }
}
