//! What was measured, as Markdown.

use std::fmt::Write;

use crate::contestant::{Entry, Forgets};
use crate::contestants::{self, NOTHING, REFERENCE};
use crate::errand;
use crate::latencies::Summary;
use crate::machine;
use crate::rounds::{Plan, Turns};
use crate::statistics::Spread;
use crate::table::{Table, duration, figure, with_spaces};
use crate::workload::{Outcome, Workload, in_thousands};

/// The packages that take part, by name.
const PACKAGES: [&str; 11] = [
    "limited",
    "governor",
    "rate-net",
    "aerorate",
    "throttlecrab",
    "throttled",
    "throttle-kit",
    "gcra",
    "ratelimit",
    "trypema",
    "limitador",
];

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    load_before: Option<f64>,
    calls: Vec<Played>,
    filled: Vec<Errands>,
    expired: Vec<Errands>,
    keys: usize,
}

/// One workload, and what everybody did.
#[derive(Debug)]
struct Played {
    workload: Workload,
    names: Vec<&'static str>,
    turns: Vec<Turns>,
}

/// One limiter, and what came of its errands.
#[derive(Debug)]
struct Errands {
    name: &'static str,
    forgets: Forgets,
    outcomes: Vec<errand::Outcome>,
}

impl Report {
    /// A report of what is about to be measured; `keys` is how many keys the errands are about.
    pub fn new(plan: Plan, keys: usize) -> Self {
        let load_before = machine::load();
        Self { plan, load_before, calls: Vec::new(), filled: Vec::new(), expired: Vec::new(), keys }
    }

    /// Adds a workload.
    pub fn played(&mut self, workload: Workload, entries: &[&Entry], turns: Vec<Turns>) {
        let names = entries.iter().map(|entry| entry.name).collect();
        self.calls.push(Played { workload, names, turns });
    }

    /// Adds errands of one limiter.
    pub fn returned(&mut self, errand: errand::Errand, entry: &Entry, outcomes: Vec<errand::Outcome>) {
        let errands = Errands { name: entry.name, forgets: entry.forgets, outcomes };
        match errand {
            errand::Errand::Fill => self.filled.push(errands),
            errand::Errand::Expire => self.expired.push(errands),
        }
    }

    /// The text.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("# `limited` beside other rate limiters\n\n");
        self.introduction(&mut text);
        self.entries(&mut text);
        if !self.calls.is_empty() {
            self.overview(&mut text);
        }
        self.memory(&mut text);
        self.slowest_while_filling(&mut text);
        self.slowest_while_expiring(&mut text);
        self.in_full(&mut text);
        text
    }

    fn introduction(&self, text: &mut String) {
        let load = |load: Option<f64>| load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
        let versions = PACKAGES.map(|package| format!("{package} {}", machine::version(package))).join(", ");
        line(text, "Written by `benches/peers`, whose README says what is measured and how to read it.\n");
        line(text, &format!("- Machine: {}.", machine::description()));
        line(
            text,
            &format!(
                "- Load of the last minute: {} before, {} after.",
                load(self.load_before),
                load(machine::load())
            ),
        );
        line(text, &format!("- {} rounds, turns of {} ms.", self.plan.rounds, self.plan.turn.as_millis()));
        line(text, &format!("- {versions}.\n"));
    }

    fn entries(&self, text: &mut String) {
        for entry in contestants::all() {
            if self.calls.is_empty() || self.calls.iter().any(|played| played.names.contains(&entry.name)) {
                line(text, &format!("- `{}`: {}.", entry.name, entry.about));
            }
        }
    }

    /// The median ratio of everybody in every workload.
    fn overview(&self, text: &mut String) {
        line(text, "\n## Calls: median time as a share of governor's in the same round\n");
        line(text, "Below 1 is faster than governor.");
        for (outcome, threads) in self.groups() {
            let played: Vec<_> = self.group(outcome, threads).collect();
            line(text, &format!("\n{}:\n", title(outcome, threads)));
            let header = played.iter().map(|played| played.workload.keys_in_words());
            let mut table = Table::new(std::iter::once("limiter".to_owned()).chain(header));
            for (index, name) in played[0].names.iter().enumerate() {
                let ratios = played.iter().map(|played| figure(played.ratio(index).median));
                table.row(std::iter::once((*name).to_owned()).chain(ratios));
            }
            write(text, &table);
        }
    }

    /// Every workload in a table of its own.
    fn in_full(&self, text: &mut String) {
        for (outcome, threads) in self.groups() {
            line(text, &format!("\n## Calls in full: {}\n", title(outcome, threads).to_lowercase()));
            line(text, "Nanoseconds per call on each thread, and the share of governor's in the same round.");
            for played in self.group(outcome, threads) {
                line(
                    text,
                    &format!(
                        "\n### {}, {}\n",
                        played.workload.keys_in_words(),
                        title(outcome, threads).to_lowercase()
                    ),
                );
                write(text, &played.table());
                for (name, turns) in played.names.iter().zip(&played.turns) {
                    if turns.wrong > 0 && *name != NOTHING {
                        let share = 100.0 * turns.wrong as f64 / turns.calls as f64;
                        line(
                            text,
                            &format!("\n**{name} did not answer {share:.2} % of the calls like this.**"),
                        );
                    }
                }
            }
        }
    }

    fn memory(&self, text: &mut String) {
        let Some(reference) = self.filled.iter().find(|errands| errands.name == REFERENCE) else { return };
        line(text, &format!("\n## Memory: bytes per key, at {} keys\n", in_thousands(self.keys)));
        let mut table = Table::new(["limiter", "least", "median", "most", "ratio: least", "median", "most"]);
        let bytes =
            |errands: &Errands| errands.outcomes.iter().map(|outcome| outcome.bytes).collect::<Vec<_>>();
        for errands in &self.filled {
            let per_key = Spread::of(bytes(errands).into_iter().map(|bytes| bytes / self.keys as f64));
            let ratio = Spread::of_pairs(&bytes(errands), &bytes(reference));
            table.row([errands.name.to_owned()].into_iter().chain(cells(per_key)).chain(cells(ratio)));
        }
        write(text, &table);
    }

    fn slowest_while_filling(&self, text: &mut String) {
        if self.filled.is_empty() {
            return;
        }
        line(text, &format!("\n## Stalls: while {} new keys come\n", in_thousands(self.keys)));
        self.stalls(text, &self.filled, false);
    }

    fn slowest_while_expiring(&self, text: &mut String) {
        if self.expired.is_empty() {
            return;
        }
        line(text, &format!("\n## Stalls: while {} keys expire\n", in_thousands(self.keys)));
        self.stalls(text, &self.expired, true);
    }

    fn stalls(&self, text: &mut String, all: &[Errands], expiring: bool) {
        let mut header = vec![
            "limiter",
            "mean",
            "p99.9",
            "p99.99",
            "slowest: least",
            "median",
            "most",
            "empty loop: p99.9",
            "p99.99",
            "slowest: least",
            "median",
            "most",
        ];
        if expiring {
            header.extend(["forgets", "keys before", "after"]);
        }
        let mut table = Table::new(header);
        for errands in all {
            let spread =
                |read: &dyn Fn(&errand::Outcome) -> f64| Spread::of(errands.outcomes.iter().map(read));
            let summaries = |summary: fn(&errand::Outcome) -> Summary| {
                let slowest = spread(&|outcome| summary(outcome).longest);
                let quantiles = [
                    spread(&|outcome| summary(outcome).p999).median,
                    spread(&|outcome| summary(outcome).p9999).median,
                ];
                quantiles.into_iter().chain([slowest.least, slowest.median, slowest.most]).map(duration)
            };
            let mut row =
                vec![errands.name.to_owned(), duration(spread(&|outcome| outcome.calls.mean).median)];
            row.extend(summaries(|outcome| outcome.calls));
            row.extend(summaries(|outcome| outcome.noise));
            if expiring {
                row.push(errands.forgets.as_str().to_owned());
                for at in [0, 1] {
                    let known = spread(&|outcome| outcome.known[at]).median;
                    row.push(if known.is_nan() { "not told".to_owned() } else { with_spaces(known) });
                }
            }
            table.row(row);
        }
        write(text, &table);
    }

    /// The answers and numbers of threads that there are, in order.
    fn groups(&self) -> Vec<(Outcome, usize)> {
        let mut groups = Vec::new();
        for played in &self.calls {
            let group = (played.workload.outcome, played.workload.threads);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|&(outcome, threads)| (threads, outcome != Outcome::Admitted));
        groups
    }

    fn group(&self, outcome: Outcome, threads: usize) -> impl Iterator<Item = &Played> {
        let group = (outcome, threads);
        self.calls.iter().filter(move |played| (played.workload.outcome, played.workload.threads) == group)
    }
}

impl Played {
    /// The ratios of the entry at `index` to the reference.
    fn ratio(&self, index: usize) -> Spread {
        let reference = self.names.iter().position(|name| *name == REFERENCE).expect("it always takes part");
        Spread::of_pairs(&self.turns[index].per_call, &self.turns[reference].per_call)
    }

    fn table(&self) -> Table {
        let mut table =
            Table::new(["limiter", "ns: least", "median", "most", "ratio: least", "median", "most"]);
        for (index, (name, turns)) in self.names.iter().zip(&self.turns).enumerate() {
            let nanos = Spread::of(turns.per_call.iter().copied());
            table.row([(*name).to_owned()].into_iter().chain(cells(nanos)).chain(cells(self.ratio(index))));
        }
        table
    }
}

fn title(outcome: Outcome, threads: usize) -> String {
    let outcome = match outcome {
        Outcome::Admitted => "Admitted",
        Outcome::Refused => "Refused",
    };
    match threads {
        1 => format!("{outcome}, 1 thread"),
        threads => format!("{outcome}, {threads} threads"),
    }
}

fn cells(spread: Spread) -> impl Iterator<Item = String> {
    [spread.least, spread.median, spread.most].into_iter().map(figure)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn write(text: &mut String, table: &Table) {
    write!(text, "{table}").expect("a string takes any text");
}
