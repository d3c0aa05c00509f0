//! Which clock is read.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{Clock, CoarseClock, Sleep, SystemClock, Timestamp, WindowLength};

use crate::{Algorithm, Quota};

/// The system's clock, read without a detour, or the user's own.
#[derive(Clone)]
pub(crate) enum ClockChoice {
    System,
    Own(Arc<dyn Clock>),
}

impl ClockChoice {
    pub(crate) fn now(&self) -> Timestamp {
        self.precise().now()
    }

    pub(crate) fn resolution(&self) -> Duration {
        self.precise().resolution()
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        match self {
            Self::System => SystemClock.sleep(duration),
            Self::Own(clock) => clock.sleep(duration),
        }
    }

    /// Whether decisions by a quota are made by the coarse one of the system's two clocks: where it is good enough.
    #[inline]
    pub(crate) fn is_coarse(&self, algorithm: Algorithm, quota: &Quota) -> bool {
        matches!(self, Self::System) && may_be_coarse(algorithm, quota, || CoarseClock.resolution())
    }

    /// The clock for decisions by a quota for which the coarse one is good enough, or is not.
    #[inline]
    pub(crate) fn of(&self, is_coarse: bool) -> QuotaClock<'_> {
        match self {
            Self::System if is_coarse => QuotaClock::Coarse,
            _ => self.precise(),
        }
    }

    /// Its resolution. Apart, so that neither clock has to be in memory where there is nothing to wait for.
    #[inline(never)]
    pub(crate) fn resolution_of(&self, is_coarse: bool) -> Duration {
        self.of(is_coarse).resolution()
    }

    #[inline]
    fn precise(&self) -> QuotaClock<'_> {
        match self {
            Self::System => QuotaClock::Precise,
            Self::Own(clock) => QuotaClock::Own(&**clock),
        }
    }
}

/// The clock that decisions by one quota are made by.
#[derive(Clone, Copy)]
pub(crate) enum QuotaClock<'a> {
    Coarse,
    Precise,
    Own(&'a dyn Clock),
}

impl QuotaClock<'_> {
    #[inline]
    pub(crate) fn now(self) -> Timestamp {
        match self {
            Self::Coarse => CoarseClock.now(),
            Self::Precise => SystemClock.now(),
            Self::Own(clock) => clock.now(),
        }
    }

    pub(crate) fn resolution(self) -> Duration {
        match self {
            Self::Coarse => CoarseClock.resolution(),
            Self::Precise => SystemClock.resolution(),
            Self::Own(clock) => clock.resolution(),
        }
    }
}

/// In how many readings of a coarse clock at least a bucket fills up.
///
/// What flows in while the bucket is full is lost. By a coarse clock that is found out up to one reading late, and a
/// caller that takes every token at once loses so much of each filling: at most one part in this many.
const READINGS_PER_FILLING: u64 = 100;

/// Whether a clock of this resolution is good enough for a quota.
#[inline]
fn may_be_coarse(algorithm: Algorithm, quota: &Quota, resolution: impl FnOnce() -> Duration) -> bool {
    if quota.length() < WindowLength::SECOND {
        return false;
    }
    match algorithm {
        Algorithm::FixedWindow | Algorithm::SlidingWindow => true,
        // The capacity flows in within capacity · length / limit. Neither product of two 64-bit numbers overflows.
        Algorithm::TokenBucket => {
            let filling = u128::from(quota.capacity()) * u128::from(quota.length().as_nanos());
            let least = u64::try_from(resolution().as_nanos()).unwrap_or(u64::MAX);
            let least = u128::from(least.saturating_mul(READINGS_PER_FILLING));
            filling >= least * u128::from(quota.limit())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_coarse(algorithm: Algorithm, quota: &str) -> bool {
        may_be_coarse(algorithm, &quota.parse().unwrap(), || Duration::from_millis(4))
    }

    #[test]
    fn windows_of_a_second_and_more_are_counted_by_the_coarse_clock() {
        for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
            for quota in ["100/min", "1/s", "18446744073709551615/s", "0/s", "1/36600d"] {
                assert!(is_coarse(algorithm, quota), "{algorithm}, {quota}");
            }
            for quota in ["1/1ms", "1000/999999999ns"] {
                assert!(!is_coarse(algorithm, quota), "{algorithm}, {quota}");
            }
        }
    }

    #[test]
    fn buckets_are_too_where_they_take_a_hundred_readings_to_fill_up() {
        for quota in
            ["100/min", "1000/s", "2/s burst 1", "1000/s burst 400", "0/s burst 9", "1/36600d burst 9"]
        {
            assert!(is_coarse(Algorithm::TokenBucket, quota), "{quota}");
        }
        for quota in ["1000/s burst 1", "1000/s burst 399", "1/999ms", "5/s burst 0", "100000/min burst 600"]
        {
            assert!(!is_coarse(Algorithm::TokenBucket, quota), "{quota}");
        }
    }

    #[test]
    fn neither_an_absurd_quota_nor_an_absurd_resolution_overflows() {
        let bucket = |quota: Quota, resolution| may_be_coarse(Algorithm::TokenBucket, &quota, || resolution);
        let quota = Quota::per_day(u64::MAX).burst(u64::MAX);
        assert!(bucket(quota, Duration::from_millis(4)));
        assert!(!bucket(quota, Duration::MAX));
        assert!(!bucket(quota.burst(1), Duration::from_nanos(1)));
    }

    #[test]
    fn a_clock_of_the_users_own_is_left_alone() {
        let own = ClockChoice::Own(Arc::new(SystemClock));
        assert!(matches!(own.of(true), QuotaClock::Own(_)));
        let system = ClockChoice::System;
        assert!(matches!(
            system.of(system.is_coarse(Algorithm::FixedWindow, &Quota::per_hour(1))),
            QuotaClock::Coarse
        ));
    }
}
