//! Limited attempts: exactly the maximum passes per window, and a success clears only its own
//! window.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod model;
mod parallel;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use common::{AnyBackend, SteppedClock, backends, block_on};
use limited::{
    Algorithm, Attempt, AttemptError, AttemptsConfig, Backend, Clock, Immediate, InvalidKey, Key,
    LimitedAttempt, Limiter, ManualClock, Quota, SystemClock, Timestamp,
};
use limited_memory::MemoryBackend;
use limited_mock::{MockBackend, Operation};

const HOUR: Duration = Duration::from_secs(3600);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// Runs `test` on every backend, with `max` attempts per hour.
fn everywhere(max: u64, test: impl Fn(LimitedAttempt<AnyBackend>, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        test(LimitedAttempt::new(backend, max, HOUR).clock(clock.clone()), clock);
    }
}

/// Makes an attempt that passes.
fn pass(attempts: &LimitedAttempt<AnyBackend>, key: &str) -> Attempt<AnyBackend> {
    block_on(attempts.attempt(key)).unwrap()
}

/// Makes an attempt that is refused, and returns its `retry_after`.
fn refuse(attempts: &LimitedAttempt<AnyBackend>, key: &str) -> Duration {
    retry_after(block_on(attempts.attempt(key)))
}

fn retry_after<B>(attempt: Result<Attempt<B>, AttemptError>) -> Duration {
    match attempt {
        Err(AttemptError::TooManyAttempts { retry_after }) => retry_after,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn maximum_passes_and_the_next_attempt_is_refused() {
    everywhere(3, |attempts, clock| {
        let start = clock.now();
        for (number, remaining) in [(1, 2), (2, 1), (3, 0)] {
            let attempt = pass(&attempts, "key");
            assert_eq!((attempt.number(), attempt.remaining()), (number, remaining));
            assert_eq!(attempt.expires_at(), start.saturating_add(HOUR));
            assert_eq!(attempt.key(), &Key::from("key"));
            clock.advance(Duration::from_secs(600));
        }
        assert_eq!(refuse(&attempts, "key"), Duration::from_secs(1800));
        assert_eq!(pass(&attempts, "other").number(), 1);
    });
}

#[test]
fn retry_after_is_exact() {
    everywhere(2, |attempts, clock| {
        clock.advance(Duration::from_nanos(123_456_789));
        pass(&attempts, "key");
        clock.advance(Duration::from_nanos(1_999_999_999));
        pass(&attempts, "key");
        let wait = refuse(&attempts, "key");
        assert_eq!(wait, HOUR - Duration::from_nanos(1_999_999_999));
        clock.advance(wait - NANOSECOND);
        assert_eq!(refuse(&attempts, "key"), NANOSECOND);
        clock.advance(NANOSECOND);
        let attempt = pass(&attempts, "key");
        assert_eq!((attempt.number(), attempt.remaining()), (1, 1));
        assert_eq!(attempt.expires_at(), clock.now().saturating_add(HOUR));
    });
}

#[test]
fn resolution_of_a_coarse_clock_is_added_to_retry_after() {
    everywhere(1, |attempts, clock| {
        let attempts = attempts.clock(SteppedClock { clock: clock.clone(), step: Duration::from_millis(1) });
        clock.advance(Duration::from_nanos(999_999));
        pass(&attempts, "key");
        let wait = refuse(&attempts, "key");
        assert_eq!(wait, HOUR + Duration::from_millis(1));
        assert_eq!(block_on(attempts.peek("key")).unwrap().retry_after(), Some(wait));
        clock.advance(wait);
        pass(&attempts, "key");
    });
}

#[test]
fn refused_attempts_are_not_counted_and_do_not_extend_the_window() {
    everywhere(2, |attempts, clock| {
        for _ in 0..2 {
            pass(&attempts, "key");
        }
        for minute in 0..60 {
            assert_eq!(refuse(&attempts, "key"), HOUR - Duration::from_secs(60 * minute));
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(pass(&attempts, "key").number(), 1);
        assert_eq!(pass(&attempts, "key").number(), 2);
        assert_eq!(refuse(&attempts, "key"), HOUR);
    });
}

#[test]
fn window_is_found_after_the_clock_jumps_back() {
    everywhere(2, |attempts, clock| {
        pass(&attempts, "key");
        clock.rewind(Duration::from_secs(4));
        assert_eq!(pass(&attempts, "key").number(), 2);
        let wait = refuse(&attempts, "key");
        assert_eq!(wait, HOUR + Duration::from_secs(4));
        clock.advance(wait + HOUR);
        // The window has expired, but is still known, and for a clock that jumps back it has not
        // ended.
        clock.rewind(HOUR + NANOSECOND);
        assert_eq!(refuse(&attempts, "key"), NANOSECOND);
    });
}

#[test]
fn every_attempt_returns_the_context_of_the_first_in_its_window() {
    everywhere(3, |attempts, clock| {
        let stored = "from 192.0.2.1, \"Ana\"\n{é}";
        let first = block_on(attempts.attempt_with("key", stored)).unwrap();
        let second = block_on(attempts.attempt_with("key", "from 192.0.2.2")).unwrap();
        let third = pass(&attempts, "key");
        for attempt in [&first, &second, &third] {
            assert_eq!(attempt.context(), Some(stored));
        }
        // A refused attempt stores no context.
        assert!(block_on(attempts.attempt_with("key", "late")).is_err());
        assert_eq!(block_on(attempts.peek("key")).unwrap().context(), Some(stored));

        clock.advance(HOUR);
        assert_eq!(pass(&attempts, "key").context(), None);
        let second = block_on(attempts.attempt_with("key", "second")).unwrap();
        assert_eq!(second.context(), None);
        block_on(second.clear()).unwrap();
        // No context differs from an empty one.
        assert_eq!(block_on(attempts.attempt_with("key", "")).unwrap().context(), Some(""));
    });
}

#[test]
fn clearing_frees_all_attempts_of_the_window() {
    everywhere(3, |attempts, clock| {
        pass(&attempts, "key");
        pass(&attempts, "key");
        pass(&attempts, "other");
        let last = pass(&attempts, "key");
        refuse(&attempts, "key");
        block_on(last.clear()).unwrap();
        // Clearing twice is no error.
        block_on(last.clear()).unwrap();
        clock.advance(Duration::from_secs(60));
        let attempt = pass(&attempts, "key");
        assert_eq!(attempt.number(), 1);
        assert_eq!(attempt.expires_at(), clock.now().saturating_add(HOUR));
        assert_eq!(pass(&attempts, "other").number(), 2);
    });
}

#[test]
fn any_attempt_of_a_window_can_clear_it() {
    everywhere(3, |attempts, _| {
        let first = pass(&attempts, "key");
        pass(&attempts, "key");
        block_on(first.clear()).unwrap();
        assert_eq!(pass(&attempts, "key").number(), 1);
    });
}

#[test]
fn a_stale_attempt_never_clears_a_newer_window() {
    everywhere(2, |attempts, clock| {
        let expired = pass(&attempts, "key");
        clock.advance(HOUR);
        let cleared = pass(&attempts, "key");
        pass(&attempts, "key");
        block_on(expired.clear()).unwrap();
        refuse(&attempts, "key");

        block_on(cleared.clear()).unwrap();
        let forgotten = pass(&attempts, "key");
        pass(&attempts, "key");
        block_on(cleared.clear()).unwrap();
        refuse(&attempts, "key");

        block_on(attempts.reset("key")).unwrap();
        pass(&attempts, "key");
        pass(&attempts, "key");
        for stale in [&expired, &cleared, &forgotten] {
            block_on(stale.clear()).unwrap();
            assert_eq!(block_on(attempts.peek("key")).unwrap().used(), 2);
        }
    });
}

#[test]
fn attempt_can_be_cleared_in_another_thread() {
    fn is_fit<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}

    everywhere(1, |attempts, _| {
        let attempt = {
            let attempts = attempts.clone();
            let key = String::from("key");
            block_on(attempts.attempt(&key)).unwrap()
        };
        is_fit(&attempt);
        std::thread::spawn(move || block_on(attempt.clear()).unwrap()).join().unwrap();
        pass(&attempts, "key");
    });
}

#[test]
fn peek_counts_nothing_and_starts_no_window() {
    everywhere(2, |attempts, clock| {
        let look = || block_on(attempts.peek("key")).unwrap();
        for _ in 0..3 {
            let window = look();
            assert_eq!((window.used(), window.remaining()), (0, 2));
            assert_eq!((window.retry_after(), window.expires_at(), window.context()), (None, None, None));
            clock.advance(HOUR / 2);
        }
        let attempt = block_on(attempts.attempt_with("key", "first")).unwrap();
        let window = look();
        assert_eq!((window.used(), window.remaining(), window.retry_after()), (1, 1, None));
        assert_eq!((window.expires_at(), window.context()), (Some(attempt.expires_at()), Some("first")));
        pass(&attempts, "key");
        clock.advance(Duration::from_secs(600));
        let window = look();
        assert_eq!((window.used(), window.remaining()), (2, 0));
        assert_eq!(window.retry_after(), Some(refuse(&attempts, "key")));
        clock.advance(Duration::from_secs(3000));
        assert_eq!(look().remaining(), 2);
    });
}

#[test]
fn reset_deletes_the_window_of_that_key_only() {
    everywhere(1, |attempts, _| {
        pass(&attempts, "key");
        pass(&attempts, "other");
        block_on(attempts.reset("key")).unwrap();
        assert_eq!(pass(&attempts, "key").number(), 1);
        refuse(&attempts, "other");
        block_on(attempts.reset("unknown")).unwrap();
    });
}

#[test]
fn key_converts_from_scope_and_name() {
    everywhere(9, |attempts, _| {
        block_on(async {
            let (scope, name) = (String::from("password-reset"), String::from("user-123"));
            let composed = Key::new().part("password-reset", "user-123");
            let numbers = [
                attempts.attempt(("password-reset", "user-123")).await.unwrap().number(),
                attempts.attempt((&scope, &name)).await.unwrap().number(),
                attempts.attempt((scope, name)).await.unwrap().number(),
                attempts.attempt("password-reset:user-123").await.unwrap().number(),
                attempts.attempt(&composed).await.unwrap().number(),
                attempts.attempt(composed).await.unwrap().number(),
            ];
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
            // A name cannot imitate another scope.
            assert_eq!(attempts.attempt(("login", "x:y")).await.unwrap().number(), 1);
            assert_eq!(attempts.attempt(("login:x", "y")).await.unwrap().number(), 1);
        });
    });
}

#[test]
fn equal_namespace_key_and_validity_share_a_window() {
    for (_, backend) in backends() {
        let clock = ManualClock::new();
        let attempts = |max, validity, namespace: &str| {
            let attempts = LimitedAttempt::new(Arc::clone(&backend), max, validity);
            attempts.clock(clock.clone()).namespace(namespace)
        };
        let mine = attempts(2, HOUR, "");
        pass(&mine, "key");
        // They share the window, each with its own maximum.
        assert_eq!(pass(&attempts(2, HOUR, ""), "key").number(), 2);
        let generous = pass(&attempts(5, HOUR, ""), "key");
        assert_eq!((generous.number(), generous.remaining()), (3, 2));
        let window = block_on(mine.peek("key")).unwrap();
        assert_eq!((window.used(), window.remaining()), (3, 0));
        refuse(&mine, "key");
        assert_eq!(pass(&attempts(2, HOUR + NANOSECOND, ""), "key").number(), 1);
        assert_eq!(pass(&attempts(2, HOUR, "signup"), "key").number(), 1);
        assert_eq!(pass(&attempts(2, HOUR, "k"), "ey").number(), 1);
        for algorithm in Algorithm::ALL {
            let limiter = Limiter::new(Arc::clone(&backend)).algorithm(algorithm).clock(clock.clone());
            let limiter = limiter.quota(Quota::new(2, HOUR).unwrap());
            block_on(limiter.reset("key")).unwrap();
            let decision = block_on(limiter.allow("key")).unwrap();
            assert_eq!((decision.is_allowed(), decision.used()), (true, 1), "{algorithm}");
        }
        refuse(&mine, "key");
    }
}

#[test]
fn maximum_of_zero_refuses_every_attempt() {
    everywhere(0, |attempts, clock| {
        for _ in 0..3 {
            assert_eq!(refuse(&attempts, "key"), HOUR);
            let window = block_on(attempts.peek("key")).unwrap();
            assert_eq!((window.remaining(), window.retry_after()), (0, Some(HOUR)));
            clock.advance(HOUR);
        }
        // Also if an attempt with another maximum has started a window.
        let other = LimitedAttempt::new(Arc::clone(attempts.backend()), 1, HOUR).clock(clock.clone());
        pass(&other, "key");
        clock.advance(HOUR / 2);
        assert_eq!(refuse(&attempts, "key"), HOUR);
    });
}

#[test]
fn extreme_maximum_and_times_neither_panic_nor_admit_too_much() {
    let century = Duration::from_secs(36_600 * 86_400);
    for (_, backend) in backends() {
        for at in [Timestamp::EPOCH, Timestamp::MAX, Timestamp::MAX.saturating_sub(HOUR)] {
            for validity in [Duration::from_millis(1), HOUR, century] {
                let clock = ManualClock::at(at);
                let namespace = format!("{at:?} {validity:?}");
                let attempts = |max| {
                    let attempts = LimitedAttempt::new(Arc::clone(&backend), max, validity);
                    attempts.clock(clock.clone()).namespace(namespace.clone())
                };
                assert_eq!(pass(&attempts(u64::MAX), "key").remaining(), u64::MAX - 1);
                assert_eq!(refuse(&attempts(1), "key"), validity);
                assert_eq!(pass(&attempts(2), "key").number(), 2);
            }
        }
    }
}

#[test]
fn invalid_validity_is_an_error_of_every_call_before_the_backend_is_called() {
    for validity in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
        let mock = MockBackend::new();
        let attempts = LimitedAttempt::new(mock.clone(), 3, validity);
        let errors = [
            block_on(attempts.attempt("key")).map(drop).unwrap_err(),
            block_on(attempts.attempt_with("key", "context")).map(drop).unwrap_err(),
            attempts.attempt_now("key").map(drop).unwrap_err(),
            block_on(attempts.peek("key")).map(drop).unwrap_err(),
            block_on(attempts.reset("key")).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, AttemptError::InvalidWindowLength(bad) if bad.0 == validity),
                "{error:?}"
            );
            assert!(!error.is_retryable() && error.retry_after().is_none());
            assert!(error.to_string().contains("1 ms to 100 years"), "{error}");
        }
        assert_eq!(mock.total(), 0);
        assert!(format!("{attempts:?}").contains(&format!("{validity:?}")));
    }
}

#[test]
fn invalid_key_is_an_error_before_the_backend_is_called() {
    let mock = MockBackend::new();
    let attempts = LimitedAttempt::new(mock.clone(), 3, HOUR);
    let empty = block_on(attempts.attempt("")).unwrap_err();
    assert!(matches!(empty, AttemptError::InvalidKey(InvalidKey::Empty)));
    let long = attempts.attempt_now("x".repeat(1025)).unwrap_err();
    assert!(matches!(long, AttemptError::InvalidKey(InvalidKey::TooLong { length: 1025 })));
    assert!(matches!(block_on(attempts.peek("")), Err(AttemptError::InvalidKey(_))));
    assert!(matches!(attempts.reset_now(""), Err(AttemptError::InvalidKey(_))));
    assert_eq!(mock.total(), 0);
}

#[test]
fn each_call_is_one_operation_and_one_reading_of_the_clock() {
    /// Advances by a nanosecond with each reading.
    struct Ticking(ManualClock);
    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            self.0.advance(NANOSECOND);
            self.0.now()
        }
        fn resolution(&self) -> Duration {
            NANOSECOND
        }
        fn sleep(&self, duration: Duration) -> limited::backend::Sleep {
            self.0.sleep(duration)
        }
    }

    let mock = MockBackend::new();
    let clock = ManualClock::new();
    let start = clock.now();
    let attempts = LimitedAttempt::new(mock.clone(), 2, HOUR).clock(Ticking(clock.clone()));
    block_on(async {
        attempts.attempt("key").await.unwrap();
        let attempt = attempts.attempt_with("key", "context").await.unwrap();
        attempts.attempt("key").await.unwrap_err();
        attempts.peek("key").await.unwrap();
        attempt.clear().await.unwrap();
        attempts.reset("key").await.unwrap();
    });
    let calls = mock.calls();
    use Operation::{Get, Increment, Reset};
    let operations: Vec<_> = calls.iter().map(limited_mock::Call::operation).collect();
    assert_eq!(operations, [Increment, Increment, Increment, Get, Reset, Reset]);
    for (number, call) in (1..).zip(&calls) {
        assert_eq!(call.now().saturating_since(start), Duration::from_nanos(number));
    }
    assert_eq!(clock.now().saturating_since(start), Duration::from_nanos(6));
    let first_id = calls[0].hit().unwrap().window_id;
    assert_ne!(calls[1].hit().unwrap().window_id, first_id, "each attempt has its own id");
    assert_eq!(calls[4].window_id(), Some(first_id), "the window of the first attempt is cleared");
    assert_eq!(calls[5].window_id(), None);
}

#[test]
fn methods_without_a_future_return_the_same() {
    compare_with_futures(MemoryBackend::new());
    compare_with_futures(MockBackend::new());
}

fn compare_with_futures<B: Immediate>(backend: B) {
    let clock = ManualClock::new();
    let attempts = LimitedAttempt::new(backend, 2, HOUR).clock(clock.clone());
    let values = |attempt: &Attempt<B>| {
        (attempt.number(), attempt.remaining(), attempt.expires_at(), attempt.context().map(str::to_owned))
    };
    for round in 0..2 {
        let awaited = block_on(attempts.attempt_with("awaited", "context")).unwrap();
        let immediate = attempts.attempt_with_now("immediate", "context").unwrap();
        assert_eq!(values(&immediate), values(&awaited));
        clock.advance(Duration::from_secs(1));
        let second = attempts.attempt_now("immediate").unwrap();
        assert_eq!(values(&second), values(&block_on(attempts.attempt("awaited")).unwrap()));
        let refusals = [attempts.attempt_now("immediate"), block_on(attempts.attempt("awaited"))];
        assert_eq!(refusals.map(retry_after), [HOUR - Duration::from_secs(1); 2]);
        let peek = |key| {
            let window = block_on(attempts.peek(key)).unwrap();
            assert_eq!(attempts.peek_now(key).unwrap(), window);
            (window.used(), window.retry_after(), window.expires_at())
        };
        assert_eq!(peek("immediate"), peek("awaited"));
        if round == 0 {
            immediate.clear_now().unwrap();
            block_on(awaited.clear()).unwrap();
        } else {
            attempts.reset_now("immediate").unwrap();
            block_on(attempts.reset("awaited")).unwrap();
        }
        assert_eq!((peek("immediate").0, peek("awaited").0), (0, 0));
    }
}

#[test]
fn debug_prints_neither_the_key_nor_the_context() {
    let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, HOUR);
    let attempt = attempts.attempt_with_now("alice@example.org", "from 192.0.2.1").unwrap();
    let window = attempts.peek_now("alice@example.org").unwrap();
    for printed in [format!("{attempt:?}"), format!("{window:?}")] {
        assert!(!printed.contains("alice") && !printed.contains("192.0.2.1"), "{printed}");
        assert!(printed.contains("<14 bytes, hash "), "{printed}");
    }
    assert!(format!("{attempt:?}").contains("Key(<17 bytes, hash "), "{attempt:?}");
}

#[test]
fn types_are_send_sync_and_debug_and_futures_are_send() {
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

    let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, HOUR).namespace("reset").clock(SystemClock);
    is_fit(&attempts);
    is_spawnable(attempts.attempt(String::from("key")));
    is_spawnable(attempts.attempt_with(Key::new().tenant("1"), "context"));
    is_spawnable(attempts.peek("key"));
    let attempt = attempts.attempt_now("key").unwrap();
    is_spawnable(attempt.clear());
    assert_eq!(attempts.clone().attempt_now("key").unwrap().number(), 2);
    let boxed: LimitedAttempt<Box<dyn Backend>> = LimitedAttempt::new(Box::new(plain.clone()), 3, HOUR);
    is_fit(&boxed);
    let shown = format!("{attempts:?} {attempt:?}");
    assert!(shown.contains("\"reset\", max: 3, validity: 3600s"), "{shown}");
    assert!(shown.contains("number: 1"), "{shown}");

    // A borrowed backend is a backend. It need not be `'static`.
    let borrowed = LimitedAttempt::new(&*plain, 3, HOUR);
    assert_eq!(block_on(borrowed.attempt("key")).unwrap().number(), 1);
}

#[test]
fn addresses_of_one_network_share_their_attempts() {
    everywhere(3, |attempts, _| {
        let attempt = |address: String| {
            let address: std::net::IpAddr = address.parse().unwrap();
            block_on(attempts.attempt(Key::new().part("login", "alice").ip_network(address, 64)))
        };
        let passed = |network: &str| (1..=20).filter(|n| attempt(format!("{network}{n:x}")).is_ok()).count();
        assert_eq!(passed("2001:db8:1:2::"), 3);
        assert_eq!(passed("2001:db8:1:3::"), 3);
        // IPv4 clients behind a translator have one network, and an attempt each.
        assert_eq!((1..=20).filter(|n| attempt(format!("64:ff9b::192.0.2.{n}")).is_ok()).count(), 20);
        assert!(attempt("192.0.2.1".to_owned()).is_ok());
    });
}

#[test]
fn attempts_of_a_quota_are_as_many_within_its_window() {
    let clock = ManualClock::new();
    let mut config = AttemptsConfig::new("2/90min".parse().unwrap());
    config.namespace = "login".into();
    let attempts = LimitedAttempt::from_config(MemoryBackend::new(), &config).unwrap().clock(clock.clone());
    assert_eq!((attempts.get_max(), attempts.get_validity()), (2, Duration::from_secs(5_400)));
    assert_eq!(attempts.get_namespace(), "login");
    attempts.attempt_now("key").unwrap();
    clock.advance(Duration::from_secs(60));
    attempts.attempt_now("key").unwrap();
    assert_eq!(retry_after(attempts.attempt_now("key")), Duration::from_secs(5_340));
    config.quota = config.quota.burst(2);
    assert!(LimitedAttempt::from_config(MemoryBackend::new(), &config).is_err());
}
