//! Where time comes from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Timestamp;

/// A future that is done when a clock has moved on far enough.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time, and waits for it to pass.
///
/// The clock is the caller's: backends have none, and are told the time with every operation. Processes that share a
/// backend also share windows, so their clocks should agree to within [`ALLOWED_SKEW`](crate::ALLOWED_SKEW).
pub trait Clock: Send + Sync {
    /// The time now. It may go back; what that does is part of each backend's contract.
    fn now(&self) -> Timestamp;

    /// How far apart two different readings are at least: 1 ns where every nanosecond can be read.
    ///
    /// What comes out as a waiting time has it added where it is more than 1 ns, so that waiting is enough.
    fn resolution(&self) -> Duration;

    /// Waits until this clock has moved on by `duration`.
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

/// The operating system's wall clock.
///
/// It follows corrections of the system's time, also backwards. [`sleep`](Clock::sleep) needs no particular runtime:
/// one thread of the process serves every timer, started by the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
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
    fn the_system_clock_tells_the_system_time() {
        let before = SystemTime::now();
        let now = SystemTime::from(SystemClock.now());
        assert!(before <= now && now <= SystemTime::now());
    }

    #[test]
    fn the_system_clock_sleeps_without_a_runtime() {
        let before = std::time::Instant::now();
        pollster::block_on(SystemClock.sleep(Duration::from_millis(2)));
        assert!(before.elapsed() >= Duration::from_millis(2));
    }
}
