//! The error of a run under a claim.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use limited_core::{BackendError, Escaped, InvalidKey, debug_sources};

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
/// | [`Stopped`](Self::Stopped) | was dropped before its end | free when its lease expires; or as the new owner leaves it |
/// | [`NotRecorded`](Self::NotRecorded) | ran now | in progress until the lease expires, or finished |
/// | `Decode` | ran before | finished with a result of another type |
/// | [`Backend`](Self::Backend) | did not run | unchanged, or in progress until the lease expires |
///
/// It implements [`Error`](std::error::Error) if `E` does. If `E` does not, as `String`, take the
/// handler's error out with [`into_outcome`](Self::into_outcome) or by matching.
///
/// [`Debug`](fmt::Debug), which `main` prints, is one line: the variant, the message, and the
/// message of each source. It never contains the value of the handler.
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
    /// The claim was lost while the handler ran, and the handler was dropped, because
    /// [`stop_when_lost`](crate::DoOnce::stop_when_lost) is set. It may have had an effect. Nothing
    /// was recorded, and another call may run now.
    Stopped,
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
            Self::InProgress { .. } | Self::LeaseLost { .. } | Self::Stopped | Self::NotRecorded { .. } => {
                true
            }
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
            Self::Stopped => RunError::Stopped,
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
            Self::Stopped => "stopped",
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

impl<E, T> RunError<E, T> {
    /// Writes the message. `write_error` writes the error of the handler.
    fn write_message<W: Write>(
        &self,
        f: &mut W,
        write_error: impl FnOnce(&E, &mut W) -> fmt::Result,
    ) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => write!(f, "{error}"),
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(error) => write!(f, "the request cannot be serialized as JSON: {error}"),
            Self::KeyReused => {
                f.write_str("the idempotency key belongs to another request; use a new key for each request")
            }
            Self::InProgress { retry_after } => {
                write!(f, "another call with this key is in progress; retry in {retry_after:?}")
            }
            Self::Failed(error) => write_error(error, f),
            Self::ReplayedError(error) => {
                f.write_str("an earlier run failed, and its error was stored: ")?;
                write_error(error, f)
            }
            Self::NotStored { reason, .. } => {
                write!(f, "the handler ran, but its result could not be stored: {}", Escaped(reason))
            }
            Self::LeaseLost { .. } => f.write_str(
                "the lease was lost while the handler ran; retry for the result of the new owner, and set a longer \
                 lease unless an operator removed the record",
            ),
            Self::Stopped => f.write_str(
                "the handler was stopped because its claim was lost; retry with the same key, and set a longer \
                 maximum for runs if the handler needs it",
            ),
            Self::NotRecorded { error, .. } => {
                write!(f, "the handler ran, but its result was not recorded: {error}")
            }
            #[cfg(feature = "idempotency")]
            Self::Decode(error) => write!(f, "the stored result is not of the expected type: {error}"),
            Self::Backend(error) => write!(f, "{error}"),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::InvalidKey(_) => "InvalidKey",
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::KeyReused => "KeyReused",
            Self::InProgress { .. } => "InProgress",
            Self::Failed(_) => "Failed",
            Self::ReplayedError(_) => "ReplayedError",
            Self::NotStored { .. } => "NotStored",
            Self::LeaseLost { .. } => "LeaseLost",
            Self::Stopped => "Stopped",
            Self::NotRecorded { .. } => "NotRecorded",
            #[cfg(feature = "idempotency")]
            Self::Decode(_) => "Decode",
            Self::Backend(_) => "Backend",
        }
    }

    /// Returns the source, unless it is below the error of the handler, which need not be an error
    /// type.
    fn own_source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidKey(error) => error.source(),
            #[cfg(feature = "idempotency")]
            Self::InvalidRequest(error) | Self::Decode(error) => error.source(),
            Self::Backend(error) | Self::NotRecorded { error, .. } => error.source(),
            Self::Failed(_)
            | Self::ReplayedError(_)
            | Self::KeyReused
            | Self::InProgress { .. }
            | Self::NotStored { .. }
            | Self::LeaseLost { .. }
            | Self::Stopped => None,
        }
    }

    /// Returns the result of the handler, if the error is not about that result itself.
    const fn outcome(&self) -> Option<&Result<T, E>> {
        match self {
            Self::NotStored { outcome, .. } => outcome.as_ref(),
            Self::LeaseLost { outcome } | Self::NotRecorded { outcome, .. } => Some(outcome),
            _ => None,
        }
    }
}

impl<E: fmt::Display, T> fmt::Display for RunError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_message(f, |error, f| error.fmt(f))
    }
}

// Not derived: `T` need not implement `Debug`, and may be a secret. `E` need not implement
// `Display`.
impl<E: fmt::Debug, T> fmt::Debug for RunError<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = String::new();
        self.write_message(&mut message, |error, f| write!(f, "{error:?}"))?;
        write!(f, "{}: {message}", self.name())?;
        debug_sources(f, message, self.own_source())?;
        match self.outcome() {
            Some(Ok(_)) => f.write_str("; the handler returned Ok(..)"),
            Some(Err(_)) => f.write_str("; the handler returned Err(..)"),
            None => Ok(()),
        }
    }
}

// `thiserror` would return the wrapped error, whose message is already part of ours. Like
// `BackendError`, this returns the error below it, so that a chain of sources repeats no message.
impl<E: StdError + 'static, T> StdError for RunError<E, T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) | Self::ReplayedError(error) => error.source(),
            _ => self.own_source(),
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

#[cfg(test)]
mod tests {
    use limited_core::Cause;

    use super::*;

    #[test]
    fn error_that_main_prints_says_variant_message_and_sources() {
        let outage = || BackendError::unavailable(Cause::with_source("an outage", "cable cut"));
        let text = "the backend is unavailable: an outage; caused by: cable cut";
        for (error, text) in [
            (RunError::Backend(outage()), format!("Backend: {text}")),
            (
                RunError::NotRecorded { outcome: Ok("a secret"), error: outage() },
                format!(
                    "NotRecorded: the handler ran, but its result was not recorded: {text}; the handler returned Ok(..)"
                ),
            ),
            (RunError::Failed("no route"), "Failed: \"no route\"".to_owned()),
            (
                RunError::ReplayedError("no route"),
                "ReplayedError: an earlier run failed, and its error was stored: \"no route\"".to_owned(),
            ),
            (
                RunError::InvalidKey(InvalidKey::Empty),
                "InvalidKey: the key is empty; expected 1 to 1024 bytes".to_owned(),
            ),
            (
                RunError::InProgress { retry_after: Duration::from_secs(3) },
                "InProgress: another call with this key is in progress; retry in 3s".to_owned(),
            ),
            (
                RunError::NotStored { reason: Arc::from("too large"), outcome: Some(Err("declined")) },
                "NotStored: the handler ran, but its result could not be stored: too large; the handler returned \
                 Err(..)"
                    .to_owned(),
            ),
        ] {
            assert_eq!(format!("{error:?}"), text);
        }
        let reused = format!("{:?}", RunError::<&str>::KeyReused);
        assert!(reused.starts_with("KeyReused: the idempotency key belongs to another request"), "{reused}");
        let lost = format!("{:?}", RunError::<&str>::LeaseLost { outcome: Ok(()) });
        assert!(lost.starts_with("LeaseLost: the lease was lost"), "{lost}");
    }
}
