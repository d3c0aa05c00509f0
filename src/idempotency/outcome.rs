//! What a run comes to.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{BackendError, InvalidKey};

/// The result of the handler, and whether it ran now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The handler ran, and this is what it returned.
    Executed(T),
    /// The handler had run before, and this is what it returned then.
    Replayed(T),
}

impl<T> Outcome<T> {
    /// The result, however it came.
    pub fn into_inner(self) -> T {
        match self {
            Self::Executed(result) | Self::Replayed(result) => result,
        }
    }

    /// The result, however it came.
    pub const fn get(&self) -> &T {
        match self {
            Self::Executed(result) | Self::Replayed(result) => result,
        }
    }

    /// Whether the result is that of an earlier run.
    pub const fn is_replayed(&self) -> bool {
        matches!(self, Self::Replayed(_))
    }
}

/// Why a run has no result that counts. `E` is the handler's error, and `T` its result.
///
/// It is an [`Error`](std::error::Error) where `E` is one. A handler whose error is none, such as a `String`, has a
/// caller that takes it out: with [`into_outcome`](Self::into_outcome), or by matching.
#[non_exhaustive]
pub enum IdempotencyError<E, T = ()> {
    /// The key is empty or too long: nothing was asked of the backend, and the handler did not run.
    InvalidKey(InvalidKey),
    /// The request cannot be written as JSON: nothing was asked of the backend, and the handler did not run.
    InvalidRequest(serde_json::Error),
    /// The key belongs to another request, that is done or in progress. The handler did not run; the caller mixes up its
    /// keys.
    KeyReused,
    /// Somebody is at the same request. The handler did not run; ask again with the same key.
    InProgress {
        /// How long from now the other's lease lasts. By then it is done, renewed, or free. Where it is done sooner, so
        /// is the answer; [`wait_timeout`](crate::Idempotency::wait_timeout) waits for it.
        retry_after: Duration,
    },
    /// The handler ran, and failed with this error. Where errors are not remembered, the key is free again, at the latest
    /// once the lease has ended, should the backend not have been told.
    Failed(E),
    /// The handler had run before, and failed with this error, which was remembered.
    ReplayedError(E),
    /// The handler ran to its end, now or before, and its result could not be kept. It will not run again.
    NotStored {
        /// Why not.
        reason: Arc<str>,
        /// What the handler returned, where it ran now.
        outcome: Option<Result<T, E>>,
    },
    /// The handler ran to its end, but the claim was gone by then: its lease had ended, and somebody else was granted the
    /// key, or somebody removed it. Nothing was recorded; what somebody else records is the result that counts, and the
    /// handler may have run twice. See [`Claim`](crate::Claim).
    LeaseLost {
        /// What the handler returned.
        outcome: Result<T, E>,
    },
    /// The handler ran to its end, and the backend could not be told so: the key is in progress until the lease ends, or
    /// done. As after a crash, it may run again then.
    NotRecorded {
        /// What the handler returned.
        outcome: Result<T, E>,
        /// What the backend said last.
        error: BackendError,
    },
    /// What was kept of an earlier run cannot be read as a result of this type: it was written by another version of the
    /// program, or by a handler of something else. The handler did not run.
    Decode(serde_json::Error),
    /// The backend failed before the handler ran. Where its answer was lost, the key may be in progress until the lease
    /// ends.
    Backend(BackendError),
}

impl<E, T> IdempotencyError<E, T> {
    /// Whether the same call may succeed a little later, without anybody changing anything.
    ///
    /// Of the handler's own error only the caller can know: this says `false`.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InProgress { .. } | Self::LeaseLost { .. } | Self::NotRecorded { .. } => true,
            Self::Backend(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// How long to wait, where somebody else is at it.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// What the handler returned, where it ran now.
    pub fn into_outcome(self) -> Option<Result<T, E>> {
        match self {
            Self::Failed(error) => Some(Err(error)),
            Self::NotStored { outcome, .. } => outcome,
            Self::LeaseLost { outcome } | Self::NotRecorded { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// The same without what the handler returned, for functions whose errors are about less.
    pub fn without_outcome(self) -> IdempotencyError<E> {
        let unit = |outcome: Result<T, E>| outcome.map(drop);
        match self {
            Self::InvalidKey(error) => IdempotencyError::InvalidKey(error),
            Self::InvalidRequest(error) => IdempotencyError::InvalidRequest(error),
            Self::KeyReused => IdempotencyError::KeyReused,
            Self::InProgress { retry_after } => IdempotencyError::InProgress { retry_after },
            Self::Failed(error) => IdempotencyError::Failed(error),
            Self::ReplayedError(error) => IdempotencyError::ReplayedError(error),
            Self::NotStored { reason, outcome } => {
                IdempotencyError::NotStored { reason, outcome: outcome.map(unit) }
            }
            Self::LeaseLost { outcome } => IdempotencyError::LeaseLost { outcome: unit(outcome) },
            Self::NotRecorded { outcome, error } => {
                IdempotencyError::NotRecorded { outcome: unit(outcome), error }
            }
            Self::Decode(error) => IdempotencyError::Decode(error),
            Self::Backend(error) => IdempotencyError::Backend(error),
        }
    }
}

impl<E: fmt::Display, T> fmt::Display for IdempotencyError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => error.fmt(f),
            Self::InvalidRequest(error) => write!(f, "the request cannot be written as JSON: {error}"),
            Self::KeyReused => {
                f.write_str("the key belongs to another request: use a fresh key for each request")
            }
            Self::InProgress { retry_after } => {
                write!(f, "the same request is in progress: ask again, in {retry_after:?} at the latest")
            }
            Self::Failed(error) => error.fmt(f),
            Self::ReplayedError(error) => write!(f, "the request failed before, for good: {error}"),
            Self::NotStored { reason, .. } => {
                write!(f, "the request is done, and its result could not be kept: {reason}")
            }
            Self::LeaseLost { .. } => f.write_str(
                "the claim was gone before the request was done: ask again for the result of whoever has it now, \
                 and make the lease longer unless somebody removed the key",
            ),
            Self::NotRecorded { error, .. } => {
                write!(f, "the request was carried out, and this could not be recorded: {error}")
            }
            Self::Decode(error) => {
                write!(f, "the result that was kept is of another type than the one asked for: {error}")
            }
            Self::Backend(error) => error.fmt(f),
        }
    }
}

// By hand, since a result need not be `Debug` for an error to be, and a result may be a secret.
impl<E: fmt::Debug, T> fmt::Debug for IdempotencyError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |outcome: &Result<T, E>| if outcome.is_ok() { "Ok(..)" } else { "Err(..)" };
        match self {
            Self::InvalidKey(error) => f.debug_tuple("InvalidKey").field(error).finish(),
            Self::InvalidRequest(error) => f.debug_tuple("InvalidRequest").field(error).finish(),
            Self::KeyReused => f.write_str("KeyReused"),
            Self::InProgress { retry_after } => {
                f.debug_struct("InProgress").field("retry_after", retry_after).finish()
            }
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::ReplayedError(error) => f.debug_tuple("ReplayedError").field(error).finish(),
            Self::NotStored { reason, outcome } => f
                .debug_struct("NotStored")
                .field("reason", reason)
                .field("outcome", &format_args!("{}", outcome.as_ref().map_or("None", told)))
                .finish(),
            Self::LeaseLost { outcome } => {
                f.debug_struct("LeaseLost").field("outcome", &format_args!("{}", told(outcome))).finish()
            }
            Self::NotRecorded { outcome, error } => f
                .debug_struct("NotRecorded")
                .field("outcome", &format_args!("{}", told(outcome)))
                .field("error", error)
                .finish(),
            Self::Decode(error) => f.debug_tuple("Decode").field(error).finish(),
            Self::Backend(error) => f.debug_tuple("Backend").field(error).finish(),
        }
    }
}

impl<E: StdError + 'static, T> StdError for IdempotencyError<E, T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidKey(error) => error.source(),
            Self::InvalidRequest(error) | Self::Decode(error) => error.source(),
            Self::Failed(error) | Self::ReplayedError(error) => error.source(),
            Self::Backend(error) | Self::NotRecorded { error, .. } => error.source(),
            Self::KeyReused | Self::InProgress { .. } | Self::NotStored { .. } | Self::LeaseLost { .. } => {
                None
            }
        }
    }
}

impl<E, T> From<InvalidKey> for IdempotencyError<E, T> {
    fn from(error: InvalidKey) -> Self {
        Self::InvalidKey(error)
    }
}

impl<E, T> From<BackendError> for IdempotencyError<E, T> {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
