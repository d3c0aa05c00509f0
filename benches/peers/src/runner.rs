//! Runs a workload in rounds. Each round takes one sample of every subject, in a random order.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::subject::Subject;
use crate::workload::Workload;

/// The extent of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The number of rounds.
    pub rounds: usize,
    /// The approximate duration of a sample.
    pub sample: Duration,
}

/// The samples of one subject.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Nanoseconds per call on each thread; one figure per round.
    pub per_call: Vec<f64>,
    /// The number of calls whose outcome was not that of the workload.
    pub wrong: usize,
    /// The number of measured calls.
    pub calls: usize,
}

/// Runs all rounds of a workload and returns the samples of each subject, in the given order.
///
/// A sample begins with unmeasured calls that fill the caches. There are as many as keys, but at
/// least a tenth and at most the whole of the measured calls. Within a round, all subjects start at
/// the same position of the sequence.
pub fn run(
    subjects: &[&dyn Subject],
    workload: &Workload,
    sequence: &[&'static str],
    plan: &Plan,
) -> Vec<Samples> {
    let calls: Vec<usize> =
        subjects.iter().map(|subject| calls_per_sample(plan.sample, *subject, sequence)).collect();
    let mut samples = vec![Samples::default(); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut random = Random::new(plan.rounds as u64);
    for _ in 0..plan.rounds {
        random.shuffle(&mut order);
        let start = random.below(sequence.len());
        for &index in &order {
            let sample = Sample { sequence, start, calls: calls[index], workload };
            let (duration, admitted) = sample.measure(subjects[index]);
            let calls = sample.calls * workload.threads;
            let samples = &mut samples[index];
            samples.per_call.push(duration.as_nanos() as f64 / sample.calls as f64);
            samples.calls += calls;
            samples.wrong += admitted.abs_diff(workload.outcome.admitted_of(calls));
        }
    }
    samples
}

/// Determines how many calls take as long as a sample.
fn calls_per_sample(sample: Duration, subject: &dyn Subject, sequence: &[&'static str]) -> usize {
    let mut calls = 64;
    loop {
        let start = Instant::now();
        decide_cyclic(subject, sequence, 0, calls);
        let elapsed = start.elapsed();
        if elapsed * 4 >= sample || calls >= 1 << 30 {
            let scaled = calls as f64 * sample.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            return (scaled as usize).max(64);
        }
        calls *= 2;
    }
}

struct Sample<'a> {
    sequence: &'a [&'static str],
    start: usize,
    calls: usize,
    workload: &'a Workload,
}

impl Sample<'_> {
    /// Returns the duration on the slowest thread and the number of admitted calls on all threads.
    fn measure(&self, subject: &dyn Subject) -> (Duration, usize) {
        let threads = self.workload.threads;
        if threads == 1 {
            return self.measure_thread(subject, self.start, || ());
        }
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| {
                    let start = self.start + thread * self.sequence.len() / threads;
                    let barrier = &barrier;
                    scope.spawn(move || {
                        self.measure_thread(subject, start, || {
                            barrier.wait();
                        })
                    })
                })
                .collect();
            let results = running.into_iter().map(|thread| thread.join().expect("a limiter panicked"));
            results.fold((Duration::ZERO, 0), |(longest, all), (elapsed, admitted)| {
                (longest.max(elapsed), all + admitted)
            })
        })
    }

    fn measure_thread(&self, subject: &dyn Subject, start: usize, wait: impl Fn()) -> (Duration, usize) {
        let warm_up = self.workload.keys.clamp(self.calls / 10, self.calls);
        decide_cyclic(subject, self.sequence, start, warm_up);
        wait();
        let begin = Instant::now();
        let admitted = decide_cyclic(subject, self.sequence, start + warm_up, self.calls);
        (begin.elapsed(), admitted)
    }
}

/// Decides calls along the sequence, from `start`, and continues at its beginning after its end.
/// Returns the number of admitted calls.
fn decide_cyclic(subject: &dyn Subject, sequence: &[&'static str], start: usize, calls: usize) -> usize {
    let (mut at, mut left, mut admitted) = (start % sequence.len(), calls, 0);
    while left > 0 {
        let length = left.min(sequence.len() - at);
        admitted += subject.decide_each(&sequence[at..at + length]);
        left -= length;
        at = 0;
    }
    admitted
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::keys::Distribution;
    use crate::subjects::EmptyLoop;
    use crate::workload::Outcome;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<&'static str>>);

    impl Subject for Recorder {
        fn decide(&self, key: &'static str) -> bool {
            self.0.lock().unwrap().push(key);
            key != "no"
        }
    }

    #[test]
    fn calls_continue_at_the_beginning_of_the_sequence() {
        let recorder = Recorder::default();
        assert_eq!(decide_cyclic(&recorder, &["a", "b", "no"], 1, 6), 4);
        assert_eq!(*recorder.0.lock().unwrap(), ["b", "no", "a", "b", "no", "a"]);
    }

    #[test]
    fn every_round_has_a_figure_and_wrong_outcomes_are_counted() {
        let plan = Plan { rounds: 3, sample: Duration::from_micros(50) };
        for (threads, outcome) in
            [(1, Outcome::Admitted), (2, Outcome::Admitted), (1, Outcome::Refused), (2, Outcome::Refused)]
        {
            let workload = Workload { keys: 1, distribution: Distribution::Uniform, outcome, threads };
            let samples = run(&[&EmptyLoop, &EmptyLoop], &workload, &["a"; 10], &plan);
            assert_eq!(samples.len(), 2);
            for samples in samples {
                assert_eq!(samples.per_call.len(), 3);
                let wrong = if outcome == Outcome::Admitted { 0 } else { samples.calls };
                assert_eq!(samples.wrong, wrong);
            }
        }
    }
}
