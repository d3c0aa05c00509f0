//! Rounds: everybody has a turn in each, in an order that changes.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::contestant::Contestant;
use crate::keys::Random;
use crate::workload::Workload;

/// How long everything takes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many rounds.
    pub rounds: usize,
    /// About how long a turn.
    pub turn: Duration,
}

/// What one contestant did in all rounds.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Nanoseconds per call, on each thread; one figure per round.
    pub per_call: Vec<f64>,
    /// How many calls were not answered as the workload wants it.
    pub wrong: usize,
    /// How many calls were answered in all.
    pub calls: usize,
}

/// Plays all rounds of a workload, and tells what everybody did, in the order given.
///
/// A turn begins with calls that are not measured, in which the caches fill with what the contestant needs: as many as
/// there are keys, but at least a tenth and at most the whole of what is measured. Within a round everybody starts at
/// the same place of the sequence.
pub fn play(
    contestants: &[&dyn Contestant],
    workload: &Workload,
    sequence: &[&'static str],
    plan: &Plan,
) -> Vec<Turns> {
    let calls: Vec<usize> =
        contestants.iter().map(|contestant| calls_in(plan.turn, *contestant, sequence)).collect();
    let mut turns = vec![Turns::default(); contestants.len()];
    let mut order: Vec<usize> = (0..contestants.len()).collect();
    let mut random = Random::new(plan.rounds as u64);
    for _ in 0..plan.rounds {
        random.shuffle(&mut order);
        let start = random.below(sequence.len());
        for &index in &order {
            let turn = Turn { sequence, start, calls: calls[index], workload };
            let (duration, admitted) = turn.take(contestants[index]);
            let asked = turn.calls * workload.threads;
            let turns = &mut turns[index];
            turns.per_call.push(duration.as_nanos() as f64 / turn.calls as f64);
            turns.calls += asked;
            turns.wrong += admitted.abs_diff(workload.outcome.admitted_of(asked));
        }
    }
    turns
}

/// How many calls fill a turn.
fn calls_in(turn: Duration, contestant: &dyn Contestant, sequence: &[&'static str]) -> usize {
    let mut calls = 64;
    loop {
        let start = Instant::now();
        walk(contestant, sequence, 0, calls);
        let taken = start.elapsed();
        if taken * 4 >= turn || calls >= 1 << 30 {
            let filled = calls as f64 * turn.as_secs_f64() / taken.as_secs_f64().max(1e-9);
            return (filled as usize).max(64);
        }
        calls *= 2;
    }
}

struct Turn<'a> {
    sequence: &'a [&'static str],
    start: usize,
    calls: usize,
    workload: &'a Workload,
}

impl Turn<'_> {
    /// How long it took until the last thread was done, and how many calls were admitted in all.
    fn take(&self, contestant: &dyn Contestant) -> (Duration, usize) {
        let threads = self.workload.threads;
        if threads == 1 {
            return self.take_alone(contestant, self.start, || ());
        }
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| {
                    let start = self.start + thread * self.sequence.len() / threads;
                    let barrier = &barrier;
                    scope.spawn(move || {
                        self.take_alone(contestant, start, || {
                            barrier.wait();
                        })
                    })
                })
                .collect();
            let turns = running.into_iter().map(|thread| thread.join().expect("no limiter panics"));
            turns.fold((Duration::ZERO, 0), |(longest, all), (taken, admitted)| {
                (longest.max(taken), all + admitted)
            })
        })
    }

    fn take_alone(&self, contestant: &dyn Contestant, start: usize, wait: impl Fn()) -> (Duration, usize) {
        let warm_up = self.workload.keys.clamp(self.calls / 10, self.calls);
        walk(contestant, self.sequence, start, warm_up);
        wait();
        let begin = Instant::now();
        let admitted = walk(contestant, self.sequence, start + warm_up, self.calls);
        (begin.elapsed(), admitted)
    }
}

/// Asks about so many keys of the sequence, which begins again where it ends.
fn walk(contestant: &dyn Contestant, sequence: &[&'static str], start: usize, calls: usize) -> usize {
    let (mut at, mut left, mut admitted) = (start % sequence.len(), calls, 0);
    while left > 0 {
        let stretch = left.min(sequence.len() - at);
        admitted += contestant.decide_each(&sequence[at..at + stretch]);
        left -= stretch;
        at = 0;
    }
    admitted
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::contestants::Nothing;
    use crate::keys::Draw;
    use crate::workload::Outcome;

    #[derive(Default)]
    struct Witness(Mutex<Vec<&'static str>>);

    impl Contestant for Witness {
        fn decide(&self, key: &'static str) -> bool {
            self.0.lock().unwrap().push(key);
            key != "no"
        }
    }

    #[test]
    fn a_walk_goes_round_the_sequence() {
        let witness = Witness::default();
        assert_eq!(walk(&witness, &["a", "b", "no"], 1, 6), 4);
        assert_eq!(*witness.0.lock().unwrap(), ["b", "no", "a", "b", "no", "a"]);
    }

    #[test]
    fn every_round_has_a_figure_and_wrong_answers_are_seen() {
        let plan = Plan { rounds: 3, turn: Duration::from_micros(50) };
        for (threads, outcome) in
            [(1, Outcome::Admitted), (2, Outcome::Admitted), (1, Outcome::Refused), (2, Outcome::Refused)]
        {
            let workload = Workload { keys: 1, draw: Draw::Uniform, outcome, threads };
            let turns = play(&[&Nothing, &Nothing], &workload, &["a"; 10], &plan);
            assert_eq!(turns.len(), 2);
            for turns in turns {
                assert_eq!(turns.per_call.len(), 3);
                let wrong = if outcome == Outcome::Admitted { 0 } else { turns.calls };
                assert_eq!(turns.wrong, wrong);
            }
        }
    }
}
