//! What can go wrong with a decision.

use limited_core::{BackendError, InvalidKey};

/// Why there is no decision. Never a refusal, and never an admission.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is empty or too long: nothing was asked of the backend.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A cost of 0 decides nothing: look at the state with [`peek`](crate::Limiter::peek).
    #[error("a cost of 0 decides nothing: ask for 1 or more, or look at the state with `peek`")]
    ZeroCost,
    /// The backend failed, and [`OnError::Return`](crate::OnError::Return) is set.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// Whether the same call may succeed a little later, without anybody changing anything.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_retryable(),
            Self::InvalidKey(_) | Self::ZeroCost => false,
        }
    }
}

/// What a limiter decides when its backend fails.
///
/// It is about the backend only. A bad key or a cost of 0 is the caller's own error, and always returned as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// Nothing: the error is returned, and the caller decides.
    #[default]
    Return,
    /// It may happen ("fail open"): an outage of the backend does not become one of the service.
    Allow,
    /// It may not ("fail closed"): nothing passes unlimited.
    Deny,
}
