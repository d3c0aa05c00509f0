//! Several limits in one step: quotas of one limiter, and limiters with keys of their own.

use std::sync::Arc;
use std::time::Duration;

use limited::{
    Algorithm, Backend, BackendError, Decision, Error, Limiter, ManualClock, OnError, Quota, Quotas,
    allow_all, allow_all_now,
};
use limited_core::{
    Counter, CounterState, Hit, Refund, Result as BackendResult, Timestamp, WindowId, async_trait,
};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use proptest::prelude::*;

use crate::common::{
    AnyBackend, Call, any_algorithm, backends, block_on, calls, in_parallel, is_within_reach,
};

/// What happens before a hit or a refund.
type Hook = dyn Fn(&Counter<'_>, Timestamp) -> BackendResult<()> + Send + Sync;

/// A backend without a step for several hits: it counts them one after the other. Before each hit
/// and each refund it calls a hook, whose error it returns.
pub(crate) struct InTurn {
    memory: MemoryBackend,
    hook: Box<Hook>,
}

impl InTurn {
    fn new() -> Self {
        Self::with_hook(MemoryBackend::new(), |_, _| Ok(()))
    }

    pub(crate) fn with_hook(
        memory: MemoryBackend,
        hook: impl Fn(&Counter<'_>, Timestamp) -> BackendResult<()> + Send + Sync + 'static,
    ) -> Self {
        Self { memory, hook: Box::new(hook) }
    }
}

#[async_trait]
impl Backend for InTurn {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> BackendResult<CounterState> {
        (self.hook)(counter, now)?;
        self.memory.increment(counter, hit, now).await
    }

    async fn refund(
        &self,
        counter: &Counter<'_>,
        refund: &Refund,
        now: Timestamp,
    ) -> BackendResult<CounterState> {
        (self.hook)(counter, now)?;
        self.memory.refund(counter, refund, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> BackendResult<CounterState> {
        self.memory.get(counter, now).await
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window: Option<WindowId>,
        now: Timestamp,
    ) -> BackendResult<()> {
        self.memory.reset(counter, window, now).await
    }
}

pub(crate) fn quotas(text: &str) -> Quotas {
    text.parse().unwrap()
}

/// Runs `test` on every backend that refunds, by every algorithm.
pub(crate) fn everywhere(text: &str, test: impl Fn(Limiter<AnyBackend>, ManualClock)) {
    for algorithm in Algorithm::ALL {
        let in_turn: AnyBackend = Arc::new(InTurn::new());
        for (name, backend) in backends().into_iter().chain([("in turn", in_turn)]) {
            println!("{name}, {algorithm}");
            let clock = ManualClock::new();
            let limiter = Limiter::new(backend).quotas(quotas(text)).algorithm(algorithm);
            test(limiter.clock(clock.clone()), clock);
        }
    }
}

fn allow_n(limiter: &Limiter<AnyBackend>, cost: u64) -> Decision {
    block_on(limiter.allow_n("key", cost)).unwrap()
}

fn remaining(decision: &Decision) -> Vec<u64> {
    decision.limits().iter().map(Decision::remaining).collect()
}

fn allowed(decision: &Decision) -> Vec<bool> {
    decision.limits().iter().map(Decision::is_allowed).collect()
}

#[test]
fn hit_counts_under_every_quota_or_under_none() {
    everywhere("9/min; 5/hour; 7/day", |limiter, _| {
        let decision = allow_n(&limiter, 4);
        assert!(decision.is_allowed());
        assert_eq!(remaining(&decision), [5, 1, 3]);

        let decision = allow_n(&limiter, 2);
        assert!(!decision.is_allowed());
        assert_eq!((allowed(&decision), remaining(&decision)), (vec![true, false, true], vec![5, 1, 3]));
        assert_eq!(remaining(&block_on(limiter.peek("key")).unwrap()), [5, 1, 3]);

        assert_eq!(remaining(&allow_n(&limiter, 1)), [4, 0, 2]);
    });
}

#[test]
fn decision_summarizes_the_limit_that_is_closest_or_refuses_longest() {
    everywhere("9/min; 5/hour; 7/day", |limiter, _| {
        let decision = allow_n(&limiter, 4);
        let hour = &decision.limits()[1];
        assert_eq!((decision.limit(), decision.used(), decision.remaining()), (5, 4, 1));
        assert_eq!((decision.retry_after(), decision.reset_after()), (None, hour.reset_after()));

        let decision = allow_n(&limiter, 4);
        assert_eq!(allowed(&decision), [true, false, false]);
        let [_, hour, day] = decision.limits() else { panic!("three limits") };
        assert!(hour.retry_after() < day.retry_after());
        assert_eq!(decision.retry_after(), day.retry_after());
        assert_eq!((decision.limit(), decision.used(), decision.remaining()), (7, 4, 1));
        assert_eq!(decision.reset_after(), day.reset_after());

        let decision = allow_n(&limiter, 6);
        assert_eq!(allowed(&decision), [false, false, false]);
        assert_eq!((decision.limit(), decision.retry_after()), (5, None), "the hour never admits 6");
    });
}

#[test]
fn peek_reset_and_other_quotas_work_on_several() {
    everywhere("9/min; 5/hour", |limiter, _| {
        assert!(allow_n(&limiter, 5).is_allowed());
        let seen = block_on(limiter.peek("key")).unwrap();
        assert_eq!((allowed(&seen), remaining(&seen)), (vec![true, false], vec![4, 0]));

        // Another quota replaces all of them, and shares the counter of its window.
        let decision = block_on(limiter.with_quota(Quota::per_hour(7)).allow("key")).unwrap();
        assert_eq!(decision.limits().len(), 1);
        // A bucket keeps its used share instead of the number of hits.
        let is_bucket = limiter.get_algorithm() == Algorithm::TokenBucket;
        assert_eq!(decision.used(), if is_bucket { 7 } else { 6 });

        block_on(limiter.reset("key")).unwrap();
        assert_eq!(remaining(&block_on(limiter.peek("key")).unwrap()), [9, 5]);
        assert_eq!(remaining(&allow_n(&limiter, 5)), [4, 0]);
    });
}

#[test]
fn methods_without_a_future_decide_the_same() {
    for algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let limiter = || {
            let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas("9/min; 5/hour"));
            limiter.algorithm(algorithm).clock(clock.clone())
        };
        let (now, awaited) = (limiter(), limiter());
        for cost in [4, 2, 1, 1] {
            assert_eq!(
                now.allow_n_now("key", cost).unwrap(),
                block_on(awaited.allow_n("key", cost)).unwrap()
            );
            assert_eq!(now.peek_now("key").unwrap(), block_on(awaited.peek("key")).unwrap());
        }
        now.reset_now("key").unwrap();
        assert_eq!(remaining(&now.allow_now("key").unwrap()), [8, 4]);
    }
}

#[test]
fn single_quota_of_a_list_decides_as_that_quota() {
    let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas("5/min")).clock(ManualClock::new());
    let decision = limiter.allow_now("key").unwrap();
    assert_eq!(decision.limits(), std::slice::from_ref(&decision));
    assert_eq!(limiter.get_quotas(), Quota::per_minute(5));
    let several = limiter.clone().quotas(quotas("5/min; 9/hour"));
    assert_eq!(several.get_quotas(), quotas("5/min; 9/hour"));
    assert_eq!(several.quota(Quota::per_minute(3)).get_quotas(), Quota::per_minute(3));
}

#[test]
fn mistake_of_the_caller_is_an_error_and_counts_nothing() {
    everywhere("9/min; 5/hour", |limiter, _| {
        assert!(matches!(block_on(limiter.allow_n("key", 0)), Err(Error::ZeroCost)));
        assert!(matches!(block_on(limiter.allow("")), Err(Error::InvalidKey(_))));
        assert!(matches!(block_on(limiter.peek("")), Err(Error::InvalidKey(_))));
        assert_eq!(remaining(&block_on(limiter.peek("key")).unwrap()), [9, 5]);
    });
}

#[test]
fn setting_on_errors_decides_about_every_limit() {
    for (on_error, expected) in [(OnError::Allow, true), (OnError::Deny, false)] {
        let mock = MockBackend::new();
        let limiter = Limiter::new(mock.clone()).quotas(quotas("9/min; 5/hour")).on_error(on_error);
        for read in [false, true] {
            mock.fail_next(BackendError::throttled("slow down"));
            let decision =
                block_on(async { if read { limiter.peek("key").await } else { limiter.allow("key").await } });
            let decision = decision.unwrap();
            assert!(decision.is_degraded());
            assert_eq!((decision.is_allowed(), allowed(&decision)), (expected, vec![expected; 2]));
            assert_eq!(decision.limits().iter().map(Decision::limit).collect::<Vec<_>>(), [9, 5]);
        }
    }
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).quotas(quotas("9/min; 5/hour"));
    mock.fail_next(BackendError::throttled("slow down"));
    assert!(matches!(block_on(limiter.allow("key")), Err(Error::Backend(BackendError::Throttled(_)))));
}

#[test]
fn parallel_hits_exhaust_the_lowest_quota_exactly() {
    for algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas("300/hour; 200/day; 1000/min"));
        let limiter = limiter.algorithm(algorithm).clock(clock);
        let admitted = in_parallel(64, |_, _| limiter.allow_now("key").unwrap().is_allowed().into());
        assert_eq!(admitted, 200, "{algorithm}");
        assert_eq!(remaining(&limiter.peek_now("key").unwrap()), [100, 0, 800], "{algorithm}");
    }
}

/// Two or three quotas with small limits and windows of different length.
fn small_quotas() -> impl Strategy<Value = Quotas> {
    let limit = || 1..12_u64;
    prop::collection::vec((limit(), 1..5_000_u64), 2..5).prop_filter_map("windows differ", |quotas| {
        let quota = |(limit, millis)| Quota::new(limit, Duration::from_millis(millis)).unwrap();
        Quotas::new(quotas.into_iter().map(quota)).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn several_quotas_decide_as_separate_limiters_that_all_have_to_admit(
        quotas in small_quotas(), algorithm in any_algorithm(), calls in calls(),
    ) {
        let clock = ManualClock::new();
        let limiter = |quotas: Quotas| {
            Limiter::new(MemoryBackend::new()).quotas(quotas).algorithm(algorithm).clock(clock.clone())
        };
        let several = limiter(quotas.clone());
        let separate: Vec<_> = quotas.iter().map(|quota| limiter((*quota).into())).collect();
        for call in calls {
            call.wait(&clock, quotas[0]);
            let decision = several.allow_n_now("key", call.cost).unwrap();
            let fits = separate.iter().all(|one| one.peek_now("key").unwrap().remaining() >= call.cost);
            prop_assert_eq!(decision.is_allowed(), fits);
            for (limit, one) in decision.limits().iter().zip(&separate) {
                let seen = one.peek_now("key").unwrap();
                if fits || seen.remaining() < call.cost {
                    prop_assert_eq!(limit, &one.allow_n_now("key", call.cost).unwrap());
                } else {
                    prop_assert!(limit.is_allowed());
                    prop_assert_eq!((limit.used(), limit.remaining()), (seen.used(), seen.remaining()));
                }
            }
        }
    }

    #[test]
    fn retry_after_of_several_quotas_is_exact(
        quotas in small_quotas(), algorithm in any_algorithm(), calls in calls(),
    ) {
        let clock = ManualClock::new();
        let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas.clone());
        let limiter = limiter.algorithm(algorithm).clock(clock.clone());
        for Call { cost, pause } in calls {
            Call { cost, pause }.wait(&clock, quotas[0]);
            let decision = limiter.allow_n_now("key", cost).unwrap();
            let never = quotas.iter().any(|quota| quota.limit() < cost);
            match decision.retry_after() {
                None => prop_assert_eq!(decision.is_allowed(), !never),
                Some(wait) => {
                    prop_assert!(is_within_reach(&clock, wait) && !wait.is_zero());
                    clock.advance(wait - Duration::from_nanos(1));
                    prop_assert!(!limiter.allow_n_now("key", cost).unwrap().is_allowed());
                    clock.advance(Duration::from_nanos(1));
                    prop_assert!(limiter.allow_n_now("key", cost).unwrap().is_allowed());
                }
            }
        }
    }
}

/// Returns limiters of users and tenants that share the backend of `limiter`.
fn users_and_tenants(limiter: &Limiter<AnyBackend>) -> [Limiter<AnyBackend>; 2] {
    [
        limiter.clone().namespace("users").quota(Quota::per_minute(3)),
        limiter.clone().namespace("tenants").quotas(quotas("5/min; 9/hour")),
    ]
}

#[test]
fn hits_on_several_limiters_count_all_or_none() {
    everywhere("1/s", |limiter, _| {
        let [users, tenants] = users_and_tenants(&limiter);
        let decide = |user: &str, cost| {
            block_on(allow_all([users.hit(user), tenants.hit("tenant:1").cost(cost)])).unwrap()
        };
        let decision = decide("user:7", 2);
        assert!(decision.is_allowed());
        assert_eq!(remaining(&decision), [2, 3, 7]);

        let decision = decide("user:7", 4);
        assert_eq!((decision.is_allowed(), allowed(&decision)), (false, vec![true, false, true]));
        assert_eq!(decision.retry_after(), decision.limits()[1].retry_after());
        assert_eq!(remaining(&decide("user:8", 2)), [2, 1, 5]);

        // In the other order, the limits are too.
        let decision = block_on(allow_all(vec![tenants.hit("tenant:1"), users.hit("user:7")])).unwrap();
        assert_eq!(remaining(&decision), [0, 4, 1]);
    });
}

#[test]
fn hit_of_a_limiter_can_have_another_quota() {
    everywhere("1/s", |limiter, _| {
        let [users, tenants] = users_and_tenants(&limiter);
        let paid = users.with_quota(Quota::per_minute(100));
        let hits = [paid.hit("user:7").cost(50), tenants.with_quota(Quota::per_hour(60)).hit("tenant:1")];
        assert_eq!(remaining(&block_on(allow_all(&hits)).unwrap()), [50, 59]);
    });
}

#[test]
fn limiters_of_one_decision_share_a_backend() {
    let shared = Arc::new(MemoryBackend::new());
    let users = Limiter::new(Arc::clone(&shared)).namespace("users");
    let others = Limiter::new(shared).namespace("tenants");
    let error = allow_all_now([users.hit("user:7"), others.hit("tenant:1")]).unwrap_err();
    assert!(matches!(error, Error::DifferentBackends), "{error:?}");
    assert!(error.to_string().contains("create one limiter and clone it"));
    assert_eq!(users.peek_now("user:7").unwrap().used(), 0);
}

#[test]
fn two_hits_on_one_counter_are_an_error() {
    let mock = MockBackend::new();
    let users = Limiter::new(mock.clone()).namespace("users");
    let error = block_on(allow_all([users.hit("user:7"), users.hit("user:7").cost(2)])).unwrap_err();
    assert!(matches!(error, Error::SameCounter), "{error:?}");
    let sliding = users.clone().algorithm(Algorithm::SlidingWindow);
    let error = block_on(allow_all([users.hit("user:7"), sliding.hit("user:7")])).unwrap_err();
    assert!(matches!(error, Error::SameCounter), "{error:?}");
    assert!(mock.calls().is_empty(), "the backend was not called");
}

#[test]
fn mistake_in_one_hit_is_an_error_before_the_backend_is_called() {
    let mock = MockBackend::new();
    let users = Limiter::new(mock.clone());
    let no_hits: [limited::LimiterHit<'_, MockBackend>; 0] = [];
    assert!(matches!(block_on(allow_all(no_hits)), Err(Error::NoHits)));
    let error = block_on(allow_all([users.hit("user:7"), users.hit("user:8").cost(0)])).unwrap_err();
    assert!(matches!(error, Error::ZeroCost));
    assert!(matches!(block_on(allow_all([users.hit("user:7"), users.hit("")])), Err(Error::InvalidKey(_))));
    let keys: Vec<String> = (0..101).map(|key| key.to_string()).collect();
    let hits: Vec<_> = keys.iter().map(|key| users.hit(key.as_str())).collect();
    assert!(matches!(block_on(allow_all(hits)), Err(Error::Backend(BackendError::Invalid(_)))));
    assert!(mock.calls().is_empty(), "the backend was not called");
}

#[test]
fn strictest_setting_of_the_limiters_decides_on_errors() {
    use OnError::{Allow, Deny, Return};
    for (first, second, expected) in [
        (Allow, Allow, Some(true)),
        (Allow, Deny, Some(false)),
        (Deny, Allow, Some(false)),
        (Allow, Return, None),
        (Return, Deny, None),
    ] {
        let mock = MockBackend::new();
        let users = Limiter::new(mock.clone()).on_error(first);
        let tenants = users.clone().namespace("tenants").on_error(second);
        mock.fail_next(BackendError::throttled("slow down"));
        let decision = block_on(allow_all([users.hit("key"), tenants.hit("key")]));
        assert_eq!(decision.ok().map(|decision| decision.is_allowed()), expected, "{first}, {second}");
    }
}

#[test]
fn parallel_decisions_over_overlapping_keys_admit_exactly_the_limit() {
    for algorithm in Algorithm::ALL {
        let users = Limiter::new(MemoryBackend::new()).namespace("users").quota(Quota::per_hour(100));
        let users = users.algorithm(algorithm).clock(ManualClock::new());
        let tenants = users.clone().namespace("tenants").quota(Quota::per_hour(150));
        // Half of the threads hit in the other order.
        let admitted = in_parallel(32, |thread, _| {
            let user = if thread % 4 < 2 { "user:7" } else { "user:8" };
            let mut hits = [users.hit(user), tenants.hit("tenant:1")];
            if thread % 2 == 0 {
                hits.reverse();
            }
            allow_all_now(&hits).unwrap().is_allowed().into()
        });
        assert_eq!(admitted, 150, "{algorithm}");
        let used = |key| users.peek_now(key).unwrap().used();
        assert_eq!(used("user:7") + used("user:8"), 150, "{algorithm}");
        assert_eq!(tenants.peek_now("tenant:1").unwrap().remaining(), 0, "{algorithm}");
    }
}

#[test]
fn bucket_that_others_emptied_between_two_steps_gets_nothing_back() {
    let (memory, clock) = (MemoryBackend::new(), ManualClock::new());
    let others = Limiter::new(memory.clone()).quota(Quota::per_second(10)).algorithm(Algorithm::TokenBucket);
    // Before the hit on `second`, half a second passes, and others empty `first`.
    let in_turn = InTurn::with_hook(memory, move |counter, now| {
        if counter.key() == "second" {
            let clock = ManualClock::new();
            clock.set(now.saturating_add(Duration::from_millis(500)));
            let others = others.clone().clock(clock);
            assert!(others.allow_n_now("first", 10).unwrap().is_allowed(), "the bucket has filled up");
        }
        Ok(())
    });
    let buckets = Limiter::new(in_turn).algorithm(Algorithm::TokenBucket);
    let buckets = buckets.quota(Quota::per_second(10)).clock(clock.clone());
    let none = buckets.clone().quota(Quota::per_second(0));

    let decision = block_on(allow_all([buckets.hit("first").cost(5), none.hit("second")])).unwrap();
    assert!(!decision.is_allowed());
    clock.advance(Duration::from_millis(500));
    let after = block_on(buckets.peek("first")).unwrap();
    assert_eq!((after.is_allowed(), after.remaining()), (false, 0), "10 of 10 were used at this time");
}
