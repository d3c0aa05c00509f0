//! The clock of a limiter, and when a coarse one is precise enough.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{Clock, CoarseClock, Sleep, SystemClock, Timestamp, WindowLength};

use crate::{Algorithm, Quota};

/// The clock of the system, called without dynamic dispatch, or a custom one.
#[derive(Clone)]
pub(crate) enum LimiterClock {
    System,
    Custom(Arc<dyn Clock>),
}

impl LimiterClock {
    pub(crate) fn custom(clock: impl Clock + 'static) -> Self {
        Self::Custom(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now_by(false)
    }

    pub(crate) fn resolution(&self) -> Duration {
        self.resolution_by(false)
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        match self {
            Self::System => SystemClock.sleep(duration),
            Self::Custom(clock) => clock.sleep(duration),
        }
    }

    /// Returns whether to read the coarse one of the two system clocks for this quota. A custom
    /// clock is always read itself.
    #[inline]
    pub(crate) fn is_coarse(&self, algorithm: Algorithm, quota: &Quota) -> bool {
        matches!(self, Self::System) && coarse_is_enough(algorithm, quota, || CoarseClock.resolution())
    }

    /// Returns the time by the coarse or by the precise system clock, or by the custom clock.
    #[inline]
    pub(crate) fn now_by(&self, is_coarse: bool) -> Timestamp {
        match self {
            Self::System if is_coarse => CoarseClock.now(),
            Self::System => SystemClock.now(),
            Self::Custom(clock) => clock.now(),
        }
    }

    /// Returns the resolution of the clock that [`now_by`](Self::now_by) reads.
    // Not inlined, because only a refusal needs it.
    #[inline(never)]
    pub(crate) fn resolution_by(&self, is_coarse: bool) -> Duration {
        match self {
            Self::System if is_coarse => CoarseClock.resolution(),
            Self::System => SystemClock.resolution(),
            Self::Custom(clock) => clock.resolution(),
        }
    }
}

/// The least number of clock ticks in which a bucket may fill up, if a coarse clock is to be used.
///
/// Tokens that would flow into a full bucket are lost. By a coarse clock, a token is taken up to
/// one tick late. A caller that takes every token at once therefore loses at most one tick of each
/// refill, which is one part in this number.
const MIN_TICKS_PER_REFILL: u64 = 100;

/// Returns whether a clock of this resolution is precise enough for the quota.
#[inline]
fn coarse_is_enough(algorithm: Algorithm, quota: &Quota, resolution: impl FnOnce() -> Duration) -> bool {
    if quota.length() < WindowLength::SECOND {
        return false;
    }
    match algorithm {
        Algorithm::FixedWindow | Algorithm::SlidingWindow => true,
        // A stretch of one window is exact by the clock that is read.
        Algorithm::SlidingLog => false,
        // A refill takes capacity · length / limit. Products of two 64-bit numbers cannot overflow.
        Algorithm::TokenBucket => {
            let refill = u128::from(quota.capacity()) * u128::from(quota.length().as_nanos());
            let tick = u64::try_from(resolution().as_nanos()).unwrap_or(u64::MAX);
            let min_refill = u128::from(tick.saturating_mul(MIN_TICKS_PER_REFILL));
            refill >= min_refill * u128::from(quota.limit())
        }
    }
}

#[cfg(test)]
mod tests {
    use limited_core::ManualClock;

    use super::*;

    fn is_enough(algorithm: Algorithm, quota: &str) -> bool {
        coarse_is_enough(algorithm, &quota.parse().unwrap(), || Duration::from_millis(4))
    }

    #[test]
    fn coarse_clock_is_enough_for_windows_of_a_second_or_longer() {
        for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
            for quota in ["100/min", "1/s", "18446744073709551615/s", "0/s", "1/36600d"] {
                assert!(is_enough(algorithm, quota), "{algorithm}, {quota}");
            }
            for quota in ["1/1ms", "1000/999999999ns"] {
                assert!(!is_enough(algorithm, quota), "{algorithm}, {quota}");
            }
        }
    }

    #[test]
    fn coarse_clock_is_never_enough_for_a_log() {
        for quota in ["1/s", "100/min", "1/36600d"] {
            assert!(!is_enough(Algorithm::SlidingLog, quota), "{quota}");
        }
    }

    #[test]
    fn coarse_clock_is_enough_for_buckets_that_fill_up_in_100_ticks_or_more() {
        for quota in
            ["100/min", "1000/s", "2/s burst 1", "1000/s burst 400", "0/s burst 9", "1/36600d burst 9"]
        {
            assert!(is_enough(Algorithm::TokenBucket, quota), "{quota}");
        }
        for quota in ["1000/s burst 1", "1000/s burst 399", "1/999ms", "100000/min burst 600"] {
            assert!(!is_enough(Algorithm::TokenBucket, quota), "{quota}");
        }
        let empty = Quota::per_second(5).burst(0);
        assert!(!coarse_is_enough(Algorithm::TokenBucket, &empty, || Duration::from_millis(4)));
    }

    #[test]
    fn extreme_quota_and_resolution_do_not_overflow() {
        let bucket =
            |quota: Quota, resolution| coarse_is_enough(Algorithm::TokenBucket, &quota, || resolution);
        let quota = Quota::per_day(u64::MAX).burst(u64::MAX);
        assert!(bucket(quota, Duration::from_millis(4)));
        assert!(!bucket(quota, Duration::MAX));
        assert!(!bucket(quota.burst(1), Duration::from_nanos(1)));
    }

    #[test]
    fn custom_clock_is_never_replaced_by_the_coarse_one() {
        let quota = Quota::per_hour(1);
        let custom = LimiterClock::custom(ManualClock::at(Timestamp::EPOCH));
        assert!(!custom.is_coarse(Algorithm::FixedWindow, &quota));
        assert_eq!((custom.now_by(true), custom.now()), (Timestamp::EPOCH, Timestamp::EPOCH));
        assert_eq!(custom.resolution_by(true), custom.resolution());
        assert!(LimiterClock::System.is_coarse(Algorithm::FixedWindow, &quota));
        assert_eq!(LimiterClock::System.resolution_by(true), CoarseClock.resolution());
    }
}
