//! Measures `limited` and its peers, and prints Markdown.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use limited_peers::contestant::{Entry, Forgets};
use limited_peers::contestants::{self, REFERENCE};
use limited_peers::errand::{Errand, Size};
use limited_peers::keys::{self, Draw};
use limited_peers::report::Report;
use limited_peers::rounds::{self, Plan};
use limited_peers::workload::{Outcome, Workload};

/// Measures `limited` and its peers turn by turn in one process, and prints Markdown.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// A smoke test of some seconds, whose figures mean nothing: few keys, few and short rounds.
    #[arg(long)]
    quick: bool,
    /// What to measure; everything unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Only limiters whose name contains one of these; governor always takes part. `--list` shows the names.
    #[arg(long, value_delimiter = ',')]
    limiters: Vec<String>,
    /// How many keys the calls are about.
    #[arg(long, value_delimiter = ',')]
    keys: Vec<usize>,
    /// How often each key comes.
    #[arg(long, value_enum, value_delimiter = ',')]
    draws: Vec<Draw>,
    /// What the calls are answered.
    #[arg(long, value_enum, value_delimiter = ',')]
    outcomes: Vec<Outcome>,
    /// How many threads ask.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// How many rounds of calls, in each of which everybody has a turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a turn lasts, in milliseconds.
    #[arg(long)]
    turn: Option<u64>,
    /// How many keys memory and stalls are about.
    #[arg(long)]
    fill: Option<usize>,
    /// How many fresh processes measure memory and stalls of each limiter.
    #[arg(long)]
    processes: Option<usize>,
    /// Writes the report to a file, besides printing it.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Lists the limiters, and how each is called.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// What a fresh process of this program does.
    #[command(hide = true)]
    Errand {
        errand: Errand,
        limiter: String,
        #[command(flatten)]
        size: Size,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How long calls take.
    Calls,
    /// Memory per key, and the slowest call while keys come.
    Filling,
    /// The slowest call while keys expire.
    Expiring,
}

impl Arguments {
    fn measures(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn entries(&self) -> Vec<&'static Entry> {
        let takes_part = |entry: &&Entry| {
            let named = || self.limiters.iter().any(|part| entry.name.contains(part.as_str()));
            self.limiters.is_empty() || entry.name == REFERENCE || named()
        };
        contestants::all().filter(takes_part).collect()
    }

    fn plan(&self) -> Plan {
        let (rounds, turn) = if self.quick { (3, 2) } else { (7, 20) };
        Plan {
            rounds: self.rounds.unwrap_or(rounds).max(1),
            turn: Duration::from_millis(self.turn.unwrap_or(turn).max(1)),
        }
    }

    fn keys(&self) -> Vec<usize> {
        match (&self.keys[..], self.quick) {
            ([], false) => vec![1, 1_000, 10_000, 100_000, 1_000_000],
            ([], true) => vec![1, 1_000],
            (keys, _) => keys.iter().map(|&keys| keys.max(1)).collect(),
        }
    }

    fn size(&self) -> Size {
        let (keys, millis) = if self.quick { (20_000, 100) } else { (1_000_000, 5_000) };
        Size { keys: self.fill.unwrap_or(keys).max(1), millis }
    }

    fn processes(&self) -> usize {
        self.processes.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }
}

/// What was chosen, or everything.
fn or_all<T: Copy>(chosen: &[T], all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all.to_vec() } else { chosen.to_vec() }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Errand { errand, limiter, size }) = &arguments.command {
        let entry =
            contestants::named(limiter).ok_or_else(|| anyhow::anyhow!("nobody is called {limiter}"))?;
        println!("{}", errand.run(entry, *size)?.to_line());
        return Ok(());
    }
    if arguments.list {
        contestants::all().for_each(|entry| println!("{:<30} {}", entry.name, entry.about));
        return Ok(());
    }

    let start = Instant::now();
    let mut report = Report::new(arguments.plan(), arguments.size().keys);
    if arguments.measures(Part::Calls) {
        measure_calls(&arguments, &mut report);
    }
    if arguments.measures(Part::Filling) {
        send(&arguments, Errand::Fill, |entry| entry.own_store, &mut report)?;
    }
    if arguments.measures(Part::Expiring) {
        let expires = |entry: &Entry| entry.own_store && entry.forgets != Forgets::Never;
        send(&arguments, Errand::Expire, expires, &mut report)?;
    }
    eprintln!("done in {} s", start.elapsed().as_secs());

    let text = report.to_markdown();
    print!("{text}");
    if let Some(path) = &arguments.output {
        fs::write(path, text)?;
    }
    Ok(())
}

fn measure_calls(arguments: &Arguments, report: &mut Report) {
    let (entries, plan) = (arguments.entries(), arguments.plan());
    for keys in arguments.keys() {
        let draws = match keys {
            1 => vec![Draw::Uniform],
            _ => or_all(&arguments.draws, Draw::value_variants()),
        };
        let sequences: Vec<_> =
            draws.iter().map(|&draw| (draw, keys::sequence(keys, draw, keys as u64))).collect();
        for outcome in or_all(&arguments.outcomes, Outcome::value_variants()) {
            eprintln!("{keys} keys, {}: preparing", outcome.as_str());
            let contestants: Vec<_> = entries.iter().map(|entry| outcome.prepare(entry, keys)).collect();
            let contestants: Vec<_> = contestants.iter().map(AsRef::as_ref).collect();
            for (draw, sequence) in &sequences {
                for threads in or_all(&arguments.threads, &[1, 2]) {
                    let workload = Workload { keys, draw: *draw, outcome, threads: threads.max(1) };
                    eprintln!("{}, {}, {threads} at a time", workload.keys_in_words(), outcome.as_str());
                    let turns = rounds::play(&contestants, &workload, sequence, &plan);
                    report.played(workload, &entries, turns);
                }
            }
        }
    }
}

/// Sends every limiter on errands, turn by turn.
fn send(
    arguments: &Arguments,
    errand: Errand,
    takes_part: impl Fn(&Entry) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let entries: Vec<_> = arguments.entries().into_iter().filter(|entry| takes_part(entry)).collect();
    let mut outcomes = vec![Vec::new(); entries.len()];
    for process in 1..=arguments.processes() {
        for (entry, outcomes) in entries.iter().zip(&mut outcomes) {
            eprintln!("{errand:?} {}, process {process}", entry.name);
            outcomes.push(errand.send(entry, arguments.size())?);
        }
    }
    for (entry, outcomes) in entries.into_iter().zip(outcomes) {
        report.returned(errand, entry, outcomes);
    }
    Ok(())
}
