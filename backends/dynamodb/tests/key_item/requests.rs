//! The requests and the write units of a decision, counted on the wire.

use limited_core::{Backend, Key, Refund, Window};

use super::Limit::{Bucket, FirstHit, Fixed, Log, Sliding};
use super::*;

/// Asserts that what was sent is one update of one write unit.
fn assert_one_write(wire: &Wire, what: &str) {
    let requests = wire.requests();
    let sent: Vec<_> = requests.iter().map(|request| (request.operation.as_str(), request.units)).collect();
    assert_eq!(sent, [(UPDATE, Some(1.0))], "{what}");
    wire.clear();
}

#[tokio::test]
async fn decision_over_any_number_of_limits_is_one_request_and_one_write_unit() {
    for limits in [
        &[Fixed(60, 2)][..],
        &[Fixed(1, 9), Fixed(60, 2)],
        &[Fixed(1, 9), Fixed(60, 2), Fixed(3_600, 9), Fixed(86_400, 9)],
        &[Bucket, Fixed(60, 2)],
        &[Bucket, Sliding(60, 2), FirstHit(3_600, 9), Log(60, 9)],
    ] {
        let (wire, backend) = table().await;
        wire.clear();
        for (admitted, what) in
            [(true, "first hit"), (true, "ordinary hit"), (false, "refusal"), (false, "second refusal")]
        {
            assert_eq!(is_admitted(&backend, limits, later(1)).await, admitted, "{limits:?}: {what}");
            assert_one_write(&wire, &format!("{limits:?}: {what}"));
        }
        // A process that has not seen the item is refused by one request too.
        assert!(!is_admitted(&process(&wire), limits, later(1)).await);
        assert_one_write(&wire, &format!("{limits:?}: refusal of another process"));
    }
}

#[tokio::test]
async fn refusal_by_one_limit_leaves_the_others_uncounted_and_says_which_it_was() {
    let (wire, backend) = table().await;
    let limits = [Fixed(3_600, 9), Fixed(60, 1), Bucket, FirstHit(60, 9), Log(60, 9)];
    assert!(is_admitted(&backend, &limits, NOON).await);
    let before = item(&wire).await;
    let states = hit_all(&backend, &limits, 1, NOON).await.unwrap();
    let fits: Vec<_> = states.iter().map(|state| state.counted).collect();
    assert_eq!(fits, [true, false, true, true, true]);
    assert_eq!(states.iter().map(|state| state.value).take(2).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(item(&wire).await, before);
}

#[tokio::test]
async fn new_window_is_one_request_whether_or_not_the_last_one_is_known() {
    let (wire, backend) = table().await;
    let limits = [Fixed(60, 1), Fixed(3_600, 9)];
    assert!(is_admitted(&backend, &limits, NOON).await);
    for (process, now) in [(backend, later(60)), (process(&wire), later(120))] {
        wire.clear();
        assert!(is_admitted(&process, &limits, now).await);
        assert_one_write(&wire, "a new window");
        assert!(!is_admitted(&process, &limits, now).await);
        assert_one_write(&wire, "a refusal in the new window");
    }
}

#[tokio::test]
async fn sliding_window_is_one_request_after_a_rollover_too() {
    let (wire, backend) = table().await;
    let limit = [Sliding(60, 3)];
    for second in [30, 40] {
        wire.clear();
        assert!(is_admitted(&backend, &limit, later(second)).await);
        assert_one_write(&wire, "in the first window");
    }
    for (second, admitted) in [(61, true), (62, false), (63, false), (91, true), (92, false), (121, true)] {
        assert_eq!(is_admitted(&backend, &limit, later(second)).await, admitted, "{second}");
        assert_one_write(&wire, &format!("at {second}"));
    }
}

#[tokio::test]
async fn previous_window_that_another_process_counted_in_takes_a_second_request() {
    let (wire, backend) = table().await;
    let limit = [Sliding(60, 3)];
    assert!(is_admitted(&backend, &limit, later(58)).await);
    let other = process(&wire);
    assert!(is_admitted(&other, &limit, later(59)).await);
    wire.clear();
    assert!(is_admitted(&backend, &limit, later(60)).await);
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
    assert!(!is_admitted(&backend, &limit, later(60)).await, "2 of the last window, and 1");
    assert_one_write(&wire, "known by now");
}

#[tokio::test]
async fn bucket_takes_a_second_request_only_if_another_process_used_it() {
    let (wire, backend) = table().await;
    let limits = [Bucket, Fixed(3_600, 99)];
    for now in [later(0), later(0), later(5), later(5), later(6)] {
        wire.clear();
        assert!(is_admitted(&backend, &limits, now).await);
        assert_one_write(&wire, "ahead and past");
    }
    // The other process expects a bucket that is full.
    assert!(is_admitted(&process(&wire), &limits, later(6)).await);
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
}

#[tokio::test]
async fn log_is_one_request_if_no_other_process_wrote_it() {
    let (wire, backend) = table().await;
    let limit = [Log(60, 3)];
    for second in [0, 10, 20, 60] {
        wire.clear();
        assert!(is_admitted(&backend, &limit, later(second)).await, "{second}");
        assert_one_write(&wire, "alone");
    }
    assert!(!is_admitted(&backend, &limit, later(69)).await);
    assert_one_write(&wire, "refused");
    let other = process(&wire);
    assert!(is_admitted(&other, &limit, later(70)).await);
    assert_eq!(wire.take_operations(), [UPDATE, UPDATE]);
}

#[tokio::test]
async fn read_reset_and_refund_are_one_request_each() {
    let key = Key::from("key");
    for limit in [Fixed(60, 9), FirstHit(60, 9), Bucket, Log(60, 9)] {
        let (wire, backend) = table().await;
        let (counter, hit) = limit.hit(&key, 3, NOON);
        let state = backend.increment(&counter, &hit, NOON).await.unwrap();
        wire.clear();
        let _ = backend.get(&counter, NOON).await.unwrap();
        assert_eq!(wire.take_operations(), [GET], "{limit:?}");
        let refund = Refund::new(hit.cost / 3, NOON);
        let refunded = backend.refund(&counter, &refund, NOON).await.unwrap();
        assert_eq!(wire.take_operations(), [UPDATE], "{limit:?}");
        assert!(refunded.counted, "{limit:?}");
        assert_eq!(refunded.value, state.value - hit.cost / 3, "{limit:?}");
        backend.reset(&counter, None, NOON).await.unwrap();
        assert_eq!(wire.take_operations(), [UPDATE], "{limit:?}");
        assert_eq!(backend.get(&counter, NOON).await.unwrap().value, 0, "{limit:?}");
    }
}

#[tokio::test]
async fn refund_by_a_process_that_has_not_seen_the_window_is_one_request() {
    let key = Key::from("key");
    for limit in [Fixed(60, 9), FirstHit(60, 9), Bucket] {
        let (wire, backend) = table().await;
        let (counter, hit) = limit.hit(&key, 3, NOON);
        let state = backend.increment(&counter, &hit, NOON).await.unwrap();
        wire.clear();
        let refunded = process(&wire).refund(&counter, &Refund::new(hit.cost / 3, NOON), NOON).await.unwrap();
        assert_eq!(wire.take_operations(), [UPDATE], "{limit:?}");
        assert_eq!(refunded.value, state.value - hit.cost / 3, "{limit:?}");
    }
}

/// As a limiter that can block a key decides.
#[tokio::test]
async fn block_is_a_condition_of_the_same_request_and_stores_nothing() {
    let (wire, backend) = table().await;
    let key = Key::from("key");
    let block = Counter::new("api", &key, Window::BLOCK).unwrap();
    let quota = BucketQuota::new(1, 3_600_000_000_000);
    let block = block.with_bucket(quota);
    let decide = async |seconds| {
        let now = later(seconds);
        let (counter, hit) = Fixed(3_600, 9).hit(&key, 1, now);
        let hits = [(counter, hit), (block, Hit::new(0, now.as_nanos().into()))];
        backend.increment_all(&hits, now).await.unwrap()
    };
    wire.clear();
    assert!(decide(0).await.iter().all(|state| state.counted));
    assert_one_write(&wire, "not blocked");
    assert!(!item(&wire).await.contains_key("B0.000000001"));
    let until = Hit::new(60_000_000_000, u128::from(later(60).as_nanos())).with_floor(NOON.as_nanos().into());
    assert!(backend.increment(&block, &until, NOON).await.unwrap().counted);
    wire.clear();
    let states = decide(59).await;
    assert_eq!(states.iter().map(|state| state.counted).collect::<Vec<_>>(), [true, false]);
    assert_one_write(&wire, "blocked");
    assert_eq!(decide(60).await[0].value, 2, "the refused hit was not counted");
    assert_one_write(&wire, "no longer blocked");
}

#[tokio::test]
async fn cost_that_can_never_fit_only_reads() {
    let (wire, backend) = table().await;
    let limits = [Fixed(60, 2), Fixed(3_600, 9)];
    assert!(is_admitted(&backend, &limits, NOON).await);
    wire.clear();
    let states = hit_all(&backend, &limits, 3, NOON).await.unwrap();
    assert_eq!(
        states.iter().map(|state| (state.counted, state.value)).collect::<Vec<_>>(),
        [(false, 1), (true, 1)]
    );
    assert_eq!(wire.take_operations(), [GET]);
}

#[tokio::test]
async fn as_many_limits_as_fit_one_write_are_one_request_and_more_are_counted_in_turn() {
    type OfLength = fn(u64) -> Limit;
    let kinds: [OfLength; 3] =
        [|length| Fixed(length, 9), |length| FirstHit(length, 9), |length| Log(length, 9)];
    for (number, requests, kind) in
        [(20, 1, kinds[0]), (20, 1, kinds[1]), (20, 1, kinds[2]), (21, 21, kinds[0])]
    {
        let (wire, backend) = table().await;
        let limits: Vec<_> = (1..=number).map(kind).collect();
        wire.clear();
        assert!(is_admitted(&backend, &limits, NOON).await);
        // DynamoDB accepts expressions of 4 KB.
        for request in wire.requests() {
            for expression in ["UpdateExpression", "ConditionExpression"] {
                let length = request.request[expression].as_str().unwrap().len();
                assert!(length <= 3_700, "{expression}: {length} bytes");
            }
        }
        assert_eq!(wire.take_operations().len(), requests);
        for limit in limits {
            assert_eq!(value(&backend, limit, NOON).await, 1);
        }
    }
}
