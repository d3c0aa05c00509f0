//! Decisions without waiting: the fast path of a backend, and the methods without a future.

use std::sync::Arc;
use std::time::Duration;

use limited::{
    Algorithm, Backend, BackendError, Decision, Error, Immediate, Limiter, ManualClock, OnError, Quota,
    Timestamp,
};
use limited_core::{Counter, CounterState, Hit, Result, WindowId, async_trait};
use limited_memory::MemoryBackend;
use limited_mock::{MockBackend, Operation};

use crate::common::block_on;

/// A backend whose fast path counts every hit, and whose `increment` panics.
struct FastPathOnly(MockBackend);

#[async_trait]
impl Backend for FastPathOnly {
    async fn increment(&self, _: &Counter<'_>, _: &Hit<'_>, _: Timestamp) -> Result<CounterState> {
        panic!("the fast path should have counted the hit")
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.0.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.0.reset(counter, window_id, now).await
    }

    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        Some(block_on(self.0.increment(counter, hit, now)))
    }
}

/// Decides by each async method: four hits with a total cost of 7.
async fn decide_by_each_method<B: Backend>(limiter: &Limiter<B>, quota: Quota) -> Result<u64, Error> {
    let decisions = [
        limiter.allow("key").await?,
        limiter.allow_n("key", 2).await?,
        limiter.with_quota(quota).allow("key").await?,
        limiter.with_quota(quota).allow_n("key", 3).await?,
    ];
    assert!(decisions.iter().all(Decision::is_allowed));
    Ok(decisions[3].used())
}

#[test]
fn fast_path_of_the_backend_is_used_first() {
    let quota = Quota::per_day(100);
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(FastPathOnly(MockBackend::new())).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_by_each_method(&limiter, quota)).unwrap(), 7, "{algorithm}");
        let object: Arc<dyn Backend> = Arc::new(FastPathOnly(MockBackend::new()));
        let limiter = Limiter::new(object).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_by_each_method(&limiter, quota)).unwrap(), 7, "{algorithm}");
        // The mock has no fast path. It is awaited, and counts each hit once.
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_by_each_method(&limiter, quota)).unwrap(), 7, "{algorithm}");
    }
}

#[test]
fn error_of_the_fast_path_is_handled_like_any_other() {
    for algorithm in Algorithm::ALL {
        let mock = MockBackend::new();
        let limiter = Limiter::new(FastPathOnly(mock.clone())).algorithm(algorithm);
        mock.fail_next(BackendError::throttled("slow down"));
        assert!(matches!(block_on(limiter.allow("key")), Err(Error::Backend(BackendError::Throttled(_)))));
        mock.fail_next(BackendError::throttled("slow down"));
        let decision = block_on(limiter.on_error(OnError::Allow).allow("key")).unwrap();
        assert!(decision.is_allowed() && decision.is_degraded());
    }
}

#[test]
fn future_that_is_never_polled_counts_nothing() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(FastPathOnly(mock.clone()));
    drop(limiter.allow("key"));
    assert_eq!(mock.total(), 0);
}

#[test]
fn methods_without_a_future_return_the_same() {
    for algorithm in Algorithm::ALL {
        // The memory backend has a fast path, and the mock has none.
        compare_with_futures(Limiter::new(MemoryBackend::new()).algorithm(algorithm));
        compare_with_futures(Limiter::new(MockBackend::new()).algorithm(algorithm));
    }
}

fn compare_with_futures<B: Immediate>(limiter: Limiter<B>) {
    let clock = ManualClock::new();
    let limiter = limiter.quota(Quota::per_minute(9)).clock(clock.clone());
    for cost in [1, 2, 3, 4, 1, 5] {
        let expected = block_on(limiter.allow_n("awaited", cost)).unwrap();
        assert_eq!(limiter.allow_n_now("immediate", cost).unwrap(), expected);
        assert_eq!(limiter.peek_now("immediate").unwrap(), block_on(limiter.peek("awaited")).unwrap());
        clock.advance(Duration::from_secs(25));
    }
    block_on(limiter.reset("awaited")).unwrap();
    limiter.reset_now("immediate").unwrap();
    assert_eq!(limiter.peek_now("immediate").unwrap().used(), 0);
    assert_eq!(limiter.peek_now("immediate").unwrap(), block_on(limiter.peek("awaited")).unwrap());

    let other = Quota::per_hour(3);
    for _ in 0..2 {
        let expected = block_on(limiter.with_quota(other).allow_n("awaited", 2)).unwrap();
        assert_eq!(limiter.with_quota(other).allow_n_now("immediate", 2).unwrap(), expected);
        let expected = block_on(limiter.with_quota(other).allow("awaited")).unwrap();
        assert_eq!(limiter.with_quota(other).allow_now("immediate").unwrap(), expected);
        assert_eq!(
            limiter.with_quota(other).peek_now("immediate").unwrap(),
            block_on(limiter.with_quota(other).peek("awaited")).unwrap()
        );
    }
    block_on(limiter.with_quota(other).reset("awaited")).unwrap();
    limiter.with_quota(other).reset_now("immediate").unwrap();
    for key in ["awaited", "immediate"] {
        assert_eq!(limiter.with_quota(other).peek_now(key).unwrap().remaining(), 3);
    }
}

#[test]
fn call_without_a_future_that_would_wait_is_a_failure_of_the_backend() {
    for on_error in [OnError::Return, OnError::Allow, OnError::Deny] {
        for algorithm in Algorithm::ALL {
            let mock = MockBackend::new();
            let limiter = Limiter::new(mock.clone()).algorithm(algorithm).on_error(on_error);
            let _gates = [Operation::Increment, Operation::Get].map(|operation| mock.hold(operation));
            let results = [
                limiter.allow_now("key"),
                limiter.peek_now("key"),
                limiter.with_quota(Quota::per_day(1)).peek_now("key"),
            ];
            for result in results {
                match (on_error, result) {
                    (OnError::Return, Err(Error::Backend(BackendError::TimedOut(_)))) => {}
                    (OnError::Allow | OnError::Deny, Ok(decision)) => {
                        assert!(decision.is_degraded());
                        assert_eq!(decision.is_allowed(), matches!(on_error, OnError::Allow));
                    }
                    (_, result) => panic!("{on_error:?}: {result:?}"),
                }
            }
        }
    }
}
