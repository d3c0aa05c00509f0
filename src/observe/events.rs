//! What is told to `tracing`. Keys are told by their fingerprints, which are computed only where somebody listens.

use std::fmt;
use std::time::Duration;

use limited_core::{
    Acquisition, BackendError, ClaimKey, Counter, CounterState, FinishResult, Key, LeaseStatus, Record,
};
use sha2::{Digest, Sha256};
use tracing::{Span, debug, debug_span, info, trace, trace_span, warn};

use super::backend::Call;
use super::{Kind, outcome};
use crate::{Algorithm, Decision, Error};

const DECISION: &str = "limited::decision";
const ATTEMPT: &str = "limited::attempt";
const BACKEND: &str = "limited::backend";
const CLAIM: &str = "limited::claim";
#[cfg(feature = "idempotency")]
const IDEMPOTENCY: &str = "limited::idempotency";
const DO_ONCE: &str = "limited::do_once";

/// The first 64 bits of the SHA-256 of a rendered key, in hexadecimal.
pub(crate) struct Fingerprint<'a>(pub(crate) &'a str);

impl fmt::Display for Fingerprint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Sha256::digest(self.0).iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn decided(
    algorithm: Algorithm,
    cost: u64,
    counter: &Counter<'_>,
    decision: &Result<Decision, Error>,
) {
    // Of an error the backend's event tells.
    let Ok(decision) = decision else { return };
    let key = Fingerprint(counter.key());
    let (namespace, algorithm) = (counter.namespace(), algorithm.name());
    let (limit, remaining) = (decision.limit(), decision.remaining());
    let degraded = decision.is_degraded();
    if decision.is_allowed() {
        trace!(target: DECISION, namespace, %key, algorithm, cost, limit, remaining, degraded, "allowed");
    } else {
        let retry_after = decision.retry_after().as_ref().map(Duration::as_secs_f64);
        debug!(target: DECISION, namespace, %key, algorithm, cost, limit, remaining, degraded, retry_after, "refused");
    }
}

pub(super) fn attempted(namespace: &str, key: &Key<'_>, max: u64, tally: &CounterState) {
    let key = Fingerprint(key.as_str());
    let used = u64::try_from(tally.value).unwrap_or(u64::MAX);
    if tally.counted {
        trace!(target: ATTEMPT, namespace, %key, used, max, "allowed");
    } else {
        debug!(target: ATTEMPT, namespace, %key, used, max, "refused");
    }
}

pub(super) fn call_span(call: &Call<'_>) -> Span {
    let key = Fingerprint(call.key);
    trace_span!(target: BACKEND, "backend", operation = call.operation.as_str(), namespace = call.namespace, %key)
}

pub(super) fn answered(call: &Call<'_>, error: Option<&BackendError>) {
    if let Some(error) = error {
        let key = Fingerprint(call.key);
        let (operation, namespace) = (call.operation.as_str(), call.namespace);
        let (kind, retryable) = (outcome::kind(error), error.is_retryable());
        warn!(target: BACKEND, operation, namespace, %key, kind, retryable, %error, "failed");
    }
}

pub(super) fn claim_span(key: &ClaimKey<'_>, fencing_token: u64) -> Span {
    let (namespace, kind) = (key.namespace(), key.kind().as_str());
    let key = Fingerprint(key.key());
    debug_span!(target: CLAIM, "claim", kind, namespace, %key, fencing_token)
}

/// An event about a claim. Each is a call site of its own, since its level and its words are constants.
macro_rules! about_claim {
    ($level:ident, $key:expr, $words:literal $(, $field:ident)*) => {{
        let key = Fingerprint($key.key());
        let (kind, namespace) = ($key.kind().as_str(), $key.namespace());
        $level!(target: CLAIM, kind, namespace, %key, $($field,)* $words);
    }};
}

pub(super) fn claimed(key: &ClaimKey<'_>, answer: &Result<Acquisition, BackendError>) {
    match answer {
        Ok(Acquisition::Acquired(grant)) => {
            let fencing_token = grant.fencing_token.0;
            about_claim!(debug, key, "granted", fencing_token);
        }
        Ok(Acquisition::Held(Record::InProgress(record))) => {
            let fencing_token = record.fencing_token.0;
            about_claim!(debug, key, "in progress", fencing_token);
        }
        Ok(Acquisition::Held(Record::Finished(record))) => {
            let fencing_token = record.fencing_token.0;
            about_claim!(debug, key, "finished before", fencing_token);
        }
        Err(_) => {}
    }
}

pub(super) fn finished(key: &ClaimKey<'_>, answer: &Result<FinishResult, BackendError>) {
    match answer {
        Ok(FinishResult::Stored) => about_claim!(debug, key, "finished"),
        Ok(FinishResult::Omitted { .. }) => about_claim!(warn, key, "finished, and its result not kept"),
        Ok(FinishResult::Lost(_)) => about_claim!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn renewed(key: &ClaimKey<'_>, answer: &Result<LeaseStatus, BackendError>) {
    match answer {
        Ok(LeaseStatus::Owned) => about_claim!(trace, key, "renewed"),
        Ok(LeaseStatus::Lost(_)) => about_claim!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn released(key: &ClaimKey<'_>, answer: &Result<LeaseStatus, BackendError>) {
    match answer {
        // A release that is sent again may find nothing any more.
        Ok(LeaseStatus::Owned | LeaseStatus::Lost(None)) => about_claim!(debug, key, "released"),
        Ok(LeaseStatus::Lost(Some(_))) => about_claim!(warn, key, "lost"),
        Err(_) => {}
    }
}

pub(super) fn forgotten(key: &ClaimKey<'_>, answer: &Result<(), BackendError>) {
    if answer.is_ok() {
        about_claim!(info, key, "forgotten");
    }
}

pub(super) fn ran(kind: Kind, namespace: &str, key: &Key<'_>, outcome: &'static str) {
    let key = Fingerprint(key.as_str());
    match kind {
        #[cfg(feature = "idempotency")]
        Kind::Idempotency => match outcome {
            "not_kept" | "lost" | "unrecorded" | "unreadable" => {
                warn!(target: IDEMPOTENCY, namespace, %key, outcome, "ended");
            }
            _ => debug!(target: IDEMPOTENCY, namespace, %key, outcome, "ended"),
        },
        Kind::DoOnce => match outcome {
            "lost" | "unrecorded" => warn!(target: DO_ONCE, namespace, %key, outcome, "ended"),
            _ => debug!(target: DO_ONCE, namespace, %key, outcome, "ended"),
        },
    }
}
