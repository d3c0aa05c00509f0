//! What the documentation says is emitted.

use std::collections::{BTreeMap, BTreeSet};

const TABLES: &str = include_str!("../../src/telemetry.md");

/// Everything that is written as code in a cell.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let section = TABLES.split("\n# ").find(|section| section.starts_with(heading)).unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// A metric, as documented.
#[derive(Debug, Default)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) fn metrics() -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut name = String::new();
    for row in rows("Metrics") {
        if let Some(new) = code(row[0]).pop() {
            name = new;
        }
        let metric = metrics.entry(name.clone()).or_default();
        if !row[1].is_empty() {
            (metric.kind, metric.unit) = (row[1].to_owned(), row[2].to_owned());
        }
        metric.labels.insert(code(row[3]).remove(0), code(row[4]).into_iter().collect());
    }
    let operations = metrics["limited_backend_duration_seconds"].labels["operation"].clone();
    let errors = metrics.get_mut("limited_backend_errors_total").unwrap();
    assert_eq!(errors.labels.insert("operation".to_owned(), operations), Some(BTreeSet::new()));
    metrics
}

/// A span or event, as documented: target, level, whether it is a span, and its words.
pub(crate) type Kind = (String, String, bool, String);

/// Which fields each has, and which outcomes a row is about, where it says so.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fields: BTreeSet<String>,
    pub(crate) outcomes: Option<BTreeSet<String>>,
}

pub(crate) fn told() -> BTreeMap<Kind, Row> {
    let mut told = BTreeMap::new();
    for row in rows("Spans and events") {
        let (level, _) = row[1].split_once(',').unwrap_or((row[1], ""));
        let outcomes: BTreeSet<_> = code(row[1]).into_iter().collect();
        for words in code(row[3]) {
            let kind = (code(row[0]).remove(0), level.to_owned(), row[2] == "span", words);
            let outcomes = (!outcomes.is_empty()).then(|| outcomes.clone());
            told.insert(kind, Row { fields: code(row[4]).into_iter().collect(), outcomes });
        }
    }
    told
}
