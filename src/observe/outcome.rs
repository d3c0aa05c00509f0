//! The names of outcomes, in labels and fields.
#![cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    expect(dead_code, reason = "nobody is told, and the names are left out")
)]

use limited_core::BackendError;

use crate::{DoOnceError, Done};
#[cfg(feature = "idempotency")]
use crate::{IdempotencyError, Outcome};

/// A run whose future was dropped, or whose handler panicked.
pub(super) const DROPPED: &str = "dropped";
/// A run that failed since the backend did.
pub(super) const BACKEND_FAILED: &str = "backend_failed";

#[cfg(feature = "idempotency")]
pub(super) const fn of_idempotency<T, E>(
    result: &Result<Outcome<T>, IdempotencyError<E, T>>,
) -> &'static str {
    match result {
        Ok(Outcome::Executed(_)) => "executed",
        Ok(Outcome::Replayed(_)) => "replayed",
        Err(IdempotencyError::ReplayedError(_)) => "replayed_error",
        Err(IdempotencyError::KeyReused) => "key_reused",
        Err(IdempotencyError::InProgress { .. }) => "in_progress",
        Err(IdempotencyError::Failed(_)) => "failed",
        Err(IdempotencyError::NotStored { outcome: Some(_), .. }) => "not_kept",
        Err(IdempotencyError::NotStored { outcome: None, .. }) => "replayed_not_kept",
        Err(IdempotencyError::LeaseLost { .. }) => "lost",
        Err(IdempotencyError::NotRecorded { .. }) => "unrecorded",
        Err(IdempotencyError::Decode(_)) => "unreadable",
        Err(IdempotencyError::InvalidKey(_) | IdempotencyError::InvalidRequest(_)) => "invalid",
        Err(IdempotencyError::Backend(_)) => BACKEND_FAILED,
    }
}

pub(super) const fn of_do_once<T, U, E>(result: &Result<Done<T>, DoOnceError<E, U>>) -> &'static str {
    match result {
        Ok(Done::Executed { .. }) => "done",
        Ok(Done::AlreadyDone { .. }) => "done_before",
        Err(DoOnceError::InProgress { .. }) => "in_progress",
        Err(DoOnceError::Failed(_)) => "failed",
        Err(DoOnceError::LeaseLost { .. }) => "lost",
        Err(DoOnceError::NotRecorded { .. }) => "unrecorded",
        Err(DoOnceError::InvalidKey(_)) => "invalid",
        Err(DoOnceError::Backend(_)) => BACKEND_FAILED,
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
