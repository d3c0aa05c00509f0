//! Allocations of a decision in memory. A separate binary, because the counter is global to a
//! process.

mod common;

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use common::{block_on, in_memory};
use limited::{Algorithm, Backend, Immediate, Limiter, Quota, Quotas, Timestamp};
use limited_core::{Counter, CounterState, Hit, Result, WindowId, async_trait};

/// The boxed futures of one call of the backend: its own, and that of the telemetry around it.
const BOXED_FUTURES: u64 = if cfg!(any(feature = "tracing", feature = "metrics")) { 2 } else { 1 };

fn for_each_algorithm(count: impl Fn(Algorithm) -> AllocationInfo, expected: u64) {
    for algorithm in Algorithm::ALL {
        let counted = count(algorithm);
        assert_eq!(counted.count_total, expected, "{algorithm}: {counted:?}");
        assert_eq!(counted.count_current, 0, "{algorithm}: nothing is kept");
    }
}

#[test]
fn hit_on_a_known_key_allocates_nothing() {
    let count = |algorithm| {
        let (limiter, clock) = in_memory(algorithm, Quota::per_minute(600));
        let limiter = limiter.namespace("api").policy_name("public");
        assert!(limiter.allow_now("tenant:42:user:12345").unwrap().is_allowed());
        measure(|| {
            // Admitted, then refused, and across rollovers.
            for _ in 0..1_000 {
                let _ = limiter.allow_now("tenant:42:user:12345").unwrap();
                clock.advance(Duration::from_millis(70));
            }
        })
    };
    for_each_algorithm(count, 0);
}

#[test]
fn awaited_hit_on_a_known_key_allocates_nothing() {
    let count = |algorithm| {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(600));
        let _ = limiter.allow_now("key").unwrap();
        // The executor allocates its waker when a thread first waits.
        block_on(async {});
        measure(|| {
            let _ = block_on(limiter.allow("key")).unwrap();
        })
    };
    for_each_algorithm(count, 0);
}

#[test]
fn peek_allocates_the_futures_of_the_backend_only() {
    let count = |algorithm| {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(600));
        let _ = limiter.allow_now("key").unwrap();
        measure(|| {
            let _ = limiter.peek_now("key").unwrap();
        })
    };
    for_each_algorithm(count, BOXED_FUTURES);
}

#[test]
fn refused_hit_on_an_unknown_key_allocates_nothing() {
    let count = |algorithm| {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(600));
        measure(|| {
            let _ = limiter.allow_n_now("unknown", 601).unwrap();
        })
    };
    for_each_algorithm(count, 0);
}

/// A backend that counts nothing and allocates nothing: every hit fits.
struct Ample;

#[async_trait]
impl Backend for Ample {
    fn try_increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        _: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<Result<()>> {
        states.extend(hits.iter().map(|(_, hit)| CounterState::new(true, hit.cost)));
        Some(Ok(()))
    }

    async fn increment(&self, _: &Counter<'_>, hit: &Hit<'_>, _: Timestamp) -> Result<CounterState> {
        Ok(CounterState::new(true, hit.cost))
    }

    async fn get(&self, _: &Counter<'_>, _: Timestamp) -> Result<CounterState> {
        Ok(CounterState::default())
    }

    async fn reset(&self, _: &Counter<'_>, _: Option<WindowId>, _: Timestamp) -> Result<()> {
        Ok(())
    }
}

impl Immediate for Ample {}

#[test]
fn hit_under_several_quotas_allocates_the_decisions_of_its_limits_only() {
    let count = |algorithm| {
        let quotas: Quotas = "60/s; 600/min; 900/hour".parse().unwrap();
        let limiter = Limiter::new(Ample).quotas(quotas).algorithm(algorithm);
        let _ = limiter.allow_now("key").unwrap();
        measure(|| {
            let _ = limiter.allow_now("key").unwrap();
        })
    };
    for_each_algorithm(count, 1);
}
