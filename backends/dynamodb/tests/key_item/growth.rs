//! Items stay small.

use super::Limit::{Fixed, Sliding};
use super::*;

/// Returns how many counts of windows of this length an item holds.
fn windows(item: &support::RawItem, length: u64) -> usize {
    item.keys().filter(|name| name.starts_with(&format!("W{length}_"))).count()
}

#[tokio::test]
async fn counts_of_ended_windows_are_removed_by_the_next_writes_without_a_request() {
    let (wire, backend) = table().await;
    wire.clear();
    for minute in 0..100 {
        assert!(is_admitted(&backend, &[Sliding(60, 9), Fixed(3_600, 999)], later(60 * minute)).await);
        let item = item(&wire).await;
        assert!(windows(&item, 60) <= 5 && windows(&item, 3_600) <= 5, "{item:?}");
    }
    assert_eq!(wire.count(UPDATE), 100);
}

#[tokio::test]
async fn many_counts_that_a_process_has_not_seen_take_one_update_more() {
    let (wire, backend) = table().await;
    // Hits within the skew: nothing is removed meanwhile.
    for second in 0..8 {
        for length in [1, 2, 3, 4, 5, 6] {
            let _ = hit_all(&backend, &[Fixed(length, 9)], 1, later(second)).await.unwrap();
        }
    }
    let counts = async || {
        let item = item(&wire).await;
        (1..=60).map(|length| windows(&item, length)).sum::<usize>()
    };
    assert!(counts().await > 16, "{}", counts().await);
    let other = process(&wire);
    wire.clear();
    assert!(is_admitted(&other, &[Fixed(60, 9)], later(3_600)).await);
    assert_eq!(wire.count(UPDATE), 2);
    assert_eq!(counts().await, 1);
    wire.clear();
    assert!(is_admitted(&other, &[Fixed(60, 9)], later(3_600)).await);
    assert_eq!(wire.count(UPDATE), 1);
}

#[tokio::test]
async fn item_keeps_a_bounded_number_of_slots() {
    let (wire, _) = table().await;
    for second in 0..100 {
        assert!(is_admitted(&process(&wire), &[Fixed(3_600, 100)], later(second)).await);
        let slots = item(&wire).await.keys().filter(|name| name.starts_with("Writer_")).count();
        assert!(slots <= 17, "{slots}");
    }
}

/// A process whose clock is behind by the skew finds what the others counted.
#[tokio::test]
async fn window_is_kept_for_clocks_that_are_behind() {
    let (wire, backend) = table().await;
    let limit = [Sliding(60, 2)];
    for _ in 0..2 {
        assert!(is_admitted(&backend, &limit, NOON).await);
    }
    // Known, and old enough not to count for a clock that is right.
    assert!(is_admitted(&backend, &limit, later(124)).await);
    assert!(!is_admitted(&process(&wire), &limit, later(59)).await);
    assert!(!is_admitted(&backend, &limit, later(60)).await);
}
