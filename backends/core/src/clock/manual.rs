//! A clock for tests, which only moves when a test moves it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::{Clock, Sleep, Timestamp};

/// A clock for tests. It stands still until a test moves it, to any nanosecond.
///
/// All clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use limited_core::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().saturating_since(start), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    sleepers: Vec<Waker>,
}

impl ManualClock {
    /// Creates a clock at 2026-01-01T00:00:00Z, the start of an aligned minute, hour and day.
    pub fn new() -> Self {
        Self::at(Timestamp::from_secs(1_767_225_600))
    }

    /// Creates a clock at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(State { now, sleepers: Vec::new() })))
    }

    /// Moves the clock forwards.
    pub fn advance(&self, duration: Duration) {
        self.move_to(|now| now.saturating_add(duration));
    }

    /// Moves the clock backwards, like a correction of the system time.
    pub fn rewind(&self, duration: Duration) {
        self.move_to(|now| now.saturating_sub(duration));
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.move_to(|_| now);
    }

    fn move_to(&self, next: impl FnOnce(Timestamp) -> Timestamp) {
        let mut state = self.state();
        state.now = next(state.now);
        let sleepers = std::mem::take(&mut state.sleepers);
        // A woken sleeper may read the clock immediately.
        drop(state);
        sleepers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.clone();
        let end = clock.now().saturating_add(duration);
        Box::pin(poll_fn(move |context| {
            let mut state = clock.state();
            if state.now >= end {
                return Poll::Ready(());
            }
            if !state.sleepers.iter().any(|sleeper| sleeper.will_wake(context.waker())) {
                state.sleepers.push(context.waker().clone());
            }
            Poll::Pending
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    #[test]
    fn sleeper_wakes_when_the_clock_has_moved_far_enough() {
        let clock = ManualClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_nanos(1_999_999_999));
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_nanos(1));
        assert!(sleep.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn moving_the_clock_wakes_a_sleeper_on_another_thread() {
        let clock = ManualClock::new();
        let sleep = clock.sleep(Duration::from_secs(1));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| pollster::block_on(sleep));
            while !sleeper.is_finished() {
                clock.advance(Duration::from_millis(100));
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn woken_sleeper_may_read_the_clock() {
        struct Reader(ManualClock, Mutex<Option<Timestamp>>);
        impl std::task::Wake for Reader {
            fn wake(self: Arc<Self>) {
                *self.1.lock().unwrap() = Some(self.0.now());
            }
        }
        let clock = ManualClock::new();
        let reader = Arc::new(Reader(clock.clone(), Mutex::new(None)));
        let waker = Waker::from(Arc::clone(&reader));
        let mut sleep = clock.sleep(Duration::from_secs(1));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        clock.advance(Duration::from_secs(1));
        assert_eq!(*reader.1.lock().unwrap(), Some(clock.now()));
    }

    #[test]
    fn clock_can_be_moved_backwards() {
        let clock = ManualClock::at(Timestamp::from_secs(10));
        clock.rewind(Duration::from_secs(4));
        assert_eq!(clock.now(), Timestamp::from_secs(6));
        clock.set(Timestamp::EPOCH);
        clock.rewind(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::EPOCH);
    }
}
