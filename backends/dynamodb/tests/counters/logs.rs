//! Logs and spans: their items and requests.

use std::time::Duration;

use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};

use crate::support::{Wire, client, raw_item};

const UPDATE: &str = "UpdateItem";
const NOW: Timestamp = Timestamp::from_secs(1_795_262_430);
const LOG: Window = Window::Log { length: WindowLength::MINUTE };

#[tokio::test]
async fn hit_on_a_log_is_one_request_if_no_other_process_wrote_in_between() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let key = Key::from("key");
    let counter = Counter::new("", &key, LOG).unwrap();
    for second in 0..3 {
        let now = NOW.saturating_add(Duration::from_secs(second));
        assert!(backend.increment(&counter, &Hit::new(1, 4), now).await.unwrap().counted);
        assert_eq!(wire.take_operations(), [UPDATE]);
    }
    let other = wire.builder().build();
    assert!(other.increment(&counter, &Hit::new(1, 4), NOW).await.unwrap().counted);
    assert_eq!(
        wire.take_operations(),
        [UPDATE, UPDATE],
        "it expected no log, and the condition returned one"
    );
    let refused = backend.increment(&counter, &Hit::new(1, 4), NOW).await.unwrap();
    assert!(!refused.counted && refused.log.is_some());
    assert_eq!(wire.take_operations(), [UPDATE], "the failed condition confirms the refusal");
    assert!(!backend.increment(&counter, &Hit::new(1, 4), NOW).await.unwrap().counted);
    assert_eq!(wire.take_operations(), ["GetItem"], "a read confirms the refusal by what was seen last");
    let later = NOW.saturating_add(Duration::from_secs(60));
    assert!(backend.increment(&counter, &Hit::new(2, 4), later).await.unwrap().counted, "two have ended");
    assert_eq!(wire.take_operations(), [UPDATE]);
}

#[tokio::test]
async fn log_and_span_have_the_documented_items() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let key = Key::from("key");
    let (start, end) = (Timestamp::from_secs(1_795_262_400), Timestamp::from_secs(1_795_348_800));
    for (window, window_time, count, expires) in [
        (LOG, "LOG/PT1M", "3", 1_795_262_430 + 120 + 5),
        (Window::Span { start, end }, "2026-11-21T12:00:00Z/2026-11-22T12:00:00Z", "3", 1_795_348_800 + 10),
    ] {
        let counter = Counter::new("", &key, window).unwrap();
        assert!(backend.increment(&counter, &Hit::new(3, 4), NOW).await.unwrap().counted);
        let item = raw_item(&client(&wire), "limits", "key", window_time).await;
        assert_eq!(item["Count"].as_n().unwrap(), count);
        assert_eq!(item["ExpiresAt"].as_n().unwrap(), &expires.to_string());
        if window == LOG {
            assert_eq!(item["Log"].as_s().unwrap(), "1795262430000000000*3");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hits_of_one_process_at_once_are_logged_by_two_writes() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    wire.set_latency(Duration::from_millis(5));
    let hits: Vec<_> = (0..100)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move {
                let key = Key::from("key");
                let counter = Counter::new("", &key, LOG).unwrap();
                backend.increment(&counter, &Hit::new(1, 70), NOW).await.unwrap().counted
            })
        })
        .collect();
    let mut admitted = 0;
    for hit in hits {
        admitted += usize::from(hit.await.unwrap());
    }
    assert_eq!(admitted, 70);
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
}

#[tokio::test]
async fn hit_after_a_span_and_the_skew_is_refused_without_a_request() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let key = Key::from("key");
    let (start, end) = (Timestamp::from_secs(1_795_262_400), Timestamp::from_secs(1_795_348_800));
    let counter = Counter::new("", &key, Window::Span { start, end }).unwrap();
    let within = end.saturating_add(Duration::from_nanos(4_999_999_999));
    assert!(backend.increment(&counter, &Hit::new(1, 4), within).await.unwrap().counted);
    wire.clear();
    let past = end.saturating_add(Duration::from_secs(5));
    let state = backend.increment(&counter, &Hit::new(1, 4), past).await.unwrap();
    assert_eq!((state.counted, state.value, state.start), (false, 0, Some(start)));
    assert_eq!(backend.get(&counter, past).await.unwrap().value, 0);
    assert!(wire.requests().is_empty());
}
