//! Clocks: the source of the time that each operation of a backend gets as an argument.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Timestamp;

mod coarse;
mod manual;

pub use coarse::CoarseClock;
pub use manual::ManualClock;

/// A future that completes when a clock has advanced far enough.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns the current time, and waits for time to pass.
///
/// The clock belongs to the caller: a backend has none, and gets the time with every operation.
/// Processes that share a backend also share windows, so their clocks should agree to within
/// [`MAX_CLOCK_SKEW`](crate::MAX_CLOCK_SKEW).
pub trait Clock: Send + Sync {
    /// Returns the current time. It may go backwards; [`Backend`](crate::Backend) specifies the
    /// consequences.
    fn now(&self) -> Timestamp;

    /// Returns the smallest difference between two different readings: 1 ns if the clock counts
    /// nanoseconds.
    ///
    /// The limiter adds a resolution above 1 ns to the waiting times that it returns, so that
    /// waiting is enough.
    fn resolution(&self) -> Duration;

    /// Waits until this clock has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn resolution(&self) -> Duration {
        (**self).resolution()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        (**self).sleep(duration)
    }
}

/// The wall clock of the operating system.
///
/// It follows corrections of the system time, also backwards. [`sleep`](Clock::sleep) works on any
/// runtime: one thread of the process runs all timers, and the first timer starts that thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(
            if cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd")) {
                1
            } else if cfg!(windows) {
                100
            } else if cfg!(target_vendor = "apple") {
                1_000
            } else {
                1_000_000
            },
        )
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(futures_timer::Delay::new(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_reads_the_system_time() {
        let before = SystemTime::now();
        let now = SystemTime::from(SystemClock.now());
        assert!(before <= now && now <= SystemTime::now());
    }

    #[test]
    fn system_clock_sleeps_without_a_runtime() {
        let before = std::time::Instant::now();
        pollster::block_on(SystemClock.sleep(Duration::from_millis(2)));
        assert!(before.elapsed() >= Duration::from_millis(2));
    }
}
