//! Several hits at once, on many threads and with lost responses.

use super::Harness;
use super::lost_responses::{assert_unknown, with_lost_response};
use super::parallel::in_parallel;
use super::probe::CounterProbe;
use super::random::Random;
use super::sets::{ProbeHit, mixed};
use super::skip::Skip;
use super::subject::Subject;
use super::times::NOW;
use crate::{CounterState, Window, WindowId, WindowLength};

const THREADS: usize = 64;
const ROUNDS: usize = 3;

/// Returns the tokens that are counted.
fn tokens<H: Harness>(counter: &CounterProbe<'_, H>) -> u128 {
    counter.get(NOW).value.saturating_sub(counter.floor(NOW)) / counter.unit()
}

pub(super) fn parallel_overlapping_sets_are_counted_all_or_none<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 40;
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    for round in 0..ROUNDS {
        let counters = mixed(subject, &format!("overlapping {round}"));
        let counted = in_parallel(THREADS, |thread| {
            let mut random = Random::new((round * THREADS + thread) as u64);
            let mut counted = vec![0; counters.len()];
            for _ in 0..2 {
                // Some of the counters, in any order.
                let mut places: Vec<_> = (0..counters.len()).filter(|_| random.below(2) == 0).collect();
                for place in (1..places.len()).rev() {
                    let other = usize::try_from(random.below(place as u64 + 1)).expect("a small number");
                    places.swap(place, other);
                }
                let cost = u128::from(1 + random.below(3));
                let hits: Vec<ProbeHit<'_, '_, H>> = places
                    .iter()
                    .map(|place| (&counters[*place], counters[*place].new_hit(cost, LIMIT, NOW)))
                    .collect();
                if subject.increment_all(&hits, NOW).iter().all(|state| state.counted) {
                    places.iter().for_each(|place| counted[*place] += cost);
                }
            }
            counted
        });
        for (place, counter) in counters.iter().enumerate() {
            let expected: u128 = counted.iter().map(|counted| counted[place]).sum();
            let seen = tokens(counter);
            // In turn, a bucket that others hit meanwhile does not get a hit back.
            let keeps_refused =
                !subject.harness.increments_all_at_once() && matches!(counter.window, Window::Bucket { .. });
            assert!(
                (seen == expected || keeps_refused && seen > expected) && seen <= LIMIT,
                "rule 12: of parallel sets that overlap, in any order, each is counted as a whole or not at all\n  \
                 expected {expected} of {LIMIT}\n  but saw  {seen}\n  of {counter}"
            );
        }
    }
}

pub(super) fn parallel_sets_admit_exactly_the_limit<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: usize = 40;
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    if !subject.harness.increments_all_at_once() {
        return subject.skip(Skip::AllAtOnce);
    }
    let rule = "rule 12: of 64 parallel sets on the same counters, in any order, a limit of 40 admits 40";
    for round in 0..ROUNDS {
        let counters = mixed(subject, &format!("exact {round}"));
        let results = in_parallel(THREADS, |thread| {
            let mut hits: Vec<_> =
                counters.iter().map(|counter| (counter, counter.new_hit(1, LIMIT as u128, NOW))).collect();
            hits.rotate_left(thread % counters.len());
            let states = subject.increment_all(&hits, NOW);
            let refusals = hits.iter().zip(&states).filter(|(_, state)| !state.counted);
            for ((counter, hit), state) in refusals {
                assert!(
                    hit.apply(state.value).is_none(),
                    "rule 12: a hit that does not fit returns the value that refused it\n  \
                     but saw {state:?} of {hit:?}\n  of {counter}"
                );
            }
            states.iter().all(|state| state.counted)
        });
        let counted = results.iter().filter(|counted| **counted).count();
        assert!(counted == LIMIT, "{rule}\n  but saw {counted}");
        for counter in &counters {
            let seen = tokens(counter);
            assert!(seen == LIMIT as u128, "{rule}\n  but counted {seen}\n  of {counter}");
        }
    }
}

pub(super) fn parallel_sets_and_refunds_add_up<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 1_000;
    if subject.lacks(Skip::SeveralHits) || subject.lacks(Skip::Refunds) {
        return;
    }
    let rule = "rules 12 and 13: parallel sets of hits and refunds add up";
    for round in 0..ROUNDS {
        let counters = mixed(subject, &format!("refunds {round}"));
        let first: Vec<_> = counters.iter().map(|counter| counter.first_hit(1, LIMIT, NOW)).collect();
        in_parallel(THREADS, |thread| {
            let mut hits: Vec<_> =
                counters.iter().map(|counter| (counter, counter.new_hit(3, LIMIT, NOW))).collect();
            hits.rotate_left(thread % counters.len());
            let states = subject.increment_all(&hits, NOW);
            assert!(states.iter().all(|state| state.counted), "{rule}\n  but saw {states:?}");
            let place = thread % counters.len();
            let id = first[place].meta.as_ref().map_or(WindowId(0), |meta| meta.id);
            let refund = counters[place].new_refund(2, NOW).with_window_id(id);
            let state = counters[place].refund(&refund, NOW);
            assert!(state.counted, "{rule}\n  but saw {state:?}\n  of {}", counters[place]);
        });
        for (place, counter) in counters.iter().enumerate() {
            let refunds = (0..THREADS).filter(|thread| thread % counters.len() == place).count();
            let expected = (1 + 3 * THREADS - 2 * refunds) as u128;
            let seen = tokens(counter);
            assert!(seen == expected, "{rule}\n  expected {expected}\n  but saw  {seen}\n  of {counter}");
        }
    }
}

pub(super) fn several_hits_with_a_lost_response_count_once<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: several hits with a lost response count once, all or none";
    let counters = mixed(subject, "lost");
    let mut states: Vec<_> = counters.iter().map(CounterProbe::absent).collect();
    for round in 0..5 {
        // The last set fills its counters: its repetition does not fit any more.
        let hits: Vec<_> = counters.iter().map(|counter| (counter, counter.new_hit(2, 10, NOW))).collect();
        let Some(result) = with_lost_response(subject, || subject.try_increment_all(&hits, NOW)) else {
            return;
        };
        let expected: Vec<_> =
            hits.iter().zip(&states).map(|((counter, hit), state)| counter.after(state, hit, NOW)).collect();
        let after: Vec<_> = counters.iter().map(|counter| counter.get(NOW)).collect();
        let is_known = result.is_ok();
        match result {
            Ok(seen) => {
                for ((counter, expected), seen) in counters.iter().zip(&expected).zip(&seen) {
                    counter.expect(seen, expected, rule);
                }
            }
            Err(error) => assert_unknown(&counters[0], &error),
        }
        let counted = |place: usize| {
            let state = CounterState { log: None, ..after[place].clone() };
            let is_counted = state == counters[place].uncounted(&expected[place], 0);
            let may_be_uncounted = !is_known && state == states[place];
            assert!(
                is_counted || may_be_uncounted,
                "{rule}; here in round {round}\n  expected {:?}\n  but saw  {state:?}\n  of {}",
                expected[place],
                counters[place]
            );
            is_counted
        };
        let counted: Vec<_> = (0..counters.len()).map(counted).collect();
        assert!(
            !subject.harness.increments_all_at_once() || counted.iter().all(|each| *each == counted[0]),
            "{rule}\n  but saw {after:?}"
        );
        states = after.into_iter().map(|state| CounterState { log: None, ..state }).collect();
    }
}

pub(super) fn parallel_sets_with_lost_responses_count_once<H: Harness>(subject: &Subject<'_, H>) {
    const LIMIT: u128 = 30;
    if subject.lacks(Skip::SeveralHits) {
        return;
    }
    let rule = "rule 12: parallel sets with lost responses are counted once each, all or none";
    let names = ["one", "two", "three"];
    let counters = names
        .map(|name| subject.counter(Window::aligned(NOW, WindowLength::MINUTE), format!("load, {name}")));
    let results = in_parallel(8, |thread| {
        [(); 8].map(|()| {
            let mut hits: Vec<_> =
                counters.iter().map(|counter| (counter, counter.new_hit(1, LIMIT, NOW))).collect();
            hits.rotate_left(thread % counters.len());
            with_lost_response(subject, || subject.try_increment_all(&hits, NOW))
        })
    });
    let Some(results) = results.into_iter().flatten().collect::<Option<Vec<_>>>() else { return };
    let unknown = results.iter().filter(|result| result.is_err()).count() as u128;
    let known = results.iter().flatten();
    let least = known.filter(|states| states.iter().all(|state| state.counted)).count() as u128;
    let values = counters.each_ref().map(tokens);
    let most = (least + unknown).min(LIMIT);
    assert!(
        values.iter().all(|value| (least..=most).contains(value)),
        "{rule}\n  expected {least} to {most} of each\n  but saw  {values:?}"
    );
    assert!(
        !subject.harness.increments_all_at_once() || values.iter().all(|value| *value == values[0]),
        "{rule}\n  but saw {values:?}"
    );
}
