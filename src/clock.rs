//! Which clock is read.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{Clock, Sleep, SystemClock, Timestamp};

/// The system's clock, read without a detour, or the user's own.
#[derive(Clone)]
pub(crate) enum ClockChoice {
    System,
    Own(Arc<dyn Clock>),
}

impl ClockChoice {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemClock.now(),
            Self::Own(clock) => clock.now(),
        }
    }

    pub(crate) fn resolution(&self) -> Duration {
        match self {
            Self::System => SystemClock.resolution(),
            Self::Own(clock) => clock.resolution(),
        }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        match self {
            Self::System => SystemClock.sleep(duration),
            Self::Own(clock) => clock.sleep(duration),
        }
    }
}
