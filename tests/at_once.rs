//! What a backend can answer at once is not waited for, and is otherwise the same.

mod common;

use std::sync::Arc;

use common::block_on;
use limited::{Algorithm, Backend, BackendError, Decision, Error, Limiter, OnError, Quota, Timestamp};
use limited_core::{Counter, CounterState, Hit, WindowId, async_trait};
use limited_mock::MockBackend;

/// Answers every hit at once, and panics where it is waited for.
struct AtOnce(MockBackend);

#[async_trait]
impl Backend for AtOnce {
    async fn increment(
        &self,
        _: &Counter<'_>,
        _: &Hit<'_>,
        _: Timestamp,
    ) -> Result<CounterState, BackendError> {
        panic!("it could have answered at once")
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        self.0.get(counter, now).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.reset(counter, window_id, now).await
    }

    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState, BackendError>> {
        Some(block_on(self.0.increment(counter, hit, now)))
    }
}

/// Every way to decide by future: four hits, of 7 in all.
async fn decide_every_way<B: Backend>(limiter: &Limiter<B>, quota: Quota) -> Result<u64, Error> {
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
fn a_backend_that_answers_at_once_is_not_waited_for() {
    let quota = Quota::per_day(100);
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(AtOnce(MockBackend::new())).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_every_way(&limiter, quota)).unwrap(), 7, "{algorithm}");
        let object: Arc<dyn Backend> = Arc::new(AtOnce(MockBackend::new()));
        let limiter = Limiter::new(object).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_every_way(&limiter, quota)).unwrap(), 7, "{algorithm}");
        // A mock has nothing at once: it is waited for, and counts each hit once.
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm).quota(quota);
        assert_eq!(block_on(decide_every_way(&limiter, quota)).unwrap(), 7, "{algorithm}");
    }
}

#[test]
fn a_failure_at_once_is_one_like_any_other() {
    for algorithm in Algorithm::ALL {
        let mock = MockBackend::new();
        let limiter = Limiter::new(AtOnce(mock.clone())).algorithm(algorithm);
        mock.fail_next(BackendError::throttled("slow down"));
        assert!(matches!(block_on(limiter.allow("key")), Err(Error::Backend(BackendError::Throttled(_)))));
        mock.fail_next(BackendError::throttled("slow down"));
        let decision = block_on(limiter.on_error(OnError::Allow).allow("key")).unwrap();
        assert!(decision.is_allowed() && decision.is_degraded());
    }
}

#[test]
fn a_decision_that_nobody_waits_for_is_not_made() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(AtOnce(mock.clone()));
    drop(limiter.allow("key"));
    assert_eq!(mock.total(), 0);
}
