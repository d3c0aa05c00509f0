//! Scenarios that need a fresh process with unused memory. Each starts the program again.

use std::env;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::keys;
use crate::latencies::{Latencies, Summary};
use crate::machine;
use crate::subject::{Cleanup, Entry, Limit, Settings, Subject};
use crate::subjects::EmptyLoop;

/// The hidden subcommand that runs a scenario.
pub const SUBCOMMAND: &str = "scenario";

/// The number of other keys that are used while keys expire.
const OTHER_KEYS: usize = 1_000;

/// What is measured in the child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Uses many new keys. Measures memory per key and the slowest call.
    Fill,
    /// Lets many keys expire while other keys are used. Measures the slowest call.
    ///
    /// Keys expire after two seconds. `limited` keeps windows for one more length, and limiters
    /// with periodic cleanup run it every second: five seconds are enough for all.
    Expire,
}

/// The extent of a scenario.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Size {
    /// The number of keys.
    pub keys: usize,
    /// How many milliseconds other keys are used while the keys expire.
    pub millis: u64,
}

/// The figures of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// The growth of the resident set, in bytes.
    pub bytes: f64,
    /// The number of stored keys after filling and at the end. NaN if it is unknown.
    pub known: [f64; 2],
    /// The durations of the calls.
    pub calls: Summary,
    /// The durations of an empty loop with the same timer, in the same process and for as long.
    pub noise: Summary,
}

impl Scenario {
    /// Runs the scenario in a child process.
    ///
    /// # Errors
    ///
    /// Returns an error if the child process cannot be started, or fails.
    pub fn run_in_child(self, entry: &Entry, size: Size) -> anyhow::Result<Figures> {
        let scenario = clap::ValueEnum::to_possible_value(&self).context("a scenario has no name")?;
        let output = Command::new(env::current_exe()?)
            .args([
                SUBCOMMAND,
                scenario.get_name(),
                entry.name,
                &size.keys.to_string(),
                &size.millis.to_string(),
            ])
            .output()?;
        ensure!(
            output.status.success(),
            "the child process that measures {} failed: {}",
            entry.name,
            String::from_utf8_lossy(&output.stderr)
        );
        str::from_utf8(&output.stdout)?.parse()
    }

    /// Runs the scenario in this process, which should have done nothing else before.
    ///
    /// # Errors
    ///
    /// Returns an error if the system does not report how much memory is used.
    pub fn run_here(self, entry: &Entry, size: Size) -> anyhow::Result<Figures> {
        match self {
            Self::Fill => fill(entry, size.keys),
            Self::Expire => Ok(expire(entry, size.keys, Duration::from_millis(size.millis))),
        }
    }
}

fn fill(entry: &Entry, count: usize) -> anyhow::Result<Figures> {
    let keys = keys::each_once(count);
    let mut latencies = Latencies::default();
    let before = machine::resident()?;
    let subject = (entry.build)(&Settings { limit: Limit::AMPLE, keys: count, remove_expired: false });
    let start = Instant::now();
    subject.time_each(&keys, &mut latencies);
    let elapsed = start.elapsed();
    let bytes = machine::resident()?.saturating_sub(before);
    let known = known_keys(&*subject);
    Ok(Figures { bytes: bytes as f64, known: [known; 2], calls: latencies.summary(), noise: noise(elapsed) })
}

fn expire(entry: &Entry, count: usize, duration: Duration) -> Figures {
    let keys = keys::each_once(count);
    let others = keys::of_other_tenant(OTHER_KEYS);
    let subject = (entry.build)(&Settings { limit: Limit::SHORT_PERIOD, keys: count, remove_expired: true });
    subject.decide_each(&keys);
    let filled = known_keys(&*subject);
    let mut latencies = Latencies::default();
    time_for(&*subject, &others, duration, &mut latencies);
    if entry.cleanup == Cleanup::OnRequest {
        let start = Instant::now();
        subject.clean_up();
        latencies.record(start.elapsed());
    }
    let known = [filled, known_keys(&*subject)];
    Figures { bytes: f64::NAN, known, calls: latencies.summary(), noise: noise(duration) }
}

fn known_keys(subject: &dyn Subject) -> f64 {
    subject.known_keys().map_or(f64::NAN, |keys| keys as f64)
}

/// Measures what the scheduler and the timer contribute: an empty loop of the same duration.
fn noise(duration: Duration) -> Summary {
    let mut latencies = Latencies::default();
    time_for(&EmptyLoop, &keys::of_other_tenant(OTHER_KEYS), duration, &mut latencies);
    latencies.summary()
}

fn time_for(subject: &dyn Subject, keys: &[&'static str], duration: Duration, latencies: &mut Latencies) {
    let start = Instant::now();
    while start.elapsed() < duration {
        subject.time_each(keys, latencies);
    }
}

impl Figures {
    /// Formats the figures as a line that `parse` reads.
    pub fn to_line(&self) -> String {
        let Self { bytes, known, calls, noise } = self;
        let mut figures = vec![*bytes, known[0], known[1]];
        for summary in [calls, noise] {
            figures.extend([summary.mean, summary.p999, summary.p9999, summary.longest]);
        }
        figures.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Figures {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let figures = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [bytes, filled, left, mean, p999, p9999, longest, a, b, c, d] = figures[..] else {
            anyhow::bail!("expected 11 figures, found {}: {line}", figures.len());
        };
        Ok(Self {
            bytes,
            known: [filled, left],
            calls: Summary { mean, p999, p9999, longest },
            noise: Summary { mean: a, p999: b, p9999: c, longest: d },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_formatting_and_parsing() {
        let calls = Summary { mean: 12.5, p999: 100.0, p9999: 1e4, longest: 7e6 };
        let figures =
            Figures { bytes: 1e8, known: [1e6, 3.0], calls, noise: Summary { mean: 1.25, ..calls } };
        assert_eq!(figures.to_line().parse::<Figures>().unwrap(), figures);
        assert!("1 2 3".parse::<Figures>().is_err());
        let unknown = Figures { known: [f64::NAN; 2], ..figures };
        assert!(unknown.to_line().parse::<Figures>().unwrap().known[0].is_nan());
    }
}
