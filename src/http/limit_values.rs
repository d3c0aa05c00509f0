//! What headers say about a limit.

use std::time::Duration;

use super::retry_after::seconds;
use crate::Decision;

/// The values of a limit, as of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitValues {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    is_rejection: bool,
    retry_after: Option<Duration>,
    reset_after: Duration,
    /// The longest wait that a rejection asks for, in seconds.
    max_wait: u64,
}

impl LimitValues {
    pub(super) const fn new(decision: &Decision, max_wait: u64) -> Self {
        Self {
            limit: decision.limit(),
            remaining: decision.remaining(),
            is_rejection: !decision.is_allowed(),
            retry_after: decision.retry_after(),
            reset_after: decision.reset_after(),
            max_wait,
        }
    }

    /// Returns the values as if this cost had not been counted.
    pub(super) const fn without(self, cost: u64) -> Self {
        Self { remaining: self.remaining.saturating_add(cost), ..self }
    }

    /// Returns the values of a key that is blocked.
    pub(super) const fn blocked(self, wait: Option<Duration>) -> Self {
        Self { remaining: 0, is_rejection: true, retry_after: wait, ..self }
    }

    /// Returns for how many seconds `remaining` is of use, rounded up. After a rejection these are
    /// the seconds to wait.
    pub(super) fn effective_seconds(self) -> u64 {
        self.up_to_max(seconds(self.retry_after.unwrap_or(self.reset_after)))
    }

    /// Returns the seconds until the reset, rounded up. After a rejection they are at least those
    /// to wait.
    pub(super) fn reset_seconds(self) -> u64 {
        self.up_to_max(seconds(self.uncapped_reset()))
    }

    /// Returns the time until the reset. After a rejection it is at least the time to wait.
    pub(super) fn reset(self) -> Duration {
        let max = if self.is_rejection { Duration::from_secs(self.max_wait) } else { Duration::MAX };
        self.uncapped_reset().min(max)
    }

    fn uncapped_reset(self) -> Duration {
        self.retry_after.unwrap_or_default().max(self.reset_after)
    }

    /// Returns the seconds, and after a rejection at most the maximum: the client may wait for
    /// them.
    const fn up_to_max(self, seconds: u64) -> u64 {
        if !self.is_rejection || seconds < self.max_wait { seconds } else { self.max_wait }
    }
}
