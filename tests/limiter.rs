//! What the limiter itself does: namespaces, quotas per call, errors, outages, clones.

mod common;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use common::{AnyBackend, allow_n, block_on, everywhere, peek};
use limited::{
    Algorithm, Backend, BackendError, Error, Immediate, InvalidKey, Key, Limiter, ManualClock, OnError, Quota,
};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;

#[test]
fn namespaces_never_meet() {
    everywhere(Quota::per_minute(1), |limiter, _| {
        let (login, signup) = (limiter.clone().namespace("login"), limiter.clone().namespace("signup"));
        assert!(allow_n(&login, "user", 1).is_allowed());
        assert!(allow_n(&signup, "user", 1).is_allowed());
        assert!(!allow_n(&login, "user", 1).is_allowed());
        let shifted = limiter.namespace("logi");
        assert!(allow_n(&shifted, "nuser", 1).is_allowed());
    });
}

#[test]
fn a_key_may_bring_its_own_quota() {
    everywhere(Quota::per_minute(2), |limiter, _| {
        let (free, paid) = (Quota::per_minute(1), Quota::per_minute(4));
        assert!(block_on(limiter.with_quota(free).allow("free")).unwrap().is_allowed());
        assert!(!block_on(limiter.with_quota(free).allow("free")).unwrap().is_allowed());
        assert!(block_on(limiter.with_quota(paid).allow_n("paid", 3)).unwrap().is_allowed());
        let decision = block_on(limiter.with_quota(paid).peek("paid")).unwrap();
        assert_eq!((decision.limit(), decision.remaining()), (4, 1));
        assert!(!block_on(limiter.with_quota(paid).allow_n("paid", 2)).unwrap().is_allowed());
    });
}

#[test]
fn reset_frees_the_whole_limit_of_that_key_alone() {
    everywhere(Quota::per_minute(3), |limiter, _| {
        for key in ["one", "other"] {
            assert!(allow_n(&limiter, key, 3).is_allowed());
        }
        block_on(limiter.reset("one")).unwrap();
        assert!(allow_n(&limiter, "one", 3).is_allowed());
        assert!(!allow_n(&limiter, "other", 1).is_allowed());
        block_on(limiter.reset("nobody")).unwrap();
    });
}

#[test]
fn a_key_is_anything_that_becomes_one() {
    everywhere(Quota::per_minute(100), |limiter, _| {
        block_on(async {
            let owned = String::from("tenant:42:user:7");
            let composed = Key::new().tenant("42").user("7");
            let _ = limiter.allow("tenant:42:user:7").await.unwrap();
            let _ = limiter.allow(&owned).await.unwrap();
            let _ = limiter.allow(&composed).await.unwrap();
            let _ = limiter.allow(composed.clone()).await.unwrap();
            assert_eq!(limiter.allow(owned).await.unwrap().used(), 5);
            let _ = limiter.allow(Key::new().ip([192, 0, 2, 1])).await.unwrap();
            let _ = limiter.allow(Key::new().secret("api_key", "hunter2")).await.unwrap();
        });
    });
}

#[test]
fn bad_input_is_an_error_before_the_backend_is_asked() {
    let mock = MockBackend::new();
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).on_error(OnError::Allow);
        let empty = block_on(limiter.allow("")).unwrap_err();
        assert!(matches!(empty, Error::InvalidKey(InvalidKey::Empty)));
        let long = block_on(limiter.allow("x".repeat(1025))).unwrap_err();
        assert!(matches!(long, Error::InvalidKey(InvalidKey::TooLong { length: 1025 })));
        assert!(long.to_string().contains("1025") && long.to_string().contains("1024"), "{long}");
        assert!(matches!(block_on(limiter.allow_n("key", 0)).unwrap_err(), Error::ZeroCost));
        assert!(matches!(limiter.allow_n_now("key", 0).unwrap_err(), Error::ZeroCost));
        assert!(matches!(block_on(limiter.peek("")).unwrap_err(), Error::InvalidKey(_)));
        assert!(matches!(block_on(limiter.reset("")).unwrap_err(), Error::InvalidKey(_)));
        assert!(!limiter.allow_now("").unwrap_err().is_retryable());
    }
    assert_eq!(mock.total(), 0);
}

#[test]
fn an_outage_is_an_error_unless_the_caller_chose_otherwise() {
    for algorithm in Algorithm::ALL {
        let mock = MockBackend::new();
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).quota(Quota::per_minute(5));
        let fail = || mock.fail_next(BackendError::throttled("slow down"));

        fail();
        let error = block_on(limiter.allow("key")).unwrap_err();
        assert!(matches!(error, Error::Backend(BackendError::Throttled(_))));
        assert!(error.is_retryable());

        for (on_error, allowed) in [(OnError::Allow, true), (OnError::Deny, false)] {
            let limiter = limiter.clone().on_error(on_error);
            fail();
            let decision = block_on(limiter.allow("key")).unwrap();
            assert_eq!((decision.is_allowed(), decision.is_degraded()), (allowed, true));
            assert_eq!((decision.limit(), decision.remaining(), decision.retry_after()), (5, 0, None));
            fail();
            assert!(limiter.allow_now("key").unwrap().is_degraded());
            fail();
            assert!(block_on(limiter.peek("key")).unwrap().is_degraded());
            fail();
            // A reset is no decision: nobody can pretend that it was done.
            assert!(block_on(limiter.reset("key")).is_err());
            assert!(!block_on(limiter.allow("key")).unwrap().is_degraded());
        }
    }
}

#[test]
fn at_once_or_waited_for_is_the_same() {
    for algorithm in Algorithm::ALL {
        // The mock has the defaults of the contract, the memory backend its own way.
        at_once_is_the_same(Limiter::new(MemoryBackend::new()).algorithm(algorithm));
        at_once_is_the_same(Limiter::new(MockBackend::new()).algorithm(algorithm));
    }
}

fn at_once_is_the_same<B: Immediate>(limiter: Limiter<B>) {
    let clock = ManualClock::new();
    let limiter = limiter.quota(Quota::per_minute(9)).clock(clock.clone());
    for cost in [1, 2, 3, 4, 1, 5] {
        let waited = block_on(limiter.allow_n("waited", cost)).unwrap();
        assert_eq!(limiter.allow_n_now("at once", cost).unwrap(), waited);
        assert_eq!(limiter.peek_now("at once").unwrap(), block_on(limiter.peek("waited")).unwrap());
        clock.advance(Duration::from_secs(25));
    }
    block_on(limiter.reset("waited")).unwrap();
    limiter.reset_now("at once").unwrap();
    assert_eq!(limiter.peek_now("at once").unwrap().used(), 0);
    assert_eq!(limiter.peek_now("at once").unwrap(), block_on(limiter.peek("waited")).unwrap());

    let other = Quota::per_hour(3);
    for _ in 0..2 {
        let waited = block_on(limiter.with_quota(other).allow_n("waited", 2)).unwrap();
        assert_eq!(limiter.with_quota(other).allow_n_now("at once", 2).unwrap(), waited);
        let waited = block_on(limiter.with_quota(other).allow("waited")).unwrap();
        assert_eq!(limiter.with_quota(other).allow_now("at once").unwrap(), waited);
        assert_eq!(
            limiter.with_quota(other).peek_now("at once").unwrap(),
            block_on(limiter.with_quota(other).peek("waited")).unwrap()
        );
    }
    block_on(limiter.with_quota(other).reset("waited")).unwrap();
    limiter.with_quota(other).reset_now("at once").unwrap();
    for key in ["waited", "at once"] {
        assert_eq!(limiter.with_quota(other).peek_now(key).unwrap().remaining(), 3);
    }
}

#[test]
fn a_clone_is_the_same_limiter() {
    everywhere(Quota::per_minute(2), |limiter, _| {
        let clone = limiter.clone();
        assert!(allow_n(&limiter, "key", 1).is_allowed());
        assert!(allow_n(&clone, "key", 1).is_allowed());
        assert_eq!(peek(&limiter, "key").remaining(), 0);
    });
}

#[test]
fn a_limiter_can_be_sent_shared_shown_and_its_futures_spawned() {
    fn is_fit<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}
    fn is_spawnable<F: Future + Send>(_: F) {}

    /// Not `Clone`, not `Debug`: neither is asked of a backend.
    struct Plain(MemoryBackend);
    impl std::ops::Deref for Plain {
        type Target = MemoryBackend;
        fn deref(&self) -> &MemoryBackend {
            &self.0
        }
    }
    let plain = Plain(MemoryBackend::new());

    let limiter = Limiter::new(MemoryBackend::new());
    is_fit(&limiter);
    is_spawnable(limiter.allow(String::from("key")));
    is_spawnable(limiter.allow_n(Key::new().tenant("1"), 2));
    let boxed: Limiter<Box<dyn Backend>> = Limiter::new(Box::new(plain.clone()));
    is_fit(&boxed);
    let shared: Limiter<AnyBackend> = Limiter::new(Arc::new(plain.clone()));
    is_fit(&shared);
    is_spawnable(async move { shared.allow("key").await });
    assert!(format!("{limiter:?}").contains("100/min"), "{limiter:?}");

    // A borrowed backend will do, and need not live for ever.
    let borrowed = Limiter::new(&*plain);
    assert!(block_on(borrowed.allow("key")).unwrap().is_allowed());
}

#[test]
fn one_decision_is_one_operation() {
    use limited_mock::Operation;
    for (algorithm, reads) in
        [(Algorithm::FixedWindow, 0), (Algorithm::TokenBucket, 0), (Algorithm::SlidingWindow, 3)]
    {
        let mock = MockBackend::new();
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).quota(Quota::per_minute(2));
        // The first hit, an ordinary one, a refusal: nothing is read to explain it. The mock has the two-step default
        // of a sliding window, which reads the window before.
        for _ in 0..3 {
            let _ = block_on(limiter.allow("key")).unwrap();
        }
        assert_eq!((mock.count(Operation::Increment), mock.count(Operation::Get)), (3, reads), "{algorithm}");
    }
}
