//! Measurements that need a process of their own, whose memory nobody else has used: this program starts itself again.

use std::env;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::contestant::{Contestant, Entry, Forgets, Limit, Setting};
use crate::contestants::Nothing;
use crate::keys;
use crate::latencies::{Latencies, Summary};
use crate::machine;

/// The hidden subcommand that runs an errand.
pub const SUBCOMMAND: &str = "errand";

/// How many other keys.
const OTHERS: usize = 1_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Errand {
    /// Ask about many new keys: what each costs in memory, and how long the slowest call takes.
    Fill,
    /// Let many keys expire, and ask about others meanwhile: how long the slowest call takes.
    ///
    /// Keys have expired after two seconds. `limited` remembers windows for one more length, and peers that clean up from
    /// time to time do so every second: five seconds are enough for all.
    Expire,
}

/// How much of it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Size {
    /// How many keys come.
    pub keys: usize,
    /// For how many milliseconds others are asked about while they expire.
    pub millis: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// By how much the resident set grew, in bytes.
    pub bytes: f64,
    /// How many keys were known when they were all there, and at the end; not a number where the limiter does not tell.
    pub known: [f64; 2],
    /// The calls.
    pub calls: Summary,
    /// The same readings of the timer with no call between them, in the same process and for as long.
    pub noise: Summary,
}

impl Errand {
    /// Runs the errand in a fresh process.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or fails.
    pub fn send(self, entry: &Entry, size: Size) -> anyhow::Result<Outcome> {
        let errand = clap::ValueEnum::to_possible_value(&self).context("an errand has a name")?;
        let output = Command::new(env::current_exe()?)
            .args([
                SUBCOMMAND,
                errand.get_name(),
                entry.name,
                &size.keys.to_string(),
                &size.millis.to_string(),
            ])
            .output()?;
        ensure!(
            output.status.success(),
            "{} did not come back: {}",
            entry.name,
            String::from_utf8_lossy(&output.stderr)
        );
        str::from_utf8(&output.stdout)?.parse()
    }

    /// Runs the errand in this process, which should have done nothing else.
    ///
    /// # Errors
    ///
    /// Where the system does not tell how much memory is used.
    pub fn run(self, entry: &Entry, size: Size) -> anyhow::Result<Outcome> {
        match self {
            Self::Fill => fill(entry, size.keys),
            Self::Expire => Ok(expire(entry, size.keys, Duration::from_millis(size.millis))),
        }
    }
}

fn fill(entry: &Entry, count: usize) -> anyhow::Result<Outcome> {
    let keys = keys::each_once(count);
    let mut latencies = Latencies::default();
    let before = machine::resident()?;
    let contestant = (entry.enter)(&Setting { limit: Limit::AMPLE, keys: count, forgets: false });
    let start = Instant::now();
    contestant.time_each(&keys, &mut latencies);
    let taken = start.elapsed();
    let bytes = machine::resident()?.saturating_sub(before);
    let known = known(&*contestant);
    Ok(Outcome { bytes: bytes as f64, known: [known; 2], calls: latencies.summary(), noise: noise(taken) })
}

fn expire(entry: &Entry, count: usize, duration: Duration) -> Outcome {
    let keys = keys::each_once(count);
    let others = keys::others(OTHERS);
    let contestant = (entry.enter)(&Setting { limit: Limit::SHORT, keys: count, forgets: true });
    contestant.decide_each(&keys);
    let filled = known(&*contestant);
    let mut latencies = Latencies::default();
    traffic(&*contestant, &others, duration, &mut latencies);
    if entry.forgets == Forgets::OnRequest {
        let start = Instant::now();
        contestant.clean_up();
        latencies.record(start.elapsed());
    }
    let known = [filled, known(&*contestant)];
    Outcome { bytes: f64::NAN, known, calls: latencies.summary(), noise: noise(duration) }
}

fn known(contestant: &dyn Contestant) -> f64 {
    contestant.known_keys().map_or(f64::NAN, |keys| keys as f64)
}

/// What the scheduler and the timer make of a loop without calls that lasts as long.
fn noise(duration: Duration) -> Summary {
    let mut latencies = Latencies::default();
    traffic(&Nothing, &keys::others(OTHERS), duration, &mut latencies);
    latencies.summary()
}

fn traffic(
    contestant: &dyn Contestant,
    keys: &[&'static str],
    duration: Duration,
    latencies: &mut Latencies,
) {
    let start = Instant::now();
    while start.elapsed() < duration {
        contestant.time_each(keys, latencies);
    }
}

impl Outcome {
    /// A line that is read back as the same outcome.
    pub fn to_line(&self) -> String {
        let Self { bytes, known, calls, noise } = self;
        let mut figures = vec![*bytes, known[0], known[1]];
        for summary in [calls, noise] {
            figures.extend([summary.mean, summary.p999, summary.p9999, summary.longest]);
        }
        figures.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Outcome {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let figures = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [bytes, filled, left, mean, p999, p9999, longest, a, b, c, d] = figures[..] else {
            anyhow::bail!("not an outcome: {line}");
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
    fn an_outcome_is_read_back_as_it_was_written() {
        let calls = Summary { mean: 12.5, p999: 100.0, p9999: 1e4, longest: 7e6 };
        let outcome =
            Outcome { bytes: 1e8, known: [1e6, 3.0], calls, noise: Summary { mean: 1.25, ..calls } };
        assert_eq!(outcome.to_line().parse::<Outcome>().unwrap(), outcome);
        assert!("1 2 3".parse::<Outcome>().is_err());
        let unknown = Outcome { known: [f64::NAN; 2], ..outcome };
        assert!(unknown.to_line().parse::<Outcome>().unwrap().known[0].is_nan());
    }
}
