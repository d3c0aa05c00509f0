//! Counts the instructions of a call, under valgrind, and prints Markdown.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin instructions
//! ```
//!
//! A count barely depends on what else the machine does, and so shows small changes that no time shows. It says nothing
//! about caches, and leaves out what the kernel does: under valgrind each reading of the system's clock is a system call.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use limited_peers::contestant::Entry;
use limited_peers::contestants::{self, NOTHING};
use limited_peers::keys::{self, Draw};
use limited_peers::machine;
use limited_peers::table::{Table, figure};
use limited_peers::workload::{Outcome, in_thousands};

/// Counts only within the loop over calls: some limiters set up their clock in as many steps as it happens to take.
/// A name that ends here leaves out closures in it, which would turn the counting off.
const COUNTED: &str = "--toggle-collect=*::decide_each";

/// What is run twice, so that the difference leaves out the calls that prepare, and the first ones.
const CALLS: [usize; 2] = [1_000, 11_000];

/// Counts the instructions of a call, under valgrind, and prints Markdown.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Only limiters whose name contains one of these.
    #[arg(long, value_delimiter = ',', default_value = "limited/,governor")]
    limiters: Vec<String>,
    /// How many keys the calls are about.
    #[arg(long, value_delimiter = ',', default_value = "1,1000")]
    keys: Vec<usize>,
    /// Writes the table to a file, besides printing it.
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// What runs under valgrind.
    #[command(hide = true)]
    Calls { limiter: String, outcome: Outcome, keys: usize, calls: usize },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Calls { limiter, outcome, keys, calls }) = &arguments.command {
        let entry = contestants::named(limiter).with_context(|| format!("nobody is called {limiter}"))?;
        return call(entry, *outcome, *keys, *calls);
    }
    let text = count_all(&arguments)?;
    print!("{text}");
    if let Some(path) = &arguments.output {
        fs::write(path, text)?;
    }
    Ok(())
}

/// Every run prepares in the same way, and then calls as often as it is told to.
fn call(entry: &Entry, outcome: Outcome, keys: usize, calls: usize) -> anyhow::Result<()> {
    let contestant = outcome.prepare(entry, keys);
    let sequence = keys::sequence(keys, Draw::Uniform, keys as u64);
    let mut left = calls;
    while left > 0 {
        let stretch = left.min(sequence.len());
        let admitted = contestant.decide_each(&sequence[..stretch]);
        ensure!(
            entry.name == NOTHING || admitted == outcome.admitted_of(stretch),
            "the limiter decided otherwise"
        );
        left -= stretch;
    }
    Ok(())
}

fn count_all(arguments: &Arguments) -> anyhow::Result<String> {
    let valgrind = Command::new("valgrind").arg("--version").output().context(
        "valgrind is not there; it is in the package of that name of most distributions (apt-get install valgrind)",
    )?;
    let columns: Vec<_> = [Outcome::Admitted, Outcome::Refused]
        .into_iter()
        .flat_map(|outcome| arguments.keys.iter().map(move |&keys| (outcome, keys)))
        .collect();
    let titles = columns.iter().map(|(outcome, keys)| match keys {
        1 => format!("{}, 1 key", outcome.as_str()),
        keys => format!("{}, {} keys", outcome.as_str(), in_thousands(*keys)),
    });
    let mut table = Table::new(["limiter".to_owned()].into_iter().chain(titles));
    let nothing = contestants::named(NOTHING).expect("nobody takes part");
    let loops = columns
        .iter()
        .map(|&(outcome, keys)| per_call(nothing, outcome, keys))
        .collect::<Result<Vec<_>, _>>()?;
    let chosen = |entry: &&Entry| arguments.limiters.iter().any(|part| entry.name.contains(part.as_str()));
    for entry in contestants::all().filter(chosen) {
        eprintln!("{}", entry.name);
        let mut row = vec![entry.name.to_owned()];
        for (&(outcome, keys), own) in columns.iter().zip(&loops) {
            row.push(figure(per_call(entry, outcome, keys)? - own));
        }
        table.row(row);
    }
    Ok(format!(
        "# Instructions per call\n\n\
         Written by `benches/peers`, `--bin instructions`: counted by {}, callgrind, over {} calls, without those of the \
         loop around them. Readings of the system's clock are system calls under valgrind, and not counted. limited {}, governor \
         {}.\n\n{table}",
        String::from_utf8_lossy(&valgrind.stdout).trim(),
        in_thousands(CALLS[1] - CALLS[0]),
        machine::version("limited"),
        machine::version("governor"),
    ))
}

fn per_call(entry: &Entry, outcome: Outcome, keys: usize) -> anyhow::Result<f64> {
    let [few, many] = CALLS.map(|calls| instructions(entry, outcome, keys, calls));
    Ok((many? as f64 - few? as f64) / (CALLS[1] - CALLS[0]) as f64)
}

/// All instructions of a run.
fn instructions(entry: &Entry, outcome: Outcome, keys: usize, calls: usize) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED])
        .arg(env::current_exe()?)
        .args(["calls", entry.name, outcome.as_str(), &keys.to_string(), &calls.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed under valgrind: {text}", entry.name);
    let count = collected(&text).filter(|&count| count > 0);
    count.with_context(|| format!("valgrind counted nothing: {text}"))
}

/// The count in what callgrind prints: `==123== Collected : 456`.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_prints() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 4567\n==1==\n"), Some(4567));
        assert_eq!(collected("==1== nothing"), None);
    }

    #[test]
    fn arguments_are_named_as_outcomes_are() {
        for outcome in Outcome::value_variants() {
            assert_eq!(outcome.to_possible_value().unwrap().get_name(), outcome.as_str());
        }
    }
}
