//! Measures `limited` and other rate limiters, and prints Markdown.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use limited_peers::child_process::{Scenario, Size};
use limited_peers::keys::{self, Distribution};
use limited_peers::report::Report;
use limited_peers::runner::{self, Plan};
use limited_peers::subject::{Cleanup, Entry};
use limited_peers::subjects::{self, REFERENCE};
use limited_peers::workload::{Outcome, Workload};

/// Measures `limited` and other rate limiters in one process, and prints Markdown.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Runs a smoke test of some seconds: few keys, short samples, figures without meaning.
    #[arg(long)]
    quick: bool,
    /// What to measure. Default: everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Limiters to measure, by parts of their names; governor is always included. Default: all.
    /// `--list` shows the names.
    #[arg(long, value_delimiter = ',')]
    limiters: Vec<String>,
    /// Numbers of keys in the workloads of calls. Default: 1,1000,10000,100000,1000000.
    #[arg(long, value_delimiter = ',')]
    keys: Vec<usize>,
    /// How often each key occurs. Default: both.
    #[arg(long, value_enum, value_delimiter = ',')]
    distributions: Vec<Distribution>,
    /// The outcomes of the calls. Default: both.
    #[arg(long, value_enum, value_delimiter = ',')]
    outcomes: Vec<Outcome>,
    /// Numbers of calling threads. Default: 1,2.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// The number of rounds, each with one sample of every limiter. Default: 7.
    #[arg(long)]
    rounds: Option<usize>,
    /// The duration of a sample, in milliseconds. Default: 20.
    #[arg(long)]
    sample: Option<u64>,
    /// The number of keys for memory and stalls. Default: 1000000.
    #[arg(long)]
    fill: Option<usize>,
    /// The number of fresh processes per limiter for memory and stalls. Default: 3.
    #[arg(long)]
    processes: Option<usize>,
    /// A file for the report, which is always printed too. Default: none.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Lists the limiters and how each is called.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// Runs a scenario in this process.
    #[command(hide = true)]
    Scenario {
        scenario: Scenario,
        limiter: String,
        #[command(flatten)]
        size: Size,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The duration of calls.
    Calls,
    /// Memory per key, and the slowest call while keys are added.
    Filling,
    /// The slowest call while keys expire.
    Expiring,
}

impl Arguments {
    fn measures(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn entries(&self) -> Vec<&'static Entry> {
        let selected = |entry: &&Entry| {
            let named = || self.limiters.iter().any(|part| entry.name.contains(part.as_str()));
            self.limiters.is_empty() || entry.name == REFERENCE || named()
        };
        subjects::all().filter(selected).collect()
    }

    fn plan(&self) -> Plan {
        let (rounds, sample) = if self.quick { (3, 2) } else { (7, 20) };
        Plan {
            rounds: self.rounds.unwrap_or(rounds).max(1),
            sample: Duration::from_millis(self.sample.unwrap_or(sample).max(1)),
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

/// Returns the selected values, or all if none is selected.
fn or_all<T: Copy>(selected: &[T], all: &[T]) -> Vec<T> {
    if selected.is_empty() { all.to_vec() } else { selected.to_vec() }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Scenario { scenario, limiter, size }) = &arguments.command {
        println!("{}", scenario.run_here(subjects::named(limiter)?, *size)?.to_line());
        return Ok(());
    }
    if arguments.list {
        subjects::all().for_each(|entry| println!("{:<34} {}", entry.name, entry.about));
        return Ok(());
    }

    let start = Instant::now();
    let mut report = Report::new(arguments.plan(), arguments.size().keys);
    if arguments.measures(Part::Calls) {
        measure_calls(&arguments, &mut report);
    }
    if arguments.measures(Part::Filling) {
        measure_scenario(&arguments, Scenario::Fill, |entry| entry.own_store, &mut report)?;
    }
    if arguments.measures(Part::Expiring) {
        let expires = |entry: &Entry| entry.own_store && entry.cleanup != Cleanup::Never;
        measure_scenario(&arguments, Scenario::Expire, expires, &mut report)?;
    }
    eprintln!("finished in {} s", start.elapsed().as_secs());

    let text = report.to_string();
    print!("{text}");
    if let Some(path) = &arguments.output {
        fs::write(path, text)?;
    }
    Ok(())
}

fn measure_calls(arguments: &Arguments, report: &mut Report) {
    let (entries, plan) = (arguments.entries(), arguments.plan());
    for keys in arguments.keys() {
        let distributions = match keys {
            1 => vec![Distribution::Uniform],
            _ => or_all(&arguments.distributions, Distribution::value_variants()),
        };
        let sequences: Vec<_> = distributions
            .iter()
            .map(|&distribution| (distribution, keys::sequence(keys, distribution, keys as u64)))
            .collect();
        for outcome in or_all(&arguments.outcomes, Outcome::value_variants()) {
            eprintln!("{keys} keys, {}: preparing", outcome.as_str());
            let subjects: Vec<_> = entries.iter().map(|entry| outcome.prepare(entry, keys)).collect();
            let subjects: Vec<_> = subjects.iter().map(AsRef::as_ref).collect();
            for &(distribution, ref sequence) in &sequences {
                for threads in or_all(&arguments.threads, &[1, 2]) {
                    let workload = Workload { keys, distribution, outcome, threads: threads.max(1) };
                    eprintln!("{}, {}, {threads} threads", workload.keys_label(), outcome.as_str());
                    let samples = runner::run(&subjects, &workload, sequence, &plan);
                    report.add_workload(workload, &entries, samples);
                }
            }
        }
    }
}

/// Runs a scenario for each selected limiter, in several child processes that alternate between
/// limiters.
fn measure_scenario(
    arguments: &Arguments,
    scenario: Scenario,
    selected: impl Fn(&Entry) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let entries: Vec<_> = arguments.entries().into_iter().filter(|entry| selected(entry)).collect();
    let mut figures = vec![Vec::new(); entries.len()];
    for process in 1..=arguments.processes() {
        for (entry, figures) in entries.iter().zip(&mut figures) {
            eprintln!("{scenario:?} {}, process {process}", entry.name);
            figures.push(scenario.run_in_child(entry, arguments.size())?);
        }
    }
    for (entry, figures) in entries.into_iter().zip(figures) {
        report.add_scenario(scenario, entry, figures);
    }
    Ok(())
}
