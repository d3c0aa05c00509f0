//! Windows: when a counter counts, when it ends, and how long a backend retains it.

use std::fmt;
use std::time::Duration;

use crate::timestamp::nanos;
use crate::{Timestamp, debug_error};

/// The maximum clock skew: how far the clocks of processes that share a backend may differ, and how
/// far one clock may jump back.
///
/// A backend retains a window for one length and this long after its end. What is further ahead of
/// the time than this was [written by a wrong clock](is_ahead). A backend may let its users set
/// another value.
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

    /// Returns the length that is equal to a duration.
    ///
    /// # Errors
    ///
    /// [`InvalidWindowLength`] if the duration is shorter than [`MIN`](Self::MIN) or longer than
    /// [`MAX`](Self::MAX).
    pub const fn new(duration: Duration) -> Result<Self, InvalidWindowLength> {
        match nanos(duration) {
            length if length < Self::MIN.0 || length > Self::MAX.0 => Err(InvalidWindowLength(duration)),
            length => Ok(Self(length)),
        }
    }

    /// Returns the length in nanoseconds; never zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the length as a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// A duration that cannot be the length of a window.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid window length {0:?}; expected 1 ms to 100 years (36,600 days)")]
pub struct InvalidWindowLength(pub Duration);

impl fmt::Debug for InvalidWindowLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_error(f, "InvalidWindowLength", self)
    }
}

impl TryFrom<Duration> for WindowLength {
    type Error = InvalidWindowLength;

    fn try_from(duration: Duration) -> Result<Self, InvalidWindowLength> {
        Self::new(duration)
    }
}

/// The window of a counter: when it counts. It is part of the counter's identity.
///
/// Two counters are the same if namespace, key and window are equal. The limit is not part of it.
/// Limiters that differ only in their limit share a counter, and each compares it with its own
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// From `start` until just before `start + length`. Starts are multiples of the length since
    /// the Unix epoch.
    Aligned {
        /// The start.
        start: Timestamp,
        /// The length.
        length: WindowLength,
    },
    /// From its first hit, for `length`. The first hit gives it an id and metadata.
    FromFirstHit {
        /// The length.
        length: WindowLength,
    },
    /// A token bucket, without start or end. Its value is a time: the theoretical arrival time of
    /// the generic cell rate algorithm, in units of 1/`limit` nanosecond since the Unix epoch. In
    /// this unit `now` is `now.as_nanos() · limit`.
    ///
    /// The limit is that of the operation ([`Counter::with_bucket`](crate::Counter::with_bucket)).
    /// If it changes, the value is [converted](crate::bucket).
    Bucket {
        /// The time in which as many tokens as the limit flow in.
        length: WindowLength,
    },
    /// The last `length` before the operation, exactly: the counter logs the time of each hit
    /// ([`HitLog`](crate::HitLog)).
    Log {
        /// The length.
        length: WindowLength,
    },
    /// From `start` until just before `end`: a day, week, month or year of a calendar. Counters
    /// with equal start and end are the same.
    Span {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
}

impl Window {
    /// The counter of a block: a [bucket](Self::Bucket) of one token per nanosecond. With a limit
    /// of 1, its value is the time in nanoseconds until which the key is blocked.
    ///
    /// No quota has windows of this length, so no other counter is the same.
    pub const BLOCK: Self = Self::Bucket { length: WindowLength(1) };

    /// Returns the aligned window of this length that contains `now`.
    ///
    /// ```
    /// # use limited_core::{Timestamp, Window, WindowLength};
    /// let window = Window::aligned(Timestamp::from_secs(125), WindowLength::MINUTE);
    /// let start = Timestamp::from_secs(120);
    /// assert_eq!(window, Window::Aligned { start, length: WindowLength::MINUTE });
    /// ```
    pub const fn aligned(now: Timestamp, length: WindowLength) -> Self {
        let now = now.as_nanos();
        Self::Aligned { start: Timestamp::from_nanos(now - now % length.0), length }
    }

    /// Returns the aligned window directly before this one. `None` for the first one since the
    /// epoch, and for other kinds of window.
    pub const fn previous(self) -> Option<Self> {
        match self {
            Self::Aligned { start, length } => match start.as_nanos().checked_sub(length.0) {
                Some(start) => Some(Self::Aligned { start: Timestamp::from_nanos(start), length }),
                None => None,
            },
            Self::FromFirstHit { .. } | Self::Bucket { .. } | Self::Log { .. } | Self::Span { .. } => None,
        }
    }

    /// Returns the length; for a bucket, the time in which as many tokens as the limit flow in.
    pub const fn length(self) -> WindowLength {
        match self {
            Self::Aligned { length, .. }
            | Self::FromFirstHit { length }
            | Self::Bucket { length }
            | Self::Log { length } => length,
            Self::Span { start, end } => {
                WindowLength(match end.as_nanos().saturating_sub(start.as_nanos()) {
                    0 => 1,
                    nanos => nanos,
                })
            }
        }
    }
}

/// Returns whether a window that started at `start` has ended at `now`. The first nanosecond after
/// it is `start + length`.
///
/// The result is correct for every input; a comparison with a saturated end is not.
pub const fn has_ended(start: Timestamp, length: WindowLength, now: Timestamp) -> bool {
    now.as_nanos().saturating_sub(start.as_nanos()) >= length.0
}

/// Returns whether a window from the first hit that started at `start` can only have been started
/// by a wrong clock: `start` is ahead of `now` by more than the maximum clock skew. Such a window
/// is absent.
pub const fn is_ahead(start: Timestamp, now: Timestamp, skew: Duration) -> bool {
    now.saturating_add(skew).as_nanos() < start.as_nanos()
}

/// Returns the time from which a backend may forget a window that started at `start`: one length
/// and the maximum skew after its end. Saturates at the last [`Timestamp`], which [never
/// passes](has_passed).
///
/// Until then a sliding counter still needs its value, also if the clock jumps back within the
/// skew. After a jump back by up to one length more, the window itself is still found, and not the
/// weight of the window before it.
pub const fn retained_until(start: Timestamp, length: WindowLength, skew: Duration) -> Timestamp {
    start.saturating_add(length.as_duration()).saturating_add(length.as_duration()).saturating_add(skew)
}

/// Returns the time at which a bucket with this value is full again, rounded up to the nanosecond.
/// Saturates at the last [`Timestamp`], which [never passes](has_passed).
///
/// From then on the bucket is equivalent to an absent one.
pub fn bucket_full_at(value: u128, limit: u64) -> Timestamp {
    match value {
        0 => Timestamp::EPOCH,
        // No token is ever refilled.
        _ if limit == 0 => Timestamp::MAX,
        _ => Timestamp::from_nanos(u64::try_from(value.div_ceil(limit.into())).unwrap_or(u64::MAX)),
    }
}

/// Returns whether `time`, such as a result of [`retained_until`], is at or before `now`. The last
/// [`Timestamp`] stands for all later times, and never passes.
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
    fn window_is_ahead_if_it_starts_after_the_skew() {
        let (now, skew) = (Timestamp::from_secs(100), Duration::from_secs(5));
        let ahead = |nanos| is_ahead(Timestamp::from_nanos(nanos), now, skew);
        assert!(!ahead(0) && !ahead(105_000_000_000) && ahead(105_000_000_001));
        assert!(!is_ahead(Timestamp::MAX, now, Duration::MAX));
        assert!(!is_ahead(Timestamp::MAX, Timestamp::MAX, Duration::ZERO));
    }

    #[test]
    fn last_timestamp_never_passes() {
        let retained = retained_until(Timestamp::MAX, WindowLength::MIN, MAX_CLOCK_SKEW);
        assert!(!has_passed(retained, Timestamp::MAX));
        assert!(!has_passed(bucket_full_at(u128::MAX, 1), Timestamp::MAX));
        assert!(!has_passed(bucket_full_at(1, 0), Timestamp::MAX));
        assert!(has_passed(bucket_full_at(0, 0), Timestamp::EPOCH));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn aligned_window_contains_its_now(now: u64, length in any_length()) {
            let now = Timestamp::from_nanos(now);
            let Window::Aligned { start, .. } = Window::aligned(now, length) else { unreachable!() };
            prop_assert_eq!(start.as_nanos() % length.as_nanos(), 0);
            prop_assert!(start <= now);
            prop_assert!(!has_ended(start, length, now));
        }

        #[test]
        fn window_ends_one_length_after_its_start(start in 0..u64::MAX - WindowLength::MAX.0, length in any_length()) {
            let end = start + length.as_nanos();
            let start = Timestamp::from_nanos(start);
            prop_assert!(!has_ended(start, length, Timestamp::from_nanos(end - 1)));
            prop_assert!(has_ended(start, length, Timestamp::from_nanos(end)));
            prop_assert!(!has_ended(start, length, Timestamp::EPOCH) || start == Timestamp::EPOCH);
        }

        #[test]
        fn previous_window_ends_where_this_one_starts(now: u64, length in any_length()) {
            let window = Window::aligned(Timestamp::from_nanos(now), length);
            let Window::Aligned { start, .. } = window else { unreachable!() };
            match window.previous() {
                Some(Window::Aligned { start: before, .. }) => {
                    prop_assert_eq!(before.as_nanos() + length.as_nanos(), start.as_nanos());
                }
                Some(_) => prop_assert!(false, "the previous window of an aligned window is aligned"),
                None => prop_assert!(start.as_nanos() < length.as_nanos()),
            }
        }

        #[test]
        fn bucket_is_full_when_its_value_has_passed(value: u128, limit in 1..=u64::MAX) {
            let full = u128::from(bucket_full_at(value, limit).as_nanos());
            let limit = u128::from(limit);
            if full < u128::from(u64::MAX) {
                prop_assert!(full * limit >= value);
                prop_assert!(full == 0 || (full - 1) * limit < value);
            }
        }
    }
}
