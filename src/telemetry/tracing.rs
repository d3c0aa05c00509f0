//! Spans and events for `tracing`. They contain hashes of keys, which are computed only for an
//! enabled span or event.

use std::fmt;
use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, Counter, CounterState, FinishResult, Key, LeaseStatus, Record,
    Result,
};
use tracing::{Span, debug, debug_span, info, trace, trace_span, warn};

use super::labels;
use super::operation::{Call, RunKind};
use super::policy::Policy;
use crate::{Algorithm, Decision, Error};

const DECISION: &str = "limited::decision";
const ATTEMPT: &str = "limited::attempt";
const BACKEND: &str = "limited::backend";
const CLAIM: &str = "limited::claim";
#[cfg(feature = "http")]
const HTTP: &str = "limited::http";
#[cfg(feature = "idempotency")]
const IDEMPOTENCY: &str = "limited::idempotency";
const DO_ONCE: &str = "limited::do_once";

/// Displays the [hash](limited_core::KeyHash) of a rendered key. Computes it only if it is
/// displayed.
struct KeyHash<'a>(&'a str);

impl fmt::Display for KeyHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        limited_core::KeyHash::of(self.0).fmt(f)
    }
}

pub(super) fn record_decision(
    policy: &Policy,
    algorithm: Algorithm,
    cost: u64,
    counter: &Counter<'_>,
    decision: &Result<Decision, Error>,
) {
    // The event of the failed call reports an error.
    let Ok(decision) = decision else { return };
    let key = KeyHash(counter.key());
    let (namespace, algorithm) = (counter.namespace(), algorithm.name());
    let (limit, remaining) = (decision.limit(), decision.remaining());
    let (degraded, policy) = (decision.is_degraded(), policy.name());
    /// Emits an event about a hit that is refused, or would be. A macro, because the message of an
    /// event is a constant.
    macro_rules! refusal_event {
        ($message:literal) => {{
            let retry_after = decision.retry_after().as_ref().map(Duration::as_secs_f64);
            debug!(target: DECISION, policy, namespace, %key, algorithm, cost, limit, remaining, degraded, retry_after, $message);
        }};
    }
    if decision.is_shadowed() {
        refusal_event!("shadowed");
    } else if decision.is_allowed() {
        trace!(target: DECISION, policy, namespace, %key, algorithm, cost, limit, remaining, degraded, "allowed");
    } else if decision.is_blocked() {
        refusal_event!("blocked");
    } else {
        refusal_event!("refused");
    }
}

#[cfg(feature = "http")]
pub(super) fn record_missing_key(
    policy: &Policy,
    algorithm: Algorithm,
    reason: &dyn fmt::Display,
    warn: bool,
) {
    let (policy, algorithm) = (policy.name(), algorithm.name());
    if warn {
        warn!(target: DECISION, policy, algorithm, %reason, "no key");
    } else {
        debug!(target: DECISION, policy, algorithm, %reason, "no key");
    }
}

pub(super) fn record_attempt(policy: &Policy, counter: &Counter<'_>, max: u64, state: &CounterState) {
    let policy = policy.name();
    let (namespace, key) = (counter.namespace(), KeyHash(counter.key()));
    let used = u64::try_from(state.value).unwrap_or(u64::MAX);
    if state.counted {
        trace!(target: ATTEMPT, policy, namespace, %key, used, max, "allowed");
    } else {
        debug!(target: ATTEMPT, policy, namespace, %key, used, max, "refused");
    }
}

#[cfg(feature = "http")]
pub(super) fn warn_of_duplicate_policy(policy: &str) {
    warn!(
        target: HTTP,
        policy,
        "two policies of this name in one response"
    );
}

#[cfg(feature = "http")]
pub(super) fn record_failed_refund(policy: &str, error: &Error) {
    warn!(target: HTTP, policy, %error, "refund failed");
}

#[cfg(feature = "http")]
pub(super) fn record_missing_caller(reason: &str, warn: bool) {
    if warn {
        warn!(target: HTTP, reason, "no caller");
    } else {
        debug!(target: HTTP, reason, "no caller");
    }
}

pub(super) fn call_span(call: &Call<'_>) -> Span {
    let key = KeyHash(call.key);
    trace_span!(target: BACKEND, "backend", operation = call.operation.as_str(), namespace = call.namespace, %key)
}

pub(super) fn record_call(call: &Call<'_>, error: Option<&BackendError>) {
    if let Some(error) = error {
        let key = KeyHash(call.key);
        let (operation, namespace) = (call.operation.as_str(), call.namespace);
        let (kind, retryable) = (labels::error_kind(error), error.is_retryable());
        warn!(target: BACKEND, operation, namespace, %key, kind, retryable, %error, "failed");
    }
}

pub(super) fn claim_span(key: &ClaimKey<'_>, fencing_token: u64) -> Span {
    let (namespace, kind) = (key.namespace(), key.kind().as_str());
    let key = KeyHash(key.key());
    debug_span!(target: CLAIM, "claim", kind, namespace, %key, fencing_token)
}

/// Emits an event about a claim. A macro, because the level and the message of an event are
/// constants.
macro_rules! claim_event {
    ($level:ident, $key:expr, $message:literal $(, $field:ident)*) => {{
        let key = KeyHash($key.key());
        let (kind, namespace) = ($key.kind().as_str(), $key.namespace());
        $level!(target: CLAIM, kind, namespace, %key, $($field,)* $message);
    }};
}

pub(super) fn record_claim(key: &ClaimKey<'_>, result: &Result<Acquisition>) {
    match result {
        Ok(Acquisition::Acquired(grant)) => {
            let fencing_token = grant.fencing_token.0;
            claim_event!(debug, key, "acquired", fencing_token);
        }
        Ok(Acquisition::Held(Record::InProgress(record))) => {
            let fencing_token = record.fencing_token.0;
            claim_event!(debug, key, "in progress", fencing_token);
        }
        Ok(Acquisition::Held(Record::Finished(record))) => {
            let fencing_token = record.fencing_token.0;
            claim_event!(debug, key, "already finished", fencing_token);
        }
        Err(_) => {}
    }
}

pub(super) fn record_finish(key: &ClaimKey<'_>, result: &Result<FinishResult>) {
    match result {
        Ok(FinishResult::Stored) => claim_event!(debug, key, "finished"),
        Ok(FinishResult::Omitted { .. }) => claim_event!(warn, key, "finished, result not stored"),
        Ok(FinishResult::Lost(_)) => claim_event!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn record_renewal(key: &ClaimKey<'_>, result: &Result<LeaseStatus>) {
    match result {
        Ok(LeaseStatus::Owned) => claim_event!(trace, key, "renewed"),
        Ok(LeaseStatus::Lost(_)) => claim_event!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn record_release(key: &ClaimKey<'_>, result: &Result<LeaseStatus>) {
    match result {
        // A repeated release may find no record.
        Ok(LeaseStatus::Owned | LeaseStatus::Lost(None)) => claim_event!(debug, key, "released"),
        Ok(LeaseStatus::Lost(Some(_))) => claim_event!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn record_forget(key: &ClaimKey<'_>, result: &Result<()>) {
    if result.is_ok() {
        claim_event!(info, key, "forgotten");
    }
}

pub(super) fn record_run(kind: RunKind, namespace: &str, key: &Key<'_>, outcome: &'static str) {
    let key = KeyHash(key.as_str());
    match (kind, is_warning(outcome)) {
        #[cfg(feature = "idempotency")]
        (RunKind::Idempotency, true) => warn!(target: IDEMPOTENCY, namespace, %key, outcome, "ended"),
        #[cfg(feature = "idempotency")]
        (RunKind::Idempotency, false) => debug!(target: IDEMPOTENCY, namespace, %key, outcome, "ended"),
        (RunKind::DoOnce, true) => warn!(target: DO_ONCE, namespace, %key, outcome, "ended"),
        (RunKind::DoOnce, false) => debug!(target: DO_ONCE, namespace, %key, outcome, "ended"),
    }
}

/// Returns whether an outcome needs attention: the result of a run, or the claim, was lost.
fn is_warning(outcome: &str) -> bool {
    matches!(outcome, "not_stored" | "lease_lost" | "stopped" | "not_recorded" | "decode")
}
