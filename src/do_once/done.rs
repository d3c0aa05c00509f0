//! What doing something once comes to.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use limited_core::{BackendError, InvalidKey, Timestamp};

/// Something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done<T> {
    /// It was done by this call.
    Executed {
        /// When.
        at: Timestamp,
        /// What the action returned.
        value: T,
    },
    /// It had been done before. The action did not run.
    AlreadyDone {
        /// When.
        at: Timestamp,
    },
}

impl<T> Done<T> {
    /// When it was done.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Executed { at, .. } | Self::AlreadyDone { at } => *at,
        }
    }
}

/// Why something is not known to be done. `E` is the action's error, and `T` its result.
#[non_exhaustive]
pub enum DoOnceError<E, T = ()> {
    /// Scope and action together are too long for a key: nothing was asked of the backend.
    InvalidKey(InvalidKey),
    /// Somebody is at it. The action did not run.
    InProgress {
        /// How long from now the other's lease lasts. By then it is done, renewed, or free.
        retry_after: Duration,
    },
    /// The action ran, and failed with this error. It can be tried again, unless it was to happen at most once.
    Failed(E),
    /// The action ran to its end, but the claim was gone by then: its lease had ended, and somebody else was granted it,
    /// who may have done it a second time; or somebody cleared it. Nothing was recorded. See [`Claim`](crate::Claim).
    LeaseLost {
        /// What the action returned.
        outcome: Result<T, E>,
    },
    /// The action succeeded, and the backend could not be told so. As after a crash, it may run again once the lease has
    /// ended.
    NotRecorded {
        /// What the action returned.
        value: T,
        /// What the backend said last.
        error: BackendError,
    },
    /// The backend failed before the action ran. Where its answer was lost, the action may be blocked until the lease
    /// ends; one that was to happen at most once may be marked as done.
    Backend(BackendError),
}

impl<E, T> DoOnceError<E, T> {
    /// Whether the same call may succeed a little later, without anybody changing anything. Of the action's own error
    /// only the caller can know: this says `false`.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::InProgress { .. } | Self::LeaseLost { .. } | Self::NotRecorded { .. } => true,
            Self::Backend(error) => error.is_retryable(),
            Self::InvalidKey(_) | Self::Failed(_) => false,
        }
    }

    /// How long to wait, where somebody else is at it.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// What the action returned, where it ran.
    pub fn into_outcome(self) -> Option<Result<T, E>> {
        match self {
            Self::Failed(error) => Some(Err(error)),
            Self::LeaseLost { outcome } => Some(outcome),
            Self::NotRecorded { value, .. } => Some(Ok(value)),
            Self::InvalidKey(_) | Self::InProgress { .. } | Self::Backend(_) => None,
        }
    }
}

impl<E: fmt::Display, T> fmt::Display for DoOnceError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => error.fmt(f),
            Self::InProgress { retry_after } => {
                write!(f, "somebody is at it: ask again, in {retry_after:?} at the latest")
            }
            Self::Failed(error) => error.fmt(f),
            Self::LeaseLost { .. } => f.write_str(
                "the claim was gone before it was done: make the lease longer, unless somebody cleared it",
            ),
            Self::NotRecorded { error, .. } => {
                write!(f, "it is done, and this could not be recorded: {error}")
            }
            Self::Backend(error) => error.fmt(f),
        }
    }
}

// By hand, since a result need not be `Debug` for an error to be.
impl<E: fmt::Debug, T> fmt::Debug for DoOnceError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => f.debug_tuple("InvalidKey").field(error).finish(),
            Self::InProgress { retry_after } => {
                f.debug_struct("InProgress").field("retry_after", retry_after).finish()
            }
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::LeaseLost { .. } => f.debug_struct("LeaseLost").finish_non_exhaustive(),
            Self::NotRecorded { error, .. } => {
                f.debug_struct("NotRecorded").field("error", error).finish_non_exhaustive()
            }
            Self::Backend(error) => f.debug_tuple("Backend").field(error).finish(),
        }
    }
}

impl<E: StdError + 'static, T> StdError for DoOnceError<E, T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidKey(error) => error.source(),
            Self::Failed(error) => error.source(),
            Self::Backend(error) | Self::NotRecorded { error, .. } => error.source(),
            Self::InProgress { .. } | Self::LeaseLost { .. } => None,
        }
    }
}

impl<E, T> From<InvalidKey> for DoOnceError<E, T> {
    fn from(error: InvalidKey) -> Self {
        Self::InvalidKey(error)
    }
}

impl<E, T> From<BackendError> for DoOnceError<E, T> {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
