//! Formats the results as Markdown.

use std::fmt::{self, Display, Formatter};

use crate::child_process::{Figures, Scenario};
use crate::latencies::Summary;
use crate::machine;
use crate::runner::{Plan, Samples};
use crate::statistics::Spread;
use crate::subject::{Cleanup, Entry};
use crate::subjects::{self, EMPTY_LOOP, REFERENCE};
use crate::table::{Table, duration, figure, with_spaces};
use crate::workload::{Outcome, Workload, abbreviated};

/// The packages whose versions are reported.
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

/// All results of a measurement.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    load_before: Option<f64>,
    calls: Vec<WorkloadResult>,
    filled: Vec<ScenarioResult>,
    expired: Vec<ScenarioResult>,
    keys: usize,
}

/// The samples of all limiters for one workload.
#[derive(Debug)]
struct WorkloadResult {
    workload: Workload,
    names: Vec<&'static str>,
    samples: Vec<Samples>,
}

/// The figures of one limiter from all processes of a scenario.
#[derive(Debug)]
struct ScenarioResult {
    name: &'static str,
    cleanup: Cleanup,
    figures: Vec<Figures>,
}

impl Report {
    /// Creates an empty report before the measurement. `keys` is the number used by scenarios.
    pub fn new(plan: Plan, keys: usize) -> Self {
        let load_before = machine::load();
        Self { plan, load_before, calls: Vec::new(), filled: Vec::new(), expired: Vec::new(), keys }
    }

    /// Adds the samples of a workload.
    pub fn add_workload(&mut self, workload: Workload, entries: &[&Entry], samples: Vec<Samples>) {
        let names = entries.iter().map(|entry| entry.name).collect();
        self.calls.push(WorkloadResult { workload, names, samples });
    }

    /// Adds the figures of one limiter for a scenario.
    pub fn add_scenario(&mut self, scenario: Scenario, entry: &Entry, figures: Vec<Figures>) {
        let result = ScenarioResult { name: entry.name, cleanup: entry.cleanup, figures };
        match scenario {
            Scenario::Fill => self.filled.push(result),
            Scenario::Expire => self.expired.push(result),
        }
    }

    fn introduction(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let load = |load: Option<f64>| load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
        let [before, after] = [self.load_before, machine::load()].map(load);
        let versions = PACKAGES.map(|package| format!("{package} {}", machine::version(package))).join(", ");
        writeln!(f, "# `limited` compared with other rate limiters\n")?;
        writeln!(
            f,
            "Written by `benches/peers`. Its README explains what is measured and how to read the results.\n"
        )?;
        writeln!(f, "- Machine: {}.", machine::description())?;
        writeln!(f, "- Load average of the last minute: {before} before, {after} after.")?;
        let Plan { rounds, sample } = self.plan;
        writeln!(f, "- {rounds} rounds, samples of {} ms.", sample.as_millis())?;
        writeln!(f, "- {versions}.\n")
    }

    fn entries(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for entry in subjects::all() {
            if self.calls.is_empty() || self.calls.iter().any(|result| result.names.contains(&entry.name)) {
                writeln!(f, "- `{}`: {}.", entry.name, entry.about)?;
            }
        }
        Ok(())
    }

    /// Writes the median ratio of each limiter in each workload.
    fn overview(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Calls: median of time relative to governor in the same round\n")?;
        writeln!(f, "Below 1 is faster than governor.")?;
        for (outcome, threads) in self.groups() {
            let results: Vec<_> = self.group(outcome, threads).collect();
            writeln!(f, "\n{}:\n", title(outcome, threads))?;
            let header = results.iter().map(|result| result.workload.keys_label());
            let mut table = Table::new(std::iter::once("limiter".to_owned()).chain(header));
            for (index, name) in results[0].names.iter().enumerate() {
                let ratios = results.iter().map(|result| figure(result.ratio(index).median));
                table.row(std::iter::once((*name).to_owned()).chain(ratios));
            }
            write!(f, "{table}")?;
        }
        Ok(())
    }

    /// Writes a table for each workload.
    fn details(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (outcome, threads) in self.groups() {
            let title = title(outcome, threads).to_lowercase();
            writeln!(f, "\n## Details of calls: {title}\n")?;
            writeln!(f, "Nanoseconds per call on each thread, and the ratio to governor in the same round.")?;
            for result in self.group(outcome, threads) {
                write!(f, "\n### {}, {title}\n\n{}", result.workload.keys_label(), result.table())?;
                for (name, samples) in result.names.iter().zip(&result.samples) {
                    if samples.wrong > 0 && *name != EMPTY_LOOP {
                        let share = 100.0 * samples.wrong as f64 / samples.calls as f64;
                        let expected = outcome.as_str();
                        writeln!(f, "\n**{name}: {share:.2} % of the calls were not {expected}.**")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(reference) = self.filled.iter().find(|result| result.name == REFERENCE) else {
            return Ok(());
        };
        writeln!(f, "\n## Memory: bytes per key, at {} keys\n", abbreviated(self.keys))?;
        let mut table = Table::new(["limiter", "min", "median", "max", "ratio: min", "median", "max"]);
        let bytes = |result: &ScenarioResult| result.figures.iter().map(|figures| figures.bytes).collect();
        let reference: Vec<f64> = bytes(reference);
        for result in &self.filled {
            let bytes = bytes(result);
            let per_key = Spread::of(bytes.iter().map(|bytes| bytes / self.keys as f64));
            let ratio = Spread::of_ratios(&bytes, &reference);
            table.row([result.name.to_owned()].into_iter().chain(cells(per_key)).chain(cells(ratio)));
        }
        write!(f, "{table}")
    }

    /// Returns the measured combinations of outcome and threads, in the order of the report.
    fn groups(&self) -> Vec<(Outcome, usize)> {
        let mut groups = Vec::new();
        for result in &self.calls {
            let group = (result.workload.outcome, result.workload.threads);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|&(outcome, threads)| (threads, outcome != Outcome::Admitted));
        groups
    }

    fn group(&self, outcome: Outcome, threads: usize) -> impl Iterator<Item = &WorkloadResult> {
        let group = (outcome, threads);
        self.calls.iter().filter(move |result| (result.workload.outcome, result.workload.threads) == group)
    }
}

/// Writes the report as Markdown.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.introduction(f)?;
        self.entries(f)?;
        if !self.calls.is_empty() {
            self.overview(f)?;
        }
        self.memory(f)?;
        let keys = abbreviated(self.keys);
        stalls(f, &format!("while {keys} new keys are added"), &self.filled, false)?;
        stalls(f, &format!("while {keys} keys expire"), &self.expired, true)?;
        self.details(f)
    }
}

/// Writes the slowest calls of a scenario, unless it was not run.
fn stalls(f: &mut Formatter<'_>, scenario: &str, results: &[ScenarioResult], expiring: bool) -> fmt::Result {
    if results.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n## Stalls: {scenario}\n")?;
    let mut header = vec![
        "limiter",
        "mean",
        "p99.9",
        "p99.99",
        "slowest: min",
        "median",
        "max",
        "empty loop: p99.9",
        "p99.99",
        "slowest: min",
        "median",
        "max",
    ];
    if expiring {
        header.extend(["cleanup", "keys before", "after"]);
    }
    let mut table = Table::new(header);
    for result in results {
        let spread = |read: &dyn Fn(&Figures) -> f64| Spread::of(result.figures.iter().map(read));
        let summaries = |summary: fn(&Figures) -> Summary| {
            let slowest = spread(&|figures| summary(figures).longest);
            let quantiles = [
                spread(&|figures| summary(figures).p999).median,
                spread(&|figures| summary(figures).p9999).median,
            ];
            quantiles.into_iter().chain([slowest.min, slowest.median, slowest.max]).map(duration)
        };
        let mut row = vec![result.name.to_owned(), duration(spread(&|figures| figures.calls.mean).median)];
        row.extend(summaries(|figures| figures.calls));
        row.extend(summaries(|figures| figures.noise));
        if expiring {
            row.push(result.cleanup.as_str().to_owned());
            for at in [0, 1] {
                let known = spread(&|figures| figures.known[at]).median;
                row.push(if known.is_nan() { "unknown".to_owned() } else { with_spaces(known) });
            }
        }
        table.row(row);
    }
    write!(f, "{table}")
}

impl WorkloadResult {
    /// Returns the ratios of the limiter at `index` to the reference.
    fn ratio(&self, index: usize) -> Spread {
        let reference = self.names.iter().position(|name| *name == REFERENCE);
        let reference = reference.expect("the reference is always measured");
        Spread::of_ratios(&self.samples[index].per_call, &self.samples[reference].per_call)
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["limiter", "ns: min", "median", "max", "ratio: min", "median", "max"]);
        for (index, (name, samples)) in self.names.iter().zip(&self.samples).enumerate() {
            let nanos = Spread::of(samples.per_call.iter().copied());
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
    [spread.min, spread.median, spread.max].into_iter().map(figure)
}
