//! The wall clock as of its last tick.

use std::time::Duration;

use crate::{Clock, Sleep, SystemClock, Timestamp};

/// The wall clock of the operating system as of its last tick: the cheapest clock to read.
///
/// A reading comes from memory, whereas [`SystemClock`] reads a counter of the processor too. It is
/// behind the time by up to the [resolution](Clock::resolution), which the operating system
/// reports: 1 to 10 ms, usually 4 ms. It is further behind if the machine was too busy to update
/// it. Use it if that does not matter: for windows that are much longer than a tick.
///
/// On Linux and Android this is `CLOCK_REALTIME_COARSE`. It is read from the kernel without the C
/// library, so a preloaded library that fakes the time has no effect on it. On other systems this
/// is the [`SystemClock`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Timestamp {
        system::now()
    }

    #[inline]
    fn resolution(&self) -> Duration {
        system::resolution()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // The reading before the sleep may be old by one resolution, and so may the reading after
        // it.
        let behind =
            if self.resolution() > Duration::from_nanos(1) { self.resolution() } else { Duration::ZERO };
        SystemClock.sleep(duration.saturating_add(behind))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    use crate::Timestamp;

    const PER_SECOND: u64 = 1_000_000_000;

    /// Returns the nanoseconds since the epoch; 0 for a time before it.
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
mod system {
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
    fn coarse_clock_is_behind_the_system_time_and_never_ahead() {
        // How far it is behind depends on the machine, which may be busy.
        let slack = Duration::from_secs(5);
        for _ in 0..100 {
            let coarse = CoarseClock.now();
            let precise = SystemClock.now();
            assert!(coarse <= precise, "{coarse:?} is ahead of {precise:?}");
            assert!(precise.saturating_since(coarse) < slack, "{coarse:?} is far behind {precise:?}");
        }
    }

    #[test]
    fn coarse_clock_has_the_resolution_of_a_tick() {
        let resolution = CoarseClock.resolution();
        assert!(Duration::ZERO < resolution && resolution <= Duration::from_millis(20), "{resolution:?}");
    }

    #[test]
    fn coarse_clock_has_advanced_by_the_duration_of_a_sleep() {
        for _ in 0..5 {
            let before = CoarseClock.now();
            pollster::block_on(CoarseClock.sleep(Duration::from_millis(3)));
            assert!(CoarseClock.now().saturating_since(before) >= Duration::from_millis(3));
        }
    }
}
