//! Errors of a limiter, and what to decide if the backend fails.

use limited_core::{BackendError, InvalidKey};

/// Why there is no decision. An error is neither a refusal nor an admission.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is empty or too long. The backend was not called.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The cost is 0, which would decide nothing. The backend was not called. Call
    /// [`peek`](crate::Limiter::peek) to read the state.
    #[error("a cost of 0 decides nothing; pass 1 or more, or call `peek` to read the state")]
    ZeroCost,
    /// The backend failed, and [`OnError::Return`] is set.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// Returns whether the same call may succeed a little later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_retryable(),
            Self::InvalidKey(_) | Self::ZeroCost => false,
        }
    }
}

/// What a limiter decides if its backend fails.
///
/// An invalid key and a cost of 0 are mistakes of the caller, and always errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// Returns the error; the caller decides.
    #[default]
    Return,
    /// Allows the hit ("fail open"): an outage of the backend is no outage of the service.
    Allow,
    /// Refuses the hit ("fail closed"): nothing passes without a limit.
    Deny,
}
