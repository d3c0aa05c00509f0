//! Hits on many threads, and the results that they may have.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;

use super::Harness;
use super::probe::CounterProbe;
use crate::{CounterState, Hit, Timestamp};

/// Runs `work` on this many threads, which start together. Returns the result of each.
pub(super) fn in_parallel<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = |thread| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread)
            })
        };
        let threads: Vec<_> = (0..threads).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Fails the check unless some order of these hits, one after the other on an absent counter, has
/// these results.
///
/// In such an order each counted hit adds its cost to the value of the counted hit before it. Each
/// refused hit has one of these values, to which its cost cannot be added. All have the window of
/// the first counted hit.
#[track_caller]
pub(super) fn assert_serialized<H: Harness>(
    counter: &CounterProbe<'_, H>,
    results: &[(Hit<'_>, CounterState)],
    now: Timestamp,
) {
    let mut counted: Vec<_> = results.iter().filter(|(_, state)| state.counted).collect();
    counted.sort_by_key(|(_, state)| state.value);
    let mut values = vec![0];
    for (hit, state) in &counted {
        let before = values[values.len() - 1];
        assert!(
            hit.apply(before) == Some(state.value),
            "every operation is one atomic step: parallel hits have the results of hits one after the other\n  \
             but after the value {before} the next one is {}, by {hit:?}\n  \
             the values after all counted hits are {:?}\n  of {counter}",
            state.value,
            counted.iter().map(|(_, state)| state.value).collect::<Vec<_>>()
        );
        values.push(state.value);
    }
    let Some((hit, first)) = counted.first() else {
        panic!("of {} parallel hits, none was counted\n  of {counter}", results.len());
    };
    let first = counter.after_first(hit, now).with_previous(first.previous);
    for (hit, state) in results {
        if !state.counted {
            assert!(
                values.contains(&state.value) && hit.apply(state.value).is_none(),
                "a refused hit returns the value that refused it\n  but {hit:?} was refused with the value {}, \
                 and the values were {values:?}\n  of {counter}",
                state.value
            );
        }
        if state.value > 0 {
            let expected = CounterState { counted: state.counted, value: state.value, ..first.clone() };
            counter.expect(state, &expected, "the results of parallel hits have the same window");
        }
    }
    let last = CounterState { counted: false, value: values[values.len() - 1], previous: 0, ..first };
    counter.expect(
        &counter.get(now),
        &last,
        "after parallel hits, the counter has the sum of the counted ones",
    );
}
