//! A write that is repeated because its response was lost counts once.

use crate::common::{FROM_FIRST_HIT, NOW, in_this_minute, in_window, user};
use limited_core::{Backend, Hit, Window, WindowId, WindowLength};
use limited_mock::{Fault, MockBackend, Operation};
use pollster::block_on;

#[test]
fn repeated_hit_counts_once_and_returns_its_result() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(NOW, WindowLength::MINUTE),
        FROM_FIRST_HIT,
        Window::Bucket { length: WindowLength::SECOND },
    ] {
        let counter = in_window(&key, window);
        let floor = u128::from(NOW.as_nanos()) * 10;
        let hit = Hit::new(3, floor + 10).with_floor(floor).with_window_meta(WindowId(1), Some("note"));
        mock.inject(Fault::repeated_write());
        let state = block_on(mock.increment(&counter, &hit, NOW)).unwrap();
        assert_eq!((state.counted, state.value), (true, floor + 3), "{window:?}");
        assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, floor + 3, "{window:?}");
    }
    assert_eq!(mock.count(Operation::Increment), 3);
}

#[test]
fn hit_that_just_fits_is_not_refused_by_its_own_repetition() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::repeated_write());
    let state = block_on(mock.increment(&counter, &Hit::new(5, 5), NOW)).unwrap();
    assert_eq!((state.counted, state.value), (true, 5));
}

#[test]
fn repeated_refused_hit_stays_refused() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.increment(&counter, &Hit::new(4, 5), NOW)).unwrap();
    mock.inject(Fault::repeated_write());
    let state = block_on(mock.increment(&counter, &Hit::new(2, 5), NOW)).unwrap();
    assert_eq!((state.counted, state.value), (false, 4));
}

#[test]
fn two_equal_hits_are_two_writes() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::repeated_write().times(2));
    for value in [1, 2] {
        assert_eq!(block_on(mock.increment(&counter, &Hit::new(1, 5), NOW)).unwrap().value, value);
    }
}

#[test]
fn repeated_reset_is_applied() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    block_on(mock.increment(&counter, &Hit::new(1, 5), NOW)).unwrap();
    mock.inject(Fault::repeated_write());
    assert_eq!(block_on(mock.get(&counter, NOW)).unwrap().value, 1, "reads are not affected");
    block_on(mock.reset(&counter, None, NOW)).unwrap();
    assert_eq!((mock.faults_left(), mock.counters()), (0, 0));
}
