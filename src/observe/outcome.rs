//! The names of outcomes, in labels and fields.
#![cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    expect(dead_code, reason = "nobody is told, and the names are left out")
)]

use limited_core::BackendError;

#[cfg(feature = "idempotency")]
use crate::Outcome;
use crate::{Done, RunError};

/// A run whose future was dropped, or whose handler panicked.
pub(super) const DROPPED: &str = "dropped";
/// A run that failed since the backend did.
pub(super) const BACKEND_FAILED: &str = "backend_failed";

#[cfg(feature = "idempotency")]
pub(super) const fn of_idempotency<T, E>(result: &Result<Outcome<T>, RunError<E, T>>) -> &'static str {
    match result {
        Ok(Outcome::Executed(_)) => "executed",
        Ok(Outcome::Replayed(_)) => "replayed",
        Err(error) => of_error(error),
    }
}

pub(super) const fn of_do_once<T, U, E>(result: &Result<Done<T>, RunError<E, U>>) -> &'static str {
    match result {
        Ok(Done::Executed { .. }) => "done",
        Ok(Done::AlreadyDone { .. }) => "done_before",
        Err(error) => of_error(error),
    }
}

const fn of_error<T, E>(error: &RunError<E, T>) -> &'static str {
    match error {
        RunError::ReplayedError(_) => "replayed_error",
        RunError::KeyReused => "key_reused",
        RunError::InProgress { .. } => "in_progress",
        RunError::Failed(_) => "failed",
        RunError::NotStored { outcome: Some(_), .. } => "not_kept",
        RunError::NotStored { outcome: None, .. } => "replayed_not_kept",
        RunError::LeaseLost { .. } => "lost",
        RunError::NotRecorded { .. } => "unrecorded",
        RunError::InvalidKey(_) => "invalid",
        #[cfg(feature = "idempotency")]
        RunError::InvalidRequest(_) => "invalid",
        #[cfg(feature = "idempotency")]
        RunError::Decode(_) => "unreadable",
        RunError::Backend(_) => BACKEND_FAILED,
    }
}

/// What kind of error a backend gave.
pub(super) const fn kind(error: &BackendError) -> &'static str {
    match error {
        BackendError::Throttled(_) => "throttled",
        BackendError::TimedOut(_) => "timed_out",
        BackendError::Unavailable(_) => "unavailable",
        BackendError::MissingTable(_) => "missing_table",
        BackendError::AccessDenied(_) => "access_denied",
        BackendError::Misconfigured(_) => "misconfigured",
        BackendError::Invalid(_) => "invalid",
        BackendError::Full { .. } => "full",
        BackendError::Unsupported(_) => "unsupported",
        BackendError::Corrupt(_) => "corrupt",
        _ => "other",
    }
}
