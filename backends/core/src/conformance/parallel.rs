//! Many tasks at once, and what their answers have to add up to.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;

use super::Harness;
use super::subject::Probe;
use crate::{CounterState, Hit, Timestamp};

/// Runs `work` in this many threads that start together, and returns what each returned.
pub(super) fn in_parallel<R: Send>(tasks: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (barrier, work) = (Barrier::new(tasks), work);
    thread::scope(|scope| {
        let start = |task| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(task)
            })
        };
        let tasks: Vec<_> = (0..tasks).map(start).collect();
        tasks.into_iter().map(|task| task.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Fails unless these are the answers of hits that came, in some order, one after the other on an absent counter.
///
/// The values after the counted hits then form a chain, in which each is the one before plus its own cost; a refusal
/// tells one of them, to which its cost could not be added; and the first of the chain has opened the window.
#[track_caller]
pub(super) fn one_by_one<H: Harness>(
    counter: &Probe<'_, H>,
    answers: &[(Hit<'_>, CounterState)],
    now: Timestamp,
) {
    let mut counted: Vec<_> = answers.iter().filter(|(_, tally)| tally.counted).collect();
    counted.sort_by_key(|(_, tally)| tally.value);
    let mut values = vec![0];
    for (hit, tally) in &counted {
        let before = values[values.len() - 1];
        assert!(
            hit.apply(before) == Some(tally.value),
            "every operation is one atomic step: hits at the same time are answered as if one by one\n  \
             but after the value {before} the next one is {}, by {hit:?}\n  \
             the values after all counted hits are {:?}\n  of {counter}",
            tally.value,
            counted.iter().map(|(_, tally)| tally.value).collect::<Vec<_>>()
        );
        values.push(tally.value);
    }
    let Some((first, answer)) = counted.first() else {
        panic!("of {} hits at the same time, none was counted\n  of {counter}", answers.len());
    };
    let opened = counter.after_first(first, now).with_previous(answer.previous);
    for (hit, tally) in answers {
        if !tally.counted {
            assert!(
                values.contains(&tally.value) && hit.apply(tally.value).is_none(),
                "a refusal tells the value that refused\n  but {hit:?} was refused with the value {}\n  \
                 where the values were {values:?}\n  of {counter}",
                tally.value
            );
        }
        if tally.value > 0 {
            let expected = CounterState { counted: tally.counted, value: tally.value, ..opened.clone() };
            counter.expect(
                tally,
                &expected,
                "hits at the same time are answered with one and the same window",
            );
        }
    }
    let left = CounterState { counted: false, value: values[values.len() - 1], previous: 0, ..opened };
    counter.expect(&counter.get(now), &left, "what was counted is what is there when all is quiet");
}
