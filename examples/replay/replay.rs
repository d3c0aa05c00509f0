//! Runs the requests of a log through limiters, at the times in the log.

use std::time::Duration;

use limited::memory::MemoryBackend;
use limited::{Algorithm, Error, Limiter, ManualClock, Quota};

use super::log::Log;

/// The decisions of one algorithm about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) algorithm: Algorithm,
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
    /// How often each of [`Log::keys`] was refused.
    pub(crate) refused_by_key: Vec<u64>,
    /// The longest waiting time of a refusal, and the first key that got it.
    pub(crate) longest_wait: Option<(Wait, usize)>,
}

/// The waiting time of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// This long, if no other request of its key is admitted in the meantime.
    For(Duration),
    /// Waiting never helps under this quota.
    Forever,
}

/// Runs every request through a limiter of each algorithm, and reports from time to time how many
/// are done.
pub(crate) fn replay(
    log: &Log,
    quota: Quota,
    algorithms: &[Algorithm],
    mut progress: impl FnMut(u64),
) -> Result<Vec<Outcome>, Error> {
    const REQUESTS_PER_PROGRESS: u64 = 1 << 12;

    let clock = ManualClock::new();
    let mut runs: Vec<_> = algorithms
        .iter()
        .map(|&algorithm| {
            // One backend each, because a fixed and a sliding window share their counters.
            let limiter =
                Limiter::new(MemoryBackend::new()).quota(quota).algorithm(algorithm).clock(clock.clone());
            (limiter, Outcome::new(algorithm, log.keys.len()))
        })
        .collect();

    for (request, number) in log.requests.iter().zip(1..) {
        clock.set(request.time);
        for (limiter, outcome) in &mut runs {
            let decision = limiter.allow_now(&log.keys[request.key])?;
            if decision.is_allowed() {
                outcome.admitted += 1;
            } else {
                outcome.refuse(request.key, decision.retry_after());
            }
        }
        if number % REQUESTS_PER_PROGRESS == 0 {
            progress(number);
        }
    }
    Ok(runs.into_iter().map(|(_, outcome)| outcome).collect())
}

impl Outcome {
    fn new(algorithm: Algorithm, keys: usize) -> Self {
        Self { algorithm, admitted: 0, refused: 0, refused_by_key: vec![0; keys], longest_wait: None }
    }

    fn refuse(&mut self, key: usize, retry_after: Option<Duration>) {
        self.refused += 1;
        self.refused_by_key[key] += 1;
        let wait = retry_after.map_or(Wait::Forever, Wait::For);
        if self.longest_wait.is_none_or(|(longest, _)| longest < wait) {
            self.longest_wait = Some((wait, key));
        }
    }

    /// Returns how many keys were refused at least once.
    pub(crate) fn keys_refused(&self) -> usize {
        self.refused_by_key.iter().filter(|refused| **refused > 0).count()
    }
}
