//! The error of a run under a claim.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{BackendError, InvalidKey};

/// The error of [`Idempotency`](crate::Idempotency) and [`DoOnce`](crate::DoOnce). `E` is the error
/// of the handler, and `T` its value. The handler of `DoOnce` is its action.
///
/// | variant | the handler | the key afterwards |
/// |---|---|---|
/// | [`InvalidKey`](Self::InvalidKey), `InvalidRequest` | did not run | unchanged; no request was sent |
/// | [`KeyReused`](Self::KeyReused) | did not run | belongs to another request |
/// | [`InProgress`](Self::InProgress) | did not run | in progress under another owner |
/// | [`Failed`](Self::Failed) | ran now | free; finished if errors are stored, or if the action runs at most once; or in progress until the lease expires, if the release failed |
/// | [`ReplayedError`](Self::ReplayedError) | ran before | finished with the error |
/// | [`NotStored`](Self::NotStored) | ran, now or before | finished without a result |
/// | [`LeaseLost`](Self::LeaseLost) | ran now | as the new owner leaves it; free, if an operator removed it |
/// | [`NotRecorded`](Self::NotRecorded) | ran now | in progress until the lease expires, or finished |
/// | `Decode` | ran before | finished with a result of another type |
/// | [`Backend`](Self::Backend) | did not run | unchanged, or in progress until the lease expires |
///
/// It implements [`Error`](std::error::Error) if `E` does. If `E` does not, as `String`, take the
/// handler's error out with [`into_outcome`](Self::into_outcome) or by matching.
#[non_exhaustive]
pub enum RunError<E, T = ()> {
    /// The key is empty or too long. The handler did not run, and no request was sent to the
    /// backend.
    InvalidKey(InvalidKey),
    /// The request cannot be serialized as JSON. The handler did not run, and no request was sent
    /// to the backend.
    #[cfg(feature = "idempotency")]
    InvalidRequest(serde_json::Error),
    /// The key belongs to another request, which is finished or in progress. The handler did not
    /// run. The caller used one key for two requests.
    KeyReused,
    /// Another call with this key is in progress. The handler did not run. Retry with the same key.
    InProgress {
        /// How long the lease of the other call lasts from now. By then the other call has
        /// finished, has renewed its lease, or the key is free. The other call may finish sooner;
        /// [`wait_timeout`](crate::DoOnce::wait_timeout) waits for that.
        retry_after: Duration,
    },
    /// The handler ran and returned this error. The key is free again, unless errors are
    /// [stored](crate::Idempotency::run_storing_errors) or the action runs [at most
    /// once](crate::DoOnce::run_at_most_once). If the release failed, the key is free when the
    /// lease expires.
    Failed(E),
    /// The handler ran before and returned this error, which was stored. It did not run now.
    ReplayedError(E),
    /// The handler ran to its end, now or before, but its result could not be stored. It will not
    /// run again.
    ///
    /// This is an error and not an [`Outcome`](crate::Outcome), because `Ok` promises that each
    /// later call returns the same value. Here no later call can return it. As an error, a type
    /// that cannot be stored shows at the first call, and not at the first retry in production. The
    /// effect of the handler has happened nevertheless: [`into_outcome`](Self::into_outcome)
    /// returns the result if the handler ran now.
    NotStored {
        /// Why the result could not be stored.
        reason: Arc<str>,
        /// The result of the handler. `None` if the handler ran before.
        outcome: Option<Result<T, E>>,
    },
    /// The handler ran to its end, but the claim was lost by then. The lease had expired and
    /// another owner acquired the key, or an operator removed the record. Nothing was recorded. The
    /// result that counts is the one of the new owner, and the handler may have run twice. See
    /// [`Claim`](crate::Claim).
    LeaseLost {
        /// The result of the handler.
        outcome: Result<T, E>,
    },
    /// The handler ran to its end, but the backend did not confirm the record. The key is in
    /// progress until the lease expires, or it is finished. If it is in progress, the handler may
    /// run again after that, as after a crash.
    NotRecorded {
        /// The result of the handler.
        outcome: Result<T, E>,
        /// The last error of the backend.
        error: BackendError,
    },
    /// The stored result of an earlier run cannot be deserialized as `T`. Another version of the
    /// program wrote it, or another handler. The handler did not run.
    #[cfg(feature = "idempotency")]
    Decode(serde_json::Error),
    /// The backend failed before the handler ran. If its response was lost, the key may be in
    /// progress until the lease expires. An action that runs at most once may be marked as done.
    Backend(BackendError),
}

impl<E, T> RunError<E, T> {
    /// Returns whether the same call may succeed later without any other change.
    ///
    /// Returns `false` for the handler's own error: only the caller knows about that.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::InProgress { .. } | Self::LeaseLost { .. } | Self::NotRecorded { .. } => true,
            Self::Backend(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Returns how long to wait before a retry, if another call is in progress.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// Returns the result of the handler, if it ran now.
    pub fn into_outcome(self) -> Option<Result<T, E>> {
        match self {
            Self::Failed(error) => Some(Err(error)),
            Self::NotStored { outcome, .. } => outcome,
            Self::LeaseLost { outcome } | Self::NotRecorded { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Returns the same error without the value of the handler, for functions whose error type does
    /// not name `T`.
    pub fn without_outcome(self) -> RunError<E> {
        let without_value = |outcome: Result<T, E>| outcome.map(drop);
        match self {
            Self::InvalidKey(error) => RunError::InvalidKey(error),
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(error) => RunError::InvalidRequest(error),
            Self::KeyReused => RunError::KeyReused,
            Self::InProgress { retry_after } => RunError::InProgress { retry_after },
            Self::Failed(error) => RunError::Failed(error),
            Self::ReplayedError(error) => RunError::ReplayedError(error),
            Self::NotStored { reason, outcome } => {
                RunError::NotStored { reason, outcome: outcome.map(without_value) }
            }
            Self::LeaseLost { outcome } => RunError::LeaseLost { outcome: without_value(outcome) },
            Self::NotRecorded { outcome, error } => {
                RunError::NotRecorded { outcome: without_value(outcome), error }
            }
            #[cfg(feature = "idempotency")]
            Self::Decode(error) => RunError::Decode(error),
            Self::Backend(error) => RunError::Backend(error),
        }
    }

    /// Returns the value of the telemetry label `outcome`.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::ReplayedError(_) => "replayed_error",
            Self::KeyReused => "key_reused",
            Self::InProgress { .. } => "in_progress",
            Self::Failed(_) => "failed",
            Self::NotStored { outcome: Some(_), .. } => "not_stored",
            Self::NotStored { outcome: None, .. } => "replayed_not_stored",
            Self::LeaseLost { .. } => "lease_lost",
            Self::NotRecorded { .. } => "not_recorded",
            Self::InvalidKey(_) => "invalid",
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(_) => "invalid",
            #[cfg(feature = "idempotency")]
            Self::Decode(_) => "decode",
            Self::Backend(_) => "backend_failed",
        }
    }
}

impl<E: fmt::Display, T> fmt::Display for RunError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => error.fmt(f),
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(error) => write!(f, "the request cannot be serialized as JSON: {error}"),
            Self::KeyReused => {
                f.write_str("the idempotency key belongs to another request; use a new key for each request")
            }
            Self::InProgress { retry_after } => {
                write!(f, "another call with this key is in progress; retry in {retry_after:?}")
            }
            Self::Failed(error) => error.fmt(f),
            Self::ReplayedError(error) => write!(f, "an earlier run failed, and its error was stored: {error}"),
            Self::NotStored { reason, .. } => {
                write!(f, "the handler ran, but its result could not be stored: {reason}")
            }
            Self::LeaseLost { .. } => f.write_str(
                "the lease was lost while the handler ran; retry for the result of the new owner, and set a longer \
                 lease unless an operator removed the record",
            ),
            Self::NotRecorded { error, .. } => {
                write!(f, "the handler ran, but its result was not recorded: {error}")
            }
            #[cfg(feature = "idempotency")]
            Self::Decode(error) => write!(f, "the stored result is not of the expected type: {error}"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

// Not derived: `T` need not implement `Debug`, and may be a secret.
impl<E: fmt::Debug, T> fmt::Debug for RunError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |outcome: &Result<T, E>| if outcome.is_ok() { "Ok(..)" } else { "Err(..)" };
        match self {
            Self::InvalidKey(error) => f.debug_tuple("InvalidKey").field(error).finish(),
            #[cfg(feature = "idempotency")]
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
                .field("outcome", &format_args!("{}", outcome.as_ref().map_or("None", redacted)))
                .finish(),
            Self::LeaseLost { outcome } => {
                f.debug_struct("LeaseLost").field("outcome", &format_args!("{}", redacted(outcome))).finish()
            }
            Self::NotRecorded { outcome, error } => f
                .debug_struct("NotRecorded")
                .field("outcome", &format_args!("{}", redacted(outcome)))
                .field("error", error)
                .finish(),
            #[cfg(feature = "idempotency")]
            Self::Decode(error) => f.debug_tuple("Decode").field(error).finish(),
            Self::Backend(error) => f.debug_tuple("Backend").field(error).finish(),
        }
    }
}

// `thiserror` would return the wrapped error, whose message is already part of ours. Like
// `BackendError`, this returns the error below it, so that a chain of sources repeats no message.
impl<E: StdError + 'static, T> StdError for RunError<E, T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidKey(error) => error.source(),
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(error) | Self::Decode(error) => error.source(),
            Self::Failed(error) | Self::ReplayedError(error) => error.source(),
            Self::Backend(error) | Self::NotRecorded { error, .. } => error.source(),
            Self::KeyReused | Self::InProgress { .. } | Self::NotStored { .. } | Self::LeaseLost { .. } => {
                None
            }
        }
    }
}

impl<E, T> From<InvalidKey> for RunError<E, T> {
    fn from(error: InvalidKey) -> Self {
        Self::InvalidKey(error)
    }
}

impl<E, T> From<BackendError> for RunError<E, T> {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
