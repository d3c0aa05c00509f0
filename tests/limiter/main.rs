//! The limiter, on every backend that needs no server. This file tests namespaces, quotas per call,
//! errors and clones; each module tests one subject.

mod backends_agree;
mod block;
mod clocks;
mod clocks_apart;
#[path = "../common/mod.rs"]
mod common;
mod concurrency;
#[cfg(feature = "serde")]
mod configuration;
mod fixed_window;
mod immediate;
mod peek;
mod penalty;
mod quota_changes;
mod refund;
mod regressions;
mod reservation;
mod retry_after;
mod several;
mod shadow;
mod sliding_window;
mod small_limits;
mod token_bucket;
mod waiting;

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::{AnyBackend, allow_n, block_on, everywhere, peek};
use limited::{Algorithm, Backend, BackendError, Error, InvalidKey, Key, Limiter, OnError, Quota};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;

#[test]
fn namespaces_are_independent() {
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
fn with_quota_decides_by_the_other_quota() {
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
fn reset_frees_the_limit_of_that_key_only() {
    everywhere(Quota::per_minute(3), |limiter, _| {
        for key in ["one", "other"] {
            assert!(allow_n(&limiter, key, 3).is_allowed());
        }
        block_on(limiter.reset("one")).unwrap();
        assert!(allow_n(&limiter, "one", 3).is_allowed());
        assert!(!allow_n(&limiter, "other", 1).is_allowed());
        block_on(limiter.reset("unknown")).unwrap();
    });
}

#[test]
fn key_converts_from_strings_and_parts() {
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
fn numbers_and_addresses_are_keys() {
    everywhere(Quota::per_minute(100), |limiter, _| {
        block_on(async {
            let address = IpAddr::from([192, 0, 2, 1]);
            let _ = limiter.allow(address).await.unwrap();
            assert_eq!(limiter.allow(Ipv4Addr::new(192, 0, 2, 1)).await.unwrap().used(), 2);
            assert_eq!(limiter.allow(Key::new().ip(address)).await.unwrap().used(), 3);
            let _ = limiter.allow(42).await.unwrap();
            let _ = limiter.allow(42_u64).await.unwrap();
            let _ = limiter.allow(("user", 42)).await.unwrap();
            assert_eq!(limiter.allow("42").await.unwrap().used(), 3);
        });
    });
}

#[test]
fn invalid_arguments_are_errors_before_the_backend_is_called() {
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
fn failed_backend_is_an_error_unless_on_error_decides() {
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
            // A reset is no decision, so `OnError` does not apply.
            assert!(block_on(limiter.reset("key")).is_err());
            assert!(!block_on(limiter.allow("key")).unwrap().is_degraded());
        }
    }
}

#[test]
fn clone_shares_the_counters() {
    everywhere(Quota::per_minute(2), |limiter, _| {
        let clone = limiter.clone();
        assert!(allow_n(&limiter, "key", 1).is_allowed());
        assert!(allow_n(&clone, "key", 1).is_allowed());
        assert_eq!(peek(&limiter, "key").remaining(), 0);
    });
}

#[test]
fn limiter_is_send_sync_and_debug_and_its_futures_are_send() {
    fn is_fit<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}
    fn is_spawnable<F: Future + Send>(_: F) {}

    /// Neither `Clone` nor `Debug`: a backend needs none of them.
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

    // A borrowed backend is a backend. It need not be `'static`.
    let borrowed = Limiter::new(&*plain);
    assert!(block_on(borrowed.allow("key")).unwrap().is_allowed());
}

#[test]
fn decision_is_one_call_of_the_backend() {
    use limited_mock::Operation;
    for (algorithm, reads) in
        [(Algorithm::FixedWindow, 0), (Algorithm::TokenBucket, 0), (Algorithm::SlidingWindow, 3)]
    {
        let mock = MockBackend::new();
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).quota(Quota::per_minute(2));
        // The first hit, another hit, and a refusal. No state is read to explain the refusal. The
        // mock counts a sliding window in two steps, and reads the previous window first.
        for _ in 0..3 {
            let _ = block_on(limiter.allow("key")).unwrap();
        }
        assert_eq!((mock.count(Operation::Increment), mock.count(Operation::Get)), (3, reads), "{algorithm}");
    }
}
