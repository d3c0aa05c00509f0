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
/// backend also share windows, so their clocks should agree to within [`MAX_CLOCK_SKEW`](crate::MAX_CLOCK_SKEW).
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

/// The operating system's wall clock as of its last tick: the cheapest one to read.
///
/// It is read from memory, where [`SystemClock`] asks a counter of the processor too. What it tells is behind the time
/// by up to its [resolution](Clock::resolution), which it asks the operating system for: 1 to 10 ms, 4 ms mostly, and
/// by more where the machine was held up in moving it on. It is right where that does not matter: for windows that
/// are long against a tick.
///
/// It is `CLOCK_REALTIME_COARSE` of Linux and Android, asked of the kernel, past the C library, so that what fakes the
/// time in that (a preloaded library) does not reach it. Elsewhere there is none, and it is the [`SystemClock`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Timestamp {
        coarse::now()
    }

    #[inline]
    fn resolution(&self) -> Duration {
        coarse::resolution()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // This clock was read up to one resolution ago, and may be behind by as much again.
        let behind =
            if self.resolution() > Duration::from_nanos(1) { self.resolution() } else { Duration::ZERO };
        SystemClock.sleep(duration.saturating_add(behind))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod coarse {
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    use crate::Timestamp;

    const PER_SECOND: u64 = 1_000_000_000;

    /// Nanoseconds since the epoch; none where it is before that.
    #[inline]
    fn nanos(time: Timespec) -> u64 {
        match (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)) {
            (Ok(seconds), Ok(nanos)) => seconds.saturating_mul(PER_SECOND).saturating_add(nanos),
            _ => 0,
        }
    }

    #[inline]
    pub(super) fn now() -> Timestamp {
        Timestamp::from_nanos(nanos(clock_gettime(ClockId::RealtimeCoarse)))
    }

    #[inline]
    pub(super) fn resolution() -> Duration {
        static RESOLUTION: OnceLock<Duration> = OnceLock::new();
        *RESOLUTION.get_or_init(|| Duration::from_nanos(nanos(clock_getres(ClockId::RealtimeCoarse)).max(1)))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod coarse {
    use std::time::Duration;

    use crate::{Clock, SystemClock, Timestamp};

    pub(super) fn now() -> Timestamp {
        SystemClock.now()
    }

    pub(super) fn resolution() -> Duration {
        SystemClock.resolution()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_behind_the_system_time_and_never_ahead_of_it() {
        // How far behind is up to the machine, which may be held up.
        let slack = Duration::from_secs(5);
        for _ in 0..100 {
            let coarse = CoarseClock.now();
            let precise = SystemClock.now();
            assert!(coarse <= precise, "{coarse:?} is ahead of {precise:?}");
            assert!(precise.saturating_since(coarse) < slack, "{coarse:?} is far behind {precise:?}");
        }
    }

    #[test]
    fn the_coarse_clock_has_the_resolution_of_a_tick() {
        let resolution = CoarseClock.resolution();
        assert!(Duration::ZERO < resolution && resolution <= Duration::from_millis(20), "{resolution:?}");
    }

    #[test]
    fn the_coarse_clock_has_moved_on_by_what_it_slept() {
        for _ in 0..5 {
            let before = CoarseClock.now();
            pollster::block_on(CoarseClock.sleep(Duration::from_millis(3)));
            assert!(CoarseClock.now().saturating_since(before) >= Duration::from_millis(3));
        }
    }

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
