//! Windows: the stretches of time in which a counter counts.

use std::time::Duration;

use crate::Timestamp;
use crate::timestamp::nanos;

/// How far the clocks of processes that share a backend may stand apart, and how far one clock may jump back,
/// before a backend may have forgotten what it would need to know.
///
/// A window stays known for one length and this long past its end. A backend may let its users set another value.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5);

/// The length of a window: from one millisecond to a hundred years, in whole nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowLength(u64);

impl WindowLength {
    /// One millisecond.
    pub const MIN: Self = Self(1_000_000);
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);
    /// Sixty seconds.
    pub const MINUTE: Self = Self(60 * Self::SECOND.0);
    /// Sixty minutes.
    pub const HOUR: Self = Self(60 * Self::MINUTE.0);
    /// Twenty-four hours.
    pub const DAY: Self = Self(24 * Self::HOUR.0);
    /// A hundred years of 366 days.
    pub const MAX: Self = Self(36_600 * Self::DAY.0);

    /// The length in nanoseconds; never zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The length as a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// A duration that cannot be the length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a window lasts from 1 ms to 100 years (36,600 days), and not {0:?}")]
pub struct InvalidWindowLength(pub Duration);

impl TryFrom<Duration> for WindowLength {
    type Error = InvalidWindowLength;

    fn try_from(duration: Duration) -> Result<Self, InvalidWindowLength> {
        let length = Self(nanos(duration));
        if (Self::MIN..=Self::MAX).contains(&length) {
            Ok(length)
        } else {
            Err(InvalidWindowLength(duration))
        }
    }
}

/// The window of a counter: when it counts, and part of what tells counters apart.
///
/// Two counters are the same if namespace, key and window are equal. The limit of a fixed or sliding window is not
/// part of it: limiters that differ only there share their counter, and each holds it against its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// From `start` until before `start + length`, with starts at multiples of the length since the Unix epoch.
    Aligned {
        /// When it starts.
        start: Timestamp,
        /// How long it lasts.
        length: WindowLength,
    },
    /// Opened by its first hit, for `length` from then on. The first hit gives it an id and metadata.
    FromFirstHit {
        /// How long it lasts once opened.
        length: WindowLength,
    },
    /// Without start or end. Its value is itself a time, the theoretical arrival time of the generic cell rate
    /// algorithm, in units of 1/`limit` nanosecond since the Unix epoch: `now` is `now.as_nanos() · limit`.
    Bucket {
        /// How many tokens flow in per length: the fineness of the unit.
        limit: u64,
        /// The time in which that many tokens flow in.
        length: WindowLength,
    },
}

impl Window {
    /// The aligned window of this length that contains `now`.
    ///
    /// ```
    /// # use limited_core::{Timestamp, Window, WindowLength};
    /// let window = Window::aligned(Timestamp::from_secs(125), WindowLength::MINUTE);
    /// assert_eq!(window, Window::Aligned { start: Timestamp::from_secs(120), length: WindowLength::MINUTE });
    /// ```
    pub const fn aligned(now: Timestamp, length: WindowLength) -> Self {
        let now = now.as_nanos();
        Self::Aligned { start: Timestamp::from_nanos(now - now % length.0), length }
    }

    /// The aligned window right before this one; `None` before the first one since the epoch, and for other windows.
    pub const fn previous(self) -> Option<Self> {
        match self {
            Self::Aligned { start, length } => match start.as_nanos().checked_sub(length.0) {
                Some(start) => Some(Self::Aligned { start: Timestamp::from_nanos(start), length }),
                None => None,
            },
            Self::FromFirstHit { .. } | Self::Bucket { .. } => None,
        }
    }

    /// How long it lasts; of a bucket, the time in which `limit` tokens flow in.
    pub const fn length(self) -> WindowLength {
        match self {
            Self::Aligned { length, .. } | Self::FromFirstHit { length } | Self::Bucket { length, .. } => {
                length
            }
        }
    }
}

/// Whether a window that started at `start` has ended by `now`: its first nanosecond past the end is `start + length`.
///
/// Correct for every input, where comparing with a saturated end would not be.
pub const fn has_ended(start: Timestamp, length: WindowLength, now: Timestamp) -> bool {
    now.as_nanos().saturating_sub(start.as_nanos()) >= length.0
}

/// From when on a backend may forget a window that started at `start`: one length and the allowed skew past its end.
/// Where that is beyond the last [`Timestamp`], it is that one, and [never comes](has_passed).
///
/// Until then a sliding window still weighs it, and a clock that jumps back still finds it.
pub const fn retained_until(start: Timestamp, length: WindowLength, skew: Duration) -> Timestamp {
    start.saturating_add(length.as_duration()).saturating_add(length.as_duration()).saturating_add(skew)
}

/// When a bucket whose value is `value` is full again, rounded up to the nanosecond. Where that is beyond the last
/// [`Timestamp`], it is that one, and [never comes](has_passed).
///
/// From then on it is the same as an absent one.
pub fn bucket_full_at(value: u128, limit: u64) -> Timestamp {
    match value {
        0 => Timestamp::EPOCH,
        // Nothing ever flows in.
        _ if limit == 0 => Timestamp::MAX,
        _ => Timestamp::from_nanos(u64::try_from(value.div_ceil(limit.into())).unwrap_or(u64::MAX)),
    }
}

/// Whether a time such as [`retained_until`] has come. The last [`Timestamp`] stands for all times beyond it, and never
/// comes.
pub const fn has_passed(time: Timestamp, now: Timestamp) -> bool {
    time.as_nanos() <= now.as_nanos() && time.as_nanos() < u64::MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_length() -> impl Strategy<Value = WindowLength> {
        (WindowLength::MIN.0..=WindowLength::MAX.0).prop_map(WindowLength)
    }

    #[test]
    fn lengths_reach_from_a_millisecond_to_a_hundred_years() {
        assert!(WindowLength::try_from(Duration::from_millis(1)).is_ok());
        assert!(WindowLength::try_from(Duration::from_secs(100 * 366 * 86_400)).is_ok());
        for refused in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
            assert_eq!(WindowLength::try_from(refused), Err(InvalidWindowLength(refused)));
        }
    }

    #[test]
    fn the_last_timestamp_never_comes() {
        let forgotten = retained_until(Timestamp::MAX, WindowLength::MIN, MAX_CLOCK_SKEW);
        assert!(!has_passed(forgotten, Timestamp::MAX));
        assert!(!has_passed(bucket_full_at(u128::MAX, 1), Timestamp::MAX));
        assert!(!has_passed(bucket_full_at(1, 0), Timestamp::MAX));
        assert!(has_passed(bucket_full_at(0, 0), Timestamp::EPOCH));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_aligned_window_contains_its_now(now: u64, length in any_length()) {
            let now = Timestamp::from_nanos(now);
            let Window::Aligned { start, .. } = Window::aligned(now, length) else { unreachable!() };
            prop_assert_eq!(start.as_nanos() % length.as_nanos(), 0);
            prop_assert!(start <= now);
            prop_assert!(!has_ended(start, length, now));
        }

        #[test]
        fn a_window_ends_one_length_after_its_start(start in 0..u64::MAX - WindowLength::MAX.0, length in any_length()) {
            let end = start + length.as_nanos();
            let start = Timestamp::from_nanos(start);
            prop_assert!(!has_ended(start, length, Timestamp::from_nanos(end - 1)));
            prop_assert!(has_ended(start, length, Timestamp::from_nanos(end)));
            prop_assert!(!has_ended(start, length, Timestamp::EPOCH) || start == Timestamp::EPOCH);
        }

        #[test]
        fn the_previous_window_ends_where_this_one_starts(now: u64, length in any_length()) {
            let window = Window::aligned(Timestamp::from_nanos(now), length);
            let Window::Aligned { start, .. } = window else { unreachable!() };
            match window.previous() {
                Some(Window::Aligned { start: before, .. }) => {
                    prop_assert_eq!(before.as_nanos() + length.as_nanos(), start.as_nanos());
                }
                Some(_) => prop_assert!(false, "an aligned window has an aligned one before it"),
                None => prop_assert!(start.as_nanos() < length.as_nanos()),
            }
        }

        #[test]
        fn a_bucket_is_full_when_its_value_has_passed(value: u128, limit in 1..=u64::MAX) {
            let full = u128::from(bucket_full_at(value, limit).as_nanos());
            let limit = u128::from(limit);
            if full < u128::from(u64::MAX) {
                prop_assert!(full * limit >= value);
                prop_assert!(full == 0 || (full - 1) * limit < value);
            }
        }
    }
}
