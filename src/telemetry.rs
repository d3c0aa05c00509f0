#![doc = include_str!("telemetry.md")]
// The only module that uses the crates `tracing` and `metrics`. Without both features the functions
// of this module do nothing. They are inlined, because the code that calls them is compiled in
// other crates. `telemetry.md` lists what is recorded, and a test compares it with the code.

#[cfg(any(feature = "tracing", feature = "metrics"))]
mod instrumented;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod labels;
#[cfg(feature = "metrics")]
mod metrics;
mod operation;
mod policy;
#[cfg(feature = "tracing")]
mod tracing;

use std::ops::Deref;
use std::sync::Arc;

use limited_core::{Backend, ClaimKey, Counter, CounterState, Hit, Key, Timestamp};
pub use limited_core::{InvalidSalt, set_key_salt};

pub(crate) use self::operation::RunKind;
pub(crate) use self::policy::Policy;
use crate::{Algorithm, Decision, Error};

/// Describes every metric to the installed recorder, with its unit. Call it once, after the
/// recorder is installed. It is optional: metrics are recorded without it.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    metrics::describe();
}

/// Upper bounds of buckets for the histogram `limited_backend_duration_seconds`, in seconds: from a
/// call in memory to a request that times out.
///
/// The usual defaults do not fit. Those of Prometheus begin at 5 ms, so all calls in memory and
/// most calls of a near database share the first bucket. Those of OpenTelemetry are meant for
/// milliseconds, so all calls up to 5 s share a bucket.
///
/// ```text
/// PrometheusBuilder::new().set_buckets_for_metric(
///     Matcher::Full("limited_backend_duration_seconds".to_owned()),
///     &limited::telemetry::DURATION_BUCKETS,
/// )
/// ```
#[cfg(feature = "metrics")]
pub const DURATION_BUCKETS: [f64; 14] =
    [0.000_001, 0.000_01, 0.000_1, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Sets the metrics of a memory backend: how many keys and claims it knows, and how many keys it
/// has evicted. The label `backend` has this name.
///
/// The backend never does this by itself, so that no hit pays for it. Call this before each export
/// of the metrics, or every few seconds. It reads three numbers, and waits for no lock.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Limiter, telemetry};
///
/// let backend = MemoryBackend::new();
/// let limiter = Limiter::new(backend.clone());
/// assert!(limiter.allow_now("user:7")?.is_allowed());
///
/// // In the handler of `/metrics`, before it renders them. Here `limited_keys` becomes 1.
/// telemetry::record_memory("main", &backend);
/// # Ok::<(), limited::Error>(())
/// ```
#[cfg(all(feature = "metrics", feature = "memory"))]
pub fn record_memory(name: &str, backend: &limited_memory::MemoryBackend) {
    metrics::record_memory(name, backend);
}

/// Returns the [hash](limited_core::KeyHash) of a key that spans and events contain, in
/// hexadecimal.
///
/// ```
/// # use limited::Key;
/// use limited::telemetry::key_hash;
///
/// // The start of the output of `printf user:7 | sha256sum`.
/// assert_eq!(key_hash(&Key::new().user("7")), "20bdc7ae7082d21e");
/// ```
#[cfg(feature = "tracing")]
pub fn key_hash(key: &Key<'_>) -> String {
    limited_core::KeyHash::of(key.as_str()).to_string()
}

/// A shared backend. With one of the features it is a backend itself, which records each call.
///
/// Without them it is none, and calls go to `B` through `Deref`. An `Arc<B>` would be a backend
/// too, and would box the future of each call a second time.
pub(crate) struct Instrumented<B>(Arc<B>);

impl<B> Instrumented<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self(Arc::new(backend))
    }

    /// Returns whether both are the same backend, by having been cloned.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<B: Backend> Instrumented<B> {
    /// Counts a hit that the fast path did not handle: without a future if the backend never waits,
    /// and otherwise by [`Backend::increment`].
    pub(crate) async fn count(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> limited_core::Result<CounterState> {
        if let Some(result) = self.try_increment(&counter.retry(), hit, now) {
            return result;
        }
        self.increment(counter, hit, now).await
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

/// Records a decision of a limiter.
#[inline]
pub(crate) fn record_decision(
    policy: &Policy,
    algorithm: Algorithm,
    cost: u64,
    counter: &Counter<'_>,
    decision: &Result<Decision, Error>,
) {
    let _ = (policy, algorithm, cost, counter, decision);
    #[cfg(feature = "metrics")]
    metrics::record_decision(policy, algorithm, decision);
    #[cfg(feature = "tracing")]
    tracing::record_decision(policy, algorithm, cost, counter, decision);
}

/// Records a request that a layer could not decide about, because it has no key: `no_key` in the
/// metric of decisions, and an event with the reason.
///
/// The event is a warning if `warn` is set, and of level debug otherwise. A layer sets it if the
/// server is at fault, for the first such request only. The reason must not repeat anything that
/// the client sent.
#[cfg(feature = "http")]
pub(crate) fn record_missing_key(
    policy: &Policy,
    algorithm: Algorithm,
    reason: &dyn std::fmt::Display,
    warn: bool,
) {
    let _ = (policy, algorithm, reason, warn);
    #[cfg(feature = "metrics")]
    metrics::record_missing_key(policy, algorithm);
    #[cfg(feature = "tracing")]
    tracing::record_missing_key(policy, algorithm, reason, warn);
}

/// Records an attempt, counted or refused.
#[inline]
pub(crate) fn record_attempt(policy: &Policy, counter: &Counter<'_>, max: u64, state: &CounterState) {
    let _ = (policy, counter, max, state);
    #[cfg(feature = "metrics")]
    metrics::record_attempt(policy, state.counted);
    #[cfg(feature = "tracing")]
    tracing::record_attempt(policy, counter, max, state);
}

/// Warns that a response has two policies of one name.
#[cfg(feature = "http")]
pub(crate) fn warn_of_duplicate_policy(policy: &str) {
    let _ = policy;
    #[cfg(feature = "tracing")]
    tracing::warn_of_duplicate_policy(policy);
}

/// Warns that a request stays counted, because its refund failed.
#[cfg(feature = "http")]
pub(crate) fn record_failed_refund(policy: &str, error: &Error) {
    let _ = (policy, error);
    #[cfg(feature = "tracing")]
    tracing::record_failed_refund(policy, error);
}

/// Reports a request whose caller cannot be known, because the server is misconfigured. `reason`
/// names what the server lacks.
#[cfg(feature = "http")]
pub(crate) fn record_missing_caller(reason: &str, warn: bool) {
    let _ = (reason, warn);
    #[cfg(feature = "tracing")]
    tracing::record_missing_caller(reason, warn);
}

/// Runs a handler in the span of its claim.
pub(crate) fn in_claim_span<F: Future>(
    key: &ClaimKey<'_>,
    fencing_token: u64,
    handler: F,
) -> impl Future<Output = F::Output> + use<F> {
    let _ = (key, fencing_token);
    #[cfg(feature = "tracing")]
    let handler = ::tracing::Instrument::instrument(handler, tracing::claim_span(key, fencing_token));
    handler
}

/// Records the outcome of a run, also if its future is dropped.
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
pub(crate) fn record_run<T, F: Future<Output = T>>(
    _: RunKind,
    _: &str,
    _: &Key<'_>,
    run: F,
    _: fn(&T) -> &'static str,
) -> impl Future<Output = T> + use<T, F> {
    run
}

/// Records the outcome of a run, also if its future is dropped.
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) async fn record_run<T, F: Future<Output = T>>(
    kind: RunKind,
    namespace: &str,
    key: &Key<'_>,
    run: F,
    label: fn(&T) -> &'static str,
) -> T {
    let mut guard = OutcomeGuard { kind, namespace, key, outcome: labels::DROPPED };
    let result = run.await;
    guard.outcome = label(&result);
    result
}

/// Records the outcome of a run when it is dropped: also if the run was dropped, or panicked.
#[cfg(any(feature = "tracing", feature = "metrics"))]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "metrics contain no keys"))]
struct OutcomeGuard<'a> {
    kind: RunKind,
    namespace: &'a str,
    key: &'a Key<'a>,
    outcome: &'static str,
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl Drop for OutcomeGuard<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        metrics::record_run(self.kind, self.outcome);
        #[cfg(feature = "tracing")]
        tracing::record_run(self.kind, self.namespace, self.key, self.outcome);
    }
}
