//! A clock that was wrong locks nothing once it is corrected.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited::{Algorithm, AttemptError, LimitedAttempt, Limiter, ManualClock, Quota};
use limited_core::{Backend, Clock, Counter, Hit, Key, Window, WindowId, WindowLength};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Wire, client, raw_item};

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// Returns a limiter of a process that has just started.
fn started(wire: &Wire, algorithm: Algorithm, clock: &ManualClock) -> Limiter<DynamoDbBackend> {
    Limiter::new(wire.builder().build()).algorithm(algorithm).clock(clock.clone())
}

#[tokio::test]
async fn hit_by_a_clock_a_year_ahead_locks_nothing_once_it_is_corrected() {
    for algorithm in Algorithm::ALL {
        let (wire, clock) = (Wire::new(), ManualClock::new());
        wire.backend().await;
        let limiter = started(&wire, algorithm, &clock).quota(Quota::per_second(10));
        clock.advance(YEAR);
        assert!(limiter.allow("key").await.unwrap().is_allowed(), "{algorithm}");
        clock.rewind(YEAR);
        assert_eq!(limiter.peek("key").await.unwrap().used(), 0, "{algorithm}: a peek");
        for used in 1..=10 {
            let decision = limiter.allow("key").await.unwrap();
            assert!(decision.is_allowed(), "{algorithm}: {decision:?}");
            assert_eq!(decision.used(), used, "{algorithm}");
        }
        assert!(!limiter.allow("key").await.unwrap().is_allowed(), "{algorithm}");
    }
}

#[tokio::test]
async fn process_started_after_the_clock_was_corrected_is_not_locked_out() {
    for algorithm in Algorithm::ALL {
        let (wire, clock) = (Wire::new(), ManualClock::new());
        wire.backend().await;
        clock.advance(YEAR);
        let quota = Quota::per_second(10);
        assert!(
            started(&wire, algorithm, &clock).quota(quota).allow_n("key", 10).await.unwrap().is_allowed()
        );
        clock.rewind(YEAR);
        let decision = started(&wire, algorithm, &clock).quota(quota).allow_n("key", 10).await.unwrap();
        assert!(decision.is_allowed(), "{algorithm}: {decision:?}");
    }
}

#[tokio::test]
async fn attempts_by_a_clock_a_year_ahead_lock_nothing_once_it_is_corrected() {
    let (wire, clock) = (Wire::new(), ManualClock::new());
    wire.backend().await;
    let attempts = LimitedAttempt::new(wire.builder().build(), 3, HOUR).clock(clock.clone());
    clock.advance(YEAR);
    for _ in 0..3 {
        attempts.attempt("key").await.unwrap();
    }
    clock.rewind(YEAR);
    let restarted = LimitedAttempt::new(wire.builder().build(), 3, HOUR).clock(clock.clone());
    for _ in 0..3 {
        restarted.attempt("key").await.unwrap();
    }
    match restarted.attempt("key").await {
        Err(AttemptError::TooManyAttempts { retry_after }) => assert_eq!(retry_after, HOUR),
        other => panic!("the fourth attempt: {other:?}"),
    }
}

#[tokio::test]
async fn window_from_the_first_hit_ahead_by_more_than_the_skew_is_absent_and_replaced() {
    let (wire, clock) = (Wire::new(), ManualClock::new());
    let backend = wire.backend().await;
    let key = Key::from("key");
    let counter = Counter::new("", &key, Window::FromFirstHit { length: WindowLength::HOUR }).unwrap();
    let hit = |id| Hit::new(1, 3).with_window_meta(WindowId(id), None);
    let skew = Duration::from_secs(5);
    let ahead = clock.now().saturating_add(skew);
    assert!(backend.increment(&counter, &hit(1), ahead).await.unwrap().counted);

    let state = backend.increment(&counter, &hit(2), clock.now()).await.unwrap();
    assert_eq!((state.value, state.meta.unwrap().id), (2, WindowId(1)), "within the skew it still counts");
    wire.clear();
    clock.rewind(Duration::from_nanos(1));
    let state = backend.get(&counter, clock.now()).await.unwrap();
    assert_eq!((state.value, state.start, state.meta), (0, None, None), "a nanosecond beyond it does not");
    wire.clear();
    let state = backend.increment(&counter, &hit(3), clock.now()).await.unwrap();
    assert_eq!((state.counted, state.value), (true, 1));
    assert_eq!((state.meta.unwrap().id, state.start), (WindowId(3), Some(clock.now())));
    assert_eq!(wire.take_operations().len(), 2);
    backend.increment(&counter, &hit(4), clock.now()).await.unwrap();
    assert_eq!(wire.take_operations().len(), 1, "and then as before");
}

#[tokio::test]
async fn item_by_a_wrong_clock_expires_as_usual_once_it_is_replaced() {
    let (wire, clock) = (Wire::new(), ManualClock::new());
    wire.backend().await;
    let limiter = started(&wire, Algorithm::TokenBucket, &clock).quota(Quota::per_minute(10));
    let attempts = LimitedAttempt::new(wire.builder().build(), 3, HOUR).clock(clock.clone());
    clock.advance(YEAR);
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    attempts.attempt("key").await.unwrap();
    clock.rewind(YEAR);
    assert!(limiter.allow("key").await.unwrap().is_allowed());
    attempts.attempt("key").await.unwrap();
    for (window_time, seconds) in [("BUCKET/PT1M", 60 + 60 + 5), ("OPENED/PT1H", 3_600 + 3_600 + 5)] {
        let item = raw_item(&client(&wire), "limits", "key", window_time).await;
        let expires_at: u64 = item["ExpiresAt"].as_n().unwrap().parse().unwrap();
        assert_eq!(expires_at, clock.now().as_secs() + seconds, "{window_time}");
    }
}

/// The count of a window to come is no closed one, however far the clock was ahead.
#[tokio::test]
async fn count_cached_by_a_clock_that_was_ahead_is_forgotten_once_it_is_corrected() {
    let (wire, clock) = (Wire::new(), ManualClock::new());
    wire.backend().await;
    let [one, other] =
        [(), ()].map(|()| started(&wire, Algorithm::SlidingWindow, &clock).quota(Quota::per_minute(10)));
    let six_seconds = Duration::from_secs(6);
    clock.advance(HOUR + six_seconds);
    assert_eq!(one.peek("key").await.unwrap().used(), 0);
    clock.rewind(HOUR);
    assert_eq!(one.peek("other").await.unwrap().used(), 0);
    clock.advance(HOUR - Duration::from_secs(7));
    assert!(other.allow_n("key", 10).await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(7));
    assert!(!one.allow_n("key", 2).await.unwrap().is_allowed());
}

/// Slots are removed by age: those of wrong clocks do not displace those of writers at work.
#[tokio::test]
async fn slots_of_wrong_clocks_are_removed_first() {
    let (wire, clock) = (Wire::new(), ManualClock::new());
    wire.backend().await;
    let hit = async || {
        let limiter = started(&wire, Algorithm::FixedWindow, &clock).quota(Quota::per_hour(100));
        assert!(limiter.allow("key").await.unwrap().is_allowed());
        clock.advance(Duration::from_millis(1));
    };
    let start = clock.now();
    let window_time = "2026-01-01T00:00:00Z/PT1H";
    for _ in 0..8 {
        hit().await;
    }
    // A clock a year ahead writes such numbers.
    let wrong = (start.saturating_add(YEAR).as_nanos() / 1_000).to_string();
    let item = raw_item(&client(&wire), "limits", "key", window_time).await;
    let old: Vec<String> = item.keys().filter(|name| name.starts_with("Writer_")).cloned().collect();
    for name in &old {
        let update =
            client(&wire).update_item().table_name("limits").update_expression("SET #slot = :number");
        let update = update.key("Identifier", item["Identifier"].clone());
        let update = update.key("WindowTime", item["WindowTime"].clone());
        let update = update.expression_attribute_names("#slot", name);
        update.expression_attribute_values(":number", AttributeValue::N(wrong.clone())).send().await.unwrap();
    }
    for _ in 0..9 {
        hit().await;
    }
    let item = raw_item(&client(&wire), "limits", "key", window_time).await;
    let slots: Vec<_> = item.keys().filter(|name| name.starts_with("Writer_")).collect();
    assert_eq!(slots.len(), 8);
    assert!(old.iter().all(|name| !slots.contains(&name)), "{slots:?}");
}
