//! Several hits at once: all or none, their requests, and what goes wrong in between.

use std::sync::Arc;
use std::time::Duration;

use limited::BackendError;
use limited_core::{
    Backend, BucketQuota, Counter, CounterState, Hit, Key, Timestamp, Window, WindowId, WindowLength,
};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Fault, Wire};

const TRANSACTION: &str = "TransactWriteItems";
const NOW: Timestamp = Timestamp::from_secs(1_795_262_430);
const MINUTE: WindowLength = WindowLength::MINUTE;

/// Hits of a cost on keys, by a limit, in a window.
async fn hit_all(
    backend: &DynamoDbBackend,
    window: Window,
    keys: &[&str],
    cost: u128,
    limit: u128,
) -> Result<Vec<CounterState>, BackendError> {
    hit_at(backend, window, keys, cost, limit, NOW).await
}

async fn hit_at(
    backend: &DynamoDbBackend,
    window: Window,
    keys: &[&str],
    cost: u128,
    limit: u128,
    now: Timestamp,
) -> Result<Vec<CounterState>, BackendError> {
    let keys: Vec<_> = keys.iter().map(|key| Key::from(*key)).collect();
    let hit = |key| {
        let counter = Counter::new("", key, window).unwrap();
        let Window::Bucket { length } = window else {
            return (counter, Hit::new(cost, limit).with_window_meta(WindowId(7), Some("first")));
        };
        let (limit, nanos) = (u64::try_from(limit).unwrap(), u128::from(length.as_nanos()));
        let quota = BucketQuota::new(limit, limit);
        let floor = u128::from(now.as_nanos()) * u128::from(limit);
        let hit = Hit::new(cost * nanos, quota.highest_value(length, now)).with_floor(floor);
        (counter.with_bucket(quota), hit)
    };
    let hits: Vec<_> = keys.iter().map(hit).collect();
    backend.increment_all(&hits, now).await
}

fn counted(states: &[CounterState]) -> Vec<bool> {
    states.iter().map(|state| state.counted).collect()
}

fn windows() -> [Window; 5] {
    let start = Timestamp::from_secs(1_795_262_400);
    [
        Window::aligned(NOW, MINUTE),
        Window::FromFirstHit { length: MINUTE },
        Window::Bucket { length: MINUTE },
        Window::Log { length: MINUTE },
        Window::Span { start, end: Timestamp::from_secs(1_795_348_800) },
    ]
}

#[tokio::test]
async fn first_hits_and_ordinary_ones_are_one_transaction_and_a_refusal_is_one_read() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        for name in ["first", "ordinary"] {
            let states = hit_all(&backend, window, &["user", "tenant"], 1, 2).await.unwrap();
            assert_eq!(counted(&states), [true, true], "{window:?}");
            let units: Vec<_> = wire.requests().iter().map(|request| request.units).collect();
            assert_eq!(units, [Some(4.0)], "{window:?}: {name}");
            assert_eq!(wire.take_operations(), [TRANSACTION], "{window:?}: {name}");
        }
        let states = hit_all(&backend, window, &["user", "tenant"], 1, 2).await.unwrap();
        assert_eq!(counted(&states), [false, false]);
        assert_eq!(wire.take_operations(), ["BatchGetItem"], "{window:?}: a refusal by what was seen last");
    }
}

#[tokio::test]
async fn refusal_by_what_another_process_counted_is_one_transaction() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let other = wire.builder().build();
        assert_eq!(counted(&hit_all(&other, window, &["b", "c"], 2, 2).await.unwrap()), [true, true]);
        wire.clear();
        let states = hit_all(&backend, window, &["a", "b"], 1, 2).await.unwrap();
        assert_eq!(counted(&states), [true, false], "{window:?}");
        assert_eq!(states[0].value, 0, "{window:?}: none was counted");
        assert_eq!(wire.take_operations(), [TRANSACTION], "{window:?}");
    }
}

#[tokio::test]
async fn item_that_another_process_wrote_costs_one_more_transaction() {
    for window in windows() {
        let wire = Wire::new();
        let backend = wire.backend().await;
        let other = wire.builder().build();
        assert_eq!(counted(&hit_all(&other, window, &["b", "c"], 1, 3).await.unwrap()), [true, true]);
        wire.clear();
        let states = hit_all(&backend, window, &["a", "b"], 1, 3).await.unwrap();
        assert_eq!(counted(&states), [true, true], "{window:?}");
        assert_eq!(wire.take_operations(), [TRANSACTION, TRANSACTION], "{window:?}");
        assert_eq!(counted(&hit_all(&backend, window, &["b", "a"], 1, 3).await.unwrap()), [true, true]);
        assert_eq!(wire.take_operations(), [TRANSACTION], "{window:?}: now their states are known");
    }
}

#[tokio::test]
async fn single_hits_and_transactions_of_one_process_know_each_other() {
    for window in [Window::aligned(NOW, MINUTE), Window::Log { length: MINUTE }] {
        let wire = Wire::new();
        let backend = wire.backend().await;
        for _ in 0..3 {
            assert!(hit_all(&backend, window, &["a"], 1, 9).await.unwrap()[0].counted);
            assert_eq!(counted(&hit_all(&backend, window, &["a", "b"], 1, 9).await.unwrap()), [true, true]);
            assert_eq!(wire.take_operations(), ["UpdateItem", TRANSACTION], "{window:?}");
        }
    }
}

#[tokio::test]
async fn condition_is_checked_and_nothing_is_stored_for_it() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let (key, quota) = (Key::from("key"), BucketQuota::new(1, 60_000_000_000));
    let limit = Counter::new("", &key, Window::aligned(NOW, MINUTE)).unwrap();
    let block = Counter::new("", &key, Window::BLOCK).unwrap().with_bucket(quota);
    let decide = async |now: Timestamp| {
        let condition = Hit::new(0, now.as_nanos().into());
        let states =
            backend.increment_all(&[(limit, Hit::new(1, 100)), (block, condition)], now).await.unwrap();
        counted(&states)
    };
    for _ in 0..2 {
        assert_eq!(decide(NOW).await, [true, true]);
        let request = &wire.requests()[0].request["TransactItems"];
        assert!(request[0].get("ConditionCheck").is_some() != request[1].get("ConditionCheck").is_some());
        assert_eq!(wire.take_operations(), [TRANSACTION]);
    }
    assert_eq!(backend.get(&block, NOW).await.unwrap().value, 0);
    let (cost, floor) = (60_000_000_000, u128::from(NOW.as_nanos()));
    let other = wire.builder().build();
    assert!(
        other.increment(&block, &Hit::new(cost, floor + cost).with_floor(floor), NOW).await.unwrap().counted
    );
    wire.clear();
    assert_eq!(decide(NOW).await, [true, false], "another process has blocked the key");
    assert_eq!(wire.take_operations(), [TRANSACTION]);
    let ended = NOW.saturating_add(Duration::from_secs(60));
    assert_eq!(decide(ended).await, [true, true], "the block has ended");
}

#[tokio::test(start_paused = true)]
async fn sixty_four_tasks_on_overlapping_sets_admit_exactly_the_limit() {
    for window in windows() {
        let wire = Wire::new();
        let first = wire.backend().await;
        wire.set_latency(Duration::from_millis(3));
        let processes = [first.clone(), wire.builder().operation_timeout(Duration::from_secs(60)).build()];
        let sets: [&[&str]; 4] = [&["a", "all"], &["all", "b"], &["b", "all", "a"], &["all", "c"]];
        let calls: Vec<_> = (0..64)
            .map(|task| {
                // The second process counts for a few tasks only, so that its writes are not lost
                // against those of the first in every round.
                let backend = processes[usize::from(task % 16 == 0)].clone();
                tokio::spawn(async move {
                    let mut admitted = 0;
                    for number in 0..3 {
                        let states =
                            hit_all(&backend, window, sets[(task + number) % 4], 1, 50).await.unwrap();
                        admitted += usize::from(states.iter().all(|state| state.counted));
                    }
                    admitted
                })
            })
            .collect();
        let mut admitted = 0;
        for call in calls {
            admitted += call.await.unwrap();
        }
        assert_eq!(admitted, 50, "{window:?}");
        let refused = hit_all(&first, window, &["all", "new"], 1, 50).await.unwrap();
        assert_eq!(counted(&refused), [false, true], "{window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn equal_sets_in_any_order_that_wait_are_one_transaction() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    wire.set_latency(Duration::from_millis(5));
    let calls: Vec<_> = (0..100)
        .map(|task| {
            let backend = backend.clone();
            let keys = if task % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            let window = Window::aligned(NOW, MINUTE);
            tokio::spawn(async move { hit_all(&backend, window, &keys, 1, 70).await.unwrap()[0].counted })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap());
    }
    assert_eq!(admitted, 70);
    assert_eq!(wire.take_operations(), [TRANSACTION, TRANSACTION]);
}

#[tokio::test(start_paused = true)]
async fn thousand_waiting_transactions_on_one_key_neither_overflow_nor_stop() {
    let wire = Wire::new();
    let backend = Arc::new(wire.backend().await);
    wire.set_latency(Duration::from_millis(2));
    let calls: Vec<_> = (0..1_000)
        .map(|task| {
            let backend = Arc::clone(&backend);
            let window = Window::aligned(NOW, MINUTE);
            tokio::spawn(async move { hit_all(&backend, window, &[&task.to_string(), "all"], 1, 900).await })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap().unwrap().iter().all(|state| state.counted));
    }
    assert_eq!(admitted, 900);
}

/// A caller that keeps its future and no longer polls it does not stop the others.
#[tokio::test(start_paused = true)]
async fn caller_that_no_longer_polls_does_not_stop_the_others() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    wire.set_latency(Duration::from_millis(5));
    let window = Window::aligned(NOW, MINUTE);
    let mut kept = Box::pin(hit_all(&backend, window, &["a", "b"], 1, 9));
    let _ = futures_util::poll!(&mut kept);
    let states =
        tokio::time::timeout(Duration::from_secs(9), hit_all(&backend, window, &["b", "c"], 1, 9)).await;
    assert_eq!(states.expect("it does not wait for the other").unwrap()[0].value, 2);
    let single = tokio::time::timeout(Duration::from_secs(9), hit_all(&backend, window, &["a"], 1, 9)).await;
    assert_eq!(single.unwrap().unwrap()[0].value, 2);
    assert_eq!(kept.await.unwrap()[0].value, 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_transaction_that_waits_is_not_counted() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    wire.set_latency(Duration::from_millis(5));
    let window = Window::aligned(NOW, MINUTE);
    let start = |keys: [&'static str; 2]| {
        let backend = backend.clone();
        tokio::spawn(async move { hit_all(&backend, window, &keys, 1, 9).await })
    };
    let first = start(["a", "b"]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (dropped, last) = (start(["b", "c"]), start(["c", "d"]));
    tokio::task::yield_now().await;
    dropped.abort();
    assert!(first.await.unwrap().unwrap()[0].counted);
    assert_eq!(last.await.unwrap().unwrap()[0].value, 1, "the hit on `c` was cancelled");
}

#[tokio::test(start_paused = true)]
async fn transaction_with_a_lost_response_counts_once() {
    for (window, forgets_tokens) in windows().into_iter().flat_map(|window| [(window, false), (window, true)])
    {
        let wire = Wire::new();
        let backend = wire.backend().await;
        if forgets_tokens {
            wire.forget_tokens();
        }
        for number in 1..=5_u128 {
            wire.push_fault_on(TRANSACTION, Fault::CutAfter);
            let now = NOW.saturating_add(Duration::from_nanos(u64::try_from(number).unwrap()));
            let states = hit_at(&backend, window, &["a", "b"], 1, 5, now).await.unwrap();
            assert_eq!(counted(&states), [true, true], "{window:?}: the repetition was not recognised");
            assert_eq!(wire.take_operations(), [TRANSACTION, TRANSACTION], "{window:?}");
            if !matches!(window, Window::Bucket { .. }) {
                assert_eq!(states[0].value, number, "{window:?}");
            }
        }
        let states = hit_all(&backend, window, &["a", "b"], 1, 5).await.unwrap();
        assert_eq!(counted(&states), [false, false], "{window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_transaction_after_a_later_write_is_not_applied() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let window = Window::aligned(NOW, MINUTE);
    wire.push_faults([Fault::DelayBefore(Duration::from_secs(2))]);
    let error = hit_all(&backend, window, &["a", "b"], 1, 9).await.unwrap_err();
    assert!(matches!(error, BackendError::TimedOut(_)), "{error}");
    assert_eq!(hit_all(&backend, window, &["a"], 1, 9).await.unwrap()[0].value, 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    wire.drained().await;
    let key = Key::from("b");
    assert_eq!(backend.get(&Counter::new("", &key, window).unwrap(), NOW).await.unwrap().value, 0);
}

#[tokio::test(start_paused = true)]
async fn conflict_or_throttle_in_any_reason_is_tried_again_and_then_throttled() {
    let window = Window::aligned(NOW, MINUTE);
    for (codes, text) in [
        (&["None", "TransactionConflict"][..], "a transaction"),
        (&["TransactionConflict", "None"], "a transaction"),
        (&["None", "ThrottlingError"], "accepts no more requests"),
        (&["ConditionalCheckFailed", "ProvisionedThroughputExceeded"], "accepts no more requests"),
    ] {
        let wire = Wire::new();
        let backend = wire.backend().await;
        (0..3).for_each(|_| wire.push_fault_on(TRANSACTION, Fault::Canceled(codes)));
        assert_eq!(counted(&hit_all(&backend, window, &["a", "b"], 1, 9).await.unwrap()), [true, true]);
        assert_eq!(wire.count(TRANSACTION), 4, "{codes:?}");
        wire.clear();
        wire.set_faults(move |operation, _| match operation {
            TRANSACTION => Fault::Canceled(codes),
            _ => Fault::None,
        });
        let error = hit_all(&backend, window, &["a", "b"], 1, 9).await.unwrap_err();
        assert!(matches!(error, BackendError::Throttled(_)), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(wire.count(TRANSACTION), 12, "the rounds are bounded");
    }
}

#[tokio::test]
async fn other_reasons_are_distinguished_wherever_they_are() {
    type IsExpected = fn(&BackendError) -> bool;
    let cases: [(&[&str], IsExpected); 4] = [
        (&["None", "ValidationError"], |error| matches!(error, BackendError::Invalid(_))),
        (&["TransactionConflict", "AccessDenied"], |error| matches!(error, BackendError::AccessDenied(_))),
        (&["None", "SomethingNew"], |error| matches!(error, BackendError::Other(_))),
        // The number of reasons is wrong.
        (&["None"], |error| matches!(error, BackendError::Other(_))),
    ];
    for (codes, is_expected) in cases {
        let wire = Wire::new();
        let backend = wire.backend().await;
        wire.push_faults([Fault::Canceled(codes)]);
        let error = hit_all(&backend, Window::aligned(NOW, MINUTE), &["a", "b"], 1, 9).await.unwrap_err();
        assert!(is_expected(&error), "{codes:?}: {error:?}");
    }
    let without_table = Wire::new().builder().build();
    let error = hit_all(&without_table, Window::aligned(NOW, MINUTE), &["a", "b"], 1, 9).await.unwrap_err();
    assert!(matches!(error, BackendError::MissingTable(_)), "{error:?}");
}

#[tokio::test]
async fn sliding_hits_read_their_previous_windows_until_these_are_closed() {
    let wire = Wire::new();
    let backend = wire.backend().await;
    let keys = [Key::from("a"), Key::from("b")];
    let decide = async |now: Timestamp| {
        let hit =
            |key| (Counter::new("", key, Window::aligned(now, MINUTE)).unwrap().sliding(), Hit::new(1, 2));
        let hits: Vec<_> = keys.iter().map(hit).collect();
        backend.increment_all(&hits, now).await.unwrap()
    };
    let start = Timestamp::from_secs(1_795_262_400);
    assert_eq!(counted(&decide(start).await), [true, true]);
    assert_eq!(counted(&decide(start).await), [true, true]);
    wire.clear();
    let next = start.saturating_add(Duration::from_secs(60));
    let refused = decide(next).await;
    assert_eq!(counted(&refused), [false, false]);
    assert_eq!(refused[0].previous, 2);
    assert_eq!(wire.take_operations(), ["GetItem", "GetItem", "BatchGetItem"]);
    let later = next.saturating_add(Duration::from_secs(40));
    assert_eq!(counted(&decide(later).await), [true, true]);
    assert_eq!(wire.take_operations(), ["GetItem", "GetItem", TRANSACTION], "closed, and read once more");
    assert_eq!(decide(later).await[0].previous, 2);
    assert_eq!(wire.take_operations(), ["BatchGetItem"], "closed, and cached");
}
