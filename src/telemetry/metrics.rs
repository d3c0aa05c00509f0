//! Counters and histograms for `metrics`.
//!
//! The labels of decisions and calls are static, so that a hit on a known key still allocates
//! nothing.

use std::sync::LazyLock;

use limited_core::{BackendError, Operation};
use metrics::{Key, Label, Level, Metadata, Unit};

use super::labels;
use super::operation::{Call, RunKind};
use super::policy::Policy;
use crate::{Algorithm, Decision, Error};

const DECISIONS: &str = "limited_decisions_total";
const ATTEMPTS: &str = "limited_attempts_total";
#[cfg(feature = "idempotency")]
const IDEMPOTENCY: &str = "limited_idempotency_total";
const DO_ONCE: &str = "limited_do_once_total";
const CALL_DURATION: &str = "limited_backend_duration_seconds";
const CALL_ERRORS: &str = "limited_backend_errors_total";
#[cfg(feature = "memory")]
const KEYS: &str = "limited_keys";
#[cfg(feature = "memory")]
const CLAIMS: &str = "limited_claims";
#[cfg(feature = "memory")]
const EVICTED: &str = "limited_evicted_keys_total";

const METADATA: Metadata<'static> = Metadata::new("limited", Level::INFO, Some(module_path!()));

/// The outcomes of decisions: [`outcome_index`] is their order.
const OUTCOMES: [&str; 8] =
    ["allowed", "refused", "allowed_degraded", "refused_degraded", "failed", "no_key", "blocked", "shadowed"];
const FAILED: usize = 4;
#[cfg(feature = "http")]
const NO_KEY: usize = 5;
const BLOCKED: usize = 6;
const SHADOWED: usize = 7;

static DECISION_LABELS: LazyLock<[[[Label; 2]; OUTCOMES.len()]; Algorithm::ALL.len()]> =
    LazyLock::new(|| {
        Algorithm::ALL.map(|algorithm| OUTCOMES.map(|outcome| decision_labels(algorithm, outcome)))
    });

fn decision_labels(algorithm: Algorithm, outcome: &'static str) -> [Label; 2] {
    [Label::from_static_parts("algorithm", algorithm.name()), Label::from_static_parts("outcome", outcome)]
}

/// The keys of the metrics of a named policy. They are made once for each policy, and borrowed by
/// each decision.
pub(super) struct PolicyKeys {
    decisions: [[Key; OUTCOMES.len()]; Algorithm::ALL.len()],
    /// Refused and allowed.
    attempts: [Key; 2],
}

impl PolicyKeys {
    pub(super) fn new(name: &str) -> Self {
        let key = |metric: &'static str, labels: &[Label]| {
            let policy = Label::new("policy", name.to_owned());
            Key::from_parts(metric, labels.iter().cloned().chain([policy]).collect::<Vec<_>>())
        };
        Self {
            decisions: Algorithm::ALL.map(|algorithm| {
                OUTCOMES.map(|outcome| key(DECISIONS, &decision_labels(algorithm, outcome)))
            }),
            attempts: ["refused", "allowed"]
                .map(|outcome| key(ATTEMPTS, &[Label::from_static_parts("outcome", outcome)])),
        }
    }
}

fn increment(key: &Key) {
    metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

static CALL_LABELS: LazyLock<[[Label; 1]; Operation::ALL.len()]> = LazyLock::new(|| {
    Operation::ALL.map(|operation| [Label::from_static_parts("operation", operation.as_str())])
});

pub(super) fn describe() {
    metrics::describe_counter!(DECISIONS, Unit::Count, "Decisions of limiters");
    metrics::describe_counter!(ATTEMPTS, Unit::Count, "Attempts, counted or refused");
    #[cfg(feature = "idempotency")]
    metrics::describe_counter!(IDEMPOTENCY, Unit::Count, "Idempotent runs");
    metrics::describe_counter!(DO_ONCE, Unit::Count, "Runs of do-once");
    metrics::describe_histogram!(CALL_DURATION, Unit::Seconds, "Duration of calls of the backend");
    metrics::describe_counter!(CALL_ERRORS, Unit::Count, "Calls of the backend that failed");
    #[cfg(feature = "memory")]
    {
        metrics::describe_gauge!(KEYS, Unit::Count, "Keys in memory, also expired ones not removed yet");
        metrics::describe_gauge!(CLAIMS, Unit::Count, "Claims in memory, also expired ones not removed yet");
        metrics::describe_counter!(EVICTED, Unit::Count, "Live keys evicted from memory");
    }
}

pub(super) fn record_decision(policy: &Policy, algorithm: Algorithm, decision: &Result<Decision, Error>) {
    count_decision(policy, algorithm, outcome_index(decision));
}

#[cfg(feature = "http")]
pub(super) fn record_missing_key(policy: &Policy, algorithm: Algorithm) {
    count_decision(policy, algorithm, NO_KEY);
}

fn count_decision(policy: &Policy, algorithm: Algorithm, outcome: usize) {
    match policy.keys() {
        Some(keys) => increment(&keys.decisions[algorithm as usize][outcome]),
        None => {
            let labels = &DECISION_LABELS[algorithm as usize][outcome];
            increment(&Key::from_static_parts(DECISIONS, labels));
        }
    }
}

fn outcome_index(decision: &Result<Decision, Error>) -> usize {
    match decision {
        Ok(decision) if decision.is_degraded() => 2 + usize::from(!decision.is_allowed()),
        Ok(decision) if decision.is_shadowed() => SHADOWED,
        Ok(decision) if decision.is_blocked() => BLOCKED,
        Ok(decision) => usize::from(!decision.is_allowed()),
        Err(_) => FAILED,
    }
}

pub(super) fn record_attempt(policy: &Policy, counted: bool) {
    if let Some(keys) = policy.keys() {
        return increment(&keys.attempts[usize::from(counted)]);
    }
    let outcome = if counted { "allowed" } else { "refused" };
    metrics::counter!(ATTEMPTS, "outcome" => outcome).increment(1);
}

pub(super) fn record_run(kind: RunKind, outcome: &'static str) {
    let name = match kind {
        #[cfg(feature = "idempotency")]
        RunKind::Idempotency => IDEMPOTENCY,
        RunKind::DoOnce => DO_ONCE,
    };
    metrics::counter!(name, "outcome" => outcome).increment(1);
}

pub(super) fn record_call(call: &Call<'_>, error: Option<&BackendError>) {
    let key = Key::from_static_parts(CALL_DURATION, &CALL_LABELS[call.operation as usize]);
    let duration = call.started.elapsed();
    metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA).record(duration));
    if let Some(error) = error {
        let (operation, kind) = (call.operation.as_str(), labels::error_kind(error));
        metrics::counter!(CALL_ERRORS, "operation" => operation, "kind" => kind).increment(1);
    }
}

#[cfg(feature = "memory")]
#[expect(clippy::cast_precision_loss, reason = "a gauge is an `f64`, which is exact up to 2^53 keys")]
pub(super) fn record_memory(name: &str, backend: &limited_memory::MemoryBackend) {
    let labels = || vec![Label::new("backend", name.to_owned())];
    metrics::gauge!(KEYS, labels()).set(backend.len() as f64);
    metrics::gauge!(CLAIMS, labels()).set(backend.claims() as f64);
    metrics::counter!(EVICTED, labels()).absolute(backend.evicted());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_indexed_by_discriminant() {
        for operation in Operation::ALL {
            assert_eq!(CALL_LABELS[operation as usize][0].value(), operation.as_str());
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(DECISION_LABELS[algorithm as usize][0][0].value(), algorithm.name());
        }
    }
}
