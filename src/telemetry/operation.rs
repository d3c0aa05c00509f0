//! Calls of the backend and runs, as data.

#[cfg(feature = "metrics")]
use std::time::Instant;

#[cfg(any(feature = "tracing", feature = "metrics"))]
use limited_core::{ClaimKey, Counter, Operation};

/// One call of the backend.
#[cfg(any(feature = "tracing", feature = "metrics"))]
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "metrics contain no keys"))]
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) namespace: &'a str,
    pub(super) key: &'a str,
    #[cfg(feature = "metrics")]
    pub(super) started: Instant,
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<'a> Call<'a> {
    fn new(operation: Operation, namespace: &'a str, key: &'a str) -> Self {
        Self {
            operation,
            namespace,
            key,
            #[cfg(feature = "metrics")]
            started: Instant::now(),
        }
    }

    pub(super) fn on_counter(operation: Operation, counter: &'a Counter<'_>) -> Self {
        Self::new(operation, counter.namespace(), counter.key())
    }

    pub(super) fn on_claim(operation: Operation, key: &'a ClaimKey<'_>) -> Self {
        Self::new(operation, key.namespace(), key.key())
    }
}

/// What runs under a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    #[cfg(feature = "idempotency")]
    Idempotency,
    DoOnce,
}
