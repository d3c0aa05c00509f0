//! What happened, for those who watch: the one place that speaks to `tracing` and `metrics`.
//!
//! Each function is called once where something was decided. Without the features it is nothing, or gives back what it
//! was given: inlined, since its callers are compiled in other crates. What is emitted stands in `observability.md`.

#[cfg(any(feature = "tracing", feature = "metrics"))]
mod backend;
#[cfg(feature = "tracing")]
pub(crate) mod events;
#[cfg(feature = "metrics")]
pub(crate) mod numbers;
mod outcome;

use std::ops::Deref;
use std::sync::Arc;

use limited_core::{ClaimKey, Counter, CounterState, Key};

#[cfg(feature = "idempotency")]
use crate::Outcome;
use crate::{Algorithm, Decision, Done, Error, RunError};

/// A shared backend whose calls are recorded, if `tracing` or `metrics` is enabled.
///
/// Without both features it is no backend itself, and calls go to `B` through `Deref`. (An `Arc<B>` is a backend too,
/// so that a call through it would box its future a second time.)
pub(crate) struct Instrumented<B>(Arc<B>);

impl<B> Instrumented<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self(Arc::new(backend))
    }
}

impl<B> Clone for Instrumented<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Deref for Instrumented<B> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        &self.0
    }
}

/// Tells of a decision.
#[inline]
pub(crate) fn decided(
    algorithm: Algorithm,
    cost: u64,
    counter: &Counter<'_>,
    decision: &Result<Decision, Error>,
) {
    let _ = (algorithm, cost, counter, decision);
    #[cfg(feature = "metrics")]
    numbers::decided(algorithm, decision);
    #[cfg(feature = "tracing")]
    events::decided(algorithm, cost, counter, decision);
}

/// Tells of an attempt that was counted or refused.
#[inline]
pub(crate) fn attempted(namespace: &str, key: &Key<'_>, max: u64, tally: &CounterState) {
    let _ = (namespace, key, max, tally);
    #[cfg(feature = "metrics")]
    numbers::attempted(tally.counted);
    #[cfg(feature = "tracing")]
    events::attempted(namespace, key, max, tally);
}

/// Has what runs under a claim run in its span.
pub(crate) fn within_claim<F: Future>(
    key: &ClaimKey<'_>,
    fencing_token: u64,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let _ = (key, fencing_token);
    #[cfg(feature = "tracing")]
    let work = tracing::Instrument::instrument(work, events::claim_span(key, fencing_token));
    work
}

/// Tells what became of an idempotent run, also where its future is dropped.
#[cfg(feature = "idempotency")]
pub(crate) fn idempotent<T, E>(
    namespace: &str,
    key: &Key<'_>,
    run: impl Future<Output = Result<Outcome<T>, RunError<E, T>>>,
) -> impl Future<Output = Result<Outcome<T>, RunError<E, T>>> {
    watched(Kind::Idempotency, namespace, key, run, outcome::of_idempotency)
}

/// Tells what became of something that is done once, also where its future is dropped.
pub(crate) fn done_once<T, U, E>(
    namespace: &str,
    key: &Key<'_>,
    run: impl Future<Output = Result<Done<T>, RunError<E, U>>>,
) -> impl Future<Output = Result<Done<T>, RunError<E, U>>> {
    watched(Kind::DoOnce, namespace, key, run, outcome::of_do_once)
}

/// What runs under a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "idempotency")]
    Idempotency,
    DoOnce,
}

#[cfg(not(any(feature = "tracing", feature = "metrics")))]
fn watched<T, F: Future<Output = T>>(
    _: Kind,
    _: &str,
    _: &Key<'_>,
    run: F,
    _: fn(&T) -> &'static str,
) -> impl Future<Output = T> + use<T, F> {
    run
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
async fn watched<T, F: Future<Output = T>>(
    kind: Kind,
    namespace: &str,
    key: &Key<'_>,
    run: F,
    outcome: fn(&T) -> &'static str,
) -> T {
    let mut watch = Watch { kind, namespace, key, outcome: outcome::DROPPED };
    let result = run.await;
    watch.outcome = outcome(&result);
    result
}

/// Tells an outcome when it goes: that of a run that came to its end, or that there was none.
#[cfg(any(feature = "tracing", feature = "metrics"))]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "what is counted has no key"))]
struct Watch<'a> {
    kind: Kind,
    namespace: &'a str,
    key: &'a Key<'a>,
    outcome: &'static str,
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl Drop for Watch<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        numbers::ran(self.kind, self.outcome);
        #[cfg(feature = "tracing")]
        events::ran(self.kind, self.namespace, self.key, self.outcome);
    }
}
