//! Errors of limited attempts.

use std::fmt;
use std::time::Duration;

use limited_core::{BackendError, InvalidKey, InvalidWindowLength, debug_error};

/// Why there is no attempt: it is refused, or nothing could be decided.
///
/// Only [`TooManyAttempts`](Self::TooManyAttempts) is a refusal. A guarded action must not run
/// after any of these errors; they differ in what to tell the user.
///
/// [`Debug`](fmt::Debug), which `main` prints, is one line: the variant, the message, and the
/// message of each source.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// All attempts of this window are used up. This one was not counted.
    #[error("too many attempts; retry in {retry_after:?}, or reset the key")]
    TooManyAttempts {
        /// How long to wait until an attempt passes, if no other caller takes it: until the window
        /// ends.
        ///
        /// By a clock that reads every nanosecond it is exact: after this time an attempt passes,
        /// and a nanosecond earlier it is refused. For a coarser clock its
        /// [resolution](crate::Clock::resolution) is added, so that this time is always enough.
        /// With a maximum of 0, for which no waiting helps, it is the validity.
        retry_after: Duration,
    },
    /// The key is empty or too long. The backend was not called.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The validity passed to [`LimitedAttempt::new`](crate::LimitedAttempt::new) is out of range.
    /// The backend was not called.
    #[error("validity of attempts: {0}")]
    InvalidWindowLength(#[from] InvalidWindowLength),
    /// The backend failed, and nothing was decided. The attempt may have been counted.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl AttemptError {
    /// Returns how long to wait, if this is a refusal.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(*retry_after),
            Self::InvalidKey(_) | Self::InvalidWindowLength(_) | Self::Backend(_) => None,
        }
    }

    /// Returns whether the backend failed, and the same call may succeed a little later.
    ///
    /// Returns `false` for a refusal: [`retry_after`](Self::retry_after) returns when it ends.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_retryable(),
            Self::TooManyAttempts { .. } | Self::InvalidKey(_) | Self::InvalidWindowLength(_) => false,
        }
    }
}

impl fmt::Debug for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAttempts { .. } => debug_error(f, "TooManyAttempts", self),
            Self::InvalidKey(error) => write!(f, "InvalidKey({error:?})"),
            Self::InvalidWindowLength(_) => debug_error(f, "InvalidWindowLength", self),
            Self::Backend(error) => write!(f, "Backend({error:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_that_main_prints_says_variant_and_message() {
        for (error, text) in [
            (
                AttemptError::TooManyAttempts { retry_after: Duration::from_secs(90) },
                "TooManyAttempts: too many attempts; retry in 90s, or reset the key",
            ),
            (
                InvalidWindowLength(Duration::ZERO).into(),
                "InvalidWindowLength: validity of attempts: invalid window length 0ns; expected 1 ms to \
                 100 years (36,600 days)",
            ),
            (
                BackendError::throttled("slow down").into(),
                "Backend(Throttled: the backend is throttling: slow down)",
            ),
            (InvalidKey::Empty.into(), "InvalidKey(Empty: the key is empty; expected 1 to 1024 bytes)"),
        ] {
            assert_eq!(format!("{error:?}"), text);
        }
    }
}
