//! Counts the instructions of a call with valgrind, and prints Markdown.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin instruction_counts
//! ```
//!
//! Counts hardly depend on the load of the machine, so they show changes that are too small for
//! timings. They ignore caches and exclude the kernel: under valgrind, each reading of the system
//! clock is a system call.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use limited_peers::keys::{self, Distribution};
use limited_peers::machine;
use limited_peers::subject::Entry;
use limited_peers::subjects::{self, EMPTY_LOOP};
use limited_peers::table::{Table, figure};
use limited_peers::workload::{Outcome, abbreviated};

/// Counts only within `decide_each`, since some limiters calibrate their clock in a varying number
/// of steps. The pattern ends here, so it does not match closures in it, which would switch
/// counting off.
const COUNTED: &str = "--toggle-collect=*::decide_each";

/// The numbers of calls of two runs. Their difference excludes the calls that prepare the limiter.
const CALLS: [usize; 2] = [1_000, 11_000];

/// Counts the instructions of a call with valgrind, and prints Markdown.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Limiters to measure, by parts of their names.
    #[arg(long, value_delimiter = ',', default_value = "limited/,governor")]
    limiters: Vec<String>,
    /// Numbers of keys.
    #[arg(long, value_delimiter = ',', default_value = "1,1000")]
    keys: Vec<usize>,
    /// A file for the table, which is always printed too. Default: none.
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// Makes the calls that valgrind counts.
    #[command(hide = true)]
    Calls { limiter: String, outcome: Outcome, keys: usize, calls: usize },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Calls { limiter, outcome, keys, calls }) = &arguments.command {
        return call(subjects::named(limiter)?, *outcome, *keys, *calls);
    }
    let text = count_all(&arguments)?;
    print!("{text}");
    if let Some(path) = &arguments.output {
        fs::write(path, text)?;
    }
    Ok(())
}

/// Prepares the limiter, always in the same way, and makes `calls` calls.
fn call(entry: &Entry, outcome: Outcome, keys: usize, calls: usize) -> anyhow::Result<()> {
    let subject = outcome.prepare(entry, keys);
    let sequence = keys::sequence(keys, Distribution::Uniform, keys as u64);
    let mut left = calls;
    while left > 0 {
        let length = left.min(sequence.len());
        let admitted = subject.decide_each(&sequence[..length]);
        let expected = outcome.admitted_of(length);
        ensure!(
            entry.name == EMPTY_LOOP || admitted == expected,
            "{} admitted {admitted} of {length} calls; expected {expected}",
            entry.name
        );
        left -= length;
    }
    Ok(())
}

fn count_all(arguments: &Arguments) -> anyhow::Result<String> {
    let valgrind = Command::new("valgrind").arg("--version").output().context(
        "cannot run valgrind; install the package `valgrind`, for example with `apt-get install valgrind`",
    )?;
    let columns: Vec<_> = [Outcome::Admitted, Outcome::Refused]
        .into_iter()
        .flat_map(|outcome| arguments.keys.iter().map(move |&keys| (outcome, keys)))
        .collect();
    let titles = columns.iter().map(|(outcome, keys)| match keys {
        1 => format!("{}, 1 key", outcome.as_str()),
        keys => format!("{}, {} keys", outcome.as_str(), abbreviated(*keys)),
    });
    let mut table = Table::new(["limiter".to_owned()].into_iter().chain(titles));
    let empty_loop = subjects::named(EMPTY_LOOP)?;
    let loops = columns
        .iter()
        .map(|&(outcome, keys)| per_call(empty_loop, outcome, keys))
        .collect::<Result<Vec<_>, _>>()?;
    let selected = |entry: &&Entry| arguments.limiters.iter().any(|part| entry.name.contains(part.as_str()));
    for entry in subjects::all().filter(selected) {
        eprintln!("{}", entry.name);
        let mut row = vec![entry.name.to_owned()];
        for (&(outcome, keys), empty) in columns.iter().zip(&loops) {
            row.push(figure(per_call(entry, outcome, keys)? - empty));
        }
        table.row(row);
    }
    Ok(format!(
        "# Instruction counts per call\n\n\
         Written by `--bin instruction_counts` of `benches/peers`. Counted over {} calls by callgrind of {}, without \
         the surrounding loop. Readings of the system clock are excluded, since they are system calls under valgrind. \
         limited {}, governor {}.\n\n{table}",
        abbreviated(CALLS[1] - CALLS[0]),
        String::from_utf8_lossy(&valgrind.stdout).trim(),
        machine::version("limited"),
        machine::version("governor"),
    ))
}

fn per_call(entry: &Entry, outcome: Outcome, keys: usize) -> anyhow::Result<f64> {
    let [few, many] = CALLS.map(|calls| instructions(entry, outcome, keys, calls));
    Ok((many? as f64 - few? as f64) / (CALLS[1] - CALLS[0]) as f64)
}

/// Counts the instructions of one run.
fn instructions(entry: &Entry, outcome: Outcome, keys: usize, calls: usize) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED])
        .arg(env::current_exe()?)
        .args(["calls", entry.name, outcome.as_str(), &keys.to_string(), &calls.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed under valgrind: {text}", entry.name);
    let count = collected(&text).filter(|&count| count > 0);
    count.with_context(|| format!("valgrind counted no instructions of {}: {text}", entry.name))
}

/// Parses the count in the output of callgrind: `==123== Collected : 456`.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn count_is_parsed_from_the_output_of_callgrind() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 4567\n==1==\n"), Some(4567));
        assert_eq!(collected("==1== nothing"), None);
    }

    #[test]
    fn outcomes_have_the_same_name_as_arguments_and_in_tables() {
        for outcome in Outcome::value_variants() {
            assert_eq!(outcome.to_possible_value().unwrap().get_name(), outcome.as_str());
        }
    }
}
