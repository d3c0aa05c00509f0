//! The tables of `telemetry.md`.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../src/telemetry.md");

/// Returns all code spans in a cell.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let section = PAGE.split("\n# ").find(|section| section.starts_with(heading)).unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// A documented metric.
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

/// A documented span or event: target, level, whether it is a span, and its name or message.
pub(crate) type Kind = (String, String, bool, String);

/// The fields of a span or event, and the outcomes that the row is limited to, if any.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fields: BTreeSet<String>,
    pub(crate) outcomes: Option<BTreeSet<String>>,
}

pub(crate) fn spans_and_events() -> BTreeMap<Kind, Row> {
    let mut documented = BTreeMap::new();
    for row in rows("Spans and events") {
        let (level, _) = row[1].split_once(',').unwrap_or((row[1], ""));
        let outcomes: BTreeSet<_> = code(row[1]).into_iter().collect();
        for message in code(row[3]) {
            let kind = (code(row[0]).remove(0), level.to_owned(), row[2] == "span", message);
            let outcomes = (!outcomes.is_empty()).then(|| outcomes.clone());
            documented.insert(kind, Row { fields: code(row[4]).into_iter().collect(), outcomes });
        }
    }
    documented
}
