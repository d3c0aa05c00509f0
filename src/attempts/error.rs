//! Why there is no attempt.

use std::time::Duration;

use limited_core::{BackendError, InvalidKey, InvalidWindowLength};

/// Why there is no attempt: it is refused, or nothing could be decided.
///
/// Only [`TooManyAttempts`](Self::TooManyAttempts) is a refusal. Whoever guards something lets nobody pass on any of
/// them; they differ in what to tell those who wait.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// All the attempts of this window are used up. This one was not counted.
    #[error("too many attempts: wait {retry_after:?} until the next, or reset the key")]
    TooManyAttempts {
        /// How long to wait until an attempt passes, if nobody else takes it: until the window has ended.
        ///
        /// It is exact to the nanosecond in the clock's reading: waiting that long is enough, a nanosecond less is
        /// not. Where the clock is coarser, its [resolution](crate::Clock::resolution) is added, so that it is still
        /// enough. With a maximum of 0, which no waiting helps, it is the validity.
        retry_after: Duration,
    },
    /// The key is empty or too long: nothing was asked of the backend.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The validity that [`LimitedAttempt::new`](crate::LimitedAttempt::new) was given is not the length of a window:
    /// nothing was asked of the backend.
    #[error("the validity of attempts is out of range: {0}")]
    InvalidWindowLength(#[from] InvalidWindowLength),
    /// The backend failed, and nothing was decided. The attempt may have been counted.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl AttemptError {
    /// How long to wait, if this is a refusal.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(*retry_after),
            Self::InvalidKey(_) | Self::InvalidWindowLength(_) | Self::Backend(_) => None,
        }
    }

    /// Whether the backend failed in a way that may pass by itself, so that the same call may succeed a little later.
    ///
    /// A refusal is no failure: [`retry_after`](Self::retry_after) says when it ends.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_retryable(),
            Self::TooManyAttempts { .. } | Self::InvalidKey(_) | Self::InvalidWindowLength(_) => false,
        }
    }
}
