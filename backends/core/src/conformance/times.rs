//! The times and durations that the checks use.

use std::time::Duration;

use crate::{Timestamp, WindowLength};

/// 2026-01-01T00:00:00Z: the start of a minute, an hour and a day.
pub(super) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A time within the minute that starts at [`START`]. No clock or format coarser than 1 ns can
/// represent it.
pub(super) const NOW: Timestamp = Timestamp::from_nanos(START.as_nanos() + 7_123_456_789);

pub(super) const NANOSECOND: Duration = Duration::from_nanos(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = WindowLength::MINUTE.as_duration();

/// Returns the time one nanosecond earlier.
pub(super) const fn just_before(time: Timestamp) -> Timestamp {
    time.saturating_sub(NANOSECOND)
}
