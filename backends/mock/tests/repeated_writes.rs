//! A write that is sent again because its answer was lost counts once.

mod common;

use common::{NOW, OPENED, in_this_minute, in_window, user};
use limited_core::{Hit, ImmediateBackend, Window, WindowId, WindowLength};
use limited_mock::{Fault, MockBackend, Operation};

#[test]
fn a_repeated_hit_counts_once_and_is_answered() {
    let (mock, key) = (MockBackend::new(), user());
    for window in [
        Window::aligned(NOW, WindowLength::MINUTE),
        OPENED,
        Window::Bucket { limit: 10, length: WindowLength::SECOND },
    ] {
        let counter = in_window(&key, window);
        let floor = u128::from(NOW.as_nanos()) * 10;
        let hit = Hit::new(3, floor + 10).with_floor(floor).with_window_meta(WindowId(1), Some("note"));
        mock.inject(Fault::repeated_write());
        let tally = mock.increment_now(&counter, &hit, NOW).unwrap();
        assert_eq!((tally.counted, tally.value), (true, floor + 3), "{window:?}");
        assert_eq!(mock.get_now(&counter, NOW).unwrap().value, floor + 3, "{window:?}");
    }
    assert_eq!(mock.count(Operation::Increment), 3);
}

#[test]
fn a_hit_that_just_fits_is_not_refused_by_its_own_repetition() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::repeated_write());
    let tally = mock.increment_now(&counter, &Hit::new(5, 5), NOW).unwrap();
    assert_eq!((tally.counted, tally.value), (true, 5));
}

#[test]
fn a_refused_hit_stays_refused_when_it_is_repeated() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.increment_now(&counter, &Hit::new(4, 5), NOW).unwrap();
    mock.inject(Fault::repeated_write());
    let tally = mock.increment_now(&counter, &Hit::new(2, 5), NOW).unwrap();
    assert_eq!((tally.counted, tally.value), (false, 4));
}

#[test]
fn two_equal_hits_are_two_writes() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.inject(Fault::repeated_write().times(2));
    for value in [1, 2] {
        assert_eq!(mock.increment_now(&counter, &Hit::new(1, 5), NOW).unwrap().value, value);
    }
}

#[test]
fn a_repeated_reset_is_done() {
    let (mock, key) = (MockBackend::new(), user());
    let counter = in_this_minute(&key);
    mock.increment_now(&counter, &Hit::new(1, 5), NOW).unwrap();
    mock.inject(Fault::repeated_write());
    assert_eq!(mock.get_now(&counter, NOW).unwrap().value, 1, "reads do not meet it");
    mock.reset_now(&counter, None, NOW).unwrap();
    assert_eq!((mock.faults_left(), mock.counters()), (0, 0));
}
